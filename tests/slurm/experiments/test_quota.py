"""What quota(1) and lfs-quota(1) say.

The texts have the forms that quota-tools 4.06 and Lustre 2.15 print.
"""

from pathlib import Path

import pytest

from slurm.experiments.quota import Room, parsed, quota_at

NONE = "Disk quotas for user me (uid 1000): none\n"
QUOTA = """Disk quotas for user me (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
      /dev/sdb1  10240  20480  40960       0     100   200     0       0
"""
OVER = QUOTA.replace(" 10240  20480", " 30720*  20480").replace(" 40960       0", " 40960       1700000000")
LUSTRE = "        /scratch 1048576  0  2097152       -   1000       0    5000       -\n"
LONG = "/a/mount/of/a/long/name\n                1048576  0  2097152       -   1000       0    5000       -\n"


@pytest.mark.parametrize(
    ("text", "room"),
    [
        ("", Room(None, None)),
        (NONE, Room(None, None)),
        (QUOTA, Room(10240 * 1024, 100)),
        (OVER, Room(0, 100)),
        (LUSTRE, Room(1048576 * 1024, 4000)),
        (LONG, Room(1048576 * 1024, 4000)),
        (LUSTRE.replace("2097152", "0").replace("5000", "0"), Room(None, None)),
        (LUSTRE + "uid 1000 is using default block quota setting\n", Room(1048576 * 1024, 4000)),
    ],
)
def test_what_is_left_is_the_nearest_limit_less_what_is_used(text: str, room: Room) -> None:
    assert parsed(text) == room


def test_where_there_is_no_quota_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert quota_at(tmp_path) == Room(None, None)
