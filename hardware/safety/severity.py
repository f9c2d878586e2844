"""Severities, and the conditions that hold now, each with its severity. The worst one decides."""

from __future__ import annotations

from enum import IntEnum


class Severity(IntEnum):
    """What a condition asks for; a higher one includes those below."""

    FINE = 0
    NOTE = 1
    """Report it, and go on."""
    NO_LIFT = 2
    """End every lease at once and grant none."""
    STOP = 3
    """Controlled stop by each channel's mode, then hold; ends by itself once the condition is gone."""
    LATCH = 4
    """Controlled stop, latched in the servo driver: the supervisor's permit clears it."""
    TORQUE_OFF = 5
    """Controlled stop, hold, then torque off: on a robot that can switch it (an arm falls)."""
    ESTOP = 6
    """Controlled stop, latched: survives a restart, and an operator clears it."""


class Conditions:
    """The conditions that hold now, by name, each with its severity and a sentence."""

    def __init__(self) -> None:
        self._active: dict[str, tuple[Severity, str]] = {}

    def set(self, name: str, severity: Severity, detail: str) -> bool:
        """Record that a condition holds; true where it is new or worse than before."""
        before = self._active.get(name)
        self._active[name] = (severity, detail)
        return before is None or before[0] < severity

    def clear(self, name: str) -> bool:
        """Record that a condition is gone; true where it held."""
        return self._active.pop(name, None) is not None

    @property
    def worst(self) -> Severity:
        """The worst severity that holds."""
        return max((severity for severity, _ in self._active.values()), default=Severity.FINE)

    def reason(self, at_least: Severity) -> str:
        """The worst condition of at least this severity as `name: sentence`; "" where there is none."""
        name = max(self._active, key=lambda name: self._active[name][0], default=None)
        if name is None or self._active[name][0] < at_least:
            return ""
        return f"{name}: {self._active[name][1]}"

    def active(self) -> dict[str, tuple[Severity, str]]:
        """Every condition that holds, the worst first."""
        return dict(sorted(self._active.items(), key=lambda item: -item[1][0]))
