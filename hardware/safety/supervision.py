"""What the supervisor decides, without ROS: permits, conditions, the latched e-stop, leases, the audit log.

`motion_monitor` supplies conditions from speed, commands and clocks; the node supplies the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerfbot.course import Course
from nerfbot.errors import NerfbotError
from nerfbot.limits import AXES
from nerfbot.powers import Lease, LeaseAuthority, PatientAuditLog
from nerfbot.powers.audit import utc_now

from ..errors import InvalidPermit, InvalidSetup
from .estop_latch import EstopLatch
from .localisation import Localiser, PlanarPose, course_policy
from .permit import NERFED, Permit, PermitSource
from .severity import Conditions, Severity


class PublishedAuditLog(PatientAuditLog):
    """An audit log that also passes each event to a listener, whether or not it could be written."""

    listener: Callable[[Mapping[str, Any]], None] | None = None

    def append(self, event: str, now: float, /, **fields: Any) -> str:
        """Write one line, or keep it until that is possible; then call the listener."""
        digest = super().append(event, now, **fields)
        if self.listener is not None:
            self.listener({"event": event, "now": now, **fields, "hash": digest})
        return digest


STATES_ZERO = re.compile(r"[:=\s]0+(\.0*)?\s*(s|ms)?\s*$")
"""A mechanism that states a 0, such as `cmd_vel_timeout: 0`: ros2_controllers has no time-out then."""


class LeaseClock:
    """The time by which leases run: the faster of the steady clock and the simulated one.

    A simulation at five times real time has leases of simulated seconds; one without `/clock` cannot prolong
    them.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._last: tuple[float, float] | None = None

    def tick(self, steady: float, simulated: float = 0.0) -> float:
        """The time (s) now, from both clocks (s)."""
        if self._last is not None:
            self.now += max(steady - self._last[0], simulated - self._last[1], 0.0)
        self._last = (steady, simulated)
        return self.now


class Supervision:
    """The supervisor's state. Times are of the steady clock, s, unless said otherwise.

    Args:
        course: its lift zones allow leases, and its start is the origin.
        folder: of the latch and the audit log.
        valid_for: how long a permit holds, s.
        localiser: where the robot is on the course.
        max_duration: of a lease, s.
        backstop: what stops the robot when the gate dies; "" refuses every lift, and so does a time-out of 0.

    Raises `InvalidSetup`, `AuditLogError` or `LeaseError` where it must not start.

    """

    def __init__(
        self,
        course: Course,
        folder: Path,
        valid_for: float,
        localiser: Localiser,
        max_duration: float = 30.0,
        backstop: str = "",
    ) -> None:
        self.course, self.localiser = course, localiser
        self.backstop = "" if STATES_ZERO.search(backstop) else backstop
        self.no_backstop = "nothing is known to stop the robot when the gate dies (nerfbot lift backstop)"
        """Why there is no backstop, where there is none."""
        self.latch = EstopLatch(folder / "estop.json")
        self.audit = PublishedAuditLog(folder / "audit.jsonl", wall=utc_now)
        self.policy = course_policy(course, max_duration)
        self.authority = LeaseAuthority(policy=self.policy, audit=self.audit)
        self.conditions, self.clock = Conditions(), LeaseClock()
        try:
            self._source = PermitSource(valid_for)
        except InvalidPermit:
            self.audit.close()
            raise
        self.permit: Permit | None = None
        self.levels: tuple[float, ...] = NERFED
        self._faults: dict[str, str] = {}
        self._driver_latch = 0  # number of the servo driver's own latch; 0: it has none
        self._clear_driver: int | None = None
        self.audit.append("start", 0.0, session=self._source.session, latched=self.latch.reason)
        if self.latch.reason:
            self.authority.estop(0.0, f"latched before: {self.latch.reason}")
            self.conditions.set("estop", Severity.ESTOP, self.latch.reason)

    # Conditions

    def set_condition(self, name: str, holds: bool, severity: Severity, detail: str) -> None:
        """Record whether a condition holds; what changes goes to the audit log.

        One that is new or worse ends leases (from `NO_LIFT`) and latches (`ESTOP`).
        """
        if not holds:
            if self.conditions.clear(name):
                self._log("condition-over", condition=name)
        elif self.conditions.set(name, severity, detail):
            self._log("condition", condition=name, severity=severity.name, detail=detail)
            if severity >= Severity.NO_LIFT:
                self.authority.revoke_all(self.clock.now, f"{name}: {detail}")
            if severity >= Severity.ESTOP:
                self.estop(f"{name}: {detail}")

    def log_fault(self, source: str, name: str, detail: str) -> None:
        """Log a fault that another process reported; it changes no decision."""
        self._faults[source] = f"{name}: {detail}"
        self._log("fault", source=source, fault=name, detail=detail)

    def estop(self, reason: str) -> None:
        """Latch the emergency stop; leases end at once."""
        if not self.latch.reason:
            try:
                self.latch.trip(reason)
            except InvalidSetup as error:
                reason = f"{reason} (the latch could not be written: {error})"
            self.authority.estop(self.clock.now, reason)
        self.conditions.set("estop", Severity.ESTOP, self.latch.reason or reason)

    def clear_estop(self, reason: str, at_rest: bool) -> str:
        """Clear the latch; "" or why it stays."""
        others = {name: item for name, item in self.conditions.active().items() if name != "estop"}
        causes = [
            f"{name}: {detail}" for name, (severity, detail) in others.items() if severity >= Severity.STOP
        ]
        refusal = self.latch.clear(causes[0] if causes else "", stopped=at_rest)
        if refusal:
            self._log("clear-refused", reason=reason, detail=refusal)
            return refusal
        self.conditions.clear("estop")
        self.authority.clear_estop(self.clock.now, reason)
        if self._driver_latch:
            self._clear_driver = self._driver_latch
            self._log("clear-below", number=self._driver_latch, reason=reason)
        return ""

    def set_driver_latch(self, number: int, reason: str) -> dict[str, Any]:
        """Record a servo driver's own latch ("" for a reason: it is gone): no lift meanwhile.

        Clearing the emergency stop permits the driver to clear it; the driver checks its cause itself.
        """
        if not reason:
            self._driver_latch, self._clear_driver = 0, None
        else:
            self._clear_driver = self._clear_driver if number == self._driver_latch else None
            self._driver_latch = number
        self.set_condition("driver", bool(reason), Severity.NO_LIFT, f"latch {number}: {reason}")
        return {"ok": True}

    # The heartbeat

    def tick(self, now: float, simulated: float = 0.0) -> Permit:
        """The next permit, at `now` (s) and the simulated time (s)."""
        moment = self.clock.tick(now, simulated)
        self.audit.retry(moment)
        self.set_condition("audit", bool(self.audit.problem), Severity.NO_LIFT, self.audit.problem)
        point = self.localiser.worst_point(now, self.policy.zones)
        where = np.array([[math.nan, math.nan] if point is None else point])
        self.levels = tuple(self.authority.update(moment, where)[0].tolist())
        stop = self.conditions.reason(Severity.STOP)
        active = self.authority.active(0)
        self.permit = self._source.next(
            NERFED if stop else self.levels,
            stop,
            charges=active[-1].charges if active else None,
            now=now,
            estop=bool(self.latch.reason),
            clear=self._clear_driver,
        )
        return self.permit

    # Requests

    def grant(self, fields: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Request a lease on the axes in `fields` from the authority; the answer for the sender."""
        try:
            lease = Lease(**fields)
        except NerfbotError as error:
            return {"error": str(error)}
        worst = self.conditions.reason(Severity.NO_LIFT)
        if not self.backstop:
            return self._refuse(lease, "no-backstop", self.no_backstop)
        if worst and not self.authority.latched:
            return self._refuse(lease, "not-now", worst)
        where = self.localiser.worst_point(now, self.policy.zones)
        decision = self.authority.request(lease, self.clock.now, where)
        if decision.granted and self.audit.problem:  # a grant that cannot be logged is not given
            self.authority.revoke_all(self.clock.now, "the audit log cannot be written")
            return self._refuse(lease, "not-now", f"audit: {self.audit.problem}")
        return {
            "ok": decision.granted,
            "reason": decision.reason,
            "detail": decision.detail,
            "lease": decision.lease_id,
        }

    def _refuse(self, lease: Lease, reason: str, detail: str) -> dict[str, Any]:
        self._log("refuse", axes=lease.axes, reason=reason, detail=detail, asked=lease.reason)
        return {"ok": False, "reason": reason, "detail": detail}

    def revoke(self, reason: str) -> dict[str, Any]:
        """End every lease at once."""
        return {"ok": True, "revoked": self.authority.revoke_all(self.clock.now, reason)}

    def set_origin(self, reason: str, now: float) -> dict[str, Any]:
        """Declare that the robot is on the course's start now."""
        start = self.course.start
        refusal = self.localiser.set_origin(PlanarPose(start.x, start.y, start.heading), now)
        self._log("origin", reason=reason, refused=refusal)
        return {"ok": not refusal, "detail": refusal}

    def lease_remaining(self) -> list[float]:
        """Seconds until the last lease ends, and its charges (-1: not counted); zeros without one."""
        active = self.authority.active(0)
        if not active:
            return [0.0, 0.0]
        left = max(item.end for item in active) - self.clock.now
        return [left, -1.0 if active[-1].charges is None else float(active[-1].charges)]

    def set_backstop(self, evidence: str) -> None:
        """Record how the robot stopped itself when the gate fell silent ("": it did not)."""
        self.backstop = evidence
        self.no_backstop = "the robot did not stop when the gate fell silent"
        self.note_probe(evidence or self.no_backstop)

    def note_probe(self, detail: str) -> None:
        """Log what a probe has shown."""
        self._log("backstop", detail=detail)

    def status(self, now: float) -> dict[str, Any]:
        """The state for an operator, ready for JSON."""
        pose = self.localiser.pose(now)
        moment = self.clock.now
        return {
            "ok": True,
            "stop": self.conditions.reason(Severity.STOP),
            "severity": self.conditions.worst.name,
            "conditions": {name: [s.name, detail] for name, (s, detail) in self.conditions.active().items()},
            "estop": self.latch.reason,
            "lift": dict(zip(AXES, self.levels, strict=True)),
            "leases": [
                {"id": item.lease_id, "axes": dict(item.lease.axes), "left": round(item.end - moment, 3)}
                for item in self.authority.active(0)
            ],
            "position": None if pose is None else [round(number, 3) for number in pose],
            "uncertainty": round(self.localiser.drift * self.localiser.travelled, 3),
            "position_problem": self.localiser.problem,
            "faults": dict(self._faults),
            "permit": None if self.permit is None else self.permit.sequence,
            "backstop": self.backstop,
        }

    def close(self) -> None:
        """Write the end and close the log."""
        self._log("end")
        self.audit.close()

    def _log(self, event: str, **fields: Any) -> None:
        self.audit.append(event, self.clock.now, **fields)
