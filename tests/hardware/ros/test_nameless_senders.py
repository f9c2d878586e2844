"""An rclpy that does not say who sent a message, as in Jazzy: the graph's count of publishers stands in."""

from __future__ import annotations

from typing import Any

import pytest

from nerfbot.hardware.safety.requests import SupervisorClient
from tests.hardware.ros_world import PATIENCE, TWIST_LIMITS, Partner, World, a_world

pytestmark = pytest.mark.realtime

JAZZY = """
import importlib, sys
import rclpy.executors
import rclpy.subscription
if {declared}:
    del rclpy.subscription.MessageInfo.__annotations__["publisher_gid"]
take = rclpy.executors.Executor._take_subscription
def without(self, sub):
    callback = sub.callback
    if sub._callback_type == sub.CallbackType.WithMessageInfo and not hasattr(callback, "stripped"):
        def stripped(message, info):
            callback(message, {{k: v for k, v in info.items() if k != "publisher_gid"}})
        stripped.stripped = True
        sub.callback = stripped
    return take(self, sub)
rclpy.executors.Executor._take_subscription = without
sys.exit(importlib.import_module("nerfbot.hardware.ros.{module}").main())
"""


def begin(world: World, module: str, declared: bool = True, **settings: Any) -> Any:
    return world.start("", JAZZY.format(module=module, declared=declared), **settings)


@pytest.mark.parametrize("declared", [True, False], ids=["as in Jazzy", "without a word"])
@pytest.mark.parametrize(
    ("name", "takes", "sends"),
    [("gate", "cmd_vel_nerfed", "cmd_vel"), ("nerf", "cmd_vel_policy", "cmd_vel_nerfed")],
)
def test_a_second_publisher_in_the_graph_stops(name: str, takes: str, sends: str, declared: bool) -> None:
    with a_world() as world:
        partner = Partner(world, takes, sends, "permit")
        settings: dict[str, Any] = {"permit_socket": world.folder / "permit", "use_odometry": False}
        settings |= TWIST_LIMITS | ({"nerf": "rover-slow"} if name == "nerf" else {})
        process = begin(world, f"{name}_node", declared, **settings)
        partner.until(lambda: partner.speed == 0.3, partner.commanding(0.3))
        other = partner.node.create_publisher(type(partner.message(0.0)), takes, 1)
        partner.until(lambda: partner.speed == 0.0, partner.commanding(0.3))
        partner.until(lambda: any(f"2 publishers on /{takes}" in text for text in partner.reasons(name)))
        assert partner.values(name)["second_sender_known_by"] == "the graph only"
        assert ("does not say who sent" in world.output(process)) == declared
        partner.node.destroy_publisher(other)
        partner.until(lambda: partner.speed == 0.3, partner.commanding(0.3))
        partner.close()


def test_the_supervisor_says_so_at_start_and_refuses_lifts() -> None:
    with a_world() as world:
        process = begin(
            world,
            "supervisor_node",
            supervisor_socket=world.folder / "supervisor",
            state_folder=world.folder / "state",
            use_odometry=False,
            backstop="test",
        )
        partner = Partner(world, "unused", "nothing")
        partner.until((world.folder / "supervisor").exists)
        with SupervisorClient(world.folder / "supervisor") as client:
            lease = {"axes": {"speed": 1.0}, "duration": 1.0, "ramp": 0.0, "reason": "test"}
            answer = client.request("grant", timeout=PATIENCE, **lease)
        assert answer["reason"] == "not-now"
        assert "does not say who sent a message" in answer["detail"]
        assert "lifts are refused" in world.output(process)
        partner.close()
