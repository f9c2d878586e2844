"""Commands to the driver: one JSON datagram with a position for every joint, and its checks.

A command counts only if all of it is right: names, number, finiteness, range, order, age by receipt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from nerfbot.errors import InvalidCommand

RANGE_TOLERANCE = 0.5
"""A position further outside the envelope's range than this (rad) is a mistake of units."""


def encode(sequence: int, source: str, positions: Mapping[str, float]) -> bytes:
    """A command as a datagram; positions in rad by joint."""
    names, values = list(positions), list(positions.values())
    command = {"sequence": sequence, "source": source, "names": names, "positions": values}
    return json.dumps(command).encode()


def decode(
    data: bytes, names: Sequence[str], ranges: Mapping[str, tuple[float, float]]
) -> tuple[int, str, list[float]]:
    """Sequence, source and positions (rad, in the order of ``names``) of a datagram.

    ``ranges``: smallest and largest position by joint. Raises `InvalidCommand`, one line with joint and
    value, for anything that is not a complete command for these joints.
    """
    try:
        fields = json.loads(data)
    except (UnicodeDecodeError, ValueError):
        raise InvalidCommand(f"command: is no JSON, got {data[:40]!r}") from None
    if not isinstance(fields, dict):
        raise InvalidCommand(f"command: must be an object, got {type(fields).__name__}")
    sequence, source = fields.get("sequence"), fields.get("source")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0:
        raise InvalidCommand(f"command: sequence = {sequence!r}: must be a whole number from 0")
    if not isinstance(source, str):
        raise InvalidCommand(f"command: source = {source!r}: must be a text")
    received, positions = fields.get("names"), fields.get("positions")
    if not isinstance(received, list) or not isinstance(positions, list) or len(received) != len(positions):
        raise InvalidCommand("command: names and positions must be lists of one length")
    if sorted(map(str, received)) != sorted(names):
        raise InvalidCommand(f"command: names = {received}: must be {', '.join(names)}, each once")
    by_name = dict(zip(received, positions, strict=True))
    checked = []
    for name in names:
        value = by_name[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidCommand(f"command: {name} = {value!r}: must be a finite position in rad")
        low, high = ranges[name]
        if not low - RANGE_TOLERANCE <= value <= high + RANGE_TOLERANCE:
            raise InvalidCommand(f"command: {name} = {value:g} rad: far outside {low:g} to {high:g}")
        checked.append(float(value))
    return sequence, source, checked


class CommandInbox:
    """The newest good command, its time of receipt, and the problem of the newest bad one."""

    def __init__(self, names: Sequence[str], ranges: Mapping[str, tuple[float, float]]) -> None:
        self.names, self.ranges = list(names), dict(ranges)
        self.positions: list[float] | None = None
        self.received = -math.inf
        self.problem = ""
        self.problem_at = -math.inf
        self.conflict_at = -math.inf
        self._source: str | None = None
        self._sequence = -1

    def receive(self, data: bytes, now: float, timeout: float) -> bool:
        """Receive a datagram at ``now`` (s); whether it is the new command.

        A second source within ``timeout`` s of the first is a conflict, and its command does not count.
        """
        try:
            sequence, source, positions = decode(data, self.names, self.ranges)
        except InvalidCommand as error:
            self.problem, self.problem_at = str(error), now
            return False
        if self._source is not None and source != self._source and now - self.received <= timeout:
            self.conflict_at = now
            return False
        if source == self._source and sequence <= self._sequence:
            return False  # out of order, doubled or replayed: like silence
        self._source, self._sequence = source, sequence
        self.positions, self.received = positions, now
        return True

    def forget(self) -> None:
        """Forget the command: its age is unknown."""
        self.positions, self.received = None, -math.inf
