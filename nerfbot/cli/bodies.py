"""`nerfbot bodies`: how often each simulated robot succeeds, nerfed and lifted, where its nerf bites."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from nerfbot.cli.options import JSON


def bodies(
    names: Annotated[list[str] | None, typer.Argument(help="The robots; default: all.")] = None,
    seeds: Annotated[int, typer.Option(help="Episodes of each, nerfed and lifted.", min=1)] = 20,
    as_json: JSON = False,
) -> None:
    """Drive every robot nerfed and lifted: exit 0 where each nerf bites and each lift helps, else 1."""
    from nerfbot.sim.scripted.nerf_check import CHECK_CASES, FAILS, PASSES, check

    selected = names or list(CHECK_CASES)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("driving", total=2 * seeds * len(selected))
        results = [check(name, seeds, done=lambda: progress.advance(task)) for name in selected]
    if as_json:
        rows = [{**item._asdict(), "holds": item.holds} for item in results]
        print(json.dumps({"most_nerfed": FAILS, "least_lifted": PASSES, "bodies": rows}, indent=2))
    else:
        table = Table("body", "nerf", "where", "leases on", "nerfed", "lifted", "")
        for item in results:
            verdict = "[green]bites" if item.holds else "[red]does not bite"
            shares = (f"{item.nerfed:.2f}", f"{item.lifted:.2f}")
            table.add_row(item.name, item.nerf, item.course, " + ".join(item.axes), *shares, verdict)
        Console().print(table)
        print(
            f"share of {seeds} seeds that succeed; a nerf bites with at most {FAILS:g} nerfed"
            f" and at least {PASSES:g} lifted"
        )
    raise typer.Exit(0 if all(item.holds for item in results) else 1)
