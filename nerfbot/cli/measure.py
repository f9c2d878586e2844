"""`nerfbot nerf measure`: effective against declared limits of a plant, a plot and a fitted spec."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.errors import InvalidCommand, MissingDependency

PLANTS = ("sim", "ros", "servo")


def measure(
    plant: Annotated[str, typer.Option(help="sim, or ros: a robot that is brought up.")] = "sim",
    nerf: Annotated[str, typer.Option(help="What is declared: a preset or a file.")] = "rover-weak",
    course: Annotated[str, typer.Option(help="Simulation: where there is room around the start.")] = "corner",
    room: Annotated[float, typer.Option(help="How far a step may travel, m.", min=0.05)] = 1.5,
    plot: Annotated[Path | None, typer.Option(help="Write the steps as a picture.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the fitted specification.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Play steps and small commands on a plant; print effective against declared limits."""
    from nerfbot.bridge.measure import fitted
    from nerfbot.bridge.measure import measure as play
    from nerfbot.limits import NerfSpec

    if plant not in PLANTS:
        raise InvalidCommand(f"--plant = {plant!r}: must be one of {', '.join(PLANTS)}")
    if plant == "servo":
        raise InvalidCommand("--plant = 'servo': is measured on its bus by `nerfbot servo`, not here yet")
    spec = NerfSpec.load(nerf)
    probe = _probe(plant, nerf, course)
    try:
        found, traces = play(probe, spec, room)
    finally:
        probe.close()
    if out is not None:
        import yaml

        out.write_text(
            yaml.safe_dump(fitted(found, f"{spec.name}-measured", probe.envelope), sort_keys=False)
        )
    if plot is not None:
        _plot(plot, probe, traces)
    if as_json:
        rows = [
            {**vars(item), "effective": item.effective if math.isfinite(item.effective) else None}
            for item in found
        ]
        typer.echo(json.dumps({"plant": plant, "nerf": spec.name, "limits": rows}))
        return
    table = Table(box=box.SIMPLE_HEAD, title=f"{spec.name} on {plant}")
    for heading in ("channel", "limit", "unit", "declared", "effective", "ratio"):
        table.add_column(heading, justify="left" if heading in ("channel", "limit", "unit") else "right")
    for item in found:
        declared = "" if item.declared is None else f"{item.declared:.4g}"
        ratio = f"{item.effective / item.declared:.2f}" if item.declared else ""
        table.add_row(item.channel, item.field, item.unit, declared, f"{item.effective:.4g}", ratio)
    Console().print(table)


def _probe(plant: str, nerf: str, course: str) -> Any:
    if plant == "sim":
        from nerfbot.bridge.measure import SimProbe

        return SimProbe(nerf, course)
    try:
        from nerfbot.bridge.ros_probe import RosProbe
    except ImportError as error:
        raise MissingDependency(f"--plant ros: needs ROS 2: {error}") from None
    from nerfbot.sim.description import RobotDescription

    envelope = RobotDescription.load("rover").envelope
    if envelope is None:
        raise InvalidCommand("--plant ros: the robot's description has no envelope")
    return RosProbe(envelope)


def _plot(path: Path, probe: Any, traces: Any) -> None:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise MissingDependency("--plot: needs matplotlib: pip install 'nerfbot[train]'") from None
    figure, axes = pyplot.subplots(len(traces), 1, figsize=(8, 3 * len(traces)), squeeze=False)
    for axis, trace, channel in zip(axes[:, 0], traces, probe.channels, strict=True):
        seconds = trace.time - trace.time[0]
        axis.step(seconds, trace.command, where="post", color="0.6", label="requested")
        axis.plot(seconds, trace.measured, color="tab:red", label="measured")
        axis.set(ylabel=f"{channel.name}, {channel.unit}", xlabel="s")
        axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
