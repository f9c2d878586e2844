"""Teleoperation: a leader arm, moved by hand, commands a nerfed follower through its driver.

The leader's torque stays off. Its positions go through the nerf as any policy's commands do, and the driver
bounds the result. A leader that does not answer sends no commands, and the driver stops.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nerfbot.limits import ActuatorLimiter, NerfSpec

from ..bus.bus import MARGIN
from ..datagram import Mailbox, private_path
from ..errors import InvalidServo, PortError
from ..robot import ServoRobot
from ..safety.permit import PermitSource
from .child import start_driver
from .service import PERMIT_SOCKET, SHUTDOWN_TIME, DriverConfig
from .servo_arm import ServoArm
from .setup import check_units, open_bus, torque_off

LEADER_JUMP, LEADER_SPEED, LEADER_SILENCE = 1.0, 20.0, 0.1
"""A leader's joint may be this far (rad) from where it was, and further at this speed (rad/s) for the time
since its last answer, at most this long (s). A turn of an encoder is 6.3 rad.
"""

PERMIT_VALID = 0.2
"""How long one permit of a teleoperation holds, s."""


class LeaderArm:
    """The arm ``robot`` on ``port`` with its torque off; close it when done.

    Raises what `open_bus` does, and `NoReply` where a servo does not confirm that its torque is off.
    """

    def __init__(self, robot: ServoRobot, port: str, margin: float = MARGIN) -> None:
        self.robot, self._bus = robot, open_bus(robot, port, margin)
        try:
            check_units(self._bus, robot)
            torque_off(self._bus)
        except BaseException:
            self._bus.close()
            raise
        self._blocks = {
            joint.id: joint.servo.block("present_position", "present_position") for joint in robot.joints
        }

    def read(self) -> list[float] | None:
        """Positions in the order of the joints, rad; None where a joint does not answer."""
        try:
            replies = self._bus.read_blocks(self._blocks)
        except PortError:
            return None
        if len(replies) < len(self._blocks):
            return None
        return [
            joint.radians(joint.servo.register("present_position").decode(replies[joint.id].data))
            for joint in self.robot.joints
        ]

    def close(self) -> None:
        """Close the port."""
        self._bus.close()


class Teleoperation:
    """``leader`` commands ``arm`` under ``spec``; call `step` again and again, the driver sets the pace.

    Each step calls ``permit`` with the number of the latch to clear, or None. ``problem``: why the leader's
    positions are not believed, "" where they are. Raises what `ActuatorLimiter` does.
    """

    def __init__(
        self, leader: LeaderArm, arm: ServoArm, spec: NerfSpec, permit: Callable[[int | None], Any]
    ) -> None:
        self.problem = ""
        self._clear: int | None = None
        self._last: tuple[float, list[float]] | None = None
        self.leader, self.arm, self._permit = leader, arm, permit
        robot = arm.robot
        self._limiter = ActuatorLimiter(spec, arm.channels, envelope=robot.hard_limits(), period=robot.period)
        self._following = False

    def step(self) -> dict[str, Any]:
        """Send a permit, wait for the driver's next state, and command the leader's positions.

        Until the driver follows commands, the follower is to stay where it is. Returns the state; raises
        `BusError` where the driver sends none.
        """
        self._permit(self._clear)
        state = self.arm.read()
        if not state["latched"]:
            self._clear = None
        command = self._believed(self.leader.read(), time.monotonic())
        if command is None:
            self._following = False
            return state
        if state["phase"] != "run":
            self._following = False
            self.arm.actuate(state["position"])
            return state
        if not self._following:
            self._following = True
            self._limiter.reset()
        limited = self._limiter.apply(
            np.array([command]), self.arm.measured(), state["now"], np.array([state["levels"]])
        )
        self.arm.actuate(limited.value[0])
        return state

    def clear(self) -> None:
        """Clear the driver's latch: permits carry its number until it is gone, or another one comes."""
        state = self.arm.state
        self._clear = state["latch"] if state.get("latched") else None

    def _believed(self, command: list[float] | None, now: float) -> list[float] | None:
        """``command``, or None where a joint is further from where it was than a hand can have turned it.

        Its encoder has passed the end of its turn, and the follower would sweep through all of it.
        """
        if command is None:
            return None
        if self._last is not None:
            then, before = self._last
            reach = LEADER_JUMP + LEADER_SPEED * min(now - then, LEADER_SILENCE)
            for name, position, old in zip(self.leader.robot.names, command, before, strict=True):
                if abs(position - old) > reach:
                    self.problem = (
                        f"leader: {name} jumped from {old:.2f} to {position:.2f} rad: it passed the end of"
                        " its encoder's turn; turn it back, or calibrate the leader"
                    )
                    return None
        self.problem, self._last = "", (now, command)
        return command


@contextlib.contextmanager
def teleoperating(
    leader: ServoRobot,
    leader_port: str,
    follower: ServoRobot,
    port: str,
    spec: NerfSpec,
    folder: Path,
    supervised: bool = False,
    margin: float = MARGIN,
) -> Iterator[Teleoperation]:
    """A leader, a driver for the follower with its sockets in ``folder``, and the teleoperation of the two.

    Unless ``supervised``, each step permits the follower to move for `PERMIT_VALID` s. At the end the driver
    stops the follower and lets it down. Raises `InvalidServo` where the two have different joints, and what
    opening either arm does.
    """
    if leader.names != follower.names:
        raise InvalidServo(
            f"leader: its joints are {', '.join(leader.names)}, the follower's {', '.join(follower.names)}"
        )
    with contextlib.ExitStack() as stack:
        leader_arm = stack.enter_context(contextlib.closing(LeaderArm(leader, leader_port, margin)))
        driver = start_driver(DriverConfig(follower, spec, port, folder, folder / "audit.jsonl", margin))
        stack.callback(driver.terminate, SHUTDOWN_TIME + follower.release_s + 1.0)
        arm = stack.enter_context(ServoArm(follower, folder))
        mailbox = stack.enter_context(contextlib.closing(Mailbox(private_path(folder / PERMIT_SOCKET))))
        source = PermitSource(PERMIT_VALID)

        def permit(clear: int | None) -> None:
            if not supervised:
                mailbox.send(source.next(clear=clear).encode(), folder / PERMIT_SOCKET)

        yield Teleoperation(leader_arm, arm, spec, permit)
