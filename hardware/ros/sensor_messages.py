"""Sensor messages under the nerf: scans, images, IMU, joints, odometry and objects as a policy receives them.

A message is impaired when it arrives and released by the timer when its latency is over, with the stamp of
its measurement. A sensor that is not due, or frozen, repeats the whole of its last message under the new
stamp. `sensor_formats` says which numbers of a message the limits act on.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import NerfSpec, PlainGeometry, SensorLimiter
from nerfbot.limits.delay import ROUNDING
from nerfbot.limits.fields import SENSOR_FIELDS
from nerfbot.limits.table import LimitTable

from .sensor_formats import JOINT_FIELDS, SENSOR_MESSAGES, Reading, joint_numbers

MOST_DELAYED = 1000
"""Delayed messages of one sensor; more than any latency and rate together require."""

MOST_GROUPS = 100
"""Groups of joints that come in messages of their own; more are a publisher gone wrong."""

RESTARTED = 1.0
"""A stamp older than the last one by this much (s) begins a new run; by less, it is out of order."""


class _Stream:
    """One stream of impairment, which goes on whatever the size and geometry of the messages."""

    def __init__(self, spec: NerfSpec, name: str, first: Reading, seed: int, allow: tuple[str, ...]) -> None:
        numbers = first.numbers
        self._name, self._shape, self._geometry = name, numbers.shape, first.geometry
        self._known = np.zeros(numbers.shape, bool)
        self.limiter = SensorLimiter(
            spec, name, numbers.shape, 1, seed, first.geometry, numbers.dtype, allow=allow
        )

    def apply(self, reading: Reading, time: float, lift: NDArray[np.float64]) -> NDArray[Any]:
        """The limited numbers; a plain number that was never read stays NaN."""
        numbers, limiter = reading.numbers, self.limiter
        if numbers.shape != self._shape or reading.geometry != self._geometry:
            limiter.reshape(numbers.shape, reading.geometry)
            self._shape, self._geometry = numbers.shape, reading.geometry
        if not isinstance(reading.geometry, PlainGeometry):
            return limiter.apply(numbers[None], time, lift)[0]
        finite = np.isfinite(numbers)
        limited = limiter.apply(np.where(finite | self._known, numbers, 0.0)[None], time, lift)[0]
        if limiter.is_new[0]:
            self._known |= finite
        return np.where(self._known, limited, math.nan)


class ImpairedSensor:
    """One sensor's messages under its limits: `take` those that arrive, release those that are `due`.

    `field_of_view` (rad) is a camera's. A sensor without limits passes its messages on untouched. Joints have
    one stream for each group of them that came in one message first; all other sensors have one. Raises
    `InvalidSpec` for a limit that the sensor cannot carry and that is not in `allow`.
    """

    def __init__(
        self, spec: NerfSpec, name: str, seed: int, field_of_view: float, allow: tuple[str, ...]
    ) -> None:
        self.kind, self.name = SENSOR_MESSAGES[name], name
        section = spec.sensor(name)
        # The delay is applied here, so that a sample is released when it is due and not with the next one
        undelayed = section.model_copy(update={"latency": None})
        self._spec = spec.model_copy(update={"sensors": {name: undelayed}})
        self._seed, self._field_of_view, self._allow = seed, field_of_view, allow
        self._is_limited = any(True for _ in section.limits())
        _Stream(self._spec, name, self.kind.example, seed, allow)  # a limit that it cannot carry
        table = {"latency": SENSOR_FIELDS["latency"]}
        self._latency = LimitTable([(name, section)], table, np.array([seed], np.uint64))
        self._delayed: deque[tuple[float, Any]] = deque(maxlen=MOST_DELAYED)
        self.problem = ""
        """What was wrong with the last refused message."""
        self.ignored = ""
        """What was last left out of a message that was used."""
        self.used, self.refused = 0, 0
        self._begin()

    def _begin(self) -> None:
        self._latest = -math.inf
        self._streams: dict[tuple[str, ...], _Stream] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self._efforts: dict[tuple[str, ...], NDArray[Any]] = {}
        self._shown: Any = None
        self._delayed.clear()

    def take(self, message: Any, time: float, lift: NDArray[np.float64]) -> None:
        """Impair a message that arrived at `time` (s, the limiter's); `lift` (1, 4)."""
        if time < self._latest - RESTARTED:  # a simulation that began anew
            self._begin()
        self._latest = time
        try:
            if self._is_limited:
                impair = self._impair_joints if self.name == "joints" else self._impair
                message = impair(message, time, lift)
        except ValueError as error:  # in the message or the specification: pass nothing on
            self.problem = str(error)
            self.refused += 1
            return
        self.used += 1
        self._latency.update(np.array([0]), lift)
        due = time + float(self._latency["latency"][0, 0])
        if self._delayed:
            due = max(due, self._delayed[-1][0])  # never out of order
        self._delayed.append((due, message))

    def due(self, time: float) -> list[Any]:
        """The messages due at `time` (s, the limiter's), oldest first."""
        released = []
        while self._delayed and self._delayed[0][0] <= time + ROUNDING:
            released.append(self._delayed.popleft()[1])
        return released

    def report(self) -> str:
        """How many messages were used and refused, and why; "" where none came."""
        parts = [f"{self.used} used"] if self.used else []
        parts += [f"{self.refused} refused, last: {self.problem}"] if self.refused else []
        parts += [f"left out, last: {self.ignored}"] if self.ignored else []
        return "; ".join(parts)

    def _stream(self, group: tuple[str, ...], first: Reading) -> _Stream:
        if group not in self._streams:
            seed = (self._seed + (len(self._streams) << 32)) % 2**64  # streams of their own
            self._streams[group] = _Stream(self._spec, self.name, first, seed, self._allow)
        return self._streams[group]

    def _impair(self, message: Any, time: float, lift: NDArray[np.float64]) -> Any:
        reading = self.kind.read(message, self._field_of_view)
        self.ignored = reading.ignored or self.ignored
        stream = self._stream((), reading)
        numbers = stream.apply(reading, time, lift)
        limiter = stream.limiter
        if not limiter.is_new[0]:
            repeated, stamp = copy.copy(self._shown), message.header.stamp
            repeated.header = type(message.header)(stamp=stamp, frame_id=self._shown.header.frame_id)
            return repeated
        if limiter.changes_values or not isinstance(reading.geometry, PlainGeometry):
            self.kind.write(message, numbers, limiter.source[0])
        self._shown = message
        return message

    def _impair_joints(self, message: Any, time: float, lift: NDArray[np.float64]) -> Any:
        """As `_impair`, by joint: a message may be about any of them."""
        names = list(message.name)
        if not names:
            raise InvalidCommand("name: is empty, the message is about no joint")
        joint_numbers(message, names)  # whole, or refused
        fresh = tuple(name for name in names if name not in self._groups)
        if fresh and len(self._streams) >= MOST_GROUPS:
            raise InvalidCommand(f"name: more than {MOST_GROUPS} groups of joints, last {list(fresh)}")
        self._groups.update(dict.fromkeys(fresh, fresh))
        limited: dict[str, NDArray[Any]] = {}
        for group in dict.fromkeys(self._groups[name] for name in names):
            numbers = joint_numbers(message, group)
            reading = Reading(numbers[:2], PlainGeometry())
            stream = self._stream(group, reading)
            shown = stream.apply(reading, time, lift)
            if stream.limiter.is_new[0]:  # no limit acts on an effort: it would tell more than they allow
                self._efforts[group] = numbers[2] * (math.nan if stream.limiter.changes_values else 1.0)
            limited.update(zip(group, np.vstack([shown, self._efforts[group]]).T, strict=True))
        rows = np.array([limited[name] for name in names]).T
        lost = [field for field, row in zip(JOINT_FIELDS, rows, strict=True) if np.isnan(row).any()]
        given = [field for field in lost if len(getattr(message, field))]
        self.ignored = f"{', '.join(given)}: not measured or blanked" if given else self.ignored
        self.kind.write(message, rows, np.arange(len(names)))
        return message


class ImpairedObjects:
    """Detected objects (`MarkerArray`, in the robot's frame): those beyond the limited range are left out.

    So are markers whose place is not finite, and those drawn by points, which may lie anywhere. Raises
    `InvalidSpec` for any other limit that is declared and not in `allow`.
    """

    def __init__(self, spec: NerfSpec, seed: int, allow: tuple[str, ...]) -> None:
        section = spec.sensor("objects")
        for field, _ in section.limits():
            if field != "range" and f"objects.{field}" not in allow:
                raise InvalidSpec(
                    f"{spec.name}: sensors[objects].{field}: is not enforceable on markers"
                    f" (allow 'objects.{field}' to go on without it)"
                )
        seeds = np.array([seed], np.uint64)
        self._range = LimitTable([("objects", section)], {"range": SENSOR_FIELDS["range"]}, seeds)
        self.left_out = 0
        """Markers of the last message that are not passed on."""

    def impair(self, message: Any, lift: NDArray[np.float64]) -> Any:
        """The message with the markers in range; `lift` (1, 4)."""
        self._range.update(np.array([0]), lift)
        if not self._range.declared:
            return message
        reach, before = float(self._range["range"][0, 0]), len(message.markers)
        message.markers = [
            marker
            for marker in message.markers
            if math.hypot(marker.pose.position.x, marker.pose.position.y) < reach and not marker.points
        ]
        self.left_out = before - len(message.markers)
        return message
