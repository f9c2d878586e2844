"""A scripted driver: follows a course's route, goes for the goal where it sees it, and searches where not.

It knows the course's floor plan and route, and otherwise only the readings that it is given. It asks for no
leases; episode.py does, and runs whole episodes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nerfbot.angles import wrap_angle
from nerfbot.course import Course
from nerfbot.course.course import Waypoint

from ..physics.arena_builder import CHEST
from ..plant.sensors import Readings
from ..robots.description import LidarModel, RobotDescription
from .navigation import MARGIN, FloorMap, Obstacle, Point
from .object_memory import ObjectMemory
from .object_tracker import TrackedObject

Floats = NDArray[np.float64]

PHASES = ("drive", "push", "wait", "look", "search", "approach", "done")
"""What a driver can be doing, by name."""

TURN_RATE = 2.4
PUSH_SPEED = 0.35
BACK_SPEED = 0.3
BRAKING = 0.9
"""Deceleration in m/s² that the driver counts on."""

LOOKAHEAD = 0.5
"""How far ahead on its path the driver aims, m."""

ARRIVED = 0.12
"""A waypoint is reached within this distance, m; in passing within twice as much."""

BLOCK_HALF, BLOCK_EXTRA = 0.2, 0.06
GATE_OPEN = 0.6
"""A lidar that looks farther than this (m) where the gate was sees it open."""

TURNING_COST = 0.6
"""Metres of driving that turning by a radian is worth, in choosing where to search next."""

_TURN_FROM, _TURN_TO = 0.7, 0.2
_STUCK_STEPS = 40
_REPLAN = 20


class ScriptedDriver:
    """Drives one episode on ``course``; a new episode needs a new driver.

    Args:
        course: whose plan and route it knows. Where drawn objects lie it does not look up.
        speed: the forward speed in m/s that it asks for at most; the nerf decides what comes of it.
        robot: whose lidar it reads.

    """

    def __init__(self, course: Course, speed: float = 1.2, robot: RobotDescription | str = "rover") -> None:
        description = robot if isinstance(robot, RobotDescription) else RobotDescription.load(robot)
        lidar: LidarModel = description.sensors.lidar
        self.course, self.speed = course, speed
        self.phase = "drive"
        self.plan = FloorMap(course)
        half = lidar.field_of_view / 2
        self.memory = ObjectMemory(course, self.plan, lidar.position[0], lidar.range, half)
        self._angles = np.linspace(-half, half, lidar.rays)
        self._goal = course.task.goal
        self._goal_count = sum(self._goal.covers(item) for item in course.elements)
        self._home = {item.id: course.centre(*item.position) for item in course.of("block")}
        self._next = 0
        self._path: list[Point] | None = None
        self._aim: Point | None = None
        self._planned = -_REPLAN
        self._steps = 0
        self._turning = False
        self._turned = 0.0
        self._before: Floats | None = None
        self._open_for = 0
        self._still = 0
        self._backing = 0
        self._unreachable: dict[str, int] = {}

    def act(self, readings: Readings, now: float) -> Floats:
        """The command, linear.x in m/s and angular.z in rad/s, for these readings at ``now`` s."""
        self.memory.update(readings)
        self._steps += 1
        x, y, heading = (float(part) for part in readings.pose)
        self._pose, self._here = (x, y, heading), (x, y)
        self._readings = readings
        command = self._choose()
        command = self._unstick(command)
        self._before = readings.pose.copy()
        return np.array(command)

    def _choose(self) -> tuple[float, float]:
        if self._finished():
            self.phase = "done"
            return 0.0, 0.0
        waypoint = self._waypoint
        if waypoint is None or waypoint.action in ("drive", "look"):
            command = self._approach()
            if command is not None:
                self.phase = "approach"
                return command
        if waypoint is None:
            return self._search()
        handlers = {
            "drive": self._drive,
            "look": self._look,
            "push": self._push,
            "back": self._back,
            "wait_gate": self._wait,
        }
        return handlers[waypoint.action](waypoint)

    def _finished(self) -> bool:
        kind = self._goal.kind
        touched = [name for name in self.memory.taken if name.startswith(kind)]
        return 0 < self._goal_count <= len(touched)

    # What is known

    @property
    def _waypoint(self) -> Waypoint | None:
        route = self.course.route
        return route[self._next] if self._next < len(route) else None

    def _advance(self) -> None:
        self._next += 1
        self._path = None
        self._turning, self._turned, self._open_for = False, 0.0, 0

    def _obstacles(self, gates: bool = False, but: str = "") -> list[Obstacle]:
        """Blocks and chests where they were seen last, and the gates where they are to count as shut."""
        found = []
        for name, home in self._home.items():
            item = self.memory.objects.get(name)
            place = home if item is None else (item.x, item.y)
            found.append(Obstacle.around(*place, BLOCK_HALF, BLOCK_EXTRA))
        for item in self.memory.objects.values():
            if item.kind == "chest" and item.id != but:
                found.append(Obstacle.around(item.x, item.y, CHEST[0], BLOCK_EXTRA))
        if gates:
            found += [self.plan.cell_box(item.position) for item in self.course.of("gate")]
        return found

    def _targets(self) -> list[TrackedObject]:
        """What is in memory and worth driving to now, the nearest first."""
        goal, memory = self._goal, self.memory
        wanted = "key" if goal.kind == "chest" and memory.keys <= 0 else goal.kind
        return sorted(
            (
                item
                for item in memory.objects.values()
                if item.kind == wanted
                and goal.colour in (None, item.colour)
                and (wanted == "key" or goal.shape in (None, item.shape))
            ),
            key=lambda item: math.dist(self._here, (item.x, item.y)),
        )

    # What is done

    def _approach(self) -> tuple[float, float] | None:
        """Drive to a goal that was seen, if there is a way to it now."""
        for item in self._targets():
            if self._unreachable.get(item.id, -1) > self._steps:
                continue
            solid = item.kind == "chest"
            command = self._go((item.x, item.y), gates=True, but=item.id, reach=0.35 if solid else 0.1)
            if command is None:
                self._unreachable[item.id] = self._steps + _REPLAN
                continue
            if math.dist(self._here, (item.x, item.y)) < 0.6:
                self._path = None
                return self._steer((item.x, item.y), 0.25 if solid else self.speed, stop=not solid)
            return command
        return None

    def _search(self) -> tuple[float, float]:
        """Drive to places that have not been looked at, the nearest and straightest ahead first."""
        self.phase = "search"
        if self._aim is None or self.course.cell_of(*self._aim) not in self.memory.unseen or not self._path:
            if not self.memory.unseen:
                self.memory.forget_places()
            self._clearance = self.plan.clearance(self._obstacles(gates=True))
            path = self.plan.path(self._clearance, self._here, self._unseen_places())
            if path is None:
                self.memory.forget_places()
                return 0.0, TURN_RATE / 2
            self._aim, self._path, self._planned = path[-1], path, self._steps
        return self._follow(stop=False)

    def _unseen_places(self) -> list[Point]:
        """The best unseen place in a straight line, if there is one; else all that are unseen."""
        places = [self.course.centre(*cell) for cell in sorted(self.memory.unseen)]

        def effort(place: Point) -> float:
            dx, dy = place[0] - self._here[0], place[1] - self._here[1]
            return math.hypot(dx, dy) + TURNING_COST * abs(wrap_angle(math.atan2(dy, dx) - self._pose[2]))

        for place in sorted(places, key=effort)[:8]:
            if self.plan.line_clearance(self._clearance, self._here, place) >= MARGIN:
                return [place]
        return places

    def _drive(self, waypoint: Waypoint) -> tuple[float, float]:
        self.phase = "drive"
        goal = self.course.centre(waypoint.row, waypoint.column)
        last = self._next + 1 == len(self.course.route)
        passing = not last and self.course.route[self._next + 1].action == "drive"
        if math.dist(self._here, goal) < (2 * ARRIVED if passing else ARRIVED):
            self._advance()
        return self._go(goal, stop=not passing) or (0.0, 0.0)

    def _look(self, waypoint: Waypoint) -> tuple[float, float]:
        """Go there, then turn far enough that nothing around stays unseen."""
        if not self._turned and math.dist(self._here, self.course.centre(waypoint.row, waypoint.column)) > (
            2 * ARRIVED
        ):
            return self._drive_to(waypoint)
        self.phase = "look"
        if self._before is not None:
            self._turned += abs(wrap_angle(self._pose[2] - float(self._before[2])))
        self._turned = max(self._turned, 1e-9)
        if self._turned > 2 * math.pi - 2 * self.memory.half_view + 0.3:
            self._advance()
        return 0.0, TURN_RATE

    def _drive_to(self, waypoint: Waypoint, stop: bool = True) -> tuple[float, float]:
        self.phase = "drive"
        return self._go(self.course.centre(waypoint.row, waypoint.column), stop=stop) or (0.0, 0.0)

    def _push(self, waypoint: Waypoint) -> tuple[float, float]:
        """Push straight ahead along the line to the waypoint."""
        self.phase = "push"
        goal = self.course.centre(waypoint.row, waypoint.column)
        before = self.course.route[self._next - 1] if self._next else None
        start = self.course.centre(before.row, before.column) if before else self._here
        ux, uy = goal[0] - start[0], goal[1] - start[1]
        length = math.hypot(ux, uy)
        ux, uy = ux / length, uy / length
        along = (self._here[0] - start[0]) * ux + (self._here[1] - start[1]) * uy
        if length - along < ARRIVED / 2:
            self._advance()
        ahead = along + 0.5
        return self._steer((start[0] + ux * ahead, start[1] + uy * ahead), PUSH_SPEED, stop=False)

    def _back(self, waypoint: Waypoint) -> tuple[float, float]:
        """Reverse to the waypoint without turning round."""
        self.phase = "drive"
        goal = self.course.centre(waypoint.row, waypoint.column)
        dx, dy = self._here[0] - goal[0], self._here[1] - goal[1]
        forward = dx * math.cos(self._pose[2]) + dy * math.sin(self._pose[2])
        if forward < ARRIVED / 2:
            self._advance()
            return 0.0, 0.0
        off = wrap_angle(math.atan2(dy, dx) - self._pose[2])
        return -BACK_SPEED, max(-0.5, min(0.5, off)) if forward > 0.2 else 0.0

    def _wait(self, waypoint: Waypoint) -> tuple[float, float]:
        """Stand before the gate until the lidar looks through it, then go on to the next waypoint."""
        goal = self.course.centre(waypoint.row, waypoint.column)
        following = self.course.route[self._next + 1]
        beyond = self.course.centre(following.row, following.column)
        direction = math.atan2(beyond[1] - goal[1], beyond[0] - goal[0])
        spot = (goal[0] - 0.04 * math.cos(direction), goal[1] - 0.04 * math.sin(direction))
        dx, dy = spot[0] - self._here[0], spot[1] - self._here[1]
        if not self._turned:
            if math.hypot(dx, dy) > 0.06 and dx * math.cos(direction) + dy * math.sin(direction) > 0.0:
                self.phase = "drive"
                if math.hypot(dx, dy) < 0.3:
                    return self._steer(spot, 0.4, stop=True)
                return self._go(spot) or (0.0, 0.0)
            self._turned = 1e-9
        self.phase = "wait"
        off = wrap_angle(direction - self._pose[2])
        if abs(off) < 0.3 and self._through_gate(off):
            self._open_for += 1
        else:
            self._open_for = 0
        if self._open_for >= 3:
            self._advance()
        return 0.0, 2.0 * off if abs(off) > 0.03 else 0.0

    def _through_gate(self, off: float) -> bool:
        rays = self._readings.lidar[np.abs(self._angles - off) < 0.3]
        return float(np.median(rays)) > GATE_OPEN

    # How it is driven

    def _go(
        self, goal: Point, stop: bool = True, gates: bool = False, but: str = "", reach: float = 0.1
    ) -> tuple[float, float] | None:
        """Drive to ``goal`` around what is known to stand in the way; None if there is no way."""
        moved = self._aim is None or math.dist(self._aim, goal) > 0.15
        if self._path is None or moved or self._steps - self._planned >= _REPLAN:
            self._clearance = self.plan.clearance(self._obstacles(gates, but))
            self._path = self.plan.path(self._clearance, self._here, [goal], reach)
            self._aim, self._planned = goal, self._steps
            if self._path is None:
                return None
            self._path.append(goal)
        return self._follow(stop)

    def _follow(self, stop: bool) -> tuple[float, float]:
        """Pursue the path: aim at its farthest point within the lookahead that lies in free sight."""
        path = self._path or [self._here]
        nearest = min(range(len(path)), key=lambda k: math.dist(path[k], self._here))
        target = path[nearest]
        left = sum(math.dist(a, b) for a, b in zip(path[nearest:], path[nearest + 1 :], strict=False))
        free = min(0.24, self.plan.at(self._clearance, *self._here) - 0.02)
        for point in path[nearest:]:
            far = math.dist(point, self._here) > LOOKAHEAD
            if (
                self.plan.line_clearance(self._clearance, self._here, point) < free
                and target != path[nearest]
            ):
                break
            target = point
            if far:
                break
        left = max(left, math.dist(self._here, path[-1]))
        return self._steer(target, self.speed, stop, left)

    def _steer(
        self, target: Point, speed: float, stop: bool, left: float | None = None
    ) -> tuple[float, float]:
        """Turn towards ``target`` (m) and drive at up to ``speed`` m/s; ``left`` m remain to the end."""
        dx, dy = target[0] - self._here[0], target[1] - self._here[1]
        off = wrap_angle(math.atan2(dy, dx) - self._pose[2])
        if math.hypot(dx, dy) < 0.02:
            off = 0.0
        self._turning = abs(off) > (_TURN_TO if self._turning else _TURN_FROM)
        turn = max(-TURN_RATE, min(TURN_RATE, 2.6 * off))
        if self._turning:
            return 0.0, turn
        if stop:
            left = math.hypot(dx, dy) if left is None else left
            speed = min(speed, max(0.08, math.sqrt(2 * BRAKING * max(0.0, left - 0.03)) - 0.1))
        return speed * max(0.25, 1.0 - abs(off) / 0.8), turn

    def _unstick(self, command: tuple[float, float]) -> tuple[float, float]:
        """Back off for a moment where the robot does not move though it ought to, beside an obstacle."""
        if self._backing:
            self._backing -= 1
            return -BACK_SPEED, 0.0
        if self._before is None or self.phase in ("push", "wait", "look", "done"):
            self._still = 0
            return command
        moved = math.dist(self._here, self._before[:2]) > 0.002
        turned = abs(wrap_angle(self._pose[2] - float(self._before[2]))) > 0.005
        self._still = 0 if moved or turned else self._still + 1
        if self._still > _STUCK_STEPS:
            self._still, self._path = 0, None
            if self.plan.at(self.plan.clearance(self._obstacles()), *self._here) < 0.3:
                self._backing = 12
        return command
