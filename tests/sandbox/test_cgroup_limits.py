import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cgroup_limits import cpu_bounds, groups_of, memory_bounds, quota, size

MIB = 1 << 20
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_CPU = "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
V1_MEMORY = "32 23 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
UNIFIED = "33 23 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
JOB = "/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0"


def lay_out(root: Path, files: dict[str, str]) -> Path:
    """Files below a folder's /sys/fs/cgroup."""
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def amounts(bounds: list[tuple[float, str]]) -> list[float]:
    return [amount for amount, _ in bounds]


def test_version_2_limits_hold_that_are_set_on_groups_above(tmp_path: Path) -> None:
    job = Path(JOB).parents[2]
    root = lay_out(
        tmp_path,
        {
            f"{JOB}/memory.max": "max",
            f"{JOB}/cpu.max": "max 100000",
            f"{job}/memory.max": str(900 * MIB),
            f"{job}/memory.high": str(800 * MIB),
            f"{job}/cpu.max": "250000 100000",
            "/system.slice/cpu.max": "400000 100000",
        },
    )
    assert cpu_bounds(root, f"0::{JOB}\n", V2) == [
        (2.5, f"/sys/fs/cgroup{job}/cpu.max"),
        (4.0, "/sys/fs/cgroup/system.slice/cpu.max"),
    ]
    assert memory_bounds(root, f"0::{JOB}\n", V2) == [
        (900 * MIB, f"/sys/fs/cgroup{job}/memory.max"),
        (800 * MIB, f"/sys/fs/cgroup{job}/memory.high"),
    ]


def test_in_a_cgroup_namespace_the_own_group_is_the_root(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"/memory.max": str(64 * MIB), "/cpu.max": "50000 100000"})
    assert amounts(memory_bounds(root, "0::/\n", V2)) == [64 * MIB]
    assert amounts(cpu_bounds(root, "0::/\n", V2)) == [0.5]


def test_in_version_1_each_controller_has_a_group_of_its_own(tmp_path: Path) -> None:
    files = {
        "memory/slurm/uid_1000/job_7/memory.limit_in_bytes": str(512 * MIB),
        "memory/slurm/memory.limit_in_bytes": "9223372036854771712",
        "cpu,cpuacct/other/cpu.cfs_quota_us": "300000",
        "cpu,cpuacct/other/cpu.cfs_period_us": "100000",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/other/memory.limit_in_bytes": str(MIB),
    }
    root = lay_out(tmp_path, files)
    cgroup = "9:name=systemd:/x\n4:memory:/slurm/uid_1000/job_7/step_0\n3:cpu,cpuacct:/other\n"
    mountinfo = V1_CPU + V1_MEMORY
    assert amounts(memory_bounds(root, cgroup, mountinfo)) == [512 * MIB]
    assert amounts(cpu_bounds(root, cgroup, mountinfo)) == [3.0]


def test_on_a_hybrid_host_both_versions_count(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"memory/a/memory.limit_in_bytes": "70", "unified/b/memory.max": "60"})
    assert amounts(memory_bounds(root, "4:memory:/a\n0::/b\n", V1_MEMORY + UNIFIED)) == [70, 60]


def test_a_mount_of_part_of_a_hierarchy_is_looked_up_below_that_part(tmp_path: Path) -> None:
    mounted = V1_MEMORY.replace(" / /sys", " /docker/abc /sys")
    root = lay_out(tmp_path, {"memory/memory.limit_in_bytes": "80", "memory/x/memory.limit_in_bytes": "50"})
    assert amounts(memory_bounds(root, "4:memory:/docker/abc/x\n", mounted)) == [50, 80]
    assert amounts(memory_bounds(root, "4:memory:/docker/abc\n", mounted)) == [80]


@pytest.mark.parametrize(("group", "shown"), [("/elsewhere", "/own"), ("/../sibling", "/")])
def test_a_group_that_no_mount_shows_is_taken_for_what_is_mounted(tmp_path: Path, group: str, shown: str) -> None:
    root = lay_out(tmp_path, {"memory.max": "80", "../sibling/memory.max": "5"})
    assert amounts(memory_bounds(root, f"0::{group}\n", V2.replace(" / /sys", f" {shown} /sys"))) == [80]


def test_a_mount_point_with_a_space_is_found() -> None:
    (found,) = groups_of("memory", "0::/a\n", V2.replace("/sys/fs/cgroup", "/sys/fs/c\\040g"))
    assert [str(folder) for folder in found.folders] == ["/sys/fs/c g/a", "/sys/fs/c g"]


def test_what_is_not_there_bounds_nothing(tmp_path: Path) -> None:
    assert cpu_bounds(tmp_path, f"0::{JOB}\n", V2) == []
    assert memory_bounds(tmp_path, "", "") == []


@given(cpus=st.integers(1, 10**6), period=st.integers(1, 10**6))
def test_a_quota_is_read_as_it_was_written(cpus: int, period: int) -> None:
    assert quota(f"{cpus * period} {period}\n") == cpus


@pytest.mark.parametrize("text", ["max 100000", "-1 100000", "", "100000", "5 0", "x y", "1 2 3"])
def test_what_is_no_quota_bounds_nothing(text: str) -> None:
    assert quota(text) is None


@given(st.text())
def test_any_text_is_a_size_or_none(text: str) -> None:
    found = size(text)
    assert found is None or re.fullmatch(r"[0-9]+", text.strip())


@given(cgroup=st.text(), mountinfo=st.text())
def test_any_text_bounds_nothing_or_something_but_never_fails(cgroup: str, mountinfo: str) -> None:
    for prefix in ("", "0::/", "1:memory:/"):
        for head in ("", V2, "1 2 3 / / x - cgroup c "):
            groups_of("memory", prefix + cgroup, head + mountinfo)


def test_what_is_mounted_with_an_option_called_like_a_controller_is_no_hierarchy() -> None:
    other = "34 23 0:30 / /mnt rw - tmpfs tmpfs rw,memory\n"
    assert groups_of("memory", "5:memory:/\n", other) == []
