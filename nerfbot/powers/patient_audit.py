"""An audit log for who must not end because of it: entries that cannot be written wait in memory.

The last writer of a robot uses it: what it does about a log that fails is to stop the robot, not to end.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nerfbot.errors import one_line
from nerfbot.powers.audit import AuditLog, AuditLogBroken, AuditLogUnreadable

RETRY = 1.0
"""How long after a failure the log is tried again, s."""

CAPACITY = 2000
"""So many entries wait at most; the oldest are dropped, and the gap's record counts them."""


class PatientAuditLog:
    """Appends to the audit log at ``path``; after a failure it keeps entries and tries again.

    Once it can write again, a `gap` record tells the ``problem``, how many entries waited and how many were
    ``lost``; the entries follow with their own times. A piece that somebody appended is cut off with a
    `repair` record; a file whose chain is broken stays as it is, and the log goes on in a new one beside it,
    whose `gap` record names the old one and its head. Raises what `AuditLog` does at its start, and nothing
    later. ``problem``: why entries wait, "" where none does.
    """

    def __init__(self, path: str | os.PathLike[str], wall: Callable[[], str] | None = None) -> None:
        self._wall = wall
        self._log = AuditLog(path, repair=True, wall=wall)
        self._waiting: deque[tuple[str, float, dict[str, Any]]] = deque(maxlen=CAPACITY)
        self._lost, self._tried = 0, 0.0
        self.problem = ""

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._log.path

    @property
    def head(self) -> str:
        """The hash of the last line that was written."""
        return self._log.head

    @property
    def waiting(self) -> int:
        """How many entries wait."""
        return len(self._waiting)

    def append(self, event: str, now: float, /, **fields: Any) -> str:
        """Write an entry at ``now`` (s), or keep it; returns the log's head."""
        if not self.problem:
            try:
                return self._write(event, now, fields)
            except Exception as error:  # whatever it is, the caller must go on
                self.problem, self._tried = one_line(error, None), now
        self._lost += len(self._waiting) == CAPACITY
        self._waiting.append((event, now, fields))
        return self.head

    def retry(self, now: float) -> None:
        """Write what waits, if the last failure is `RETRY` s ago at ``now`` (s)."""
        if self.problem and now - self._tried >= RETRY:
            self._tried = now
            try:
                self._catch_up(now)
            except Exception as error:
                self.problem = one_line(error, None)

    def close(self) -> None:
        """Try a last time to write what waits, and close the file."""
        self.retry(self._tried + RETRY)
        self._log.close()

    def _catch_up(self, now: float) -> None:
        gap = {"problem": self.problem, "waiting": len(self._waiting), "lost": self._lost}
        gap |= self._reopen()
        self._log.append("gap", now, **gap)
        self._lost = 0
        while self._waiting:
            self._write(*self._waiting[0])
            self._waiting.popleft()
        self.problem = ""

    def _reopen(self) -> dict[str, Any]:
        """Open the file again, or a new one where its chain is broken; what the gap's record says of that."""
        old, head = self._log.path, self._log.head
        self._log.close()
        try:
            self._log = AuditLog(old, repair=True, wall=self._wall, thorough=False)  # a robot waits for it
            return {}
        except AuditLogBroken as error:
            self._log = AuditLog(_unused(old), repair=True, wall=self._wall)
            return {"before": old.name, "head": head, "broken": one_line(error, None)}

    def _write(self, event: str, now: float, fields: Mapping[str, Any]) -> str:
        try:
            return self._log.append(event, now, **fields)
        except (AuditLogBroken, AuditLogUnreadable, OSError):
            raise
        except Exception as error:  # a value that JSON cannot hold: say what it was
            moment = now if math.isfinite(now) else self._tried
            return self._log.append(
                event, moment, unwritable=one_line(error, None), fields=repr(fields)[:2000]
            )


def _unused(path: Path) -> Path:
    """``path`` with the first number, from 2, of which there is no file, or an empty one."""
    paths = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(other for other in paths if not other.exists() or other.stat().st_size == 0)
