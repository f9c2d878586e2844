"""Compiling every inner loop ahead: once an installation, since the results are cached on disk.

From an empty cache this takes from 10 s to a minute; with a full one, some tenths of a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from nerfbot.limits.actuator import ActuatorLimiter
from nerfbot.limits.channel import AXES, Channel, Measured
from nerfbot.limits.geometry import RayGeometry
from nerfbot.limits.sensor import SensorLimiter
from nerfbot.limits.spec import NerfSpec

PATIENCE = 3.0
"""s after which `warm_up` says what it is doing."""

_BURST = {"rate": 1.0, "duration": 0.1}
_EVERYTHING = NerfSpec.model_validate(
    {
        "name": "warm-up",
        "envelope": {"channels": {"x": {"max_velocity": 1, "max_acceleration": 1, "stop_deceleration": 1}}},
        "channels": {"x": {"hold": _BURST, "intermittent": _BURST}},
        "command": {"latency": {"uniform": [0.0, 0.1]}, "jitter": 0.1, "drop": _BURST},
        "sensors": {
            "rays": {
                **{name: {"nerfed": 1.0, "lifted": 2.0} for name in ("range", "field_of_view", "rate")},
                **dict.fromkeys(("latency", "noise", "bias", "drift", "dropout"), 0.1),
                "resolution": 0.5,
                "frozen": _BURST,
            }
        },
    }
)
"""Declares whatever has a loop of its own."""


def warm_up(say: Callable[[str], None] = lambda line: None) -> None:
    """Compile, so that no command and no stop waits for it; calls `say` with one line if it takes long."""
    notice = threading.Timer(PATIENCE, say, ["compiling the limits, once an installation: up to a minute"])
    notice.daemon = True
    notice.start()
    try:
        limiter = ActuatorLimiter(
            _EVERYTHING, [Channel("x", "velocity", "m/s", True, frozenset({"velocity"}))]
        )
        sensor = SensorLimiter(_EVERYTHING, "rays", (4,), geometry=RayGeometry(2.0, 5.0))
        rest = Measured(*np.zeros((3, 1, 1)))
        for now, level in ((0.0, 0.0), (0.05, 0.5), (0.1, 1.0)):
            lift = np.full((1, len(AXES)), level)
            limiter.apply(np.zeros((1, 1)), rest, now, lift)
            sensor.apply(np.ones((1, 4)), now, lift)
        limiter.stop(rest, 1.0)
        limiter.reset()
    finally:
        notice.cancel()


if __name__ == "__main__":
    warm_up(print)
