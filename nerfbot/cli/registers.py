"""`nerfbot nerf check` on a servo bus: what registers make of a nerf; and the port that a command names."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.limits import NerfSpec
from nerfbot.limits.value import Value, high, low

if TYPE_CHECKING:
    from nerfbot.hardware.driver.register_limits import RegisterLimit

EMULATOR = "emulator"
"""As a port: start an emulator of the robot for this command."""

STATUS = {"enforced": "green", "quantised": "green", "software": "yellow"}


def is_servo_robot(robot: str, port: str | None) -> bool:
    """Whether a robot is checked on a servo bus: a port was named, or the robot is one of those."""
    if port is not None:
        return True
    from nerfbot.hardware.robot import robots

    return robot in robots()


@contextlib.contextmanager
def port_of(port: str, robot: str) -> Iterator[str]:
    """The port's path; an emulator of ``robot`` is started for ``emulator`` and ended afterwards."""
    if port != EMULATOR:
        yield port
        return
    from nerfbot.hardware.emulator.process import EmulatedBus

    with EmulatedBus(robot) as emulated:
        yield str(emulated.port)


def check_registers(spec: str, robot: str, port: str | None, as_json: bool) -> int:
    """Print what the registers make of each limit, read back where a port is given; 1 where one fails."""
    from nerfbot.hardware.driver.register_limits import RegisterPlan
    from nerfbot.hardware.driver.setup import open_bus, torque_off, write_limits
    from nerfbot.hardware.robot import ServoRobot

    description = ServoRobot.load(robot)
    plan = RegisterPlan(description, NerfSpec.load(spec))
    report = plan.report
    if port is not None:
        with port_of(port, robot) as path, contextlib.closing(open_bus(description, path)) as bus:
            torque_off(bus)
            held = write_limits(bus, plan.at((0.0, 0.0, 0.0, 0.0)))
        report = plan.with_held(held)
    failing = [item for item in report if item.status in ("not enforceable", "not held")]
    if as_json:
        data: dict[str, Any] = {"spec": plan.spec.name, "robot": description.name, "port": port}
        data |= {"enforced": not failing, "limits": [item.plain() for item in report]}
        print(json.dumps(data, indent=2))
    else:
        _print(report, plan.spec.name, description.name, port, len(failing))
    return 1 if failing else 0


def _print(report: list[RegisterLimit], spec: str, robot: str, port: str | None, failing: int) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("on", "limit", "unit", "asked", "quantised", "register", "counts", "held", "status"):
        number = heading in ("asked", "quantised", "counts", "held")
        wrap = heading in ("register", "status")
        table.add_column(heading, justify="right" if number else "left", no_wrap=not wrap, overflow="fold")
    for item in report:
        table.add_row(
            item.joint,
            item.field,
            item.unit,
            _text(item.requested),
            "" if item.quantised is None else f"{item.quantised:.4g}",
            item.register,
            "" if item.counts is None else str(item.counts),
            "" if item.held is None else str(item.held),
            f"[{STATUS.get(item.status, 'red')}]{item.status}",
        )
    console = Console()
    console.print(table)
    carried = sum(item.counts is not None for item in report)
    where = "" if port is None else f" on {port}, read back with torque off"
    console.print(f"{spec} on {robot}: {carried} of {len(report)} limits in registers{where}")
    if failing:
        console.print(f"[red]{failing} not enforced")


def _text(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else f"{low(value):.4g} to {high(value):.4g}"
