"""What the simulated rover knows: its readings, object poses, and the grid observation of them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nerfbot.bridge.cells.grid_observation import Cell, ObjectPose, ObservationBuilder, RobotState
from nerfbot.bridge.cells.object_tracker import DetectedObjects
from nerfbot.course.elements import STEPS, Element
from nerfbot.grid.codes import GATE, OPEN
from nerfbot.sim.plant.episode_powers import EpisodePowers
from nerfbot.sim.plant.nerfed_plant import NerfedPlant
from nerfbot.sim.plant.sensors import Readings

SLOW_TURN = 0.3
"""Yaw rate up to which the lidar corrects the map, rad/s: rays of a faster turn point elsewhere."""


class RoverPerception:
    """The knowledge of one episode; `update` takes the readings of each control step.

    ``objects`` remembers what the rover's own detector saw; None uses the poses of a tracking system.
    """

    def __init__(
        self,
        nerfed: NerfedPlant,
        builder: ObservationBuilder,
        powers: EpisodePowers,
        objects: DetectedObjects | None,
    ) -> None:
        self._nerfed, self._powers, self._objects = nerfed, powers, objects
        self.builder = builder

    def update(self, readings: Readings, lift: NDArray[Any]) -> None:
        """Use one set of readings at the lift levels (4,)."""
        self.readings, self.lift = readings, lift
        if self._objects is not None:
            self._objects.update(readings)

    def add(self, element: Element) -> None:
        """Register an element that a world edit added."""
        if self._objects is not None:
            self._objects.add(element)

    @property
    def state(self) -> RobotState:
        """What the rover knows now."""
        nerfed, readings = self._nerfed, self.readings
        objects = tracked_objects(nerfed) if self._objects is None else self._objects.poses()
        seconds_left, charges = self._powers.remaining or (0.0, 0.0)
        return RobotState(
            pose=readings.pose,
            objects=gate_poses(nerfed) + objects,
            lidar=readings.lidar if abs(float(readings.twist[1])) < SLOW_TURN else None,
            keys=nerfed.plant.event_detector.keys,
            phasing=nerfed.plant.edits.phasing,
            lift=self.lift.tolist(),
            granted=self._powers.granted,
            seconds_left=seconds_left,
            charges=charges,
        )

    @property
    def cell(self) -> Cell:
        """The rover's cell by its odometry."""
        return self.builder.cell(self.state)

    def observe(self) -> dict[str, NDArray[Any]]:
        """The observation of ``nerfbot/Grid-v0``."""
        return self.builder.build(self.state)

    def is_blocked(self, cell: Cell, direction: int) -> bool:
        """Whether a wall or a shut gate is believed to stand in the next cell in ``direction`` (0 to 3)."""
        down, right = list(STEPS.values())[direction]
        there, course = (cell[0] + down, cell[1] + right), self.builder.course
        if self._nerfed.plant.edits.phasing:
            return not (0 < there[0] < course.rows - 1 and 0 < there[1] < course.columns - 1)
        if not course.inside(*there) or self.builder.walls.standing[there]:
            return True
        kind, _, state = self.builder.whole(self.state)[there]
        return bool(kind == GATE and not state & OPEN)


def tracked_objects(nerfed: NerfedPlant) -> list[ObjectPose]:
    """The poses of all objects, as a tracking system over the arena reports them."""
    arena = nerfed.plant.arena
    return [
        ObjectPose(thing.element, *arena.position_of(thing)[:2])
        for thing in arena.things.values()
        if thing.present and thing.element.kind != "marker"
    ]


def gate_poses(nerfed: NerfedPlant) -> list[ObjectPose]:
    """The gates that are left, and whether each is open: every gate reports that itself."""
    arena = nerfed.plant.arena
    return [
        ObjectPose(gate.element, *arena.course.centre(*gate.element.position), gate.risen < 0.5)
        for gate in arena.gates
        if not gate.removed
    ]
