"""Rows of one completion: what is kept of them, and their batches."""

import statistics
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from qrpo.pointwise import PointwiseCollator, PointwiseForm
from qrpo.targets import TargetRule
from qrpo.transforms import transform_named

FORM = PointwiseForm()
ROW = {"prompt_ids": [1, 3], "completion_ids": [4, 5, 0], "reward": 1.0, "ref_rewards": [0.0, 1.0, 1.0, 2.0]}


def prepared(tokenizer: PreTrainedTokenizerFast, seed: int = 0, **changes: Any) -> dict[str, Any]:
    return FORM.prepare(ROW | changes, tokenizer, seed)


def test_a_prepared_row_by_hand(tokenizer: PreTrainedTokenizerFast) -> None:
    row = prepared(tokenizer)
    assert 0 <= row.pop("draw") < 1
    assert row == {
        "prompt_ids": [1, 3],
        "completion_ids": [4, 5, 0],
        "length": 5,
        "reward": 1.0,
        "weight": 1.0,
        "beta": None,
        "quantile": 0.75,
        "tie_width": 0.5,
        "num_refs": 4,
        "ref_std": pytest.approx(statistics.stdev([0, 1, 1, 2])),
    }
    assert set(FORM.columns) == {*row, "draw"}


def test_one_reference_has_no_spread(tokenizer: PreTrainedTokenizerFast) -> None:
    assert prepared(tokenizer, ref_rewards=[0.0])["ref_std"] == 0.0


def test_draws_depend_on_the_seed_and_the_tokens_only(tokenizer: PreTrainedTokenizerFast) -> None:
    draws = {
        prepared(tokenizer)["draw"],
        prepared(tokenizer, reward=0.0)["draw"],
        prepared(tokenizer, seed=1)["draw"],
        prepared(tokenizer, completion_ids=[4, 0])["draw"],
        prepared(tokenizer, prompt_ids=[1, 3, 4], completion_ids=[5, 0])["draw"],
    }
    assert len(draws) == 4


def test_draws_are_uniform(tokenizer: PreTrainedTokenizerFast) -> None:
    """Of 2000 completions; the 0.9999 quantile of Kolmogorov's distance is 2.2 / sqrt(N). The draws are fixed."""
    draws = sorted(prepared(tokenizer, completion_ids=[number, 0])["draw"] for number in range(2000))
    assert max(abs(draw - (rank + 0.5) / 2000) for rank, draw in enumerate(draws)) < 2.2 / 2000**0.5


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_a_row_with_an_impossible_beta_is_refused(tokenizer: PreTrainedTokenizerFast, beta: float) -> None:
    with pytest.raises(ValueError, match="beta"):
        prepared(tokenizer, beta=beta)


def test_targets_and_betas_of_a_batch_by_hand(tokenizer: PreTrainedTokenizerFast) -> None:
    """F = 3/4; log Z(0.5) = 1.161440, log Z(1) = log(e - 1) = 0.541325: targets 0.338560 and 0.208675."""
    rows = [prepared(tokenizer), prepared(tokenizer, beta=1.0)]
    batch = PointwiseCollator(beta=0.5)(rows)
    assert batch["beta"].tolist() == [0.5, 1.0]
    assert batch["target"].tolist() == pytest.approx([0.338560, 0.208675], abs=1e-6)
    assert "ref_logps" not in batch


def test_beta_by_length_is_divided_by_completion_tokens_and_targets_follow(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    row = prepared(tokenizer)
    by_length = PointwiseCollator(beta=1.5, normalize_beta_by_length=True)([row])
    assert by_length["beta"].tolist() == [0.5]
    assert by_length["target"].tolist() == PointwiseCollator(beta=0.5)([row])["target"].tolist()


def test_the_scaled_transform_takes_spreads_in_units_of_their_mean(tokenizer: PreTrainedTokenizerFast) -> None:
    """A spread of twice the mean: 2 Phi^-1(3/4) / beta - 4 / (2 beta^2), beta = 1: 1.348980 - 2."""
    row = prepared(tokenizer)
    rule = TargetRule(transform=transform_named("scaled_normal_icdf"))
    batch = PointwiseCollator(rule=rule, beta=1.0, mean_ref_std=row["ref_std"] / 2)([row])
    assert batch["target"].tolist() == pytest.approx([1.348980 - 2], abs=1e-5)
    assert PointwiseCollator(rule=rule, beta=1.0)([row])["target"].tolist() == [0.0]


def test_prompts_whose_rewards_are_equal_say_nothing() -> None:
    assert FORM.says_something(ROW)
    assert not FORM.says_something(ROW | {"ref_rewards": [1.0, 1.0]})
    assert FORM.says_something(ROW | {"reward": 0.0, "ref_rewards": [1.0, 1.0]})


def test_prompts_of_a_batch_are_numbered_by_their_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [prepared(tokenizer, prompt_ids=prompt) for prompt in ([1, 3], [1, 4], [1, 3], [3], [1, 4])]
    assert PointwiseCollator(beta=0.1)(rows)["prompt"].tolist() == [0, 1, 0, 2, 1]
