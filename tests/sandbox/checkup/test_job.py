import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.allotment import Allotment, read
from sandbox.cgroup_limits import Bound
from sandbox.checkup.check import Check
from sandbox.checkup.job import Job, judged_allotment, judged_job, left_s, look_at_job, seconds_of, signal_of

GIB = 1 << 30
SHOWN = """\
JobId=7 JobName=serve
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:01:30 TimeLimit=1-00:10:00 TimeMin=N/A
"""
SCRIPT = "#!/bin/bash\n#SBATCH --job-name='a b' --signal=B:TERM@60 # ahead\n\nsrun x\n#SBATCH --signal=USR1@1\n"


def allotted(cpus: float, memory: float, affinity: float = 8) -> Allotment:
    return Allotment(
        cpu_bounds=(Bound(affinity, "the CPU affinity"), Bound(cpus, "SLURM_CPUS_ON_NODE")),
        memory_bounds=(Bound(memory, "SLURM_MEM_PER_NODE"),),
    )


def job(left_s: float | None = 3600, script: str | None = SCRIPT) -> Job:
    return Job(id="7", left_s=left_s, requeue=True, script=script)


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert all(bool(check.remedy) != check.ok for check in checks)
    assert not any(check.required for check in checks)
    return {check.name: check for check in checks}


def test_a_job_that_is_bound_to_its_cpus_has_no_gap() -> None:
    checks = by_name(judged_allotment(allotted(8, 64 * GIB), in_job=True))
    assert all(check.ok for check in checks.values())
    assert "8 (SLURM_CPUS_ON_NODE)" in checks["cpus"].detail


def test_cpus_that_nobody_enforces_are_a_gap_of_the_site() -> None:
    check = by_name(judged_allotment(allotted(2, 64 * GIB), in_job=True))["cpu binding"]
    assert "ConstrainCores=yes" in check.remedy
    assert "cpu binding" not in by_name(judged_allotment(allotted(2, 64 * GIB), in_job=False))


def test_a_quota_is_no_gap_in_what_binds_a_job_to_its_cpus() -> None:
    bounds = (Bound(8, "the CPU affinity"), Bound(2, "/sys/fs/cgroup/job/cpu.max"), Bound(2, "SLURM_CPUS_ON_NODE"))
    own = Allotment(cpu_bounds=bounds, memory_bounds=())
    assert "cpu binding" not in by_name(judged_allotment(own, in_job=True))


def test_memory_that_bounds_the_workers_is_a_gap_with_how_much_is_enough() -> None:
    check = by_name(judged_allotment(allotted(8, 3 * GIB), in_job=True))["memory"]
    assert "enough for 3 of 8 workers" in check.detail
    assert "--mem=8G" in check.remedy
    assert "--mem" not in by_name(judged_allotment(allotted(8, 3 * GIB), in_job=False))["memory"].remedy


def test_less_memory_than_one_program_may_use_is_a_gap() -> None:
    check = by_name(judged_allotment(allotted(1, GIB // 2), in_job=True))["memory"]
    assert "enough for 0 of 1 workers" in check.detail
    assert "--mem=1G" in check.remedy


def test_memory_that_is_not_known_is_no_gap() -> None:
    (*_, check) = judged_allotment(read(Path("/nonexistent"), {}, 2), in_job=False)
    assert (check.ok, check.detail) == (True, "not known: enough for 2 workers")


def test_no_job_and_no_time_limit_are_no_gaps() -> None:
    assert all(check.ok for check in judged_job(None))
    assert all(check.ok for check in judged_job(job(left_s=None, script=None)))


def test_a_job_about_to_end_is_told() -> None:
    assert not by_name(judged_job(job(left_s=30)))["time left"].ok
    assert by_name(judged_job(job(left_s=300)))["time left"].detail == "5 min"


def test_a_batch_script_without_a_signal_is_told_which_line_it_lacks() -> None:
    check = by_name(judged_job(job(script="#!/bin/sh\nsrun x\n")))["signal ahead"]
    assert "#SBATCH --signal=B:TERM@60" in check.remedy
    assert by_name(judged_job(job()))["signal ahead"].ok
    assert "cannot be told" in by_name(judged_job(job(script=None)))["signal ahead"].detail


@pytest.mark.parametrize(
    ("script", "signal"),
    [
        (SCRIPT, "B:TERM@60"),
        ("#!/bin/sh\n#SBATCH --signal USR2@90\n", "USR2@90"),
        ("#!/bin/sh\n#SBATCH --signal=A@1\n#SBATCH --signal=B@2\n", "B@2"),
        ("#!/bin/sh\n## SBATCH --signal=A@1\n#SBATCH --signal='A\n", ""),
        ("#SBATCH --signal\n", ""),
        ("", ""),
    ],
)
def test_the_signal_is_what_sbatch_would_read(script: str, signal: str) -> None:
    assert signal_of(script) == signal


@given(st.text())
def test_any_script_can_be_read(text: str) -> None:
    signal_of(text)
    signal_of(f"#SBATCH {text}")


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_read_as_slurm_writes_it(days: int, hours: int, minutes: int, seconds: int) -> None:
    written = f"{days}-" * (days > 0) + f"{hours:02}:{minutes:02}:{seconds:02}"
    assert seconds_of(written) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def test_what_is_left_is_the_limit_without_what_has_run() -> None:
    assert left_s(SHOWN) == 86400 + 600 - 90
    assert left_s(SHOWN.replace("1-00:10:00", "UNLIMITED")) is None
    assert left_s("") is None


def test_slurm_is_asked_for_this_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "script").write_text(SCRIPT)
    (tmp_path / "shown").write_text(SHOWN)
    command = tmp_path / "scontrol"
    command.write_text(
        f'#!/bin/sh\n[ "$*" = "show job 7" ] && exec cat {tmp_path}/shown\n'
        f'[ "$*" = "write batch_script 7 -" ] && exec cat {tmp_path}/script\nexit 1\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    checks = by_name(look_at_job({"SLURM_JOB_ID": "7"}, allotted(8, 64 * GIB)))
    assert checks["slurm job"].detail == "7; requeued when preempted"
    assert checks["time left"].detail == "1448 min"
    assert "B:TERM@60" in checks["signal ahead"].detail


def test_without_an_answer_of_slurm_its_variables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    environment = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": f"{time.time() + 605:.0f}"}
    checks = by_name(look_at_job(environment, allotted(8, 64 * GIB)))
    assert checks["time left"].detail == "10 min"
    assert "cannot be told" in checks["signal ahead"].detail


def test_a_job_without_a_batch_script_is_not_told_that_it_lacks_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "scontrol"
    command.write_text(f"#!/bin/sh\n[ $1 = write ] || printf '{SHOWN}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    check = by_name(look_at_job({"SLURM_JOB_ID": "7"}, allotted(8, 64 * GIB)))["signal ahead"]
    assert check.ok
    assert "cannot be told" in check.detail
