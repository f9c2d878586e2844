"""`nerfbot nerf show|check`: what a specification says, and what of it a robot can enforce."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.cli.consent import YES, agree
from nerfbot.errors import InvalidCommand
from nerfbot.limits import AXES, Limit, NerfSpec, enforcement
from nerfbot.limits.channel import Channel
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS, FieldInfo
from nerfbot.limits.value import Value, high, low

app = typer.Typer(
    name="nerf", help="Nerf specifications: show one, check it on a robot.", no_args_is_help=True
)

SPEC = Annotated[str, typer.Argument(help="A preset's name or a YAML file.", metavar="SPEC")]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

AXIS_STYLES = dict(zip(AXES, ("red", "yellow", "cyan", "magenta"), strict=True))


class Row(NamedTuple):
    """One limit of a specification, on a channel, the command link or a sensor; ``problem`` is empty where
    it is enforced.
    """

    on: str
    limit: str
    axis: str
    unit: str
    nerfed: Value
    lifted: Value
    value: Limit
    problem: str = ""


@app.callback()
def _group() -> None:
    pass


@app.command()
def show(
    spec: SPEC,
    level: Annotated[
        float | None, typer.Option(help="Lift level, 0 nerfed to 1 lifted: adds the limits there.")
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
    found = list(rows(loaded))
    if as_json:
        limits = [_plain(row, level) for row in found]
        data = {"name": loaded.name, "description": loaded.description, "level": level, "limits": limits}
        print(json.dumps(data, indent=2))
        return
    headings = ["on", "limit", "axis", "unit", "nerfed", "lifted"]
    if level is not None:
        headings.insert(5, f"at {level:g}")
    table = _table(headings)
    for row in found:
        cells = [*_head(row), text(row.nerfed), text(row.lifted)]
        if level is not None:
            cells.insert(5, f"{row.value.at(level):.4g}")
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
        typer.Option(help="A servo bus (/dev/ttyUSB0, or `emulator`): reads back."),
    ] = None,
    as_json: JSON = False,
    yes: YES = False,
) -> None:
    """Check a specification on a robot: exit 0 where all of it is enforced, 1 where something is not."""
    from nerfbot.cli.registers import check_registers, is_servo_robot

    if is_servo_robot(robot, port):
        if port is not None:
            agree(port, f"the torque of {robot} goes off: hold the arm, or it falls.", yes)
        raise typer.Exit(check_registers(spec, robot, port, as_json))
    from nerfbot.sim.robots.description import RobotDescription

    loaded, description = NerfSpec.load(spec), RobotDescription.load(robot)
    description.urdf_path()
    found = list(checked(loaded, description))
    failing = [row for row in found if row.problem]
    if as_json:
        limits = [{**_plain(row, None), "status": _status(row), "problem": row.problem} for row in found]
        data = {"spec": loaded.name, "robot": description.name, "enforced": not failing, "limits": limits}
        print(json.dumps(data, indent=2))
    else:
        table = _table(["on", "limit", "axis", "unit", "requested", "lifted", "status"])
        for row in found:
            status = f"[red]not enforceable: {row.problem}" if row.problem else "[green]enforced"
            table.add_row(*_head(row), text(row.nerfed), text(row.lifted), status)
        console = Console()
        console.print(table)
        enforced = f"{len(found) - len(failing)} of {len(found)} limits enforced"
        console.print(f"{loaded.name} on {description.name}: {enforced}")
    raise typer.Exit(1 if failing else 0)


def rows(spec: NerfSpec) -> Iterator[Row]:
    """Every limit of a specification, on the channels and sensors as it names them."""
    for name in spec.channels:
        yield from _section(name, spec.channel(name), CHANNEL_FIELDS, _likely(name))
    yield from _section("command", spec.link(), COMMAND_FIELDS)
    for name in spec.sensors:
        yield from _section(name, spec.sensor(name), SENSOR_FIELDS)


def checked(spec: NerfSpec, description: Any) -> Iterator[Row]:
    """Every limit of a specification on a robot's channels and sensors, with what cannot be enforced.

    Raises `InvalidSpec` for a channel or sensor that the robot lacks, or a limit past its envelope.
    """
    from nerfbot.sim.plant.nerfed_plant import SENSORS

    channels = tuple(row.channel() for row in description.channels)
    spec.check_names([channel.name for channel in channels], list(SENSORS))
    if description.envelope is not None:
        spec.check_envelope(channels, description.envelope)
    for item in enforcement(spec, channels, description.envelope):
        limit = Limit(nerfed=item.nerfed, lifted=item.lifted)
        yield Row(
            item.channel, item.field, item.axis, item.unit, item.nerfed, item.lifted, limit, item.problem
        )
    yield from _section("command", spec.link(), COMMAND_FIELDS)
    for name in SENSORS:
        carries = _carries(name)
        for row in _section(name, spec.sensor(name), SENSOR_FIELDS):
            carried = row.limit.partition(".")[0] in carries
            yield row if carried else row._replace(problem="this kind of reading cannot carry it")


def _carries(sensor: str) -> frozenset[str]:
    """The limits that the readings of one of the simulator's sensors can carry."""
    from nerfbot.limits import ImageGeometry, PlainGeometry, RayGeometry
    from nerfbot.sim.plant.nerfed_plant import OBJECTS

    special = {"lidar": RayGeometry(1.0, 1.0).carries, "camera": ImageGeometry().carries, "objects": OBJECTS}
    return special.get(sensor, PlainGeometry().carries)


def _section(
    on: str, section: Any, table: dict[str, FieldInfo], channel: Channel | None = None
) -> Iterator[Row]:
    for field, limit in section.limits():
        info = table[field]
        unit = info.unit if channel is None else info.unit_on(channel)
        lifted = limit.nerfed if limit.lifted is None else limit.lifted
        yield Row(on, field, info.axis, unit, limit.nerfed, lifted, limit)


def _likely(name: str) -> Channel:
    """The channel that a name stands for: a twist component, or else a joint that turns."""
    return Channel(name, "velocity", "m/s" if name.startswith("linear") else "rad/s")


def text(value: Value) -> str:
    """A limit's value for people: the number, or the range it is drawn from."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else f"{low(value):.4g} to {high(value):.4g}"


def _head(row: Row) -> tuple[str, str, str, str]:
    return row.on, row.limit, f"[{AXIS_STYLES[row.axis]}]{row.axis}", row.unit


def _table(headings: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        number = heading in ("nerfed", "lifted", "requested") or heading.startswith("at ")
        table.add_column(heading, justify="right" if number else "left", no_wrap=heading != "status")
    return table


def _status(row: Row) -> str:
    return "not enforceable" if row.problem else "enforced"


def _plain(row: Row, level: float | None) -> dict[str, Any]:
    data = {"on": row.on, "limit": row.limit, "axis": row.axis, "unit": row.unit}
    data |= {"nerfed": _number(row.nerfed), "lifted": _number(row.lifted)}
    return data if level is None else data | {"at": row.value.at(level)}


def _number(value: Value) -> Any:
    return value if isinstance(value, (int, float)) else value.model_dump(exclude_none=True)
