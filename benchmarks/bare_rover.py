"""The bare loop that `nerfbot bench sim` is measured against: PyBullet and numpy only, nothing of nerfbot.

It builds the boxes it is given, stands the rover among them and makes, in every control step, the calls that
a plant makes: one motor command, 12 substeps each followed by reading the contacts of the base, the poses,
velocities and joint states, and one batch of rays. Usage:

    python benchmarks/bare_rover.py ROVER.urdf SCENE.json

where the scene has `boxes`, `start` [x, y, z], `targets` (extra rays), `steps`, and for each step `commands`
[m/s, rad/s] and `efforts` (N), which the first steps use once more to warm up.
A box is `[x, y, z, half x, half y, half z, mass, friction]`; mass 0 stands still. It prints steps a second.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import numpy as np
import pybullet

SUBSTEPS, RAYS, REACH, RADIUS, TRACK = 12, 32, 8.0, 0.08, 0.28


def build(urdf: str, scene: dict) -> tuple[int, int, list[int]]:
    """Connect and build; returns client, robot body and the movable bodies."""
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
    pybullet.setCollisionFilterGroupMask(floor, -1, 2 | 64, -1, physicsClientId=client)
    movable = []
    for x, y, z, a, b, c, mass, friction in scene["boxes"]:
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_BOX, halfExtents=(a, b, c), physicsClientId=client
        )
        body = pybullet.createMultiBody(
            mass, shape, basePosition=(x, y, z), useMaximalCoordinates=int(mass == 0), physicsClientId=client
        )
        pybullet.changeDynamics(body, -1, lateralFriction=friction, physicsClientId=client)
        pybullet.setCollisionFilterGroupMask(body, -1, 1 if mass else 2, ~512, physicsClientId=client)
        if mass:
            movable.append(body)
    robot = pybullet.loadURDF(
        urdf,
        scene["start"],
        flags=pybullet.URDF_USE_INERTIA_FROM_FILE | pybullet.URDF_USE_IMPLICIT_CYLINDER,
        physicsClientId=client,
    )
    for wheel in (0, 1):
        pybullet.setCollisionFilterGroupMask(robot, wheel, 512, 64, physicsClientId=client)
    return client, robot, movable


def run(urdf: str, scene: dict) -> float:
    """Control steps a second over ``scene["steps"]`` steps, after a tenth as many to warm up."""
    client, robot, movable = build(urdf, scene)
    angles = np.linspace(-0.75 * np.pi, 0.75 * np.pi, RAYS)
    commands, efforts = scene["commands"], scene["efforts"]
    count = RAYS + scene["targets"]
    began = time.perf_counter()
    for step in range(-(scene["steps"] // 10), scene["steps"]):
        if step == 0:
            began = time.perf_counter()
        (forward, turn), effort = commands[step], efforts[step]
        side = turn * TRACK / 2
        pybullet.setJointMotorControlArray(
            robot,
            [0, 1],
            pybullet.VELOCITY_CONTROL,
            targetVelocities=[(forward - side) / RADIUS, (forward + side) / RADIUS],
            forces=[effort * RADIUS / 2] * 2,
            physicsClientId=client,
        )
        for _ in range(SUBSTEPS):
            pybullet.stepSimulation(physicsClientId=client)
            pybullet.getContactPoints(robot, linkIndexA=-1, physicsClientId=client)
        position, turned = pybullet.getBasePositionAndOrientation(robot, physicsClientId=client)
        pybullet.getBaseVelocity(robot, physicsClientId=client)
        pybullet.getJointStates(robot, [0, 1], physicsClientId=client)
        for body in movable:
            pybullet.getBasePositionAndOrientation(body, physicsClientId=client)
        heading = pybullet.getEulerFromQuaternion(turned)[2]
        ends = np.empty((count, 3))
        ends[:RAYS, 0] = position[0] + REACH * np.cos(angles + heading)
        ends[:RAYS, 1] = position[1] + REACH * np.sin(angles + heading)
        ends[RAYS:, :2] = position[:2]
        ends[:, 2] = 0.2
        origin = (position[0], position[1], 0.2)
        pybullet.rayTestBatch([origin] * count, ends.tolist(), physicsClientId=client)
    seconds = time.perf_counter() - began
    pybullet.disconnect(physicsClientId=client)
    return scene["steps"] / seconds


if __name__ == "__main__":
    print(run(sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text())))
