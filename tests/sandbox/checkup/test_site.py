import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from containers.runtime import ContainerError
from sandbox import Level
from sandbox.checkup import site
from sandbox.checkup.check import Check, Group
from sandbox.checkup.doctor import Report
from sandbox.checkup.site import Request, examine_site

COMMAND = [sys.executable, "-m", "sandbox.cli", "doctor"]


def call(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "NO_COLOR": "1", **environment}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, env=given)


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without starting slots."""
    monkeypatch.setattr(site, "examine", lambda runtime, level: Report(level=level, checks=()))


def test_every_group_is_told_and_no_name_twice_in_one() -> None:
    report = examine_site(Request())
    assert report.level is Level.USERNS
    assert list(dict.fromkeys(check.group for check in report.checks)) == list(Group)
    names = [(check.group, check.name) for check in report.checks]
    assert len(names) == len(set(names))
    assert all(check.ok or check.remedy for check in report.checks)
    assert not any(check.ok and check.remedy for check in report.checks)


def test_a_look_that_fails_is_told_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Sequence[Check]:
        raise OSError(5, "Input/output error")

    quick(monkeypatch)
    monkeypatch.setattr(site, "look_at_disk", fails)
    report = examine_site(Request())
    (check,) = [check for check in report.checks if check.group is Group.DISK]
    assert "Input/output error" in check.detail
    assert {check.group for check in report.checks} > {Group.JOB, Group.SHARED_FOLDER}
    assert report.missing == []


def test_an_image_that_cannot_be_run_is_required_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither apptainer nor enroot
    report = examine_site(Request(image=str(tmp_path)))
    assert report.level is None
    assert [check.name for check in report.missing] == ["apptainer", "image"]
    assert {check.group for check in report.checks} == set(Group)
    assert [bool(check.remedy) for check in report.missing] == [True, False]  # the one follows from the other


def test_an_image_that_is_not_there_is_told_once_all_looks_have_cleaned_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = threading.Event()

    def is_slow() -> Sequence[Check]:
        time.sleep(0.5)
        cleaned.set()
        return ()

    monkeypatch.setattr(site, "look_at_disk", is_slow)
    with pytest.raises(ContainerError, match="no image"):
        examine_site(Request(image="/no/such.sif"))
    assert cleaned.is_set()


def test_in_a_job_the_job_is_told_as_json(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir(mode=0o755)
    job = {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1", "SLURM_MEM_PER_NODE": "2000"}
    done = call("--json", "--dir", folder, **job)
    report = json.loads(done.stdout)
    checks = {(check["group"], check["name"]): check for check in report["checks"]}
    assert (done.returncode, report["ok"], report["level"]) == (1, False, "userns")
    assert "1 (SLURM_CPUS_ON_NODE)" in checks["job", "cpus"]["detail"]
    assert checks["shared folder", "folder"]["required"]
    assert not checks["shared folder", "folder"]["ok"]
    folder.chmod(0o700)
    assert call("--json", "--dir", folder).returncode == 0


def test_a_command_that_never_answers_ends_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "scontrol"
    hangs.write_text("#!/bin/sh\nexec sleep 20\n")
    hangs.chmod(0o755)
    quick(monkeypatch)
    monkeypatch.setattr(site, "_PATIENCE_S", 1.0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    (check,) = [check for check in examine_site(Request()).checks if check.name == "job"]
    assert "no answer within 1 s" in check.detail


def test_a_slot_that_never_starts_is_told_as_required(monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()

    def hangs(runtime: object, level: Level) -> Report:
        forever.wait()
        raise AssertionError

    monkeypatch.setattr(site, "examine", hangs)
    monkeypatch.setattr(site, "_SLOT_S", 0.5)
    report = examine_site(Request())
    forever.set()
    assert report.level is None
    assert [check.name for check in report.missing] == ["slot"]


def test_a_slot_that_does_not_start_for_want_of_stack_is_told_by_the_limit() -> None:
    command = f'ulimit -Hs 8192; exec "{sys.executable}" -m sandbox.cli doctor --json'
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert not checks["slot"]["ok"]
    assert checks["slot"]["remedy"] == checks["level landlock"]["remedy"] == ""
    assert "`ulimit -Hs 114688`" in checks["ulimit stack"]["remedy"]
