"""What every declared object of this floor shares: frozen, strict, and errors of one line.

Leases, policies, regions and schedules derive from `Declared`; the field types they use are here too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nerfbot.errors import LeaseError
from nerfbot.limits import AXES

EDITS = ("move-coin", "teleport", "rewrite-cell", "phase", "unlock")
"""The world edits: powers that only a simulator can grant."""


def suggest(word: object, known: Iterable[str]) -> str:
    """A sentence's end that names the nearest known word, or all of them when none is near."""
    known = tuple(known)
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(known)


def _one_of(what: str, known: tuple[str, ...]) -> AfterValidator:
    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"unknown {what}; {suggest(word, known)}")
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
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Level = Fraction
Count = Annotated[int, Field(strict=True, ge=1)]
Text = Annotated[str, Field(strict=True, pattern=r"\S")]
Levels = Annotated[dict[AxisName, Level], AfterValidator(_in_order)]
Edits = Annotated[tuple[EditName, ...], AfterValidator(_without_repeats)]


class Declared(BaseModel):
    """A frozen object made from data; a bad field raises `LeaseError`, one line with field and value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise LeaseError(f"{type(self).__name__}: {_one_line(error)}") from None


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "missing":
        return f"{field} is missing"
    if first["type"] == "extra_forbidden":
        return f"{field} = {first['input']!r}: there is no such field"
    reason = first["msg"]
    if first["type"] == "value_error":
        # A check of our own says its sentence itself; pydantic would put "Value error, " before it.
        reason = str(first["ctx"]["error"])
        if not field:  # a check of the whole object names its fields
            return reason
        if isinstance(first["ctx"]["error"], LeaseError):  # a part, which has named its own field and value
            return f"{field}: {reason}"
    return f"{field} = {first['input']!r}: {reason[0].lower()}{reason[1:]}"
