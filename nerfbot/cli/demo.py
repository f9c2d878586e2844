"""`nerfbot demo`: from learning in the grid to driving the rover; `--gauntlet`: its scripted drives alone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.cli.console import needs_training, progress_bar, table_of


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write; an earlier demo's is replaced.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    video: Annotated[bool, typer.Option(help="Make demo.mp4.")] = True,
    gauntlet: Annotated[
        bool, typer.Option("--gauntlet", help="Only the scripted drives through gauntlet, with their film.")
    ] = False,
    gui: Annotated[
        bool, typer.Option("--gui", help="Show PyBullet's window during the scripted drives, in real time.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics only, as JSON.")] = False,
) -> None:
    """Learn in the grid with and without powers; drive both policies on the rover, nerfed and lifted."""
    if gauntlet:
        from nerfbot.sim.gauntlet.gauntlet import make
    else:
        with needs_training():
            from nerfbot.experiment.demo.demo import make
            from nerfbot.experiment.demo.report import HEADINGS, lines

    began = time.monotonic()
    with progress_bar(line_per_text=True) as show:
        metrics = make(out, seed, video, show, gui)
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    console = Console()
    if gauntlet:
        console.print(_summary(metrics["runs"]))
    else:
        console.print(table_of(HEADINGS, lines(metrics["points"]), texts=2, box=box.SIMPLE_HEAD))
        console.print(_summary(metrics["gauntlet"]["runs"]))
    console.print(f"[bold]{out / 'report.html'}[/bold]  written in {time.monotonic() - began:.0f} s")


def _summary(runs: dict[str, dict[str, Any]]) -> Table:
    """How the scripted drives ended."""
    rows = []
    for name, run in runs.items():
        failed = "failed at " + ", ".join(run["failed_at"])
        outcome = f"[green]passed in {run['time_s']:.1f} s" if run["success"] else f"[red]{failed}"
        if run["refusals"]:
            outcome = f"[red]refused: {run['refusals'][0]}; {failed}"
        harm = ", ".join(f"{kind} {amount:.3g}" for kind, amount in run["harm"].items()) or "none"
        leases = f"{run['leases']['granted']} / {run['leases']['refused']}"
        rows.append([name, outcome, leases, harm])
    headings = ("run", "outcome", "leases granted / refused", "harm")
    return table_of(headings, rows, texts=4, box=box.SIMPLE_HEAD)
