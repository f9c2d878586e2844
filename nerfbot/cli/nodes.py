"""The ROS 2 nodes as programs: `nerfbot_gate` and so on, for `ros2 run nerfbot nerfbot_gate`."""

from __future__ import annotations

from functools import partial

from nerfbot.bridge.ros import NODES
from nerfbot.hardware.ros.program import start

nerf, gate, supervisor, recorder, plant, policy = (partial(start, NODES[name]) for name in NODES)
