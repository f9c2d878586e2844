"""What several commands share: options, keywords of the grid environment, limits as text."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nerfbot.limits import AXES
from nerfbot.limits.value import Value, high, low
from nerfbot.powers import EDITS

JSON = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
COURSE = Annotated[str, typer.Argument(help="A course's name or a course file.")]
NERF = Annotated[str, typer.Option(help="The impairment: a preset or a file.")]
POWERS = Annotated[str, typer.Option(help="Axes and world edits, separated by commas; or all, or none.")]
SCHEDULE = Annotated[
    str,
    typer.Option(
        help="When powers are granted: once (at a random time), always, never, occasional, or a file."
    ),
]
TRAINING = Annotated[
    bool, typer.Option("--training/--test", help="Draw levels as in training, or as in tests (the default).")
]

ALL = (*AXES, *EDITS)
ONCE = {"kind": "occasional", "probability": 1.0, "start": [2.0, 8.0], "length": [10.0, 20.0]}
"""The schedule ``once``: one window (s) in every episode."""

AXIS_STYLES = dict(zip(AXES, ("red", "yellow", "cyan", "magenta"), strict=True))


def environment(course: str, nerf: str, powers: str, schedule: str, **more: Any) -> dict[str, Any]:
    """Keywords of ``nerfbot/Grid-v0``; the environment itself refuses unknown powers."""
    named = {"all": list(ALL), "none": []}.get(powers.strip())
    return {
        "course": course,
        "nerf": nerf,
        "powers": powers.replace(",", " ").split() if named is None else named,
        "schedule": ONCE if schedule == "once" else schedule,
        **more,
    }


def limit_text(value: Value) -> str:
    """A limit's value for people: the number, or the range that it is drawn from."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else f"{low(value):.4g} to {high(value):.4g}"
