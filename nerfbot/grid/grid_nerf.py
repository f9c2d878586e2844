"""A nerf specification on the grid: ticks per cell, newtons, metres of sight, chances of a fault.

docs/grid.md states the mapping. Anything finer than a cell or a tick (accelerations, dead-bands, noise) has
no meaning on the grid; the report says so for each limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerfbot.course.capability import ROVER, Body
from nerfbot.errors import InvalidSpec
from nerfbot.grid.kernels.state import (
    CUT_RATE,
    CUT_TIME,
    DROP_RATE,
    DROP_TIME,
    GAIN,
    HOLD_RATE,
    HOLD_TIME,
    LATENCY,
    MOST_LATE,
    NO_LOAD,
    PUSH,
    QUANTITIES,
    RATE,
    SENSORS,
    SIGHT,
    STALL,
)
from nerfbot.limits import Channel, Enforcement, NerfSpec, require_enforceable
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS, FieldInfo
from nerfbot.limits.spec import Burst, Section
from nerfbot.limits.streams import Stream
from nerfbot.limits.value import Distribution, Limit, Value, high

DRIVE, TURN = "linear.x", "angular.z"
"""The channels of a twist. The grid drives by the first; it has no heading, so turning takes no time."""

UNLIMITED = 1.0e9
"""Used for no limit, in N, m or m/s: finite, so that it can be interpolated."""

DRAWS = 256
"""Rows of the nerf table if any limit is drawn per episode; otherwise it has one row."""

DEFAULT_SPEED = 1.0
"""Speed of an agent that neither its nerf nor an envelope limits, m/s."""

ENFORCED = {
    "channels": ("effort", "stall_effort", "no_load_velocity", "gain", "velocity", "hold", "intermittent"),
    "command": ("drop",),
    "sensors": ("range",),
}
QUANTISED = {
    "command": {"latency": "to whole ticks", "jitter": "half of it is added to the latency"},
}
FIXED_SPREAD = "durations are drawn from an exponential law"
ABSTRACTED = "finer than a cell and a tick"
"""Why the grid does not enforce the other limits; it allows them unless a caller says otherwise."""


@dataclass(frozen=True)
class GridNerf:
    """A specification on the grid.

    `tick` s is the time in which an agent with its speed lifted crosses a cell at `top_speed` m/s. `table`
    (draws, QUANTITIES, 2) holds nerfed and lifted values; an episode uses one of its rows. `report` says of
    every limit whether the grid enforces it.
    """

    spec: NerfSpec
    tick: float
    top_speed: float
    table: NDArray[np.float64]
    body: Body
    report: tuple[Enforcement, ...]

    @classmethod
    def of(
        cls,
        spec: NerfSpec,
        cell: float,
        body: Body = ROVER,
        allow: Sequence[str] | None = None,
        seed: int = 0,
    ) -> GridNerf:
        """`spec` on cells of side `cell` (m).

        `allow` names the limits that may be left out, as ``linear.x.dead_band`` or ``lidar.noise``; None
        allows all that are finer than a cell and a tick. Raises `InvalidSpec` for any other that the grid
        cannot enforce, and for an entry that matches neither of a twist's channels.
        """
        spec.check_names([DRIVE, TURN])
        report = tuple(_report(spec))
        names = [item.name for item in report if item.problem] if allow is None else allow
        require_enforceable(report, names)
        top = _top_speed(spec)
        table = _table(spec, top, seed)
        latest = float(table[:, LATENCY].max())
        if round(latest * top / cell) > MOST_LATE:
            raise InvalidSpec(
                f"{spec.name}: command: latency + jitter / 2 = {latest:g} s: must be at most"
                f" {MOST_LATE} ticks of {cell / top:g} s on this grid"
            )
        return cls(spec, cell / top, top, table, body, report)

    @property
    def faulty(self) -> bool:
        """Whether commands may come late, be lost or stick."""
        columns = [DROP_RATE, HOLD_RATE, CUT_RATE, LATENCY]
        return bool(self.table[:, columns].any())

    @property
    def slow(self) -> bool:
        """Whether a cell may ever take more than a tick."""
        return bool((self.table[:, [RATE, GAIN, NO_LOAD]] < 1.0).any())

    @property
    def sight(self) -> float:
        """The shortest sight, m."""
        return float(self.table[:, SIGHT:].max(axis=1).min())


def _top_speed(spec: NerfSpec) -> float:
    limit = spec.channel(DRIVE).velocity
    if limit is not None and limit.lifted is not None:
        return high(limit.lifted)
    envelope = None if spec.envelope is None else spec.envelope.find(DRIVE)
    bound = None if envelope is None else envelope.max_velocity
    return DEFAULT_SPEED if bound is None else bound


def _table(spec: NerfSpec, top: float, seed: int) -> NDArray[np.float64]:
    """Draw the nerf table; one row where nothing is drawn per episode."""
    drive, link = spec.channel(DRIVE), spec.link()
    sensors = {name: spec.sensor(name).range for name in spec.sensors}
    if len(sensors) > SENSORS and None not in sensors.values():
        raise InvalidSpec(f"{spec.name}: sensors: the grid tells {SENSORS} ranges apart, got {len(sensors)}")
    sections: list[Section] = [drive, link, *(spec.sensor(name) for name in spec.sensors)]
    drawn = any(
        isinstance(end, Distribution)
        for section in sections
        for _, limit in section.limits()
        for end in (limit.nerfed, limit.lifted)
    )
    rows = DRAWS if drawn else 1
    draw = _Draw(rows, seed)
    table = np.empty((rows, QUANTITIES, 2))
    table[:, RATE] = np.minimum(1.0, draw.bound("velocity", drive.velocity) / top)
    table[:, GAIN] = np.minimum(1.0, draw.bound("gain", drive.gain))
    table[:, NO_LOAD] = draw.bound("no_load", drive.no_load_velocity) / top
    table[:, PUSH] = draw.bound("effort", drive.effort)
    table[:, STALL] = draw.bound("stall", drive.stall_effort)
    # A robot sees what its longest-reaching sensor sees; a sensor without a range limit sees everything.
    table[:, SIGHT:] = 0.0
    if None in sensors.values() or not sensors:
        table[:, SIGHT] = UNLIMITED
    else:
        for column, (name, limit) in enumerate(sensors.items(), start=SIGHT):
            table[:, column] = draw.bound(f"range/{name}", limit)
    for name, burst, rate, time in (
        ("drop", link.drop, DROP_RATE, DROP_TIME),
        ("hold", drive.hold, HOLD_RATE, HOLD_TIME),
        ("intermittent", drive.intermittent, CUT_RATE, CUT_TIME),
    ):
        table[:, rate], table[:, time] = draw.burst(name, burst)
    table[:, LATENCY] = draw.least("latency", link.latency) + 0.5 * draw.least("jitter", link.jitter)
    return table


class _Draw:
    """Draws limits for every row, each from its own stream."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed = rows, seed

    def bound(self, name: str, limit: Limit | None) -> NDArray[np.float64]:
        """An upper bound at both ends, (rows, 2); none is `UNLIMITED`."""
        return self._both(name, limit, UNLIMITED)

    def least(self, name: str, limit: Limit | None) -> NDArray[np.float64]:
        """An impairment at both ends, (rows, 2); none is 0."""
        return self._both(name, limit, 0.0)

    def burst(self, name: str, burst: Burst | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rate and duration at both ends, each (rows, 2)."""
        if burst is None:
            return np.zeros((self.rows, 2)), np.ones((self.rows, 2))
        return self.least(f"{name}.rate", burst.rate), self.least(f"{name}.duration", burst.duration)

    def _both(self, name: str, limit: Limit | None, absent: float) -> NDArray[np.float64]:
        if limit is None:
            return np.full((self.rows, 2), absent)
        lifted = limit.nerfed if limit.lifted is None else limit.lifted
        return np.stack([self._one(f"{name}/0", limit.nerfed), self._one(f"{name}/1", lifted)], axis=1)

    def _one(self, name: str, value: Value) -> NDArray[np.float64]:
        if not isinstance(value, Distribution):
            return np.full(self.rows, float(value))
        stream = Stream(f"grid/{name}", np.array([self.seed]))
        return value.sample(stream.uniform(np.zeros(self.rows, np.intp), np.arange(self.rows)))


def _report(spec: NerfSpec) -> Iterator[Enforcement]:
    drive = Channel(DRIVE, "velocity", "m/s", effort_limit=True)
    turn = Channel(TURN, "velocity", "rad/s")
    yield from _lines(DRIVE, "channels", spec.channel(DRIVE), CHANNEL_FIELDS, drive)
    for item in _lines(TURN, "channels", spec.channel(TURN), CHANNEL_FIELDS, turn):
        yield item._replace(problem=f"the grid has no heading: {ABSTRACTED}", note="")
    yield from _lines("command", "command", spec.link(), COMMAND_FIELDS, drive)
    for name in spec.sensors:
        yield from _lines(name, "sensors", spec.sensor(name), SENSOR_FIELDS, drive)


def _lines(
    owner: str, group: str, section: Section, table: dict[str, FieldInfo], channel: Channel
) -> Iterator[Enforcement]:
    for field, limit in section.limits():
        info = table[field]
        lifted = limit.nerfed if limit.lifted is None else limit.lifted
        head = field.partition(".")[0]
        note = QUANTISED.get(group, {}).get(head, "")
        burst = getattr(section, head)
        if isinstance(burst, Burst) and burst.spread == "fixed" and field.endswith(".duration"):
            note = FIXED_SPREAD
        problem = "" if note or head in ENFORCED[group] else ABSTRACTED
        unit = info.unit_on(channel)
        yield Enforcement(owner, field, info.axis, unit, limit.nerfed, lifted, problem, note)
