"""The lease authority: grants leases under a policy, returns and revokes them.

It has no thread and no clock; every call carries `now` in seconds, from one steady clock. A time that goes
backward or is not a number, or a missing position, ends the lift at once. Every grant, refusal, use, return
and revocation goes to the audit log; a grant that cannot be logged is not given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.powers.audit import AuditLog
from nerfbot.powers.grants import Grant, GrantTable
from nerfbot.powers.lease import Lease
from nerfbot.powers.patient_audit import PatientAuditLog
from nerfbot.powers.policy import LeasePolicy, Refusal, Return, names
from nerfbot.powers.region import Place


@dataclass(frozen=True)
class Decision:
    """The answer to a request or to a use of a charge; true when granted.

    `reason` is "granted" or the value of a `Refusal`; `detail` says the refusal in a sentence ("" when
    granted); `lease_id` is None for a refused request.
    """

    granted: bool
    reason: str
    lease_id: int | None
    detail: str = ""

    def __bool__(self) -> bool:
        return self.granted


@dataclass(frozen=True)
class ActiveLease:
    """A lease in force: since `start` until `end` at the latest (s), `charges` left (None: not counted)."""

    lease_id: int
    robot: int
    lease: Lease
    start: float
    end: float
    charges: int | None


class LeaseAuthority:
    """Grants leases to `count` robots under a policy, and returns them by itself.

    A *normal* return (expired, left its region, charges spent) ramps down, ending no later than the
    lease's duration. Every other end (revoked, emergency stop, lost position, bad time, reset) takes the
    lift away in the same call. A lease that has begun to return never comes back. Raises
    `InvalidCommand` for a count, robot or array of positions that cannot be, and `AuditLogError` when
    the log cannot be written (a grant is then not given; leases that had to end have ended).

    >>> authority = LeaseAuthority(policy=LeasePolicy(allow_outside=True))
    >>> authority.request(Lease(axes={"speed": 1.0}, reason="demo", duration=5.0), now=0.0).granted
    True
    >>> authority.update(now=1.0).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        count: int = 1,
        policy: LeasePolicy | None = None,
        audit: AuditLog | PatientAuditLog | None = None,
    ) -> None:
        if count < 1:
            raise InvalidCommand(f"count = {count}: there must be at least one robot")
        self.count = count
        self.policy = LeasePolicy() if policy is None else policy
        self.audit = audit
        self._table = GrantTable(count)
        self._by_robot: dict[int, list[Grant]] = {}  # by robot, returning ones included
        self._last_end: dict[int, float] = {}  # by robot: when its last lease had ended
        self._now = -math.inf  # the latest time seen
        self._last_id = 0
        self._latched = False

    @property
    def latched(self) -> bool:
        """Whether an emergency stop is in force: nothing is granted until it is cleared."""
        return self._latched

    def request(
        self, lease: Lease, now: float, position: ArrayLike | None = None, robot: int = 0
    ) -> Decision:
        """Grant the lease to `robot` at `now` (s), or refuse it with a named reason.

        `position` (2,) in m is needed where the lease or the policy names a place.
        """
        self._check_robot(robot)
        point = _point(position)
        place = self.policy.place(lease)
        refused = self._time_fault(now)
        if refused is None:
            self._expire(now)
            refused = self._refusal(lease, now, point, robot, place)
        requested = {"robot": robot, "axes": lease.axes, "edits": lease.edits, "asked": lease.reason}
        if refused is not None:
            reason, detail = refused
            self._write("refuse", now, reason=reason.value, detail=detail, **requested)
            return Decision(False, reason.value, None, detail)
        lease_id = self._last_id + 1
        self._write(
            "grant",
            now,
            lease=lease_id,
            duration=lease.duration,
            charges=lease.charges,
            ramp=lease.ramp,
            region=None if lease.region is None else lease.region.model_dump(),
            position=point,
            **requested,
        )
        self._last_id = lease_id
        grant = Grant.of(lease, lease_id, robot, place, now)
        self._table.add(grant)
        self._by_robot.setdefault(robot, []).append(grant)
        return Decision(True, "granted", lease_id)

    def _refusal(
        self, lease: Lease, now: float, point: tuple[float, float] | None, robot: int, place: Place | None
    ) -> tuple[Refusal, str] | None:
        if self._latched:
            return Refusal.LATCHED, "an emergency stop is in force"
        objection = self.policy.objection(lease)
        if objection is not None:
            return objection
        if place is not None and point is None:
            return Refusal.NO_POSITION, f"robot {robot} has no position, and the lease is bound to a place"
        if place is not None and point is not None and not place.holds(*point):
            return self._misplaced(lease, point)
        ready = self._last_end.get(robot, -math.inf) + self.policy.cooldown
        if now < ready:
            return Refusal.COOLING_DOWN, f"robot {robot} must wait until {ready:g} s"
        if len(self._by_robot.get(robot, ())) >= self.policy.max_leases:
            return Refusal.TOO_MANY, f"robot {robot} holds {self.policy.max_leases} leases already"
        return None

    def _misplaced(self, lease: Lease, point: tuple[float, float]) -> tuple[Refusal, str]:
        at = f"({point[0]:g}, {point[1]:g}) m"
        here = [zone for zone in self.policy.zones if zone.region.holds(*point)]
        if here and not any(zone.allows(lease) for zone in here):
            refusal = Refusal.AXIS_NOT_ALLOWED if lease.axes else Refusal.EDIT_NOT_ALLOWED
            return refusal, f"the lift zone at {at} does not allow {names(lease)}"
        what = "the lease's region" if here or self.policy.allow_outside else "every lift zone"
        return Refusal.OUTSIDE_REGION, f"{at} is outside {what}"

    def use_charge(self, lease_id: int, now: float) -> Decision:
        """Use the power of a lease once at `now` (s); the last charge begins its return."""
        refused = self._time_fault(now)
        if refused is None:
            self._expire(now)
            grant = self._table.get(lease_id)
            if grant is not None and not grant.returning:
                return self._use(grant, now)
            refused = Refusal.NO_SUCH_LEASE, f"lease {lease_id} is not in force"
        reason, detail = refused
        self._write("refuse", now, lease=lease_id, reason=reason.value, detail=detail)
        return Decision(False, reason.value, lease_id, detail)

    def _use(self, grant: Grant, now: float) -> Decision:
        left = None if grant.charges is None else grant.charges - 1
        self._write("use", now, lease=grant.lease_id, robot=grant.robot, left=left)
        grant.charges = left
        if left == 0:
            self._begin_return([(grant, Return.CHARGES_SPENT)], now)
        return Decision(True, "granted", grant.lease_id)

    def update(self, now: float, positions: ArrayLike | None = None) -> NDArray[np.float64]:
        """The lift levels at `now` (s), after every return that is due; new array (count, 4), 0 to 1.

        `positions` (count, 2) in m; a robot without a finite one loses the leases bound to a place. A
        `now` that is not finite, or before the latest one seen, ends every lease at once.
        """
        fault = self._time_fault(now)
        if fault is not None:
            self._end(list(self._table.grants), "return", fault[0].value, now)
            return self._table.levels(self._now)
        where = self._positions(positions)
        if not self._table.grants:
            return self._table.levels(now)
        self._expire(now)
        lost, left = self._table.displaced(where)
        if left:
            self._begin_return([(grant, Return.LEFT_REGION) for grant in left], now)
        if lost:
            self._end(lost, "return", Return.NO_POSITION.value, now)
        return self._table.levels(now)

    def active(self, robot: int | None = None) -> tuple[ActiveLease, ...]:
        """The leases in force on a robot (None: on all), without those that are returning."""
        if robot is not None:
            self._check_robot(robot)
        held = self._table.grants if robot is None else self._by_robot.get(robot)
        if not held:
            return ()
        return tuple(
            ActiveLease(grant.lease_id, grant.robot, grant.lease, grant.start, grant.end, grant.charges)
            for grant in sorted(held, key=lambda grant: grant.lease_id)
            if not grant.returning
        )

    def revoke(self, lease_id: int, now: float, reason: str) -> bool:
        """End one lease at once, whatever `now` is; false if it is not in force."""
        grant = self._table.get(lease_id)
        if grant is None:
            return False
        self._time_fault(now)  # only to note a good time; a bad one stops no revocation
        self._end([grant], "revoke", reason, now)
        return True

    def revoke_all(self, now: float, reason: str) -> int:
        """End every lease at once, whatever `now` is; returns how many there were."""
        self._time_fault(now)
        grants = list(self._table.grants)
        self._end(grants, "revoke", reason, now)
        return len(grants)

    def estop(self, now: float, reason: str) -> None:
        """Emergency stop: end every lease at once and refuse all until `clear_estop`."""
        self._latched = True
        self.revoke_all(now, reason)
        self._write("estop", now, reason=reason)

    def clear_estop(self, now: float, reason: str) -> None:
        """Allow requests again; nothing that was revoked comes back."""
        self._write("clear-estop", now, reason=reason)
        self._latched = False

    def reset(self, robots: ArrayLike | None = None, now: float | None = None) -> None:
        """End the leases of some robots (None: all) at once, and forget their cooldown: a new episode.

        `robots` are numbers, shape (n,), or a bool mask, shape (count,).
        For all robots together the clock may start anew at `now` (s). An emergency stop stays in force.
        """
        if robots is not None and now is not None:
            raise InvalidCommand(f"now = {now}: the clock restarts for all robots together only")
        if now is not None and not math.isfinite(now):
            raise InvalidCommand(f"now = {now}: must be a time in s")
        indices = self._robot_indices(robots)
        ending = [grant for robot in indices for grant in self._by_robot.get(robot, ())]
        for grant in ending:
            self._drop(grant, self._now)
        for robot in indices:
            self._last_end.pop(robot, None)
        then = self._now
        if now is not None:
            self._now = now
        for grant in ending:
            self._write_end("return", grant, then, Return.RESET.value)

    def _robot_indices(self, robots: ArrayLike | None) -> list[int]:
        if robots is None:
            return list(range(self.count))
        array = np.asarray(robots)
        if array.dtype == np.bool_:
            if array.shape != (self.count,):
                raise InvalidCommand(f"robots is a mask of the shape {array.shape}, not ({self.count},)")
            array = np.flatnonzero(array)
        indices = [int(robot) for robot in array]
        for robot in indices:
            self._check_robot(robot)
        return indices

    def _check_robot(self, robot: int) -> None:
        if not 0 <= robot < self.count:
            raise InvalidCommand(f"robot = {robot}: the robots are 0 to {self.count - 1}")

    def _positions(self, positions: ArrayLike | None) -> NDArray[np.float64] | None:
        if positions is None:
            return None
        array = np.asarray(positions, dtype=np.float64)
        if array.shape != (self.count, 2):
            raise InvalidCommand(f"positions has the shape {array.shape}, not ({self.count}, 2)")
        return array

    def _time_fault(self, now: float) -> tuple[Refusal, str] | None:
        """What is wrong with `now`, if anything; a good `now` becomes the latest time seen."""
        if not math.isfinite(now):
            return Refusal.INVALID_TIME, f"now = {now} is not a time"
        if now < self._now:
            return (
                Refusal.STALE_TIME,
                f"now = {now:g} s is before {self._now:g} s, which has been",
            )
        self._now = now
        return None

    def _expire(self, now: float) -> None:
        over = self._table.over(now)
        if not over:
            return
        for grant in over:
            self._drop(grant, grant.end)
        for grant in over:
            if not grant.returning:  # a returning one was logged when its return began
                self._write_end("return", grant, now, Return.EXPIRED.value)

    def _begin_return(self, returns: list[tuple[Grant, Return]], now: float) -> None:
        for grant, _ in returns:
            grant.begin_return(now)
            if grant.end > now:
                self._table.changed(grant)
            else:
                self._drop(grant, now)
        for grant, reason in returns:
            self._write_end("return", grant, now, reason.value)

    def _end(self, grants: list[Grant], event: str, reason: str, now: float) -> None:
        for grant in grants:
            self._drop(grant, self._now)
        for grant in grants:
            self._write_end(event, grant, now, reason)

    def _drop(self, grant: Grant, end: float) -> None:
        self._table.remove(grant)
        held = self._by_robot[grant.robot]
        held.remove(grant)
        if not held:
            del self._by_robot[grant.robot]
        self._last_end[grant.robot] = max(end, self._last_end.get(grant.robot, -math.inf))

    def _write_end(self, event: str, grant: Grant, now: float, reason: str) -> None:
        self._write(event, now, lease=grant.lease_id, robot=grant.robot, reason=reason)

    def _write(self, event: str, now: float, **fields: object) -> None:
        if self.audit is None:
            return
        if not math.isfinite(now):  # JSON cannot hold it: log the latest good time instead
            fields["now"] = str(now)
            now = self._now if math.isfinite(self._now) else 0.0
        self.audit.append(event, now, **fields)


def _point(position: ArrayLike | None) -> tuple[float, float] | None:
    """The position as two finite numbers, or None where there is none."""
    if position is None:
        return None
    array = np.asarray(position, dtype=np.float64)
    if array.shape != (2,):
        raise InvalidCommand(f"position has the shape {array.shape}, not (2,)")
    x, y = array.tolist()
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None
