"""What people see of a fleet's status."""

import io
from pathlib import Path

from rich.console import Console

from slurm.fleet import Member, Status
from slurm.folder import Folder
from slurm.queue_listing import Job
from slurm.servers import Server
from slurm.status_report import print_status

FOLDER = Folder(Path("/shared/fleet"))


def server(job: str, state: str = "ready", error: str = "") -> Server:
    return Server(
        name=f"s{job}", url=f"http://10.20.30.40:1{job[:4]}", host="node1234", job=job, workers=128, state=state,
        error=error, heartbeat_age_s=5, path=FOLDER.path / f"s{job}.json",
    )  # fmt: skip


def member(job: str, of_it: Server | None) -> Member:
    return Member(Job(job, "RUNNING", "node1234", "1:00", "11:59:00", ""), of_it, "")


def shown(found: Status) -> str:
    stream = io.StringIO()
    print_status(Console(file=stream, width=80), FOLDER, found)
    return stream.getvalue()


def test_a_row_is_one_line_of_a_terminal() -> None:
    ids = ["1234567_0", "1234567_1"]
    text = shown(Status(members=[member(job, server(job)) for job in ids], others=[], slurm_error=""))
    rows = [line for line in text.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert cells == [[job, "RUNNING", "node1234", "11:59:00", "ready", "128", "5 s ago"] for job in ids]
    assert "2 of 2 servers take work" in text


def test_servers_count_where_their_jobs_are_not_known() -> None:
    others = [server("7_0"), server("7_1", "draining")]
    text = shown(Status(members=[], others=others, slurm_error="squeue is not installed here"))
    assert "1 of 2 servers take work" in text


def test_a_server_that_cannot_be_reached_is_told_with_its_address() -> None:
    lost = server("7", "unreachable", "no connection")
    text = shown(Status(members=[member("7", lost), member("8", None)], others=[], slurm_error=""))
    assert "7: its server at http://10.20.30.40:17 cannot be reached from here: no connection" in text
    assert "0 of 2 servers take work" in text
