"""What moving from a cell into the next asks of a body: force on slopes and edges, and the time of a gate.

The solver and the grid's levels read the same rules, so that what is proved about a course is what the grid
does. The scripted driver of the simulated robots does not read them.
"""

from __future__ import annotations

import math

from nerfbot.course.capability import Capability
from nerfbot.course.course import Cell, Course
from nerfbot.course.elements import STEPS, Gate, Ramp, Step

OPPOSITE = {"east": "west", "west": "east", "north": "south", "south": "north"}


class Relief:
    """Ramps and steps of a course, as forces that a body needs to move over them."""

    def __init__(self, course: Course, able: Capability) -> None:
        self.cell, self.able = course.cell, able
        self.ground = {item.position: item for item in course.elements if isinstance(item, Ramp | Step)}

    def force(self, here: Cell, direction: str) -> float:
        """Force in N that the drive needs from the centre of ``here`` to that of the next cell.

        Infinite where the edge is as high as the axle, or where the drop is deeper than a wheel's radius.
        """
        down, right = STEPS[direction]
        there = (here[0] + down, here[1] + right)
        if here not in self.ground and there not in self.ground:
            return 0.0
        rise = self._edge(there, OPPOSITE[direction]) - self._edge(here, direction)
        if rise < -self.able.body.wheel_radius:
            return math.inf
        force = self.able.step_force(rise)
        for cell in (here, there):
            ramp = self.ground.get(cell)
            if isinstance(ramp, Ramp) and ramp.direction == direction:
                force = max(force, self.able.slope_force(ramp.height, self.cell))
        return force

    def _edge(self, cell: Cell, side: str) -> float:
        """Height of the ground in m at one edge of a cell; a ramp's flank counts as its high end."""
        ground = self.ground.get(cell)
        if ground is None:
            return 0.0
        if isinstance(ground, Step):
            return ground.height
        return ground.base + (0.0 if side == OPPOSITE[ground.direction] else ground.height)


def arrival_through(gate: Gate, now: float, pace: float, side: float, length: float) -> float:
    """When a body that sets out at ``now`` (s) from the cell before a gate is at the gate's centre, in s.

    It waits with its front at the gate while that is shut. A gate never shuts on a body, so that a body which
    is in may stay. ``pace`` in s/m, ``side`` of a cell and ``length`` of the body in m.
    """
    front = now + max(0.0, (side - length) / 2.0) * pace
    if gate.is_open(front):
        return now + side * pace
    opening = gate.next_opening(front)
    return max(now + side * pace, opening + (side + length) / 2.0 * pace)
