import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qrpo import inversion
from qrpo.inversion import nucleus, pick

GRID = 4096
LOGITS = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=7)  # integers: ties are common
TOP_P = st.floats(0.02, 0.999)


def truncated(probabilities: list[float], top_p: float) -> list[float]:
    """The renormalised nucleus, by adding the likeliest tokens one by one."""
    kept: set[int] = set()
    order = sorted(range(len(probabilities)), key=lambda token: -probabilities[token])
    for token in order:
        if sum(probabilities[other] for other in kept) >= top_p * sum(probabilities) - 1e-12:
            break
        kept.add(token)
    total = sum(probabilities[token] for token in kept)
    return [value / total if token in kept else 0.0 for token, value in enumerate(probabilities)]


@given(LOGITS, TOP_P, st.sampled_from([0.6, 1.0, 1.7]))
def test_drawn_tokens_have_the_renormalised_distribution_of_the_nucleus(
    values: list[float], top_p: float, temperature: float
) -> None:
    """Every draw of a grid is inverted: total variation is at most half a step of the grid per token's two edges."""
    logits = torch.tensor([values])
    wanted = truncated(torch.softmax(logits / temperature, -1)[0].double().tolist(), top_p)
    draws = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    tokens = pick(logits.expand(GRID, -1), draws, temperature=temperature, top_p=top_p)
    found = torch.bincount(tokens, minlength=len(values)).double() / GRID
    distance = (found - torch.tensor(wanted, dtype=torch.float64)).abs().sum().item() / 2
    assert distance <= len(values) / GRID + 1e-6


@given(LOGITS, TOP_P)
def test_the_nucleus_reaches_top_p_and_would_not_without_its_least_likely_token(
    values: list[float], top_p: float
) -> None:
    probabilities = torch.softmax(torch.tensor([values]), -1)
    kept = nucleus(probabilities, top_p)[0].double()
    total = probabilities.double().sum()
    assert kept.sum() >= top_p * total - 1e-12
    assert kept.sum() - kept[kept > 0].min() < top_p * total
    assert torch.equal(kept[kept > 0], probabilities[0].double()[kept > 0])


def test_among_equals_the_first_tokens_are_kept_whatever_else_is_in_the_batch() -> None:
    flat, steep = torch.full((1000,), 1e-3), torch.eye(1000)[3]
    alone = nucleus(flat[None], 0.2505)
    together = nucleus(torch.stack([steep, flat]), 0.2505)  # the batch is not sorted the same way
    assert alone[0].nonzero().squeeze(1).tolist() == list(range(251))
    assert torch.equal(alone[0], together[1])
    assert torch.equal(together[0], steep)


def test_a_nucleus_larger_than_the_first_look_is_found() -> None:
    probabilities = torch.softmax(torch.arange(3000) / 1000, -1)[None]
    kept = nucleus(probabilities, 0.9)
    assert 0.9 <= kept.sum() < 0.9 + 2 * probabilities.max()


@pytest.mark.parametrize(("draw", "token"), [(0.0, 1), (1 - 2.0**-53, 2)])
def test_the_ends_of_the_draws_are_tokens_that_are_possible(draw: float, token: int) -> None:
    """Tokens 0 and 3 have no probability, and float32 has no number between 1 - 2^-53 and 1."""
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
    for top_p in (1.0, 0.99):
        assert pick(logits, torch.tensor([draw], dtype=torch.float64), temperature=1.0, top_p=top_p).tolist() == [token]


def test_a_nucleus_is_a_share_of_the_sum_whatever_that_is() -> None:
    weights = torch.tensor([[5.0, 3.0, 1.0, 1.0]])
    assert nucleus(weights, 0.75).tolist() == [[5.0, 3.0, 0.0, 0.0]]


def test_a_top_p_of_1_changes_no_token() -> None:
    logits = torch.randn(64, 50, generator=torch.Generator().manual_seed(0))
    draw = torch.rand(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    cumulative = torch.softmax(logits, -1).cumsum(-1)
    expected = torch.searchsorted(cumulative, draw.float()[:, None] * cumulative[:, -1:], right=True).squeeze(1)
    assert torch.equal(pick(logits, draw, temperature=1.0, top_p=1.0), expected)


def test_a_top_p_of_1_does_not_look_for_a_nucleus(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs more than drawing, and sums in another order could leave the least likely token out."""
    monkeypatch.delattr(inversion, "nucleus")
    assert pick(torch.zeros(1, 4), torch.tensor([0.9]), temperature=1.0).tolist() == [3]
    with pytest.raises(NameError):
        pick(torch.zeros(1, 4), torch.tensor([0.9]), temperature=1.0, top_p=0.999)


def test_a_small_top_p_is_greedy() -> None:
    logits = torch.randn(64, 50, generator=torch.Generator().manual_seed(0))
    draw = torch.rand(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.equal(pick(logits, draw, temperature=1.0, top_p=1e-6), logits.argmax(-1))
