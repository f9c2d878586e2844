"""Who may write to the robot: a lock that the kernel takes from its holder when that process dies."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from ..errors import InvalidSetup


class WriterLock:
    """Beside the socket at `path`; at most one process holds it. It survives no process, however that ends.

    Raises `InvalidSetup` where its file cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(f"{path}.writer")
        try:
            self._file = open(self.path, "w")  # noqa: SIM115 (the lock lives as long as it is open)
        except OSError as error:
            raise InvalidSetup(f"{self.path}: cannot be written: {error.strerror}") from None

    def take(self, seconds: float = 0.0) -> bool:
        """Take the lock, waiting at most so long (s); false where another process holds it."""
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(0.01)

    def release(self) -> None:
        """Let another process take it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release it for good."""
        self._file.close()
