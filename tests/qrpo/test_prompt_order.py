"""Rows of a prompt follow each other."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from qrpo.prompt_order import PromptSampler

PROMPTS = st.lists(st.integers(0, 4), max_size=20)


@given(prompts=PROMPTS, seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_each_row_comes_once_and_beside_those_of_its_prompt(prompts: list[int], seed: int, epoch: int) -> None:
    sampler = PromptSampler(prompts, seed, lambda: epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(prompts)))
    assert len(sampler) == len(order)
    assert len([*groupby(prompts[row] for row in order)]) == len(set(prompts))


def test_epochs_and_seeds_have_orders_of_their_own_that_come_again() -> None:
    prompts = [number // 4 for number in range(40)]

    def order(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(PromptSampler(prompts, seed, lambda: epoch))

    assert order(1, 2) == order(1, 2)
    assert len({order(0, 0), order(0, 1), order(1, 0), tuple(range(40))}) == 4
    assert any(list(group) != sorted(group) for group in (order(0, 0)[start : start + 4] for start in range(0, 40, 4)))
