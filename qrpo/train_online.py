"""Online QRPO as a command: `python -m qrpo.train_online [--config FILE] [--iterations N] [--any-option value]`.

Takes the options of `qrpo.train_code` and those of `qrpo.online_options.OnlineConfig`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qrpo.processes import leave
from qrpo.train_code import as_command

if TYPE_CHECKING:
    from qrpo.display import Display
    from qrpo.interrupts import Interrupts


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    return as_command(_work, argv)


def _work(arguments: Sequence[str], display: Display, interrupts: Interrupts) -> None:
    from qrpo import processes
    from qrpo.config import parse_with
    from qrpo.online import train_online
    from qrpo.online_options import OnlineConfig

    processes.refuse_several("online training")
    parsed = parse_with(
        arguments,
        OnlineConfig,
        prog="python -m qrpo.train_online",
        description="Sample with the current policy, judge, train by QRPO, and again; then evaluate and report.",
    )
    (online,) = parsed.more
    assert isinstance(online, OnlineConfig)
    train_online(parsed.config, online, display, interrupts)


if __name__ == "__main__":
    leave(main())
