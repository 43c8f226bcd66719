import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from qrpo.collect import collect, main
from qrpo.errors import PipelineError

Make = Callable[[Path, Any], Path]
COMPILED = r"""\documentclass{article}
\usepackage[margin=1in]{geometry}
\usepackage{booktabs}
\begin{document}
\footnotesize\noindent\input{table.tex}
\end{document}"""
FILES = ["length_bias.svg", "log_ratios.svg", "results.csv", "rewards.svg", "table.md", "table.tex", "verdicts.svg"]


@pytest.fixture
def folders(make_run: Make, made_up: Any, tmp_path: Path) -> list[Path]:
    """Two algorithms with two seeds each, two checkpoints; names that HTML, Markdown and LaTeX would read."""
    return [
        make_run(
            tmp_path / f"{algorithm} & {seed}",
            made_up(
                algorithm=algorithm,
                seed=seed,
                model=f"a_b/{model}",
                pass_k=4,
                rates={0: [0.2] * 8, 8: [0.3] * 8, 16: [0.3 + 0.5 * (algorithm == "qrpo")] * 8},
            ),
        )
        for algorithm, model in (("qrpo", "50%|<x>"), ("dpo", "plain"))
        for seed in range(2)
    ]


def gather(paths: list[Path], out: Path) -> str:
    console = Console(file=io.StringIO(), width=300)
    collect(paths, out, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_tables_and_figures_are_written_and_the_same_again(folders: list[Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        gather(folders, tmp_path / name)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_csv_has_every_step_of_every_run_and_says_which_was_chosen(folders: list[Path], tmp_path: Path) -> None:
    gather(folders, tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text())))
    assert len(rows) == 4 * 3
    chosen = [row for row in rows if row["chosen"] == "1"]
    assert {(row["algorithm"], row["seed"]) for row in chosen} == {(a, s) for a in ("qrpo", "dpo") for s in "01"}
    assert all(row["step"] == "16" for row in chosen if row["algorithm"] == "qrpo")
    assert [row["kl_k3"] for row in rows if row["step"] == "8"] == ["0.5"] * 4


def test_the_latex_is_escaped_and_every_line_has_every_cell(folders: list[Path], tmp_path: Path) -> None:
    gather(folders, tmp_path / "out")
    lines = (tmp_path / "out" / "table.tex").read_text().splitlines()
    body = [line for line in lines if line.endswith(r"\\")]
    columns = re.search(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}", "\n".join(lines))
    assert columns is not None
    for line in body:
        spanned = sum(int(number) - 1 for number in re.findall(r"\\multicolumn\{(\d+)\}", line))
        assert len(re.findall(r"(?<!\\)&", line)) + spanned == len(columns[1]) - 1
        assert not re.search(r"(?<!\\)[%#_](?!\{)", line)
        assert len(re.findall(r"(?<!\\)\{", line)) == len(re.findall(r"(?<!\\)\}", line))
    assert any(r"50\%\textbar{}\textless{}x\textgreater{}" in line for line in body)
    assert sum(r"\textbf{" in line for line in body) == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_the_latex_compiles_and_is_no_wider_than_a_page(folders: list[Path], tmp_path: Path) -> None:
    gather(folders, tmp_path / "out")
    (tmp_path / "out" / "paper.tex").write_text(COMPILED)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout


def test_a_narrow_terminal_shows_every_digit(folders: list[Path], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    collect(folders, tmp_path / "out", console)
    assert "…" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_references_have_a_figure_where_their_number_differs_and_only_there(
    make_run: Make, made_up: Any, tmp_path: Path
) -> None:
    rates = {0: [0.2] * 8, 8: [0.3] * 8}
    runs = [
        make_run(tmp_path / str(refs), made_up(algorithm="qrpo", rates=rates, num_refs=refs, beta=0.03))
        for refs in (1, 3, None)
    ]
    gather(runs, tmp_path / "out")
    figure = (tmp_path / "out" / "references.svg").read_text()
    assert all(text in figure for text in ("β = 0.03", ">1<", ">3<", ">20<", "initial model"))
    gather(runs[:1], tmp_path / "out")
    assert not (tmp_path / "out" / "references.svg").exists()


def test_the_markdown_has_cells_for_every_head(folders: list[Path], tmp_path: Path) -> None:
    gather(folders, tmp_path / "out")
    rows = [line for line in (tmp_path / "out" / "table.md").read_text().splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r"a\_b/50%\|\<x>" in "".join(rows)


def test_runs_that_are_missing_unfinished_or_there_twice_are_named_and_skipped(
    folders: list[Path], make_run: Make, made_up: Any, tmp_path: Path
) -> None:
    again = make_run(tmp_path / "again", made_up(algorithm="dpo", rates={0: [0.2] * 8, 8: [0.3] * 8}))
    unfinished = make_run(tmp_path / "unfinished", made_up(algorithm="sft", rates={0: [0.2] * 8, 8: [0.3] * 8}))
    manifest = unfinished / "evaluate" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"done": true', '"done": false'))
    written = gather([*folders, tmp_path / "nowhere", unfinished, again], tmp_path / "out")
    skipped = [line for line in written.splitlines() if line.startswith("skipped")]
    assert skipped == [
        f"skipped {tmp_path}/nowhere: there is no such folder",
        f"skipped {unfinished}: its evaluation is not finished",
        f"skipped {again}: it has the options and the seeds of {folders[2]}",
    ]
    assert "4 runs;" in written


def test_nothing_finished_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "out")]) == 1
    assert "none of the 2 folders holds a finished run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 1.0}, "eval_temperature 0.6 and .* with 1.0"),
        ({"rates": {0: [0.1] * 6, 8: [0.1] * 6}}, "different problems"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    folders: list[Path], make_run: Make, made_up: Any, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    odd = make_run(tmp_path / "odd", made_up(**{"algorithm": "sft", "rates": {0: [0.1] * 8, 8: [0.1] * 8}, **options}))
    with pytest.raises(PipelineError, match=message):
        gather([*folders, odd], tmp_path / "out")


def test_figures_name_a_model_that_a_run_has_trained_by_its_run(make_run: Make, made_up: Any, tmp_path: Path) -> None:
    rates = {0: [0.1] * 4, 8: [0.1] * 4}
    models = {"dpo": "/somewhere/first run/train/model", "qrpo": "hub/name"}
    runs = [
        make_run(tmp_path / name, made_up(algorithm=name, rates=rates, model=model)) for name, model in models.items()
    ]
    gather(runs, tmp_path / "out")
    figure = (tmp_path / "out" / "rewards.svg").read_text()
    assert all(name in figure for name in ("DPO, first run", "QRPO, name", "initial model, first run"))


def test_a_run_without_log_ratios_has_no_curves_and_all_other_figures(
    make_run: Make, made_up: Any, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", made_up(algorithm="simpo", rates={0: [0.1] * 4, 8: [0.1] * 4}))
    (run / "train" / "log.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    gather([run], tmp_path / "out")
    assert "SimPO" not in (tmp_path / "out" / "log_ratios.svg").read_text()
    assert "SimPO" in (tmp_path / "out" / "rewards.svg").read_text()
