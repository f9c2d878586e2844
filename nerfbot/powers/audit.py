"""The audit log: an append-only JSONL file in which every line carries the hash of the line before.

A line holds `seq`, `now` (s), `event`, `fields`, `prev` (the hash of the line before), `hash` (SHA-256 of
the line's canonical JSON without it) and, where a wall clock was given, `time`. The first line is a
`genesis` record with the format's version. Any change, removal, insertion or reordering breaks the chain;
lines cut off at the end show only against a head (the last hash) stored elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from nerfbot.errors import AuditLogError

FORMAT = 1
NO_LINE = "0" * 64  # what the first line has for the hash of the line before
_KEYS = frozenset({"seq", "now", "event", "fields", "prev", "hash"})
_BLOCK = 4096  # bytes read first when looking for the last lines


class AuditLogUnreadable(AuditLogError):
    """An audit log that cannot be read or written at all; names the path."""


class AuditLogBroken(AuditLogError):
    """An audit log whose chain does not hold; `line` is the first line that differs, from 1."""

    def __init__(self, path: str | os.PathLike[str], line: int, difference: str) -> None:
        super().__init__(f"{os.fspath(path)}: line {line}: {difference}")
        self.line = line


@dataclass(frozen=True)
class AuditSummary:
    """What a log that holds amounts to: its number of lines, and the hash of the last one."""

    lines: int
    head: str


def utc_now() -> str:
    """The wall-clock time in ISO 8601, for `AuditLog(path, wall=utc_now)`."""
    return datetime.now(timezone.utc).isoformat()


class AuditLog:
    """Appends to the log at `path`, which is begun if there is none and continued if there is.

    An existing log is continued only after all of its lines have been verified; `thorough=False` checks the
    first and the last two alone, for a log that this process has verified before. A last line that a crash
    left incomplete is refused, unless `repair` is true: then that piece alone is cut off, and a `repair`
    record says so. `fsync` forces every line to the disk; without it every line is handed to the operating
    system at once. `wall` gives each line's `time`.
    Raises `AuditLogBroken`, or `AuditLogUnreadable` where the file cannot be opened or written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        repair: bool = False,
        fsync: bool = False,
        wall: Callable[[], str] | None = None,
        thorough: bool = True,
    ) -> None:
        self.path = Path(path)
        self._fsync = fsync
        self._wall = wall
        self._size, self._lines, self._head = 0, 0, NO_LINE
        try:
            self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 (held open by the log)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        try:
            self._resume(repair, thorough)
        except BaseException:
            self._file.close()
            raise

    @property
    def head(self) -> str:
        """The hash of the last line. Stored elsewhere, it shows later whether lines were cut off."""
        return self._head

    @property
    def lines(self) -> int:
        """The number of lines."""
        return self._lines

    def append(self, event: str, now: float, /, **fields: Any) -> str:
        """Write one line and return its hash.

        `now` in s; `fields` are JSON values, NumPy ones and tuples included. Raises `AuditLogError`, and
        writes nothing, for a value that JSON cannot hold (NaN, infinity, any object).
        """
        if not isinstance(event, str) or not event:
            raise AuditLogError(f"event = {event!r}: must be a non-empty text")
        moment = _json_value("now", now)
        if isinstance(moment, bool) or not isinstance(moment, (int, float)):
            raise AuditLogError(f"now = {now!r}: must be a number of seconds")
        record: dict[str, Any] = {
            "seq": self._lines,
            "now": float(moment),
            "event": event,
            "fields": {name: _json_value(name, value) for name, value in fields.items()},
            "prev": self._head,
        }
        if self._wall is not None:
            record["time"] = self._wall()
        record["hash"] = _digest(record)
        self._put(_canonical(record) + b"\n")
        self._lines += 1
        self._head = record["hash"]
        return self._head

    def close(self) -> None:
        """Close the file; a log that was closed writes no more."""
        self._file.close()

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, line: bytes) -> None:
        if self._file.closed:
            raise AuditLogUnreadable(f"{self.path}: the log is closed")
        try:
            size = os.fstat(self._file.fileno()).st_size
            if size != self._size:
                raise AuditLogBroken(
                    self.path,
                    self._lines + 1,
                    f"expected the file to end at byte {self._size}, found {size} (another writer?)",
                )
            written = self._file.write(line)
            if self._fsync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if written != len(line):
            raise AuditLogUnreadable(f"{self.path}: only {written} of {len(line)} bytes could be written")
        self._size += len(line)

    def _resume(self, repair: bool, thorough: bool) -> None:
        last: dict[str, Any] = {"now": 0.0}
        torn = b""
        if thorough:
            with open(self.path, "rb") as file:
                for raw in file:
                    if not raw.endswith(b"\n"):
                        torn = raw
                        break
                    last = _check(self.path, self._lines + 1, raw, self._head)
                    self._lines, self._head = self._lines + 1, last["hash"]
        else:
            whole, torn = _tail(self._file)
            for raw in whole:
                # The first line read gives its own number; the chain ties it to the next.
                last = _check(self.path, self._lines + 1 if self._lines else None, raw, self._head)
                self._lines, self._head = last["seq"] + 1, last["hash"]
            if whole:
                self._file.seek(0)
                _check(self.path, 1, _first_line(self._file), NO_LINE)
        if torn and not repair:
            raise AuditLogBroken(self.path, self._lines + 1, _incomplete(torn))
        self._size = os.fstat(self._file.fileno()).st_size - len(torn)
        if torn:
            self._file.truncate(self._size)
        if not self._lines:
            self.append("genesis", last["now"], format=FORMAT)
        if torn:
            self.append("repair", last["now"], bytes=len(torn), sha256=hashlib.sha256(torn).hexdigest())


def verify(path: str | os.PathLike[str], head: str | None = None) -> AuditSummary:
    """Check every line of the log at `path`, one at a time; returns its number of lines and its head.

    `head` is the hash of the last line as it was noted elsewhere: without it, lines cut off at the end
    cannot be told from lines never written. Raises `AuditLogBroken` (an `AuditLogError`) that names the
    first line that differs, what was expected and what was found, and `AuditLogUnreadable` where the
    file cannot be read.
    """
    lines, last = 0, NO_LINE
    try:
        with open(path, "rb") as file:
            for raw in file:
                last = _check(path, lines + 1, raw, last)["hash"]
                lines += 1
    except OSError as error:
        raise _unreadable(path, error) from None
    if not lines:
        raise AuditLogBroken(path, 1, "expected a genesis record, found the end of the file")
    if head is not None and head != last:
        raise AuditLogBroken(path, lines, f"expected the head {head}, found {last}")
    return AuditSummary(lines, last)


def _check(path: str | os.PathLike[str], number: int | None, raw: bytes, prev: str) -> dict[str, Any]:
    """The record of one line, or `AuditLogBroken`. `number` None: the line's own, in mid-chain."""
    shown = number or 1
    if not raw.endswith(b"\n"):
        raise AuditLogBroken(path, shown, _incomplete(raw))
    try:
        record = json.loads(raw)
        canonical = _canonical(record) + b"\n"
    except (ValueError, RecursionError):
        raise AuditLogBroken(path, shown, f"expected a JSON record, found {_short(raw)}") from None
    if not isinstance(record, dict) or record.keys() - {"time"} != _KEYS:
        raise AuditLogBroken(path, shown, f"expected the keys {sorted(_KEYS)}, found {_short(raw)}")
    if raw != canonical:
        raise AuditLogBroken(path, shown, f"expected {_short(canonical)} byte for byte, found {_short(raw)}")
    if not isinstance(record["seq"], int):
        raise AuditLogBroken(path, shown, f"seq: expected a number, found {record['seq']!r}")
    if number is None:
        number, prev = record["seq"] + 1, record["prev"]
    content = {key: value for key, value in record.items() if key != "hash"}
    for name, expected in (("seq", number - 1), ("prev", prev), ("hash", _digest(content))):
        if record[name] != expected:
            raise AuditLogBroken(path, number, f"{name}: expected {expected}, found {record[name]}")
    if number == 1 and (record["event"], record["fields"]) != ("genesis", {"format": FORMAT}):
        found = f"{record['event']} {record['fields']}"
        raise AuditLogBroken(path, 1, f"expected a genesis record of format {FORMAT}, found {found}")
    return record


def _tail(file: BinaryIO) -> tuple[list[bytes], bytes]:
    """The last two complete lines (fewer if there are fewer), and what stands after the last line end."""
    size = os.fstat(file.fileno()).st_size
    data, block = b"", _BLOCK
    while data.count(b"\n") < 3 and len(data) < size:
        file.seek(-min(block, size), os.SEEK_END)
        data, block = file.read(min(block, size)), 2 * block
    *whole, torn = data.split(b"\n")
    return [line + b"\n" for line in whole[-2:]], torn


def _first_line(file: BinaryIO) -> bytes:
    """The first line of an unbuffered file that has one."""
    data = b""
    while b"\n" not in data:
        data += file.read(_BLOCK)
    return data[: data.index(b"\n") + 1]


def _json_value(name: str, value: Any) -> Any:
    """The value as JSON holds it; raises `AuditLogError`, which names the field, where JSON cannot."""
    if isinstance(value, (np.generic, np.ndarray)):
        return _json_value(name, value.tolist())
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _json_value(f"{name}.{key}", part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(f"{name}.{index}", part) for index, part in enumerate(value)]
    raise AuditLogError(f"{name} = {value!r}: the audit log cannot hold it")


def _canonical(record: Any) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _incomplete(raw: bytes) -> str:
    return f"expected a complete line, found {len(raw)} bytes without a line end: {_short(raw)}"


def _short(raw: bytes) -> str:
    text = raw.decode("ascii", "backslashreplace").rstrip("\n")
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _unreadable(path: str | os.PathLike[str], error: OSError) -> AuditLogUnreadable:
    return AuditLogUnreadable(f"{os.fspath(path)}: {error.strerror}")
