"""What others do with a wrapped environment: check it, train on it, write down its spec and rebuild it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import nerfbot
import nerfbot.errors
from nerfbot.limits import Channel, NerfSpec
from nerfbot.powers import Occasional
from nerfbot.registration import ENVIRONMENTS, register

UNRELIABLE = {
    "name": "unreliable",
    "command": {"latency": 0.07, "drop": {"rate": 1.0, "duration": 0.2}},
    "channels": {"*": {"hold": {"rate": {"nerfed": {"uniform": [0.2, 0.8]}}, "duration": 0.3}}},
    "sensors": {"observation": {"latency": 0.03, "noise": 0.1, "dropout": 0.1}},
}
SCHEDULE = {"kind": "occasional", "probability": 0.5, "start": [0.0, 1.0], "length": [0.5, 2.0]}


def trace(env, seed=0, count=60):
    obs, _ = env.reset(seed=seed)
    env.action_space.seed(seed)
    told = [obs]
    for _ in range(count):
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        told += [obs, reward, info["nerf"]]
        if terminated or truncated:
            env.reset()
    return told


@pytest.mark.parametrize("name", ["Pendulum-v1", "CartPole-v1", "MountainCarContinuous-v0"])
@pytest.mark.parametrize("schedule", ["never", "always", SCHEDULE], ids=["never", "always", "occasional"])
@pytest.mark.parametrize("options", [{}, {"flatten": True}, {"reveal_lift": False}], ids=str)
def test_gymnasiums_checker_finds_nothing_wrong(name, schedule, options):
    env = nerfbot.wrap(gymnasium.make(name, disable_env_checker=True), UNRELIABLE, schedule, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Remarks on the environments themselves, not on the wrappers.
        warnings.filterwarnings(
            "ignore", message=".*(different from the unwrapped|symmetric and normalized).*"
        )
        warnings.filterwarnings("ignore", message=".*(maximum|minimum) value is.*infinity.*")
        check_env(env, skip_render_check=True)


@pytest.mark.parametrize(("flatten", "policy"), [(True, "MlpPolicy"), (False, "MultiInputPolicy")])
def test_stable_baselines_trains_on_it_unmodified(flatten, policy):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    env = nerfbot.wrap(gymnasium.make("Pendulum-v1"), UNRELIABLE, SCHEDULE, flatten=flatten)
    model = stable_baselines3.PPO(policy, env, n_steps=128, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(256)
    assert model.num_timesteps == 256


@pytest.mark.parametrize("name", ["Pendulum-v1", "CartPole-v1"])
def test_spec_survives_json_and_rebuilds_the_same_environment(name):
    env = nerfbot.wrap(gymnasium.make(name), UNRELIABLE, SCHEDULE)
    text = env.spec.to_json()
    again = gymnasium.make(EnvSpec.from_json(text))
    assert str(again) == str(env)
    assert again.spec.to_json() == text
    for told, retold in zip(trace(env), trace(again), strict=True):
        assert repr(told) == repr(retold)


@pytest.mark.parametrize("name", ["Pendulum-v1", "CartPole-v1", "MountainCarContinuous-v0"])
def test_preset_that_names_no_channel_fits_any_environment(name):
    env = nerfbot.wrap(gymnasium.make(name), "unreliable")
    reasons = [told["reasons"] for told in trace(env, count=100)[3::3]]
    assert np.any(reasons)
    assert json.loads(env.spec.to_json())["additional_wrappers"][1]["kwargs"]["spec"] == "unreliable"


def test_spec_names_the_wrappers_by_the_packages_name():
    env = nerfbot.wrap(gymnasium.make("Pendulum-v1"), UNRELIABLE)
    points = [layer["entry_point"] for layer in json.loads(env.spec.to_json())["additional_wrappers"]]
    layers = ["Powers", "NerfAction", "NerfObservation", "RevealLift"]
    assert points == [f"nerfbot.wrappers:{layer}" for layer in layers]


def test_objects_given_as_arguments_become_plain_data_in_the_spec():
    env = nerfbot.wrap(
        gymnasium.make("Pendulum-v1"),
        NerfSpec.parse({"name": "slow", "channels": {"motor": {"velocity": {"nerfed": 0.5, "lifted": 2.0}}}}),
        Occasional(probability=1.0, start=(0.1, 0.2), length=(0.5, 0.5)),
        channels=[Channel("motor", "velocity", "rad/s")],
        axes=("speed",),
    )
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    for told, retold in zip(trace(env), trace(again), strict=True):
        assert repr(told) == repr(retold)


def test_yaml_files_may_hold_specification_and_schedule(tmp_path: Path):
    (tmp_path / "nerf.yaml").write_text('name: weak\nchannels: {"*": {effort: 0.5}}\n')
    (tmp_path / "when.yaml").write_text("kind: always\naxes: {strength: 0.5}\n")
    env = gymnasium.make("Pendulum-v1")
    env = nerfbot.wrap(env, tmp_path / "nerf.yaml", tmp_path / "when.yaml")
    env = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    env.reset(seed=0)
    assert env.step(np.array([2.0], np.float32))[-1]["nerf"]["executed"].tolist() == [1.25]


def test_spec_makes_a_vector_of_wrapped_environments():
    spec = nerfbot.wrap(gymnasium.make("Pendulum-v1"), UNRELIABLE, "always").spec
    envs = gymnasium.make_vec(spec, num_envs=2)
    obs, _ = envs.reset(seed=0)
    assert obs["lift"].tolist() == [[1.0] * 4] * 2
    envs.close()


@pytest.mark.parametrize(
    ("name", "options", "period"),
    [
        ("Pendulum-v1", {}, 0.05),  # its dt, not its frame rate
        ("CartPole-v1", {}, 0.02),
        ("Pendulum-v1", {"period": 0.2}, 0.2),
    ],
)
def test_period_is_the_environments_own_unless_given(name, options, period):
    env = nerfbot.wrap(gymnasium.make(name), {"name": "none"}, "never", **options)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.step(env.action_space.sample())[-1]["nerf"]["now"] == pytest.approx(period)


def test_period_without_any_sign_is_a_twentieth_of_a_second(recorder):
    silent = type("Silent", (recorder,), {"dt": None})
    env = nerfbot.wrap(silent(), {"name": "none"}, "never")
    env.reset(seed=0)
    env.step([0.0, 0.0])
    assert env.step([0.0, 0.0])[-1]["nerf"]["now"] == pytest.approx(0.05)


@pytest.mark.parametrize("period", [0.0, -1.0, float("nan"), float("inf")])
def test_period_that_cannot_be_is_one_line(period):
    with pytest.raises(nerfbot.errors.InvalidCommand, match="period must be above 0 s"):
        nerfbot.wrap(gymnasium.make("Pendulum-v1"), UNRELIABLE, period=period)


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_nerfbot_loads_nothing_heavy_and_registers_the_environments():
    heavy = ("torch", "pybullet", "rclpy", "numba", "nerfbot.limits", "nerfbot.wrappers")
    code = f"import sys, nerfbot, gymnasium; print([m for m in {heavy} if m in sys.modules]);"
    code += "print('nerfbot/Rover-v0' in gymnasium.registry, callable(nerfbot.wrap), 'wrap' in dir(nerfbot))"
    assert run_python(code).split("\n")[:2] == ["[]", "True True True"]


def test_wrapping_loads_neither_torch_nor_pybullet():
    code = "import sys, nerfbot; nerfbot.wrap; print([m for m in ('torch', 'pybullet') if m in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_importing_nerfbot_does_without_gymnasium():
    code = "import sys; sys.modules['gymnasium'] = None; import nerfbot.limits; print('limits alone')"
    assert run_python(code).strip() == "limits alone"


def test_registering_twice_changes_nothing():
    before = {name: gymnasium.registry[name] for name in ENVIRONMENTS}
    register()
    assert all(gymnasium.registry[name] is spec for name, spec in before.items())


def test_unknown_name_in_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'wrapp'"):
        _ = nerfbot.wrapp
