"""Checks measured speed against commands, watches clocks and scan, and probes the robot's own time-out.

Its findings become conditions of the `Supervision`. Needs no ROS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .severity import Severity
from .supervision import Supervision

COMMAND_SILENCE = 1.0
"""Seconds without a command after which no motion is requested, or the gate counts as silent."""

PROBE_SPEED = 0.05
"""Slowest speed, m/s, at which a probe of the robot's own time-out is conclusive."""

PROVE_SPEED = 0.3
"""Fastest speed, m/s, at which the supervisor probes by itself: without a time-out the robot goes on so."""

PROVE_AFTER = 0.5
"""s of such a drive after which it does."""

SILENT = 0.8
"""s of the gate's silence (of its `PROBE`) after which a robot that drives on has no time-out of its own."""

REST_SPEED = 0.02
"""A robot slower than this, m/s, is at rest."""


@dataclass
class MotionMonitor:
    """What the robot is commanded and what it does. Times are of the steady clock, s.

    ``started``: the time of its making; ``has_position_channels``: commands are positions, not speeds; the
    other fields are the supervisor's parameters.
    """

    supervision: Supervision
    started: float
    tracking_tolerance: float
    permit_period: float
    use_odometry: bool
    use_sim_time: bool
    has_position_channels: bool = False
    prove_backstop: bool = False
    """Whether the robot's own time-out is still to be shown."""
    scan_timeout: float = 1.0
    """Age, s, from which a scan that was heard before stops the robot; 0: not watched."""

    commands: dict[str, list[float]] = field(default_factory=dict)
    """The last ``requested`` and ``executed`` command; empty for one that could not be read."""
    speed: float = 0.0
    """Measured forward speed, m/s; infinite where the measurement is not finite."""

    def __post_init__(self) -> None:
        self._received = {"requested": -1e9, "executed": -1e9}
        self._fast_since: float | None = None
        self._off_since: float | None = None
        self._clock_moved, self._clock = self.started, 0.0
        self._probe_began: float | None = None
        self._silence, self._slow_since = 0.0, math.inf
        self._scanned: float | None = None
        self._scan_stamp = 0.0

    def update_scan(self, stamp: float, now: float) -> None:
        """Record a raw scan with its stamp, s; one that repeats the stamp before (not 0) is not new."""
        if stamp != self._scan_stamp or stamp == 0.0:
            self._scanned, self._scan_stamp = now, stamp

    def update_speed(self, speed: float) -> None:
        """Record the measured forward speed, m/s."""
        self.speed = speed if math.isfinite(speed) else math.inf

    def update_command(self, name: str, values: Sequence[float], now: float) -> None:
        """Record a command; no values for one that could not be read."""
        self.commands[name], self._received[name] = list(values), now

    @property
    def is_at_rest(self) -> bool:
        """Whether the robot is measured to stand still."""
        return abs(self.speed) < REST_SPEED

    def requests_no_motion(self, now: float) -> bool:
        """Whether the last request asks for no motion; an unreadable one may ask for anything.

        Any position may be requested at rest: there the measured speed decides. A silent sender requests
        nothing.
        """
        if self.has_position_channels or now - self._received["requested"] > COMMAND_SILENCE:
            return True
        requested = self.commands["requested"]
        return bool(requested) and all(abs(value) < 1e-3 for value in requested)

    def commanded(self, now: float) -> str:
        """What the gate commands at `now`: "rest", "nothing yet", or why it is neither.

        In a stop, a position holds where it was measured: any counts as rest.
        """
        executed, silence = self.commands.get("executed"), now - self._received["executed"]
        if executed is None:
            return "nothing yet"
        if silence > COMMAND_SILENCE:
            return f"nothing for {silence:.1f} s: the gate is silent"
        if executed and (self.has_position_channels or all(abs(value) < 1e-3 for value in executed)):
            return "rest"
        return f"motion: {', '.join(f'{value:.3f}' for value in executed) or 'unreadable'}"

    def check(self, now: float, simulated: float) -> None:
        """Set or clear every condition at `now`; `simulated` is the simulated time, s."""
        set_condition, localiser = self.supervision.set_condition, self.supervision.localiser
        if self.use_odometry:
            silent = localiser.is_silent(now) and now - self.started > 5.0 * localiser.timeout
            set_condition("odometry", silent, Severity.STOP, f"silent for {localiser.timeout:g} s")
        if self.use_sim_time:
            if simulated != self._clock:
                self._clock_moved, self._clock = now, simulated
            frozen = now - self._clock_moved > 2.0
            set_condition("clock", frozen, Severity.STOP, "use_sim_time is set and /clock stands still")
        if self._scanned is not None and self.scan_timeout > 0.0:
            stale = now - self._scanned >= self.scan_timeout
            set_condition("scan", stale, Severity.STOP, f"no new one for {self.scan_timeout:g} s")
        self._check_probe(now)
        slow = self._commands_motion and PROBE_SPEED <= abs(self.speed) <= PROVE_SPEED
        self._slow_since = min(self._slow_since, now) if slow else math.inf
        fast = abs(self.speed) > 1.2 * localiser.max_speed
        self._fast_since = (self._fast_since or now) if fast else None
        if self._fast_since is None or now - self._fast_since > 0.3:
            set_condition("runaway", fast, Severity.ESTOP, f"{self.speed:.2f} m/s measured")
        executed = self.commands.get("executed") or []
        off = bool(executed) and abs(executed[0] - self.speed) > self.tracking_tolerance
        self._off_since = (self._off_since or now) if off and self.use_odometry else None
        lagging = self._off_since is not None and now - self._off_since > 1.0
        detail = f"measured {self.speed:.2f} m/s, commanded otherwise"
        set_condition("tracking", lagging, Severity.NO_LIFT, detail)
        silent = now - self._received["executed"] > COMMAND_SILENCE and now - self.started > 5.0
        set_condition("gate", silent, Severity.NO_LIFT, "the gate sends nothing")

    @property
    def _commands_motion(self) -> bool:
        return abs((self.commands.get("executed") or [0.0])[0]) >= PROBE_SPEED

    def is_time_to_prove(self, now: float) -> bool:
        """Whether a time-out is to be shown, and the robot has driven slowly for long enough to do it now."""
        return self.prove_backstop and self._probe_began is None and now - self._slow_since > PROVE_AFTER

    def begin_probe(self, now: float) -> None:
        """Watch, from now on, whether the robot stops itself while the gate is silent."""
        self._probe_began, self._silence = now, 0.0
        self.supervision.backstop = ""

    def _check_probe(self, now: float) -> None:
        """A robot that rests while the gate is silent has a time-out of its own; else lifts are refused.

        Only the silence that follows a command for motion shows that; what interrupts it shows nothing.
        """
        if self._probe_began is None:
            return
        silence, before = now - self._received["executed"], self._silence
        self._silence = silence
        evidence = ""
        if silence > 2.0 * self.permit_period and self.is_at_rest and self._commands_motion:
            evidence = f"shown: at rest {silence:.2f} s after the gate fell silent"
        elif max(silence, before) >= SILENT and (silence < before or now - self._probe_began > 1.5):
            pass  # the gate is heard again, and the robot has driven on
        elif now - self._probe_began > 1.5:
            self._probe_began = None
            self.supervision.note_probe("inconclusive: the gate was not silent, or motion was not commanded")
            return
        else:
            return
        self.supervision.set_backstop(evidence)
        self._probe_began, self.prove_backstop = None, False
