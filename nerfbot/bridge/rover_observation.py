"""Readings in the form that a policy was trained on: `nerfbot/Rover-v0`'s dict or its flat vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.sim.envs.rover_observation import LIFT_NUMBERS, full_observation
from nerfbot.sim.plant.sensors import Readings


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
    layout = full_observation(readings.rays, readings.joints.shape[1])
    vector = layout.vector(readings, lift, (seconds_left, charges))
    if "" not in parts:
        for name in parts:
            if name not in layout.parts:
                raise InvalidCommand(f"observation: no sensor gives the part {name!r}")
        views = layout.views(vector)
        return {name: views[name] for name in parts}
    size = math.prod(parts[""].shape)
    for end in (layout.size, layout.size - LIFT_NUMBERS):  # with the lift, or without
        if end == size:
            return vector[:end]
    raise InvalidCommand(f"observation: the policy takes {size} numbers, the sensors give {layout.size}")
