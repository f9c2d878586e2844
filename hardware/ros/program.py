"""A node as a program: it answers signals from its first line on, and what stops it there is one line.

Importing ROS 2, the physics and compiled code takes seconds, so this module imports none of them.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a program to end: Ctrl-C, a service manager, a terminal that closes."""


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Hold back the signals of `END_SIGNALS` here, and from what is started here until its `EndRequest`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Interrupted(BaseException):
    """A signal asked the program to end before it ran."""


class EndRequest:
    """Whether a signal of `END_SIGNALS` has asked this process to end.

    A process may be started with these signals blocked, so that one that comes before this is not lost.
    While `starting`, the first signal raises `Interrupted`, whatever runs then; afterwards a signal only sets
    `received`, so that none interrupts a stop.
    """

    def __init__(self) -> None:
        self.starting, self.received = True, False
        for number in END_SIGNALS:
            signal.signal(number, self._take)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if self.starting:
            self.starting = False
            raise Interrupted(signal.Signals(number).name)


def start(module: str) -> int:
    """Import the node's module and run its `main`; the exit code, 2 with one line where it cannot start."""
    name = module.rpartition(".")[2].removesuffix("_node")
    try:
        EndRequest()
        return int(importlib.import_module(module).main())
    except Interrupted as signal_name:
        print(f"{name}: {signal_name} before it started", file=sys.stderr)
    except ImportError as error:
        newer = str(error.name).startswith("rclpy.")
        hint = "of ROS 2 Jazzy or newer" if newer else "with ROS 2 sourced or nerfbot[ros] installed"
        print(f"{name}: needs {error.name}, {hint}", file=sys.stderr)
    return 2
