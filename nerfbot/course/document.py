"""A YAML document that remembers where everything stood, so that errors name file, line and column.

It knows YAML and pydantic, and nothing about courses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from nerfbot.declared import DataPath, ModelT, dotted, find_mistake, shown, unknown_field
from nerfbot.errors import InvalidCourse
from nerfbot.files import MAX_NODES, StrictLoader

Place = tuple[int, int]


class Document:
    """One parsed YAML file: `data` in plain Python types, and the place of every value and key in it.

    `source` is the name used in messages. Mapping keys are kept as they were written, as strings.
    Raises `InvalidCourse` where the text is not YAML, repeats a key or is not a mapping.
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.lines = text.splitlines()
        self.data: dict[str, Any] = {}
        self._values: dict[DataPath, Place] = {}
        self._keys: dict[DataPath, Place] = {}
        self._literal: set[DataPath] = set()
        self._nodes = 0
        try:
            loader = StrictLoader(text)
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

    def _convert(self, loader: yaml.SafeLoader, node: Node, path: DataPath, parents: tuple[int, ...]) -> Any:
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

    def place(self, path: DataPath) -> Place:
        """Line and column (from 1) of the value at `path`, or of the nearest enclosing value that exists."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._values:
                return self._values[path[:end]]
        return (1, 1)

    def key_place(self, path: DataPath) -> Place:
        """Line and column (from 1) of the key that leads to `path`."""
        return self._keys.get(path) or self.place(path)

    def literal_lines(self, path: DataPath) -> list[tuple[str, Place]]:
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

    def error(self, path: DataPath, message: str) -> InvalidCourse:
        """An error about the value at `path`, which the message names; the caller raises it."""
        return self.error_at(self.place(path), f"{dotted(path)}: {message}" if path else message)

    def key_error(self, path: DataPath, message: str) -> InvalidCourse:
        """An error about the key that leads to `path`; the caller raises it."""
        return self.error_at(self.key_place(path), f"{dotted(path)}: {message}")

    def check_keys(self, path: DataPath, mapping: Iterable[str], known: Iterable[str]) -> None:
        """Raise `InvalidCourse` at the first key that is not known, with the nearest known one."""
        known = sorted(known)
        for key in mapping:
            if key not in known:
                raise self.key_error((*path, key), unknown_field(key, known))

    def validate(self, model: type[ModelT], value: object, path: DataPath) -> ModelT:
        """Build `model` from the mapping found at `path`.

        Raises `InvalidCourse` at the first value that is unknown, missing or wrong.
        """
        if not isinstance(value, dict):
            raise self.error(path, f"must be a mapping, got {shown(value)}")
        try:
            return model.model_validate(value)
        except ValidationError as problem:
            mistake = find_mistake(problem, model)
            error = self.key_error if mistake.is_unknown_field else self.error
            raise error((*path, *mistake.path), mistake.text) from None
