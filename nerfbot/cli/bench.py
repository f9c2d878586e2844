"""`nerfbot bench NAME`: measure and print figures, as a table or as JSON."""

from __future__ import annotations

import importlib
import json
import time

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from nerfbot.bench.figures import Figure
from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand

SAY_EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal to show a bar on."""

BENCHMARKS = ("limits", "sim", "grid", "learn", "ros", "servo")


def bench(
    name: str = typer.Argument(help=f"Which benchmark: {', '.join(BENCHMARKS)}."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of a table."),
) -> None:
    """Measure speed beside a peer or a bare limit in the same run."""
    if name not in BENCHMARKS:
        raise InvalidCommand(f"bench: unknown benchmark {name!r}{suggestion(name, BENCHMARKS)}")
    module = importlib.import_module(f"nerfbot.bench.{name}")
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task, told = bar.add_task(name), time.monotonic()

        def tell(text: str) -> None:
            nonlocal told
            bar.update(task, description=f"{name}: {text}")
            if not console.is_terminal and time.monotonic() - told > SAY_EVERY:
                told = time.monotonic()
                console.print(f"{name}: {text}", highlight=False)

        found: list[Figure] = module.figures(tell)
    if as_json:
        print(json.dumps({"figures": [figure.plain() for figure in found]}))
        return
    table = Table(title=f"bench {name}")
    for heading in ("figure", "value", "unit", "better", "measured beside", "its value"):
        wide = heading == "figure"  # a name that is cut off cannot be looked up
        table.add_column(heading, justify="right" if "value" in heading else "left", no_wrap=wide)
    for figure in found:
        against = figure.against
        beside, value = (against.name, f"{against.value:,.4g}") if against else ("", "")
        table.add_row(figure.name, f"{figure.value:,.4g}", figure.unit, figure.better, beside, value)
    Console().print(table)
