from qrpo.config import parse
from qrpo.evaluate import summarise
from qrpo.records import Completion, KlRow, ScoredRollout


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
    kl = [KlRow(problem_id="a", index=0, logps=(-1.0,), ref_logps=(-2.0,))]
    found = summarise(config, before, after, kl)
    metrics = found["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["pass_fraction"] == {
        "before": 0.25, "after": 0.75, "diff": 0.5, "diff_low": 0.5, "diff_high": 0.5,
    }  # fmt: skip
    assert metrics["pass_at_1"]["after"] == 0.75
    assert (metrics["pass_at_2"]["before"], metrics["pass_at_2"]["after"]) == (0.5, 1.0)
    assert found["verdicts"] == {"before": {"AC": 1, "WA": 3}, "after": {"AC": 3, "WA": 1}}
    assert found["problems"] == 2
    assert isinstance(found["kl"], dict)
    assert found["kl"]["k1"] == 1.0
