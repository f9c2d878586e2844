"""`nerfbot nerf show|check`: the limits of a specification, and which of them a robot can enforce."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.cli.options import AXIS_STYLES, JSON, limit_text
from nerfbot.cli.servo.confirmation import YES, confirm
from nerfbot.errors import InvalidCommand
from nerfbot.limits import Limit, NerfSpec, enforcement
from nerfbot.limits.channel import Channel
from nerfbot.limits.enforcement import (
    Enforcement,
    command_enforcement,
    declared,
    require_enforceable_envelope,
    sensor_enforcement,
)
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS
from nerfbot.limits.value import Value

app = typer.Typer(
    name="nerf", help="Nerf specifications: show one, check it on a robot.", no_args_is_help=True
)

SPEC = Annotated[str, typer.Argument(help="A preset's name or a YAML file.", metavar="SPEC")]


@app.command()
def show(
    spec: SPEC,
    level: Annotated[
        float | None, typer.Option(help="Also show the limits at this lift level, 0 nerfed to 1 lifted.")
    ] = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON schema of specification files.")] = False,
    as_json: JSON = False,
) -> None:
    """Show every limit of a specification with its axis and unit."""
    loaded = NerfSpec.load(spec)
    if level is not None and not 0.0 <= level <= 1.0:
        raise InvalidCommand(f"--level = {level:g}: must be from 0 to 1")
    if schema:
        print(json.dumps(NerfSpec.model_json_schema(), indent=2))
        return
    limits = list(limit_rows(loaded))
    if as_json:
        data = {"name": loaded.name, "description": loaded.description, "level": level}
        print(json.dumps({**data, "limits": [_plain(row, level) for row in limits]}, indent=2))
        return
    headings = ["on", "limit", "axis", "unit", "nerfed", "lifted"]
    if level is not None:
        headings.insert(5, f"at {level:g}")
    table = _table(headings)
    for row in limits:
        cells = [*_head(row), limit_text(row.nerfed), limit_text(row.lifted)]
        if level is not None:
            cells.insert(5, f"{_at(row, level):.4g}")
        table.add_row(*cells)
    console = Console()
    console.print(f"[bold]{loaded.name}[/bold]  {loaded.description}")
    console.print(table)


@app.command()
def check(
    spec: SPEC,
    robot: Annotated[str, typer.Option(help="A robot's name or its YAML file.")] = "rover",
    port: Annotated[
        str | None,
        typer.Option(help="A servo bus (/dev/ttyUSB0, or `emulator`) on which to read the limits back."),
    ] = None,
    as_json: JSON = False,
    yes: YES = False,
) -> None:
    """Check a specification on a robot: exit 0 where it enforces every limit, 1 where it does not."""
    from nerfbot.cli.servo.register_check import check_registers, is_servo_robot

    if is_servo_robot(robot, port):
        if port is not None:
            confirm(port, f"the torque of {robot} goes off: hold the arm, or it falls.", yes)
        raise typer.Exit(check_registers(spec, robot, port, as_json))
    from nerfbot.sim.robots.description import RobotDescription

    loaded, description = NerfSpec.load(spec), RobotDescription.load(robot)
    _load(description)
    limits = list(checked_rows(loaded, description))
    failing = [row for row in limits if row.problem]
    if as_json:
        plain = [
            {
                **_plain(row, None),
                "status": row.status,
                "problem": row.problem,
                "note": row.note,
            }
            for row in limits
        ]
        data = {"spec": loaded.name, "robot": description.name, "enforced": not failing, "limits": plain}
        print(json.dumps(data, indent=2))
    else:
        table = _table(["on", "limit", "axis", "unit", "requested", "lifted", "status"])
        for row in limits:
            colour = {"enforced": "green", "quantised": "yellow", "not enforceable": "red"}[row.status]
            reason = row.problem or row.note
            status = f"[{colour}]{row.status}{': ' if reason else ''}{reason}"
            table.add_row(*_head(row), limit_text(row.nerfed), limit_text(row.lifted), status)
        console = Console()
        console.print(table)
        enforced = f"{len(limits) - len(failing)} of {len(limits)} limits enforced"
        console.print(f"{loaded.name} on {description.name}: {enforced}")
    raise typer.Exit(1 if failing else 0)


def _load(description: Any) -> None:
    """Load the robot, so that its URDF, joints and limits are checked too; without PyBullet the URDF alone.

    Raises `InvalidRobot` for what cannot be driven.
    """
    from nerfbot.sim.robots.urdf import check_urdf

    if importlib.util.find_spec("pybullet") is None:
        check_urdf(
            description.urdf_path(), description.name, description.commanded_joints(), description.rest
        )
        return
    from nerfbot.sim.physics.client import Client
    from nerfbot.sim.robots.robot import Robot

    with contextlib.closing(Client()) as client:
        Robot(client, description)


def limit_rows(spec: NerfSpec) -> Iterator[Enforcement]:
    """Every limit of a specification, on the channels and sensors that it names."""
    for name in spec.channels:
        yield from declared(name, spec.channel(name), CHANNEL_FIELDS, _guessed_channel(name))
    yield from declared("command", spec.link(), COMMAND_FIELDS)
    for name in spec.sensors:
        yield from declared(name, spec.sensor(name), SENSOR_FIELDS)


def checked_rows(spec: NerfSpec, description: Any) -> Iterator[Enforcement]:
    """Every limit of a specification on a robot's channels and sensors, with how it is enforced.

    Raises `InvalidSpec` for a channel or sensor that the robot lacks, a limit past its envelope, or a hard
    limit that the robot would ignore.
    """
    from nerfbot.sim.physics.client import CONTROL_STEP, SUBSTEP
    from nerfbot.sim.plant.nerfed_plant import SENSORS

    channels = tuple(row.channel() for row in description.channels)
    spec.check_names([channel.name for channel in channels], list(SENSORS))
    if description.envelope is not None:
        spec.check_envelope(channels, description.envelope)
        require_enforceable_envelope(description.envelope, channels)
    yield from enforcement(spec, channels, description.envelope)
    yield from command_enforcement(spec, SUBSTEP)
    for name in SENSORS:
        enforceable = _sensor_limits(name)
        for item in sensor_enforcement(spec, name, CONTROL_STEP):
            fits = item.field.partition(".")[0] in enforceable
            yield item if fits else item._replace(problem="this kind of reading cannot carry it")


def _sensor_limits(sensor: str) -> frozenset[str]:
    """The limits that apply to the readings of one of the simulator's sensors."""
    from nerfbot.limits import ImageGeometry, PlainGeometry, RayGeometry
    from nerfbot.sim.plant.nerfed_plant import OBJECTS

    special = {"lidar": RayGeometry(1.0, 1.0).carries, "camera": ImageGeometry().carries, "objects": OBJECTS}
    return special.get(sensor, PlainGeometry().carries)


def _guessed_channel(name: str) -> Channel:
    """The channel that a name suggests: a twist component, else a revolute joint."""
    return Channel(name, "velocity", "m/s" if name.startswith("linear") else "rad/s")


def _head(row: Enforcement) -> tuple[str, str, str, str]:
    return row.channel, row.field, f"[{AXIS_STYLES[row.axis]}]{row.axis}", row.unit


def _table(headings: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        is_number = heading in ("nerfed", "lifted", "requested") or heading.startswith("at ")
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=heading != "status")
    return table


def _plain(row: Enforcement, level: float | None) -> dict[str, Any]:
    data = {"on": row.channel, "limit": row.field, "axis": row.axis, "unit": row.unit}
    data |= {"nerfed": _number(row.nerfed), "lifted": _number(row.lifted)}
    return data if level is None else data | {"at": _at(row, level)}


def _at(row: Enforcement, level: float) -> float:
    return Limit(nerfed=row.nerfed, lifted=row.lifted).at(level)


def _number(value: Value) -> Any:
    return value if isinstance(value, (int, float)) else value.model_dump(exclude_none=True)
