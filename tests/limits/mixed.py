# ruff: noqa: E501 - tables of cases read best with one case a line
"""A robot with a channel of each mode, and nerfs that use every limit: what the laws are tested on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from nerfbot.limits import ActuatorLimiter, Limited, Measured, NerfSpec
from tests.limits.cases import DT, MODES, channel, envelope

CHANNELS = [channel(mode, name) for name, mode in MODES.items()]
ARM, WHEEL, GRIP = range(3)


def to(nerfed: Any, lifted: Any) -> dict:
    return {"nerfed": nerfed, "lifted": lifted}


SPEED = {"velocity": to(0.5, 3.0), "acceleration": to(4.0, 30.0), "deceleration": to(12.0, 30.0)}
BURST = {"rate": to(3.0, 0.0), "duration": to(0.2, 0.1)}
PLAY = {"dead_band": 0.05, "backlash": 0.04, "quantum": 0.03}
CURVE = {"stall_effort": to(6.0, 30.0), "no_load_velocity": to(3.0, 6.0)}
DRAWN = {"velocity": to({"uniform": [0.3, 0.9]}, {"triangular": [1.0, 2.0, 3.0]})}
NERFS: list[dict] = [
    {},
    {"channels": {"arm": SPEED, "wheel": {**SPEED, "jerk": to(100.0, 1e5)}, "grip": {"velocity": to(2.0, 4.0)}}},
    {"channels": {"*": {"effort": to(5.0, 40.0), **CURVE}, "wheel": {"gain": 0.5}, "grip": {"gain": 0.5}}},
    {"channels": {"*": {"hold": BURST, "intermittent": BURST, **PLAY}}},
    {"command": {"latency": 0.2, "jitter": 0.1, "drop": BURST}},
    {
        "channels": {
            "*": {**PLAY, **DRAWN, "hold": {**BURST, "spread": "fixed"}, "intermittent": BURST, "effort": to(5.0, 40.0)},
            "wheel": {"gain": {"nerfed": {"choice": [0.3, 0.7]}}, "jerk": to(50.0, 1e4), **SPEED},
            "arm": {"acceleration": to({"loguniform": [1.0, 8.0]}, 40.0), **CURVE},
        },
        "command": {"latency": to({"uniform": [0.0, 0.3]}, 0.0), "jitter": 0.1, "drop": BURST},
    },
]  # fmt: skip


def nerf(number: int) -> NerfSpec:
    return parse(NERFS[number], f"nerf-{number}")


def parse(fields: dict, name: str = "nerf") -> NerfSpec:
    return NerfSpec.parse({"name": name, **fields})


def limiter(spec: NerfSpec | int, count: int = 1, seed: int = 0, period: float = DT) -> ActuatorLimiter:
    spec = nerf(spec) if isinstance(spec, int) else spec
    return ActuatorLimiter(spec, CHANNELS, count, seed=seed, envelope=envelope(*MODES), period=period)


class Script:
    """Calls drawn from one seed: commands, measurements and lifts of ``count`` robots, a period apart."""

    def __init__(self, seed: int, count: int, steps: int = 40) -> None:
        rng = np.random.default_rng(seed)
        walk = rng.normal(0.0, [0.3, 1.0, 8.0], (steps, count, 3)).cumsum(axis=0)
        self.commands = np.clip(walk, [-2.5, -5.0, -60.0], [3.5, 5.0, 60.0])
        self.positions = rng.uniform(-1.5, 2.5, (steps, count, 3))
        self.velocities = rng.uniform(-3.0, 3.0, (steps, count, 3))
        self.lifts = np.repeat(rng.uniform(0.0, 1.0, (steps, count, 4)).round(2)[::5], 5, axis=0)[:steps]
        self.times = DT * np.arange(steps)

    def run(
        self,
        limiter: ActuatorLimiter,
        robots: slice = slice(None),
        steps: slice = slice(None),
        start: int = 0,
    ) -> list[Limited]:
        """Feed the calls of ``robots`` to ``limiter``; the clock starts ``start`` steps late."""
        out = []
        for k in range(len(self.times))[steps]:
            measured = Measured(self.positions[k, robots], self.velocities[k, robots])
            now = float(self.times[k])
            out.append(limiter.apply(self.commands[k, robots], measured, now, self.lifts[k, robots]))
        return out


def bits(outputs: list[Limited], robots: slice = slice(None)) -> bytes:
    return b"".join(np.ascontiguousarray(array[robots]).tobytes() for item in outputs for array in item)


numbers_of_nerfs = st.integers(0, len(NERFS) - 1)
seeds = st.integers(0, 2**32 - 1)
