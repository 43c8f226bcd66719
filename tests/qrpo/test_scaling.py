from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from qrpo.finished_runs import FinishedRun, read_run
from qrpo.scaling import scaling

Make = Callable[[Path, Any], Path]


@pytest.fixture
def run(make_run: Make, made_up: Any, tmp_path: Path) -> Callable[..., FinishedRun]:
    """Reads a run back that was made up of keywords, with further options in its configuration."""

    def make(name: str, rate: float = 0.3, config: dict[str, Any] | None = None, **options: Any) -> FinishedRun:
        made = made_up(**{"algorithm": "qrpo", "rates": {0: [0.1] * 12, 8: [rate] * 12}, **options})
        path = make_run(tmp_path / name, made)
        file = path / "config.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | (config or {})))
        return read_run(path)

    return make


def test_each_point_is_the_best_on_the_selection_half_of_its_beta_and_number(run: Callable[..., FinishedRun]) -> None:
    runs = [
        run(f"{beta} {refs} {rate}", solved, beta=beta, num_refs=refs, learning_rate=rate)
        for beta in (0.03, 0.01)
        for refs in (10, 1)
        for rate, solved in ((1e-7, 0.0), (1e-6, 1.0))
    ]
    lines = scaling(runs)
    assert [line.beta for line in lines] == [0.01, 0.03]
    for line in lines:
        assert [point.num_refs for point in line.points] == [1, 10]
        assert {point.learning_rate for point in line.points} == {1e-6}
        assert [point.reward.mean for point in line.points] == [1.0, 1.0]


def test_replicates_are_one_point_with_an_interval_over_seeds(run: Callable[..., FinishedRun]) -> None:
    runs = [run(f"{refs} {seed}", num_refs=refs, seed=seed) for refs in (1, 3) for seed in range(2)]
    [line] = scaling(runs)
    assert [len(point.chosen) for point in line.points] == [2, 2]
    assert all(point.reward.over_seeds is not None for point in line.points)


def test_a_line_needs_two_numbers_and_an_algorithm_that_compares(run: Callable[..., FinishedRun]) -> None:
    runs = [run(f"dpo {refs}", algorithm="dpo", num_refs=refs) for refs in (1, 3)]
    assert scaling([*runs, run("a", beta=0.1, num_refs=1), run("b", beta=0.2, num_refs=3)]) == []


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({"num_completions": 50}, 50),
        ({"num_completions": 50, "num_refs": 20}, 20),
        ({"num_completions": 10, "num_refs": 20}, 10),
        ({"num_completions": 50, "references": "leave_one_out"}, 49),
        ({"num_completions": 50, "references": "disjoint", "completions_per_prompt": 20}, 30),
    ],
)
def test_the_number_is_of_the_rewards_that_there_are(
    run: Callable[..., FinishedRun], config: dict[str, Any], number: int
) -> None:
    assert run("run", config=config).num_refs == number
