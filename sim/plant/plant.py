"""A robot on a course in PyBullet, stepped at the control rate and reset without reloading.

It takes limited commands and reports what happened. It knows no nerf, no lease, no reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from nerfbot.course import Course, load_course
from nerfbot.course.elements import Interference
from nerfbot.course.events import Event
from nerfbot.limits import Channel

from ..errors import InvalidRobot
from ..physics.arena_builder import ArenaBuilder, layout
from ..physics.client import CONTROL_STEP, SUBSTEP, SUBSTEPS, Client, Closable
from ..robots.description import RobotDescription
from ..robots.robot import BodyState, Numbers, Robot
from .events import EventDetector
from .sensors import Readings, Sensors
from .world_edits import WorldEdits

FORCE_LIMIT = 120.0
"""Default contact force in N above which contact is harm: twice what the rover can push."""

SETTLE = 8
"""Physics steps, with everything apart, after which no contact of the last episode is left (two were not
always enough)."""

FRAGILE_RANGE = 1.5
"""Contacts of fragile objects are followed while the robot is within this distance, m."""


class StepResult(NamedTuple):
    """What a control step did: the impulse in N·s on the robot's body by element id (or `wall`), and the
    course's events; `Robot.measured` has the rest.
    """

    impulses: dict[str, float]
    events: tuple[Event, ...]


class Plant(Closable):
    """A robot on a course.

    Args:
        course: a course, the name of one in the catalogue, or the path of a course file.
        robot: a description, the name of a robot that ships with nerfbot, or the path of a YAML file.
        gui: show PyBullet's window.
        force_limit: contact force in N, mean over a control step, above which contact is harm.
        pictures: whether any will be taken; without, what only pictures show has no bodies: steps are faster.

    Raises `InvalidCourse`, `InvalidRobot` or `MissingDependency`; nothing is left open then.

    """

    def __init__(
        self,
        course: Course | str | Path,
        robot: RobotDescription | str | Path = "rover",
        gui: bool = False,
        force_limit: float = FORCE_LIMIT,
        pictures: bool = True,
    ) -> None:
        course = course if isinstance(course, Course) else load_course(course)
        self.description = robot if isinstance(robot, RobotDescription) else RobotDescription.load(robot)
        self.description.urdf_path()
        for row in self.description.channels:
            if row.servo is not None:
                raise InvalidRobot(
                    f"{self.description.name}: channels.{row.name}.servo: a course's physics steps of "
                    f"{1e3 * SUBSTEP:.1f} ms are too coarse for servos (nerfbot.sim.robots.arm steps finer)"
                )
        self.force_limit, self._pictures = force_limit, pictures
        self.client = Client(gui)
        self.time = 0.0
        """Simulated seconds since the reset."""
        try:
            self._build(course)
            self.reset()
        except BaseException:
            self.client.close()
            raise

    def _build(self, course: Course) -> None:
        self.course = course
        self._layout = layout(course)
        self._cell_of: BodyState | None = None
        builder = ArenaBuilder(self.client, course, self._pictures)
        self.arena = builder.arena
        self.robot = Robot(self.client, self.description)
        self.event_detector = EventDetector(self.robot, self.arena, self.force_limit)
        self.sensors = Sensors(self.robot, self.arena)
        self.edits = WorldEdits(self.robot, builder, self.event_detector, self.sensors)
        self._fragile = [
            (name, thing) for name, thing in self.arena.things.items() if thing.element.kind == "fragile"
        ]
        self._saved = self.client.saveState()
        self._robot_contacts = self.client.contacts_of(
            self.robot.body, only_base=self.robot.solid_links == [-1]
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The robot's channels."""
        return self.robot.channels

    @property
    def cell(self) -> tuple[int, int]:
        """The (row, column) in which the robot's base is."""
        state = self.robot.state
        if state is not self._cell_of:
            self._cell_of, self._cell = state, self.course.cell_of(*state.position[:2])
        return self._cell

    def reset(self, course: Course | None = None) -> Readings:
        """Begin an episode and return the first readings.

        ``course`` is another draw of the same course (default: the present one). Bodies are reloaded only
        where its layout differs: walls, ramps, gates or zones elsewhere, or other objects. The physics is
        restored from the state before the first step; what that leaves out (motor targets, masses, friction,
        gates) is set again.
        """
        course = self.course if course is None else course
        if self.edits.needs_rebuild or (course is not self.course and layout(course) != self._layout):
            # A new connection: in a reset one, PyBullet no longer finds the bodies of a saved state
            self.client.close()
            self.client = Client(self.client.gui)
            self._build(course)
        self.edits.restart()
        # A restored state leaves contacts that it did not hold itself, and they would nudge the first steps
        self.arena.scatter()
        self.robot.place(0.0, -10.0, 0.0, 50.0)
        for _ in range(SETTLE):
            self.client.stepSimulation()
        self.client.restoreState(self._saved)
        self.course = course
        self.arena.reset(course)
        start = course.start
        self.robot.place(start.x, start.y, start.heading, course.elevation(start.x, start.y))
        self.event_detector.restart(course)
        self.sensors.restart()
        self._interference = {
            item.position: item for item in course.elements if isinstance(item, Interference)
        }
        self._steps, self.time = 0, 0.0
        return self.sensors.read()

    def step(
        self,
        command: Numbers,
        effort_limit: Numbers | None = None,
        between: Callable[[], None] | None = None,
    ) -> StepResult:
        """Drive for one control step (0.05 s) at ``command``; arguments and errors as `Robot.actuate`.

        ``between`` is called between two physics steps; it may command the robot anew.
        """
        client, robot, arena = self.client, self.robot, self.arena
        robot.actuate(command, effort_limit)
        state = robot.state
        x, y, _ = state.position
        if arena.gates:
            cosine, sine = math.cos(state.heading), math.sin(state.heading)
            arena.move_gates(self.time, robot.footprint, (x, y), cosine, sine)
        near = [
            (name, thing.body)
            for name, thing in self._fragile
            if thing.present
            and abs(thing.position[0] - x) < FRAGILE_RANGE
            and abs(thing.position[1] - y) < FRAGILE_RANGE
        ]
        advance, contacts_of, robot_contacts = (
            client.stepSimulation,
            client.getContactPoints,
            self._robot_contacts,
        )
        ground = arena.ground
        forces: dict[int, float] = {}
        hits: dict[str, float] = {}
        for substep in range(SUBSTEPS):
            if between is not None and substep:
                between()
            advance()
            for point in robot_contacts():
                if point[2] not in ground and point[9]:
                    forces[point[2]] = forces.get(point[2], 0.0) + point[9]
            for name, fragile in near:
                for point in contacts_of(fragile):
                    if point[2] not in ground and point[9]:
                        hits[name] = hits.get(name, 0.0) + point[9] * SUBSTEP
        robot.read()
        self._steps += 1
        self.time = self._steps * CONTROL_STEP
        impulses = self._impulses(forces)
        self.edits.settle()
        return StepResult(impulses, self.event_detector.consume(self.time, self.cell, impulses, hits))

    def _impulses(self, forces: dict[int, float]) -> dict[str, float]:
        """Impulses in N·s by element id, from forces in N summed over physics steps by body."""
        impulses: dict[str, float] = {}
        for body, force in forces.items():
            if body != self.robot.body:
                name = self.arena.names.get(body, "other")
                impulses[name] = impulses.get(name, 0.0) + force * SUBSTEP
        return impulses

    def observe(self, sensing: float = 0.0) -> Readings:
        """Read the sensors once for this control step; ``sensing`` is the sensing lift in [0, 1]."""
        return self.sensors.read(sensing)

    def interference(self) -> Interference | None:
        """The interference zone in which the robot is, or None."""
        return self._interference.get(self.cell)

    def coin_cells(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """The coins that are there, by id, and the (row, column) of each."""
        for name, thing in self.arena.things.items():
            if thing.element.kind == "coin" and thing.present:
                yield name, self.course.cell_of(*thing.position[:2])

    def close(self) -> None:
        """Disconnect from the physics; closing twice does nothing."""
        self.client.close()
