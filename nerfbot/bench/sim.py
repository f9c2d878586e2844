"""`nerfbot bench sim`: the nerfed rover beside a bare PyBullet loop that makes the same calls."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nerfbot.bench.figures import Against, Figure
from nerfbot.errors import NerfbotError

BARE = Path(__file__).parents[2] / "benchmarks" / "bare_rover.py"
STEPS, ROUNDS = 600, 7


def figures(progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Measure both in turn; the ratio is the median over the pairs.

    Raises `NerfbotError` where the bare loop's file is missing.
    """
    from nerfbot.sim.rover_env import RoverEnv

    bare = _bare()
    env = RoverEnv(course="gauntlet", nerf="rover-weak", schedule="occasional", vary=False)
    env.reset(seed=0)
    scene = _scene(env)
    urdf = str(env.nerfed.plant.description.urdf_path())
    rates, ratios, bare_rates = [], [], []
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}")
        rate, executed, caps = _drive(env, number)
        scene["commands"], scene["efforts"] = executed, caps
        bare_rate = bare.run(urdf, scene)
        rates.append(rate)
        bare_rates.append(bare_rate)
        ratios.append(rate / bare_rate)
    env.close()
    against = Against("bare PyBullet loop, same calls", statistics.median(bare_rates))
    return [
        Figure("rover_steps_per_s", statistics.median(rates), "1/s", "higher", against),
        Figure("rover_to_bare_ratio", statistics.median(ratios), "1", "higher", against),
    ]


def _drive(env: Any, number: int) -> tuple[float, list[list[float]], list[float]]:
    """Drive one stretch from the start; returns the rate and what was executed."""
    env.reset(seed=number)
    random = np.random.default_rng(number)
    actions = random.uniform((0.0, -1.0), (1.0, 1.0), (STEPS, 2))
    executed, caps = [], []
    began = time.perf_counter()
    for step in range(-(STEPS // 10), STEPS):
        if step == 0:
            began = time.perf_counter()
        nerf = env.step(actions[step])[4]["nerf"]
        executed.append(nerf["executed"])
        caps.append(nerf["effort_limit"][0])
    rate = STEPS / (time.perf_counter() - began)
    return rate, [command.tolist() for command in executed], [float(cap) for cap in caps]


def _scene(env: Any) -> dict[str, Any]:
    """Describe the arena's colliding bodies as boxes, and how many rays go to detected objects."""
    plant = env.nerfed.plant
    client = plant.client
    solid = [
        thing.body for thing in plant.arena.things.values() if thing.element.kind in ("block", "fragile")
    ]
    boxes = []
    for body in [*plant.arena.walls.bodies, *solid]:
        low, high = (np.array(corner) for corner in client.getAABB(body))
        middle, half = (low + high) / 2, (high - low) / 2
        dynamics = client.getDynamicsInfo(body, -1)
        boxes.append([*middle.tolist(), *half.tolist(), dynamics[0], dynamics[1]])
    x, y, z = plant.robot.state.position
    return {"boxes": boxes, "start": [x, y, z], "targets": 2, "steps": STEPS}


def _bare() -> ModuleType:
    if not BARE.is_file():
        raise NerfbotError(f"bench sim: needs {BARE.name} from the repository's benchmarks/ folder")
    spec = importlib.util.spec_from_file_location("bare_rover", BARE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
