from pydantic import TypeAdapter

from qrpo.config import parse
from qrpo.evaluate import _plan, summarise
from qrpo.records import Completion, ScoredRollout
from qrpo.results import SplitResult, results_json


def rollout(name: str, passed: list[bool]) -> ScoredRollout:
    completion = Completion(text="", token_ids=(1, 2), finish_reason="stop")
    return ScoredRollout(
        problem_id=name,
        prompt=(),
        prompt_ids=(1,),
        completions=tuple(completion for _ in passed),
        rewards=tuple(map(float, passed)),
        verdicts=tuple("AC" if item else "WA" for item in passed),
    )


def test_the_summary_of_two_problems_by_hand() -> None:
    """Before 1/2 and 0/2, after 2/2 and 1/2: pass@1 0.25 -> 0.75, pass@2 0.5 -> 1, differences 1/2 on each problem."""
    config = parse(["--bf16", "false", "--eval_completions", "2", "--bootstrap_samples", "50"])
    before = [rollout("a", [True, False]), rollout("b", [False, False])]
    after = [rollout("a", [True, True]), rollout("b", [True, False])]
    found = summarise(config, before, after, {"k1": 1.0}, None)
    fraction = found.metrics["pass_fraction"]
    assert (fraction.before, fraction.after, fraction.diff) == (0.25, 0.75, 0.5)
    assert (fraction.diff_low, fraction.diff_high) == (0.5, 0.5)
    assert found.metrics["pass_at_1"].after == 0.75
    assert (found.metrics["pass_at_2"].before, found.metrics["pass_at_2"].after) == (0.5, 1.0)
    assert found.verdicts == {"before": {"AC": 1, "WA": 3}, "after": {"AC": 3, "WA": 1}}
    assert found.problems == 2
    assert read_back(found) == found


def read_back(result: SplitResult) -> SplitResult:
    return TypeAdapter(dict[str, SplitResult]).validate_json(results_json({"train": result}))["train"]


def test_evaluation_samples_in_batches_of_its_own_where_it_is_told_to() -> None:
    """With vLLM the references come in batches that transformers has no memory for."""
    for own, expected in (([], 8192), (["--eval_batch_completions", "64"], 64)):
        config = parse(["--bf16", "false", "--batch_completions", "8192", *own])
        assert _plan(config, []).batch_completions == expected
