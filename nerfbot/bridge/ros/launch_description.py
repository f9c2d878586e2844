"""The bring-up plan as a ROS 2 launch description. Needs `launch` and `launch_ros`, which come with ROS 2."""

from __future__ import annotations

import os
import sys
from typing import Any

from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnShutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from nerfbot.hardware.ros.transport import RANGE, transport
from nerfbot.hardware.safety.warm_up import warm_up

from .bringup_plan import ARGUMENTS, make_plan


def description(kind: str) -> LaunchDescription:
    """The launch description of a bring-up `kind`: its arguments, and the nodes of the resulting plan."""
    arguments = [
        DeclareLaunchArgument(item.name, default_value=item.default, description=item.about)
        for item in ARGUMENTS
    ]

    def nodes(context: Any) -> list[Any]:
        given = {item.name: LaunchConfiguration(item.name).perform(context) for item in ARGUMENTS}
        plan = make_plan(kind, given)
        plan.prepare()
        warm_up(print)
        # Under the launch system, nodes on other machines are visible too
        added = transport({RANGE: "SUBNET", **os.environ})
        files = [] if plan.params_file is None else [str(plan.params_file)]
        ending = RegisterEventHandler(OnShutdown(on_shutdown=lambda *_: plan.clear()))
        return [ending] + [
            Node(
                executable=sys.executable,
                arguments=["-m", node.module],
                name=node.name,
                namespace=plan.namespace,
                parameters=[*files, str(plan.write(node))],
                additional_env=added,
                output="screen",
                respawn=node.restarts > 0,
                respawn_delay=1.0,
                on_exit=Shutdown(reason=f"{node.name} has ended") if node.essential else None,
            )
            for node in plan.nodes
        ]

    return LaunchDescription([*arguments, OpaqueFunction(function=nodes)])
