"""What the robot senses of the world: lidar, detections, camera, odometry, IMU and joints, through fog.

Readings are ideal; noise, latency and shorter ranges belong to the limits layer. A reading costs one
``rayTestBatch`` and a few array operations.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.angles import wrap_angle
from nerfbot.limits.compiled import compiled

from ..physics.arena_state import Arena, Thing
from ..physics.client import CONTROL_STEP, GRAVITY
from ..physics.fog import Fog
from ..robots.robot import Robot

Floats = NDArray[np.float64]

DETECTED = ("coin", "decoy", "key", "chest", "marker", "block", "fragile")
"""Kinds that the object detector reports."""

FOG_COLOUR = np.array([205.0, 211.0, 217.0])
NEAR = 0.02
"""The camera's near plane, m."""


@compiled
def ray_ends(
    rays: np.ndarray,
    a: float,
    b: float,
    d: float,
    e: float,
    g: float,
    h: float,
    x: float,
    y: float,
    z: float,
    starts: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Where rays from (x, y, z) m end in the world; ``rays`` (rays, 2) are their ends in the body's plane,
    ``a`` to ``h`` the first two columns of its rotation.

    Written into ``ends`` (at least rays, 3) m, whose further rows stay; ``starts``, as long, gets (x, y, z).
    """
    for row in range(len(starts)):
        starts[row, 0], starts[row, 1], starts[row, 2] = x, y, z
    for ray in range(len(rays)):
        ahead, left = rays[ray]
        ends[ray, 0] = a * ahead + b * left + x
        ends[ray, 1] = d * ahead + e * left + y
        ends[ray, 2] = g * ahead + h * left + z


class Detection(NamedTuple):
    """An object in sight, from the lidar: bearing in rad from straight ahead (left > 0), distance in m."""

    id: str
    kind: str
    colour: str
    shape: str
    bearing: float
    distance: float


Identity = tuple[str, str, str, str]
"""The first fields of a `Detection`: id, kind, colour, shape."""


def _identity(thing: Thing) -> Identity:
    item = thing.element
    return item.id, item.kind, getattr(item, "colour", ""), getattr(item, "shape", "")


class Readings(NamedTuple):
    """One set of readings at a control step; `of` makes them of their parts.

    ``numbers`` holds all but the objects end to end, the lidar's ``rays`` first; the properties are views of
    it. ``objects``: what the detector sees.
    """

    numbers: Floats
    rays: int
    objects: tuple[Detection, ...]

    @classmethod
    def of(
        cls,
        lidar: Floats,
        pose: Floats,
        twist: Floats,
        imu: Floats,
        joints: Floats,
        objects: tuple[Detection, ...],
    ) -> Readings:
        """Readings with copies of these arrays, which have the properties' shapes."""
        return cls(np.concatenate([lidar, pose, twist, imu, np.ravel(joints)]), len(lidar), objects)

    @property
    def lidar(self) -> Floats:
        """Distances (rays,) m, from right to left, inf where nothing is within range (REP-117)."""
        return self.numbers[: self.rays]

    @property
    def pose(self) -> Floats:
        """Place and heading (3,): x m, y m, rad."""
        return self.numbers[self.rays : self.rays + 3]

    @property
    def twist(self) -> Floats:
        """Forward m/s and yaw rate rad/s (2,)."""
        return self.numbers[self.rays + 3 : self.rays + 5]

    @property
    def imu(self) -> Floats:
        """Specific force m/s² and angular rate rad/s in body axes (6,)."""
        return self.numbers[self.rays + 5 : self.rays + 11]

    @property
    def joints(self) -> Floats:
        """Positions and velocities (2, joints)."""
        return self.numbers[self.rays + 11 :].reshape(2, -1)


class Sensors:
    """The sensors of one robot in one arena; ``read`` after the robot's own ``read``."""

    def __init__(self, robot: Robot, arena: Arena) -> None:
        self.robot, self.arena, self.client = robot, arena, robot.client
        lidar = robot.description.sensors.lidar
        half = lidar.field_of_view / 2
        full = lidar.field_of_view > 2 * math.pi - 1e-9
        angles = np.linspace(-half, half, lidar.rays, endpoint=not full) if lidar.rays > 1 else np.zeros(1)
        self.angles: Floats = angles
        """Direction of each ray in rad from straight ahead, left > 0; shape (rays,)."""
        self.range, self._half_view, self._mount = lidar.range, half, lidar.position
        self._rays = np.stack([np.cos(angles), np.sin(angles)], axis=1) * self.range
        camera = robot.description.sensors.camera
        aspect = camera.width / camera.height
        vertical = 2.0 * math.atan(math.tan(camera.field_of_view / 2) / aspect)
        self._projection = self.client.computeProjectionMatrixFOV(
            math.degrees(vertical), aspect, NEAR, camera.range
        )
        across = np.linspace(1.0, -1.0, camera.width) * math.tan(camera.field_of_view / 2)
        self._columns = np.arctan(across)
        self._camera = camera
        self._fog = Fog(arena.course)
        self.restart()

    def restart(self) -> None:
        """Begin an episode: no last velocity, the objects and the fog of the arena's course."""
        self._fog.restart(self.arena.course)
        things = [thing for thing in self.arena.things.values() if thing.element.kind in DETECTED]
        self._targets = [(thing, _identity(thing)) for thing in things]
        self._last_velocity: tuple[float, float, float] | None = None
        self._allocate()

    def _allocate(self) -> None:
        """Allocate where rays start and end, those of the lidar first, and their directions, those of the
        lidar last; one each for every thing that can be detected.
        """
        self._starts, self._ends = np.zeros((2, len(self._rays) + len(self._targets), 3))
        self._angles = np.concatenate([np.zeros(len(self._targets)), self.angles])

    def add(self, thing: Thing) -> None:
        """Make a thing detectable that an edit has put into the world."""
        self._targets.append((thing, _identity(thing)))
        self._allocate()

    def read(self, sensing: float = 0.0) -> Readings:
        """Read everything but the camera; ``sensing`` is the sensing lift in [0, 1], for fog."""
        state = self.robot.state
        a, b, c, d, e, f, g, h, i = state.rotation
        px, py, pz = state.position
        mx, my, mz = self._mount
        ox, oy, oz = (
            px + a * mx + b * my + c * mz,
            py + d * mx + e * my + f * mz,
            pz + g * mx + h * my + i * mz,
        )
        reach = self.range
        rays = len(self._rays)
        aimed = self._aim(ox, oy, oz, state.heading)
        # Arrays: PyBullet takes lists of points apart number by number
        starts, ends = self._starts[: rays + len(aimed)], self._ends[: rays + len(aimed)]
        ray_ends(self._rays, a, b, d, e, g, h, ox, oy, oz, starts, ends)
        hits = self.client.rayTestBatch(starts, ends)
        visible = [
            Detection(*identity, bearing, distance)
            for (body, identity, bearing, distance), hit in zip(aimed, hits[rays:], strict=True)
            if hit[0] in (-1, body)
        ]
        vx, vy, vz = state.velocity
        velocity = (a * vx + b * vy + c * vz, d * vx + e * vy + f * vz, g * vx + h * vy + i * vz)
        lx, ly, lz = self._last_velocity or velocity
        self._last_velocity = velocity
        ax, ay = (velocity[0] - lx) / CONTROL_STEP, (velocity[1] - ly) / CONTROL_STEP
        az = (velocity[2] - lz) / CONTROL_STEP + GRAVITY
        force = (a * ax + d * ay + g * az, b * ax + e * ay + h * az, c * ax + f * ay + i * az)
        values = [hit[2] * reach if hit[2] < 1.0 else math.inf for hit in hits[:rays]]
        values += [px, py, state.heading, vx, state.rates[2], *force, *state.rates]
        values += [joint[0] for joint in state.joints]
        values += [joint[1] for joint in state.joints]
        if not self._fog.near(ox, oy, reach):
            return Readings(np.array(values), rays, tuple(visible))
        count = len(visible)
        numbers = np.array([item.distance for item in visible] + values)
        angles, distances = self._angles[-count - rays :], numbers[: count + rays]
        angles[:count] = [item.bearing for item in visible]
        self._fog.hide(distances, ox, oy, angles, state.heading, reach, sensing)
        clear = [item for item, far in zip(visible, distances[:count], strict=True) if far < math.inf]
        return Readings(numbers[count:], rays, tuple(clear))

    def _aim(self, x: float, y: float, z: float, heading: float) -> list[tuple[int, Identity, float, float]]:
        """Aim a ray at what is within range and view of a lidar at (x, y, z) m, after the lidar's own rays;
        the body and the fields of the `Detection` of each.
        """
        aimed: list[tuple[int, Identity, float, float]] = []
        position_of, reach, ends = self.arena.position_of, self.range, self._ends
        row = len(self._rays)
        for thing, identity in self._targets:
            if not thing.present:
                continue
            tx, ty, _ = position_of(thing)
            dx, dy = tx - x, ty - y
            distance = math.hypot(dx, dy)
            if distance > reach:
                continue
            bearing = wrap_angle(math.atan2(dy, dx) - heading)
            if abs(bearing) <= self._half_view:
                ends[row, 0], ends[row, 1], ends[row, 2] = tx, ty, z
                row += 1
                aimed.append((thing.body, identity, bearing, distance))
        return aimed

    def camera(self, sensing: float = 0.0) -> NDArray[np.uint8]:
        """A frame from the robot's camera, uint8 (height, width, 3); what fog hides has the fog's colour."""
        camera, client, state = self._camera, self.client, self.robot.state
        rotation = np.array(state.rotation).reshape(3, 3)
        eye = np.array(state.position) + rotation @ np.array(camera.position)
        ahead = rotation @ np.array((math.cos(camera.pitch), 0.0, -math.sin(camera.pitch)))
        view = client.computeViewMatrix(eye.tolist(), (eye + ahead).tolist(), rotation[:, 2].tolist())
        _, _, pixels, depth, _ = client.getCameraImage(
            camera.width,
            camera.height,
            view,
            self._projection,
            shadow=0,
            lightDirection=(2.0, 3.0, 8.0),
            renderer=client.ER_TINY_RENDERER,
            flags=client.ER_NO_SEGMENTATION_MASK,
        )
        image = np.asarray(pixels, np.uint8).reshape(camera.height, camera.width, 4)[..., :3].copy()
        if self._fog.near(eye[0], eye[1], camera.range):
            bearings = self._columns + state.heading
            limits = self._fog.limits(eye[0], eye[1], bearings, camera.range, sensing)
            buffer = np.asarray(depth, np.float64).reshape(camera.height, camera.width)
            forward = camera.range * NEAR / (camera.range - (camera.range - NEAR) * buffer)
            distance = forward / np.cos(self._columns)
            image[distance > limits] = FOG_COLOUR.astype(np.uint8)
        return image
