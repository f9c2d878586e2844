"""Finds the robots for a command at the terminal: all that run on this machine, or the one that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.safety.registry import Robot, running
from nerfbot.hardware.safety.requests import SupervisorClient

ROBOT = Annotated[
    str | None,
    typer.Option(
        "--robot",
        "--run",
        help="The robot's name (its namespace, or its run folder's name), its run folder, or its"
        " supervisor's socket. Needed where several run.",
    ),
]
POINTER = "supervisor.path"
"""The file in a run folder that holds the path of its supervisor's socket."""


def client(named: str | None) -> SupervisorClient:
    """A client of the supervisor of the one robot that is `named`, or that runs.

    Raises `InvalidCommand` where that is none or several, and `NoAnswer` where nobody reads its socket.
    """
    found = robots(named)
    if len(found) > 1:
        names = ", ".join(robot.name for robot in found)
        raise InvalidCommand(f"--robot: {len(found)} robots run on this machine, name one: {names}")
    return SupervisorClient(found[0].socket)


def robots(named: str | None) -> list[Robot]:
    """The robot that is `named`, or all that run here; raises `InvalidCommand` where there is none."""
    known = running()
    if named is None:
        if not known:
            raise InvalidCommand("--robot: no robot runs on this machine")
        return known
    path = Path(named)
    if path.is_socket():
        return [Robot(named, path, path.parent)]
    if path.is_dir():
        if not (path / POINTER).is_file():
            raise InvalidCommand(f"--robot = {named!r}: holds no {POINTER}")
        return [Robot(path.absolute().name, Path((path / POINTER).read_text().strip()), path)]
    found = [robot for robot in known if robot.name == named.strip("/")]
    if not found:
        names = ", ".join(robot.name for robot in known) or "none"
        kinds = f"neither a run folder nor a socket nor a robot that runs ({names})"
        raise InvalidCommand(f"--robot = {named!r}: is {kinds}")
    if len(found) > 1:
        folders = ", ".join(str(robot.folder) for robot in found)
        raise InvalidCommand(
            f"--robot = {named!r}: {len(found)} robots have this name; give one of {folders}"
        )
    return found
