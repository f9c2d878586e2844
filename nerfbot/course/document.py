"""A YAML document that remembers where everything stood, so that errors name file, line and column.

It knows YAML and pydantic, and nothing about courses.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from nerfbot.errors import InvalidCourse

Path = tuple[str | int, ...]
Place = tuple[int, int]
Model = TypeVar("Model", bound=BaseModel)

MAX_NODES = 100_000
"""Aliases can make a small file very large; a document beyond this many nodes is refused."""


class Document:
    """One parsed YAML file: `data` in plain Python types, and the place of every value and key in it.

    `source` is the name used in messages. Mapping keys are kept as they were written, as strings.
    Raises `InvalidCourse` where the text is not YAML, repeats a key or is not a mapping.
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.lines = text.splitlines()
        self.data: dict[str, Any] = {}
        self._values: dict[Path, Place] = {}
        self._keys: dict[Path, Place] = {}
        self._literal: set[Path] = set()
        self._nodes = 0
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            if not isinstance(root, MappingNode):
                raise self.error_at((1, 1), "a course file is a mapping such as `name: ...`")
            self.data = self._convert(loader, root, (), ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise self.error_at(place, f"not valid YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise self.error_at((1, 1), f"not valid YAML: {' '.join(str(error).split())}") from None

    def _convert(self, loader: yaml.SafeLoader, node: Node, path: Path, parents: tuple[int, ...]) -> Any:
        place = (node.start_mark.line + 1, node.start_mark.column + 1)
        self._values[path] = place
        self._nodes += 1
        if id(node) in parents or self._nodes > MAX_NODES:
            raise self.error_at(place, "an alias makes this document endless or enormous")
        inside = (*parents, id(node))
        if isinstance(node, MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key_place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                if not isinstance(key_node, ScalarNode):
                    raise self.error_at(key_place, "a key must be a plain word")
                if key_node.value in mapping:
                    raise self.error_at(key_place, f"{key_node.value!r} is given twice")
                self._keys[(*path, key_node.value)] = key_place
                mapping[key_node.value] = self._convert(loader, value_node, (*path, key_node.value), inside)
            return mapping
        if isinstance(node, SequenceNode):
            return [self._convert(loader, item, (*path, i), inside) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.style == "|":
            self._literal.add(path)
        try:
            return loader.construct_object(node)
        except ValueError as error:
            raise self.error_at(place, f"cannot read this value: {error}") from None

    def place(self, path: Path) -> Place:
        """Line and column (from 1) of the value at `path`, or of the nearest enclosing value that exists."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._values:
                return self._values[path[:end]]
        return (1, 1)

    def key_place(self, path: Path) -> Place:
        """Line and column (from 1) of the key that leads to `path`."""
        return self._keys.get(path) or self.place(path)

    def literal_lines(self, path: Path) -> list[tuple[str, Place]]:
        """The lines of a literal block (`key: |`), each with the place of its first character.

        Raises `InvalidCourse` where the value is not a literal block.
        """
        if path not in self._literal:
            raise self.error(path, "must be a literal block: `map: |` and the lines below it, indented")
        value: Any = self.data
        for step in path:
            value = value[step]
        first = self.place(path)[0] + 1
        result = []
        for offset, line in enumerate(value.rstrip("\n").split("\n")):
            written = self.lines[first + offset - 1] if first + offset <= len(self.lines) else line
            result.append((line, (first + offset, max(0, len(written) - len(line)) + 1)))
        return result

    def error_at(self, place: Place, message: str) -> InvalidCourse:
        """An error at a line and column; the caller raises it."""
        return InvalidCourse(f"{self.source}:{place[0]}:{place[1]}: {message}")

    def error(self, path: Path, message: str) -> InvalidCourse:
        """An error about the value at `path`, which the message names; the caller raises it."""
        return self.error_at(self.place(path), f"{dotted(path)}: {message}" if path else message)

    def check_keys(self, path: Path, mapping: Iterable[str], known: Iterable[str]) -> None:
        """Raise `InvalidCourse` at the first key that is not known, with the nearest known one."""
        known = sorted(known)
        for key in mapping:
            if key not in known:
                where = dotted(path) or "the file"
                message = f"unknown key {key!r} in {where}{suggestion(key, known)}"
                raise self.error_at(self.key_place((*path, key)), message)

    def validate(self, model: type[Model], value: object, path: Path) -> Model:
        """Build `model` from the mapping found at `path`.

        Raises `InvalidCourse` at the first value that is unknown, missing or wrong.
        """
        if not isinstance(value, dict):
            raise self.error(path, f"must be a mapping, got {shown(value)}")
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise self._from_pydantic(error, model, path) from None

    def _from_pydantic(self, error: ValidationError, model: type[BaseModel], path: Path) -> InvalidCourse:
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        loc = tuple(first["loc"])
        at = (*path, *loc)
        if first["type"] == "extra_forbidden":
            key, parent = str(loc[-1]), _model_at(model, loc[:-1])
            fields = _file_fields(parent) if parent else []
            where = dotted(at[:-1]) or "the file"
            return self.error_at(
                self.key_place(at), f"unknown key {key!r} in {where}{suggestion(key, fields)}"
            )
        if first["type"] == "missing":
            return self.error(at[:-1], f"{loc[-1]} is missing")
        message = str(first["msg"])
        message = message.removeprefix("Value error, ").removeprefix("Input ")
        return self.error(at, f"{message}, got {shown(first['input'])}")


def dotted(path: Path) -> str:
    """A path as people write it: `task.proxies[0].kind`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def shown(value: object) -> str:
    """A value short enough for a line of error."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or the list of what is known; empty where nothing is."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (known: {', '.join(known)})" if known else ""


def _file_fields(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if not field.exclude]


def _model_at(model: type[BaseModel], loc: Path) -> type[BaseModel] | None:
    """The pydantic class that a validation error's location points into."""
    current: type[BaseModel] | None = model
    for step in loc:
        if isinstance(step, int):
            continue
        field = current.model_fields.get(step) if current else None
        current = _first_model(field.annotation) if field else None
    return current


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _first_model(argument)
        if found:
            return found
    return None
