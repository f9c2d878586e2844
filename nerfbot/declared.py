"""Objects made from data: one frozen base class, the number types their fields use, and one-line errors.

Specifications, courses, robots, leases and experiments all derive from `Declared`, so that a mistake reads
the same wherever it is made.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nerfbot.errors import InvalidSpec

ModelT = TypeVar("ModelT", bound=BaseModel)

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]


class Declared(BaseModel):
    """A frozen object made from data, which has no fields but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def suggestion(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest of ``known``, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def validate(
    model: type[ModelT], data: Any, source: str, error: type[Exception] = InvalidSpec, where: str = ""
) -> ModelT:
    """Build ``model`` from ``data``; raises ``error`` with one line ``source: field: what, got value``."""
    try:
        return model.model_validate(data)
    except ValidationError as problem:
        raise error(f"{source}: {_one_line(model, problem, where)}") from None


def _one_line(model: type[BaseModel], problem: ValidationError, where: str) -> str:
    # A union reports every member it tried; the complaint that lies deepest is the one the user meant.
    # That a mapping is no number says nothing when the mapping itself was examined too.
    errors = problem.errors(include_url=False)
    told = [
        item for item in errors if not (item["loc"][-1:] == ("float",) and isinstance(item["input"], dict))
    ]
    details = max(told or errors, key=lambda item: len(item["loc"]))
    path = where
    for part in details["loc"]:
        text = str(part)
        if text in ("float", "int", "str") or text.startswith("function-"):
            continue  # pydantic's name for a union member, not a field
        if isinstance(part, int) or "." in text or "*" in text:
            path += f"[{text}]"
        else:
            path += f".{text}" if path else text
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        name = str(details["loc"][-1])
        return f"{path}: unknown field{suggestion(name, _known_fields(model))}"
    if details["type"] == "missing":
        return f"{path}: is required"
    if details["type"] == "value_error" and not isinstance(details["input"], (int, float, str)):
        return f"{path}: {message}" if path else message
    return f"{path}: {message[0].lower()}{message[1:]}, got {details['input']!r}"


def _known_fields(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for definition in [model.model_json_schema(), *model.model_json_schema().get("$defs", {}).values()]:
        names.extend(definition.get("properties", {}))
    return names
