"""Collision groups: which bodies of a course meet.

PyBullet lets two bodies collide when *either* accepts the other's group, so both must refuse.
"""

from __future__ import annotations

LOOSE, STATIC = 1, 2
"""What the physics moves, and what stands still."""

GROUND, WALLS = 64, 128
"""The floor, ramps and steps; walls and gates."""

WHEELS, GHOST = 512, 1024
"""A robot's ground links, which meet only the ground; a robot that passes walls."""

STANDING = STATIC | GROUND | WALLS
"""What stands still refuses its like: PyBullet would work out the contacts of a ramp with the floor below it
in every step, 25 times as much work as all the rest.
"""
