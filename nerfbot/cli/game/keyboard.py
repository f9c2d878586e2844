"""Single keys from a terminal, which is restored afterwards whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from nerfbot.errors import InvalidCommand

ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
NAMED = {"\r": "enter", "\n": "enter", " ": "space", "\x1b": "escape", "\x7f": "escape", "\x03": "interrupt"}

AFTER_ESCAPE = 0.03
"""Longest wait for the rest of an arrow key's sequence, s."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a game. They act between two keys: an exception while drawing would spoil the screen."""


class Keyboard:
    """The keys typed at the terminal behind a file descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._waiting = ""
        self._signalled: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal until the next call of `key`."""
        self._signalled = number

    def key(self, timeout: float) -> str | None:
        """The next key by its character or name (up, down, left, right, enter, space, escape), or None.

        Ctrl-C is the key "interrupt". Raises `EOFError` where the terminal is gone, and `SystemExit` after
        another signal of `SIGNALS`.
        """
        if self._signalled is not None:
            number, self._signalled = self._signalled, None
            if number != signal.SIGINT:
                raise SystemExit(128 + number)
            return "interrupt"
        if not self._waiting and not self._read(timeout):
            return None
        if self._waiting == "\x1b":
            self._read(AFTER_ESCAPE)
        first = self._waiting[0]
        if first == "\x1b" and len(self._waiting) >= 3 and self._waiting[1] in "[O":
            return self._sequence()
        self._waiting = self._waiting[1:]
        return NAMED.get(first, first)

    def _sequence(self) -> str:
        """The name of an arrow's escape sequence; empty for any other sequence."""
        end = next((i for i, c in enumerate(self._waiting[2:], 2) if "@" <= c <= "~"), len(self._waiting) - 1)
        last, parameters = self._waiting[end], self._waiting[2:end]
        self._waiting = self._waiting[end + 1 :]
        return ARROWS.get(last, "") if not parameters else ""

    def _read(self, timeout: float) -> bool:
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        read = os.read(self.fd, 256)
        if not read:
            raise EOFError
        self._waiting += read.decode("utf-8", "replace")
        return True


def check_terminal() -> None:
    """Raise `InvalidCommand` where input or output is no terminal."""
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        if not stream.isatty():
            raise InvalidCommand(f"play needs a terminal: the standard {name} is not one")


@contextlib.contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Read keys one by one without echo; the terminal is restored in any case.

    Raises `InvalidCommand` where input or output is no terminal.
    """
    check_terminal()
    try:
        import termios
        import tty
    except ImportError:
        raise InvalidCommand("play needs a terminal of a Unix system") from None
    board = Keyboard(sys.stdin.fileno())
    attributes = termios.tcgetattr(board.fd)
    handlers = {number: signal.signal(number, board.note) for number in SIGNALS}
    # Ctrl-Z would leave the shell with a terminal that echoes nothing.
    handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        tty.setcbreak(board.fd)
        yield board
    finally:
        termios.tcsetattr(board.fd, termios.TCSADRAIN, attributes)
        for number, handler in handlers.items():
            signal.signal(number, handler)
