"""Robots in processes: what crosses the pipe, what is in a worker, the same numbers as in one process."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pybullet")

from nerfbot.experiment.runs.processes import ActionRepeat, RobotVectorEnv, make
from nerfbot.powers import EDITS
from nerfbot.sim.envs.rover_env import RoverEnv

ROOM = {"course": "room", "nerf": "none"}
FORWARD = np.array([0.5, 0.3], np.float32)


def test_an_action_is_held_and_its_rewards_add_up_to_the_episode_s_return() -> None:
    held, bare = make("nerfbot/Rover-v0", 5, **ROOM), RoverEnv(**ROOM)
    first, info = held.reset(seed=3)
    assert info == {}
    np.testing.assert_array_equal(first["pose"], bare.reset(seed=3)[0]["pose"])
    observation, *_, info = held.step(FORWARD)
    for _ in range(5):
        expected, *_ = bare.step(FORWARD)
    assert info == {}
    for name, part in observation.items():
        np.testing.assert_array_equal(part, expected[name])
    bare.close()
    held.close()


def test_an_episode_s_end_cuts_an_action_short_and_is_told_as_numbers() -> None:
    env = make("nerfbot/Rover-v0", 7, task={"goal": {"kind": "coin"}, "horizon": 0.5}, **ROOM)
    env.reset(seed=0)
    assert env.step(np.zeros(2, np.float32))[3:] == (False, {})
    *_, truncated, info = env.step(np.zeros(2, np.float32))
    assert truncated
    assert info["episode_summary"] == {
        "return": 0.0,
        "success": 0.0,
        "first": 0.0,
        "harmed": 0.0,
        "time": pytest.approx(0.5),
        "illegal_edits": 0.0,
        **dict.fromkeys(EDITS, 0.0),
    }
    env.close()


def test_a_held_action_uses_its_edit_once() -> None:
    task = {"goal": {"kind": "coin"}, "horizon": 0.4}
    env = make("nerfbot/Rover-v0", 4, powers=("teleport",), schedule="always", task=task, **ROOM)
    assert isinstance(env, ActionRepeat)
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [True, True]
    action = {"twist": np.zeros(2, np.float32), "power": 1}
    *_, info = env.step(action)
    assert info["action_mask"].tolist() == [True, True]
    *_, truncated, info = env.step({**action, "power": 0})
    assert truncated
    assert info["episode_summary"]["teleport"] == 1.0
    env.close()


def test_an_episode_that_ends_in_a_process_is_followed_by_the_next_in_the_same_step() -> None:
    task = {"goal": {"kind": "coin"}, "horizon": 0.2}
    envs = RobotVectorEnv("nerfbot/Rover-v0", 2, 2, 1, task=task, **ROOM)
    alone = make("nerfbot/Rover-v0", 1, task=task, **ROOM)
    try:
        envs.reset(seed=7)
        alone.reset(seed=9)
        still = np.zeros((4, 2), np.float32)
        for _ in range(4):
            observation, reward, terminated, truncated, info = envs.step(still)
            expected, *_, last_info = alone.step(still[2])
        assert reward.tolist() == [0.0] * 4
        assert not terminated.any()
        assert truncated.tolist() == [True] * 4
        assert info["_final_info"].tolist() == [True] * 4
        times = info["final_info"]["episode_summary"]["time"]
        assert times == pytest.approx([last_info["episode_summary"]["time"]] * 4)
        for name, part in expected.items():
            np.testing.assert_array_equal(info["final_obs"][2][name], part)
        begun, _ = alone.reset()
        for name, part in begun.items():
            np.testing.assert_array_equal(observation[name][2], part)
        *_, info = envs.step(still)
        assert "final_info" not in info
    finally:
        envs.close(terminate=True)
        alone.close()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into workers through /proc")
def test_a_worker_has_no_torch_and_one_thread_and_gives_the_same_numbers_as_one_process() -> None:
    import torch  # noqa: F401  # it is here, and must not be there

    before = os.environ.get("OMP_NUM_THREADS")
    envs = RobotVectorEnv("nerfbot/Rover-v0", 2, 2, 2, powers=("phase",), schedule="occasional", **ROOM)
    try:
        assert os.environ.get("OMP_NUM_THREADS") == before
        alone = [
            make("nerfbot/Rover-v0", 2, powers=("phase",), schedule="occasional", **ROOM) for _ in "abcd"
        ]
        assert envs.single_observation_space == alone[0].observation_space
        assert envs.single_action_space == alone[0].action_space
        observation, info = envs.reset(seed=5)
        assert info["action_mask"].tolist() == [[True, False]] * 4
        for number, env in enumerate(alone):
            env.reset(seed=5 + number)
        twists = np.stack([FORWARD, -FORWARD, 0.5 * FORWARD, 0.0 * FORWARD])
        action = {"twist": twists, "power": np.zeros(4, np.int64)}
        for _ in range(3):
            observation, *_ = envs.step(action)
        for number, env in enumerate(alone):
            for _ in range(3):
                expected, *_ = env.step({"twist": action["twist"][number], "power": 0})
            for name, part in expected.items():
                np.testing.assert_array_equal(observation[name][number], part)
            env.close()
        assert len({process.pid for process in envs.processes}) == 2
        for process in envs.processes:
            here = Path(f"/proc/{process.pid}")
            assert "bullet" in (here / "maps").read_text()
            assert "torch" not in (here / "maps").read_text()
            assert b"OMP_NUM_THREADS=1\0" in (here / "environ").read_bytes()
            assert len(list((here / "task").iterdir())) == 1
    finally:
        envs.close(terminate=True)
