"""The drawing of when what ran."""

import itertools
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from slurm.experiments.experiment import Experiment
from slurm.experiments.timeline import timeline
from slurm.experiments.usage import Outcome, Run


def run(experiment: Experiment, name: str, start: float, end: float, outcome: Outcome = Outcome.SUCCEEDED) -> Run:
    return Run(
        task=experiment.tasks[name],
        attempt=1,
        job="7",
        host="n1",
        queued_s=0,
        start=1.8e9 + start,
        end=1.8e9 + end,
        outcome=outcome,
    )


def bars(svg: str) -> list[dict[str, float]]:
    names = ("x", "y", "width", "height")
    return [{name: float(item.attrib[name]) for name in names} for item in ET.fromstring(svg).iter("rect")]


def test_runs_at_the_same_time_do_not_lie_on_each_other(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, grid: {x: {range: 1000}}}")
    found = [run(experiment, f"a/x={x}", x * 7 % 500, x * 7 % 500 + 20 + x % 90) for x in range(1000)]
    drawn = bars(timeline(sorted(found, key=lambda item: item.start), ["a"]))
    assert len(drawn) == 1000
    lanes: dict[float, list[dict[str, float]]] = {}
    for bar in drawn:
        lanes.setdefault(bar["y"], []).append(bar)
    for lane in lanes.values():
        ordered = sorted(lane, key=lambda bar: bar["x"])
        for one, other in itertools.pairwise(ordered):
            assert one["x"] + one["width"] <= other["x"] + 0.02
    assert max(bar["x"] + bar["width"] for bar in drawn) <= 1000
    assert min(bar["height"] for bar in drawn) > 1.5


def test_stages_lie_below_each_other_in_their_order(written: Callable[..., Experiment]) -> None:
    experiment = written("  b: {command: c}\n  a: {command: c, after: [b]}")
    first, second = bars(timeline([run(experiment, "b", 0, 9), run(experiment, "a", 9, 20)], ["b", "a"]))
    assert first["y"] + first["height"] < second["y"]
    assert first["x"] + first["width"] == pytest.approx(second["x"], abs=0.1)


def test_each_run_says_what_it_is_and_names_are_escaped(written: Callable[..., Experiment]) -> None:
    experiment = written("  a: {command: c, grid: {x: ['<b>']}}")
    svg = timeline([run(experiment, "a/x=<b>", 0, 90, Outcome.FAILED)], ["a"])
    assert "a/x=&lt;b&gt;: failed after 1:30 min on n1, job 7" in svg
    ET.fromstring(svg)


def test_where_nothing_has_run_nothing_is_drawn() -> None:
    assert timeline([], ["a"]) == ""


def test_a_run_of_no_length_is_seen(written: Callable[..., Experiment]) -> None:
    [bar] = bars(timeline([run(written("  a: {command: c}"), "a", 0, 0)], ["a"]))
    assert bar["width"] >= 1
