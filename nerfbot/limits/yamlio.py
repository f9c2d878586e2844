"""Reading YAML, and turning every mistake in it into one line that names file, field and value."""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from nerfbot.errors import InvalidSpec

ModelT = TypeVar("ModelT", bound=BaseModel)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<` is no key; what it merges may be overridden
            key = self.construct_object(key_node, deep=True)
            mark = key_node.start_mark
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def shipped(folder: Path, source: str | Path, what: str, error: type[Exception]) -> Path:
    """The YAML file that ships in ``folder`` as ``source``, or the user's own of that path.

    Raises ``error``, one line that begins with ``what``, for a name that is neither.
    """
    path = folder / f"{source}.yaml"
    if path.is_file():
        return path
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        return path
    known = [file.stem for file in sorted(folder.glob("*.yaml"))]
    raise error(
        f"{what}: none is called {str(source)!r} (known: {', '.join(known)}; or name a YAML file)"
        + suggestion(str(source), known)
    )


def read_yaml(path: Path, error: type[Exception] = InvalidSpec) -> Any:
    """Parse ``path``; raises ``error`` with file, line and column for unreadable or malformed YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise error(f"{path}: cannot be read: {reason}") from None
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise error(f"{place}: {problem.problem or problem.context}") from None
    except yaml.YAMLError as problem:
        raise error(f"{path}: {str(problem).splitlines()[0]}") from None


def suggestion(word: str, known: list[str] | tuple[str, ...]) -> str:
    """`"; did you mean 'x'?"` for the closest of ``known``, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1)
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
