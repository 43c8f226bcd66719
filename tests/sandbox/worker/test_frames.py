import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.worker.frames import FrameError, receive_frame, sealed_memory, send_frame

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("size", [0, 1, 3, 4, 65_531, 65_532, 65_535, 65_536, 300_000, 5_000_000])
def test_frames_of_any_size_arrive_whole(pair: Pair, size: int) -> None:
    data = os.urandom(min(size, 4096)) * (size // 4096 + 1)
    data = data[:size]
    thread = threading.Thread(target=send_frame, args=(pair[0], data))
    thread.start()
    assert receive_frame(pair[1]) == data
    thread.join()


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_frames_arrive_in_order(frames: list[bytes]) -> None:
    one, other = socket.socketpair()
    with one, other:
        for frame in frames:
            send_frame(one, frame)
            assert receive_frame(other) == frame
        one.close()
        assert receive_frame(other) is None


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 9])
def test_a_peer_that_closes_in_the_middle_is_an_error(pair: Pair, cut: int) -> None:
    pair[0].sendall((struct.pack("=I", 10) + b"0123456789")[:cut])
    pair[0].close()
    with pytest.raises(FrameError, match="in the middle"):
        receive_frame(pair[1])


def test_a_frame_larger_than_allowed_is_refused_before_it_is_read(pair: Pair) -> None:
    pair[0].sendall(struct.pack("=I", 1001) + b"x")
    with pytest.raises(FrameError, match="announces 1001 bytes; at most 1000"):
        receive_frame(pair[1], 1000)


def test_bytes_after_a_frame_are_an_error(pair: Pair) -> None:
    pair[0].sendall(struct.pack("=I", 1) + b"ab")
    with pytest.raises(FrameError, match="follow"):
        receive_frame(pair[1])


def test_a_frame_in_single_bytes_arrives(pair: Pair) -> None:
    def trickle() -> None:
        for byte in struct.pack("=I", 3) + b"abc":
            pair[0].sendall(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    assert receive_frame(pair[1]) == b"abc"
    thread.join()


class WaitedError(Exception):
    """Raised in the place of a wait that would never end."""


def raise_waited(_event: int) -> None:
    raise WaitedError


@pytest.mark.parametrize("beginning", [b"\x05", b"\x05\0\0\0", b"\x05\0\0\0abc"])
def test_the_receiver_waits_for_the_rest_as_it_is_told(pair: Pair, beginning: bytes) -> None:
    pair[0].sendall(beginning)
    with pytest.raises(WaitedError):
        receive_frame(pair[1], 100, raise_waited)


@pytest.mark.parametrize("size", [60_000, 10_000_000])
def test_the_sender_waits_for_a_peer_that_does_not_read_as_it_is_told(pair: Pair, size: int) -> None:
    def send_many() -> None:
        for _ in range(100):
            send_frame(pair[0], b"x" * size, raise_waited)

    with pytest.raises(WaitedError):
        send_many()


def test_nothing_to_read_is_waited_for_as_it_is_told(pair: Pair) -> None:
    with pytest.raises(WaitedError):
        receive_frame(pair[1], 100, raise_waited)


def test_a_byte_out_of_band_blocks_nobody(pair: Pair) -> None:
    """Such a byte makes a socket readable that has nothing to read."""
    try:
        pair[0].send(b"!", socket.MSG_OOB)
    except OSError:
        pytest.skip("this kernel has no out-of-band data on local sockets")
    with pytest.raises(WaitedError):
        receive_frame(pair[1], 100, raise_waited)


def test_a_large_frame_crosses_while_both_sides_wait(pair: Pair) -> None:
    def wait_for(sock: socket.socket) -> Callable[[int], None]:
        poller = select.poll()
        poller.register(sock)

        def wait(event: int) -> None:
            poller.modify(sock, event)
            assert poller.poll(30_000)

        return wait

    data = os.urandom(3_000_000)
    sender = threading.Thread(target=send_frame, args=(pair[0], data, wait_for(pair[0])))
    sender.start()
    assert receive_frame(pair[1], len(data), wait_for(pair[1])) == data
    sender.join()


def test_there_is_no_wait_where_none_is_needed(pair: Pair) -> None:
    send_frame(pair[0], b"x" * 1000, raise_waited)
    assert receive_frame(pair[1], 1000, raise_waited) == b"x" * 1000


def test_sealed_memory_is_read_from_its_start_and_never_changes() -> None:
    descriptor = sealed_memory("test", b"hello")
    try:
        assert os.read(descriptor, 100) == b"hello"
        for change in (
            lambda: os.write(descriptor, b"x"),
            lambda: os.ftruncate(descriptor, 0),
            lambda: os.ftruncate(descriptor, 10),
        ):
            with pytest.raises(PermissionError):
                change()
        assert os.pread(descriptor, 100, 0) == b"hello"
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_sealed_memory_can_be_empty_or_large() -> None:
    for data in (b"", b"x" * 3_000_000):
        descriptor = sealed_memory("test", data)
        assert os.fstat(descriptor).st_size == len(data)
        os.close(descriptor)
