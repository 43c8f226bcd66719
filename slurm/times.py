"""Time limits as Slurm writes them."""

from __future__ import annotations

import re

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")


def seconds(text: str) -> int:
    """A duration: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes and so on.

    Source: sbatch(1), --time. 0 stands for no limit there.

    Raises:
        ValueError: it is none of these.
    """
    matched = _TIME.fullmatch(text)
    if matched is None:
        raise ValueError(f"{text!r} is no time: write minutes, hours:minutes:seconds, or days-hours")
    parts = [int(part) for part in matched["clock"].split(":")]
    if matched["days"] is not None or len(parts) == 3:
        hours, minutes, rest = (*parts, 0, 0)[:3]
    else:
        hours, minutes, rest = 0, *(*parts, 0)[:2]
    return ((int(matched["days"] or 0) * 24 + hours) * 60 + minutes) * 60 + rest
