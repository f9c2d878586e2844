"""What every declared object of this floor shares: frozen, strict, and errors of one line.

Leases, policies, regions and schedules derive from `PowerModel`; the field types they use are here too.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from nerfbot import declared
from nerfbot.declared import Declared, find_mistake, suggestion
from nerfbot.errors import LeaseError
from nerfbot.limits import AXES

EDITS = ("move-coin", "teleport", "rewrite-cell", "phase", "unlock")
"""The world edits: powers that only a simulator can grant."""


def _one_of(what: str, known: tuple[str, ...]) -> AfterValidator:
    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"unknown {what} {word!r}{suggestion(word, known)}")
        return word

    return AfterValidator(check)


def _in_order(levels: dict[str, float]) -> dict[str, float]:
    return {axis: levels[axis] for axis in AXES if axis in levels}


def _without_repeats(edits: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(edits)) != len(edits):
        raise ValueError("names an edit twice")
    return edits


AxisName = Annotated[str, _one_of("axis", AXES)]
EditName = Annotated[str, _one_of("world edit", EDITS)]
# A lease comes from a running program, not only from a file: text never stands for a number.
Number = Annotated[float, Field(strict=True)]
Positive = Annotated[declared.Positive, Field(strict=True)]
NonNegative = Annotated[declared.NonNegative, Field(strict=True)]
Fraction = Annotated[declared.Fraction, Field(strict=True)]
Count = Annotated[declared.PositiveInt, Field(strict=True)]
Text = Annotated[str, Field(strict=True, pattern=r"\S")]
Levels = Annotated[dict[AxisName, Fraction], AfterValidator(_in_order)]
Edits = Annotated[tuple[EditName, ...], AfterValidator(_without_repeats)]


class PowerModel(Declared):
    """Base of this floor's objects: a bad field raises `LeaseError`, one line with field and value."""

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as problem:
            line = find_mistake(problem, type(self)).line()
            raise LeaseError(f"{type(self).__name__}: {line}") from None
