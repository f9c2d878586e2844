"""The permit: the supervisor's heartbeat, without which nothing moves, and the lift levels that go with it.

One datagram is one JSON object. It holds for `valid_for_s` from when it was sent, by the machine's
monotonic clock, which all processes of one machine share: a permit that lay in a queue while its reader
hung is as old as it is. What a reader (nerf, gate, servo driver) makes of the permits is `PermitWatch`;
sockets are in `datagram`.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nerfbot.limits import AXES

from ..errors import InvalidPermit

FORMAT = 2

LONGEST = 2.0
"""Longest time in s that one permit may hold: one that a supervisor would never have to renew is refused."""

AHEAD = 0.01
"""A permit may be this far (s) ahead of its reader's clock: both read the same one."""

NERFED = (0.0,) * len(AXES)


@dataclass(frozen=True)
class Permit:
    """Leave to move until `sent` + `valid_for_s`, at lift `levels` (4,) in the order of `AXES`.

    `session` tells one start of a supervisor from another; `sequence` counts within it. `charges` and
    `region` are those of the lease in force, for who shows them. A `stop` that is not empty is the reason
    for a controlled stop: the permit says that its source lives, and that nothing may move. `estop`: that
    stop is an emergency stop, which a reader with a latch latches; `clear`: the number of the reader's latch
    that may be cleared.
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
        try:
            told = json.loads(data)
        except (ValueError, RecursionError):
            raise InvalidPermit(f"permit: must be one JSON object, got {data[:40]!r}") from None
        keys = {"format", *cls.__dataclass_fields__}
        if not isinstance(told, dict) or told.keys() != keys:
            missing = sorted(keys ^ set(told)) if isinstance(told, dict) else [type(told).__name__]
            raise InvalidPermit(f"permit: must have the fields {sorted(keys)}, differs in {missing}")
        _expect("format", told["format"], told["format"] == FORMAT, f"must be {FORMAT}")
        session, sequence = told["session"], told["sequence"]
        _expect("session", session, isinstance(session, str) and bool(session), "must be a text")
        _expect("sequence", sequence, _is_count(sequence), "must be a count")
        _expect("sent", told["sent"], _is_number(told["sent"]), "must be a time in s")
        valid = told["valid_for_s"]
        good = _is_number(valid) and 0.0 < valid <= LONGEST
        _expect("valid_for_s", valid, good, f"must be above 0 and at most {LONGEST:g} s")
        levels = told["levels"]
        good = isinstance(levels, list) and len(levels) == len(AXES)
        good = good and all(_is_number(level) and 0.0 <= level <= 1.0 for level in levels)
        _expect("levels", levels, good, f"must be {len(AXES)} numbers from 0 to 1")
        charges, region, stop = told["charges"], told["region"], told["stop"]
        _expect("charges", charges, charges is None or _is_count(charges), "must be a count or null")
        _expect("region", region, region is None or isinstance(region, dict), "must be a region or null")
        _expect("stop", stop, isinstance(stop, str), "must be a text")
        estop, clear = told["estop"], told["clear"]
        good = isinstance(estop, bool) and (bool(stop) or not estop)
        _expect("estop", estop, good, "must be true or false, and true only with a stop")
        _expect("clear", clear, clear is None or _is_count(clear), "must be a count or null")
        sent, valid = float(told["sent"]), float(valid)
        return cls(
            session, sequence, sent, valid, tuple(map(float, levels)), charges, region, stop, estop, clear
        )


class PermitSource:
    """Makes the permits of one session, each with the next number.

    `valid_for` in s, above 0 and at most `LONGEST`.
    """

    def __init__(self, valid_for: float) -> None:
        good = math.isfinite(valid_for) and 0.0 < valid_for <= LONGEST
        _expect("valid_for_s", valid_for, good, f"must be above 0 and at most {LONGEST:g} s")
        self.valid_for, self.session, self.sequence = valid_for, secrets.token_hex(8), 0

    def next(
        self,
        levels: tuple[float, ...] = NERFED,
        stop: str = "",
        charges: int | None = None,
        region: Mapping[str, Any] | None = None,
        now: float | None = None,
        estop: bool = False,
        clear: int | None = None,
    ) -> Permit:
        """The next permit; `now` (s) is the monotonic clock's unless given."""
        self.sequence += 1
        sent = time.monotonic() if now is None else now
        return Permit(
            self.session, self.sequence, sent, self.valid_for, levels, charges, region, stop, estop, clear
        )


class PermitState(NamedTuple):
    """What a watch knows at one time.

    `stop`: why nothing may move, "" where it may; `levels` (4,), nerfed where nothing may move. `alive`: a
    source speaks, whatever it says. `conflict`: two sources do. `estop`: an emergency stop was asked for and
    not yet acknowledged. `clear`: the latch that may be cleared.
    """

    stop: str
    levels: tuple[float, ...] = NERFED
    alive: bool = False
    conflict: bool = False
    estop: bool = False
    clear: int | None = None


class PermitWatch:
    """What a reader knows of its permit: whether it may move, and at which lift levels.

    Without a valid permit the answer is no. A second source while the first one's permit holds is a stop,
    for as long as both are heard: no reader can tell which of two supervisors is right. `now` is the
    monotonic clock's, s. An emergency stop is heard even in a permit that does not count otherwise.
    """

    def __init__(self) -> None:
        self._permit: Permit | None = None
        self._pid = 0
        self._until = -math.inf
        self._conflict_until = -math.inf
        self._estop = False
        self.problem = ""
        """What was wrong with the last message that was refused ("" for none yet)."""

    def take(self, data: bytes, pid: int, now: float) -> None:
        """Take a datagram that the process `pid` sent. One that is no good changes nothing but `problem`."""
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
        """The lift levels (4,) now; without leave to move, nerfed."""
        if self._permit is None or self.stop(now):
            return NERFED
        return self._permit.levels

    def remaining(self, now: float) -> float:
        """Seconds for which the last permit still holds, 0 where it does not."""
        return max(self._until - now, 0.0)

    def state(self, now: float) -> PermitState:
        """All of it at `now`, for a reader that latches."""
        alive, conflict = now < self._until, now < self._conflict_until
        clear = self._permit.clear if self._permit is not None and alive and not conflict else None
        return PermitState(
            self.stop(now), self.levels(now), alive and not conflict, conflict, self._estop, clear
        )

    def acknowledge_estop(self) -> None:
        """The emergency stop that was asked for has been latched by the reader."""
        self._estop = False

    def withdraw(self) -> None:
        """Forget the permit: the reader ends."""
        self._until = -math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _expect(field: str, value: object, good: bool, rule: str) -> None:
    if not good:
        raise InvalidPermit(f"permit: {field} = {value!r}: {rule}")
