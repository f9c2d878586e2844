"""Effective limits: drawn at the start of each episode, interpolated by the lift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import AXES, Floats
from nerfbot.limits.compiled import compiled
from nerfbot.limits.fields import FieldInfo
from nerfbot.limits.kernel import UNLIMITED
from nerfbot.limits.spec import Section
from nerfbot.limits.streams import Stream
from nerfbot.limits.value import Distribution, Value


@compiled
def _interpolate(
    values: np.ndarray,
    nerfed: np.ndarray,
    lifted: np.ndarray,
    axis: np.ndarray,
    robots: np.ndarray,
    lift: np.ndarray,
) -> None:
    """Put the limits of ``robots``, (count, sections, fields), between two others at each axis's level."""
    for n in range(robots.shape[0]):
        level, low, high = lift[n][axis], nerfed[robots[n]], lifted[robots[n]]
        between = (1.0 - level) * low + level * high
        # Rounding must not carry a limit past either end: one that no lift changes stays as it is.
        values[robots[n]] = np.minimum(np.maximum(between, np.minimum(low, high)), np.maximum(low, high))


class KeepsViews:
    """Base of a class that keeps NumPy views of arrays that it owns, for speed.

    A copy of a view is an array of its own, which nothing rewrites. So the attributes named in ``VIEWS`` are
    left out of copies and pickles, and `_bind_views` makes them anew.
    """

    VIEWS: ClassVar[tuple[str, ...]]

    def _bind_views(self) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._bind_views()


class LimitTable:
    """Limits of several sections (channels, or one sensor) for ``count`` robots as arrays.

    ``values`` (count, sections, fields) holds the effective limits in the order of the field table, and
    ``table[field]`` is one field's view, (count, sections); `update` rewrites them in place. A limit that
    is not declared is `UNLIMITED` (a bound) or has no effect (an impairment). ``declared`` names the rest.
    """

    def __init__(
        self,
        sections: Sequence[tuple[str, Section]],
        fields: Mapping[str, FieldInfo],
        seeds: NDArray[np.uint64],
    ) -> None:
        self._column = {field: column for column, field in enumerate(fields)}
        shape = (len(seeds), len(sections), len(fields))
        self.values, self._nerfed, self._lifted = np.empty(shape), np.empty(shape), np.empty(shape)
        self._axis = np.array([AXES.index(info.axis) for info in fields.values()])
        self._drawn: list[tuple[Floats, int, int, Distribution, Stream]] = []
        self.declared: set[str] = set()
        for index, info in enumerate(fields.values()):
            absent = UNLIMITED if info.tighter == "less" and info.lifted is None else info.lifted or 0.0
            self._nerfed[..., index], self._lifted[..., index] = absent, absent
        for row, (name, section) in enumerate(sections):
            for field, limit in section.limits():
                if field not in fields:
                    continue
                self.declared.add(field)
                lifted = limit.nerfed if limit.lifted is None else limit.lifted
                purpose = f"draw/{name}/{field}"
                self._set(self._nerfed, row, field, limit.nerfed, Stream(f"{purpose}/nerfed", seeds))
                self._set(self._lifted, row, field, lifted, Stream(f"{purpose}/lifted", seeds))
        robots = np.arange(len(seeds))
        self.redraw(robots, seeds)
        self.update(robots, np.zeros((len(seeds), len(AXES))))

    def __getitem__(self, field: str) -> Floats:
        return self.values[..., self._column[field]]

    def redraw(self, robots: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Draw the randomised values of ``robots`` anew, each from its seed; `update` must follow."""
        for values, row, column, distribution, stream in self._drawn:
            stream.reseed(robots, seeds)
            values[robots, row, column] = distribution.sample(stream.uniform(robots, np.zeros(1, np.int64)))

    def update(self, robots: NDArray[np.intp], lift: Floats) -> None:
        """Interpolate the limits of ``robots`` (indices) at ``lift``, shape (len(robots), 4)."""
        _interpolate(self.values, self._nerfed, self._lifted, self._axis, robots, lift)

    def _set(self, values: Floats, row: int, field: str, value: Value, stream: Stream) -> None:
        # Whole arrays are kept, never views of them: a copy of a view would be an array of its own.
        if isinstance(value, Distribution):
            self._drawn.append((values, row, self._column[field], value, stream))
        else:
            values[:, row, self._column[field]] = value
