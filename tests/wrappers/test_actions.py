"""Actions: what is given and what is executed, for every kind of action space."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import nerfbot
from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import ActuatorLimiter, Channel, ChannelEnvelope, Envelope, NerfSpec, Reason
from nerfbot.wrappers import NerfAction

EVERYTHING = {
    "name": "everything",
    "command": {"latency": 0.07, "jitter": 0.05, "drop": {"rate": 1.0, "duration": 0.2}},
    "channels": {
        "action[0]": {
            "effort": {"nerfed": 1.2, "lifted": 2.0},
            "gain": 0.8,
            "hold": {"rate": 0.5, "duration": 0.2},
            "dead_band": {"nerfed": {"uniform": [0.05, 0.2]}},
            "backlash": 0.1,
            "quantum": 0.01,
            "intermittent": {"rate": 0.3, "duration": 0.1},
        }
    },
}


def spec_of(**limits):
    return {"name": "test", "channels": {"*": limits}}


def executed_by(env, actions):
    return [env.step(action)[-1]["nerf"]["executed"] for action in actions]


@pytest.mark.parametrize(
    ("mode", "limits", "given", "executed"),
    [
        ("effort", {"effort": 1.0}, [0.4, 2.0, -2.0], [0.4, 1.0, -1.0]),
        ("effort", {"gain": 0.5}, [0.4, 2.0, -2.0], [0.2, 1.0, -1.0]),
        ("effort", {"dead_band": 0.5}, [0.4, 0.6, -0.4], [0.0, 0.6, 0.0]),
        ("effort", {"quantum": 0.5}, [0.4, 0.6, -1.2], [0.0, 0.5, -1.0]),
        ("effort", {"backlash": 0.4}, [1.0, 0.9, 0.5], [0.8, 0.8, 0.7]),
        ("effort", {}, [9.0, -9.0], [2.0, -2.0]),
        ("velocity", {"velocity": {"nerfed": 0.5, "lifted": 2.0}}, [0.4, 2.0, -2.0], [0.4, 0.5, -0.5]),
        ("velocity", {"acceleration": {"nerfed": 4.0, "lifted": 80.0}}, [2.0] * 3, [0.4, 0.8, 1.2]),
        ("velocity", {}, [2.0, -2.0, 2.0], [2.0, -2.0, 2.0]),
        ("position", {"velocity": {"nerfed": 2.0, "lifted": 40.0}}, [0.0, 1.0, 1.0], [0.0, 0.2, 0.4]),
        ("position", {}, [2.0, -2.0, 2.0], [2.0, -2.0, 2.0]),
    ],
)
def test_action_given_becomes_action_executed(recorder, mode, limits, given, executed):
    env = NerfAction(recorder(spaces.Box(-2.0, 2.0, (1,), np.float32)), spec_of(**limits), mode=mode)
    env.reset(seed=0)
    told = executed_by(env, [[value] for value in given])
    assert np.allclose(told, np.array(executed)[:, None], atol=1e-9)
    assert np.array_equal(env.unwrapped.actions, np.array(told, np.float32))


def test_latency_delays_by_seconds_not_by_steps(recorder):
    spec = {"name": "late", "command": {"latency": 0.18}}
    given = [[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]]
    box = spaces.Box(-2.0, 2.0, (1,), np.float32)
    for period, late in ((0.1, 2), (0.05, 4)):
        env = NerfAction(recorder(box), spec, period=period)
        env.reset(seed=0)
        told = np.ravel(executed_by(env, given))
        assert told.tolist() == [0.0] * late + np.ravel(given)[: 6 - late].tolist()


def test_torque_that_pendulum_applies_is_the_limited_one():
    env = NerfAction(gymnasium.make("Pendulum-v1"), spec_of(effort=0.7))
    env.reset(seed=0)
    applied = []
    for action in (2.0, -1.0, 0.3):
        env.step(np.array([action], np.float32))
        applied.append(env.unwrapped.last_u)
    assert np.allclose(applied, [0.7, -0.7, 0.3])


def test_weak_car_does_not_climb_what_the_strong_one_climbs():
    def highest(gain):
        env = NerfAction(gymnasium.make("MountainCarContinuous-v0"), spec_of(gain=gain))
        obs, _ = env.reset(seed=0)
        top = -np.inf
        for _ in range(300):
            obs, _, terminated, _, _ = env.step([1.0 if obs[1] >= 0 else -1.0])
            top = max(top, float(obs[0]))
            if terminated:
                break
        return top

    assert highest(1.0) >= 0.45
    assert highest(0.2) < 0.2


def test_same_trace_through_the_bare_limiter_is_bit_equal(recorder):
    env = NerfAction(recorder(spaces.Box(-2.0, 2.0, (1,), np.float32)), EVERYTHING, period=0.05)
    channel = Channel("action[0]", "effort", "1")
    envelope = Envelope(channels={"action[0]": ChannelEnvelope(min_effort=-2.0, max_effort=2.0)})
    bare = ActuatorLimiter(NerfSpec.parse(EVERYTHING), [channel], seed=5, envelope=envelope, period=0.05)
    bare.reset(seeds=[5])
    env.reset(seed=5)
    commands = np.random.default_rng(1).uniform(-2.0, 2.0, (400, 1)).astype(np.float32)
    for step, command in enumerate(commands):
        told = env.step(command)[-1]["nerf"]
        limited = bare.apply(command[None], None, step * 0.05, np.zeros((1, 4)))
        assert told["executed"].tobytes() == limited.value[0].tobytes()
        assert told["reasons"].tolist() == limited.reasons[0].tolist()
        assert told["effort_limit"].tolist() == limited.effort_limit[0].tolist()


def test_info_tells_request_execution_time_and_reason(recorder):
    env = NerfAction(recorder(), spec_of(effort=1.0))
    env.reset(seed=0)
    env.step([0.5, 0.5])
    told = env.step([1.5, 0.5])[-1]["nerf"]
    assert told["now"] == pytest.approx(0.1)
    assert told["requested"].tolist() == [1.5, 0.5]
    assert told["executed"].tolist() == [1.0, 0.5]
    assert told["effort_limit"].tolist() == [1.0, 1.0]
    assert [Reason(int(bits)) for bits in told["reasons"]] == [Reason.EFFORT, Reason.NONE]
    assert told["lift"].tolist() == [0.0] * 4


def test_action_of_two_dimensions_keeps_its_shape(recorder):
    env = NerfAction(recorder(spaces.Box(-2.0, 2.0, (2, 3), np.float64)), spec_of(effort=1.0))
    env.reset(seed=0)
    told = env.step(np.full((2, 3), 2.0))[-1]["nerf"]
    assert told["executed"].shape == told["reasons"].shape == (2, 3)
    assert env.unwrapped.actions[0].tolist() == np.ones((2, 3)).tolist()


def test_named_channels_take_limits_and_envelope_by_their_names(recorder):
    spec = {
        "name": "rover",
        "envelope": {
            "channels": {
                "linear.x": {"max_velocity": 1.5, "max_acceleration": 30.0, "stop_deceleration": 2.0},
            }
        },
        "channels": {"linear.x": {"velocity": 0.4}},
    }
    channels = [Channel("linear.x", "velocity", "m/s"), {"name": "angular.z"}]
    env = NerfAction(recorder(), spec, channels=channels)
    env.reset(seed=0)
    told = env.step([2.0, 2.0])[-1]["nerf"]
    assert told["executed"].tolist() == [0.4, 2.0]
    assert env.limiter.envelope.channels["linear.x"].max_velocity == 1.5


@pytest.mark.parametrize(
    "action",
    [[0.1], [[0.1, 0.2]], 0.5, [np.nan, 0.0], [np.inf, 0.0], ["a", "b"], [0.1, [0.2, 0.3]], None],
    ids=str,
)
def test_invalid_action_steps_nothing(recorder, action):
    env = NerfAction(recorder(), EVERYTHING | {"channels": {}}, seed=0)
    twin = NerfAction(recorder(), EVERYTHING | {"channels": {}}, seed=0)
    env.reset(seed=1)
    twin.reset(seed=1)
    with pytest.raises(InvalidCommand, match=r"^action.*$") as error:
        env.step(action)
    assert "\n" not in str(error.value)
    assert env.unwrapped.actions == []
    # Nor has the limiter moved on.
    assert np.array_equal(executed_by(env, [[1, 1]] * 5), executed_by(twin, [[1, 1]] * 5))


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (spaces.Box(-np.inf, np.inf, (1,)), {}, r"envelope.action\[0\]: is required.*unbounded"),
        (spaces.Box(-2.0, 2.0, (1,)), {"spec": spec_of(velocity=1.0)}, "velocity.*"),
        (
            spaces.Box(-2.0, 2.0, (1,)),
            {"spec": spec_of(gain=0.5), "mode": "position"},
            "gain.*not enforceable",
        ),
        (spaces.Box(1.0, 2.0, (1,)), {}, r"mode 'effort' needs an action range around zero, got \[1, 2\]"),
        (spaces.Box(-2.0, 2.0, (1,)), {"mode": "torque"}, "mode must be one of.*'torque'"),
        (spaces.Box(-2.0, 2.0, (1,)), {"channels": ["a", "b"]}, "1 elements, got 2 channels"),
        (spaces.Box(-2.0, 2.0, (2,)), {"channels": ["a", "a"]}, "names must differ"),
        (spaces.Box(-2.0, 2.0, (1,)), {"channels": [{"nme": "a"}]}, "must have a name"),
        (
            spaces.Box(-2.0, 2.0, (1,)),
            {"channels": [Channel("a", "velocity", "m/s", effort_limit=True)]},
            "effort_limit and measures must stay empty",
        ),
        (spaces.Box(-2.0, 2.0, (1,)), {"noop": 0}, "noop = 0: only a discrete"),
        (spaces.Box(-2.0, 2.0, (1,)), {"spec": "rover-weak"}, r"linear.x.*no such channel.*action\[0\]"),
        (spaces.Box(-2.0, 2.0, (1,)), {"spec": "no-such"}, "unknown preset 'no-such'"),
        (spaces.Text(3), {}, "only Box, Discrete"),
        (spaces.Discrete(3), {"spec": spec_of(effort=1.0)}, r"channels\[\*\].effort: is not enforceable"),
    ],
)
def test_what_cannot_be_enforced_is_one_line_at_construction(recorder, space, options, message):
    options = {"spec": spec_of(), **options}
    with pytest.raises(InvalidSpec, match=message) as error:
        NerfAction(recorder(space), **options)
    assert "\n" not in str(error.value)


def test_unbounded_box_is_limited_under_a_stated_envelope(recorder):
    spec = {"name": "arm", "envelope": {"channels": {"*": {"max_effort": 3.0}}}}
    env = NerfAction(recorder(spaces.Box(-np.inf, np.inf, (1,))), spec)
    env.reset(seed=0)
    assert env.step([100.0])[-1]["nerf"]["executed"].tolist() == [3.0]


def test_box_off_zero_is_limited_as_a_position(recorder):
    env = NerfAction(recorder(spaces.Box(1.0, 2.0, (1,), np.float64)), spec_of(), mode="position")
    env.reset(seed=0)
    assert np.ravel(executed_by(env, [[1.5], [5.0], [0.0], [1.25]])).tolist() == [1.5, 2.0, 1.0, 1.25]


@pytest.mark.parametrize(
    ("space", "noop", "lost"),
    [
        (spaces.Discrete(4), None, 0),
        (spaces.Discrete(4, start=-1), None, -1),
        (spaces.Discrete(4), 2, 2),
        (spaces.MultiDiscrete([3, 4]), [1, 3], [1, 3]),
        (spaces.MultiBinary(3), None, [0, 0, 0]),
    ],
    ids=str,
)
def test_lost_choice_becomes_the_noop(recorder, space, noop, lost):
    never = {"rate": 1e9, "duration": 1e9}
    env = NerfAction(recorder(space), {"name": "cut", "command": {"drop": never}}, noop=noop)
    env.reset(seed=0)
    space.seed(0)
    for _ in range(10):
        told = env.step(space.sample())[-1]["nerf"]
    assert np.asarray(told["executed"]).tolist() == lost
    assert np.asarray(env.unwrapped.actions[-1]).tolist() == lost
    assert space.contains(env.unwrapped.actions[-1])


def test_choice_arrives_late_and_unchanged(recorder):
    env = NerfAction(recorder(spaces.Discrete(5)), {"name": "late", "command": {"latency": 0.18}}, noop=4)
    env.reset(seed=0)
    given = [0, 1, 2, 3, 4, 0, 1]
    assert [int(choice) for choice in executed_by(env, given)] == [4, 4, *given[:5]]


def test_stuck_choice_repeats_the_last_one(recorder):
    spec = spec_of(hold={"rate": 2.0, "duration": 0.5})
    env = NerfAction(recorder(spaces.Discrete(1000)), spec)
    env.reset(seed=3)
    told = [int(choice) for choice in executed_by(env, range(300))]
    steps = list(zip(range(1, 300), itertools.pairwise(told), strict=True))
    assert 50 < sum(now == before for _, (before, now) in steps) < 250
    assert all(now in (given, before) for given, (before, now) in steps)


def test_limit_that_a_choice_cannot_carry_can_be_allowed_by_name(recorder):
    env = NerfAction(recorder(spaces.Discrete(5)), spec_of(gain=0.5), allow=["*.gain"])
    env.reset(seed=0)
    assert [int(choice) for choice in executed_by(env, [4, 2, 3])] == [4, 2, 3]  # allowed, not halved


@pytest.mark.parametrize("action", [5, -1, 1.0, [1], None, "left"], ids=str)
def test_invalid_choice_steps_nothing(recorder, action):
    env = NerfAction(recorder(spaces.Discrete(5)), spec_of())
    env.reset(seed=0)
    with pytest.raises(InvalidCommand, match=r"^action"):
        env.step(action)
    assert env.unwrapped.actions == []


def test_cartpole_gets_its_choices_late():
    env = nerfbot.wrap(gymnasium.make("CartPole-v1"), {"name": "late", "command": {"latency": 0.03}}, "never")
    env.reset(seed=0)
    told = [int(choice) for choice in executed_by(env, [1, 1, 0, 1])]
    assert told == [0, 0, 1, 1]  # its period is 0.02 s


def test_same_seed_replays_the_same_run(recorder):
    def run(env, seed):
        env.reset(seed=seed)
        first = executed_by(env, [[2.0]] * 50)
        env.reset()
        return np.array([*first, *executed_by(env, [[2.0]] * 50)])

    box = spaces.Box(-2.0, 2.0, (1,), np.float32)
    env, other = NerfAction(recorder(box), EVERYTHING), NerfAction(recorder(box), EVERYTHING)
    trace = run(env, 7)
    assert np.array_equal(trace, run(other, 7))
    assert np.array_equal(trace, run(env, 7))
    assert not np.array_equal(trace, run(env, 8))
    assert not np.array_equal(trace[:50], trace[50:])


def test_seed_of_the_constructor_is_that_of_an_unseeded_first_episode(recorder):
    box = spaces.Box(-2.0, 2.0, (1,), np.float32)
    built, told = NerfAction(recorder(box), EVERYTHING, seed=9), NerfAction(recorder(box), EVERYTHING)
    built.reset()
    told.reset(seed=9)
    given = [[2.0]] * 50
    assert np.array_equal(executed_by(built, given), executed_by(told, given))


@pytest.mark.parametrize(
    ("mode", "limit", "most"), [("effort", {"effort": 2.6}, 2), ("velocity", {"velocity": 1.5}, 1)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_are_rounded_towards_zero_never_past_a_limit(mode, limit, most, sign) -> None:
    env = nerfbot.wrap(Integers(), spec_of(**limit), schedule="never", mode=mode)
    env.reset(seed=0)
    for _ in range(20):
        info = env.step(np.array([sign * 10]))[-1]
    assert env.unwrapped.action.tolist() == [sign * most]
    assert info["nerf"]["executed"].tolist() == [sign * most]


@pytest.mark.parametrize("mode", ["effort", "velocity", "position"])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (-2.0, -2.0)])
def test_a_range_that_ends_at_zero_or_is_a_point_can_be_limited(mode, low, high) -> None:
    if mode != "position" and high < 0.0:
        pytest.skip("a range without zero")
    env = Integers()
    env.action_space = spaces.Box(low, high, (1,), np.float32)
    wrapped = nerfbot.wrap(env, {"name": "late", "command": {"latency": 0.1}}, schedule="never", mode=mode)
    wrapped.reset(seed=0)
    for _ in range(30):
        wrapped.step(np.array([high if high else low], np.float32))
        assert env.action_space.contains(env.action)
    assert env.action[0] == pytest.approx(high if high else low, abs=1e-6)


class Integers(gymnasium.Env):
    """Remembers the action that it got."""

    metadata, dt = {}, 0.05

    def __init__(self):
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Box(-10, 10, (1,), np.int64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.action = action
        return np.zeros(1, np.float32), 0.0, False, False, {}
