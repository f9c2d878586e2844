"""`nerfbot nerf from-urdf`: the limits of an arm's own files as a nerf file and the chain's parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from nerfbot.cli.options import JSON
from nerfbot.files import write_atomically


def from_urdf(
    urdf: Annotated[Path, typer.Argument(help="The robot's URDF, expanded from xacro.")],
    joint_limits: Annotated[
        Path | None, typer.Option(help="MoveIt's or ros2_control's joint_limits.yaml; tightens the URDF.")
    ] = None,
    joint: Annotated[
        list[str] | None, typer.Option(help="Only this joint; may be repeated. Default: all commanded.")
    ] = None,
    mode: Annotated[str, typer.Option(help="position, velocity or effort; default: of <ros2_control>.")] = "",
    share: Annotated[float, typer.Option(help="Nerfed, of what the robot can do.")] = 0.5,
    acceleration: Annotated[
        float | None,
        typer.Option(help="rad/s² or m/s² for joints whose files state none: a URDF never does."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the nerf file.")] = None,
    params: Annotated[Path | None, typer.Option(help="Write the chain's parameter file.")] = None,
    as_json: JSON = False,
) -> None:
    """Turn <limit>, <ros2_control> and joint_limits.yaml into an envelope and a nerf; the tightest counts."""
    from nerfbot.bridge.ros.urdf_limits import LIMITS, chain_parameters, nerf_of, read_robot

    robot = read_robot(urdf, joint_limits)
    if acceleration is not None:
        for name, limits in robot.joints.items():
            if "max_acceleration" not in limits:
                robot.tighten(name, "max_acceleration", acceleration, "--acceleration")
    values = chain_parameters(robot, joint or (), mode)
    spec = nerf_of(values, f"{robot.name}-nerf", share)
    if out is not None:
        write_atomically(out, yaml.safe_dump(spec, sort_keys=False))
    if params is not None:
        write_atomically(params, yaml.safe_dump({"/**": {"ros__parameters": values}}, sort_keys=False))
    if as_json:
        sources = {
            name: {limit: stated.source for limit, stated in robot.joints[name].items()}
            for name in values["channels"]
        }
        print(
            json.dumps({"nerf": spec, "parameters": values, "sources": sources, "left_out": robot.left_out})
        )
        return
    table = Table(box=box.SIMPLE)
    for heading in ("joint", "limit", "value", "stated by"):
        table.add_column(heading)
    for name in values["channels"]:
        for limit in LIMITS:
            if limit in robot.joints[name]:
                stated = robot.joints[name][limit]
                table.add_row(name, limit, f"{stated.value:.4g}", stated.source)
    console = Console()
    console.print(table)
    for name, why in robot.left_out.items():
        if why != "is fixed":
            console.print(f"[dim]{name} {why}: left out")
    console.print(f"commanded by {values['command_mode']}; nerfed to {share:g} of its speed and acceleration")
