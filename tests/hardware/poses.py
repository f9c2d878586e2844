"""A grid of poses of a robot on a servo bus."""

from __future__ import annotations

from itertools import product

from nerfbot.hardware.robot import ServoRobot


def poses(robot: ServoRobot, steps: int = 5) -> list[dict[str, float]]:
    """A grid of poses over the ranges of the joints that gravity acts on, rad."""
    spans = []
    for link in robot.gravity:
        limits = robot.limits(link.joint)
        low, high = limits.min_position or 0.0, limits.max_position or 0.0
        spans.append([low + (high - low) * k / (steps - 1) for k in range(steps)])
    names = [link.joint for link in robot.gravity]
    return [dict(zip(names, pose, strict=True)) for pose in product(*spans)]
