"""What was collected, as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Sequence

from qrpo.finished_runs import FinishedRun
from qrpo.methods import Estimate, Method, best_and_ties

_TEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
}
_LEGEND = (
    "Rewards are mean fractions of tests passed, in percent. Options and checkpoint of each method are those with the "
    "best mean on the selection half of the held-out problems; the other columns are from the reporting half. ± and "
    "brackets are 95% intervals: ± over training seeds (Student), brackets over problems (bootstrap). "
    "KL: to the initial model, k3, nats per completion, over all held-out problems. "
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
    several = _several_models(found)
    heads = _heads(several)
    best, ties = best_and_ties(found)
    lines = [_row(heads), _row(["---", *("---:" for _ in heads[1:])])]
    for place, method in enumerate(found):
        cells = [re.sub(r"([|\\`*_<])", r"\\\1", cell) for cell in _cells(method, several)]
        if place == best:
            cells[_reward_place(several)] = f"**{cells[_reward_place(several)]}**"
        elif place in ties:
            cells[_reward_place(several)] = f"<u>{cells[_reward_place(several)]}</u>"
        lines.append(_row(cells))
    return "\n".join([*lines, "", f"{_LEGEND}Bold: the best reward; underlined: not worse beyond chance.", ""])


def latex(found: Sequence[Method]) -> str:
    """The table for a paper, with booktabs; marked as in Markdown."""
    several = _several_models(found)
    heads = _heads(several)
    best, ties = best_and_ties(found)
    lines = [
        "% needs \\usepackage{booktabs}",
        *(f"% {line}" for line in textwrap.wrap(_LEGEND, 110)),
        f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        "\\toprule",
        " & ".join(tex_escaped(head).replace("beta", "$\\beta$") for head in heads) + " \\\\",
        "\\midrule",
    ]
    for place, method in enumerate(found):
        cells = [tex_escaped(cell).replace("±", "$\\pm$") for cell in _cells(method, several)]
        cells = [re.sub(r"^([\d.]+)e(-?)0*(\d+)$", r"$\1 \\cdot 10^{\2\3}$", cell) for cell in cells]
        if place == best:
            cells[_reward_place(several)] = f"\\textbf{{{cells[_reward_place(several)]}}}"
        elif place in ties:
            cells[_reward_place(several)] = f"\\underline{{{cells[_reward_place(several)]}}}"
        lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def tex_escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_TEX.get(char, char) for char in text)


def _heads(several: bool) -> list[str]:
    return [
        "method",
        *(["begun with"] if several else []),
        *(
            "reward, selection",
            "reward, reporting",
            "pass@1, reporting",
            "KL",
            "beta",
            "learning rate",
            "step",
            "seeds",
        ),
    ]


def _reward_place(several: bool) -> int:
    return _heads(several).index("reward, reporting")


def _cells(method: Method, several: bool) -> list[str]:
    return [
        method.name,
        *([method.model] if several else []),
        f"{100 * method.selection:.1f}",
        _shown(method.reward),
        _shown(method.pass_at_1),
        "" if method.kl is None else f"{method.kl:.2f}",
        *("" if value is None else _number(value) for value in (method.beta, method.learning_rate)),
        method.steps,
        str(len(method.chosen)),
    ]


def _shown(found: Estimate) -> str:
    seeds = "" if found.over_seeds is None else f" ± {50 * (found.over_seeds.high - found.over_seeds.low):.1f}"
    return f"{100 * found.mean:.1f}{seeds} [{100 * found.over_problems.low:.1f}, {100 * found.over_problems.high:.1f}]"


def _number(value: float) -> str:
    """`0.03`, `1e-6`."""
    return re.sub(r"e([+-])0+", r"e\1", f"{value:g}")


def _several_models(found: Sequence[Method]) -> bool:
    return len({method.model for method in found}) > 1


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
