"""Small specifications, channels and drivers that the tests of the limiter share."""

from __future__ import annotations

from typing import Any

import numpy as np

from nerfbot.limits import ActuatorLimiter, Channel, Envelope, Limited, Measured, NerfSpec

UNITS = {"position": "rad", "velocity": "rad/s", "effort": "N·m"}
HARD = {
    "min_position": -2.0,
    "max_position": 3.0,
    "max_velocity": 4.0,
    "max_acceleration": 40.0,
    "stop_deceleration": 10.0,
    "max_effort": 50.0,
    "damping": 2.0,
}
STATED = {
    "position": set(HARD),
    "velocity": set(HARD) - {"min_position", "max_position"},
    "effort": {"max_effort", "damping"},
}
"""What an envelope states of a channel here, by mode."""
MODES = {"arm": "position", "wheel": "velocity", "grip": "effort"}
DT = 0.0625  # s; a power of two, so that times and their differences are exact
NERFED, LIFTED = np.zeros(4), np.ones(4)


def channel(mode: str, name: str = "joint") -> Channel:
    measures = frozenset({"position", "velocity"})
    return Channel(name, mode, UNITS[mode], effort_limit=True, measures=measures)


def envelope(*names: str, mode: str = "velocity", **changes: Any) -> Envelope:
    """Return the envelope of ``names`` (default: ``joint``), of `MODES` or all of ``mode``."""
    channels = {}
    for name in names or ("joint",):
        stated = {key: value for key, value in HARD.items() if key in STATED[MODES.get(name, mode)]}
        channels[name] = {key: value for key, value in {**stated, **changes}.items() if value is not None}
    return Envelope(channels=channels)


def spec(command: dict | None = None, **fields: Any) -> NerfSpec:
    """Return a nerf of the channel ``joint``; a number stands for the same value nerfed and lifted."""
    held = {
        name: {"nerfed": value, "lifted": value} if isinstance(value, (int, float)) else value
        for name, value in fields.items()
    }
    return NerfSpec.parse({"name": "test", "channels": {"joint": held}, "command": command or {}})


def limiter(mode: str, nerf: NerfSpec | None = None, count: int = 1, **options: Any) -> ActuatorLimiter:
    hard = options.pop("hard", {})
    options = {"period": DT, "envelope": envelope(mode=mode, **hard), **options}
    return ActuatorLimiter(nerf or spec(), [channel(mode)], count, **options)


def row(value: float, count: int = 1) -> np.ndarray:
    return np.full((count, 1), float(value))


def at_rest(count: int = 1, position: float = 0.0, velocity: float = 0.0) -> Measured:
    return Measured(row(position, count), row(velocity, count))


def levels(lift: float | np.ndarray, count: int = 1) -> np.ndarray:
    return np.broadcast_to(np.asarray(lift, float), (count, 4)).copy()


class Drive:
    """Calls a single-channel limiter step by step and keeps what came out."""

    def __init__(self, limiter: ActuatorLimiter, lift: float = 0.0, measured: Measured | None = None) -> None:
        self.limiter, self.lift, self.now = limiter, lift, 0.0
        self.measured = at_rest(limiter.count) if measured is None else measured
        self.last: Limited | None = None

    def step(self, command: float, dt: float = DT, measured: Measured | None = None) -> float:
        count = self.limiter.count
        self.last = self.limiter.apply(
            row(command, count), measured or self.measured, self.now, levels(self.lift, count)
        )
        self.now += dt
        return float(self.last.value[0, 0])

    def run(self, *commands: float) -> list[float]:
        return [self.step(command) for command in commands]

    @property
    def reasons(self) -> int:
        return int(self.last.reasons[0, 0])

    @property
    def effort(self) -> float:
        return float(self.last.effort_limit[0, 0])
