"""A policy that drives by twists is refused where it does not belong, and the message names the field."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

pytest.importorskip("torch")
pytest.importorskip("pybullet")

import torch

from nerfbot.agents.heads import head_for
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.policy import Policy, load_policy
from nerfbot.bridge.compatibility import UnfitPolicy, check_rover_fit, check_rover_layout, rover_layout_of
from nerfbot.sim.envs.rover_env import RoverEnv
from nerfbot.sim.robots.description import ROBOTS

PERIOD = 0.2


@pytest.fixture(scope="module")
def env() -> Iterator[RoverEnv]:
    env = RoverEnv(course="room", powers=("teleport",))
    yield env
    env.close()


def policy_for(env: RoverEnv, action: spaces.Space | None = None, **changes: Any) -> Policy:
    """A policy made for `env`; `changes` of its layout, and of its parts by "parts"."""
    assert isinstance(env.observation_space, spaces.Dict)
    parts: Any = {"lidar": env.observation_space["lidar"], **changes.pop("parts", {})}
    space = env.action_space if action is None else action
    network = ActorCritic(parts, head_for(space), NetworkConfig(hidden=(8,)))
    layout = rover_layout_of(env, PERIOD) | changes
    return Policy(network, parts, torch.nn.ModuleDict(), space, {"layout": layout})


def box(*bounds: float) -> spaces.Box:
    high = np.array(bounds, np.float32)
    return spaces.Box(-high, high)


def test_its_own_environment_fits_after_saving_and_with_other_powers(env: RoverEnv, tmp_path: Path) -> None:
    policy_for(env).save(tmp_path)
    policy = load_policy(tmp_path)
    check_rover_fit(policy, env, 4 * 0.05)
    check_rover_layout(policy, robot="rover", period=round(1 / 5.0, 6))
    plain = RoverEnv(course="room", powers=())
    check_rover_fit(policy, plain, PERIOD)
    check_rover_fit(policy_for(plain), env, PERIOD)
    plain.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "about.layout.version: is 2, must be 1"),
        ({"robot": "racer"}, "about.layout.robot: is 'racer', must be 'rover'"),
        ({"channels": ["linear.x", "linear.y"]}, "about.layout.channels: is "),
        ({"period": 0.05}, "about.layout.period: is 0.05, must be 0.2"),
        ({"powers": ["none", "phase"]}, r"about.layout.powers\[1\]: is 'phase', must be 'teleport'"),
        ({"parts": {"lidar": spaces.Box(0.0, 8.0, (16,))}}, r"observation.lidar.shape: is \(16,\)"),
        ({"parts": {"lidar": spaces.Box(0, 8, (32,), np.uint8)}}, "observation.lidar.dtype: is 'uint8'"),
        ({"parts": {"grid": spaces.Box(0, 9, (9, 9, 3), np.uint8)}}, "observation.grid: is no part"),
        ({"action": spaces.Discrete(5)}, r"action: is Discrete\(5\), must be a box of commands"),
        ({"action": box(1.5)}, r"action.twist.shape: is \(1,\), must be \(2,\)"),
        ({"action": box(1.5, 4.0)}, r"action.twist.low: is \[-1.5, -4.0\], must be \[-1.5, -3.0\]"),
    ],
)
def test_another_layout_is_refused_by_its_field(env: RoverEnv, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitPolicy, match=words):
        check_rover_fit(policy_for(env, **copy.deepcopy(changes)), env, PERIOD)


def test_the_rover_s_policy_is_refused_on_another_robot(env: RoverEnv, tmp_path: Path) -> None:
    text = (ROBOTS / "rover.yaml").read_text().replace("name: rover", "name: lorry")
    (tmp_path / "lorry.yaml").write_text(text)
    (tmp_path / "rover.urdf").write_bytes((ROBOTS / "rover.urdf").read_bytes())
    lorry = RoverEnv(course="room", robot=tmp_path / "lorry.yaml")
    with pytest.raises(UnfitPolicy, match=r"about.layout.robot: is 'rover', must be 'lorry' here"):
        check_rover_fit(policy_for(env), lorry, PERIOD)
    lorry.close()
