"""What a sensor's numbers mean: rays, an image, or a plain vector. Decides which limits it can carry."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidSpec
from nerfbot.limits.channel import Floats


@dataclass(frozen=True)
class PlainGeometry:
    """A vector of unrelated numbers, any shape; a lost element keeps its last value."""

    carries: frozenset[str] = frozenset({"rate", "latency", "noise", "bias", "drift", "dropout", "frozen"})

    def marks(self) -> tuple[float, float, float, float]:
        """The most and the least that a reading can be, what a lost element and what a too near ray reads."""
        return 0.0, 0.0, 0.0, 0.0


@dataclass(frozen=True)
class RayGeometry:
    """Distances (m) along rays spread evenly over ``field_of_view`` (rad), the last axis of the reading.

    A ray without a return reads ``max_range`` (m); `inf` and anything beyond it count as that.
    """

    field_of_view: float
    max_range: float
    carries: frozenset[str] = PlainGeometry().carries | {"range", "field_of_view", "resolution"}

    def __post_init__(self) -> None:
        """Raises `InvalidSpec` for a field of view or a range that cannot be."""
        # A single ray has no field of view, and messages round a full turn up.
        if not 0.0 <= self.field_of_view <= 6.4:
            raise InvalidSpec(f"rays: field_of_view must be from 0 to 2 pi rad, got {self.field_of_view!r}")
        if not self.max_range > 0.0:
            raise InvalidSpec(f"rays: max_range must be above 0 m, got {self.max_range!r}")

    def marks(self) -> tuple[float, float, float, float]:
        """As of every geometry: a ray that is lost or too near reads like one without a return."""
        return self.max_range, 0.0, self.max_range, self.max_range

    def angles(self, size: int) -> Floats:
        """Angle of each of ``size`` rays from the middle, rad."""
        return np.linspace(-0.5, 0.5, size) * self.field_of_view


@dataclass(frozen=True)
class ImageGeometry:
    """Pixels (height, width, colours) of a pinhole camera that sees ``field_of_view`` (rad) across.

    A lost pixel, and one outside a narrowed field of view, is 0; values stay within 0 to ``white``.
    """

    field_of_view: float = 1.0
    white: float = 255.0
    carries: frozenset[str] = PlainGeometry().carries | {"field_of_view", "resolution"}

    def __post_init__(self) -> None:
        """Raises `InvalidSpec` for a field of view or a white that cannot be."""
        if not 0.0 < self.field_of_view < math.pi:
            raise InvalidSpec(f"image: field_of_view must be between 0 and pi, got {self.field_of_view!r}")
        if not 0.0 < self.white < math.inf:
            raise InvalidSpec(f"image: white must be above 0, got {self.white!r}")

    def marks(self) -> tuple[float, float, float, float]:
        """As of every geometry: a lost pixel is black."""
        return self.white, 0.0, 0.0, 0.0

    def angles(self, size: int) -> Floats:
        """Angle of each of ``size`` columns from the middle, rad."""
        across = (np.arange(size) + 0.5) / size * 2.0 - 1.0
        return np.arctan(across * np.tan(0.5 * self.field_of_view))


Geometry = PlainGeometry | RayGeometry | ImageGeometry


def resampled(size: int, share: Floats) -> NDArray[np.intp]:
    """Which of ``size`` samples each one shows when only a ``share`` (count,) of them is left.

    Shape (count, size): every group of neighbours shows its middle one; a share of 1 shows each itself.
    """
    groups = np.maximum(1, np.rint(share * size)).astype(np.intp)[:, None]
    group = np.arange(size)[None] * groups // size
    first, last = -(-group * size // groups), -(-(group + 1) * size // groups) - 1
    return (first + last) // 2
