"""Vector environments: one limiter for all, each environment's episodes its own."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import nerfbot
from nerfbot.errors import InvalidCommand
from nerfbot.wrappers import NerfActionVector, NerfObservationVector, PowersVector, RevealLiftVector
from nerfbot.wrappers.clock import period_of

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
NOISY = {
    "name": "noisy",
    "command": {"latency": 0.15, "drop": {"rate": 1.0, "duration": 0.2}},
    "channels": {"*": {"effort": {"nerfed": 1.0, "lifted": 2.0}, "hold": {"rate": 0.5, "duration": 0.2}}},
    "sensors": {"observation": {"latency": 0.15, "noise": 0.3, "dropout": 0.1}},
}
SCHEDULE = {"kind": "occasional", "probability": 0.5, "start": [0.0, 1.0], "length": [0.2, 1.0], "ramp": 0.1}
LATE = {"name": "late", "command": {"latency": 0.15}, "sensors": {"observation": {"latency": 0.15}}}


def vector(recorder, mode, lengths):
    return SyncVectorEnv([lambda length=n: recorder(length=length) for n in lengths], autoreset_mode=mode)


def actions_of(seed, count, envs=3):
    return np.random.default_rng(seed).uniform(-2.0, 2.0, (count, envs, 2)).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_each_environment_of_a_vector_is_what_it_would_be_alone(recorder, mode):
    many = nerfbot.wrap(vector(recorder, mode, [10**6] * 3), NOISY, SCHEDULE)
    alone = [nerfbot.wrap(recorder(), NOISY, SCHEDULE) for _ in range(3)]
    obs, _ = many.reset(seed=5)
    for index, env in enumerate(alone):
        first, _ = env.reset(seed=5 + index)
        assert np.array_equal(obs["observation"][index], first["observation"])
    for action in actions_of(0, 60):
        obs, *_, info = many.step(action)
        for index, env in enumerate(alone):
            seen, *_, told = env.step(action[index])
            for key in ("observation", "lift"):
                assert obs[key][index].tobytes() == seen[key].tobytes()
            for key in ("executed", "requested", "effort_limit", "reasons", "lift"):
                assert info["nerf"][key][index].tobytes() == told["nerf"][key].tobytes()
            assert info["nerf"]["leases"][index] == told["nerf"]["leases"]


def test_next_step_reset_starts_the_limits_after_the_ignored_action(recorder):
    env = nerfbot.wrap(vector(recorder, MODES[0], [5, 10**6]), LATE, "never", reveal_lift=False)
    env.reset(seed=0)
    acted, executed, seen = [], [], []
    for step in range(1, 12):
        obs, *_, info = env.step(np.full((2, 2), step / 10, np.float32))
        acted.append(info["_nerf"].tolist())
        executed.append(np.round(info["nerf"]["executed"][:, 0], 6).tolist())
        seen.append(obs[:, 0].tolist())
    # The sixth step resets the first environment: its action goes nowhere, and nothing is under way after it.
    assert [both[0] for both in acted] == [True] * 5 + [False] + [True] * 5
    assert all(both[1] for both in acted)
    first = [both[0] for number, both in enumerate(executed) if number != 5]
    assert first == [0.0, 0.0, 0.1, 0.2, 0.3, 0.0, 0.0, 0.7, 0.8, 0.9]
    assert [both[1] for both in executed] == [0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert [both[0] for both in seen] == [0, 0, 1, 2, 3, 0, 0, 0, 1, 2, 3]
    assert [both[1] for both in seen] == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_same_step_reset_starts_the_limits_at_once_and_limits_the_final_observation(recorder):
    env = nerfbot.wrap(vector(recorder, MODES[1], [5, 10**6]), LATE, "never", reveal_lift=False)
    env.reset(seed=0)
    executed, seen, final = [], [], []
    for step in range(1, 11):
        obs, *_, info = env.step(np.full((2, 2), step / 10, np.float32))
        assert info["_nerf"].all()
        executed.append(np.round(info["nerf"]["executed"][:, 0], 6).tolist())
        seen.append(obs[:, 0].tolist())
        if "final_obs" in info:
            assert info["final_obs"][1] is None
            final.append((step, float(info["final_obs"][0][0])))
    assert [both[0] for both in executed] == [0.0, 0.0, 0.1, 0.2, 0.3, 0.0, 0.0, 0.6, 0.7, 0.8]
    assert [both[0] for both in seen] == [0, 0, 1, 2, 0, 0, 0, 1, 2, 0]
    assert final == [(5, 3.0), (10, 3.0)]
    assert [both[1] for both in seen] == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("mode", MODES)
def test_end_of_one_episode_leaves_the_other_environments_alone(recorder, mode):
    def run(lengths):
        env = nerfbot.wrap(vector(recorder, mode, lengths), NOISY, SCHEDULE)
        env.reset(seed=1)
        told = [env.step(action)[-1]["nerf"] for action in actions_of(1, 80)]
        return np.array([[*nerf["executed"][1:].ravel(), *nerf["lift"][1:].ravel()] for nerf in told])

    assert np.array_equal(run([7, 10**6, 10**6]), run([10**6] * 3))


@pytest.mark.parametrize("mode", MODES)
def test_same_seed_replays_the_same_run_across_resets(recorder, mode):
    def run(env):
        obs, _ = env.reset(seed=3)
        seen = [np.hstack([obs["observation"], obs["lift"]])]
        for action in actions_of(2, 60):
            obs, *_ = env.step(action)
            seen.append(np.hstack([obs["observation"], obs["lift"]]))
        return np.array(seen)

    env, other = (nerfbot.wrap(vector(recorder, mode, [7, 11, 13]), NOISY, SCHEDULE) for _ in range(2))
    trace = run(env)
    assert np.array_equal(trace, run(other))
    assert np.array_equal(trace, run(env))


@pytest.mark.parametrize("mode", MODES)
def test_windows_of_a_vector_count_from_each_episodes_start(recorder, mode):
    schedule = {"kind": "occasional", "probability": 1.0, "start": 0.2, "length": 0.2}
    env = PowersVector(vector(recorder, mode, [6, 10**6]), schedule)
    env.reset(seed=0)
    lifts, starts = [], []
    for _ in range(13):
        *_, info = env.step(np.zeros((2, 2), np.float32))
        lifts.append(info["nerf"]["lift"][:, 0].tolist())
        starts += [round(lease["start"], 6) for lease in info["nerf"]["leases"][0]]
    episode = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    ignored = [0.0] if mode is AutoresetMode.NEXT_STEP else []
    assert [both[0] for both in lifts] == ([*episode, *ignored] * 2 + [0.0])[:13]
    assert [both[1] for both in lifts] == [*episode, *[0.0] * 7]
    assert set(starts) == {0.2}


def test_final_observation_reveals_the_lift_that_its_episode_ended_with(recorder):
    schedule = {"kind": "occasional", "probability": 1.0, "start": 0.2, "length": 9.0}
    env = RevealLiftVector(PowersVector(vector(recorder, MODES[1], [5, 10**6]), schedule))
    env.reset(seed=0)
    for _ in range(5):
        obs, *_, info = env.step(np.zeros((2, 2), np.float32))
    assert obs["lift"][:, 0].tolist() == [0.0, 1.0]
    assert info["final_obs"][0]["lift"].tolist() == [1.0] * 4
    assert info["final_obs"][0]["observation"].tolist() == [5.0] * 3


def test_masked_reset_begins_the_chosen_episodes_only(recorder):
    envs = vector(recorder, AutoresetMode.DISABLED, [5, 10**6])
    env = nerfbot.wrap(envs, LATE, "never", reveal_lift=False)
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.ones((2, 2), np.float32))
    obs, _ = env.reset(options={"reset_mask": np.array([True, False])})
    assert obs[:, 0].tolist() == [0.0, 3.0]
    executed = [
        env.step(np.ones((2, 2), np.float32))[-1]["nerf"]["executed"][:, 0].tolist() for _ in range(3)
    ]
    assert executed == [[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("mode", MODES)
def test_made_vector_of_pendulums_applies_limited_torque(mode):
    env = gymnasium.make_vec("Pendulum-v1", num_envs=3, vector_kwargs={"autoreset_mode": mode})
    env = nerfbot.wrap(env, {"name": "weak", "channels": {"*": {"effort": 0.5}}}, "never")
    env.reset(seed=0)
    for _ in range(205):  # past the time limit
        obs, *_ = env.step(np.full((3, 1), 2.0, np.float32))
        assert env.observation_space.contains(obs)
        applied = [single.unwrapped.last_u for single in env.unwrapped.envs]
        assert all(torque is None or torque == 0.5 for torque in applied)
    env.close()


def test_batched_vector_environment_takes_its_choices_late():
    env = gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point")
    env = NerfActionVector(env, {"name": "late", "command": {"latency": 0.03}})
    env.reset(seed=0)
    told = [env.step(np.ones(4, np.int64))[-1]["nerf"]["executed"].tolist() for _ in range(3)]
    assert told == [[0] * 4, [0] * 4, [1] * 4]


def test_vector_of_wrapped_environments_collects_their_info(recorder):
    make = lambda: nerfbot.wrap(recorder(length=3), NOISY, "always")  # noqa: E731
    env = SyncVectorEnv([make, make])
    env.reset(seed=0)
    for _ in range(6):
        *_, info = env.step(np.ones((2, 2), np.float32))
    assert info["nerf"]["executed"].shape == (2, 2)
    assert info["nerf"]["lift"].tolist() == [[1.0] * 4] * 2


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), np.zeros((3, 3)), np.full((3, 2), np.nan), np.zeros(2)])
def test_invalid_actions_step_no_environment(recorder, wrong):
    env = nerfbot.wrap(vector(recorder, MODES[0], [9, 9, 9]), NOISY)
    env.reset(seed=0)
    with pytest.raises(InvalidCommand, match=r"^action"):
        env.step(wrong)
    assert all(single.actions == [] for single in env.unwrapped.envs)


def test_period_of_environments_in_other_processes_must_be_given():
    env = AsyncVectorEnv([lambda: gymnasium.make("Pendulum-v1")] * 2)
    try:
        with pytest.raises(InvalidCommand, match="period: must be given"):
            nerfbot.wrap(env, LATE)
        wrapped = nerfbot.wrap(env, LATE, "never", period=0.05)
        wrapped.reset(seed=0)
        *_, info = wrapped.step(np.ones((2, 1), np.float32))
        assert info["nerf"]["executed"].tolist() == [[0.0], [0.0]]
    finally:
        env.close()


def test_vector_of_dicts_is_limited_by_key(senses):
    spec = {"name": "late", "sensors": {"pose": {"latency": 0.05}}}
    for mode in MODES:
        envs = SyncVectorEnv([lambda: senses(length=2)] * 2, autoreset_mode=mode)
        env = NerfObservationVector(envs, spec)
        env.reset(seed=0)
        poses = [env.step(np.zeros((2, 2), np.float32))[0]["pose"][:, 0].tolist() for _ in range(2)]
        assert poses == [[0.0, 0.0], [1.0, 1.0] if mode is MODES[0] else [0.0, 0.0]]
        assert isinstance(env.single_observation_space, spaces.Dict)


@pytest.mark.parametrize("vector", [False, True])
def test_the_period_counts_the_frames_that_wrappers_skip(vector):
    def make():
        env = gymnasium.make("CartPole-v1").unwrapped
        env.dt = 0.05
        return gymnasium.wrappers.MaxAndSkipObservation(env, skip=4)

    env = SyncVectorEnv([make]) if vector else make()
    assert period_of(env) == pytest.approx(0.2)
    assert period_of(env, 0.3) == 0.3
