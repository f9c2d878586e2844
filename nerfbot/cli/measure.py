"""`nerfbot nerf measure`: a plant's effective limits beside the declared ones, plotted and fitted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.cli.options import JSON
from nerfbot.errors import InvalidCommand, MissingDependency
from nerfbot.files import write_atomically

ROBOTS = {"sim": "rover", "ros": "", "servo": "so101"}
"""The plants, with their default robots."""


def measure(
    plant: Annotated[
        str,
        typer.Option(help="sim; ros: a running robot; servo: an arm on its bus, through its driver."),
    ] = "sim",
    nerf: Annotated[
        str | None, typer.Option(help="The declared limits: a preset or a file; default: ROBOT-weak.")
    ] = None,
    robot: Annotated[str | None, typer.Option(help="The robot; default: rover, for servo so101.")] = None,
    course: Annotated[str, typer.Option(help="sim: a course with room around its start.")] = "corner",
    port: Annotated[str, typer.Option(help="servo: the bus, /dev/ttyUSB0 or the like.")] = "emulator",
    params_file: Annotated[
        Path | None,
        typer.Option(help="ros: the nodes' parameter file; default: the values of ROBOT's description."),
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only this channel; may be repeated.")] = None,
    room: Annotated[
        float, typer.Option(help="How far a mobile base may travel in a step, m.", min=0.05)
    ] = 1.5,
    plot: Annotated[Path | None, typer.Option(help="Write a picture of the steps and chirps.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the fitted specification.")] = None,
    as_json: JSON = False,
) -> None:
    """Play steps, small commands and chirps on a plant; compare its effective limits with the declared."""
    from nerfbot.bridge.identification.measure import fitted_spec
    from nerfbot.bridge.identification.measure import measure as measure_plant
    from nerfbot.limits import NerfSpec

    if plant not in ROBOTS:
        raise InvalidCommand(f"--plant = {plant!r}: must be one of {', '.join(ROBOTS)}")
    robot_name = robot or ROBOTS[plant]
    spec = NerfSpec.load(nerf or f"{robot_name or 'rover'}-weak")
    probe = _probe(plant, spec, nerf or f"{robot_name}-weak", robot_name, course, port, params_file)
    console = Console(stderr=True)
    try:
        with console.status("measuring") as status:
            measured, traces = measure_plant(probe, spec, room, channel or (), status.update)
    finally:
        probe.close()
    if out is not None:
        import yaml

        data = fitted_spec(measured, f"{spec.name}-measured", probe.envelope)
        write_atomically(out, yaml.safe_dump(data, sort_keys=False))
    if plot is not None:
        _plot(plot, probe, traces)
    if as_json:
        rows = [
            {**vars(item), "effective": item.effective if math.isfinite(item.effective) else None}
            for item in measured
        ]
        typer.echo(json.dumps({"plant": plant, "nerf": spec.name, "limits": rows}))
        return
    table = Table(box=box.SIMPLE_HEAD, title=f"{spec.name} on {plant}")
    for heading in ("channel", "limit", "unit", "declared", "effective", "ratio"):
        table.add_column(heading, justify="left" if heading in ("channel", "limit", "unit") else "right")
    for item in measured:
        declared = "" if item.declared is None else f"{item.declared:.4g}"
        effective = f"{item.effective:.4g}" if math.isfinite(item.effective) else "unknown"
        ratio = f"{item.effective / item.declared:.2f}" if item.declared else ""
        table.add_row(item.channel, item.field, item.unit, declared, effective, ratio)
    Console().print(table)


def _probe(
    plant: str, spec: Any, nerf: str, robot: str, course: str, port: str, params_file: Path | None
) -> Any:
    if plant == "sim":
        from nerfbot.bridge.identification.sim_probe import SimProbe

        return SimProbe(nerf, course, robot)
    if plant == "servo":
        from nerfbot.bridge.identification.servo_probe import ServoProbe
        from nerfbot.cli.servo.register_check import EMULATOR

        return ServoProbe(spec, robot, None if port == EMULATOR else port)
    try:
        from nerfbot.bridge.identification.ros_probe import RosProbe
    except ImportError as error:
        raise MissingDependency(f"--plant ros: needs ROS 2: {error}") from None
    from nerfbot.bridge.ros.bringup_plan import commands_of, file_values
    from nerfbot.sim.robots.description import RobotDescription

    if params_file is not None:
        return RosProbe(file_values(params_file))
    return RosProbe(commands_of(RobotDescription.load(robot or ROBOTS["sim"])))


def _plot(path: Path, probe: Any, traces: Any) -> None:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise MissingDependency("--plot: needs matplotlib: pip install 'nerfbot[train]'") from None
    by_name = {channel.name: channel for channel in probe.channels}
    size = (11, 2.6 * len(traces))
    figure, axes = pyplot.subplots(len(traces), 2, figsize=size, squeeze=False, layout="constrained")
    for row, (name, pair) in zip(axes, traces.items(), strict=True):
        for axis, trace, kind in zip(row, pair, ("step", "chirp"), strict=True):
            seconds = trace.time - trace.time[0]
            axis.step(seconds, trace.command, where="post", color="0.6", label="requested")
            axis.plot(seconds, trace.response, color="tab:red", label="measured")
            axis.set(ylabel=f"{name}, {by_name[name].unit}", xlabel=f"{kind}, s")
        row[0].legend(frameon=False)
    figure.savefig(path)
    pyplot.close(figure)
