"""`nerfbot bringup sim|hardware|hil`: the whole chain of processes, without the ROS 2 launch system."""

from __future__ import annotations

from typing import Annotated

import typer

from nerfbot.errors import InvalidCommand, MissingDependency


def bringup(
    kind: Annotated[str, typer.Argument(help="sim, hardware or hil.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="name:=value, as `ros2 launch` takes them; see --show-args.")
    ] = None,
    show_args: Annotated[bool, typer.Option("--show-args", help="List the arguments and exit.")] = False,
) -> None:
    """Start plant, gate, supervisor, nerf, policy and recorder; Ctrl-C ends all of them."""
    from nerfbot.bridge.ros import bringup_plan
    from nerfbot.bridge.ros.bringup_runner import Runner

    if show_args:
        for item in bringup_plan.ARGUMENTS:
            typer.echo(f"{item.name} (default: {item.default or 'empty'})\n    {item.about}")
        return
    given: dict[str, str] = {}
    for text in arguments or []:
        name, mark, value = text.partition(":=")
        if not mark:
            raise InvalidCommand(f"argument {text!r}: must be name:=value")
        given[name] = value
    _require_ros()
    plan = bringup_plan.make_plan(kind, given)
    typer.echo(f"run folder {plan.run_folder}")
    typer.echo(f"supervisor {plan.supervisor}")
    raise typer.Exit(Runner(plan).run())


def _require_ros() -> None:
    try:
        import rclpy  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "bringup: needs ROS 2: source a distribution, or pip install 'nerfbot[ros]'"
        ) from None
