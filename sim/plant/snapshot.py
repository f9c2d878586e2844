"""Where every body stood at one moment, so that a run can be drawn later, by several processes at once."""

from __future__ import annotations

from typing import NamedTuple

from .plant import Plant


class Snapshot(NamedTuple):
    """Poses of all bodies, (position m, quaternion), and the robot's joint positions, in PyBullet's order."""

    bodies: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    joints: tuple[float, ...]


def take(plant: Plant) -> Snapshot:
    """Where everything stands now."""
    client, robot = plant.client, plant.robot.body
    ids = [client.getBodyUniqueId(k) for k in range(client.getNumBodies())]
    joints = range(client.getNumJoints(robot))
    return Snapshot(
        tuple(client.getBasePositionAndOrientation(body) for body in ids),
        tuple(client.getJointState(robot, joint)[0] for joint in joints),
    )


def show(plant: Plant, snapshot: Snapshot) -> None:
    """Put everything where it stood; ``plant`` has the same course and robot, and is only drawn after."""
    client, robot = plant.client, plant.robot.body
    for k, (position, orientation) in enumerate(snapshot.bodies):
        client.resetBasePositionAndOrientation(client.getBodyUniqueId(k), position, orientation)
    for joint, angle in enumerate(snapshot.joints):
        client.resetJointState(robot, joint, angle)
    plant.robot.read()
