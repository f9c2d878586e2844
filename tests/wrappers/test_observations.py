"""Observations: what arrives of them, in a Box and in a Dict."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from nerfbot.errors import InvalidSpec
from nerfbot.limits import NerfSpec, SensorLimiter
from nerfbot.limits.geometry import RayGeometry
from nerfbot.wrappers import NerfObservation

RAYS = {"kind": "rays", "field_of_view": 4.0, "max_range": 8.0}


def spec_of(**sensors):
    return {"name": "test", "sensors": sensors}


def seen_by(env, steps, action=(0.0, 0.0)):
    first, _ = env.reset(seed=0)
    return [first, *(env.step(np.array(action, np.float32))[0] for _ in range(steps))]


def test_box_observation_arrives_late(recorder):
    env = NerfObservation(recorder(), spec_of(observation={"latency": 0.15}))
    assert [seen[0] for seen in seen_by(env, 5)] == [0, 0, 0, 1, 2, 3]


def test_sensor_at_a_low_rate_repeats_its_sample(recorder):
    env = NerfObservation(recorder(), spec_of(observation={"rate": {"nerfed": 5.0, "lifted": 10.0}}))
    assert [seen[0] for seen in seen_by(env, 5)] == [0, 0, 2, 2, 4, 4]


def test_noise_has_the_stated_spread_and_stays_in_the_space():
    env = NerfObservation(gymnasium.make("Pendulum-v1"), spec_of(observation={"noise": 0.5}))
    clean = gymnasium.make("Pendulum-v1")
    seen, true = seen_by(env, 150, [0.0]), seen_by(clean, 150, [0.0])
    error = np.array(seen)[:, 2] - np.array(true)[:, 2]
    assert 0.4 < error.std() < 0.6
    assert all(env.observation_space.contains(item) for item in seen)


def test_each_sensor_of_a_dict_has_its_own_limits(senses):
    spec = spec_of(
        lidar={"range": {"nerfed": 2.5, "lifted": 8.0}},
        camera={"field_of_view": {"nerfed": 0.5, "lifted": 1.0}},
        pose={"latency": 0.05},
    )
    env = NerfObservation(senses(), spec, geometry={"lidar": RAYS})
    seen = seen_by(env, 2)[-1]
    assert seen["lidar"].tolist() == [1.0, 2.0, 8.0, 8.0, 8.0]
    assert (seen["camera"][:, 0] == 0).all()
    assert (seen["camera"][:, 3] == 200).all()
    assert seen["pose"].tolist() == [1.0, -1.0]
    assert seen["cell"] == 3
    assert env.observation_space.contains(seen)


def test_geometry_may_be_an_object(senses):
    spec = spec_of(lidar={"range": {"nerfed": 2.5, "lifted": 8.0}})
    env = NerfObservation(senses(), spec, geometry={"lidar": RayGeometry(4.0, 8.0)})
    assert seen_by(env, 0)[0]["lidar"].tolist() == [1.0, 2.0, 8.0, 8.0, 8.0]


def test_same_readings_through_the_bare_limiter_are_bit_equal(recorder):
    spec = spec_of(observation={"noise": 0.5, "dropout": 0.2, "drift": 0.3, "latency": 0.3, "bias": 1.0})
    env = NerfObservation(recorder(), spec)
    bare = SensorLimiter(NerfSpec.parse(spec), "observation", (3,), seed=0, dtype=np.float32)
    bare.reset(seeds=[0])
    for step, seen in enumerate(seen_by(env, 100)):
        reading = np.full((1, 3), step, np.float32)
        expected = np.maximum(bare.apply(reading, step * 0.1, np.zeros((1, 4)))[0], 0.0)
        assert seen.tobytes() == expected.tobytes()


def test_same_seed_shows_the_same_and_another_episode_other_noise(recorder):
    spec = spec_of(observation={"noise": 0.5})
    env, other = NerfObservation(recorder(), spec), NerfObservation(recorder(), spec)
    first = np.array(seen_by(env, 20))
    assert np.array_equal(first, seen_by(other, 20))
    assert np.array_equal(first, seen_by(env, 20))
    env.reset()
    again = [env.step(np.zeros(2))[0] for _ in range(20)]
    assert not np.array_equal(first[1:], again)


@pytest.mark.parametrize(
    ("sensors", "options", "message"),
    [
        ({"observation": {"noise": 0.1}}, {}, r"sensors\[observation\].*\(known: camera, lidar, pose"),
        ({"cell": {"noise": 0.1}}, {}, r"sensors\[cell\]"),
        ({"lidar": {"range": {"nerfed": 1.0, "lifted": 8.0}}}, {}, r"lidar\].range: is not enforceable"),
        ({}, {"geometry": {"lidar": {"kind": "ray"}}}, r"geometry\[lidar\].kind: must be one of.*'ray'"),
        ({}, {"geometry": {"lidar": {"kind": "rays", "fov": 1.0}}}, r"geometry\[lidar\]: .*'fov'"),
        ({}, {"geometry": {"lidr": RAYS}}, r"geometry\[lidr\].*did you mean 'lidar'"),
    ],
)
def test_what_cannot_be_limited_is_one_line_at_construction(senses, sensors, options, message):
    with pytest.raises(InvalidSpec, match=message) as error:
        NerfObservation(senses(), spec_of(**sensors), **options)
    assert "\n" not in str(error.value)


def test_limit_that_a_sensor_cannot_carry_can_be_allowed_by_name(senses):
    spec = spec_of(lidar={"range": {"nerfed": 1.0, "lifted": 8.0}})
    env = NerfObservation(senses(), spec, allow=["lidar.range"])
    assert seen_by(env, 0)[0]["lidar"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
