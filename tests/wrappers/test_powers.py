"""Leases in a wrapped environment: when the nerf is lifted, and who gets to know."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

import nerfbot
from nerfbot.errors import InvalidSpec, LeaseError
from nerfbot.limits import NerfSpec
from nerfbot.powers import Lease, Occasional, Staircase
from nerfbot.wrappers import NerfAction, NerfObservation, Powers, PowersVector, RevealLift

WEAK = {"name": "weak", "channels": {"*": {"effort": {"nerfed": 0.5, "lifted": 2.0}}}}
WINDOW = {"kind": "occasional", "probability": 1.0, "start": 0.3, "length": 0.4, "axes": {"strength": 1.0}}
FULL = np.array([2.0, 2.0], np.float32)


def steps(env, count, action=FULL):
    return [env.step(action) for _ in range(count)]


def strengths(env, count):
    return [float(info["nerf"]["executed"][0]) for *_, info in steps(env, count)]


def test_level_one_with_wide_limits_is_the_identity(recorder):
    spec = {
        **WEAK,
        "command": {"latency": 0.3, "drop": {"rate": 1.0, "duration": 0.5}},
        "sensors": {"observation": {"latency": 0.3, "noise": 1.0, "dropout": 0.5}},
    }
    env, bare = nerfbot.wrap(recorder(), spec, "always", reveal_lift=False), recorder()
    assert np.array_equal(env.reset(seed=0)[0], bare.reset(seed=0)[0])
    for action in np.random.default_rng(0).uniform(-2, 2, (100, 2)).astype(np.float32):
        obs, *_, info = env.step(action)
        assert np.array_equal(obs, bare.step(action)[0])
        assert np.array_equal(info["nerf"]["executed"], action)
        assert not info["nerf"]["reasons"].any()
    assert np.array_equal(env.unwrapped.actions, bare.actions)


def test_nerf_is_lifted_in_its_window_and_returns_by_itself(recorder):
    env = nerfbot.wrap(recorder(), WEAK, WINDOW)  # a step is 0.1 s
    env.reset(seed=0)
    assert strengths(env, 10) == [0.5] * 3 + [2.0] * 4 + [0.5] * 3
    env.reset()
    assert strengths(env, 10) == [0.5] * 3 + [2.0] * 4 + [0.5] * 3


def test_partial_lift_interpolates_the_limit(recorder):
    env = nerfbot.wrap(recorder(), WEAK, "always", axes={"strength": 0.5})
    env.reset(seed=0)
    assert strengths(env, 2) == [1.25, 1.25]


def test_axes_choose_what_is_lifted(recorder):
    env = nerfbot.wrap(recorder(), WEAK, "always", axes=["speed", "sensing"])
    env.reset(seed=0)
    assert strengths(env, 2) == [0.5, 0.5]
    assert env.step(FULL)[-1]["nerf"]["lift"].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_sensing_lift_reaches_the_sensors(recorder):
    spec = {"name": "late", "sensors": {"observation": {"latency": 0.15}}}
    env = nerfbot.wrap(recorder(), spec, "always", axes="sensing", reveal_lift=False)
    env.reset(seed=0)
    assert [float(obs[0]) for obs, *_ in steps(env, 3)] == [1.0, 2.0, 3.0]


def test_info_tells_the_leases_of_the_step(recorder):
    env = nerfbot.wrap(recorder(), WEAK, WINDOW)
    env.reset(seed=0)
    told = [info["nerf"]["leases"] for *_, info in steps(env, 8)]
    assert [len(leases) for leases in told] == [0, 0, 0, 1, 1, 1, 1, 0]
    assert told[3][0]["start"] == pytest.approx(0.3)
    assert told[3][0]["end"] == pytest.approx(0.7)
    assert told[3][0]["powers"] == ("strength",)
    assert told[3][0]["charges"] is None


def test_observation_reveals_the_lift_of_the_next_action(recorder):
    env = nerfbot.wrap(recorder(), WEAK, WINDOW)
    shown = [float(env.reset(seed=0)[0]["lift"][0])]
    used = []
    for obs, *_, info in steps(env, 10):
        assert env.observation_space.contains(obs)
        shown.append(float(obs["lift"][0]))
        used.append(float(info["nerf"]["lift"][0]))
    assert shown[:-1] == used
    assert 1.0 in shown


def test_flattened_observation_ends_with_the_lift(recorder):
    env = nerfbot.wrap(recorder(), WEAK, "always", axes=["strength", "reliability"], flatten=True)
    assert env.observation_space.shape == (7,)
    assert env.reset(seed=0)[0].tolist() == [0, 0, 0, 1, 0, 0, 1]
    obs, *_ = env.step(FULL)
    assert obs.tolist() == [1, 1, 1, 1, 0, 0, 1]
    assert obs in env.observation_space


def test_dict_observation_gets_the_lift_as_one_more_key(senses):
    env = nerfbot.wrap(senses(), WEAK, "always")
    obs, _ = env.reset(seed=0)
    assert set(obs) == {"lidar", "camera", "pose", "cell", "lift"}
    assert env.observation_space.contains(obs)


def test_hidden_lift_leaves_the_observation_alone_and_stays_in_info(recorder):
    env = nerfbot.wrap(recorder(), WEAK, "always", reveal_lift=False)
    assert env.observation_space == recorder().observation_space
    _, info = env.reset(seed=0)
    assert info["nerf"]["lift"].tolist() == [1.0] * 4


def test_episode_without_a_time_limit_stays_lifted_past_the_horizon(recorder):
    env = nerfbot.wrap(recorder(), WEAK, "always", horizon=0.35)
    env.reset(seed=0)
    assert strengths(env, 50) == [2.0] * 50


def test_lease_by_hand_lifts_until_it_is_revoked(recorder):
    env = nerfbot.wrap(recorder(), WEAK, "never")
    env.reset(seed=0)
    authority = env.get_wrapper_attr("authority")
    steps(env, 3)
    lease = Lease(axes={"strength": 1.0}, reason="test", duration=5.0)
    decision = authority.request(lease, env.get_wrapper_attr("now"))
    assert strengths(env, 2) == [2.0, 2.0]
    authority.revoke(decision.lease_id, env.get_wrapper_attr("now"), "enough")
    assert strengths(env, 2) == [0.5, 0.5]


def test_emergency_stop_outlasts_a_reset(recorder):
    env = nerfbot.wrap(recorder(), WEAK, "always")
    env.reset(seed=0)
    env.get_wrapper_attr("authority").estop(0.0, "test")
    env.reset(seed=0)
    assert strengths(env, 2) == [0.5, 0.5]


def test_windows_follow_the_seed(recorder):
    def windows(env, seed):
        env.reset(seed=seed)
        plan = [np.array([info["nerf"]["lift"] for *_, info in steps(env, 60)])]
        for _ in range(5):
            env.reset()
            plan.append(np.array([info["nerf"]["lift"] for *_, info in steps(env, 60)]))
        return np.array(plan)

    schedule = Occasional(probability=0.5, start=(0.0, 3.0), length=(0.5, 2.0))
    env, other = Powers(recorder(), schedule), Powers(recorder(), schedule)
    plans = windows(env, 4)
    assert np.array_equal(plans, windows(other, 4))
    assert np.array_equal(plans, windows(env, 4))
    assert not np.array_equal(plans, windows(env, 5))
    lifted = plans.any(axis=(1, 2))
    assert lifted.any()
    assert not lifted.all()


def test_adaptive_schedule_learns_from_the_environments_own_outcome(recorder):
    env = Powers(recorder(length=5, outcome={"is_success": True}), Staircase(steps=2, window=1))
    highest = []
    for _ in range(4):
        env.reset()
        highest.append(max(float(info["nerf"]["lift"][0]) for *_, info in steps(env, 5)))
    assert highest == [0.0, 0.5, 1.0, 1.0]
    assert env.schedule.level == 1.0


def test_adaptive_schedule_learns_from_every_environment_of_a_vector(recorder):
    def make():
        return recorder(length=5, outcome={"is_success": True})

    for mode in ("NextStep", "SameStep"):
        env = PowersVector(SyncVectorEnv([make, make], autoreset_mode=mode), Staircase(steps=4, window=1))
        env.reset(seed=0)
        steps(env, 12, np.zeros((2, 2), np.float32))
        assert env.schedule.level == 1.0  # two episodes of two environments


@pytest.mark.parametrize(("schedule", "key"), [("staircase", "is_success"), ("damage-bounded", "harm")])
def test_adaptive_schedule_refuses_to_learn_from_silence(recorder, schedule, key):
    env = Powers(recorder(length=2), schedule)
    env.reset()
    env.step(FULL)
    with pytest.raises(LeaseError, match=f"needs info\\['{key}'\\]"):
        env.step(FULL)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("ocasional", "did you mean 'occasional'"),
        ({"kind": "always", "edits": ["teleport"]}, "edits = .*simulator"),
        ({"kind": "always", "charges": 2}, "charges = 2"),
    ],
)
def test_schedule_that_a_wrapper_cannot_follow_is_one_line(recorder, schedule, message):
    with pytest.raises(LeaseError, match=message) as error:
        nerfbot.wrap(recorder(), WEAK, schedule)
    assert "\n" not in str(error.value)


def test_wrappers_in_an_order_that_cannot_work_are_refused(recorder, senses):
    with pytest.raises(InvalidSpec, match="Powers: must be inside NerfAction"):
        Powers(NerfAction(recorder(), WEAK))
    with pytest.raises(InvalidSpec, match="RevealLift: needs Powers further in"):
        RevealLift(recorder())
    with pytest.raises(InvalidSpec, match="flatten: needs a Box"):
        RevealLift(Powers(senses()), flatten=True)
    with pytest.raises(InvalidSpec, match="has a key 'lift' already"):
        RevealLift(RevealLift(Powers(recorder())))


def test_wrap_puts_on_what_is_needed_and_takes_a_spec_as_an_object(recorder):
    def layers(env):
        return [type(env).__name__, *layers(env.env)] if hasattr(env, "env") else []

    spec = NerfSpec.parse({**WEAK, "sensors": {"observation": {"noise": 0.1}}})
    assert layers(nerfbot.wrap(recorder(), WEAK, reveal_lift=False)) == ["NerfAction", "Powers"]
    env = nerfbot.wrap(recorder(), spec)
    assert layers(env) == ["RevealLift", "NerfObservation", "NerfAction", "Powers"]
    assert isinstance(env.env, NerfObservation)


@pytest.mark.parametrize("env", ["Pendulum-v1", None, spaces.Discrete(2)], ids=str)
def test_wrap_refuses_what_is_no_environment(env):
    with pytest.raises(InvalidSpec, match="env: must be a Gymnasium environment"):
        nerfbot.wrap(env, WEAK)
