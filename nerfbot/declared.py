"""Objects made from data: one frozen base class, the number types their fields use, and one-line errors.

Specifications, courses, robots, leases and experiments all derive from `Declared`, so that a mistake reads
the same wherever it is made.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nerfbot.errors import InvalidSpec, NerfbotError

ModelT = TypeVar("ModelT", bound=BaseModel)
DataPath = tuple[str | int, ...]
"""The keys and indices that lead to a value in nested data."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]

# Pydantic's names for the members of a union, which are no part of the data's path.
_UNION_MEMBER = re.compile(r"float|int|str|bool|\[key\]|function-.*|(tuple|list|dict|literal)\[.*")
_MOST_LISTED = 24


class Declared(BaseModel):
    """A frozen object made from data; unknown fields and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Mistake(NamedTuple):
    """One problem in data: where it is, and what is wrong there."""

    path: DataPath
    text: str
    is_unknown_field: bool = False

    def line(self, where: str = "") -> str:
        """``field: what is wrong``, with ``where`` before the field."""
        field = dotted(self.path, where)
        return f"{field}: {self.text}" if field else self.text


def suggestion(word: object, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest of ``known``; else a list of all, unless it is long."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f" (known: {', '.join(known)})" if 0 < len(known) <= _MOST_LISTED else ""


def unknown_field(name: object, known: Iterable[str]) -> str:
    """What is wrong with a field called ``name`` where only ``known`` ones exist."""
    return f"unknown field{suggestion(name, known)}"


def dotted(path: DataPath, where: str = "") -> str:
    """A path as people write it, such as ``task.proxies[0].kind``; ``where`` opens it."""
    for part in path:
        text = str(part)
        if isinstance(part, int) or "." in text or "*" in text:
            where += f"[{text}]"
        else:
            where += f".{text}" if where else text
    return where


def printable(text: str, keep: str = "") -> str:
    """``text`` with every control character but those in ``keep`` as its escape sequence.

    A name from elsewhere could otherwise steer a terminal, or turn the direction of what follows.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char in keep or unicodedata.category(char)[0] != "C"
        else char.encode("unicode_escape").decode()
        for char in text
    )


def shown(value: object) -> str:
    """The value's repr, shortened to fit into an error's line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def validate(
    model: type[ModelT],
    data: Any,
    source: str | Callable[[DataPath], str],
    error: type[Exception] = InvalidSpec,
    where: str = "",
) -> ModelT:
    """Build ``model`` from ``data``; raises ``error`` with one line ``source: field: what, got value``.

    ``source`` may be a function of the path that is wrong, where several sources made the data.
    """
    try:
        return model.model_validate(data)
    except ValidationError as problem:
        mistake = find_mistake(problem, model)
        origin = source if isinstance(source, str) else source(mistake.path)
        raise error(f"{origin}: {mistake.line(where)}" if origin else mistake.line(where)) from None


def find_mistake(problem: ValidationError, model: type[BaseModel]) -> Mistake:
    """The one problem worth reporting of all that pydantic found while it built ``model``."""
    # A union reports every member it tried; the complaint that lies deepest is the one the user meant.
    # That a mapping is no number says nothing when the mapping itself was examined too.
    errors = problem.errors(include_url=False)
    relevant = [
        item for item in errors if not (item["loc"][-1:] == ("float",) and isinstance(item["input"], dict))
    ]
    details = max(relevant or errors, key=lambda item: (len(item["loc"]), item["type"] == "extra_forbidden"))
    path = tuple(
        part for part in details["loc"] if isinstance(part, int) or not _UNION_MEMBER.fullmatch(part)
    )
    if details["type"] == "extra_forbidden":
        return Mistake(path, unknown_field(path[-1], _fields_at(model, details["loc"][:-1])), True)
    if details["type"] == "missing":
        return Mistake(path, "is required")
    value, own_error = details["input"], details.get("ctx", {}).get("error")
    if isinstance(own_error, NerfbotError):  # a part of the data, which has named its own field and value
        return Mistake(path, str(own_error))
    text = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    text = text[:1].lower() + text[1:]
    if own_error is not None and (isinstance(value, dict) or repr(value) in text):
        return Mistake(path, text)
    return Mistake(path, f"{text}, got {shown(value)}")


def _fields_at(model: type[BaseModel], location: DataPath) -> list[str]:
    """The fields that data may have at a location inside ``model``."""
    models = [model]
    for step in location:
        inner = [item.model_fields[step].annotation for item in models if step in item.model_fields]
        if inner:
            models = [found for annotation in inner for found in _models_in(annotation)]
    return [name for item in models for name, field in item.model_fields.items() if not field.exclude]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
