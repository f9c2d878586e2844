"""Each environment of a vector gets exactly what it would get alone: actions, observations, final ones."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import nerfbot

LENGTHS = (13, 21)
OPTIONS = {"schedule": "occasional", "reveal_lift": False, "period": 0.05, "horizon": 2.0}
FAULT = {"rate": 2.0, "duration": 0.2}
IMPAIRMENTS = {
    "noise": {"sensors": {"observation": {"noise": {"nerfed": 1.0, "lifted": 0.0}}}},
    "frozen": {"sensors": {"observation": {"frozen": FAULT}}},
    "drift": {"sensors": {"observation": {"drift": {"nerfed": 1.0, "lifted": 0.0}}}},
    "dropout": {"sensors": {"observation": {"dropout": {"nerfed": 0.4, "lifted": 0.0}}}},
    "rate and latency": {
        "sensors": {
            "observation": {
                "rate": {"nerfed": 9.0, "lifted": 100.0},
                "latency": {"nerfed": {"uniform": [0.05, 0.3]}, "lifted": 0.0},
            }
        }
    },
    "late commands": {
        "command": {
            "latency": {"nerfed": 0.1, "lifted": 0.0},
            "jitter": {"nerfed": 0.1, "lifted": 0.0},
            "drop": FAULT,
        }
    },
    "faults": {
        "channels": {"*": {"hold": FAULT, "intermittent": FAULT, "gain": {"nerfed": {"uniform": [0.3, 0.9]}}}}
    },
}


class Counting(gymnasium.Env[Any, Any]):
    """Shows its step and the last action; an episode has ``length`` steps."""

    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.step_number = 0
        return np.zeros(2), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.step_number += 1
        observation = np.array([float(self.step_number), float(action[0])])
        return observation, 0.0, self.step_number >= self.length, False, {}


def action_of(row: int, step: int) -> float:
    return float(np.sin(0.7 * step + row))


def alone(row: int, spec: dict[str, Any], steps: int, mode: AutoresetMode) -> list[bytes]:
    """What one environment shows, in the order in which a vector in this mode would."""
    env = nerfbot.wrap(Counting(LENGTHS[row]), spec, **OPTIONS)
    shown = [env.reset(seed=7 + row)[0].tobytes()]
    done = False
    for step in range(steps):
        if done and mode is not AutoresetMode.SAME_STEP:
            shown.append(env.reset()[0].tobytes())
            done = False
            if mode is AutoresetMode.NEXT_STEP:  # this step went to the reset
                continue
        observation, _, done, _, _ = env.step(np.array([action_of(row, step)]))
        shown.append(observation.tobytes())
        if done and mode is AutoresetMode.SAME_STEP:
            shown.append(env.reset()[0].tobytes())
    return shown


def together(kind: type, spec: dict[str, Any], steps: int, mode: AutoresetMode) -> list[list[bytes]]:
    envs = kind([lambda n=n: Counting(n) for n in LENGTHS], autoreset_mode=mode)
    env = nerfbot.wrap(envs, spec, **OPTIONS)
    observation, _ = env.reset(seed=7)
    shown = [[observation[row].tobytes()] for row in range(2)]
    for step in range(steps):
        actions = np.array([[action_of(row, step)] for row in range(2)])
        observation, _, terminated, _, info = env.step(actions)
        for row in range(2):
            if terminated[row] and mode is AutoresetMode.SAME_STEP:
                shown[row].append(info["final_obs"][row].tobytes())
            shown[row].append(observation[row].tobytes())
        if mode is AutoresetMode.DISABLED and terminated.any():
            observation, _ = env.reset(options={"reset_mask": terminated})
            for row in np.flatnonzero(terminated):
                shown[row].append(observation[row].tobytes())
    env.close()
    return shown


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_a_vector_gives_each_what_it_gets_alone(name: str, mode: AutoresetMode) -> None:
    spec = {"name": "n", **IMPAIRMENTS[name]}
    shown = together(SyncVectorEnv, spec, 70, mode)
    for row in range(2):
        expected = alone(row, spec, 70, mode)
        assert shown[row][: len(expected)] == expected[: len(shown[row])]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_environments_in_processes_too(mode: AutoresetMode) -> None:
    spec = {"name": "n", **IMPAIRMENTS["noise"], "command": IMPAIRMENTS["late commands"]["command"]}
    assert together(AsyncVectorEnv, spec, 50, mode) == together(SyncVectorEnv, spec, 50, mode)
