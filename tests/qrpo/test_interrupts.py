import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from qrpo.interrupts import MESSAGE, Interrupts


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    found = Interrupts()
    found.install()
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_inside_work(interrupts: Interrupts, number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.raising():
        signal.raise_signal(number)
    assert interrupts.requested


def test_a_deferred_signal_waits_for_the_end_of_the_block(interrupts: Interrupts) -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), interrupts.raising(), interrupts.deferred("one moment"):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached


def test_a_signal_that_python_swallowed_is_raised_on_leaving(interrupts: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.raising():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass  # as inside a destructor


def test_a_signal_that_became_another_error_is_still_an_interrupt(interrupts: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.raising():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("half a module") from error


def test_a_signal_that_another_process_had_before_is_no_second_one(interrupts: Interrupts) -> None:
    """However late it comes: this one may be writing what both are to leave."""
    reached = False
    with pytest.raises(KeyboardInterrupt), interrupts.raising(), interrupts.deferred("one moment"):  # noqa: PT012
        interrupts.request()
        signal.raise_signal(signal.SIGTERM)
        reached = True
    assert reached


def test_a_signal_that_another_process_had_before_does_not_break_into_what_ends(interrupts: Interrupts) -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), interrupts.raising():  # noqa: PT012
        interrupts.request()
        signal.raise_signal(signal.SIGTERM)
        reached = True
    assert reached


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("with i.deferred(''):\n    i.request()\n    send(2)\n    print('wait', file=sys.stderr)\n    send(2)", 130),
        ("send(15)", 143),  # before any work: nothing to close
        ("with i.deferred('wait'):\n    send(2)\n    send(2)", 130),
    ],
)
def test_a_signal_before_work_or_a_second_one_ends_the_process_without_a_traceback(body: str, status: int) -> None:
    code = (
        "import sys\nfrom signal import raise_signal as send\nfrom qrpo.interrupts import Interrupts\n"
        f"i = Interrupts()\ni.install()\n{body}\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == status
    assert "alive" not in done.stdout
    assert "Traceback" not in done.stderr
    assert MESSAGE in done.stderr or "wait" in done.stderr
