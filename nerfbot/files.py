"""Files: strict YAML, files that ship with the package, and writes that are all or nothing.

Every mistake becomes one line that names the file, the place and what is wrong.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from nerfbot.declared import printable, shown, suggestion
from nerfbot.errors import InvalidCommand, InvalidSpec


@contextlib.contextmanager
def replacing(path: Path, error: type[Exception] = InvalidCommand) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends well, and is removed if not.

    The bytes are on the disk (fsync) before the old file goes. Raises ``error`` where the system refuses.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as problem:
        raise error(f"{path}: cannot be written: {problem.strerror or problem}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, error: type[Exception] = InvalidCommand) -> None:
    """Write ``content`` to ``path``, whole or not at all; a str as UTF-8. Raises ``error`` as `replacing`."""
    with replacing(path, error) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def owned_folder(folder: Path, error: type[Exception] = InvalidCommand) -> Iterator[None]:
    """Create ``folder`` and own it until the block ends, or the process dies (flock on the folder).

    Raises ``error`` where another process owns it, or the system refuses.
    """
    handle = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if handle >= 0:
            os.close(handle)
        if isinstance(problem, BlockingIOError):
            raise error(f"{folder}: another process writes results there; wait, or choose --out") from None
        raise error(f"{folder}: cannot be used: {problem.strerror or problem}") from None
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def replaced_folder(out: Path, outputs: Collection[str]) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``out`` once all of it is there.

    ``outputs`` are the names that an earlier one may hold. Raises `InvalidCommand` where ``out`` holds
    something else or cannot be written; nothing is left behind then, and ``out`` is as it was.
    """
    _check_folder(out, outputs)
    had_parent = out.parent.exists()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InvalidCommand(f"out = {out}: cannot be written: {error.strerror}") from None
    try:
        yield work
        _check_folder(out, outputs)
        if out.exists():
            shutil.rmtree(out)
        work.chmod(0o755)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not had_parent and not out.exists():
            out.parent.rmdir()


def _check_folder(out: Path, outputs: Collection[str]) -> None:
    if out.exists() and not out.is_dir():
        raise InvalidCommand(f"out = {out}: is not a folder")
    other = sorted(path.name for path in out.iterdir() if path.name not in outputs) if out.exists() else []
    if other:
        raise InvalidCommand(f"out = {out}: holds {other[0]!r}, which no demo wrote: choose another folder")


MAX_BYTES = 16_000_000
"""Largest file that is read whole, unless the caller says otherwise."""

MAX_DEPTH = 100
"""How deep YAML or JSON may be nested."""

MAX_NODES = 100_000
"""Aliases can make a small YAML file very large; one beyond this many values is refused."""

MAX_DIGITS = 100
"""Digits of the longest whole number in YAML."""


def read_file(path: Path, error: Callable[[str], Exception] = InvalidSpec, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a plain file; raises ``error`` for one that is missing, too large, or no plain file.

    A pipe would keep the reader waiting, and a device never ends.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path}: cannot be read: is not a file")
        if status.st_size > limit:
            raise error(f"{path}: cannot be read: has {status.st_size} bytes, must be at most {limit}")
        return path.read_bytes()
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror or problem}") from None


def read_text(path: Path, error: Callable[[str], Exception] = InvalidSpec, limit: int = MAX_BYTES) -> str:
    """The text of a plain file in UTF-8; raises ``error`` as `read_file` does, and for other bytes."""
    try:
        return read_file(path, error, limit).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: cannot be read: {problem}") from None


class StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice instead of keeping the last one, and texts that attack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def get_single_node(self) -> yaml.Node | None:
        """The document, whose size is known to be bearable."""
        root = super().get_single_node()
        if root is not None:
            _check_size(root)
        return root

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A node that is not too deep."""
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"is nested more than {MAX_DEPTH} deep", problem_mark=mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
        """A text without control characters."""
        node = super().compose_scalar_node(anchor)
        if printable(node.value, keep="\n\t") != node.value:
            problem = f"a text must not hold control characters, got {shown(node.value)}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number of bearable length."""
        if len(node.value) > MAX_DIGITS:
            problem = f"a number of {len(node.value)} digits: must have at most {MAX_DIGITS}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return super().construct_yaml_int(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping with each key once."""
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


StrictLoader.add_constructor("tag:yaml.org,2002:int", StrictLoader.construct_yaml_int)


def _check_size(root: yaml.Node) -> None:
    """Refuse a document that its aliases make endless, enormous or too deep."""
    measured: dict[int, tuple[int, int]] = {}

    def measure(node: yaml.Node, depth: int) -> tuple[int, int]:
        """Values and height of what ``node`` stands for."""
        size, height = measured.get(id(node), (0, 0))
        if not size:
            inside = []
            if depth <= MAX_DEPTH and isinstance(node, yaml.CollectionNode):
                items = (
                    node.value if isinstance(node, yaml.SequenceNode) else [n for p in node.value for n in p]
                )
                inside = [measure(item, depth + 1) for item in items]
            size = 1 + sum(part for part, _ in inside)
            height = 1 + max((part for _, part in inside), default=0)
            measured[id(node)] = size, height
        if size > MAX_NODES or depth + height > MAX_DEPTH + 1:
            raise yaml.MarkedYAMLError(
                problem="an alias makes this document endless or enormous", problem_mark=node.start_mark
            )
        return size, height

    measure(root, 0)


def is_yaml_path(source: object) -> bool:
    """Whether a text, or a path, means a YAML file rather than something that ships under that name."""
    return str(source).endswith((".yaml", ".yml"))


def shipped(folder: Path, source: str | Path, what: str, error: type[Exception]) -> Path:
    """The YAML file that ships in ``folder`` as ``source``, or the user's own of that path.

    Raises ``error``, one line that begins with ``what``, for a name that is neither.
    """
    path = folder / f"{source}.yaml"
    if path.is_file():
        return path
    if is_yaml_path(source):
        return Path(source)
    known = [file.stem for file in sorted(folder.glob("*.yaml"))]
    raise error(f"{what}: none is called {str(source)!r}, and it is no YAML file{suggestion(source, known)}")


def read_yaml(path: Path, error: type[Exception] = InvalidSpec) -> Any:
    """Parse ``path``; raises ``error`` with file, line and column for unreadable or malformed YAML.

    Neither aliases nor nesting can make it slow or large, and no text in it holds control characters.
    """
    text = read_text(path, error)
    try:
        return yaml.load(text, StrictLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise error(f"{place}: {problem.problem or problem.context}") from None
    except yaml.YAMLError as problem:
        raise error(f"{path}: {str(problem).splitlines()[0]}") from None
    except ValueError as problem:
        raise error(f"{path}: cannot read a value: {problem}") from None
