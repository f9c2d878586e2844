"""What the supervisor decides, without ROS: permits, the ladder, the latched e-stop, leases, the audit log.

It knows nothing of what is commanded except whether it is at rest; it reads raw sensors, before any nerf.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerfbot.course import Course
from nerfbot.errors import NerfbotError
from nerfbot.limits import AXES
from nerfbot.powers import AuditLog, Lease, LeaseAuthority
from nerfbot.powers.audit import utc_now

from ..errors import InvalidPermit
from .estop_latch import EstopLatch
from .localisation import Odometry, Pose, course_policy
from .permit import NERFED, Permit, PermitSource
from .severity import Ladder, Severity


class TellingAuditLog(AuditLog):
    """An audit log that also tells each event to a listener, once it is written."""

    listener: Callable[[Mapping[str, Any]], None] | None = None

    def append(self, event: str, now: float, /, **fields: Any) -> str:
        """Write one line, then tell it."""
        digest = super().append(event, now, **fields)
        if self.listener is not None:
            self.listener({"event": event, "now": now, **fields, "hash": digest})
        return digest


class LeaseClock:
    """Time by which leases run: the faster of the steady clock and the simulated one.

    A simulation that runs five times as fast shortens leases to simulated seconds; one without `/clock`
    cannot lengthen them.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._last: tuple[float, float] | None = None

    def tick(self, steady: float, simulated: float = 0.0) -> float:
        """The time (s) now, from both clocks (s)."""
        if self._last is not None:
            forward = max(steady - self._last[0], simulated - self._last[1], 0.0)
            self.now += forward
        self._last = (steady, simulated)
        return self.now


class Oversight:
    """The supervisor's state. Times are of the steady clock, s, unless said otherwise.

    Args:
        course: whose lift zones allow leases, and at whose start the origin lies.
        folder: where the latch and the audit log are kept.
        valid_for: how long a permit holds, s.
        odometry: trusted as it says.
        max_duration: of a lease, s.
        backstop: what stops the robot when the gate dies; "" refuses every lift.

    Raises `InvalidSetup`, `AuditLogError` or `LeaseError` where it must not start.

    """

    def __init__(
        self,
        course: Course,
        folder: Path,
        valid_for: float,
        odometry: Odometry,
        max_duration: float = 30.0,
        backstop: str = "",
    ) -> None:
        self.course, self.odometry, self.backstop = course, odometry, backstop
        self.latch = EstopLatch(folder / "estop.json")
        self.audit = TellingAuditLog(folder / "audit.jsonl", repair=True, wall=utc_now)
        self.policy = course_policy(course, max_duration)
        self.authority = LeaseAuthority(policy=self.policy, audit=self.audit)
        self.ladder, self.clock = Ladder(), LeaseClock()
        try:
            self._source = PermitSource(valid_for)
        except InvalidPermit:
            self.audit.close()
            raise
        self.permit: Permit | None = None
        self.levels: tuple[float, ...] = NERFED
        self._faults: dict[str, str] = {}
        self._below = 0  # number of the servo driver's own latch; 0: it has none
        self._clear: int | None = None
        self.audit.append("start", 0.0, session=self._source.session, latched=self.latch.reason)
        if self.latch.reason:
            self.authority.estop(0.0, f"latched before: {self.latch.reason}")
            self.ladder.set("estop", Severity.ESTOP, self.latch.reason)

    # Conditions

    def condition(self, name: str, severity: Severity, detail: str) -> None:
        """Note that a condition holds; what is new goes to the audit log."""
        if self.ladder.set(name, severity, detail):
            self._write("condition", condition=name, severity=severity.name, detail=detail)
            if severity >= Severity.NO_LIFT:
                self.authority.revoke_all(self.clock.now, f"{name}: {detail}")
            if severity >= Severity.ESTOP:
                self.estop(f"{name}: {detail}")

    def fine(self, name: str) -> None:
        """Note that a condition is gone."""
        if self.ladder.clear(name):
            self._write("condition-over", condition=name)

    def fault(self, source: str, name: str, detail: str) -> None:
        """Write what another process told of itself; it decides nothing here."""
        self._faults[source] = f"{name}: {detail}"
        self._write("fault", source=source, fault=name, detail=detail)

    def estop(self, reason: str) -> None:
        """Latch the emergency stop; leases end at once."""
        if not self.latch.reason:
            try:
                self.latch.trip(reason)
            except OSError as error:
                reason = f"{reason} (the latch could not be written: {error.strerror})"
            self.authority.estop(self.clock.now, reason)
        self.ladder.set("estop", Severity.ESTOP, self.latch.reason or reason)

    def clear_estop(self, reason: str, at_rest: bool) -> str:
        """Clear the latch; "" or why it stays."""
        others = {name: held for name, held in self.ladder.held().items() if name != "estop"}
        cause = next(
            (f"{name}: {detail}" for name, (severity, detail) in others.items() if severity >= Severity.STOP),
            "",
        )
        refused = self.latch.clear(cause, permitted=not cause, stopped=at_rest)
        if refused:
            self._write("clear-refused", reason=reason, detail=refused)
            return refused
        self.ladder.clear("estop")
        self.authority.clear_estop(self.clock.now, reason)
        if self._below:
            self._clear = self._below
            self._write("clear-below", number=self._below, reason=reason)
        return ""

    def latched_below(self, number: int, reason: str) -> dict[str, Any]:
        """Note a servo driver's own latch ("" for a reason: it has gone): no lift meanwhile.

        Clearing the emergency stop clears it too; the driver itself looks whether its cause has gone.
        """
        if not reason:
            self._below, self._clear = 0, None
            self.fine("driver")
        else:
            self._clear = self._clear if number == self._below else None
            self._below = number
            self.condition("driver", Severity.NO_LIFT, f"latch {number}: {reason}")
        return {"ok": True}

    # The heartbeat

    def tick(self, now: float, simulated: float = 0.0) -> Permit:
        """The next permit, at `now` (s) and the simulated time (s)."""
        moment = self.clock.tick(now, simulated)
        point = self.odometry.worst_point(now, self.policy.zones)
        where = np.array([[math.nan, math.nan] if point is None else point])
        self.levels = tuple(self.authority.update(moment, where)[0].tolist())
        stop = self.ladder.reason(Severity.STOP)
        active = self.authority.active(0)
        self.permit = self._source.next(
            NERFED if stop else self.levels,
            stop,
            charges=active[-1].charges if active else None,
            region=None,
            now=now,
            estop=bool(self.latch.reason),
            clear=self._clear,
        )
        return self.permit

    # Requests

    def grant(self, fields: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Ask the authority for a lease on the axes in `fields`; the answer to who asked."""
        try:
            lease = Lease(
                axes=dict(fields["axes"]),
                duration=float(fields["duration"]),
                ramp=float(fields["ramp"]),
                reason=fields["reason"],
            )
        except NerfbotError as error:
            return {"error": str(error)}
        worst = self.ladder.reason(Severity.NO_LIFT)
        if not self.backstop:
            detail = "nothing is known to stop the robot when the gate dies (nerfbot lift backstop)"
            return self._refuse(lease, "no-backstop", detail)
        if worst and not self.authority.latched:
            return self._refuse(lease, "not-now", worst)
        decision = self.authority.request(
            lease, self.clock.now, self.odometry.worst_point(now, self.policy.zones)
        )
        return {
            "ok": decision.granted,
            "reason": decision.reason,
            "detail": decision.detail,
            "lease": decision.lease_id,
        }

    def _refuse(self, lease: Lease, reason: str, detail: str) -> dict[str, Any]:
        self._write("refuse", axes=lease.axes, reason=reason, detail=detail, asked=lease.reason)
        return {"ok": False, "reason": reason, "detail": detail}

    def revoke(self, reason: str) -> dict[str, Any]:
        """End every lease at once."""
        return {"ok": True, "revoked": self.authority.revoke_all(self.clock.now, reason)}

    def set_origin(self, reason: str, now: float) -> dict[str, Any]:
        """The robot stands on the course's start now."""
        start = self.course.start
        refused = self.odometry.set_origin(Pose(start.x, start.y, start.heading), now)
        self._write("origin", reason=reason, refused=refused)
        return {"ok": not refused, "detail": refused}

    def lease_left(self) -> list[float]:
        """Seconds until the last lease ends and its charges (-1: not counted); zeros without one."""
        active = self.authority.active(0)
        if not active:
            return [0.0, 0.0]
        left = max(item.end for item in active) - self.clock.now
        return [left, -1.0 if active[-1].charges is None else float(active[-1].charges)]

    def backstop_shown(self, how: str) -> None:
        """Note that the robot stopped itself when the gate fell silent, and how ("": that it did not)."""
        self.backstop = how
        self._write("backstop", detail=how or "the robot did not stop when the gate fell silent")

    def status(self, now: float) -> dict[str, Any]:
        """What an operator sees."""
        pose = self.odometry.pose(now)
        moment = self.clock.now
        return {
            "ok": True,
            "stop": self.ladder.reason(Severity.STOP),
            "severity": self.ladder.worst.name,
            "conditions": {name: [s.name, detail] for name, (s, detail) in self.ladder.held().items()},
            "estop": self.latch.reason,
            "lift": dict(zip(AXES, self.levels, strict=True)),
            "leases": [
                {"id": item.lease_id, "axes": dict(item.lease.axes), "left": round(item.end - moment, 3)}
                for item in self.authority.active(0)
            ],
            "position": None
            if pose is None
            else [round(pose.x, 3), round(pose.y, 3), round(pose.heading, 3)],
            "uncertainty": round(self.odometry.drift * self.odometry.travelled, 3),
            "position_problem": self.odometry.problem,
            "faults": dict(self._faults),
            "permit": None if self.permit is None else self.permit.sequence,
            "backstop": self.backstop,
        }

    def close(self) -> None:
        """Write the end and close the log."""
        self._write("end")
        self.audit.close()

    def _write(self, event: str, **fields: Any) -> None:
        self.audit.append(event, self.clock.now, **fields)
