"""The leases in force, and the lift levels they add up to at a time.

A `Grant` is one lease in force; the `GrantTable` holds the grants of all robots. It loops over a few grants
and computes many as arrays, with the same numbers. Why a lease is granted or ends is decided elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits import AXES
from nerfbot.powers.lease import Lease
from nerfbot.powers.region import Place


@dataclass(slots=True, eq=False)
class Grant:
    """One lease in force on one robot; times in s. `place` None: it holds anywhere."""

    lease_id: int
    robot: int
    lease: Lease
    place: Place | None
    start: float
    end: float
    charges: int | None
    levels: tuple[tuple[int, float], ...]  # (axis index, level at full ramp)
    divisor: float  # the ramp in s, or infinity for a step
    base: float  # 0 with a ramp, 1 for a step: base + t / divisor is the ramp's line either way
    returning: bool = False

    @classmethod
    def of(cls, lease: Lease, lease_id: int, robot: int, place: Place | None, now: float) -> Grant:
        """The grant of `lease` at `now` (s)."""
        return cls(
            lease_id=lease_id,
            robot=robot,
            lease=lease,
            place=place,
            start=now,
            end=now + lease.duration,
            charges=lease.charges,
            levels=tuple((AXES.index(axis), level) for axis, level in lease.axes.items()),
            divisor=lease.ramp or math.inf,
            base=0.0 if lease.ramp else 1.0,
        )

    def factor(self, now: float) -> float:
        """The part of its levels the grant gives at `now` (s), start <= now < end: 0 to 1."""
        rise = self.base + (now - self.start) / self.divisor
        fall = self.base + (self.end - now) / self.divisor
        return min(1.0, rise, fall)

    def begin_return(self, now: float) -> None:
        """Begin the normal return: ramp down from the present factor, so that the end comes no later."""
        ramp_left = self.factor(now) * self.lease.ramp
        self.end = min(self.end, now + ramp_left)
        self.returning = True


class GrantTable:
    """The grants of all robots, `count` of them. `few`: up to how many grants are walked one by one."""

    def __init__(self, count: int, few: int = 8) -> None:
        self.count = count
        self.few = few
        self.grants: list[Grant] = []
        self._slots: dict[int, int] = {}  # lease id -> slot
        self._places: dict[Place, int] = {}  # place -> its number in the array of places
        self._size(capacity=16)

    def _size(self, capacity: int) -> None:
        self._robot = np.zeros(capacity, dtype=np.intp)
        self._place = np.full(capacity, -1, dtype=np.intp)
        self._start, self._end = np.zeros(capacity), np.zeros(capacity)
        self._divisor, self._base = np.ones(capacity), np.zeros(capacity)
        self._level = np.zeros((capacity, len(AXES)))
        self._cell = np.zeros((capacity, len(AXES)), dtype=np.intp)  # index into the flattened levels
        for slot in range(len(self.grants)):
            self._fill(slot)

    def _fill(self, slot: int) -> None:
        grant = self.grants[slot]
        self._robot[slot] = grant.robot
        # A returning grant is bound to no place any more: it has left it, or no longer needs it.
        bound = grant.place is not None and not grant.returning
        self._place[slot] = self._places[grant.place] if bound and grant.place is not None else -1
        self._start[slot], self._end[slot] = grant.start, grant.end
        self._divisor[slot], self._base[slot] = grant.divisor, grant.base
        self._level[slot] = 0.0
        for axis, level in grant.levels:
            self._level[slot, axis] = level
        self._cell[slot] = grant.robot * len(AXES) + np.arange(len(AXES))

    def add(self, grant: Grant) -> None:
        """Put a new grant in force."""
        self._slots[grant.lease_id] = len(self.grants)
        self.grants.append(grant)
        if grant.place is not None:
            self._places.setdefault(grant.place, len(self._places))
        if len(self.grants) > len(self._robot):
            self._size(capacity=2 * len(self._robot))
        else:
            self._fill(len(self.grants) - 1)

    def changed(self, grant: Grant) -> None:
        """Update the arrays after the caller changed a grant in force."""
        self._fill(self._slots[grant.lease_id])

    def remove(self, grant: Grant) -> None:
        """Put a grant out of force; the last one takes its slot."""
        slot, last = self._slots.pop(grant.lease_id), self.grants.pop()
        if last is not grant:
            self.grants[slot] = last
            self._slots[last.lease_id] = slot
            self._fill(slot)
        if len(self._places) > 2 * len(self.grants):
            self._forget_places()

    def _forget_places(self) -> None:
        """Renumber the places still in use, so that old ones do not pile up."""
        self._places.clear()
        for slot, grant in enumerate(self.grants):
            if grant.place is not None:
                self._places.setdefault(grant.place, len(self._places))
            self._fill(slot)

    def get(self, lease_id: int) -> Grant | None:
        """The grant in force with this id, or None."""
        slot = self._slots.get(lease_id)
        return None if slot is None else self.grants[slot]

    def over(self, now: float) -> list[Grant]:
        """The grants whose end has come at `now` (s)."""
        if len(self.grants) <= self.few:
            return [grant for grant in self.grants if grant.end <= now]
        return [self.grants[slot] for slot in np.flatnonzero(self._end[: len(self.grants)] <= now)]

    def displaced(self, positions: NDArray[np.float64] | None) -> tuple[list[Grant], list[Grant]]:
        """The bound grants whose robot has no finite position, and those whose robot left the place.

        `positions` (count, 2) in m, or None: then no robot has one.
        """
        if not self._places:
            return [], []
        if positions is None:
            return [grant for grant in self.grants if grant.place is not None and not grant.returning], []
        if len(self.grants) <= self.few:
            return self._displaced_few(positions)
        return self._displaced_many(positions)

    def _displaced_few(self, positions: NDArray[np.float64]) -> tuple[list[Grant], list[Grant]]:
        lost, left = [], []
        for grant in self.grants:
            if grant.place is None or grant.returning:
                continue
            x, y = positions[grant.robot].tolist()
            if not (math.isfinite(x) and math.isfinite(y)):
                lost.append(grant)
            elif not grant.place.holds(x, y):
                left.append(grant)
        return lost, left

    def _displaced_many(self, positions: NDArray[np.float64]) -> tuple[list[Grant], list[Grant]]:
        robots, numbers = self._robot[: len(self.grants)], self._place[: len(self.grants)]
        x, y = positions.T
        known = (np.isfinite(x) & np.isfinite(y))[robots]
        bound = numbers >= 0
        inside = ~bound
        used = np.bincount(numbers[bound], minlength=len(self._places)) > 0
        for place, number in self._places.items():
            if used[number]:
                inside |= (numbers == number) & place.contains(x, y)[robots]
        lost, left = np.flatnonzero(bound & ~known), np.flatnonzero(known & ~inside)
        return [self.grants[slot] for slot in lost], [self.grants[slot] for slot in left]

    def levels(self, now: float) -> NDArray[np.float64]:
        """The highest level any grant gives, by robot and axis, at `now` (s); new array (count, 4)."""
        levels = np.zeros((self.count, len(AXES)))
        size = len(self.grants)
        if size <= self.few:
            for grant in self.grants:
                part = grant.factor(now)
                for axis, level in grant.levels:
                    cell = grant.robot, axis
                    levels[cell] = max(levels[cell], part * level)
            return levels
        base, divisor = self._base[:size], self._divisor[:size]
        rise = base + (now - self._start[:size]) / divisor
        fall = base + (self._end[:size] - now) / divisor
        given = np.minimum(1.0, np.minimum(rise, fall))[:, None] * self._level[:size]
        # On the flat array `maximum.at` takes NumPy's fast path; two leases of one robot may share a cell.
        np.maximum.at(levels.reshape(-1), self._cell[:size].ravel(), given.ravel())
        return levels
