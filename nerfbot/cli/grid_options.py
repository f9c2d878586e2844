"""Options of the commands that run the grid, and the environment they come to."""

from __future__ import annotations

from typing import Any

import typer

from nerfbot.limits import AXES
from nerfbot.powers import EDITS

ALL = (*AXES, *EDITS)

NERF = typer.Option("none", help="A preset or a file: what is impaired.")
POWERS = typer.Option("all", help="Axes and world edits, with commas; all, or none.")
SCHEDULE = typer.Option(
    "once", help="When powers are granted: once (at a random time), always, never, occasional, or a file."
)

ONCE = {"kind": "occasional", "probability": 1.0, "start": [2.0, 8.0], "length": [10.0, 20.0]}
"""What ``once`` means (s): a window in every episode."""


def powers_of(text: str) -> list[str]:
    """The powers that an option names; unknown ones are the environment's to refuse."""
    named = {"all": list(ALL), "none": []}.get(text.strip())
    return [word for word in text.replace(",", " ").split() if word] if named is None else named


def environment(course: str, nerf: str, powers: str, schedule: str, **more: Any) -> dict[str, Any]:
    """Keywords of ``nerfbot/Grid-v0``."""
    return {
        "course": course,
        "nerf": nerf,
        "powers": powers_of(powers),
        "schedule": ONCE if schedule == "once" else schedule,
        **more,
    }
