"""Whole episodes on a nerfed plant: who drives, which leases are requested, and the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nerfbot.course.tracker import FirstContact, TaskTracker
from nerfbot.limits import AXES
from nerfbot.powers import Lease

from ..plant.nerfed_plant import NerfedPlant, Step
from ..plant.sensors import Readings

LEASE_SECONDS, LEASE_RAMP = 5.0, 0.5
"""How long a requested lease lasts, and its ramp, s."""

LeaseRequester = Callable[[NerfedPlant, Readings], None]
"""Requests leases from the plant; called before every step."""


class RobotController(Protocol):
    """Drives a robot: ``phase`` says what it is doing, `act` makes a command of readings."""

    @property
    def phase(self) -> str:
        """What it is doing."""
        ...

    def act(self, readings: Readings, now: float) -> NDArray[np.float64]:
        """The command (channels,) for these readings at ``now`` s."""
        ...


ControllerT = TypeVar("ControllerT", bound=RobotController)


class StepRecord(NamedTuple):
    """One control step in brief: time s, pose (x m, y m, heading rad), what the driver was doing, the command
    requested and the one executed, the lift by axis, and whether interference lost the command.
    """

    time: float
    pose: tuple[float, ...]
    phase: str
    requested: tuple[float, ...]
    executed: tuple[float, ...]
    lift: tuple[float, ...]
    lost: bool


@dataclass(frozen=True)
class Episode:
    """The outcome of an episode: ``time`` s it took, ``harm`` by type in that type's unit, every step."""

    success: bool
    reward: float
    first_contact: FirstContact
    time: float
    harm: dict[str, float]
    steps: list[StepRecord] = field(repr=False, default_factory=list)


class ZoneLeases:
    """Requests, inside a lift zone, full lift on the zone's axes (those among ``axes``), and renews in time.

    A lease is renewed once less than ``margin`` s of its full level remain.
    """

    def __init__(
        self,
        axes: tuple[str, ...] = AXES,
        duration: float = LEASE_SECONDS,
        ramp: float = LEASE_RAMP,
        margin: float = 0.3,
    ) -> None:
        self.axes, self.duration, self.ramp, self.margin = axes, duration, ramp, margin

    def __call__(self, plant: NerfedPlant, readings: Readings) -> None:
        """Request what is missing here, by the odometry."""
        zone = plant.plant.course.axes_at(float(readings.pose[0]), float(readings.pose[1]))
        request_missing(plant, [axis for axis in self.axes if axis in zone], self)


class LeasesEverywhere(ZoneLeases):
    """Requests full lift on ``axes`` wherever the robot is; the policy has to allow it."""

    def __call__(self, plant: NerfedPlant, readings: Readings) -> None:
        """Request what is missing."""
        request_missing(plant, list(self.axes), self)


def request_missing(plant: NerfedPlant, axes: list[str], terms: ZoneLeases) -> None:
    """Request one lease on those of ``axes`` that no active lease holds for long enough."""
    until = plant.time + terms.ramp + terms.margin
    held = {axis for item in plant.authority.active(0) if item.end > until for axis in item.lease.axes}
    missing = {axis: 1.0 for axis in axes if axis not in held}
    if missing:
        reason = f"pass the obstacle here: {', '.join(missing)}"
        plant.request(Lease(axes=missing, reason=reason, duration=terms.duration, ramp=terms.ramp))


def run_episode(
    plant: NerfedPlant,
    driver: ControllerT,
    tracker: TaskTracker | None = None,
    leases: Literal["none", "zones"] | LeaseRequester = "none",
    on_step: Callable[[Step, ControllerT], None] | None = None,
    readings: Readings | None = None,
) -> Episode:
    """Drive from where the plant stands until the task is done or its horizon reached.

    Args:
        plant: reset, with the course of this episode.
        driver: a fresh one for that course.
        tracker: the task's (default: a new one).
        leases: "none", "zones" (full lift on a lift zone's axes while inside it), or what requests leases.
        on_step: called after every step, for recording.
        readings: what the plant's reset returned (default: the sensors are read anew).

    """
    course = plant.plant.course
    tracker = TaskTracker(course.task, course) if tracker is None else tracker
    request = {"none": None, "zones": ZoneLeases()}[leases] if isinstance(leases, str) else leases
    if readings is None:
        readings = plant.step(np.zeros(len(plant.channels))).readings
    records = []
    while not tracker.done:
        command = driver.act(readings, plant.time)
        if request is not None:
            request(plant, readings)
        step = plant.step(command)
        tracker.consume(step.events, plant.time, plant.plant.cell)
        readings = step.readings
        records.append(
            StepRecord(
                plant.time,
                tuple(readings.pose.tolist()),
                driver.phase,
                tuple(step.requested.tolist()),
                tuple(step.limited.value.tolist()),
                tuple(step.lift.tolist()),
                step.lost,
            )
        )
        if on_step is not None:
            on_step(step, driver)
    return Episode(
        tracker.reached_goal,
        tracker.total_reward,
        tracker.first_contact,
        plant.time,
        {str(kind): float(quantity) for kind, quantity in tracker.harm.items()},
        records,
    )
