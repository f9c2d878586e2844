"""`nerfbot watch`: the commands of a running robot, requested and executed, and why, live at the terminal."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from nerfbot.cli.supervisor import ROBOT, client

AXIS_STYLES = {"strength": "red", "speed": "yellow", "sensing": "cyan", "reliability": "magenta"}


def watch(
    robot: ROBOT = None,
    rate: Annotated[float, typer.Option(help="Updates a second.", min=0.2, max=20.0)] = 5.0,
    seconds: Annotated[float | None, typer.Option(help="End after so many seconds.", min=0.0)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show requested and executed command, lift, lease countdown, permit and faults; Ctrl-C ends it."""
    until = None if seconds is None else time.monotonic() + seconds
    with client(robot) as supervisor:
        if as_json:
            while True:
                typer.echo(json.dumps(supervisor.request("status")))
                if not _wait(until, rate):
                    return
        with Live(status_table(supervisor.request("status")), console=Console(), auto_refresh=False) as live:
            while _wait(until, rate):
                live.update(status_table(supervisor.request("status")), refresh=True)


def _wait(until: float | None, rate: float) -> bool:
    """Wait for the next update; false where the time is over."""
    if until is not None and time.monotonic() >= until:
        return False
    time.sleep(1.0 / rate)
    return True


def status_table(status: dict[str, Any]) -> Table:
    """The supervisor's answer as a table."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    permit = f"[red]stop: {status['stop']}" if status["stop"] else "[green]given"
    table.add_row("permit", permit)
    table.add_row("requested", _numbers(status.get("requested")))
    table.add_row("executed", _numbers(status.get("executed")))
    for axis, level in status["lift"].items():
        bar = ProgressBar(total=1.0, completed=level, width=20, complete_style=AXIS_STYLES[axis])
        grid = Table.grid(padding=(0, 1))
        grid.add_row(bar, f"{level:.2f}")
        table.add_row(axis, grid)
    leases = "; ".join(
        f"{item['id']} ({', '.join(item['axes'])}): {item['left']:.1f} s" for item in status["leases"]
    )
    table.add_row("leases", leases or "none")
    where = status["position"]
    at = status["position_problem"] if where is None else f"{where[0]:.2f}, {where[1]:.2f} m"
    table.add_row("position", f"{at}  (within {status['uncertainty']:.2f} m)")
    for name, (severity, detail) in status["conditions"].items():
        table.add_row(f"[red]{severity}", f"{name}: {detail}")
    for source, detail in status["faults"].items():
        table.add_row(f"[yellow]{source}", detail)
    return table


def _numbers(values: list[float] | None) -> str:
    return "nothing" if not values else ", ".join(f"{value:+.3f}" for value in values)
