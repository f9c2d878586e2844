"""The sensor limiter: what a policy gets to see of a reading, under the sensing axis of the nerf."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits.bursts import BurstProcess
from nerfbot.limits.channel import AXES, Floats
from nerfbot.limits.delay import DelayLine
from nerfbot.limits.fields import SENSOR_FIELDS
from nerfbot.limits.geometry import Geometry, ImageGeometry, PlainGeometry, RayGeometry, kept
from nerfbot.limits.spec import NerfSpec
from nerfbot.limits.streams import Draws, mix
from nerfbot.limits.table import LimitTable

_NEXT_EPISODE = np.uint64(0x8CB92BA72F3D8DD7)


class SensorLimiter:
    """Limits the readings of one sensor on ``count`` robots.

    A reading of shape (count, *shape) is sampled at the limited rate; the sample loses range, field of
    view and resolution, gains bias, drift and noise, loses elements; a frozen sensor repeats its last
    sample; the sample arrives after the latency. Noise is Gaussian with the stated standard deviation;
    drift is a random walk that grows by its value in one second (in the root mean square), common to all
    rays or pixels.

    ``geometry`` says what the numbers are; ``allow`` names limits that may stay unenforced
    (``"imu.range"``). Raises `InvalidSpec` for a limit that the geometry cannot carry.
    """

    def __init__(
        self,
        spec: NerfSpec,
        name: str,
        shape: tuple[int, ...],
        count: int = 1,
        seed: int = 0,
        geometry: Geometry | None = None,
        dtype: type | np.dtype = np.float64,
        allow: Sequence[str] = (),
    ) -> None:
        self.name, self.geometry = name, geometry or PlainGeometry()
        section = spec.sensor(name)
        for field, _ in section.limits():
            if field.partition(".")[0] not in self.geometry.carries and f"{name}.{field}" not in allow:
                kind = type(self.geometry).__name__.removesuffix("Geometry").lower()
                raise InvalidSpec(
                    f"{spec.name}: sensors[{name}].{field}: is not enforceable on a {kind} reading"
                    f" (allow {f'{name}.{field}'!r} to go on without it)"
                )
        self._shape, self._dtype = (count, *shape), np.dtype(dtype)
        self._robots = np.arange(count)
        self._seeds = np.uint64(seed) + self._robots.astype(np.uint64)
        self._limits = LimitTable([(name, section)], SENSOR_FIELDS, self._seeds)
        self._declared = self._limits.declared
        self._lift, self._lift_bytes = np.zeros((count, len(AXES))), b""
        elements = math.prod(shape)
        plain = isinstance(self.geometry, PlainGeometry)
        self._walk = np.zeros((count, elements if plain else 1))
        sizes = {"noise": elements, "drift": self._walk.shape[1], "dropout": elements}
        self._draws = {
            what: Draws(f"{what}/{name}", self._seeds, size, normal=what != "dropout")
            for what, size in sizes.items()
            if what in self._declared
        }
        self._next, self._sampled_at = np.full(count, -np.inf), np.full(count, np.nan)
        self._last: float | None = None
        self._sample = np.zeros((count, elements))
        self._line = DelayLine(np.zeros(self._shape, self._dtype), self._dtype)
        self._out = np.empty(self._shape, self._dtype)
        self._bursts: BurstProcess | None = None
        if section.frozen is not None:
            drawn = np.array([section.frozen.spread == "exponential"])
            self._bursts = BurstProcess(f"frozen/{name}", self._seeds, drawn)
        self._begin(self._robots)

    def reset(self, mask: ArrayLike | None = None, seeds: ArrayLike | None = None) -> None:
        """Start a new episode for the robots in ``mask`` (count,) bool, all by default; as the limiter's."""
        robots = self._robots if mask is None else np.flatnonzero(np.asarray(mask, bool))
        given = mix(self._seeds[robots] + _NEXT_EPISODE) if seeds is None else seeds
        chosen = np.atleast_1d(np.asarray(given)).astype(np.uint64)
        if chosen.shape != robots.shape:
            raise InvalidCommand(f"seeds must have shape {robots.shape}, got {chosen.shape}")
        self._seeds[robots] = chosen
        self._begin(robots)

    def apply(self, reading: ArrayLike, now: float, lift: ArrayLike) -> NDArray:
        """Return what arrives of ``reading`` (count, *shape) at ``now`` (s); same shape, newly allocated.

        ``lift`` (count, 4) in the order of `AXES`. Elements that are not finite count as lost. Before the
        first sample has arrived the first one stands in. Raises `InvalidCommand` for a wrong shape or a
        ``now`` that is not finite.
        """
        array = np.asarray(reading)
        if array.shape != self._shape:
            raise InvalidCommand(f"{self.name} must have shape {self._shape}, got {array.shape}")
        level = np.asarray(lift, np.float64)
        if level.shape != self._lift.shape:
            raise InvalidCommand(f"lift must have shape {self._lift.shape}, got {level.shape}")
        if not math.isfinite(now):
            raise InvalidCommand(f"now must be a finite time in s, got {now!r}")
        if level.tobytes() != self._lift_bytes:
            self._take(level)
        elapsed = 0.0 if self._last is None else max(now - self._last, 0.0)
        self._last = now if self._last is None else max(now, self._last)
        if self._bursts is not None:
            self._bursts.step(elapsed)
        due = self._next <= now
        if due.any():
            self._measure(array.reshape(len(array), -1), now, due)
        delayed = self._limits["latency"][:, 0]
        if "latency" not in self._declared:
            return self._sample.reshape(self._shape).astype(self._dtype)
        if due.any():
            self._line.push(self._sample.reshape(self._shape), now, np.where(due, delayed, 0.0))
        self._line.pop(now, self._out)
        return self._out.copy()

    def _measure(self, reading: NDArray, now: float, due: NDArray[np.bool_]) -> None:
        """Take a new sample for the robots that are due, and store it unless the sensor is frozen."""
        first = np.isnan(self._sampled_at)
        since = np.where(first, 0.0, now - np.where(first, now, self._sampled_at))
        sample, lost = self._seen(np.asarray(reading, np.float64))
        if "drift" in self._declared:
            growth = self._limits["drift"] * np.sqrt(np.maximum(since, 0.0))[:, None]
            grown = self._walk + growth * self._draws["drift"].next()
            self._walk = np.where(due[:, None], grown, self._walk)
        if self._declared & {"bias", "drift", "noise"}:
            sample = sample + (self._limits["bias"] + self._walk)
        if "noise" in self._declared:
            sample = sample + self._limits["noise"] * self._draws["noise"].next()
        if "dropout" in self._declared:
            lost = lost | (self._draws["dropout"].next() < self._limits["dropout"])
        sample = self._fill(sample, lost)
        keep = due if self._bursts is None else due & (first | ~self._bursts.active[:, 0])
        if first.any() and "latency" in self._declared:
            robots = np.flatnonzero(first)
            self._line.reset(robots, sample.reshape(self._shape)[robots].astype(self._dtype))
        self._sample = np.where(keep[:, None], sample, self._sample)
        self._sampled_at[due] = now
        period = 1.0 / self._limits["rate"][:, 0]
        # Keep the phase while the calls keep up; never owe more than one sample.
        following = np.where(first, now, self._next) + period
        self._next[due] = np.where(following <= now - period, now, following)[due]

    def _seen(self, reading: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Apply what the geometry carries: range, field of view, resolution. Returns sample and losses."""
        geometry = self.geometry
        if isinstance(geometry, RayGeometry):
            lost = ~(reading >= 0.0) | (reading >= geometry.max_range)
            if "range" in self._declared:
                lost |= reading > self._limits["range"]
            if "resolution" in self._declared:
                reading = np.take_along_axis(reading, self._across, 1)
                lost = np.take_along_axis(lost, self._across, 1)
            if "field_of_view" in self._declared:
                lost |= self._hidden
            return reading, lost
        lost = ~np.isfinite(reading)
        if isinstance(geometry, ImageGeometry):
            image = reading.reshape(*self._shape[:3], -1)
            if "resolution" in self._declared:
                image = np.take_along_axis(image, self._down[:, :, None, None], 1)
                image = np.take_along_axis(image, self._across[:, None, :, None], 2)
                lost = ~np.isfinite(image).reshape(reading.shape)
            if "field_of_view" in self._declared:
                hidden = np.broadcast_to(self._hidden[:, None, :, None], image.shape)
                lost = lost | hidden.reshape(reading.shape)
            reading = image.reshape(reading.shape)
        return reading, lost

    def _fill(self, sample: Floats, lost: NDArray[np.bool_]) -> Floats:
        """Put in what stands for a lost element, and keep the rest within the sensor's own bounds."""
        geometry = self.geometry
        if isinstance(geometry, RayGeometry):
            filled = np.where(lost, geometry.max_range, sample)
            return np.clip(filled, 0.0, geometry.max_range)
        if isinstance(geometry, ImageGeometry):
            filled = np.clip(np.where(lost, 0.0, sample), 0.0, geometry.white)
            return np.rint(filled) if np.issubdtype(self._dtype, np.integer) else filled
        return np.where(lost, self._sample, sample)

    def _begin(self, robots: NDArray[np.intp]) -> None:
        seeds = self._seeds[robots]
        self._limits.redraw(robots, seeds)
        for draws in self._draws.values():
            draws.reset(robots, seeds)
        if self._bursts is not None:
            self._bursts.reset(robots, seeds)
        self._next[robots], self._sampled_at[robots] = -np.inf, np.nan
        self._walk[robots], self._sample[robots] = 0.0, 0.0
        if len(robots) == len(self._robots):
            self._last = None
        self._update(robots)

    def _take(self, lift: Floats) -> None:
        self._lift_bytes = lift.tobytes()
        level = np.clip(np.where(np.isfinite(lift), lift, 0.0), 0.0, 1.0)
        changed = np.flatnonzero((level != self._lift).any(axis=1))
        self._lift[changed] = level[changed]
        if len(changed):
            self._update(changed)

    def _update(self, robots: NDArray[np.intp]) -> None:
        self._limits.update(robots, self._lift[robots])
        if self._bursts is not None:
            rate, duration = self._limits["frozen.rate"], self._limits["frozen.duration"]
            self._bursts.set(robots, rate[robots], duration[robots])
        if isinstance(self.geometry, PlainGeometry):
            return
        # Which samples are shown and which columns are hidden changes with the limits only.
        share = self._limits["resolution"][:, 0]
        width = self._shape[2 if isinstance(self.geometry, ImageGeometry) else 1]
        self._across, self._down = kept(width, share), kept(self._shape[1], share)
        half = 0.5 * self._limits["field_of_view"] * (1.0 + 1e-9)
        self._hidden = np.abs(self.geometry.angles(width)) > half
