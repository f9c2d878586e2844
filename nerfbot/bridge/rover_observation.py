"""Readings in the form that a policy was trained on: `nerfbot/Rover-v0`'s dict or its flat vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.sim.envs.rover_env import OBJECT_FEATURES, OBJECT_SLOTS, tell_objects
from nerfbot.sim.plant.sensors import Readings


def object_table(readings: Readings) -> NDArray[np.float32]:
    """The nearest objects, (`OBJECT_SLOTS`, `OBJECT_FEATURES`), in the layout of `nerfbot/Rover-v0`."""
    table = np.zeros((OBJECT_SLOTS, OBJECT_FEATURES), np.float32)
    tell_objects(readings.objects, table.reshape(-1))
    return table


def observation(
    parts: Mapping[str, Any],
    readings: Readings,
    lift: NDArray[np.float64],
    seconds_left: float,
    charges: float,
) -> Any:
    """The observation with the given `parts` (boxes by name; "" is the flat vector).

    Policies that see the lease get `lift` (4,), its `seconds_left` and `charges`. Raises `InvalidCommand` for
    a part that no sensor gives, or a flat vector of another length.
    """
    known: dict[str, NDArray[Any]] = {
        "lidar": readings.lidar,
        "pose": readings.pose,
        "twist": readings.twist,
        "imu": readings.imu,
        "joints": readings.joints,
        "objects": object_table(readings),
        "lift": lift,
        "lease": np.array([seconds_left, charges]),
    }
    if "" not in parts:
        for name in parts:
            if name not in known:
                raise InvalidCommand(f"observation: no sensor gives the part {name!r}")
        return {name: known[name].astype(np.float32) for name in parts}
    size = math.prod(parts[""].shape)
    flat = np.concatenate([np.ravel(part) for part in known.values()]).astype(np.float32)
    for end in (len(flat), len(flat) - lift.size - 2):  # with the lift, or without
        if end == size:
            return flat[:end]
    raise InvalidCommand(f"observation: the policy takes {size} numbers, the sensors give {len(flat)}")
