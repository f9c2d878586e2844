"""`nerfbot bench NAME`: measure and print figures, as a table or as JSON."""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from nerfbot.bench.figures import Figure
from nerfbot.cli.options import JSON
from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand

REPORT_PERIOD = 30.0
"""Time between two lines of progress where no terminal shows a bar, s."""

BENCHMARKS = ("limits", "sim", "grid", "learn", "ros", "servo")


def bench(
    name: Annotated[str, typer.Argument(help=f"Which benchmark: {', '.join(BENCHMARKS)}.")],
    as_json: JSON = False,
) -> None:
    """Measure speed beside a peer or a bare limit in the same run."""
    if name not in BENCHMARKS:
        raise InvalidCommand(f"bench: unknown benchmark {name!r}{suggestion(name, BENCHMARKS)}")
    module = importlib.import_module(f"nerfbot.bench.{name}")
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task, reported = bar.add_task(name), time.monotonic()

        def report(text: str) -> None:
            nonlocal reported
            bar.update(task, description=f"{name}: {text}")
            if not console.is_terminal and time.monotonic() - reported > REPORT_PERIOD:
                reported = time.monotonic()
                console.print(f"{name}: {text}", highlight=False)

        figures: list[Figure] = module.figures(report)
    if as_json:
        print(json.dumps({"figures": [asdict(figure) for figure in figures]}))
        return
    table = Table(title=f"bench {name}")
    for heading in ("figure", "value", "unit", "better", "measured beside", "its value"):
        is_name = heading == "figure"  # a name that is cut off cannot be looked up
        table.add_column(heading, justify="right" if "value" in heading else "left", no_wrap=is_name)
    for figure in figures:
        against = figure.against
        peer, value = (against.name, f"{against.value:,.4g}") if against else ("", "")
        table.add_row(figure.name, f"{figure.value:,.4g}", figure.unit, figure.better, peer, value)
    Console().print(table)
