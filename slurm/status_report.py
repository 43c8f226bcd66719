"""A fleet's status as data, and as a table."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from slurm.fleet import Member, Status
from slurm.folder import Folder
from slurm.servers import Server

_STYLES = {"ready": "green", "draining": "yellow", "unreachable": "bold red", "FAILED": "bold red", "RUNNING": "green"}


def as_data(folder: Folder, found: Status) -> dict[str, object]:
    """What `--json` prints. `slurm_error` is null where Slurm has answered."""
    return {
        "dir": str(folder.path),
        "slurm_error": found.slurm_error or None,
        "jobs": [
            {
                **member.job._asdict(),
                "log": str(folder.log_of(member.job.id)),
                "last_words": member.last_words,
                "server": None if member.server is None else _server(member.server),
            }
            for member in found.members
        ],
        "other_servers": [_server(server) for server in found.others],
    }


def print_status(console: Console, folder: Folder, found: Status) -> None:
    """A row for each job, then what is worth more words than a row has room for."""
    if found.slurm_error:
        console.print(Text(f"the jobs are not known: {found.slurm_error}", style="bold red"), soft_wrap=True)
    if not found.members and not found.others:
        console.print(Text(f"no job and no server in {folder.path}"), soft_wrap=True)
        return
    table = Table("job", "state", "node", "left", "server", "workers", "heartbeat")
    for member in found.members:
        job = member.job
        left = job.left if job.state == "RUNNING" else ""
        table.add_row(job.id, _styled(job.state), Text(job.node), left, *_cells(member.server))
    for server in found.others:
        table.add_row(server.job or "-", "", Text(server.host), "", *_cells(server))
    console.print(table)
    for member in found.members:
        for line in _remarks(folder, member):
            console.print(Text(line), soft_wrap=True)
    if found.slurm_error:
        ready, there = sum(server.state == "ready" for server in found.others), len(found.others)
    else:
        ready = sum(member.is_ready for member in found.members)
        there = sum(not member.job.has_ended for member in found.members)
    console.print(Text(f"{ready} of {there} servers take work; clients find them in {folder.path}"), soft_wrap=True)


def _remarks(folder: Folder, member: Member) -> list[str]:
    job, server = member.job, member.server
    if job.is_waiting:
        return [f"{job.id} waits: {job.reason or 'for its turn'}"]
    if job.has_failed:
        words = member.last_words.replace("\n", "\n    ")
        return [
            f"{job.id} has failed ({job.reason or job.state}); its log {folder.log_of(job.id)} ends with:\n    {words}"
        ]
    if server is not None and server.error:
        return [f"{job.id}: its server at {server.url} cannot be reached from here: {server.error}"]
    return []


def _cells(server: Server | None) -> tuple[Text, ...]:
    if server is None:
        return (Text(""),) * 3
    beat = f"{server.heartbeat_age_s:.0f} s ago"
    return _styled(server.state), Text(str(server.workers)), Text(beat)


def _styled(word: str) -> Text:
    return Text(word, style=_STYLES.get(word, ""))


def _server(server: Server) -> dict[str, object]:
    return asdict(server) | {"path": str(server.path)}
