"""Stage 5: what happened -> report/report.json, report/report.html and a table on the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

import jinja2
from rich.table import Table

from qrpo.artifacts import Manifest, Stage, read_manifest
from qrpo.config import PipelineConfig
from qrpo.data import PointwiseRow
from qrpo.display import Display, duration
from qrpo.files import write_atomically
from qrpo.journal import RecordFile, read_records
from qrpo.methods import LABELS
from qrpo.plots import Pair, histograms, per_problem, training_curves, verdict_bars
from qrpo.quantiles import all_equal, quantile_among
from qrpo.records import ScoredRollout
from qrpo.results import MetricResult, SplitResult, read_results
from qrpo.run_options import STAGES
from qrpo.training_rows import completion_rows, leaves_out_equal, training_rows

REPORT_JSON = "report.json"
REPORT_HTML = "report.html"
_SPLITS = {"train": "training problems", "heldout": "held-out problems"}
_PERCENT = ("pass_fraction", "pass_at_", "compile_rate", "extraction_rate", "stop_rate")
_LABELS = {
    "pass_fraction": "fraction of tests passed",
    "compile_rate": "programs that compile",
    "extraction_rate": "answers with a code block",
    "stop_rate": "answers not cut short",
    "tokens": "tokens per answer",
}


class Example(NamedTuple):
    """A completion before and after, for the same problem and the same random numbers."""

    problem_id: str
    prompt: str
    before: str
    before_verdict: str
    after: str
    after_verdict: str


class Panel(NamedTuple):
    """A drawing of the page."""

    title: str
    svg: str
    caption: str = ""


class Story(NamedTuple):
    """What the page tells beside the comparison."""

    summary: str
    """What was done, as the beginning of a sentence."""
    panels: Sequence[Panel]
    seconds: Mapping[str, float]
    """Spent, by stage."""
    versions: Mapping[str, str]
    step: str = "step"
    """What a checkpoint's number counts."""


Tell = Callable[[Mapping[str, SplitResult]], Story]
"""From the results; asked only if the report is missing."""


def report(config: PipelineConfig, stage: Stage, display: Display) -> None:
    """Writes the report where it is missing, and prints the table."""
    write_report(config, stage, display, lambda _: _story(config))


def write_report(config: PipelineConfig, stage: Stage, display: Display, tell: Tell) -> None:
    """Likewise, of any run with an evaluation and a training log."""
    results = read_results(config.paths.metrics)
    if not stage.done:
        content: dict[str, object] = {
            split: {
                **{name: metric.model_dump() for name, metric in result.metrics.items()},
                "kl": result.kl,
                "problems": result.problems,
                "completions": result.completions,
            }
            for split, result in results.items()
        }
        story = tell(results)
        html = render(config, results, story)
        content["seconds"] = {**story.seconds, "report": stage.elapsed}
        write_atomically(stage.path / REPORT_HTML, html)
        write_atomically(stage.path / REPORT_JSON, json.dumps(content, indent=1) + "\n")
        stage.finish([REPORT_JSON, REPORT_HTML])
    print_table(results, display)
    display.note(f"report: {stage.path / REPORT_HTML}")
    display.note(f"model:  {config.paths.model}")


def print_table(results: Mapping[str, SplitResult], display: Display) -> None:
    """Metrics of each set of problems, before and after."""
    for split, result in results.items():
        table = Table(
            title=f"{result.problems} {_SPLITS[split]}, {result.drawn}",
            title_justify="left",
            title_style="bold",
        )
        for heading in ("", "before", "after", "change", "95% interval"):
            table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
        for name, metric in result.metrics.items():
            colour = {"up": "green", "down": "red", "open": "default"}[metric.outcome]
            if name == "tokens":
                colour = "default"
            cells = shown(name, metric)
            table.add_row(label(name), *cells[:2], f"[{colour}]{cells[2]}[/{colour}]", cells[3])
        display.console.print(table)
        display.note(f"KL to the reference: {result.kl['k1']:.2f} (k1), {result.kl['k3']:.2f} (k3) nats per completion")


def shown(name: str, metric: MetricResult) -> tuple[str, str, str, str]:
    """Before, after, change and interval, as text."""
    if name.startswith(_PERCENT):
        return (
            f"{metric.before:.1%}",
            f"{metric.after:.1%}",
            f"{100 * metric.diff:+.1f}",
            f"{100 * metric.diff_low:+.1f} … {100 * metric.diff_high:+.1f}",
        )
    return (
        f"{metric.before:.1f}",
        f"{metric.after:.1f}",
        f"{metric.diff:+.1f}",
        f"{metric.diff_low:+.1f} … {metric.diff_high:+.1f}",
    )


def label(name: str) -> str:
    """A metric's name for people."""
    return _LABELS.get(name, name.replace("pass_at_", "pass@"))


def headline(split: str, result: SplitResult) -> str:
    """What happened on one set of problems, in a sentence that claims no more than the interval."""
    metric = result.metrics["pass_fraction"]
    before, after, change, interval = shown("pass_fraction", metric)
    verb = {"up": "rose", "down": "fell", "open": "did not change beyond chance:"}[metric.outcome]
    return (
        f"On {_SPLITS[split]} the mean fraction of tests passed {verb} from {before} to {after} "
        f"({change} points, 95% interval {interval})."
    ).replace("chance: from", "chance: it went from")


def _story(config: PipelineConfig) -> Story:
    """Of a run of the pipeline."""
    scored = RecordFile(config.paths.scored, ScoredRollout)
    compared = [row for row in completion_rows(scored, config.data) if not all_equal(_rewards(row))]
    drawn = histograms(
        [value for rollout in scored for value in rollout.rewards],
        [quantile_among(row["reward"], row["ref_rewards"]).value for row in compared],
    )
    sampled, trained = (
        sum(len(rollout.completions) for rollout in scored),
        " ".join(map(str, _trained_on(scored, config))),
    )
    which = " whose prompts have rewards that differ" if leaves_out_equal(config.train) else ""
    return Story(
        summary=f"{sampled} reference completions of {len(scored)} training prompts, judged in the sandbox; "
        f"trained on the {trained}{which}",
        panels=[Panel("What was trained on", drawn)],
        seconds={name: _manifest(config, name).seconds for name in STAGES if name != "report"},
        versions=_manifest(config, "generate").versions | _manifest(config, "train").versions,
    )


def render(config: PipelineConfig, results: Mapping[str, SplitResult], story: Story) -> str:
    """The page, with everything in it."""
    evaluated = {
        (when, split): read_records(config.paths.evaluated(when, split), ScoredRollout)
        for split in results
        for when in ("before", "after")
    }
    log = [json.loads(line) for line in config.paths.training_log.read_text(encoding="utf-8").splitlines()]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files("qrpo").joinpath("report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        model=config.model_name,
        results=results,
        names=_SPLITS,
        headlines={split: headline(split, result) for split, result in results.items()},
        table={
            label(name): [(shown(name, found.metrics[name]), found.metrics[name].outcome) for found in results.values()]
            for name in next(iter(results.values())).metrics
        },
        plots={
            "problems": [
                per_problem(_pairs(evaluated["before", split], evaluated["after", split]), _SPLITS[split].capitalize())
                for split in results
            ],
            "curves": training_curves(log),
            "verdicts": verdict_bars(
                {
                    f"{_SPLITS[split].removesuffix(' problems')}, {when}": result.verdicts[when]
                    for split, result in results.items()
                    for when in ("before", "after")
                }
            ),
        },
        story=story,
        method=LABELS[config.train.algorithm],
        beta=None if config.train.algorithm == "sft" else config.train.beta,
        examples={split: examples(evaluated["before", split], evaluated["after", split]) for split in results},
        seconds={name: duration(value) for name, value in story.seconds.items()},
        total=duration(sum(story.seconds.values())),
        options=config.to_yaml(),
        checkpoints=checkpoints(results),
    )


class CheckpointRow(NamedTuple):
    """A line of the table of checkpoints, as text."""

    step: str
    selection: str
    reporting: str
    pass_at_1: str
    kl: str
    best: bool


def checkpoints(results: Mapping[str, SplitResult]) -> list[CheckpointRow]:
    """Every evaluated step; none where only the model before and after was evaluated."""
    selection = results["heldout"].selection if "heldout" in results else None
    if selection is None or len(selection.steps) <= 2:
        return []
    return [
        CheckpointRow(
            step=str(item.step) if item.step else "0 (before)",
            selection=f"{item.selection.pass_fraction:.1%}",
            reporting=f"{item.reporting.pass_fraction:.1%}",
            pass_at_1=f"{item.reporting.pass_at_1:.1%}",
            kl=f"{item.kl['k3']:.2f}" if item.kl else "",
            best=item.step == selection.best,
        )
        for item in selection.steps
    ]


def examples(before: Sequence[ScoredRollout], after: Sequence[ScoredRollout]) -> list[Example]:
    """The problem that gained most and the one that lost most, if any did; a completion of each, before and after."""
    changes = [
        (sum(new.rewards) / len(new.rewards) - sum(old.rewards) / len(old.rewards), old, new)
        for old, new in zip(before, after, strict=True)
    ]
    best, worst = max(changes, key=lambda change: change[0]), min(changes, key=lambda change: change[0])
    found = []
    for wanted, (change, old, new) in ((1, best), (-1, worst)):
        if change * wanted <= 0:
            continue
        # The completion that shows the change most plainly.
        index = max(range(len(old.rewards)), key=lambda place: wanted * (new.rewards[place] - old.rewards[place]))
        found.append(
            Example(
                problem_id=old.problem_id,
                prompt="".join(message.content for message in old.prompt if message.role == "user"),
                before=old.completions[index].text,
                before_verdict=_outcome(old, index),
                after=new.completions[index].text,
                after_verdict=_outcome(new, index),
            )
        )
    return found


def _rewards(row: PointwiseRow) -> list[float]:
    return [row["reward"], *row["ref_rewards"]]


def _trained_on(scored: Sequence[ScoredRollout], config: PipelineConfig) -> tuple[int, str]:
    """How many of what; prompts that the trainer leaves out count nowhere."""
    rows, what, varied = training_rows(scored, config.data, config.train)
    drop = leaves_out_equal(config.train)
    return sum(row["problem_id"] in varied or not drop for row in rows), what.partition(" of ")[0]


def _outcome(rollout: ScoredRollout, index: int) -> str:
    return f"{rollout.verdicts[index]}, {rollout.rewards[index]:.0%} of tests"


def _pairs(before: Sequence[ScoredRollout], after: Sequence[ScoredRollout]) -> list[Pair]:
    return [
        Pair(old.problem_id, sum(old.rewards) / len(old.rewards), sum(new.rewards) / len(new.rewards))
        for old, new in zip(before, after, strict=True)
    ]


def _manifest(config: PipelineConfig, stage: str) -> Manifest:
    manifest = read_manifest(config.paths.stage(stage))
    assert manifest is not None  # it is an input's neighbour: `open_stage` found the files it describes
    return manifest
