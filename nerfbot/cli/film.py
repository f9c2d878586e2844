"""`nerfbot course film`: randomly drawn episodes as a GIF or an MP4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from nerfbot.cli.options import COURSE, NERF, POWERS, SCHEDULE, TRAINING, environment


def film(
    course: COURSE,
    out: Annotated[
        Path, typer.Option(help="The film, .gif or .mp4; a .json of the same name goes beside it.")
    ],
    seed: Annotated[int, typer.Option(help="Draws the seeds of the episodes.")] = 0,
    episodes: Annotated[int, typer.Option(help="Number of episodes.")] = 4,
    across: Annotated[int, typer.Option(help="Episodes side by side.")] = 2,
    policy: Annotated[
        Path | None, typer.Option(help="A saved policy's folder; without it actions are random.")
    ] = None,
    nerf: NERF = "none",
    powers: POWERS = "all",
    schedule: SCHEDULE = "once",
    training: TRAINING = False,
    fps: Annotated[float, typer.Option(help="Ticks per second.")] = 6.0,
    tile: Annotated[int, typer.Option(help="Side of a cell, px.")] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="Print the content of the JSON file.")] = False,
) -> None:
    """Film randomly drawn episodes; the film states how they were drawn, so nobody can pick them."""
    from nerfbot.grid.filming.films import make_film

    keywords = environment(course, nerf, powers, schedule, training=training)
    title = "" if policy is None else f"{Path(course).stem}: policy {policy.name}"
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    drawing = bar.add_task("drawing", total=None)

    def report(done: int, total: int) -> None:
        bar.start()
        bar.update(drawing, completed=done, total=total)

    try:
        description = make_film(
            out, keywords, _policy(policy), seed, episodes, across, fps, tile, title, report
        )
    finally:
        bar.stop()
    if as_json:
        print(json.dumps(description, indent=2))
        return
    table = Table("episode", "level's seed", "ticks", "return", "first contact", "illegal edits")
    for episode in description["episodes"]:
        cells = [_text(episode[name]) for name in ("seed", "level_seed", "ticks", "return")]
        table.add_row(*cells, episode["first_contact"], str(episode["illegal_edits"]))
    printer = Console()
    printer.print(table)
    printer.print(f"written: {out}, {out.with_suffix('.json')}", highlight=False, soft_wrap=True)


def _policy(folder: Path | None) -> Any:
    if folder is None:
        return None
    from nerfbot.agents.policy import load_policy

    return load_policy(folder)


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)
