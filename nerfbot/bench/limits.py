"""`nerfbot bench limits`: what one call of the actuator limiter costs with every impairment on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count as numbers
from typing import Any

import numpy as np

from nerfbot.bench.figures import Baseline, Figure, seconds_per_call
from nerfbot.limits import ActuatorLimiter, Channel, Measured, NerfSpec

JOINTS, PERIOD = 12, 0.01
_UNITS = {"position": "rad", "velocity": "rad/s", "effort": "N·m"}
_MEASURED = frozenset({"position", "velocity", "effort"})


def _entry(mode: str) -> dict[str, Any]:
    burst = {"rate": 0.1, "duration": 0.2}
    entry: dict[str, Any] = {
        "effort": {"nerfed": 5.0, "lifted": 40.0},
        "stall_effort": {"nerfed": 8.0, "lifted": 50.0},
        "no_load_velocity": {"nerfed": 6.0, "lifted": 20.0},
        "velocity": {"nerfed": 3.0, "lifted": 9.0},
        "hold": burst,
        "intermittent": burst,
        "dead_band": 0.01,
        "backlash": 0.01,
        "quantum": 0.001,
    }
    if mode != "effort":
        entry["acceleration"] = {"nerfed": 20.0, "lifted": 100.0}
        entry["deceleration"] = {"nerfed": 30.0, "lifted": 100.0}
    if mode == "velocity":
        entry["jerk"] = {"nerfed": 500.0, "lifted": 5000.0}
    if mode != "position":
        entry["gain"] = 0.8
    return entry


def everything_on(modes: list[str]) -> tuple[NerfSpec, list[Channel]]:
    """A specification with every impairment that each mode can carry, and a robot with these ``modes``."""
    channels = [
        Channel(f"joint_{index}", mode, _UNITS[mode], True, _MEASURED)  # type: ignore[arg-type]
        for index, mode in enumerate(modes)
    ]
    hard = {
        "min_position": -3.0,
        "max_position": 3.0,
        "max_velocity": 10.0,
        "stop_deceleration": 5.0,
        "max_effort": 60.0,
        "damping": 1.0,
    }
    spec = {
        "name": "everything-on",
        "envelope": {
            "channels": {
                channel.name: hard if channel.mode == "effort" else {**hard, "max_acceleration": 200.0}
                for channel in channels
            }
        },
        "command": {"latency": 0.05, "jitter": 0.02, "drop": {"rate": 0.1, "duration": 0.1}},
        "channels": {channel.name: _entry(channel.mode) for channel in channels},
    }
    return NerfSpec.parse(spec), channels


def _caller(modes: list[str], count: int, ramp: bool = False) -> Callable[[], object]:
    """A call with random commands, as a control loop makes it; with ``ramp`` the lift moves in every call."""
    spec, channels = everything_on(modes)
    limiter = ActuatorLimiter(spec, channels, count=count, period=PERIOD)
    random = np.random.default_rng(0)
    commands = random.uniform(-2.0, 2.0, (64, count, JOINTS))
    zeros = np.zeros((count, JOINTS))
    measured = Measured(zeros, zeros, zeros)
    lift = np.full((count, 4), 0.3)
    steps: Iterator[int] = numbers(1)

    def call() -> None:
        step = next(steps)
        if ramp:
            lift[:] = (step % 100) / 100.0
        limiter.apply(commands[step % 64], measured, step * PERIOD, lift)

    for _ in range(100):
        call()
    return call


def figures(progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Measure; ``progress`` is told what comes next."""
    mixed = ["position"] * 4 + ["velocity"] * 4 + ["effort"] * 4
    array = np.zeros((1, JOINTS))
    progress("one robot")
    clip = seconds_per_call(lambda: np.clip(array, -1.0, 1.0))
    against = Baseline("numpy.clip of one robot's command", clip * 1e6)
    found = [Figure("call_us_1x12", seconds_per_call(_caller(mixed, 1)) * 1e6, "us", "lower", against)]
    ramp = seconds_per_call(_caller(mixed, 1, ramp=True)) * 1e6
    found.append(Figure("call_us_1x12_lift_moving", ramp, "us", "lower", against))
    progress("4,096 robots")
    many = np.zeros((4096, JOINTS))
    rate = 4096 * JOINTS / seconds_per_call(lambda: np.clip(many, -1.0, 1.0))
    for name, modes in (
        ("joint_steps_per_s_4096x12", mixed),
        ("joint_steps_per_s_4096x12_velocity", ["velocity"] * 12),
        ("joint_steps_per_s_4096x12_position", ["position"] * 12),
    ):
        value = 4096 * JOINTS / seconds_per_call(_caller(modes, 4096))
        against = Baseline("numpy.clip of all commands", rate)
        found.append(Figure(name, value, "1/s", "higher", against))
    return found
