"""Confirmation before a command touches a real arm: it states what will happen, and asks."""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nerfbot.cli.servo.register_check import EMULATOR
from nerfbot.errors import InvalidCommand

if TYPE_CHECKING:
    from nerfbot.hardware.robot import ServoRobot
    from nerfbot.limits import NerfSpec

UNITS: dict[Literal["effort", "velocity", "acceleration"], str] = {"velocity": "rad/s", "effort": "N·m"}

YES = Annotated[bool, typer.Option("--yes", help="Move a real arm, or let it fall, without asking.")]


def confirm(port: str, effect: str, yes: bool) -> None:
    """Print the ``effect`` of a command on ``port`` and ask; not for an emulator, nor with ``--yes``.

    Raises `InvalidCommand` where the answer is no, or there is no terminal to ask at.
    """
    if port == EMULATOR or yes:
        return
    print(f"{port}: {effect}", file=sys.stderr)
    try:
        confirmed = typer.confirm("Go on?", err=True)
    except typer.Abort:
        confirmed = False
    if not confirmed:
        raise InvalidCommand(f"--port {port}: not touched; answer y, or give --yes")


def enter_pressed() -> bool:
    """Whether a line has been entered at the terminal since the last call; it does not wait."""
    try:
        return bool(select.select([sys.stdin], [], [], 0.0)[0]) and bool(sys.stdin.readline())
    except (OSError, ValueError):  # closed, or not a file
        return False


def expected_motion(robot: ServoRobot, spec: NerfSpec, allow: Sequence[str] = ()) -> str:
    """How ``robot``'s joints may move under ``spec``, nerfed and lifted: a line per joint."""
    from nerfbot.hardware.driver.register_limits import RegisterPlan

    plan = RegisterPlan(robot, spec, allow)
    nerfed, lifted = (plan.counts_at((level,) * 4) for level in (0.0, 1.0))
    rows = []
    for joint in robot.joints:
        limits = []
        for field, unit in UNITS.items():
            register = joint.servo.register(joint.servo.limits[field].ram)
            low, high = (counts[joint.id][register.name] * register.scale for counts in (nerfed, lifted))
            limits.append(f"{low:.2g} {unit}" + (f" ({high:.2g} lifted)" if high > low else ""))
        bounds = robot.limits(joint.name)
        span = f"from {bounds.min_position:g} to {bounds.max_position:g} rad"
        rows.append(f"  {joint.name} (servo {joint.id}) {span} at up to {' and '.join(limits)}")
    return (
        f"torque goes on once there are a permit and a command, and these joints of {robot.name} move:\n"
        + "\n".join(rows)
        + "\nWhen it ends, the arm is let down. Keep the power switch within reach."
    )
