"""The severity ladder: what is wrong, how bad each of it is, and what follows. The worst wins."""

from __future__ import annotations

from enum import IntEnum


class Severity(IntEnum):
    """What a condition asks for; a higher one includes those below."""

    FINE = 0
    NOTE = 1
    """Say it, and go on."""
    NO_LIFT = 2
    """End every lease at once and grant none."""
    STOP = 3
    """Controlled stop by each channel's mode, then hold; goes on by itself once the condition is gone."""
    LATCH = 4
    """Controlled stop, latched in the servo driver: the supervisor's permit clears it."""
    TORQUE_OFF = 5
    """Controlled stop, hold, then torque off: on a robot that can switch it (an arm falls)."""
    ESTOP = 6
    """Controlled stop, latched: survives a restart, and an operator clears it."""


class Ladder:
    """The conditions that hold now, by name, each with its severity and a sentence."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Severity, str]] = {}

    def set(self, name: str, severity: Severity, detail: str) -> bool:
        """Note that a condition holds; true where it is new or worse than before."""
        before = self._held.get(name)
        self._held[name] = (severity, detail)
        return before is None or before[0] < severity

    def clear(self, name: str) -> bool:
        """Note that a condition is gone; true where it held."""
        return self._held.pop(name, None) is not None

    @property
    def worst(self) -> Severity:
        """The worst severity that holds."""
        return max((severity for severity, _ in self._held.values()), default=Severity.FINE)

    def reason(self, least: Severity) -> str:
        """The worst condition of at least this severity as `name: sentence`; "" where there is none."""
        name = max(self._held, key=lambda name: self._held[name][0], default=None)
        if name is None or self._held[name][0] < least:
            return ""
        return f"{name}: {self._held[name][1]}"

    def held(self) -> dict[str, tuple[Severity, str]]:
        """Every condition that holds, the worst first."""
        return dict(sorted(self._held.items(), key=lambda item: -item[1][0]))
