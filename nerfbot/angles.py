"""Arithmetic of angles, in radians."""

from __future__ import annotations

import math


def wrap_angle(angle: float) -> float:
    """The same direction between -pi (included) and pi (rad)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
