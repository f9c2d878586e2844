"""Whole joint trajectories in the nerf: by topic, and by the action FollowJointTrajectory for MoveIt.

The action needs the package control_msgs, which comes with a ROS 2 distribution that has ros2_control.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.task import Future

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel

from ..safety.trajectory_player import CHOICES, STOPPED, SUCCEEDED, Tolerances, TrajectoryPlayer
from .command_messages import trajectory_points
from .parameters import Parameter

PARAMETERS = (
    Parameter(
        "trajectory_limits", "scale", "", f"{' or '.join(CHOICES)} a trajectory that is too fast for the nerf"
    ),
    Parameter("trajectory_action", "follow_joint_trajectory", "", "name of the action; empty: none"),
    Parameter("path_tolerance", 0.0, "rad", "of joints on their path; 0: any", 0.0, 10.0),
    Parameter("goal_tolerance", 0.0, "rad", "of joints at their goal; 0: any", 0.0, 10.0),
    Parameter("goal_time", 0.0, "s", "how much later a goal may be reached; 0: 10 s", 0.0, 600.0),
)
"""Parameters of the nerf about whole trajectories."""


def is_whole(message: Any, timeout: float) -> bool:
    """Whether a `JointTrajectory` is to be followed by itself: it has several points, or a late one (s)."""
    points = message.points
    if len(points) != 1:
        return len(points) > 1
    due = points[0].time_from_start
    return bool(due.sec + 1e-9 * due.nanosec > timeout)


def tolerances_of(
    goal: Any, channels: Sequence[Channel], path: float, at_goal: float, goal_time: float
) -> Tolerances:
    """The tolerances of a FollowJointTrajectory goal (None: of a topic), by default these (0: any).

    As in control_msgs, a tolerance of 0 is the default and a negative one is none. Raises `InvalidCommand`
    for a joint that is not there, a number that is none, and a tolerance of velocity or acceleration.
    """
    rows = []
    for field, default in (("path_tolerance", path), ("goal_tolerance", at_goal)):
        row = {channel.name: default for channel in channels}
        for item in getattr(goal, field, ()):
            place = f"{field}[{item.name}]"
            if item.name not in row:
                raise InvalidCommand(f"{place}: there is no such joint, they are {list(row)}")
            if not math.isfinite(item.position):
                raise InvalidCommand(f"{place}.position = {item.position}: must be finite")
            for part in ("velocity", "acceleration"):
                if getattr(item, part) > 0.0:
                    raise InvalidCommand(
                        f"{place}.{part} = {getattr(item, part):g}: only positions are checked"
                    )
            row[item.name] = max(item.position, 0.0) if item.position else default
        rows.append(np.array([value or math.inf for value in row.values()]))
    time = getattr(goal, "goal_time_tolerance", None)
    later = time.sec + 1e-9 * time.nanosec if time is not None else 0.0
    return Tolerances(rows[0], rows[1], later or goal_time)


class TrajectoryAction:
    """Serves FollowJointTrajectory with a `TrajectoryPlayer`. A new goal replaces the one under way.

    ``node`` gives its clocks and measurements (`NerfNode`).
    """

    def __init__(self, node: Any, player: TrajectoryPlayer, name: str, action: Any) -> None:
        self._node, self._player, self._action = node, player, action
        self._goal: Any = None
        self._done = Future()
        self._pending: dict[bytes, Future] = {}  # what each goal waits for, by its identity
        self._server = ActionServer(
            node,
            action,
            name,
            self._execute,
            goal_callback=self._check,
            handle_accepted_callback=self._accept,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def _check(self, goal: Any) -> Any:
        """Begin to follow the goal, or reject it; the reason is logged and in the diagnostics."""
        done = Future()
        try:
            self._node.begin_trajectory(
                goal.trajectory, goal, "action", 0.0, lambda code, text: done.set_result((code, text))
            )
        except InvalidCommand as error:
            self._node.get_logger().warning(f"trajectory refused: {error}")
            return GoalResponse.REJECT
        self._done = done
        return GoalResponse.ACCEPT

    def _accept(self, handle: Any) -> None:
        self._goal, self._pending[bytes(handle.goal_id.uuid)] = handle, self._done
        handle.execute()

    async def _execute(self, handle: Any) -> Any:
        code, text = await self._pending.pop(bytes(handle.goal_id.uuid))
        if self._goal is handle:
            self._goal = None
        if handle.is_cancel_requested:
            handle.canceled()
        elif code == SUCCEEDED:
            handle.succeed()
        else:
            handle.abort()
        return self._action.Result(error_code=code, error_string=text)

    def step(self) -> None:
        """Cancel the goal under way where that was requested, else send its feedback."""
        if self._goal is None:
            return
        if self._goal.is_cancel_requested:
            self._player.end(STOPPED, "canceled")
            return
        progress = self._player.progress
        if progress is None:
            return
        feedback = self._action.Feedback()
        feedback.header.stamp = self._node.get_clock().now().to_msg()
        feedback.joint_names = [channel.name for channel in self._node.filter.channels]
        due = feedback.desired.time_from_start
        due.sec, due.nanosec = divmod(round(progress.time * 1e9), 1_000_000_000)
        feedback.desired.positions = progress.wanted.tolist()
        feedback.actual.positions = progress.measured.tolist()
        feedback.error.positions = (progress.wanted - progress.measured).tolist()
        self._goal.publish_feedback(feedback)


def points_of(message: Any, channels: Sequence[Channel]) -> dict[str, Any]:
    """As `trajectory_points`, of a message that has points; raises `InvalidCommand` where it has none."""
    if not message.points:
        raise InvalidCommand("points: are empty")
    return trajectory_points(message, channels)


def action_type() -> Any:
    """The class of the action, or None where control_msgs is not installed."""
    try:
        return importlib.import_module("control_msgs.action").FollowJointTrajectory
    except ImportError:
        return None
