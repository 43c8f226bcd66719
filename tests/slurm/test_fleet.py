"""`qrpo-sandbox fleet` with a stand-in for Slurm's commands: what they are called with, and what they may answer."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slurm.fleet import bring_down, bring_up, status_of
from slurm.folder import Folder
from slurm.queue_listing import Job
from slurm.servers import Server
from slurm.submission import Needs

HERE = Path(__file__).parent
LISTING = "squeue [--noheader] [--array] [--states=all] [--user=UID] [--name=NAME] [--format=%i|%T|%N|%M|%L|%r]"
SCRIPT = """\
#!/bin/bash

# Parameters
#SBATCH --account=us
#SBATCH --array=0-1%2
#SBATCH --constraint=avx2
#SBATCH --exclusive
#SBATCH --job-name=NAME
#SBATCH --mem=0
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --open-mode=append
#SBATCH --output='FOLDER/logs/%A_%a.log'
#SBATCH --overcommit
#SBATCH --partition=short
#SBATCH --qos=low
#SBATCH --requeue
#SBATCH --signal=B:USR2@45
#SBATCH --time=1-02

# setup
export SUBMITIT_PREEMPT_SIGNAL=USR2 SUBMITIT_LOG_LEVEL=ERROR
trap '' USR2  # until there is a handler

# command
export SUBMITIT_EXECUTOR=slurm
exec PYTHON -u -m submitit.core._submit 'FOLDER/submissions/SUBMISSION'
"""


class StandIn:
    """The stand-in and a fleet that uses it."""

    def __init__(self, tmp_path: Path, command: type, folder: Path) -> None:
        self.place = tmp_path / "standin"
        self.place.mkdir()
        self.bin = tmp_path / "bin"
        self.bin.mkdir()
        for name in ("sbatch", "squeue", "scancel", "srun"):
            (self.bin / name).symlink_to(HERE / "standin.sh")
        (self.place / "queue").touch()
        env = {"STANDIN": str(self.place), "PATH": f"{self.bin}:/usr/bin:/bin"}
        self.fleet = command(folder, env)

    def queue(self, *rows: str) -> None:
        """What squeue answers; fields with spaces between them."""
        (self.place / "queue").write_text("".join("\t".join(row.split(" ")) + "\n" for row in rows))

    def refuse(self, name: str, words: str) -> None:
        """What a command says when it fails."""
        (self.place / f"refuse-{name}").write_text(words)

    @property
    def calls(self) -> list[str]:
        path = self.place / "calls"
        name = self.job_name()
        text = path.read_text() if path.exists() else ""
        return text.replace(f"--user={os.getuid()}]", "--user=UID]").replace(name, "NAME").splitlines()

    def job_name(self) -> str:
        from slurm.folder import Folder

        return Folder(Path(os.path.realpath(self.fleet.folder))).job_name


@pytest.fixture
def slurm(tmp_path: Path, fleet_folder: Path, fleet_command: type) -> StandIn:
    return StandIn(tmp_path, fleet_command, fleet_folder)


def test_what_sbatch_is_given(slurm: StandIn) -> None:
    more = ["--partition", "short", "--account", "us", "--qos", "low", "--time", "1-02", "--drain-s", "5"]
    told = slurm.fleet.told("up", "--nodes", "2", *more, "--sbatch", "constraint=avx2", "--sbatch", "overcommit")
    assert told == {"dir": str(slurm.fleet.folder), "before": [], "submitted": ["7_0", "7_1"]}
    script = (slurm.place / "script").read_text().replace("'\"'\"'", "’")  # as the shell quotes an apostrophe
    (submission,) = (slurm.fleet.folder / "submissions").iterdir()
    for found, shown in [
        (str(slurm.fleet.folder).replace("'", "’"), "FOLDER"),
        (submission.name, "SUBMISSION"),
        (slurm.job_name(), "NAME"),
        (sys.executable, "PYTHON"),
        ("'PYTHON'", "PYTHON"),
    ]:
        script = script.replace(found, shown)
    assert script == SCRIPT


def test_a_part_of_a_node_is_asked_for_by_cores_and_memory(slurm: StandIn) -> None:
    slurm.fleet.told("up", "--nodes", "1", "--cpus", "8", "--memory", "16G")
    lines = (slurm.place / "script").read_text().splitlines()
    assert {"#SBATCH --cpus-per-task=8", "#SBATCH --mem=16G"} <= set(lines)
    assert "#SBATCH --exclusive" not in lines
    assert any(line.startswith("#SBATCH --output=") and line.endswith("/logs/%j.log'") for line in lines)


def test_a_fleet_that_is_brought_up_from_within_a_job_takes_nothing_from_it(slurm: StandIn) -> None:
    slurm.fleet.sees(SLURM_CONF="/its/own", SLURM_JOB_ID="3", SLURM_CPUS_PER_TASK="1", SLURMD_NODENAME="n1")
    assert slurm.fleet.told("up", "--nodes", "1")["submitted"] == ["7"]
    assert (slurm.place / "environment").read_text() == "SLURM_CONF\n"


def test_a_users_defaults_neither_rename_a_fleets_jobs_nor_hide_them(slurm: StandIn) -> None:
    slurm.fleet.sees(SBATCH_JOB_NAME="mine", SBATCH_PARTITION="theirs", SBATCH_ACCOUNT="us", SQUEUE_PARTITION="theirs")
    assert slurm.fleet.told("up", "--nodes", "1", "--partition", "short")["submitted"] == ["7"]
    assert "SBATCH_ACCOUNT" in (seen := (slurm.place / "environment").read_text().split())
    assert not {"SBATCH_JOB_NAME", "SBATCH_PARTITION"} & set(seen)
    assert slurm.fleet.told("up", "--nodes", "1")["before"] == ["7"]


def test_a_time_limit_that_leaves_no_time_to_serve_is_refused(slurm: StandIn) -> None:
    done = slurm.fleet.run("up", "--nodes", "1", "--time", "1")
    assert (done.returncode, slurm.calls) == (2, [])
    assert "--time '1' is too short: each server begins to finish 60 s before that limit" in done.stderr
    assert slurm.fleet.told("up", "--nodes", "1", "--time", "0")["submitted"] == ["7"]


def test_looking_makes_no_folder(slurm: StandIn) -> None:
    assert slurm.fleet.told("status")["jobs"] == []
    assert slurm.fleet.told("down")["ended"] == []
    assert not slurm.fleet.folder.exists()


def test_a_runtime_that_there_is_not_is_said_before_anything_is_submitted(slurm: StandIn) -> None:
    done = slurm.fleet.run("up", "--nodes", "1", "--runtime", "docker")
    assert done.returncode == 2
    assert "apptainer" in done.stderr
    assert slurm.calls == []


def test_those_that_are_there_keep_their_options_and_that_is_said(slurm: StandIn) -> None:
    slurm.queue("5 RUNNING n1 1:00 3:00 None")
    said = slurm.fleet.run("up", "--nodes", "1", "--image", "another.sif").stdout
    assert "nothing to do: 1 of 1 are there already (5), with the options they were submitted with" in said


def test_what_waits_or_runs_counts(slurm: StandIn) -> None:
    assert slurm.fleet.told("up", "--nodes", "2")["submitted"] == ["7_0", "7_1"]
    assert slurm.fleet.told("up", "--nodes", "2") == {
        "dir": str(slurm.fleet.folder),
        "before": ["7_0", "7_1"],
        "submitted": [],
    }
    slurm.queue("5_0 RUNNING n1 1:00 3:00 None", "5_1 FAILED n2 1:00 3:00 NonZeroExitCode")
    told = slurm.fleet.told("up", "--nodes", "2")
    assert (told["before"], told["submitted"]) == (["5_0"], ["7"])
    assert [call.split()[0] for call in slurm.calls].count("sbatch") == 2


def test_down_asks_those_that_run_and_cancels_those_that_wait(slurm: StandIn) -> None:
    slurm.queue("5_0 RUNNING n1 1:00 3:00 None", "5_1 PENDING  0:00 4:00 Priority", "4 COMPLETED n1 1:00 3:00 None")
    assert slurm.fleet.told("down") == {"dir": str(slurm.fleet.folder), "ended": ["5_0", "5_1"]}
    assert slurm.calls == [
        LISTING,
        "scancel [--quiet] [--batch] [--signal=TERM] [5_0]",
        "scancel [--quiet] [5_1]",
        LISTING,
    ]
    assert slurm.fleet.told("down")["ended"] == []


def test_down_now_kills(slurm: StandIn) -> None:
    slurm.queue("5_0 RUNNING n1 1:00 3:00 None", "5_1 PENDING  0:00 4:00 Priority")
    assert slurm.fleet.told("down", "--now")["ended"] == ["5_0", "5_1"]
    assert slurm.calls[1] == "scancel [--quiet] [--full] [--signal=KILL] [5_0] [5_1]"


def test_down_now_waits_for_jobs_that_are_ending_already(slurm: StandIn) -> None:
    (slurm.bin / "squeue").unlink()
    (slurm.bin / "squeue").write_text(
        '#!/bin/sh\n[ -e "$STANDIN/asked" ] && state=CANCELLED || state=COMPLETING\ntouch "$STANDIN/asked"\n'
        'printf "7\\t$state\\tn1\\t0:01\\t4:00\\tNone\\n"\n'
    )
    (slurm.bin / "squeue").chmod(0o755)
    assert slurm.fleet.told("down", "--now")["ended"] == ["7"]


def test_status_tells_of_waiting_and_failed_jobs(slurm: StandIn) -> None:
    slurm.queue("5_0 PENDING  0:00 4:00 Resources", "5_1 FAILED n2 1:00 3:00 NonZeroExitCode")
    logs = slurm.fleet.folder / "logs"
    slurm.fleet.folder.mkdir(mode=0o700)
    logs.mkdir()
    (logs / "5_1.log").write_text("serving\n\n│ error: the port is taken  │\n╰────╯\n")
    waits, failed = slurm.fleet.told("status")["jobs"]
    assert (waits["state"], waits["reason"], waits["node"], waits["server"]) == ("PENDING", "Resources", "", None)
    assert failed["last_words"] == "serving\nerror: the port is taken"
    shown = slurm.fleet.run("status").stdout
    assert "5_0 waits: Resources" in shown
    assert "error: the port is taken" in shown
    assert "\x1b" not in shown


def test_status_tells_of_servers_where_squeue_fails(slurm: StandIn) -> None:
    (slurm.place / "refuse-squeue-always").write_text("squeue: error: Invalid user: 77\n")
    told = slurm.fleet.told("status")
    assert (told["slurm_error"], told["jobs"], told["other_servers"]) == ("squeue: Invalid user: 77", [], [])
    assert "the jobs are not known: squeue: Invalid user: 77" in slurm.fleet.run("status").stdout


def test_status_does_not_wait_for_a_controller_that_is_away(slurm: StandIn) -> None:
    (slurm.place / "refuse-squeue-always").write_text("slurm_load_jobs error: Unable to contact slurm controller\n")
    assert "Unable to contact" in slurm.fleet.told("status")["slurm_error"]
    assert slurm.calls == [LISTING]


def test_up_gives_an_absent_controller_as_many_tries_as_any_command(slurm: StandIn) -> None:
    (slurm.place / "refuse-squeue-always").write_text("slurm_load_jobs error: Unable to contact slurm controller\n")
    assert slurm.fleet.run("up", "--nodes", "1").returncode == 2
    assert slurm.calls == [LISTING] * 4


def test_down_does_not_wait_for_ever_for_a_node_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slurm import fleet
    from slurm.errors import FleetError
    from slurm.folder import Folder
    from slurm.queue_listing import Job

    monkeypatch.setattr(fleet, "_STUCK_S", 0.0)
    monkeypatch.setattr(fleet, "jobs_named", lambda _: [Job("5_1", "COMPLETING", "n1", "1:00", "3:00", "")])
    monkeypatch.setattr(fleet, "_tell", lambda *_, **__: None)
    with pytest.raises(FleetError, match=r"5_1 on n1: .* is the node down"):
        fleet.bring_down(Folder(tmp_path), lambda _: None, now=False)


@pytest.mark.parametrize("command", ["squeue", "sbatch"])
def test_a_controller_that_is_busy_is_asked_again(slurm: StandIn, command: str) -> None:
    slurm.refuse(command, f"{command}: error: Socket timed out on send/recv operation\n")
    assert slurm.fleet.told("up", "--nodes", "1")["submitted"] == ["7"]
    # Counted anew in between: the first sbatch may have submitted what it was to.
    listed = [call.split()[0] for call in slurm.calls if not call.startswith("srun")]
    assert listed == (
        ["squeue", "squeue", "sbatch"] if command == "squeue" else ["squeue", "sbatch", "squeue", "sbatch"]
    )


def test_a_refusal_is_one_line_and_leaves_nothing(slurm: StandIn) -> None:
    slurm.refuse(
        "sbatch", "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: No\n"
    )
    done = slurm.fleet.run("up", "--nodes", "1", "--partition", "nope")
    assert done.returncode == 2
    assert done.stderr == "error: sbatch: invalid partition specified: nope Batch job submission failed: No\n"
    assert list((slurm.fleet.folder / "submissions").iterdir()) == []


@pytest.mark.parametrize("command", ["squeue", "sbatch"])
def test_a_command_that_is_missing_is_named(slurm: StandIn, command: str) -> None:
    (slurm.bin / command).unlink()
    for name in ("cat", "sh", "tr"):  # which the stand-in needs
        (slurm.bin / name).symlink_to(f"/bin/{name}")
    slurm.fleet.sees(PATH=str(slurm.bin))
    done = slurm.fleet.run("up", "--nodes", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {command} is not installed here: run this where jobs are submitted")


def test_waiting_ends_with_the_last_words_of_a_job_that_fails(slurm: StandIn) -> None:
    slurm.fleet.told("up", "--nodes", "1")
    slurm.queue("7 RUNNING n1 0:01 4:00 None")
    (slurm.fleet.folder / "logs" / "7.log").write_text("error: no Python in the image\n")
    done = slurm.fleet.run("up", "--nodes", "1", "--wait", "0.5")
    assert done.returncode == 1
    assert done.stderr.endswith("error: 0 of 1 servers are ready after 0.5 s; `fleet status` says why\n")
    # It fails while it is waited for.
    (slurm.bin / "squeue").unlink()
    (slurm.bin / "squeue").write_text(
        '#!/bin/sh\n[ -e "$STANDIN/asked" ] && state=FAILED || state=RUNNING\ntouch "$STANDIN/asked"\n'
        'printf "7\\t$state\\tn1\\t0:01\\t4:00\\tNonZeroExitCode\\n"\n'
    )
    (slurm.bin / "squeue").chmod(0o755)
    done = slurm.fleet.run("up", "--nodes", "1", "--wait", "20")
    assert done.returncode == 1
    assert done.stderr.endswith("error: job 7 has ended (FAILED): error: no Python in the image\n")


def test_what_was_submitted_is_told_even_where_it_is_waited_for_in_vain(slurm: StandIn) -> None:
    done = slurm.fleet.run("up", "--nodes", "1", "--json", "--wait", "0.1")
    assert done.returncode == 1
    assert json.loads(done.stdout)["submitted"] == ["7"]


def test_of_a_job_that_runs_again_the_new_server_is_told(slurm: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def server(name: str, state: str) -> Server:
        path = slurm.fleet.folder / f"{name}.json"
        return Server(
            name=name, url="", host=name, job="7", workers=1, state=state, error="", heartbeat_age_s=9, path=path
        )

    monkeypatch.setattr("slurm.fleet.jobs_named", lambda *_, **__: [Job("7", "RUNNING", "a", "0:01", "4:00", "")])
    monkeypatch.setattr("slurm.fleet.servers_in", lambda _: [server("a", "ready"), server("b", "unreachable")])
    (member,) = status_of(Folder.opened(slurm.fleet.folder)).members
    assert member.is_ready


def test_a_folder_that_others_can_open_is_refused(slurm: StandIn) -> None:
    slurm.fleet.folder.mkdir(mode=0o755)
    done = slurm.fleet.run("up", "--nodes", "1")
    assert done.returncode == 2
    assert "chmod 700" in done.stderr
    assert slurm.calls == []


@pytest.mark.parametrize("option", ["--host=0.0.0.0", "--endpoint-dir", "--drain-s"])
def test_what_a_fleet_decides_is_no_option_of_its_servers(slurm: StandIn, option: str) -> None:
    done = slurm.fleet.run("up", "--nodes", "1", "--", option, "x")
    assert done.returncode == 2
    assert slurm.calls == []


def test_submitit_is_loaded_by_up_alone() -> None:
    code = "import sys, slurm.cli; print('submitit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_job_that_ends_is_waited_for_and_counts_where_it_is_queued_again(slurm: StandIn) -> None:
    (slurm.bin / "squeue").unlink()
    (slurm.bin / "squeue").write_text(
        '#!/bin/sh\n[ -e "$STANDIN/asked" ] && state=PENDING || state=COMPLETING\ntouch "$STANDIN/asked"\n'
        'printf "7\\t$state\\tn1\\t0:01\\t4:00\\tNone\\n"\n'
    )
    (slurm.bin / "squeue").chmod(0o755)
    assert slurm.fleet.told("up", "--nodes", "1")["before"] == ["7"]


def test_a_job_that_does_not_end_does_not_count(slurm: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm.fleet.jobs_named", lambda *_, **__: [Job("7", "COMPLETING", "a", "0:01", "4:00", "")])
    monkeypatch.setattr("slurm.fleet._ENDING_S", 0)
    monkeypatch.setattr("slurm.fleet.submit", lambda *given: [f"{given[3]} submitted"])
    raised = bring_up(Folder.made(slurm.fleet.folder), 1, (), None, Needs(), lambda _: None)
    assert raised == ([], ["1 submitted"])


def test_two_that_bring_up_at_the_same_time_do_so_one_after_the_other(slurm: StandIn) -> None:
    place = Folder.made(slurm.fleet.folder)
    with ThreadPoolExecutor(1) as pool:
        with place.locked():
            second = pool.submit(slurm.fleet.told, "up", "--nodes", "1")
            with pytest.raises(TimeoutError):
                second.result(timeout=5)
            assert slurm.calls == []
        assert second.result(timeout=60)["submitted"] == ["7"]


def test_down_leaves_nothing_but_logs(slurm: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Folder.made(slurm.fleet.folder)
    place.submissions.mkdir()
    mine, others = place.path / "mine.json", place.path / "others.json"

    def server(path: Path, job: str) -> Server:
        path.touch()
        path.with_suffix(".token").touch()
        return Server(name="", url="", host="", job=job, workers=1, state="", error="", heartbeat_age_s=9, path=path)

    found = [server(mine, "7"), server(others, "")]
    monkeypatch.setattr("slurm.fleet.jobs_named", lambda _: [Job("7", "FAILED", "a", "0:01", "4:00", "")])
    monkeypatch.setattr("slurm.fleet.servers_in", lambda _: found)
    assert bring_down(place, lambda _: None, now=True) == []
    assert {path.name for path in place.path.iterdir()} == {"others.json", "others.token"}
