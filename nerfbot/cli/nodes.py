"""The ROS 2 nodes as programs: `nerfbot_gate` and so on, for `ros2 run nerfbot nerfbot_gate`."""

from __future__ import annotations

import importlib
import sys
from functools import partial

from nerfbot.bridge.ros import NODES


def run(name: str) -> int:
    """Run a node until it ends; its exit code, 2 with one line where something is missing."""
    try:
        module = importlib.import_module(NODES[name])
    except ImportError as error:
        hint = "with ROS 2 sourced or nerfbot[ros] installed"
        print(f"nerfbot_{name}: needs {error.name}, {hint}", file=sys.stderr)
        return 2
    return int(module.main())


nerf, gate, supervisor, recorder, plant, policy = (partial(run, name) for name in NODES)
