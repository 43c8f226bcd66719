from concurrent.futures import CancelledError, Future

import pytest

from sandbox.futures import then


def test_a_converted_future_can_be_cancelled_until_its_source_runs() -> None:
    waiting: Future[int] = Future()
    assert then(waiting, str).cancel()
    assert waiting.cancelled()
    running: Future[int] = Future()
    target = then(running, str)
    running.set_running_or_notify_cancel()
    assert not target.cancel()
    running.set_result(1)
    assert target.result() == "1"


def test_a_cancelled_source_cancels_what_it_would_have_been_converted_to() -> None:
    source: Future[int] = Future()
    target = then(source, str)
    source.cancel()
    assert target.cancelled()
    with pytest.raises(CancelledError):
        target.result(1)
