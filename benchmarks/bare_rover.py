"""The bare loop that `nerfbot bench sim` is measured against: PyBullet and numpy only, nothing of nerfbot.

In every control step it makes the calls to PyBullet that a plant makes, in the same scene: 12 substeps, each
after a motor command where that changes, and followed by a query of the contacts of the base and of the
fragile bodies that are watched;
the pose, velocity and joint states of the robot, the pose of every movable body, and one batch of rays, as
many as the plant casts. What it does with the answers is the least that any user would: the contact forces
summed by body, the heading, the speed in body axes, the ends of the rays, the lidar's distances, and one
float32 vector of all that as an observation.

Not in it: detection of objects, fog, noise, latency, limits, leases, events, reward, the checks of a command,
gates that move.

Usage: `python benchmarks/bare_rover.py ROVER.urdf SCENE.json` prints control steps a second. A scene has
`bodies` and `chunks`. A body is `{kind, size, position, turn, mass, friction}`: kind "box" with half extents
or "cylinder" with height and radius (m); mass 0 (kg) stands still. A chunk is `{robot, wheels, movable,
standing, commands, efforts, rays, watched}`: the robot's and the movable bodies' [position, quaternion,
velocity, rates] at its beginning, [angle, speed] of each wheel, the places (m) of things that do not move,
and for each step 12 times [m/s, rad/s], the traction cap (N), the number of rays, and which of the movable
bodies have their contacts watched.
"""

from __future__ import annotations

import json
import math
import pathlib
import sys
import time
from typing import Any, NamedTuple

import numpy as np
import pybullet

LIDAR, REACH, MOUNT = 32, 8.0, np.array((0.0571, 0.0, 0.123))
"""The lidar's mount is seen from the base's centre of mass (m), whose pose PyBullet tells."""
LOOSE, STANDING, GROUND, WHEEL = 1, 2, 64, 512
"""Collision groups; what stands still refuses its like."""
RADIUS, TRACK, WHEELS = 0.08, 0.28, [0, 1]
ANGLES = np.linspace(-0.75 * np.pi, 0.75 * np.pi, LIDAR)
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES), np.zeros(LIDAR)])


class World(NamedTuple):
    """A physics client with the robot and the movable bodies in it."""

    client: int
    robot: int
    movable: list[int]


def build(urdf: str, bodies: list[dict[str, Any]]) -> World:
    """Connect, and build floor, bodies and robot."""
    client = pybullet.connect(pybullet.DIRECT)
    pybullet.setGravity(0, 0, -9.81, physicsClientId=client)
    pybullet.setPhysicsEngineParameter(
        fixedTimeStep=1 / 240,
        numSolverIterations=50,
        deterministicOverlappingPairs=1,
        enableConeFriction=1,
        physicsClientId=client,
    )
    plane = pybullet.createCollisionShape(pybullet.GEOM_PLANE, physicsClientId=client)
    floor = pybullet.createMultiBody(0, plane, useMaximalCoordinates=1, physicsClientId=client)
    pybullet.changeDynamics(floor, -1, lateralFriction=1.0, physicsClientId=client)
    pybullet.setCollisionFilterGroupMask(
        floor, -1, STANDING | GROUND, ~(STANDING | GROUND), physicsClientId=client
    )
    movable = []
    for item in bodies:
        mass = item["mass"]
        if item["kind"] == "box":
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_BOX, halfExtents=item["size"], physicsClientId=client
            )
        else:
            height, radius = item["size"]
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_CYLINDER, radius=radius, height=height, physicsClientId=client
            )
        body = pybullet.createMultiBody(
            mass,
            shape,
            basePosition=item["position"],
            baseOrientation=item["turn"],
            useMaximalCoordinates=int(mass == 0),
            physicsClientId=client,
        )
        pybullet.changeDynamics(body, -1, lateralFriction=item["friction"], physicsClientId=client)
        group, refused = (LOOSE, WHEEL) if mass else (STANDING, WHEEL | STANDING | GROUND)
        pybullet.setCollisionFilterGroupMask(body, -1, group, ~refused, physicsClientId=client)
        if mass:
            pybullet.changeDynamics(body, -1, linearDamping=0, angularDamping=0, physicsClientId=client)
            movable.append(body)
    robot = pybullet.loadURDF(
        urdf,
        flags=pybullet.URDF_USE_INERTIA_FROM_FILE | pybullet.URDF_USE_IMPLICIT_CYLINDER,
        physicsClientId=client,
    )
    for wheel in WHEELS:
        pybullet.setCollisionFilterGroupMask(robot, wheel, WHEEL, GROUND, physicsClientId=client)
    return World(client, robot, movable)


def place(world: World, chunk: dict[str, Any]) -> None:
    """Put the robot and the movable bodies where they are at the beginning of ``chunk``, moving as there."""
    client = world.client
    states = zip([world.robot, *world.movable], [chunk["robot"], *chunk["movable"]], strict=True)
    for body, (position, turn, velocity, rates) in states:
        pybullet.resetBasePositionAndOrientation(body, position, turn, physicsClientId=client)
        pybullet.resetBaseVelocity(body, velocity, rates, physicsClientId=client)
    for wheel, (angle, speed) in zip(WHEELS, chunk["wheels"], strict=True):
        pybullet.resetJointState(world.robot, wheel, angle, speed, physicsClientId=client)


def drive(world: World, chunk: dict[str, Any]) -> float:
    """Drive one chunk from where it begins; returns the seconds that its control steps took."""
    place(world, chunk)
    client, robot, movable = world
    standing = chunk["standing"]
    told = zip(chunk["commands"], chunk["efforts"], chunk["rays"], chunk["watched"], strict=True)
    began = time.perf_counter()
    motor: tuple[list[float], float] | None = None
    for twists, effort, rays, watched in told:
        forces: dict[int, float] = {}
        blows: dict[int, float] = {}
        for twist in twists:
            if (twist, effort) != motor:
                motor = (twist, effort)
                forward, turn = twist
                side = turn * TRACK / 2
                pybullet.setJointMotorControlArray(
                    robot,
                    WHEELS,
                    pybullet.VELOCITY_CONTROL,
                    targetVelocities=[(forward - side) / RADIUS, (forward + side) / RADIUS],
                    forces=[effort * RADIUS / 2] * 2,
                    physicsClientId=client,
                )
            pybullet.stepSimulation(physicsClientId=client)
            for point in pybullet.getContactPoints(robot, linkIndexA=-1, physicsClientId=client):
                forces[point[2]] = forces.get(point[2], 0.0) + point[9]
            for number in watched:
                for point in pybullet.getContactPoints(movable[number], physicsClientId=client):
                    blows[number] = blows.get(number, 0.0) + point[9]
        position, turned = pybullet.getBasePositionAndOrientation(robot, physicsClientId=client)
        velocity, rates = pybullet.getBaseVelocity(robot, physicsClientId=client)
        joints = pybullet.getJointStates(robot, WHEELS, physicsClientId=client)
        places = [pybullet.getBasePositionAndOrientation(body, physicsClientId=client)[0] for body in movable]
        x, y, _ = position
        rotation = np.array(pybullet.getMatrixFromQuaternion(turned)).reshape(3, 3)
        heading = math.atan2(rotation[1, 0], rotation[0, 0])
        speed = velocity[0] * math.cos(heading) + velocity[1] * math.sin(heading)
        eye = position + rotation @ MOUNT
        start = eye.tolist()
        ends = (eye + REACH * (rotation @ DIRECTIONS).T).tolist()
        ends += [(place[0], place[1], start[2]) for place in (places + standing)[: rays - LIDAR]]
        hits = pybullet.rayTestBatch([start] * rays, ends, physicsClientId=client)
        distances = REACH * np.array([hit[2] for hit in hits[:LIDAR]])
        np.array(
            [*distances, x, y, heading, speed, rates[2], *(joint[0] for joint in joints)], dtype=np.float32
        )
    return time.perf_counter() - began


if __name__ == "__main__":
    scene = json.loads(pathlib.Path(sys.argv[2]).read_text())
    built = build(sys.argv[1], scene["bodies"])
    seconds = sum(drive(built, chunk) for chunk in scene["chunks"])
    print(sum(len(chunk["commands"]) for chunk in scene["chunks"]) / seconds)
