"""The emergency stop's latch: a file, so that it survives the process and the machine.

Only a power relay is an emergency stop in the sense of a standard; this one keeps software from moving.
"""

from __future__ import annotations

import json
from pathlib import Path

from nerfbot.files import write_atomically

from ..errors import InvalidSetup


class EstopLatch:
    """Latched while the file exists. A file that is unreadable or malformed latches too.

    Raises `InvalidSetup` where the folder of `path` cannot be written: such a latch could not be set.
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
        """Latch; the first reason stays. `reason` is set even where the disk fails (`InvalidSetup`)."""
        if self.reason:
            return
        self.reason = reason or "no reason given"
        write_atomically(self.path, json.dumps({"reason": self.reason}), InvalidSetup)

    def clear(self, cause: str, stopped: bool) -> str:
        """Clear the latch; "" where it is cleared, or why it is not.

        `cause` is what still calls for the stop ("" for nothing), `stopped` whether the robot is at rest and
        no motion is commanded.
        """
        if not self.reason:
            return ""
        if cause:
            return f"the cause persists: {cause}"
        if not stopped:
            return "the command is not that of a robot at rest"
        self.path.unlink(missing_ok=True)
        self.reason = ""
        return ""
