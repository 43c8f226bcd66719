"""What was collected, as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

from qrpo.finished_runs import FinishedRun, model_name
from qrpo.methods import INITIAL, Estimate, Method, best_and_ties, seeds_of

_TEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    # The fonts that LaTeX begins with have other signs in these places.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_REPORTING = ", reporting"
REWARD = f"reward{_REPORTING}"
MODEL = "begun with"
_TEX_HEADS = {"beta": r"$\beta$", "learning rate": "rate", "references": "refs", "reward, selection": "selection"}
_LEGEND = (
    "Rewards are mean fractions of tests passed, in percent. Options and checkpoint of each method are those with the "
    "best mean on the selection half of the held-out problems; the other columns are from the reporting half. ± and "
    "brackets are 95% intervals: ± over {seeds} (Student), brackets over problems (bootstrap). "
    "pass@k: all tests pass; unbiased. KL: to the initial model, k3, nats per completion, over all held-out problems. "
    "Step: of the optimizer; of online QRPO the iteration. Chosen of: options times checkpoints, of which this is the "
    "best. "
)


def csv_text(runs: Sequence[FinishedRun], found: Sequence[Method]) -> str:
    """One line per run and evaluated step."""
    chosen = {(item.run.path, item.step.step) for method in found for item in method.chosen if item.step.step}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            *("run", "algorithm", "model", "beta", "learning_rate", "seed", "sampling_seed", "step", "chosen"),
            *("selection_reward", "selection_pass_at_1", "selection_tokens"),
            *("reporting_reward", "reporting_pass_at_1", "reporting_tokens", "kl_k1", "kl_k3", "hyperparameters"),
        ]
    )
    for run in runs:
        for item in run.selection.steps:
            writer.writerow(
                [
                    *(run.path, run.algorithm, run.model, run.beta, run.learning_rate, *run.replicate, item.step),
                    int((run.path, item.step) in chosen),
                    *(item.selection.pass_fraction, item.selection.pass_at_1, item.selection.tokens),
                    *(item.reporting.pass_fraction, item.reporting.pass_at_1, item.reporting.tokens),
                    *((item.kl["k1"], item.kl["k3"]) if item.kl else ("", "")),
                    run.hyperparameters,
                ]
            )
    return out.getvalue()


def markdown(found: Sequence[Method]) -> str:
    """The table for a README; the best reward bold, those not worse beyond chance underlined."""
    columns = _columns(found)
    best, ties = best_and_ties(found)
    lines = [row(columns), row(["---", *("---:" for _ in list(columns)[1:])])]
    for place in range(len(found)):
        cells = {head: markdown_escaped(mine[place]) for head, mine in columns.items()}
        if place == best:
            cells[REWARD] = f"**{cells[REWARD]}**"
        elif place in ties:
            cells[REWARD] = f"<u>{cells[REWARD]}</u>"
        lines.append(row(cells.values()))
    return "\n".join([*lines, "", f"{_legend(found)}Bold: the best reward; underlined: not worse beyond chance.", ""])


def terminal(found: Sequence[Method]) -> Table:
    """The columns that say who won; a terminal has no room for all."""
    heads = {"method", MODEL, "reward, selection", "seeds"}
    columns = {head: cells for head, cells in _columns(found).items() if head in heads or head.endswith(_REPORTING)}
    table = Table()
    for head in columns:
        table.add_column(head, justify="left" if head in {"method", MODEL} else "right", overflow="fold")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, cells))
    return table


def latex(found: Sequence[Method]) -> str:
    """The table for a paper, with booktabs; marked as in Markdown. Intervals over problems stand below their means."""
    columns = _columns(found)
    columns = {head: [model_name(cell) for cell in mine] if head == MODEL else mine for head, mine in columns.items()}
    reported = [head for head in columns if head.endswith(_REPORTING)]
    before = list(columns).index(reported[0])
    span = f"{before + 1}-{before + len(reported)}"
    best, ties = best_and_ties(found)
    marks = {**dict.fromkeys(ties, "underline"), best: "textbf"}
    group = f"\\multicolumn{{{len(reported)}}}{{c}}{{reporting half}}"
    lines = [
        "% needs \\usepackage{booktabs}",
        *(f"% {line}" for line in textwrap.wrap(_legend(found), 110)),
        "{\\setlength{\\tabcolsep}{3.5pt}%",
        f"\\begin{{tabular}}{{@{{}}l{'r' * (len(columns) - 1)}@{{}}}}",
        "\\toprule",
        f"{'& ' * before}{group}{' &' * (len(columns) - before - len(reported))} \\\\",
        f"\\cmidrule(lr){{{span}}}",
        " & ".join(_TEX_HEADS.get(head, tex_escaped(head.removesuffix(_REPORTING))) for head in columns) + " \\\\",
        "\\midrule",
    ]
    for place in range(len(found)):
        above, below = [], []
        for head, mine in columns.items():
            mean, bracket, interval = mine[place].partition(" [") if head in reported else (mine[place], "", "")
            cell = _tex_number(tex_escaped(mean).replace("±", "$\\pm$"))
            above.append(f"\\{marks[place]}{{{cell}}}" if head == REWARD and place in marks else cell)
            below.append(f"{{\\scriptsize [{interval}}}" if bracket else "")
        lines += ["\\addlinespace"] * (place > 0) + [" & ".join(cells) + " \\\\" for cells in (above, below)]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}}", ""])


def markdown_escaped(text: str) -> str:
    """Text that Markdown shows as it is, in a cell of a table."""
    return re.sub(r"([|\\`*_<])", r"\\\1", text)


def tex_escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_TEX.get(char, char) for char in text)


def _legend(found: Sequence[Method]) -> str:
    return _LEGEND.format(seeds=seeds_of(found))


def _tex_number(text: str) -> str:
    """`3e-7` as a power of ten, other text as it is."""
    text = re.sub(r"^([\d.]+)e(-?)0*(\d+)$", r"$\1 \\cdot 10^{\2\3}$", text)
    return text.replace("$1 \\cdot ", "$")


def _columns(found: Sequence[Method]) -> dict[str, list[str]]:
    """Cells by head, one for each method; without columns that would say nothing."""
    columns: dict[str, list[str]] = {
        "method": [method.name for method in found],
        MODEL: [method.model for method in found],
        "reward, selection": [f"{100 * method.selection:.1f}" for method in found],
        REWARD: [with_intervals(method.reward) for method in found],
        "pass@1, reporting": [with_intervals(method.pass_at_1) for method in found],
        **_pass_at_k(found),
        "KL": ["" if method.kl is None else f"{method.kl:.2f}" for method in found],
        "beta": [number(method.beta) for method in found],
        "learning rate": [number(method.learning_rate) for method in found],
        "references": [number(method.num_refs) for method in found],
        "step": [method.steps for method in found],
        "seeds": [str(len(method.chosen)) for method in found],
        "chosen of": ["" if method.name == INITIAL else str(method.candidates) for method in found],
    }
    silent = {head for head, cells in columns.items() if not any(cells)}
    if len(set(columns[MODEL])) == 1:
        silent.add(MODEL)
    return {head: cells for head, cells in columns.items() if head not in silent}


def _pass_at_k(found: Sequence[Method]) -> dict[str, list[str]]:
    known = [method.pass_at_k for method in found if method.pass_at_k is not None]
    return {f"pass@{found[0].pass_k}{_REPORTING}": [with_intervals(value) for value in known]} if known else {}


def with_intervals(found: Estimate, *, signed: bool = False) -> str:
    """Mean and intervals, in percent: `12.3 ± 4.5 [6.7, 8.9]`."""
    seeds = "" if found.over_seeds is None else f" ± {50 * (found.over_seeds.high - found.over_seeds.low):.1f}"
    sign = "+" if signed else ""
    low, mean, high = (
        f"{100 * part:{sign}.1f}" for part in (found.over_problems.low, found.mean, found.over_problems.high)
    )
    return f"{mean}{seeds} [{low}, {high}]"


def number(value: float | None) -> str:
    """`0.03`, `1e-6`; nothing for None."""
    return "" if value is None else re.sub(r"e([+-])0+", r"e\1", f"{value:g}")


def row(cells: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
