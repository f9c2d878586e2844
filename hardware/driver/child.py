"""A forked process: a driver beside its client, or one part of a rig. It starts in milliseconds."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from nerfbot.errors import NerfbotError

from ..errors import BusError
from .service import DriverConfig, serve

START_TIMEOUT = 10.0
"""How long a driver may take to be ready, s."""


class ChildProcess:
    """A forked process that runs ``body``; its standard error goes to ``errors``."""

    def __init__(self, body: Callable[[], None], errors: Path) -> None:
        self.errors = errors
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)
                with errors.open("a") as file:
                    os.dup2(file.fileno(), 2)
                body()
                code = 0
            except Exception as problem:
                kind = "" if isinstance(problem, NerfbotError) else f"{type(problem).__name__}: "
                os.write(2, f"{kind}{problem}\n".encode())
            finally:
                os._exit(code)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = 0
        return bool(self.pid)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.pid:
            os.kill(self.pid, number)

    def terminate(self, timeout: float) -> None:
        """Let it end by itself, for at most ``timeout`` s, then kill it."""
        self.signal(signal.SIGTERM)
        until = time.monotonic() + timeout
        while self.alive and time.monotonic() < until:
            time.sleep(0.01)
        self.kill()

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0


def start_driver(config: DriverConfig) -> ChildProcess:
    """Fork a driver and wait until it accepts permits; raises `BusError` with the driver's own line."""
    ready, errors = config.folder / "ready", config.folder / "driver-errors"
    ready.unlink(missing_ok=True)
    errors.unlink(missing_ok=True)
    driver = ChildProcess(lambda: serve(config, ready.touch), errors)
    until = time.monotonic() + START_TIMEOUT
    while not ready.exists() and driver.alive and time.monotonic() < until:
        time.sleep(0.005)
    if not ready.exists():
        driver.kill()
        raise BusError(errors.read_text().strip() if errors.exists() else "the driver did not start")
    return driver
