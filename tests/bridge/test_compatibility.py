"""A policy of another layout is refused, and the message names the field that differs."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

pytest.importorskip("torch")

import torch

from nerfbot.agents.heads import head_for
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.policy import Policy, load_policy
from nerfbot.bridge.compatibility import UnfitPolicy, check_fit, layout_of
from nerfbot.errors import InvalidCommand
from nerfbot.grid.vector_env import GridVectorEnv


def policy_for(env: GridVectorEnv, about: dict | None = None, **changes) -> Policy:
    parts = {**env.single_observation_space.spaces, **changes.get("parts", {})}
    space = changes.get("action", env.single_action_space)
    network = ActorCritic(parts, head_for(space, True), NetworkConfig(hidden=(8,)), ("task",))
    layout = {"layout": layout_of(env)} if about is None else about
    return Policy(network, parts, torch.nn.ModuleDict(), space, layout)


@pytest.fixture(scope="module")
def env() -> GridVectorEnv:
    return GridVectorEnv(1, course="coin-in-corner", levels=2, powers=())


def check(policy: Policy, env: GridVectorEnv) -> None:
    check_fit(policy, env.single_observation_space, env, "course 'here'")


def test_its_own_environment_fits_and_survives_saving(env, tmp_path) -> None:
    policy = policy_for(env)
    check(policy, env)
    policy.save(tmp_path)
    check(load_policy(tmp_path), env)


def test_a_larger_course_than_its_view_is_refused(env) -> None:
    wide = GridVectorEnv(1, course="coin-in-corner-13", levels=2, powers=())
    with pytest.raises(UnfitPolicy, match=r"it sees 9 x 9 cells, course 'here' has 13 x 13: larger"):
        check(policy_for(env), wide)


def test_other_numbers_in_the_vector_are_refused(env) -> None:
    hidden = GridVectorEnv(1, course="coin-in-corner", levels=2, powers=(), reveal_lift=False)
    with pytest.raises(UnfitPolicy, match=r"about.layout.features: is "):
        check(policy_for(env), hidden)
    with pytest.raises(UnfitPolicy, match=r"observation.vector.shape: is \(13,\), must be \(2,\)"):
        check(policy_for(env, {}), hidden)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", 2, "about.layout.version: is 2, must be 1"),
        ("robot", "panda", "about.layout.robot: is 'panda', must be 'rover'"),
        ("actions", ["stay", "north", "east", "west", "south"], r"about.layout.actions\[1\]: is 'north'"),
        ("actions", ["stay"], r"about.layout.actions\[1\]: is None"),
    ],
)
def test_another_robot_version_or_action_is_refused(env, field: str, value, words: str) -> None:
    with pytest.raises(UnfitPolicy, match=words):
        check(policy_for(env, {"layout": layout_of(env) | {field: value}}), env)


def test_another_kind_of_action_or_part_is_refused(env) -> None:
    box = spaces.Box(-np.ones(2, np.float32), np.ones(2, np.float32))
    with pytest.raises(UnfitPolicy, match="action: is Box"):
        check(policy_for(env, {}, action=box), env)
    with pytest.raises(UnfitPolicy, match=r"action.n: is 3, must be at least the 5 moves"):
        check(policy_for(env, {}, action=spaces.Discrete(3)), env)
    lidar = {"lidar": spaces.Box(0.0, 8.0, (32,), np.float32)}
    with pytest.raises(UnfitPolicy, match=r"observation.lidar: is no part"):
        check(policy_for(env, {}, parts=lidar), env)


def test_a_corrupted_file_is_refused(env, tmp_path) -> None:
    policy_for(env).save(tmp_path)
    weights = tmp_path / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InvalidCommand, match="changed or damaged"):
        load_policy(tmp_path)
