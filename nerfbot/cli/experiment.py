"""`nerfbot experiment NAME`: run arms and seeds with a live table, then write figures and the report."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nerfbot.cli.console import needs_training, output_folder, table_of
from nerfbot.cli.options import JSON
from nerfbot.cli.study import STUDIES, run_study
from nerfbot.cli.train import SET

if TYPE_CHECKING:
    from nerfbot.experiment.runs.scheduler import Progress


def experiment(
    name: str = typer.Argument(
        help="A preset's name, the path of a YAML file, or a study on the rover: fidelity, curve."
    ),
    quick: bool = typer.Option(False, "--quick", help="Two seeds and few steps: a look, not a result."),
    arms: str = typer.Option("", "--arms", help="Arms, with commas between them; default: the file's."),
    seeds: int = typer.Option(0, "--seeds", min=0, help="Seeds an arm; default: the file's."),
    resume: bool = typer.Option(False, "--resume", help="Add to the rows that the folder holds already."),
    final: bool = typer.Option(
        False, "--final", help="Measure on the sealed test levels; each use is noted."
    ),
    out: str = typer.Option("", "--out", help="Folder of the results; default: runs/NAME."),
    changes: list[str] = SET,
    processes: int = typer.Option(0, "--processes", min=0, help="Runs side by side; default: one a core."),
    as_json: JSON = False,
) -> int:
    """Run an experiment's arms and seeds; draw the robustness plane; write report.html."""
    if name in STUDIES:
        refused = {"--arms": arms, "--seeds": seeds, "--processes": processes}
        return run_study(name, quick, resume, final, out, changes, as_json, refused)
    with needs_training():
        from nerfbot.experiment.analysis.report import write_report
        from nerfbot.experiment.protocol.config import InvalidExperiment, load_experiment
        from nerfbot.experiment.runs.results import FILE, json_ready, summary
        from nerfbot.experiment.runs.scheduler import Experiment
    config = load_experiment(name, changes, quick)
    folder = output_folder(out, Path("runs") / config.name, FILE, resume)
    names = [part.strip() for part in arms.split(",") if part.strip()] or list(config.arms)
    if not names:
        raise InvalidExperiment(f"experiment {config.name!r}: no arms; name some with --arms")
    work = Experiment(config, folder, names, seeds or config.seeds, processes or None, final)
    console = Console(stderr=as_json)
    failed: dict[tuple[str, int], str] = {}
    with Live(console=console, refresh_per_second=2, transient=True) as live:

        def show(progress: Progress) -> None:
            live.update(_live(progress))
            failed.update(progress.failed)

        rows = work.run(show)
    for (arm, seed), line in failed.items():
        console.print(Text(f"failed: {arm}, seed {seed}: {line}", style="red"))
    if rows:
        report = write_report(folder, config, rows)
        figures = summary(rows)
        if as_json:
            print(json.dumps({"arms": json_ready(figures)}))
        else:
            console.print(_table(config.title or config.name, figures))
            console.print(f"report: {report}")
    return 1 if failed else 0


def _live(progress: Progress) -> Group:
    """One line an arm, a bar for the whole, and the time left."""
    table = Table(box=None, pad_edge=False)
    for heading in ("arm", "done", "running", "goal reached in training"):
        table.add_column(heading)
    for arm in dict.fromkeys(arm for arm, _ in progress.jobs):
        own = [job for job in progress.jobs if job[0] == arm]
        done = sum(job in progress.done for job in own)
        runs = {seed: run for (name, seed), run in progress.running.items() if name == arm}
        steps = ", ".join(f"seed {seed}: {run.steps / run.total:.0%}" for seed, run in runs.items())
        success = ", ".join(f"{run.success:.2f}" for run in runs.values() if run.steps)
        table.add_row(arm, f"{done} of {len(own)}", steps, success)
    left = datetime.timedelta(seconds=round(progress.seconds_left))
    whole = ProgressBar(total=len(progress.jobs), completed=len(progress.done), width=40)
    return Group(table, whole, Text(f"{len(progress.done)} of {len(progress.jobs)} runs, about {left} left"))


def _table(title: str, figures: Mapping[str, Mapping[str, Any]]) -> Table:
    lines = []
    for arm, row in figures.items():
        low, high = row["goal_rate_low"], row["goal_rate_high"]
        measures = (row[name] for name in ("C", "G", "goal_rate"))
        lines.append(
            [
                arm,
                str(row["seeds"]),
                f"{row['steps']:,}",
                *("" if math.isnan(measure) else f"{measure:.2f}" for measure in measures),
                "" if math.isnan(low) else f"{low:.2f} to {high:.2f}",
                f"{row['greedy_goal_rate']:.2f}",
                f"{row['alpha_eff_steps']:.4f}",
            ]
        )
    headings = ("arm", "seeds", "steps", "C", "G", "goal rate", "95 %", "greedy", "alpha eff")
    return table_of(headings, lines, title)
