"""Saved policies: the same actions after a round trip, one clear line for a file that cannot be used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors import torch as weights_file

import nerfbot
from nerfbot.agents.explorers import Explorer
from nerfbot.agents.heads import head_for
from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.policy import DESCRIPTION, WEIGHTS, Policy, describe, load_policy, space_of
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.errors import InvalidCommand
from tests.agents.toys import SMALL, corridor, ppo, scripted


def trained(network: NetworkConfig = SMALL, action: spaces.Space | None = None, **changes: Any) -> Policy:
    """A policy that has learned a little, on doubles of no special kind."""
    learner = Learner(TensorVectorEnv(scripted(action=action)), network, ppo(**changes), 100)
    learner.iterate()
    return learner.policy({"course": "none"})


OBSERVATIONS = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "normalised": {"normalise_observations": True},
    "separate": {"network": NetworkConfig(hidden=(8,), separate=True)},
    "from 3": {"action": spaces.Discrete(4, start=3)},
    "multi": {"action": spaces.MultiDiscrete([[3, 2], [2, 2]], start=[[0, 5], [1, 0]])},
    "box": {"action": spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, np.inf]), dtype=np.float64)},
    "squashed": {"action": spaces.Box(-2.0, 2.0, (2,)), "squash": True},
    "squashed within": {
        "action": spaces.Tuple([spaces.Discrete(3), spaces.Box(-2.0, 2.0, (2,))]),
        "squash": True,
    },
    "dict": {"action": spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(-2.0, 2.0, (1,))})},
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return np.array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_round_trip_gives_the_same_actions(kind: dict[str, Any], tmp_path: Path) -> None:
    policy = trained(**kind)
    policy.save(tmp_path)
    loaded = nerfbot.load_policy(tmp_path)
    assert same(loaded.act(OBSERVATIONS), policy.act(OBSERVATIONS))
    for one in (policy, loaded):
        one.generator.manual_seed(4)
    drawn = loaded.act(OBSERVATIONS, sample=True)
    assert same(drawn, policy.act(OBSERVATIONS, sample=True))
    assert loaded.action_space == policy.action_space
    assert loaded.about == {"course": "none"}
    assert policy.action_space.contains(loaded.act(OBSERVATIONS[0]))
    for path in (tmp_path / WEIGHTS, tmp_path / DESCRIPTION, str(tmp_path)):
        assert same(load_policy(path).act(OBSERVATIONS), policy.act(OBSERVATIONS))


def test_the_files_are_json_and_safetensors_and_hold_no_pickle(tmp_path: Path) -> None:
    trained(normalise_observations=True).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [DESCRIPTION, WEIGHTS]
    weights = (tmp_path / WEIGHTS).read_bytes()
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    end = max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
    assert len(weights) == 8 + int.from_bytes(weights[:8], "little") + end  # a header and numbers, no more
    assert json.loads((tmp_path / DESCRIPTION).read_text())["format"] == 1


@pytest.mark.parametrize("name", ["plain", "from 3", "multi", "squashed", "dict"])
def test_one_observation_alone_is_acted_on_as_within_a_batch(name: str) -> None:
    policy = trained(**KINDS[name])
    batch = policy.act(OBSERVATIONS)
    for row in range(5):
        alone = policy.act(OBSERVATIONS[row])
        if isinstance(batch, dict):
            within = {part: value[row] for part, value in batch.items()}
        else:
            within = batch[row]
        for part in alone if isinstance(alone, dict) else [...]:
            a, b = (alone, within) if part is ... else (alone[part], within[part])
            assert np.allclose(a, b, atol=1e-5)


def test_lists_integers_and_doubles_are_observations_too() -> None:
    policy = trained()
    wanted = policy.act(np.array([1.0, 2.0, 3.0], np.float32))
    for given in ([1, 2, 3], np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]), (1.0, 2.0, 3.0)):
        assert policy.act(given) == wanted


def test_what_a_mask_shuts_is_never_done_and_powers_beyond_the_outputs_are_left_out() -> None:
    learner = Learner(corridor(), SMALL, ppo(), 100, explorer=Explorer())
    learner.iterate()
    policy = learner.policy()
    seen = {
        "place": np.eye(5, dtype=np.float32)[:1].repeat(300, 0),
        "coin": np.eye(5, dtype=np.float32)[:1].repeat(300, 0),
    }
    mask = np.array([True, False, True, True, True])
    drawn = policy.act(seen, np.broadcast_to(mask, (300, 5)), sample=True)
    assert set(drawn.tolist()) == {0, 2}
    one = {name: part[0] for name, part in seen.items()}
    assert policy.act(one, np.array([False, True, False])) == 1


def test_memory_runs_through_an_episode_and_is_forgotten_where_one_ends() -> None:
    policy = trained(NetworkConfig(hidden=(8,), memory=6))
    for seen in OBSERVATIONS[:3]:
        policy.act(np.stack([seen, seen]))
    kept = policy.hidden_state
    assert kept is not None
    assert torch.allclose(kept[0], kept[1])
    policy.reset(np.array([False, True]))
    assert torch.equal(policy.hidden_state[0], kept[0])
    assert (policy.hidden_state[1] == 0).all()
    both = np.stack([OBSERVATIONS[5]] * 2)
    policy.act(both)
    after = policy.hidden_state
    policy.reset()
    assert policy.hidden_state is None
    policy.act(both)
    assert torch.allclose(policy.hidden_state[1], after[1])
    assert not torch.allclose(policy.hidden_state[0], after[0])


def test_observation_parts_may_have_any_names(tmp_path: Path) -> None:
    parts = {name: spaces.Box(-1.0, 1.0, (2,)) for name in ("keys", "type", "a.b", "")}
    parts.pop("")
    from nerfbot.agents.heads import head_for
    from nerfbot.agents.networks import ActorCritic
    from nerfbot.agents.normalization import RunningNorm, norm_key

    space = spaces.Discrete(2)
    norms = torch.nn.ModuleDict({norm_key(name): RunningNorm((2,)) for name in parts})
    policy = Policy(ActorCritic(parts, head_for(space), SMALL), parts, norms, space)
    policy.save(tmp_path)
    seen = {name: np.full(2, 0.5) for name in parts}
    assert load_policy(tmp_path).act(seen) == policy.act(seen)


@pytest.mark.parametrize(
    ("observation", "mask", "says"),
    [
        (np.zeros(4), None, r"observation: the shape is \(4,\), must be \(3,\)"),
        (np.float64(1.0), None, r"observation: the shape is \(\), must be"),
        (np.zeros((2, 2, 3)), None, r"observation: the shape is \(2, 2, 3\)"),
        (np.array([0.0, np.nan, 0.0]), None, "observation: must be finite, got nan"),
        (np.array(["a", "b", "c"]), None, "observation: must be numbers"),
        (np.zeros(3), np.ones((2, 2), bool), r"mask: the shape is \(2, 2\), must be \(1, 2\)"),
        (np.zeros((5, 3)), np.ones((5, 1), bool), r"mask: the shape is \(5, 1\), must be \(5, 2\)"),
    ],
)
def test_an_observation_or_mask_that_does_not_fit_is_refused_in_one_line(
    observation: Any, mask: Any, says: str
) -> None:
    with pytest.raises(InvalidCommand, match=says) as caught:
        trained().act(observation, mask)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("observation", "says"),
    [
        ({"place": np.zeros(5)}, "the part 'coin' is missing"),
        (np.zeros(5), "the part 'coin' is missing"),
        ({"place": np.zeros(5), "coin": np.zeros((2, 5))}, "different numbers"),
    ],
)
def test_parts_that_are_missing_or_do_not_go_together_are_refused(observation: Any, says: str) -> None:
    policy = Learner(corridor(), SMALL, ppo(), 9).policy()
    with pytest.raises(InvalidCommand, match=says):
        policy.act(observation)


def change(folder: Path, **entries: Any) -> None:
    told = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps({**told, **entries}))


def spoil_weights(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-3] ^= 0x40
    (folder / WEIGHTS).write_bytes(bytes(data))


def rewrite(folder: Path, name: str, value: float) -> None:
    """Put a number into a tensor, and the hash that makes the description agree."""
    tensors = weights_file.load((folder / WEIGHTS).read_bytes())
    tensors[name].view(-1)[0] = value
    weights = weights_file.save(tensors)
    (folder / WEIGHTS).write_bytes(weights)
    change(folder, sha256=hashlib.sha256(weights).hexdigest())


def cut(name: str, size: int) -> Any:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def drop(entry: str) -> Any:
    def act(folder: Path) -> None:
        told = json.loads((folder / DESCRIPTION).read_text())
        told.pop(entry)
        (folder / DESCRIPTION).write_text(json.dumps(told))

    return act


SPOILED: dict[str, Any] = {
    "no weights": lambda f: (f / WEIGHTS).unlink(),
    "no description": lambda f: (f / DESCRIPTION).unlink(),
    "no folder": shutil.rmtree,
    "one bit of the weights": spoil_weights,
    "cut weights": cut(WEIGHTS, 100),
    "empty weights": cut(WEIGHTS, 0),
    "cut description": cut(DESCRIPTION, 60),
    "weights are a folder": lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()),
    "bytes": lambda f: (f / DESCRIPTION).write_bytes(b"\xff\xfe\x00"),
    "a list": lambda f: (f / DESCRIPTION).write_text("[1, 2]"),
    "nested without end": lambda f: (f / DESCRIPTION).write_text("[" * 100_000),
    "format 2": lambda f: change(f, format=2),
    "other network": lambda f: change(f, network={"hidden": [3]}),
    "no network": lambda f: change(f, network={"hiden": [3]}),
    "endless network": lambda f: change(f, network={"hidden": [10**15]}),
    "odd space": lambda f: change(f, action={"kind": "text"}),
    "no actions": lambda f: change(f, action={"kind": "discrete", "n": 0, "start": 0}),
    "list of parts": lambda f: change(f, observation=[1]),
    "odd box": lambda f: change(
        f, observation={"": {"kind": "box", "shape": [3], "dtype": "bad", "low": 0, "high": 1}}
    ),
    "weights that are no numbers": lambda f: rewrite(f, "network.policy.weight", float("nan")),
    "scaled by nothing": lambda f: change(f, scaled=True),
    "normalised what": lambda f: change(f, normalised=["x"]),
    **{
        f"without {name}": drop(name)
        for name in ("format", "sha256", "network", "values", "action", "squash", "about")
    },
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_file_that_cannot_be_used_gives_one_line(spoil: Any, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    trained().save(folder)
    spoil(folder)
    with pytest.raises(InvalidCommand, match=r"^policy: ") as caught:
        load_policy(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text


def test_the_scale_of_returns_is_saved_with_the_policy(tmp_path: Path) -> None:
    policy = trained(normalise_rewards=True)
    assert policy.returns is not None
    assert policy.returns.count == 24
    policy.save(tmp_path)
    loaded = load_policy(tmp_path).returns
    assert loaded is not None
    for name, value in policy.returns.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert trained().returns is None


def test_the_policy_beside_a_missing_one_is_not_taken_for_it(tmp_path: Path) -> None:
    trained().save(tmp_path)
    with pytest.raises(InvalidCommand, match=r"gone.*does not exist"):
        load_policy(tmp_path / "gone")


def test_a_full_disk_gives_one_line_and_leaves_the_old_policy(tmp_path: Path) -> None:
    policy = trained()
    policy.save(tmp_path)
    wanted = policy.act(OBSERVATIONS)
    (tmp_path / f"{WEIGHTS}.part").symlink_to("/dev/full")
    with pytest.raises(InvalidCommand, match=r"policy: .*No space left"):
        trained(NetworkConfig(hidden=(9,))).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [DESCRIPTION, WEIGHTS]
    assert same(load_policy(tmp_path).act(OBSERVATIONS), wanted)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    policy = trained()
    policy.about = {"when": object()}
    with pytest.raises(InvalidCommand, match="policy: about"):
        policy.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, 2]]),
        spaces.Box(np.array([-1.5, -np.inf], np.float32), np.array([0.1, np.inf], np.float32)),
        spaces.Box(0, 255, (2, 3, 3), np.uint8),
        spaces.Box(-0.1, 0.1, (2,), np.float64),
        spaces.Tuple(
            [spaces.Discrete(2), spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Box(0.0, 1.0, (1,))})]
        ),
    ],
)
def test_spaces_survive_json(space: spaces.Space) -> None:
    assert space_of(json.loads(json.dumps(describe(space)))) == space


DEMANDS = {
    "wide layers": lambda d: d["network"].update(hidden=[30000, 30000]),
    "many layers": lambda d: d["network"].update(hidden=[1] * 20000),
    "a large memory": lambda d: d["network"].update(memory=30000),
    "a large observation": lambda d: next(iter(d["observation"].values())).update(shape=[10**9, 10**9]),
    "many actions": lambda d: d.update(action={"kind": "discrete", "n": 10**12, "start": 0}),
    "many critics": lambda d: d.update(values=["a"] * 10**5),
}


@pytest.mark.parametrize("demand", DEMANDS)
def test_a_description_that_demands_more_than_the_weights_hold_is_refused_at_once(demand, tmp_path):
    folder = save_small(tmp_path)
    described = json.loads((folder / "policy.json").read_text())
    DEMANDS[demand](described)
    (folder / "policy.json").write_text(json.dumps(described))
    began = time.process_time()
    with pytest.raises(InvalidCommand) as caught:
        load_policy(folder)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 5000])
def test_a_description_of_endless_numbers_or_lists_is_refused(text, tmp_path):
    folder = save_small(tmp_path)
    (folder / "policy.json").write_text(text)
    with pytest.raises(InvalidCommand, match="cannot be read"):
        load_policy(folder)


@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors"])
def test_a_pipe_is_not_waited_for(name, tmp_path):
    folder = save_small(tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InvalidCommand, match="is not a file"):
        load_policy(folder)


def save_small(folder):
    """A saved policy of two layers."""
    parts = {"": spaces.Box(-1, 1, (4,), np.float32)}
    action = spaces.Box(-1, 1, (2,), np.float32)
    network = ActorCritic(parts, head_for(action, False), NetworkConfig(), ["value"])
    Policy(network, parts, torch.nn.ModuleDict(), action).save(folder)
    return folder
