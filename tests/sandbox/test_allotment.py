import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Sandbox
from sandbox.allotment import allotment, read, total_memory
from sandbox.limits import MIB, Limits

MEMINFO = "MemTotal:       16384000 kB\nMemFree:         8000000 kB\n"
TOTAL = 16384000 * 1024
MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root with 15.6 GiB of memory and one control group, /job."""
    folder = tmp_path / "proc/self"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text("0::/job\n")
    (folder / "mountinfo").write_text(MOUNTS)
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "sys/fs/cgroup/job").mkdir(parents=True)
    return tmp_path


def test_without_limits_it_is_the_affinity_and_the_machines_memory(machine: Path) -> None:
    found = read(machine, {}, 4)
    assert (found.cpus, found.memory_bytes, found.workers, found.why_fewer) == (4, TOTAL, 4, "")


def test_the_least_of_all_bounds_counts(machine: Path) -> None:
    (machine / "sys/fs/cgroup/job/cpu.max").write_text("350000 100000\n")
    (machine / "sys/fs/cgroup/job/memory.max").write_text(str(2500 * MIB))
    found = read(machine, {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "6", "SLURM_MEM_PER_NODE": "3000"}, 8)
    assert (found.cpus, found.memory_bytes, found.workers) == (3, 2500 * MIB, 2)
    assert found.why_fewer == "for 3 CPUs memory is short: 2.44 GiB by /sys/fs/cgroup/job/memory.max"


def test_half_a_cpu_and_little_memory_are_one_worker(machine: Path) -> None:
    (machine / "sys/fs/cgroup/job/cpu.max").write_text("50000 100000\n")
    (machine / "sys/fs/cgroup/job/memory.max").write_text(str(100 * MIB))
    found = read(machine, {}, 8)
    assert (found.cpus, found.workers) == (1, 1)
    assert found.why_fewer == "for 1 CPUs memory is short: 0.0977 GiB by /sys/fs/cgroup/job/memory.max"


def test_a_batch_script_has_the_whole_jobs_cpus_on_its_node(machine: Path) -> None:
    environment = {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}
    assert read(machine, environment, 64).cpus == 8


def test_a_task_of_a_step_has_its_own_cpus(machine: Path) -> None:
    environment = {
        "SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2",
    }  # fmt: skip
    assert read(machine, environment, 64).cpus == 2


def test_what_a_task_is_bound_to_holds_whatever_slurm_says(machine: Path) -> None:
    assert read(machine, {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "8"}, 3).cpus == 3


def test_memory_per_cpu_counts_for_all_cpus_of_the_job_on_the_node(machine: Path) -> None:
    environment = {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_CPU": "1500"}
    assert read(machine, environment, 2).memory_bytes == 6000 * MIB


def test_memory_of_0_is_all_of_the_node(machine: Path) -> None:
    assert read(machine, {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "0"}, 2).memory_bytes == TOTAL


def test_variables_of_slurm_mean_nothing_outside_a_job(machine: Path) -> None:
    environment = {"SLURM_CPUS_ON_NODE": "1", "SLURM_MEM_PER_NODE": "1"}
    assert read(machine, environment, 4).workers == 4


def test_a_root_with_nothing_in_it_leaves_the_affinity(tmp_path: Path) -> None:
    found = read(tmp_path, {}, 4)
    assert (found.cpus, found.memory_bytes, found.workers) == (4, None, 4)


@given(st.dictionaries(st.sampled_from(["SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK",
    "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"]), st.text()), st.integers(1, 1024))  # fmt: skip
def test_whatever_variables_hold_there_is_a_worker_and_none_beyond_the_cpus(
    environment: dict[str, str], affinity: int
) -> None:
    found = read(Path("/nonexistent"), environment, affinity)
    assert 1 <= found.workers <= found.cpus <= affinity


def test_total_memory_of_other_text_is_not_known() -> None:
    assert total_memory("MemTotal: much\n") is None


def test_this_process_is_told_of_the_real_machine() -> None:
    found = allotment()
    assert 1 <= found.cpus <= len(os.sched_getaffinity(0))
    assert found.memory_bytes is not None
    assert found.memory_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_sandbox_has_no_more_slots_than_its_jobs_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", str(Limits().memory_bytes * 3 // 2 // MIB))
    with Sandbox() as box:
        assert box.workers == 1
    with Sandbox(workers=2) as box:
        assert box.workers == 2


def test_a_mount_point_whose_name_is_no_utf_8_bounds_nothing(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_bytes(b"36 35 98:0 / /caf\xe9 rw - ext3 /dev/root rw\n")
    assert read(tmp_path, {}, 3).cpus == 3
