from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qrpo.finished_runs import LAST, FinishedRun, read_run
from qrpo.methods import Estimate, best_and_ties, estimate, is_worse, methods, seeds_of

Make = Callable[[Path, Any], Path]
PROBLEMS = 12


@pytest.fixture
def runs(make_run: Make, made_up: Any, tmp_path: Path) -> Callable[..., list[FinishedRun]]:
    """Reads runs back that were made up of keywords; `rates` gives one rate for all problems by step."""

    def make(*many: dict[str, Any]) -> list[FinishedRun]:
        found = []
        for place, options in enumerate(many):
            rates = {step: [rate] * PROBLEMS for step, rate in options.pop("rates").items()}
            found.append(read_run(make_run(tmp_path / f"run{place}", made_up(rates=rates, **options))))
        return found

    return make


def test_of_each_algorithm_the_options_with_the_best_mean_over_seeds_are_chosen(
    runs: Callable[..., list[FinishedRun]],
) -> None:
    """The learning rate 1e-6 has the best single run, 1e-7 the best mean."""
    found = methods(
        runs(
            {"algorithm": "dpo", "learning_rate": 1e-6, "seed": 0, "rates": {0: 0.1, 8: 1.0}},
            {"algorithm": "dpo", "learning_rate": 1e-6, "seed": 1, "rates": {0: 0.1, 8: 0.0}},
            {"algorithm": "dpo", "learning_rate": 1e-7, "seed": 0, "rates": {0: 0.1, 8: 0.8}},
            {"algorithm": "dpo", "learning_rate": 1e-7, "seed": 1, "rates": {0: 0.1, 8: 0.8}},
            {"algorithm": "qrpo", "seed": 0, "rates": {0: 0.1, 8: 0.9}},
        )
    )
    assert [method.name for method in found] == ["initial model", "DPO", "QRPO"]
    assert found[1].learning_rate == 1e-7
    assert [item.run.replicate.seed for item in found[1].chosen] == [0, 1]
    assert found[1].kl == 1.0
    assert found[2].reward.over_seeds is None


def test_a_checkpoint_is_chosen_by_step_and_the_last_of_each_seed_by_being_last(
    runs: Callable[..., list[FinishedRun]],
) -> None:
    """The seeds have 20 and 22 steps in all."""
    early = [
        {"algorithm": "qrpo", "seed": seed, "rates": {0: 0.1, 8: 1.0, 16: 0.2, last: 0.5}}
        for seed, last in ((0, 20), (1, 22))
    ]
    late = [{**options, "algorithm": "dpo", "rates": dict(options["rates"])} for options in early]
    for options, last in zip(late, (20, 22), strict=True):
        options["rates"] |= {8: 0.3, last: 1.0}
    found = {method.name: method for method in methods(runs(*early, *late))}
    assert found["QRPO"].steps == "8"
    assert found["DPO"].steps == "20–22"
    assert found["DPO"].reward.mean == found["QRPO"].reward.mean == 1.0


def test_a_checkpoint_that_one_replicate_lacks_is_no_candidate(runs: Callable[..., list[FinishedRun]]) -> None:
    steps = [{0: 0.1, 8: 1.0, 16: 1.0, 20: 0.2}, {0: 0.1, 10: 1.0, 16: 0.6, 22: 0.2}]
    _, method = methods(
        runs(*({"algorithm": "qrpo", "seed": seed, "rates": rates} for seed, rates in enumerate(steps)))
    )
    assert (method.steps, method.candidates) == ("16", 2)


def test_what_is_reported_is_from_the_other_half(make_run: Make, made_up: Any, tmp_path: Path) -> None:
    """Step 8 solves the selection half alone, step 16 the reporting half."""
    halves = read_run(
        make_run(tmp_path / "first", made_up(algorithm="qrpo", rates={0: [0.0] * 8, 8: [0.0] * 8}))
    ).halves
    solved = [1.0 if f"p{place:03}" in halves.selection else 0.0 for place in range(8)]
    rates = {0: [0.0] * 8, 8: solved, 16: [1 - value for value in solved]}
    run = read_run(make_run(tmp_path / "second", made_up(algorithm="qrpo", rates=rates)))
    initial, method = methods([run])
    assert (method.steps, method.selection, method.reward.mean) == ("8", 1.0, 0.0)
    assert initial.reward.mean == 0.0
    assert initial.kl is None


def test_initial_models_are_told_apart_and_counted_once_a_seed(runs: Callable[..., list[FinishedRun]]) -> None:
    found = methods(
        runs(
            {"algorithm": "qrpo", "model": "a/b", "rates": {0: 0.1, 8: 0.2}},
            {"algorithm": "dpo", "model": "a/b", "rates": {0: 0.1, 8: 0.2}},
            {"algorithm": "sft", "model": "c", "rates": {0: 0.4, 8: 0.5}},
        )
    )
    assert [(method.name, method.model, len(method.chosen)) for method in found[:2]] == [
        ("initial model", "a/b", 1),
        ("initial model", "c", 1),
    ]
    assert next(method for method in found if method.name == "SFT").beta is None


def test_an_initial_model_is_counted_once_for_each_sampling_seed_whatever_was_trained(
    runs: Callable[..., list[FinishedRun]],
) -> None:
    seeds = [(0, 0), (1, 0), (2, 0), (2, 1)]
    found = methods(
        runs(
            *({"algorithm": "qrpo", "seed": seed, "sampling_seed": sampling, "rates": {0: 0.1, 8: 0.2}}
              for seed, sampling in seeds)
        )
    )  # fmt: skip
    assert [item.run.replicate.sampling_seed for item in found[0].chosen] == [0, 1]
    assert [tuple(item.run.replicate) for item in found[1].chosen] == seeds


def test_an_estimate_by_hand() -> None:
    """Seeds of mean 0.25 and 0.75: Student's half width is 12.706 * (sd 0.35355 / sqrt 2) = 3.1766."""
    found = estimate(np.array([[0.0, 0.5], [0.5, 1.0]]))
    assert found.mean == 0.5
    assert found.by_problem.tolist() == [0.25, 0.75]
    assert found.over_seeds is not None
    assert found.over_seeds.high == pytest.approx(0.5 + 3.1766, abs=1e-4)
    assert found.over_problems == (0.25, 0.75)


def test_pass_at_k_is_of_the_completions_of_each_sampling_seed(make_run: Make, made_up: Any, tmp_path: Path) -> None:
    """Of 2 completions of a seed, pass@2 is whether one passes at least; over 2 seeds their mean."""
    options = {"algorithm": "qrpo", "completions": 2, "sampling_seeds": 2, "pass_k": 2}
    run = read_run(make_run(tmp_path / "run", made_up(rates={0: [0.5] * 40, 8: [0.6] * 40}, **options)))
    _, method = methods([run])
    verdicts = {item.problem_id: item.verdicts for item in run.rollouts(run.trained[LAST])}
    mine = [verdicts[name] for name in run.halves.reporting]
    assert method.pass_k == 2
    assert method.pass_at_k is not None
    assert method.pass_at_k.mean == np.mean([("AC" in pair) for four in mine for pair in (four[:2], four[2:])])
    assert method.pass_at_1.mean == np.mean([verdict == "AC" for four in mine for verdict in four])
    assert method.pass_at_k.over_problems.low < method.pass_at_k.mean < method.pass_at_k.over_problems.high


def test_k_is_the_largest_that_all_runs_know(runs: Callable[..., list[FinishedRun]]) -> None:
    many = [{"algorithm": "qrpo", "pass_k": k, "seed": k, "rates": {0: 0.1, 8: 0.2}} for k in (8, 4, 1)]
    found = runs(*many)
    initial, method = methods(found[:2])
    assert initial.pass_k == method.pass_k == 4
    assert method.pass_at_k is not None
    assert method.pass_at_k.over_seeds is not None
    assert {method.pass_at_k for method in methods(found)} == {None}


def test_how_many_were_chosen_from_is_told(runs: Callable[..., list[FinishedRun]]) -> None:
    """Three numbers of references, two checkpoints each; seeds are no choice."""
    found = methods(
        runs(
            *(
                {"algorithm": "qrpo", "num_refs": refs, "seed": seed, "rates": {0: 0.1, 8: 0.2, 16: 0.1 * refs}}
                for refs in (1, 3, 9)
                for seed in range(3)
            ),
            {"algorithm": "dpo", "num_refs": 3, "rates": {0: 0.1, 8: 0.2}},
        )
    )
    assert [(method.name, method.candidates, method.num_refs) for method in found] == [
        ("initial model", 1, None),
        ("DPO", 1, None),
        ("QRPO", 6, 9),
    ]


def spread(center: float, seeds: list[float]) -> Estimate:
    return estimate(np.array([[center + shift] * 20 for shift in seeds]))


@pytest.mark.parametrize(
    ("seeds", "caption"),
    [
        ([("qrpo", 0, 0), ("qrpo", 1, 0), ("dpo", 5, 0)], "training seeds"),
        ([("qrpo", 0, 0), ("qrpo", 0, 1)], "sampling seeds"),
        ([("qrpo", 0, 0), ("qrpo", 1, 1), ("dpo", 2, 0), ("dpo", 1, 1)], "training and sampling seeds"),
        ([("qrpo", 0, 0), ("qrpo", 1, 1), ("dpo", 0, 0), ("dpo", 1, 0)], "seeds"),
    ],
)
def test_intervals_are_over_the_seeds_in_which_replicates_differ(
    runs: Callable[..., list[FinishedRun]], seeds: list[tuple[str, int, int]], caption: str
) -> None:
    """That initial models are of several sampling seeds says nothing."""
    found = methods(
        runs(
            *(
                {"algorithm": algorithm, "seed": seed, "sampling_seed": sampling_seed, "rates": {0: 0.1, 8: 0.2}}
                for algorithm, seed, sampling_seed in seeds
            )
        )
    )
    assert seeds_of(found) == caption


def test_worse_needs_to_be_so_over_problems_and_over_replicates() -> None:
    good = spread(0.6, [0.0, 0.01, -0.01])
    assert is_worse(spread(0.5, [0.0, 0.01, -0.01]), good)
    assert not is_worse(spread(0.5, [0.0, 0.2, -0.2]), good)  # training again might turn it round
    assert not is_worse(good, good)
    assert is_worse(spread(0.5, [0.0, 0.0]), spread(0.6, [0.0, 0.0]))
    uneven = np.tile(np.linspace(0.0, 1.0, 20), (3, 1))
    assert not is_worse(estimate(uneven), good)  # other problems might turn it round


@pytest.mark.parametrize(("better_by", "worse"), [(0.30, False), (0.31, True)])
def test_over_replicates_worse_is_so_by_welchs_interval(better_by: float, worse: bool) -> None:
    """Two of 0.05 to each side: variances 0.005 / 2 each, 2 degrees of freedom, half width 4.3027 x 0.0707 = 0.3042."""
    assert is_worse(spread(0.3, [-0.05, 0.05]), spread(0.3 + better_by, [-0.05, 0.05])) is worse


def test_the_best_and_what_cannot_be_told_from_it_are_marked(runs: Callable[..., list[FinishedRun]]) -> None:
    found = methods(
        runs(
            *({"algorithm": "qrpo", "seed": seed, "rates": {0: 0.0, 8: 0.95}} for seed in range(2)),
            *({"algorithm": "dpo", "seed": seed, "rates": {0: 0.0, 8: 0.94}} for seed in range(2)),
            *({"algorithm": "sft", "seed": seed, "rates": {0: 0.0, 8: 0.1}} for seed in range(2)),
        )
    )
    best, ties = best_and_ties(found)
    assert {found[place].name for place in (best, *ties)} == {"QRPO", "DPO"}
    assert best not in ties
