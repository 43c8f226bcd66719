from qrpo.halves import Halves
from qrpo.records import Completion, ScoredRollout
from qrpo.selection import select

HALVES = Halves(selection=("a", "b"), reporting=("c",))


def rollouts(rewards: dict[str, float]) -> list[ScoredRollout]:
    completion = Completion(text="", token_ids=(1, 2), finish_reason="stop")
    return [
        ScoredRollout(
            problem_id=name,
            prompt=(),
            prompt_ids=(1,),
            completions=(completion,),
            rewards=(value,),
            verdicts=("AC" if value == 1 else "WA",),
        )
        for name, value in rewards.items()
    ]


def chosen(steps: dict[int, dict[str, float]]) -> tuple[int, float, float]:
    found = select(
        {step: rollouts(rewards) for step, rewards in steps.items()},
        {step: {"k3": 0.5} for step in steps if step},
        HALVES,
        seeds=1,
        pass_k=1,
        resamplings=20,
        seed=0,
    )
    metric = found.metrics["pass_fraction"]
    return found.best, metric.before, metric.after


def test_the_reporting_half_takes_no_part_in_the_choice() -> None:
    """Step 8 is best on a and b; step 16 would be on c."""
    steps = {
        0: {"a": 0.0, "b": 0.0, "c": 0.25},
        8: {"a": 1.0, "b": 0.5, "c": 0.5},
        16: {"a": 0.5, "b": 0.5, "c": 1.0},
    }
    assert chosen(steps) == (8, 0.25, 0.5)


def test_of_equally_good_checkpoints_the_earliest_is_chosen() -> None:
    steps = {0: {"a": 0.0, "b": 0.0, "c": 0.0}, 24: {"a": 1.0, "b": 0.0, "c": 0.0}, 8: {"a": 0.0, "b": 1.0, "c": 0.0}}
    assert chosen(steps)[0] == 8


def test_a_model_that_only_got_worse_is_reported_as_worse() -> None:
    assert chosen({0: {"a": 1.0, "b": 1.0, "c": 1.0}, 8: {"a": 0.5, "b": 0.0, "c": 0.0}}) == (8, 1.0, 0.0)
