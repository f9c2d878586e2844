"""The robots that run on this machine: every supervisor is listed here, in whatever folder it was started.

One file a supervisor, in a folder of this user's under the system's folder for temporary files.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from nerfbot.files import write_atomically

from ..datagram import has_reader
from ..errors import InvalidSetup

PREFIX = "nerfbot-robots-"


class Robot(NamedTuple):
    """A robot by its ``name``, the ``socket`` of its supervisor and the ``folder`` of that one's state."""

    name: str
    socket: Path
    folder: Path


def register(namespace: str, socket: Path, folder: Path) -> Path:
    """List a robot and return its file, which the caller removes at the end.

    Its name is the namespace, or that of the folder where there is none. Raises `InvalidSetup` where the file
    cannot be written.
    """
    place = Path(tempfile.gettempdir(), f"{PREFIX}{os.getuid()}")
    name = namespace.strip("/") or folder.absolute().name
    try:
        place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InvalidSetup(f"{place}: cannot be made: {error.strerror}") from None
    entry = {"name": name, "socket": str(socket.absolute()), "folder": str(folder.absolute())}
    path = place / f"{os.getpid()}.json"
    write_atomically(path, json.dumps(entry), InvalidSetup)
    return path


def running() -> list[Robot]:
    """Every robot whose supervisor lives, by name: this user's; for root everybody's."""
    owner = "*" if os.getuid() == 0 else str(os.getuid())
    robots = []
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}{owner}/*.json"):
        try:
            entry = json.loads(path.read_text())
            robot = Robot(entry["name"], Path(entry["socket"]), Path(entry["folder"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it ends just now, or is nobody's
        if has_reader(robot.socket):
            robots.append(robot)
        else:
            path.unlink(missing_ok=True)  # its supervisor was killed: the permit has lapsed
    return sorted(robots)
