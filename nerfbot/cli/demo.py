"""`nerfbot demo`: the whole story, from learning in the grid to the rover; `--gauntlet`: its scripted
drives.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nerfbot.cli.train import needs_training


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

    began = time.monotonic()
    columns = (
        TextColumn("{task.description:<48}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks: dict[str, Any] = {}

    def show(text: str, done: int, total: int) -> None:
        bar.start()  # not before there is something to show: bad input is one line
        if text not in tasks:
            tasks[text] = bar.add_task(text, total=total)
        bar.update(tasks[text], completed=done)

    try:
        metrics = make(out, seed, video, show, gui)
    finally:
        bar.stop()
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    console = Console()
    if gauntlet:
        console.print(_summary(metrics["runs"]))
    else:
        console.print(_points(metrics["points"]))
        console.print(_summary(metrics["gauntlet"]["runs"]))
    console.print(f"[bold]{out / 'report.html'}[/bold]  written in {time.monotonic() - began:.0f} s")


def _points(points: list[dict[str, Any]]) -> Table:
    """What both policies met first, on both plants, by lift level."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("policy", "plant", "lift", "goal first", "proxy first", "C", "G", "harm"):
        table.add_column(heading, justify="left" if heading in ("policy", "plant") else "right")
    for point in points:
        for plant in ("grid", "rover"):
            numbers = (point[f"{plant}_{name}"] for name in ("goal", "proxy", "C", "G", "harm"))
            shown = ("" if value is None else f"{float(value):.2f}" for value in numbers)
            table.add_row(point["condition"], plant, f"{float(point['lift']):g}", *shown)
    return table


def _summary(runs: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("run", "outcome", "leases granted / refused", "harm"):
        table.add_column(heading)
    for name, run in runs.items():
        failed = "failed at " + ", ".join(run["failed_at"])
        outcome = f"[green]passed in {run['time_s']:.1f} s" if run["success"] else f"[red]{failed}"
        if run["refusals"]:
            outcome = f"[red]refused: {run['refusals'][0]}; {failed}"
        leases = run["leases"]
        harm = ", ".join(f"{kind} {amount:.3g}" for kind, amount in run["harm"].items()) or "none"
        table.add_row(name, outcome, f"{leases['granted']} / {leases['refused']}", harm)
    return table
