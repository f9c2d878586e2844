"""A copied or pickled limiter goes on exactly as the original does."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import ActuatorLimiter, Channel, Envelope, Measured, NerfSpec, RayGeometry, SensorLimiter
from nerfbot.limits.geometry import ImageGeometry
from nerfbot.powers import LeaseAuthority, LeasePolicy, load_schedule
from nerfbot.powers.lease import Lease

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda item: pickle.loads(pickle.dumps(item))}

ENVELOPE = Envelope.model_validate(
    {
        "channels": {
            "v": {"max_velocity": 1.0, "max_acceleration": 100.0, "stop_deceleration": 50.0},
            "p": {
                "min_position": -2.0,
                "max_position": 2.0,
                "max_velocity": 5.0,
                "max_acceleration": 100.0,
                "stop_deceleration": 50.0,
            },
            "e": {"max_effort": 10.0},
        }
    }
)
CHANNELS = [
    Channel("v", "velocity", "m/s", measures=frozenset({"position", "velocity"})),
    Channel("p", "position", "rad", measures=frozenset({"position", "velocity"})),
    Channel("e", "effort", "N·m", measures=frozenset({"position", "velocity"})),
]
FAULTY = {
    "intermittent": {"rate": 2.0, "duration": 0.2},
    "hold": {"rate": 1.0, "duration": 0.1},
    "gain": {"nerfed": {"uniform": [0.4, 0.8]}, "lifted": 1.0},
}
SPEC = NerfSpec.parse(
    {
        "name": "all",
        "command": {
            "latency": {"nerfed": {"uniform": [0.05, 0.2]}, "lifted": 0.0},
            "jitter": {"nerfed": 0.1, "lifted": 0.0},
            "drop": {"rate": 1.0, "duration": 0.2},
        },
        "channels": {
            "v": {
                **FAULTY,
                "velocity": {"nerfed": 0.4, "lifted": 1.0},
                "acceleration": {"nerfed": 3.0, "lifted": 100.0},
                "jerk": {"nerfed": 40.0, "lifted": 400.0},
            },
            "p": {
                "hold": FAULTY["hold"],
                "velocity": {"nerfed": 1.0, "lifted": 5.0},
                "backlash": 0.02,
                "quantum": 0.01,
            },
            "e": {**FAULTY, "effort": {"nerfed": 2.0, "lifted": 9.0}, "dead_band": 0.1},
        },
        "sensors": {
            name: {
                "noise": {"nerfed": {"uniform": [0.1, 0.5]}, "lifted": 0.0},
                "bias": {"nerfed": 0.3, "lifted": 0.0},
                "drift": {"nerfed": 0.1, "lifted": 0.0},
                "dropout": {"nerfed": 0.1, "lifted": 0.0},
                "rate": {"nerfed": 12.0, "lifted": 100.0},
                "latency": {"nerfed": 0.13, "lifted": 0.0},
                "frozen": {"rate": 1.0, "duration": 0.3},
                **more,
            }
            for name, more in {
                "plain": {},
                "rays": {
                    "range": {"nerfed": 3.0, "lifted": 8.0},
                    "field_of_view": {"nerfed": 2.0, "lifted": 3.0},
                    "resolution": {"nerfed": 0.5, "lifted": 1.0},
                },
                "image": {
                    "field_of_view": {"nerfed": 0.5, "lifted": 1.0},
                    "resolution": {"nerfed": 0.5, "lifted": 1.0},
                },
            }.items()
        },
    }
)


def actuator(count: int = 3) -> ActuatorLimiter:
    return ActuatorLimiter(SPEC, CHANNELS, count=count, seed=5, envelope=ENVELOPE, period=0.05)


def play_actuator(limiter: ActuatorLimiter, start: int, steps: int) -> list[bytes]:
    results = []
    for step in range(start, start + steps):
        rng = np.random.default_rng(step)
        command = rng.uniform(-3.0, 3.0, (limiter.count, 3))
        measured = Measured(*rng.uniform(-1.0, 1.0, (3, limiter.count, 3)))
        lift = np.full((limiter.count, 4), (step // 7 % 3) / 2.0)
        limited = limiter.apply(command, measured, 0.05 * step, lift)
        results.append(b"".join(part.tobytes() for part in limited))
        if step % 23 == 0:
            limiter.reset(np.arange(limiter.count) == step % limiter.count)
    return results


def sensor(name: str, count: int = 2) -> SensorLimiter:
    shapes = {
        "plain": ((3,), None),
        "rays": ((12,), RayGeometry(3.0, 8.0)),
        "image": ((4, 6, 3), ImageGeometry()),
    }
    shape, geometry = shapes[name]
    dtype = np.uint8 if name == "image" else np.float64
    return SensorLimiter(SPEC, name, shape, count=count, seed=3, geometry=geometry, dtype=dtype)


def play_sensor(limiter: SensorLimiter, shape: tuple[int, ...], start: int, steps: int) -> list[bytes]:
    results = []
    for step in range(start, start + steps):
        reading = np.random.default_rng(step).uniform(0.0, 6.0, (2, *shape))
        lift = np.full((2, 4), (step // 9 % 3) / 2.0)
        only = None if step % 5 else np.array([True, False])
        results.append(limiter.apply(reading, 0.05 * step, lift, only).tobytes())
        if step % 31 == 0:
            limiter.reset(np.array([False, True]))
    return results


@pytest.mark.parametrize("how", COPIES)
def test_a_copied_actuator_limiter_goes_on_exactly(how: str) -> None:
    limiter = actuator()
    play_actuator(limiter, 0, 60)
    copied = COPIES[how](limiter)
    ahead = play_actuator(copied, 60, 150)
    assert play_actuator(limiter, 60, 150) == ahead


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("name", "shape"), [("plain", (3,)), ("rays", (12,)), ("image", (4, 6, 3))])
def test_a_copied_sensor_limiter_goes_on_exactly(how: str, name: str, shape: tuple[int, ...]) -> None:
    limiter = sensor(name)
    play_sensor(limiter, shape, 0, 60)
    copied = COPIES[how](limiter)
    ahead = play_sensor(copied, shape, 60, 150)
    assert play_sensor(limiter, shape, 60, 150) == ahead


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", ["occasional", "staircase", "damage-bounded"])
def test_a_copied_schedule_and_authority_go_on_exactly(how: str, kind: str) -> None:
    schedule, authority = load_schedule(kind), LeaseAuthority(2, LeasePolicy(allow_outside=True))
    authority.request(Lease(axes={"strength": 1.0}, reason="test", duration=0.5), 0.0, robot=1)

    def play(schedule, authority) -> list:
        rng, results = np.random.default_rng(1), []
        for step in range(40):
            windows = schedule.plan(rng, 10.0)
            schedule.report(step % 3 > 0, 0.1 * (step % 2), [0.5] * 4)
            results.append((windows, authority.update(0.05 * step).tobytes()))
        return results

    copied = COPIES[how]((schedule, authority))
    assert play(*copied) == play(schedule, authority)


def test_robots_whose_sensor_is_not_read_go_on_as_if_nobody_had_called() -> None:
    for name, shape in (("plain", (3,)), ("rays", (12,)), ("image", (4, 6, 3))):
        both, alone = sensor(name), sensor(name)
        rng = np.random.default_rng(2)
        lift = np.zeros((2, 4))
        previous = None
        for step in range(120):
            reading = rng.uniform(0.0, 6.0, (2, *shape))
            if step % 4 == 1:  # an extra call that concerns the other one
                extra = both.apply(
                    rng.uniform(0.0, 6.0, (2, *shape)), 0.05 * step, lift, np.array([True, False])
                )
                assert previous is not None
                assert np.array_equal(extra[1], previous[1])
            previous = both.apply(reading, 0.05 * step, lift)
            assert np.array_equal(previous[1], alone.apply(reading, 0.05 * step, lift)[1]), (name, step)


def test_a_clock_that_runs_backwards_is_refused_until_the_reset() -> None:
    limiter = sensor("plain")
    limiter.apply(np.ones((2, 3)), 1000.0, np.zeros((2, 4)))
    with pytest.raises(InvalidCommand, match=r"plain: now = 3 s is before the last reading's 1000 s"):
        limiter.apply(np.ones((2, 3)), 3.0, np.zeros((2, 4)))
    limiter.reset()
    limiter.apply(np.ones((2, 3)), 3.0, np.zeros((2, 4)))


def test_a_first_reading_without_numbers_is_refused() -> None:
    limiter = sensor("plain")
    reading = np.ones((2, 3))
    reading[1, 2] = np.nan
    with pytest.raises(InvalidCommand, match="plain: the first reading must be finite, got nan"):
        limiter.apply(reading, 0.0, np.zeros((2, 4)))
    limiter.apply(np.ones((2, 3)), 0.0, np.zeros((2, 4)))
    limiter.apply(reading, 0.05, np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("mask", "seeds", "named"),
    [
        ([True], None, r"mask must be bool of shape \(2,\)"),
        ([1, 0], None, "mask must be bool"),
        (None, [1], r"seeds must have shape \(2,\)"),
        (None, [1.0, 2.0], "seeds must be integers"),
        (None, [-1, 2], "seeds must be at least 0, got -1"),
    ],
)
def test_a_reset_of_either_limiter_names_what_is_wrong(mask, seeds, named: str) -> None:
    for limiter in (actuator(2), sensor("plain")):
        with pytest.raises(InvalidCommand, match=named):
            limiter.reset(None if mask is None else np.array(mask), seeds)


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        (RayGeometry, (-0.1, 8.0), "rays: field_of_view must be from 0"),
        (RayGeometry, (float("nan"), 8.0), "rays: field_of_view must be from 0 to 2 pi rad, got nan"),
        (RayGeometry, (1.0, 0.0), "rays: max_range must be above 0 m, got 0.0"),
        (RayGeometry, (1.0, float("nan")), "rays: max_range"),
        (ImageGeometry, (4.0,), "image: field_of_view must be between 0 and pi, got 4.0"),
        (ImageGeometry, (1.0, 0.0), "image: white must be above 0"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(kind, arguments, named: str) -> None:
    with pytest.raises(InvalidSpec, match=named):
        kind(*arguments)
