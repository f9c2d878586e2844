"""Finds the supervisor for a command at the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.safety.requests import SupervisorClient

RUN = Annotated[
    Path | None,
    typer.Option(help="The bring-up's run folder, or the supervisor's socket (default: the newest run)."),
]
POINTER = "supervisor.path"
"""The file in a run folder that holds the path of its supervisor's socket."""


def client(run: Path | None) -> SupervisorClient:
    """A client of the supervisor of `run`; raises `InvalidCommand` or `NoAnswer` where there is none."""
    return SupervisorClient(_socket(run))


def _socket(run: Path | None) -> Path:
    if run is None:
        pointers = sorted(Path("runs").glob(f"*/{POINTER}"), key=lambda path: path.stat().st_mtime)
        if not pointers:
            raise InvalidCommand("--run: no run folder under runs/ has a supervisor; name one")
        return Path(pointers[-1].read_text().strip())
    if run.is_dir():
        if not (run / POINTER).is_file():
            raise InvalidCommand(f"--run = {str(run)!r}: holds no {POINTER}")
        return Path((run / POINTER).read_text().strip())
    if not run.is_socket():
        raise InvalidCommand(f"--run = {str(run)!r}: is neither a run folder nor a socket")
    return run
