"""The sensor limiter: turns a reading into what the policy observes under the nerf's sensing axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import sensing
from nerfbot.limits.batch import as_mask, as_seeds, first_seeds
from nerfbot.limits.bursts import BurstProcess
from nerfbot.limits.channel import AXES, Floats
from nerfbot.limits.delay import ROUNDING, DelayLine
from nerfbot.limits.fields import SENSOR_FIELDS
from nerfbot.limits.geometry import Geometry, ImageGeometry, PlainGeometry, RayGeometry, resampled
from nerfbot.limits.spec import NerfSpec
from nerfbot.limits.streams import Draws, mix
from nerfbot.limits.table import KeepsViews, LimitTable

_VALUES = [list(SENSOR_FIELDS).index(field) for field in ("noise", "bias", "drift", "dropout")]
_MEMORYLESS = {"range", "field_of_view", "resolution", "bias"}
_NEXT_EPISODE = np.uint64(0x8CB92BA72F3D8DD7)


class SensorLimiter(KeepsViews):
    """Limits the readings of one sensor on ``count`` robots.

    A reading of shape (count, *shape) is sampled at the limited rate; the sample loses range, field of
    view and resolution, gains bias, drift and noise, loses elements; a frozen sensor repeats its last
    sample; the sample arrives after the latency. Noise is Gaussian with the stated standard deviation;
    drift is a random walk that grows by its value in one second (in the root mean square), common to all
    rays or pixels.

    ``geometry`` says what the numbers are; ``allow`` names limits that may stay unenforced
    (``"imu.range"``). Raises `InvalidSpec` for a limit that the geometry cannot carry.
    """

    VIEWS = ("_effective", "_latency", "_frozen")

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
        self._dtype = np.dtype(dtype)
        self._integer = np.issubdtype(self._dtype, np.integer)
        self._robots, self._seeds = np.arange(count), first_seeds(seed, count)
        self._limits = LimitTable([(name, section)], SENSOR_FIELDS, self._seeds)
        self._lift, self._lift_bytes = np.zeros((count, len(AXES))), b""
        self._kind = sensing.PLAIN
        if isinstance(self.geometry, RayGeometry):
            self._kind = sensing.RAYS
        elif isinstance(self.geometry, ImageGeometry):
            self._kind = sensing.IMAGE
        self._draws = {
            what: Draws(f"{what}/{name}", self._seeds, 1, normal=what != "dropout")
            for what in ("noise", "drift", "dropout")
            if what in self._limits.declared
        }
        self._noise, self._drift, self._dropout = (
            self._draws.get(what) for what in ("noise", "drift", "dropout")
        )
        self._none = np.ones((count, 1))  # stands in for numbers that nothing uses
        self._clocks = np.full((count, 2), np.nan)
        self._is_first = np.ones(count, bool)
        self.is_new = np.ones(count, bool)
        """Whether the last reading was sampled: a sensor not due, or frozen, repeats its last sample."""
        self._last, self._latest = np.full(count, np.nan), -math.inf
        self._any_fresh = True
        self._resize(shape)
        self._line: DelayLine | None = None
        if "latency" in self._limits.declared:
            self._line = DelayLine(count, self._sample.shape[1])
        self._bursts: BurstProcess | None = None
        if section.frozen is not None:
            drawn = np.array([section.frozen.spread == "exponential"])
            self._bursts = BurstProcess(f"frozen/{name}", self._seeds, drawn)
        self.has_memory = self._kind == sensing.PLAIN or bool(self._limits.declared - _MEMORYLESS)
        """Whether the output depends on more than the present reading and lift."""
        self._bind_views()
        self._begin(self._robots)

    def _resize(self, shape: tuple[int, ...]) -> None:
        count, elements = len(self._robots), math.prod(shape)
        self._shape, self._is_flat = (count, *shape), len(shape) == 1
        self._marks = np.array(self.geometry.marks())
        self._walk = np.zeros((count, elements if self._kind == sensing.PLAIN else 1))
        for what, draws in self._draws.items():
            draws.resize(self._walk.shape[1] if what == "drift" else elements)
        self._sample = np.zeros((count, elements))
        self.source = np.tile(np.arange(elements), (count, 1))
        """Which element of the reading each one shows, (count, elements); `sensing.HIDDEN`: none."""

    def reshape(self, shape: tuple[int, ...], geometry: Geometry) -> None:
        """Go on with rays or pixels of another number and geometry: clocks, faults, drift, streams continue.

        Raises `InvalidCommand` for plain numbers, for no elements, and where a latency is declared.
        """
        if type(geometry) is not type(self.geometry) or self._kind == sensing.PLAIN or 0 in shape:
            raise InvalidCommand(f"{self.name}: cannot go on with shape {shape} of {geometry}")
        if self._line is not None:
            raise InvalidCommand(f"{self.name}: cannot go on with another shape under a latency")
        walk, self.geometry = self._walk, geometry
        self._resize(shape)
        self._walk = walk
        self._update(self._robots)

    @property
    def changes_values(self) -> bool:
        """Whether noise, bias, drift or dropout change readings at the present lift."""
        return bool((self._effective[:, _VALUES] != 0.0).any() or self._walk.any())

    def _bind_views(self) -> None:
        # Rewritten in place by the table and the bursts.
        self._effective, self._latency = self._limits.values[:, 0], self._limits["latency"][:, 0]
        never = np.zeros(len(self._robots), bool)
        self._frozen = never if self._bursts is None else self._bursts.active_by_unit[0]

    def reset(self, mask: ArrayLike | None = None, seeds: ArrayLike | None = None) -> None:
        """Start a new episode for the robots in ``mask`` (count,) bool, all by default; as the limiter's."""
        robots = self._robots if mask is None else np.flatnonzero(as_mask(mask, len(self._robots)))
        following = mix(self._seeds[robots] + _NEXT_EPISODE)
        self._seeds[robots] = following if seeds is None else as_seeds(seeds, robots)
        self._begin(robots)

    def apply(
        self, reading: ArrayLike, now: float, lift: ArrayLike, only: ArrayLike | None = None
    ) -> NDArray:
        """Return what arrives of ``reading`` (count, *shape) at ``now`` (s); same shape, newly allocated.

        ``lift`` (count, 4) in the order of `AXES`. Elements that are not finite count as lost. Until a
        sample has arrived, the first one is returned. ``only`` (count,) bool: the robots whose sensor is
        read; the others get what they got last, as if nobody had called.

        Raises `InvalidCommand`, before anything changes, for a wrong shape, for a ``now`` that is not finite
        or before that of an earlier reading (`reset` restarts the clock), and for a first reading of plain
        numbers that are not finite.
        """
        array = np.asarray(reading, np.float64, "C")
        if array.shape != self._shape:
            raise InvalidCommand(f"{self.name} must have shape {self._shape}, got {array.shape}")
        level = np.asarray(lift, np.float64)
        if level.shape != self._lift.shape:
            raise InvalidCommand(f"lift must have shape {self._lift.shape}, got {level.shape}")
        if not math.isfinite(now):
            raise InvalidCommand(f"now must be a finite time in s, got {now!r}")
        held = None if only is None else np.flatnonzero(~as_mask(only, len(self._robots)))
        if now < self._latest - ROUNDING:
            raise InvalidCommand(
                f"{self.name}: now = {now:g} s is before the last reading's {self._latest:g} s"
                " (reset restarts the clock)"
            )
        if self._any_fresh:
            self._check_first(array, held)
        if level.tobytes() != self._lift_bytes:
            self._set_lift(level)
        if held is not None:
            before = self._clocks[held], self._walk[held], self._sample[held], self._last[held]
        if self._bursts is not None:
            elapsed = np.fmax(now - self._last, 0.0)  # a robot's first reading has no time behind it
            if held is not None:
                elapsed[held] = 0.0
            self._bursts.step(elapsed)
            self._last[:] = now
        self._latest = now
        sample = self._sample
        sensing.sense(
            array if self._is_flat else array.reshape(sample.shape),
            now,
            self._effective,
            self._kind,
            self._marks,
            self.source,
            self._none if self._noise is None else self._noise.next(),
            self._none if self._drift is None else self._drift.next(),
            self._none if self._dropout is None else self._dropout.next(),
            self._frozen,
            self._clocks,
            self._walk,
            sample,
            self._is_first,
            self.is_new,
        )
        if held is not None:
            self._clocks[held], self._walk[held], sample[held], self._last[held] = before
            self._is_first[held] = False
            for draws in self._draws.values():
                draws.hold(held)
        arrived: NDArray
        any_fresh, self._any_fresh = self._any_fresh, held is not None and bool(self._is_fresh().any())
        if self._line is None:
            arrived = sample.copy()
        else:
            arrived = np.empty(sample.shape)
            if any_fresh:
                fresh = np.flatnonzero(self._is_first)
                self._line.reset(fresh, sample[fresh])
            released = None if held is None else self._line.released(held)
            self._line.exchange(sample, now, self._latency, arrived)
            if held is not None and released is not None:
                arrived[held] = self._line.hold(held, released)
        if self._integer:
            np.rint(arrived, out=arrived)
        if self._dtype != np.float64:
            arrived = arrived.astype(self._dtype)
        return arrived if self._is_flat else arrived.reshape(self._shape)

    def _is_fresh(self) -> NDArray[np.bool_]:
        """The robots whose sensor has not been read in this episode, (count,)."""
        return np.isnan(self._clocks[:, sensing.TAKEN])

    def _check_first(self, reading: NDArray, held: NDArray[np.intp] | None) -> None:
        """Raise `InvalidCommand` for a first reading of plain numbers that are not finite."""
        if self._kind != sensing.PLAIN:
            return
        rows = self._is_fresh()
        if held is not None:
            rows[held] = False
        lost = ~np.isfinite(reading[rows])
        if lost.any():
            value = reading[rows][lost].flat[0]
            raise InvalidCommand(f"{self.name}: the first reading must be finite, got {value}")

    def _begin(self, robots: NDArray[np.intp]) -> None:
        seeds = self._seeds[robots]
        self._limits.redraw(robots, seeds)
        for draws in self._draws.values():
            draws.reset(robots, seeds)
        if self._bursts is not None:
            self._bursts.reset(robots, seeds)
        self._clocks[robots] = np.nan
        self._walk[robots], self._sample[robots] = 0.0, 0.0
        self._any_fresh = True
        self._last[robots] = np.nan
        if len(robots) == len(self._robots):
            self._latest = -math.inf
        self._update(robots)

    def _set_lift(self, lift: Floats) -> None:
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
        geometry = self.geometry
        if isinstance(geometry, PlainGeometry):
            return
        # The sources and what is out of view change with the limits only.
        share = self._limits["resolution"][robots, 0]
        half = 0.5 * self._limits["field_of_view"][robots] * (1.0 + 1e-9)
        if isinstance(geometry, RayGeometry):
            rays = self._shape[1]
            out_of_view = np.abs(geometry.angles(rays)) > half
            self.source[robots] = np.where(out_of_view, sensing.HIDDEN, resampled(rays, share))
            return
        height, width = self._shape[1:3]
        numbers = np.arange(self._sample.shape[1]).reshape(1, height, width, -1)
        image = np.repeat(numbers, len(robots), axis=0)
        image = np.take_along_axis(image, resampled(height, share)[:, :, None, None], 1)
        image = np.take_along_axis(image, resampled(width, share)[:, None, :, None], 2)
        out_of_view = (np.abs(geometry.angles(width)) > half)[:, None, :, None]
        self.source[robots] = np.where(out_of_view, sensing.HIDDEN, image).reshape(len(robots), -1)
