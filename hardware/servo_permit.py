"""The permit: the supervisor's word, said again and again, that a robot may move, and how far it is lifted.

One JSON datagram over a Unix socket, so that it needs neither ROS nor a network. A permit is worth
``valid_for_s`` from its receipt by the receiver's own steady clock; no stamp of the sender is believed. Who
says nothing withdraws it. `PermitWatch` is pure (no socket, no clock of its own), so that other nodes can
use it too.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfbot.limits import AXES

from .errors import InvalidPermit

LONGEST = 1.0
"""A permit is valid for at most this long, s: a dead supervisor is noticed within it."""

_DATAGRAM = 8192
_DRAIN = 256  # datagrams taken in one go: a flood must not keep the receiver from its cycle


@dataclass(frozen=True)
class Permit:
    """One permit.

    ``sequence`` rises with every one of a ``source`` (any text that tells one sender's run from another's).
    ``levels``: lift level in [0, 1] by axis (an axis that is not named: 0); ``charges``: uses left of a
    counted lease; ``region``: where it holds. ``estop``: stop and latch. ``clear``: number of the latch that
    may be cleared.
    """

    sequence: int
    valid_for_s: float
    source: str = ""
    levels: dict[str, float] = field(default_factory=dict)
    charges: int | None = None
    region: Any = None
    estop: bool = False
    clear: int | None = None

    def encode(self) -> bytes:
        """As a datagram."""
        return json.dumps(self.__dict__, allow_nan=False).encode()

    @classmethod
    def decode(cls, data: bytes) -> Permit:
        """Read a datagram; raises `InvalidPermit` for anything that is not wholly a permit."""
        try:
            found = json.loads(data)
        except (UnicodeDecodeError, ValueError):
            raise InvalidPermit(f"permit: is no JSON, got {data[:40]!r}") from None
        if not isinstance(found, dict):
            raise InvalidPermit(f"permit: must be an object, got {type(found).__name__}")
        unknown = sorted(set(found) - set(cls.__dataclass_fields__))
        if unknown:
            raise InvalidPermit(f"permit: {unknown[0]}: unknown field")
        sequence, valid = found.get("sequence"), found.get("valid_for_s")
        if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0:
            raise InvalidPermit(f"permit: sequence = {sequence!r}: must be a whole number from 0")
        if valid is None or not _number(valid) or not 0.0 < valid <= LONGEST:
            raise InvalidPermit(f"permit: valid_for_s = {valid!r}: must be above 0 and at most {LONGEST}")
        levels = found.get("levels") or {}
        if not isinstance(levels, dict):
            raise InvalidPermit(f"permit: levels = {levels!r}: must be an object of axes")
        for axis, level in levels.items():
            if axis not in AXES:
                raise InvalidPermit(f"permit: levels.{axis}: the axes are {', '.join(AXES)}")
            if not _number(level) or not 0.0 <= level <= 1.0:
                raise InvalidPermit(f"permit: levels.{axis} = {level!r}: must be from 0 to 1")
        for name in ("charges", "clear"):
            value = found.get(name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise InvalidPermit(f"permit: {name} = {value!r}: must be a whole number from 0, or null")
        if not isinstance(found.get("estop", False), bool) or not isinstance(found.get("source", ""), str):
            raise InvalidPermit("permit: estop must be true or false, and source a text")
        return cls(**found)


@dataclass(frozen=True)
class PermitState:
    """What a watch knows: whether there is a permit ``now``, its ``levels`` (4,), and why there is none.

    ``conflict``: two sources spoke within one validity. ``estop``: a permit asked for a stop.
    """

    valid: bool
    levels: tuple[float, float, float, float]
    why: str = ""
    conflict: bool = False
    estop: bool = False
    clear: int | None = None


NOTHING = (0.0, 0.0, 0.0, 0.0)


class PermitWatch:
    """Keeps the latest permit and says whether it still holds.

    A permit with a sequence that does not rise is ignored (late, doubled or replayed). A second source while
    the first one's permit holds is a conflict: neither is believed until both have been silent.
    """

    def __init__(self) -> None:
        self._permit: Permit | None = None
        self._until = -math.inf
        self._conflict_until = -math.inf
        self._estop = False
        self.refused = 0

    def offer(self, permit: Permit, now: float) -> bool:
        """Take a permit that was received at ``now`` (s); whether it counts."""
        last = self._permit
        if permit.estop:
            self._estop = True
        if last is not None and permit.source != last.source and now < self._until:
            self._conflict_until = max(self._conflict_until, self._until, now + permit.valid_for_s)
            return False
        if last is not None and permit.source == last.source and permit.sequence <= last.sequence:
            self.refused += 1
            return False
        self._permit, self._until = permit, now + permit.valid_for_s
        if now < self._conflict_until:
            self._conflict_until = max(self._conflict_until, self._until)
        return True

    def withdraw(self) -> None:
        """Forget the permit: after a pause nobody knows how old it is."""
        self._until = -math.inf

    def acknowledge_estop(self) -> None:
        """The stop that a permit asked for has been latched by who keeps the latch."""
        self._estop = False

    def state(self, now: float) -> PermitState:
        """What holds at ``now`` (s)."""
        if now < self._conflict_until:
            return PermitState(False, NOTHING, "two sources of permits", True, self._estop)
        if self._permit is None:
            return PermitState(False, NOTHING, "no permit yet", estop=self._estop)
        if not now < self._until:
            return PermitState(False, NOTHING, "the permit has run out", estop=self._estop)
        permit = self._permit
        if permit.charges == 0:
            return PermitState(True, NOTHING, "no charges left", estop=self._estop, clear=permit.clear)
        strength, speed, sensing, reliability = (permit.levels.get(axis, 0.0) for axis in AXES)
        levels = (strength, speed, sensing, reliability)
        return PermitState(True, levels, estop=self._estop, clear=permit.clear)


class DatagramReceiver:
    """A Unix datagram socket bound at ``path`` (an old one is replaced); never blocks."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(str(self.path))
        os.chmod(self.path, 0o660)

    def receive(self) -> list[tuple[bytes, str | None]]:
        """Everything that has come, with the sender's address where it has one; at most `_DRAIN`."""
        found: list[tuple[bytes, str | None]] = []
        while len(found) < _DRAIN:
            try:
                data, sender = self.socket.recvfrom(_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                break
            found.append((data, sender or None))
        return found

    def discard(self) -> None:
        """Throw away what has come: of messages that waited nobody knows the age."""
        while self.receive():
            pass

    def close(self) -> None:
        """Close the socket and remove its file."""
        self.socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


class DatagramSender:
    """Sends to a socket at ``path``; a receiver that is absent or full loses the message, as on a network."""

    def __init__(self, path: str | Path, own: str | Path | None = None) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if own is not None:
            self.socket.bind(str(own))

    def send(self, data: bytes) -> bool:
        """Send a datagram; whether it was delivered to the receiver's queue."""
        try:
            self.socket.sendto(data, self.path)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
