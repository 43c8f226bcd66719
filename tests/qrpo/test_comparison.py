import math

import pytest

from qrpo.comparison import by_seed, compare, kl_estimates, length_bias, metrics
from qrpo.records import Completion, KlRow, ScoredRollout


def rollout(verdicts: list[str], rewards: list[float]) -> ScoredRollout:
    reasons = ["stop" if verdict == "AC" else "length" for verdict in verdicts]
    completions = [
        Completion(text="", token_ids=tuple(range(place + 1)), finish_reason=reason)  # type: ignore[arg-type]
        for place, reason in enumerate(reasons)
    ]
    return ScoredRollout(
        problem_id="p", prompt=(), prompt_ids=(1,), completions=tuple(completions), rewards=tuple(rewards),
        verdicts=tuple(verdicts),
    )  # fmt: skip


def test_metrics_of_one_problem() -> None:
    """AC, WA, CE, NO_CODE: 1 of 4 passes, so pass@2 = 1 - C(3,2)/C(4,2) = 1/2; lengths are 1, 2, 3 and 4 tokens."""
    item = rollout(["AC", "WA", "CE", "NO_CODE"], [1.0, 0.5, 0.0, 0.0])
    found = {name: metric(item) for name, metric in metrics(2).items()}
    assert found == {
        "pass_fraction": 0.375,
        "pass_at_1": 0.25,
        "pass_at_2": pytest.approx(0.5),
        "compile_rate": 0.5,
        "extraction_rate": 0.75,
        "stop_rate": 0.25,
        "tokens": 2.5,
    }


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    found = compare([[0.1], [0.5], [0.3]], [[0.3], [0.7], [0.5]], resamplings=100, seed=0)
    assert found.diff == pytest.approx(0.2)
    assert found.diff_low == pytest.approx(0.2)
    assert found.diff_high == pytest.approx(0.2)
    assert (found.before, found.after) == (pytest.approx(0.3), pytest.approx(0.5))


def test_problems_are_paired() -> None:
    """Values far apart between problems and alike within each: the interval is that of the small differences."""
    before = [[float(n)] for n in range(50)]
    after = [[value + 1 + (-1) ** place * 0.1] for place, [value] in enumerate(before)]
    found = compare(before, after, resamplings=1000, seed=0)
    assert 0.9 < found.diff_low < found.diff < found.diff_high < 1.1


@pytest.mark.parametrize(("before", "after"), [([], []), ([[1.0]], [[1.0], [2.0]]), ([[1.0]], [[1.0, 2.0]])])
def test_sides_that_do_not_match_are_refused(before: list[list[float]], after: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="must be as many"):
        compare(before, after, resamplings=10, seed=0)


def test_kl_of_two_tokens_by_hand() -> None:
    """ln(pi/ref) = 0.5 and -0.25: k1 = 0.25; k3 = (e^-0.5 - 1 + 0.5) + (e^0.25 - 1 - 0.25) = 0.106531 + 0.034025."""
    row = KlRow(problem_id="p", index=0, logps=(-1.0, -2.25), ref_logps=(-1.5, -2.0))
    found = kl_estimates([row])
    assert found["k1"] == pytest.approx(0.25)
    assert found["k3"] == pytest.approx(0.140556, abs=1e-6)
    assert found["k1_per_token"] == pytest.approx(0.125)
    assert found["k3_per_token"] == pytest.approx(0.070278, abs=1e-6)


def test_kl_stays_finite_for_a_token_that_the_reference_cannot_produce() -> None:
    row = KlRow(problem_id="p", index=0, logps=(-800.0,), ref_logps=(0.0,))
    assert math.isfinite(kl_estimates([row])["k3"])


def test_the_kl_over_no_completions_is_an_error() -> None:
    with pytest.raises(ValueError, match="no completions"):
        kl_estimates([])


def test_sampling_seeds_are_averaged_within_problems_and_told_apart_beside() -> None:
    """Two seeds of 2 completions: a passes 1/2 and 2/2, b 0/2 and 1/2; seed means 1/4 and 3/4, std sqrt(1/8)."""
    a = rollout(["AC", "WA", "AC", "AC"], [1.0, 0.0, 1.0, 1.0])
    b = rollout(["WA", "WA", "WA", "AC"], [0.0, 0.0, 0.0, 1.0])
    values = by_seed([a, b], metrics(2)["pass_at_1"], 2)
    assert values.tolist() == [[0.5, 1.0], [0.0, 0.5]]
    assert by_seed([a], metrics(2)["pass_at_2"], 2).tolist() == [[1.0, 1.0]]
    found = compare(values - values, values, resamplings=200, seed=0)
    assert found.after_seeds.means == [0.25, 0.75]
    assert found.after_seeds.std == pytest.approx(0.5 * 0.5**0.5)
    assert (found.diff_low, found.diff_high) == (0.25, 0.75)  # the two problems' means


def test_one_sampling_seed_has_no_spread() -> None:
    assert compare([[0.0]], [[1.0]], resamplings=10, seed=0).after_seeds.std is None


def test_length_bias_is_of_ranks_and_within_problems_free_of_their_difficulty() -> None:
    """Lengths are 1 to 4 tokens. Rewards of a fall with them, those of b as well, but b has the higher ones."""
    falling = rollout(["WA"] * 4, [0.4, 0.3, 0.2, 0.1])
    assert length_bias([falling]).pooled == pytest.approx(-1)
    easy = rollout(["WA"] * 2, [0.1, 0.0])
    hard = falling.model_copy(
        update={"completions": falling.completions[2:], "rewards": (0.9, 0.8), "verdicts": ("WA", "WA")}
    )
    assert length_bias([easy, hard]).within == pytest.approx(-1)
    pooled = length_bias([easy, hard]).pooled
    assert pooled is not None
    assert pooled > 0
    assert length_bias([rollout(["WA"] * 2, [0.5, 0.5])]).pooled is None
