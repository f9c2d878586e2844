"""Before a command touches a real arm: say what will happen to it, and ask."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nerfbot.cli.registers import EMULATOR
from nerfbot.errors import InvalidCommand

if TYPE_CHECKING:
    from nerfbot.hardware.robot import ServoRobot
    from nerfbot.limits import NerfSpec

FIELDS: dict[Literal["effort", "velocity", "acceleration"], str] = {"velocity": "rad/s", "effort": "N·m"}

YES = Annotated[bool, typer.Option("--yes", help="Do not ask before a real arm moves or falls.")]


def agree(port: str, what: str, yes: bool) -> None:
    """Say ``what`` will happen on ``port`` and ask; an emulator is not asked for, nor with ``--yes``.

    Raises `InvalidCommand` where the answer is no, or nobody is there to give one.
    """
    if port == EMULATOR or yes:
        return
    print(f"{port}: {what}", file=sys.stderr)
    try:
        agreed = typer.confirm("Go on?", err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise InvalidCommand(f"--port {port}: not touched; answer y, or give --yes")


def motion(robot: ServoRobot, spec: NerfSpec, allow: Sequence[str] = ()) -> str:
    """What a driver of ``robot`` under ``spec`` may do, nerfed and lifted, by joint."""
    from nerfbot.hardware.driver.register_limits import RegisterPlan

    plan = RegisterPlan(robot, spec, allow)
    nerfed, lifted = (plan.at((level,) * 4) for level in (0.0, 1.0))
    rows = []
    for joint in robot.joints:
        told = []
        for field, unit in FIELDS.items():
            register = joint.servo.register(joint.servo.limits[field].ram)
            low, high = (held[joint.id][register.name] * register.scale for held in (nerfed, lifted))
            told.append(f"{low:.2g} {unit}" + (f" ({high:.2g} lifted)" if high > low else ""))
        ends = robot.limits(joint.name)
        span = f"from {ends.min_position:g} to {ends.max_position:g} rad"
        rows.append(f"  {joint.name} (servo {joint.id}) {span} at up to {' and '.join(told)}")
    return (
        f"torque goes on once there are a permit and a command, and these joints of {robot.name} move:\n"
        + "\n".join(rows)
        + "\nWhen it ends, the arm is let down. Keep the power switch within reach."
    )
