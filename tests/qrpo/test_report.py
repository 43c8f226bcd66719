import re

import pytest

from qrpo.plots import Pair, histograms, per_problem, training_curves, verdict_bars
from qrpo.records import Completion, Message, ScoredRollout
from qrpo.report import examples, headline, shown
from qrpo.results import LengthBias, MetricResult, SeedMeans, SplitResult


def metric(before: float, after: float, low: float, high: float) -> MetricResult:
    seeds = SeedMeans(means=[before], std=None), SeedMeans(means=[after], std=None)
    return MetricResult(
        before=before,
        after=after,
        diff=after - before,
        diff_low=low,
        diff_high=high,
        before_seeds=seeds[0],
        after_seeds=seeds[1],
    )


def result(value: MetricResult) -> SplitResult:
    bias = LengthBias(pooled=None, within=None)
    return SplitResult(
        problems=3,
        completions=4,
        metrics={"pass_fraction": value},
        kl={"k1": 0.1, "k3": 0.1},
        verdicts={},
        length_bias={"before": bias, "after": bias},
        selection=None,
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.2, "rose from 20.0% to 30.0%"), (-0.2, -0.1, "fell"), (-0.1, 0.2, "did not change beyond chance")],
)
def test_the_headline_claims_no_more_than_the_interval(low: float, high: float, words: str) -> None:
    text = headline("train", result(metric(0.2, 0.3, low, high)))
    assert words in text
    assert ("rose" in text) == (low > 0)


def test_shares_are_shown_in_percent_and_points_and_lengths_as_they_are() -> None:
    assert shown("pass_at_1", metric(0.25, 0.5, 0.1, 0.4)) == ("25.0%", "50.0%", "+25.0", "+10.0 … +40.0")
    assert shown("tokens", metric(40.0, 35.5, -6.0, -3.0)) == ("40.0", "35.5", "-4.5", "-6.0 … -3.0")


def rollout(name: str, rewards: list[float], mark: str) -> ScoredRollout:
    return ScoredRollout(
        problem_id=name,
        prompt=(Message(role="user", content="do"), Message(role="assistant", content="start")),
        prompt_ids=(1,),
        completions=tuple(
            Completion(text=f"{mark}{place}", token_ids=(1,), finish_reason="stop") for place in range(len(rewards))
        ),
        rewards=tuple(rewards),
        verdicts=tuple("AC" if value == 1 else "WA" for value in rewards),
    )


def test_examples_are_the_best_gain_and_the_worst_loss() -> None:
    before = [rollout("up", [0, 0], "old"), rollout("same", [0, 1], "old"), rollout("down", [1, 1], "old")]
    after = [rollout("up", [0, 1], "new"), rollout("same", [0, 1], "new"), rollout("down", [0, 1], "new")]
    gained, lost = examples(before, after)
    assert (gained.problem_id, gained.before, gained.after) == ("up", "old1", "new1")
    assert (lost.problem_id, lost.after_verdict) == ("down", "WA, 0% of tests")
    assert gained.prompt == "do"
    assert examples(before[1:2], after[1:2]) == []


def plots() -> list[str]:
    return [
        per_problem([Pair("a", 0.1, 0.5), Pair("b", 0.9, 0.2), Pair("c", 0.5, 0.5)], "One"),
        per_problem([Pair("a", 0.3, 0.5)], "Two"),
        histograms([0.0, 0.5, 1.0], [0.25, 0.5]),
        training_curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "logratio_pass": 0.1}]),
        verdict_bars({"x, before": {"AC": 1, "WA": 3}, "x, after": {"AC": 4}}),
    ]


def test_plots_are_bare_elements_that_fill_the_width_of_the_page() -> None:
    for text in plots():
        assert text.startswith("<svg ")
        assert "viewBox=" in text
        assert not re.search(r'<svg [^>]*width="', text)
        assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)  # nothing is fetched


def test_no_name_inside_a_plot_is_used_by_another() -> None:
    names = [set(re.findall(r'(?<= )id="([^"]+)"', text)) for text in plots()]
    referred = [set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text)) for text in plots()]
    for here, needed in enumerate(referred):
        assert needed <= names[here]
        for there in range(len(names)):
            assert there == here or not needed & names[there]


def test_plots_do_not_change_from_run_to_run() -> None:
    assert plots() == plots()


def test_a_training_log_without_lines_has_empty_curves() -> None:
    assert training_curves([]).startswith("<svg ")
