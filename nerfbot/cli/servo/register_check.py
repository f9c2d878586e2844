"""`nerfbot nerf check` on a servo bus: each limit as a register's value; and the port of a command."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.cli.options import limit_text
from nerfbot.limits import NerfSpec

if TYPE_CHECKING:
    from nerfbot.hardware.driver.register_limits import RegisterLimit

EMULATOR = "emulator"
"""The port that stands for an emulator of the robot, started for one command."""

STATUS = {"enforced": "green", "quantised": "green", "software": "yellow"}


def is_servo_robot(robot: str, port: str | None) -> bool:
    """Whether to check on a servo bus: a port is given, or the robot is a servo robot."""
    from nerfbot.hardware.robot import robots

    return port is not None or robot in robots()


@contextlib.contextmanager
def opened_port(port: str, robot: str, calibration: Path | None = None) -> Iterator[str]:
    """Yield the port's path; for ``emulator``, that of an emulator of ``robot`` which runs meanwhile.

    ``calibration``: of the emulated arm.
    """
    if port != EMULATOR:
        yield port
        return
    from nerfbot.hardware.emulator.process import EmulatedBus

    options = [] if calibration is None else ["--calibration", str(calibration)]
    with EmulatedBus(robot, options=options) as emulated:
        yield str(emulated.port)


def check_registers(spec: str, robot: str, port: str | None, as_json: bool) -> int:
    """Print each limit as its register holds it, read back where a port is given; returns 1 if one fails."""
    from nerfbot.hardware.driver.register_limits import RegisterPlan
    from nerfbot.hardware.driver.setup import check_units, open_bus, torque_off, write_limits
    from nerfbot.hardware.robot import ServoRobot

    description = ServoRobot.load(robot)
    plan = RegisterPlan(description, NerfSpec.load(spec))
    report = plan.report
    if port is not None:
        with opened_port(port, robot) as path, contextlib.closing(open_bus(description, path)) as bus:
            check_units(bus, description)
            torque_off(bus)
            read_back = write_limits(bus, plan.counts_at((0.0, 0.0, 0.0, 0.0)))
        report = plan.with_held(read_back)
    failing = [item for item in report if item.status in ("not enforceable", "not held")]
    if as_json:
        data: dict[str, Any] = {"spec": plan.spec.name, "robot": description.name, "port": port}
        data |= {"enforced": not failing, "limits": [item.as_json() for item in report]}
        print(json.dumps(data, indent=2))
    else:
        _print(report, plan.spec.name, description.name, port, len(failing))
    return 1 if failing else 0


def _print(report: list[RegisterLimit], spec: str, robot: str, port: str | None, failing: int) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("on", "limit", "unit", "requested", "quantised", "register", "counts", "held", "status"):
        is_number = heading in ("requested", "quantised", "counts", "held")
        wrap = heading in ("register", "status")
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(heading, justify=justify, no_wrap=not wrap, overflow="fold")
    for item in report:
        table.add_row(
            item.joint,
            item.field,
            item.unit,
            limit_text(item.requested),
            "" if item.quantised is None else f"{item.quantised:.4g}",
            item.register,
            "" if item.counts is None else str(item.counts),
            "" if item.held is None else str(item.held),
            f"[{STATUS.get(item.status, 'red')}]{item.status}",
        )
    console = Console()
    console.print(table)
    in_registers = sum(item.counts is not None for item in report)
    where = "" if port is None else f" on {port}, read back with torque off"
    console.print(f"{spec} on {robot}: {in_registers} of {len(report)} limits in registers{where}")
    if failing:
        console.print(f"[red]{failing} not enforced")
