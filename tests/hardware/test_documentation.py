"""docs/ros.md tells every parameter of every node as the code has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from nerfbot.bridge.ros.plant_node import PlantNode
from nerfbot.bridge.ros.policy_node import PolicyNode
from nerfbot.hardware.ros.nerf_node import NerfNode
from nerfbot.hardware.ros.parameters import COMMON
from nerfbot.hardware.ros.recorder_node import RecorderNode
from nerfbot.hardware.ros.servo_node import ServoNode
from nerfbot.hardware.ros.supervisor_node import SupervisorNode

PAGE = (Path(__file__).parents[2] / "docs" / "ros.md").read_text(encoding="utf-8")
TABLES = {
    "What the nodes of the chain share": COMMON,
    "nerf": NerfNode.OWN,
    "supervisor": SupervisorNode.OWN,
    "servo": ServoNode.OWN,
    "plant": PlantNode.OWN,
    "policy": PolicyNode.OWN,
    "recorder": RecorderNode.OWN,
}


def shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return ", ".join(item for item in default if item) or "empty"
    return str(default) if default != "" else "empty"


@pytest.mark.parametrize("section", TABLES)
def test_each_nodes_table_is_the_codes(section: str) -> None:
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = text.split("| parameter | default | unit | meaning |\n|---|---|---|---|\n")[1].split("\n\n")[0]
    told = re.findall(r"^\| `(\S+)` \| (.*?) \| (.*?) \| (.+) \|$", table, re.MULTILINE)
    assert told == [(item.name, shown(item.default), item.unit, item.about) for item in TABLES[section]]
