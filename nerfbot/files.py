"""Files: strict YAML, files that ship with the package, and writes that are all or nothing.

Every mistake becomes one line that names the file, the place and what is wrong.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from nerfbot.declared import suggestion
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
    raise error(f"{what}: none is called {str(source)!r}, and it is no YAML file{suggestion(source, known)}")


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
