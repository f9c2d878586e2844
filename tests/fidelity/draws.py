"""What the situations share: how quantities are drawn, and how far from the thresholds that decide."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from nerfbot.course.capability import Capability
from nerfbot.limits import NerfSpec

Random = np.random.Generator

MARGIN = 0.15
"""Nothing is drawn within this share of a threshold: there the plants may differ by their resolution."""

CHANCE_MARGIN = 0.4
"""The same for the time of a crossing in which chance has a part."""

LEVELS = (0.0, 0.5, 1.0)
"""Lift levels at which an axis is tried."""

COLOURS = ("red", "green", "blue", "yellow", "purple")
DECOYS = ("gem", "line", "ball", "cube", "cone", "ring", "star")

WEAK = NerfSpec.load("rover-weak")


FAR_SIGHTED = NerfSpec.parse(
    {"name": "far-sighted", "sensors": {"objects": {"range": {"nerfed": 5.0, "lifted": 8.0}}}}
)
"""Sees farther than most fog lets it, so that the fog decides."""

Value = TypeVar("Value")


def pick(random: Random, *values: Value) -> Value:
    """One of the values."""
    return values[int(random.integers(len(values)))]


def between(random: Random, low: float, high: float) -> float:
    """A number, drawn uniformly."""
    return float(random.uniform(low, high))


def off(random: Random, low: float, high: float, margin: float = MARGIN) -> float:
    """A ratio to a threshold, below or above 1 with even chances and at least `margin` from it."""
    if random.random() < 0.5:
        return between(random, low, 1.0 - margin)
    return between(random, 1.0 + margin, high)


def level(random: Random, axis: str) -> dict[str, float]:
    """A lift of one axis at one of `LEVELS`."""
    at = pick(random, *LEVELS)
    return {axis: at} if at else {}


def able(lift: dict[str, float]) -> Capability:
    """What the nerf leaves of the rover at a lift."""
    return Capability.from_spec(WEAK, lift)
