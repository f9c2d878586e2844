"""The permit: the supervisor's heartbeat, without which nothing moves, and the lift levels that go with it.

One datagram is one JSON object. It holds for `valid_for_s` from when it was sent, by the monotonic clock that
all processes of one machine share: waiting in a queue does not prolong it. `PermitWatch` is the reader's side
(nerf, gate, servo driver); sockets are in `datagram`.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nerfbot.limits import AXES

from ..errors import InvalidPermit

FORMAT = 2

LONGEST = 2.0
"""Longest time in s that one permit may hold: a supervisor has to go on renewing it."""

AHEAD = 0.01
"""A permit may be this far (s) ahead of its reader's clock: both read the same one."""

NERFED = (0.0,) * len(AXES)


@dataclass(frozen=True)
class Permit:
    """Permission to move until `sent` + `valid_for_s`, at lift `levels` (4,) in the order of `AXES`.

    `session` identifies one run of a supervisor; `sequence` counts within it. `charges` and `region` are
    those of the active lease, for display. A `stop` that is not empty is the reason for a controlled stop:
    the supervisor is alive, and nothing may move. `estop`: that stop is an emergency stop, which a reader
    with a latch latches; `clear`: the number of the reader's latch that may be cleared.
    """

    session: str
    sequence: int
    sent: float
    valid_for_s: float
    levels: tuple[float, ...] = NERFED
    charges: int | None = None
    region: Mapping[str, Any] | None = None
    stop: str = ""
    estop: bool = False
    clear: int | None = None

    def encode(self) -> bytes:
        """The datagram."""
        content = {"format": FORMAT, **self.__dict__, "levels": list(self.levels)}
        return json.dumps(content, allow_nan=False).encode()

    @classmethod
    def decode(cls, data: bytes) -> Permit:
        """Read a datagram. Raises `InvalidPermit` naming the field and the value."""
        keys = {"format", *cls.__dataclass_fields__}
        try:
            content = json.loads(data)
            different = keys ^ content.keys()
        except (ValueError, RecursionError, AttributeError):
            raise InvalidPermit(f"permit: must be one JSON object, got {data[:40]!r}") from None
        if different:
            raise InvalidPermit(f"permit: fields must be {sorted(keys)}, differ in {sorted(different)}")
        for field in _RULES:
            _check(field, content[field])
        if content["estop"] and not content["stop"]:
            raise InvalidPermit("permit: estop = True: must come with a stop")
        del content["format"]
        times = {name: float(content[name]) for name in ("sent", "valid_for_s")}
        return cls(**{**content, **times, "levels": tuple(map(float, content["levels"]))})


class PermitSource:
    """Makes the permits of one session, each with the next number.

    `valid_for` in s, above 0 and at most `LONGEST`.
    """

    def __init__(self, valid_for: float) -> None:
        _check("valid_for_s", valid_for)
        self.valid_for, self.session, self.sequence = valid_for, secrets.token_hex(8), 0

    def next(
        self, levels: tuple[float, ...] = NERFED, stop: str = "", now: float | None = None, **fields: Any
    ) -> Permit:
        """The next permit; `now` (s) defaults to the monotonic clock, `fields` are others of `Permit`."""
        self.sequence += 1
        sent = time.monotonic() if now is None else now
        return Permit(self.session, self.sequence, sent, self.valid_for, levels, stop=stop, **fields)


class PermitState(NamedTuple):
    """What a `PermitWatch` knows at one time.

    `stop`: why nothing may move, "" where it may; `levels` (4,), nerfed where nothing may move. `alive`: one
    source sends permits, whatever they say. `conflict`: two sources do. `estop`: an emergency stop was
    requested and is not yet acknowledged. `clear`: the latch that may be cleared.
    """

    stop: str
    levels: tuple[float, ...] = NERFED
    alive: bool = False
    conflict: bool = False
    estop: bool = False
    clear: int | None = None


class PermitWatch:
    """A reader's permit: whether it may move, and at which lift levels. `now` is the monotonic clock's, s.

    Without a valid permit nothing moves. A second source while the first one's permit holds is a stop, for
    as long as both send: no reader can know which of two supervisors is right. An emergency stop counts even
    in a permit that is refused otherwise.
    """

    def __init__(self) -> None:
        self._permit: Permit | None = None
        self._pid = 0
        self._until = -math.inf
        self._conflict_until = -math.inf
        self._estop = False
        self.problem = ""
        """What was wrong with the last refused message ("" for none yet)."""

    def take(self, data: bytes, pid: int, now: float) -> None:
        """Process a datagram that the process `pid` sent. A bad one changes nothing but `problem`."""
        try:
            permit = Permit.decode(data)
        except InvalidPermit as error:
            self.problem = str(error)
            return
        self._estop = self._estop or permit.estop
        until = min(permit.sent, now) + permit.valid_for_s
        if permit.sent > now + AHEAD:
            self.problem = f"permit: sent = {permit.sent:g}: is {permit.sent - now:g} s ahead of the clock"
            return
        known = self._permit
        if known is not None and (pid, permit.session) != (self._pid, known.session):
            if now < self._until or now < self._conflict_until:
                self._conflict_until = max(self._conflict_until, until, self._until)
                self.problem = f"permit: a second source, process {pid}, beside process {self._pid}"
                return
        elif known is not None and permit.sequence <= known.sequence:
            self.problem = f"permit: sequence = {permit.sequence}: must be above {known.sequence}"
            return
        self._permit, self._pid, self._until = permit, pid, until

    @property
    def source(self) -> tuple[int, str] | None:
        """Process and session of the permit that holds, or held last; None before the first."""
        return None if self._permit is None else (self._pid, self._permit.session)

    def stop(self, now: float) -> str:
        """Why nothing may move now; "" where it may."""
        if self._permit is None:
            return "no permit yet"
        if now < self._conflict_until:
            return self.problem
        if now >= self._until:
            return "the permit lapsed"
        return self._permit.stop

    def levels(self, now: float) -> tuple[float, ...]:
        """The lift levels (4,) now; nerfed where nothing may move."""
        if self._permit is None or self.stop(now):
            return NERFED
        return self._permit.levels

    def remaining(self, now: float) -> float:
        """Seconds for which the last permit still holds, 0 where it does not."""
        return max(self._until - now, 0.0)

    def state(self, now: float) -> PermitState:
        """Everything at `now`, for a reader that latches."""
        alive, conflict = now < self._until, now < self._conflict_until
        clear = self._permit.clear if self._permit is not None and alive and not conflict else None
        return PermitState(
            self.stop(now), self.levels(now), alive and not conflict, conflict, self._estop, clear
        )

    def acknowledge_estop(self) -> None:
        """Record that the reader has latched the requested emergency stop."""
        self._estop = False

    def withdraw(self) -> None:
        """Drop the permit, when the reader ends."""
        self._until = -math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check(field: str, value: Any) -> None:
    is_good, rule = _RULES[field]
    if not is_good(value):
        raise InvalidPermit(f"permit: {field} = {value!r}: {rule}")


def _is_validity(value: Any) -> bool:
    return _is_number(value) and 0.0 < value <= LONGEST


def _are_levels(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != len(AXES):
        return False
    return all(_is_number(level) and 0.0 <= level <= 1.0 for level in value)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (lambda value: bool(value == FORMAT), f"must be {FORMAT}"),
    "session": (lambda value: isinstance(value, str) and bool(value), "must be a text"),
    "sequence": (_is_count, "must be a count"),
    "sent": (_is_number, "must be a time in s"),
    "valid_for_s": (_is_validity, f"must be above 0 and at most {LONGEST:g} s"),
    "levels": (_are_levels, f"must be {len(AXES)} numbers from 0 to 1"),
    "charges": (lambda value: value is None or _is_count(value), "must be a count or null"),
    "region": (lambda value: value is None or isinstance(value, dict), "must be a region or null"),
    "stop": (lambda value: isinstance(value, str), "must be a text"),
    "estop": (lambda value: isinstance(value, bool), "must be true or false"),
    "clear": (lambda value: value is None or _is_count(value), "must be a count or null"),
}
"""What each field of a datagram must be, in the order in which they are checked."""
