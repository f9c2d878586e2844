"""The last resort of a driver that ends: it lets the arm down without guards, feedback or log.

`ServoDriver.cycle` does it better, and is tried first; this is for a driver whose own cycle fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from ..bus.bus import Bus
from ..robot import JointConfig, ServoRobot
from .register_limits import position_counts

STEPS = 30
"""In so many steps the effort limits fall to nothing."""


def let_down(
    bus: Bus,
    robot: ServoRobot,
    limits: Mapping[int, Mapping[str, int]],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[str]:
    """Hold every joint where it is, lower its effort limit to nothing in ``release_s``, then torque off.

    It goes on whatever fails. ``limits``: the counts to begin with, by ID and register. Returns the joints
    whose torque is not known to be off.
    """
    began = clock()
    with_torque = []
    for joint in robot.joints:
        on = _tried(bus.read, joint.id, "torque_enable")
        if on != 0:
            with_torque.append(joint)
        if on == 1:  # a goal would switch on the torque of a Feetech without
            _tried(_hold, bus, robot, joint)
    for step in range(1, STEPS + 1):
        _tried(bus.port.try_reopen)
        for joint in with_torque:
            effort = joint.servo.limits["effort"].ram
            _tried(_write, bus, joint, {effort: int(limits[joint.id][effort] * (1.0 - step / STEPS))})
        _tried(sleep, max(0.0, began + robot.release_s * step / STEPS - clock()))
    return [joint.name for joint in robot.joints if not _tried(_off, bus, joint)]


def _hold(bus: Bus, robot: ServoRobot, joint: JointConfig) -> None:
    """Acknowledge a watchdog, which would refuse a goal, and make the goal the measured position."""
    if joint.servo.watchdog is not None:
        bus.write(joint.id, joint.servo.watchdog, 0)
    low, high = position_counts(joint, robot.limits(joint.name))
    present = bus.read(joint.id, "present_position")
    bus.write(joint.id, "goal_position", min(max(present, low), high))


def _write(bus: Bus, joint: JointConfig, values: Mapping[str, int]) -> None:
    bus.write_blocks({joint.id: bus.block_of(joint.id, values)})


def _off(bus: Bus, joint: JointConfig) -> bool:
    bus.write_checked(joint.id, "torque_enable", 0)
    return True


def _tried(call: Callable[..., Any], *arguments: Any) -> Any:
    """What ``call`` returns, or None where it fails."""
    with contextlib.suppress(BaseException):
        return call(*arguments)
    return None
