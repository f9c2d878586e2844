"""The demo's three drives through `gauntlet`, recorded step by step: requested, enforced, and why.

The nerfed run goes on behind each obstacle that it failed at: the demo, not the robot, then teleports the
rover past it, so that every obstacle is shown. Drawing and reporting are elsewhere.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nerfbot.course import Course, Event, TaskTracker, load_course
from nerfbot.limits import Reason
from nerfbot.powers import AuditLog, Lease

from ..plant.nerfed_plant import NerfedPlant, Step
from ..plant.sensors import Readings
from ..plant.snapshot import Snapshot, take
from ..scripted.driver import ScriptedDriver
from ..scripted.episode import LeaseRequester, ZoneLeases

COURSE, NERF = "gauntlet", "rover-weak"
FRAME_STEPS = 5
"""Control steps between recorded snapshots: 0.25 s."""


class Stage(NamedTuple):
    """One obstacle of the course: the axis it needs, its name, the map column from which on it is passed
    (None: by taking the goal), the time in s after which it counts as failed, and where a rover that failed
    is put down: the cell, and the waypoint of the route that comes next.
    """

    axis: str
    obstacle: str
    passed: int | None
    budget: float
    resume: tuple[int, int]
    waypoint: int


STAGES = (
    Stage("strength", "heavy block", 7, 12.0, (6, 7), 4),
    Stage("reliability", "interference", 17, 15.0, (6, 17), 5),
    Stage("speed", "timed gates", 27, 24.0, (6, 27), 7),
    Stage("sensing", "fog", None, 10.0, (6, 27), 7),
)
"""The obstacles of `gauntlet` in driving order. The last budget is what the task's horizon leaves there."""


class RunKind(NamedTuple):
    """One of the runs: its key in the metrics, its title, what is done, and what requests leases."""

    name: str
    title: str
    description: str
    requester: Callable[[], LeaseRequester | None]
    goes_on: bool
    timed: bool


class Sample(NamedTuple):
    """One control step as the report needs it: time s, commands and measured twist (m/s, rad/s), lift by
    axis, names of the reasons, and the stage's index.
    """

    time: float
    requested: tuple[float, ...]
    executed: tuple[float, ...]
    speed: float
    lift: tuple[float, ...]
    reasons: tuple[str, ...]
    stage: int


class Frame(NamedTuple):
    """What one picture shows: the time, a snapshot, and the state beside it; ``lease`` names the active
    lease's axes, with its remaining seconds.
    """

    time: float
    snapshot: Snapshot
    stage: int
    note: str
    requested: float
    executed: float
    lift: tuple[float, ...]
    reasons: tuple[str, ...]
    lease: tuple[str, float] | None


@dataclass
class Run:
    """The record of one run. ``failed_at`` names axes in order; ``windows`` are the leases' (start, end,
    axes); ``wall`` is how long it took, s.
    """

    kind: RunKind
    success: bool = False
    failed_at: list[str] = field(default_factory=list)
    time: float = 0.0
    wall: float = 0.0
    harm: dict[str, float] = field(default_factory=dict)
    harm_events: list[Event] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    teleports: list[float] = field(default_factory=list)
    windows: list[tuple[float, float, str]] = field(default_factory=list)
    stages: list[tuple[float, float, int, str]] = field(default_factory=list)


class RequestOnce:
    """Requests one lift at ``start`` s, wherever the rover is, and accepts a refusal."""

    def __init__(self, axis: str, start: float = 0.5) -> None:
        self.axis, self.start, self.requested = axis, start, False

    def __call__(self, plant: NerfedPlant, readings: Readings) -> None:
        """Request the lift once, when it is time."""
        if not self.requested and plant.time >= self.start:
            self.requested = True
            reason = "push the block, asked for outside"
            plant.request(Lease(axes={self.axis: 1.0}, reason=reason, duration=8.0))


KINDS = (
    RunKind(
        "nerfed",
        "Nerfed",
        "No lease. The rover fails at each obstacle; the demo then puts it down behind that obstacle.",
        lambda: None,
        goes_on=True,
        timed=False,
    ),
    RunKind(
        "leases",
        "Leases in the lift zones",
        "Inside a lift zone the rover asks for a lease of a few seconds on the axes that the zone allows.",
        ZoneLeases,
        goes_on=False,
        timed=True,
    ),
    RunKind(
        "outside",
        "A lease asked for outside",
        "The rover asks for strength before it has entered the lift zone. It is refused, and stays too weak.",
        lambda: RequestOnce("strength"),
        goes_on=False,
        timed=False,
    ),
)


class RunRecorder:
    """Fills a `Run` from a plant, step by step."""

    def __init__(self, run: Run, plant: NerfedPlant) -> None:
        self.run, self.plant = run, plant

    def record(self, step: Step, stage: int, phase: str, last: bool = False) -> None:
        """Add one control step; every few steps, and at the last one, a snapshot too."""
        plant, run = self.plant, self.run
        bits = int(np.bitwise_or.reduce(step.limited.reasons))
        reasons = tuple(str(item.name).lower() for item in Reason if item.value & bits)
        if self._saturated(step):
            reasons += ("effort",)
        if step.lost:
            reasons = ("interference", *reasons)
        requested, executed = step.requested.tolist(), step.limited.value.tolist()
        speed = float(step.readings.twist[0])
        lift = tuple(step.lift.tolist())
        run.samples.append(Sample(plant.time, tuple(requested), tuple(executed), speed, lift, reasons, stage))
        run.harm_events += [event for event in step.events if event.harm is not None]
        if last or len(run.samples) % FRAME_STEPS == 1:
            active = plant.authority.active(0)
            lease = None
            if active:
                item = max(active, key=lambda each: each.end)
                lease = (" + ".join(item.lease.axes), max(0.0, item.end - plant.time))
            shown = take(plant.plant)
            run.frames.append(
                Frame(plant.time, shown, stage, phase, requested[0], executed[0], lift, reasons, lease)
            )

    def _saturated(self, step: Step) -> bool:
        """Whether the motors give all the effort that they may: the limit acts in them, not before."""
        effort = self.plant.plant.robot.measured().effort
        return effort is not None and bool((np.abs(effort) >= 0.97 * step.limited.effort_limit).any())


def drive(plant: NerfedPlant, kind: RunKind, course: Course, seed: int) -> Run:
    """One run from the start of ``course``, until the coin is taken or an obstacle ends it."""
    began = time.perf_counter()
    run = Run(kind)
    readings = plant.reset(course, seed=seed)
    tracker = TaskTracker(course.task.model_copy(update={"horizon": 600.0}), course)
    driver, request, recorder = ScriptedDriver(course), kind.requester(), RunRecorder(run, plant)
    stage, entered = 0, 0.0
    while True:
        command = driver.act(readings, plant.time)
        if request is not None:
            request(plant, readings)
        step = plant.step(command)
        tracker.consume(step.events, plant.time, plant.plant.cell)
        readings = step.readings
        now, here = plant.time, STAGES[stage]
        passed = plant.plant.cell[1] >= here.passed if here.passed is not None else tracker.reached_goal
        late = now >= course.task.horizon if kind.timed else now - entered >= here.budget
        recorder.record(step, stage, driver.phase, last=passed or late)
        if not (passed or late):
            continue
        run.stages.append((entered, now, stage, "passed" if passed else "failed"))
        if late and not passed:
            run.failed_at.append(here.axis)
        if stage + 1 == len(STAGES) or (late and not passed and not kind.goes_on):
            break
        if not passed:
            plant.plant.edits.teleport(*here.resume)
            run.teleports.append(now)
            driver = ScriptedDriver(dataclasses.replace(course, route=course.route[here.waypoint :]))
        stage, entered = stage + 1, now
    run.success = tracker.reached_goal and not run.failed_at
    run.time = plant.time
    run.harm = {str(name): round(float(amount), 6) for name, amount in sorted(tracker.harm.items())}
    plant.authority.reset(now=plant.time)
    run.wall = time.perf_counter() - began
    return run


def drive_all(
    audit: AuditLog, seed: int, gui: bool = False, done: Callable[[Run], None] = lambda run: None
) -> list[Run]:
    """The three runs, on one course drawn from ``seed``, with ``audit`` as their common log.

    ``gui`` shows PyBullet's window, in real time; ``done`` is called after each run. Raises
    `MissingDependency` without PyBullet.
    """
    course = load_course(COURSE, seed=seed)
    plant = NerfedPlant(course, NERF, audit=audit, seed=seed, gui=gui)
    runs = []
    try:
        for kind in KINDS:
            audit.append("run", 0.0, name=kind.name, course=COURSE, nerf=NERF, seed=seed)
            run = drive(plant, kind, course, seed)
            runs.append(run)
            done(run)
    finally:
        plant.close()
    return runs
