"""The emergency stop's latch: a file, so that it survives the process and the machine.

Only a power relay is an emergency stop in the sense of a standard; this one keeps software from moving.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import InvalidSetup


class EstopLatch:
    """Latched while the file is there. A file that cannot be read, or says nothing sensible, latches too.

    Raises `InvalidSetup` where the folder of `path` cannot be written: a latch that cannot be set is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            probe = self.path.with_name(self.path.name + ".probe")
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise InvalidSetup(f"e-stop latch {self.path}: cannot be written: {error.strerror}") from None
        self.reason = self._read()
        """Why it is latched; "" where it is not."""

    def _read(self) -> str:
        if not self.path.exists():
            return ""
        try:
            return str(json.loads(self.path.read_text())["reason"]) or "latched before"
        except (OSError, ValueError, KeyError, TypeError):
            return f"latched before; {self.path} cannot be read"

    def trip(self, reason: str) -> None:
        """Latch; the first reason stays. In memory it holds even where the disk fails (`OSError`)."""
        if self.reason:
            return
        self.reason = reason or "no reason given"
        part = self.path.with_name(self.path.name + ".part")
        with open(part, "w", encoding="utf-8") as file:
            json.dump({"reason": self.reason}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)

    def clear(self, cause: str, permitted: bool, stopped: bool) -> str:
        """Clear it; "" where it is cleared, or why it is not.

        `cause` says what still asks for it ("" for nothing), `permitted` whether a fresh permit could be
        given, `stopped` whether the command is that of a robot at rest.
        """
        if not self.reason:
            return ""
        if cause:
            return f"the cause persists: {cause}"
        if not permitted:
            return "no fresh permit can be given"
        if not stopped:
            return "the command is not that of a robot at rest"
        self.path.unlink(missing_ok=True)
        self.reason = ""
        return ""
