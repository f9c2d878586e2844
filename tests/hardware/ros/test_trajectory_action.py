"""FollowJointTrajectory as MoveIt calls it, limited by the nerf; needs control_msgs, which wheels lack."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.ros.trajectories import action_type, tolerances_of
from nerfbot.limits import Channel
from tests.hardware.ros.test_trajectories import Arm, seconds, trajectory
from tests.hardware.ros_world import partnered

ARM = (Channel("shoulder", "position", "rad"), Channel("elbow", "position", "rad"))
needs_action = pytest.mark.skipif(action_type() is None, reason="control_msgs is not installed")


def tolerance(name: str, position: float, velocity: float = 0.0) -> Any:
    return SimpleNamespace(name=name, position=position, velocity=velocity, acceleration=0.0)


def goal(**fields: Any) -> Any:
    return SimpleNamespace(
        **{"path_tolerance": [], "goal_tolerance": [], "goal_time_tolerance": seconds(0.0), **fields}
    )


def test_tolerances_of_a_goal_take_the_place_of_the_defaults() -> None:
    given = goal(path_tolerance=[tolerance("elbow", 0.5)], goal_time_tolerance=seconds(1.5))
    path, at_goal, later = tolerances_of(given, ARM, 0.1, 0.0, 3.0)
    assert path.tolist() == [0.1, 0.5]
    assert at_goal.tolist() == [np.inf, np.inf]
    assert later == 1.5
    negative = goal(path_tolerance=[tolerance("elbow", -1.0)])
    assert tolerances_of(negative, ARM, 0.1, 0.0, 3.0).path.tolist() == [0.1, np.inf]
    assert tolerances_of(None, ARM, 0.1, 0.2, 3.0).goal_time == 3.0


@pytest.mark.parametrize(
    ("item", "named"),
    [
        (tolerance("wrist", 0.1), r"path_tolerance\[wrist\]: there is no such joint"),
        (tolerance("elbow", np.nan), r"path_tolerance\[elbow\]\.position = nan"),
        (tolerance("elbow", 0.1, velocity=0.2), r"velocity = 0.2: only positions are checked"),
    ],
)
def test_a_tolerance_that_cannot_be_checked_is_refused_by_name(item: Any, named: str) -> None:
    with pytest.raises(InvalidCommand, match=named):
        tolerances_of(goal(path_tolerance=[item]), ARM, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def arm() -> Iterator[Arm]:
    yield from partnered(Arm)


def send(arm: Arm, message: Any, **more: Any) -> tuple[Any, Any, list[Any]]:
    """A goal's handle, the future of its result, and its feedback."""
    from rclpy.action import ActionClient

    client = ActionClient(arm.node, action_type(), "follow_joint_trajectory")
    arm.until(client.server_is_ready)
    feedback: list[Any] = []
    sent = client.send_goal_async(action_type().Goal(trajectory=message, **more), feedback.append)
    arm.until(sent.done)
    handle = sent.result()
    return handle, handle.get_result_async() if handle.accepted else None, feedback


@needs_action
@pytest.mark.realtime
def test_a_goal_is_followed_within_the_nerf(arm: Arm) -> None:
    wanted = [arm.position[0] + 0.3, arm.position[1]]
    handle, result, feedback = send(arm, trajectory((0.5, wanted)))
    assert handle.accepted
    arm.until(result.done)
    assert result.result().result.error_code == 0
    assert arm.position == pytest.approx(wanted, abs=1e-6)
    assert feedback


@needs_action
@pytest.mark.realtime
def test_a_goal_is_canceled_replaced_or_rejected(arm: Arm) -> None:
    far = [arm.position[0] - 2.0, arm.position[1]]
    _, first, _ = send(arm, trajectory((1.0, far)))
    second, result, _ = send(arm, trajectory((1.0, [arm.position[0] + 1.0, arm.position[1]])))
    arm.until(first.done)
    assert "replaced" in first.result().result.error_string
    second.cancel_goal_async()
    arm.until(result.done)
    assert result.result().result.error_string == "canceled"
    handle, _, _ = send(arm, trajectory((1.0, [9.0, 0.0])))
    assert not handle.accepted
