"""`nerfbot bench sim`: the nerfed rover beside a bare PyBullet loop that makes the same calls.

Both drive the same short chunks in turn, so that a machine whose speed changes within seconds slows both. The
rover's episodes are recorded once and then repeated, which a seed makes exact: the bare loop begins every
chunk where the rover began it, and drives it at the commands that the rover executed.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nerfbot.bench.figures import Baseline, Figure
from nerfbot.errors import NerfbotError
from nerfbot.sim.physics.arena_state import FRICTION, WALL_HEIGHT
from nerfbot.sim.physics.geometry import bounds

BARE = Path(__file__).parents[2] / "benchmarks" / "bare_rover.py"
EPISODES, CHUNKS, STEPS = 8, 8, 60
"""Episodes, chunks an episode, control steps a chunk."""


def figures(progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Measure both in turn; the ratio is the median over the pairs of adjacent chunks.

    Raises `NerfbotError` where the bare loop's file is missing.
    """
    from nerfbot.sim.envs.rover_env import RoverEnv

    bare = _bare()
    env = RoverEnv(course="gauntlet", nerf="rover-weak", schedule="occasional", vary=False)
    world = bare.build(str(env.nerfed.plant.description.urdf_path()), _bodies(env))
    rates, bare_rates = [], []
    for episode in range(EPISODES):
        progress(f"episode {episode + 1} of {EPISODES}")
        actions = np.random.default_rng(episode).uniform((0.0, -1.0), (1.0, 1.0), (CHUNKS, STEPS, 2))
        chunks = _record(env, episode, actions)
        env.reset(seed=episode)
        for number, chunk in enumerate(chunks):
            if number % 2:
                bare_seconds = bare.drive(world, chunk)
            seconds = _drive(env, actions[number])
            if not number % 2:
                bare_seconds = bare.drive(world, chunk)
            rates.append(STEPS / seconds)
            bare_rates.append(STEPS / bare_seconds)
    env.close()
    against = Baseline("bare PyBullet loop, same calls", statistics.median(bare_rates))
    ratio = statistics.median(rate / other for rate, other in zip(rates, bare_rates, strict=True))
    return [
        Figure("rover_steps_per_s", statistics.median(rates), "1/s", "higher", against),
        Figure("rover_to_bare_ratio", ratio, "1", "higher", against),
    ]


def _drive(env: Any, actions: Any) -> float:
    began = time.perf_counter()
    for action in actions:
        env.step(action)
    return time.perf_counter() - began


def _record(env: Any, seed: int, actions: Any) -> list[dict[str, Any]]:
    """Drive an episode once and describe its chunks for the bare loop."""
    env.reset(seed=seed)
    plant = env.nerfed.plant
    loose = _loose(plant)
    rays: list[int] = []
    watched: list[list[int]] = []
    batch, touching = plant.client.rayTestBatch, plant.client.getContactPoints

    def counted(origins: list[Any], ends: list[Any]) -> Any:
        rays.append(len(ends))
        return batch(origins, ends)

    def noted(body: int) -> Any:
        number = loose.index(body)
        if number not in watched[-1]:
            watched[-1].append(number)
        return touching(body)

    def followed(command: Any, effort_limit: Any = None, between: Any = None) -> Any:
        commands.append(command.tolist())
        return step(command, effort_limit, between)

    commands: list[Any] = []
    step, plant.step = plant.step, followed
    plant.client.rayTestBatch, plant.client.getContactPoints = counted, noted
    chunks = []
    for part in actions:
        robot, joints = plant.robot.body, plant.robot.joint_indices
        chunk: dict[str, Any] = {
            "robot": _motion(plant.client, robot),
            "wheels": [state[:2] for state in plant.client.getJointStates(robot, joints)],
            "movable": [_motion(plant.client, body) for body in loose],
            "standing": [
                thing.position[:2] for thing in plant.arena.things.values() if thing.body not in loose
            ],
        }
        rays, watched, told = [], [], []
        commands.clear()
        for action in part:
            watched.append([])
            told.append(env.step(action)[4]["nerf"])
        chunk["commands"] = list(commands)
        chunk["efforts"] = [float(nerf["effort_limit"][0]) for nerf in told]
        chunk["rays"], chunk["watched"] = rays, watched
        chunks.append(chunk)
    plant.client.rayTestBatch, plant.client.getContactPoints = batch, touching
    plant.step = step
    return chunks


def _motion(client: Any, body: int) -> list[Any]:
    return [*client.getBasePositionAndOrientation(body), *client.getBaseVelocity(body)]


def _loose(plant: Any) -> list[int]:
    """Bodies that can be pushed."""
    return [thing.body for thing in plant.arena.things.values() if thing.element.kind in ("block", "fragile")]


def _bodies(env: Any) -> list[dict[str, Any]]:
    """Describe the arena's colliding bodies but the floor; the movable ones in the order of `_loose`."""
    plant = env.nerfed.plant
    arena, client = plant.arena, plant.client
    course = arena.course
    upright = [bounds(patch, course.cell, course.rows) for patch in arena.walls.values()]
    upright += [gate.box for gate in arena.gates]
    found: list[dict[str, Any]] = [
        {
            "kind": "box",
            "size": [(x1 - x0) / 2, (y1 - y0) / 2, WALL_HEIGHT / 2],
            "position": [(x0 + x1) / 2, (y0 + y1) / 2, WALL_HEIGHT / 2],
            "turn": [0.0, 0.0, 0.0, 1.0],
            "mass": 0.0,
            "friction": FRICTION["wall"],
        }
        for x0, x1, y0, y1 in upright
    ]
    for body in _loose(plant):
        kind, sides = client.getCollisionShapeData(body, -1)[0][2:4]
        is_box = kind == client.GEOM_BOX
        position, turn = client.getBasePositionAndOrientation(body)
        mass, friction = client.getDynamicsInfo(body, -1)[:2]
        found.append(
            {
                "kind": "box" if is_box else "cylinder",
                "size": [side / 2 for side in sides] if is_box else list(sides[:2]),
                "position": position,
                "turn": turn,
                "mass": mass,
                "friction": friction,
            }
        )
    return found


def _bare() -> ModuleType:
    if not BARE.is_file():
        raise NerfbotError(f"bench sim: needs {BARE.name} from the repository's benchmarks/ folder")
    spec = importlib.util.spec_from_file_location("bare_rover", BARE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
