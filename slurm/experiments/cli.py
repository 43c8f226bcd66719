"""The command line `qrpo-experiment`: submits experiments, tells where they stand, reports.

Exit codes: 0 done (with `--wait` or `--local`: and every task has succeeded); 1 waited for, and not every task has
succeeded; 2 bad input, a check has failed, or Slurm said no; 130 interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slurm.errors import ExperimentError
from slurm.experiments.display import Display, shown_meanwhile
from slurm.experiments.dry_run import dry_run, dry_run_data, print_dry_run
from slurm.experiments.experiment import Experiment, described, folder_of, opened
from slurm.experiments.folder import ExperimentFolder
from slurm.experiments.machine import Machine
from slurm.experiments.options import BAD_INPUT, DirOption, JsonOption, TasksArgument, reported
from slurm.experiments.plan import AGAIN, LIVE, obstacle, with_dependents
from slurm.experiments.preparation import Choose
from slurm.experiments.reading_cli import logs, report, status
from slurm.experiments.running import Done, Read, wait
from slurm.experiments.running import cancel as cancel_tasks
from slurm.experiments.running import submit as submit_tasks
from slurm.experiments.selection import selected, shortened
from slurm.experiments.standing import Standing, look
from slurm.experiments.state import Kind, State
from slurm.experiments.status_table import Summary, as_data

_UNSUCCESSFUL = 1
FileArgument = Annotated[
    Path, typer.Argument(help="The experiment's description.", exists=True, dir_okay=False, show_default=False)
]
LocalOption = Annotated[
    bool,
    typer.Option("--local", help="Run on this machine, in the foreground; Ctrl-C stops, the same command goes on."),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", min=1, help="With --local: tasks at a time (default: as the cores allow).")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Stay until all has ended; submit what the limits have held back.")
]
app = typer.Typer(
    name="qrpo-experiment",
    help="Experiments: many jobs of one description, tracked until all have succeeded.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (status, logs, report):
    app.command()(command)


@app.command()
def submit(  # noqa: PLR0913  # a command has the options it has
    file: FileArgument,
    *,
    folder: DirOption = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A variable's value; repeated for more.")
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Print every job and what sbatch would be given; make nothing.")
    ] = False,
    is_local: LocalOption = False,
    jobs: JobsOption = None,
    is_waiting: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Submit what was not submitted before. Twice submits nothing twice; of a grown grid only what is new is run.

    First all inputs, the disk, quotas and outputs in the way are looked at. Commands run in the folder of FILE.
    What has failed stays so until `resubmit`.
    """
    with reported():
        place = folder_of(folder or file)

        def read() -> Experiment:
            return described(file, changes or (), place)

        if is_dry:
            found = dry_run(read(), is_local=is_local)
            if as_json:
                typer.echo(json.dumps(dry_run_data(found)))
            else:
                print_dry_run(Console(soft_wrap=True), found)
            if found.problem:
                typer.echo(f"error: {found.problem}", err=True)
                raise typer.Exit(BAD_INPUT)
            return
        _run(place, read, lambda _: (), _machine(is_local, jobs), is_waiting=is_waiting, as_json=as_json)


@app.command()
def resubmit(  # noqa: PLR0913  # as above
    tasks: TasksArgument = None,
    *,
    folder: DirOption = None,
    only_failed: Annotated[
        bool, typer.Option("--failed", help="All that have failed, were lost or cancelled (of TASK, where given).")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those of TASK that have succeeded.")] = False,
    is_local: LocalOption = False,
    jobs: JobsOption = None,
    is_waiting: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run tasks again, in a new attempt; those that could not run because of them go along."""
    with reported():
        if not tasks and not only_failed:
            raise ExperimentError("name tasks, or all that have failed by --failed")
        if again and (only_failed or not tasks):
            raise ExperimentError("--again is for tasks that are named, without --failed")
        place = folder_of(folder)
        _run(
            place,
            lambda: opened(place),
            lambda standing: _chosen(standing, tasks or (), only_failed=only_failed, again=again),
            _machine(is_local, jobs),
            is_waiting=is_waiting,
            as_json=as_json,
        )


@app.command()
def cancel(tasks: TasksArgument = None, *, folder: DirOption = None, as_json: JsonOption = False) -> None:
    """End jobs that wait or run: of TASK, or all; then commands that wait submit nothing more, either."""
    with reported():
        place = folder_of(folder)
        experiment = opened(place)
        chosen = {task.id for task in selected(experiment.all_tasks, tasks)} if tasks else None
        ended = cancel_tasks(experiment, chosen)
    if as_json:
        typer.echo(json.dumps({"dir": str(place.path), "cancelled": ended}))
    else:
        typer.echo(f"cancelled {len(ended)}: {shortened(ended)}" if ended else "nothing waits or runs")


def _machine(is_local: bool, jobs: int | None) -> Machine | None:
    if jobs is not None and not is_local:
        raise ExperimentError("--jobs is for --local; how many jobs Slurm runs at a time is limits: of the file")
    return Machine(jobs) if is_local else None


def _run(  # as above
    place: ExperimentFolder, read: Read, choose: Choose, machine: Machine | None, *, is_waiting: bool, as_json: bool
) -> None:
    """Submits, waits where that is wished, and says how it went."""
    console = Console(stderr=True)
    standing: Standing | None = None
    if machine is None:
        with console.status("looking") as shown:
            count = 0

            def tell(_: object) -> None:
                nonlocal count
                count += 1
                shown.update(f"submitted {count}")

            done = submit_tasks(place, read, choose, on_submission=tell)
        if not as_json:
            _say(done)
        if is_waiting:
            with Display(console) as display:
                standing = wait(place, display.show)
    else:
        with Display(console) as display, shown_meanwhile(display, lambda: look(opened(place))):
            done = submit_tasks(place, read, choose, machine)
        standing = look(opened(place))
    if as_json:
        data = as_data(standing) if standing else {"dir": str(place.path)}
        typer.echo(json.dumps(data | _done_data(done)))
    elif standing is not None:
        Summary(standing).print_to(Console())
    if standing is not None and not standing.has_succeeded:
        raise typer.Exit(_UNSUCCESSFUL)


def _chosen(standing: Standing, words: Sequence[str], *, only_failed: bool, again: bool) -> Collection[str]:
    tasks = list(standing.experiment.tasks.values())
    states = standing.by_id
    named = selected(tasks, words) if words else tasks
    kinds = AGAIN | ({Kind.SUCCEEDED} if again else set())
    chosen = {task.id for task in named if states[task.id].kind in kinds}
    live = [task.id for task in named if states[task.id].kind in LIVE]
    fine = [task.id for task in named if states[task.id].kind is Kind.SUCCEEDED and not again]
    if live and not only_failed:
        raise ExperimentError(f"{shortened(live)}: in the queue, or running; `qrpo-experiment cancel` it first")
    if fine and not only_failed:
        raise ExperimentError(f"{shortened(fine)}: succeeded; --again runs it nevertheless")
    found = with_dependents(tasks, states, chosen)
    in_vain = ((task, obstacle(task, states, found)) for task in named if task.id in chosen and not only_failed)
    for task, need in in_vain:
        if need is not None:
            raise ExperimentError(
                f"{task.id}: needs {_said(need)}; name {need.task.id} too, and what could not run goes along"
            )
    return found


def _said(state: State) -> str:
    verb = {Kind.FAILED: "has", Kind.CANCELLED: "was"}.get(state.kind, "is")
    return f"{state.task.id}, which {verb} {state.kind}"


def _say(done: Done) -> None:
    parts = [f"submitted {len(done.submitted)}"]
    before = sum(state.kind in LIVE | {Kind.SUCCEEDED} for state in done.before.states)
    if before:
        parts.append(f"{before} were there before")
    if done.planned.held:
        parts.append(f"{len(done.planned.held)} later, as limits.queued has it (`submit --wait` does that by itself)")
    refused = len(done.planned.todo) - len(done.submitted)
    if refused:
        parts.append(f"{refused} later, as Slurm takes no more now (`status` says why)")
    planned = {task.id for task in (*done.planned.todo, *done.planned.held)}
    unfit = sum(state.kind in AGAIN for state in done.before.states if state.task.id not in planned)
    if unfit:
        parts.append(f"{unfit} have failed, or wait for such (`qrpo-experiment resubmit --failed`)")
    typer.echo(f"{', '.join(parts)}; {done.before.experiment.folder.path}")
    for note in done.before.notes:
        typer.echo(f"note: {note}", err=True)


def _done_data(done: Done) -> dict[str, object]:
    return {
        "submitted": [{"id": item.task_id, "job": item.job, "log": str(item.log)} for item in done.submitted],
        "held": [task.id for task in done.planned.held],
        "stuck": [task.id for task in done.planned.stuck],
    }


if __name__ == "__main__":
    app()
