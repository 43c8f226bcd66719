import gc
import threading
from concurrent.futures import CancelledError, Future
from weakref import ref

import pytest

from sandbox.futures import as_completed, then


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


def test_a_batch_can_be_given_up_while_its_results_are_waited_for() -> None:
    futures: list[Future[int]] = [Future(), Future(), Future()]
    results = as_completed((then(future, int) for future in futures), most=10)
    found: list[tuple[int, int]] = []
    reader = threading.Thread(target=lambda: found.extend(results), daemon=True)
    reader.start()
    futures[0].set_result(7)
    results.stop()
    reader.join(10)
    assert not reader.is_alive()
    assert found in ([], [(0, 7)])
    assert all(future.done() for future in futures)


def test_a_batch_given_up_before_its_first_result_has_none() -> None:
    future: Future[int] = Future()
    results = as_completed([then(future, int)], most=10)
    results.stop()
    assert list(results) == []
    assert future.cancelled()


def test_a_batch_of_which_one_was_cancelled_elsewhere_fails() -> None:
    future: Future[int] = Future()
    future.cancel()
    with pytest.raises(CancelledError):
        list(as_completed([then(future, int)], most=10))


def test_what_was_converted_is_gone_with_its_future() -> None:
    class Result: ...

    source: Future[int] = Future()
    target = then(source, lambda _: Result())
    source.set_result(1)
    result = ref(target.result())
    gc.disable()  # large results must not wait for it
    try:
        del source, target
        assert result() is None
    finally:
        gc.enable()
