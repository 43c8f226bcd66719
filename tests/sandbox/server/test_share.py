from hypothesis import given
from hypothesis import strategies as st

from sandbox.server.share import Share

CAPACITY = 1000
# A client asks for so much, or (negative) gives so much of what it holds back.
STEPS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-300, 600)), max_size=60)


def held_after(share: Share, steps: list[tuple[str, int]]) -> dict[str, int]:
    held: dict[str, int] = {}
    for client, amount in steps:
        if amount < 0:
            back = min(-amount, held.get(client, 0))
            share.give_back(client, back)
            held[client] = held.get(client, 0) - back
        elif share.take(client, amount):
            held[client] = held.get(client, 0) + amount
    return held


@given(STEPS)
def test_clients_never_hold_more_than_there_is(steps: list[tuple[str, int]]) -> None:
    share = Share(CAPACITY)
    held = held_after(share, steps)
    assert share.total == sum(held.values()) <= CAPACITY


@given(STEPS)
def test_there_is_always_room_for_a_newcomer(steps: list[tuple[str, int]]) -> None:
    share = Share(CAPACITY)
    held = held_after(share, steps)
    busy = sum(amount > 0 for amount in held.values())
    assert share.take("newcomer", (CAPACITY - share.total) // 2)
    assert CAPACITY - sum(held.values()) >= CAPACITY // 2**busy // 2


@given(STEPS)
def test_what_is_given_back_leaves_nothing(steps: list[tuple[str, int]]) -> None:
    share = Share(CAPACITY)
    for client, amount in held_after(share, steps).items():
        share.give_back(client, amount)
    assert share.total == 0
    assert not share._held


def test_one_client_alone_gets_half() -> None:
    share = Share(CAPACITY)
    assert share.could_ever_fit(500)
    assert not share.could_ever_fit(501)
    assert not share.take("a", 501)
    assert share.take("a", 500)
    assert not share.take("a", 1)
    assert share.take("b", 250)
