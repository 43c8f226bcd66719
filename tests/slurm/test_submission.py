"""Time limits in the forms that sbatch takes."""

import pytest

from slurm.errors import FleetError
from slurm.submission import Needs, minutes


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("30", 30),
        ("30:00", 30),
        ("30:01", 31),
        ("04:00:00", 240),
        ("00:00:30", 1),
        ("2-0", 2880),
        ("1-02", 1560),
        ("1-02:30", 1590),
        ("1-02:30:01", 1591),
    ],
)
def test_a_time_limit_in_minutes(time: str, expected: int) -> None:
    assert minutes(time) == expected


@pytest.mark.parametrize("time", ["", "soon", "1-", "1:2:3:4", "-1", "1.5"])
def test_what_is_no_time_is_said_before_anything_is_submitted(time: str) -> None:
    with pytest.raises(FleetError, match="--time"):
        Needs(time=time)
