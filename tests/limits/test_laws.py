"""Laws of the whole limiter that need no knowledge of any stage: identity, purity, independence, replay."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.limits import Limited, Measured, NerfSpec, Reason
from tests.limits.cases import DT, Drive, at_rest
from tests.limits.cases import limiter as single
from tests.limits.cases import spec as single_spec
from tests.limits.mixed import CHANNELS, NERFS, Script, bits, limiter, nerf, numbers_of_nerfs, seeds, to

WIDE = {
    "effort": to(1.0, 50.0),
    "stall_effort": to(1.0, 50.0),
    "no_load_velocity": to(1.0, 1e6),
    "velocity": to(0.1, 4.0),
    "hold": {"rate": 5.0, "duration": 0.5},
    "intermittent": {"rate": 5.0, "duration": 0.5},
    "dead_band": 0.5,
    "backlash": 0.5,
    "quantum": 0.5,
}
RATES = {"acceleration": to(1.0, 40.0), "deceleration": to(11.0, 40.0)}
EVERYTHING = NerfSpec.parse(
    {
        "name": "everything",
        "channels": {
            "*": WIDE,
            "arm": RATES,
            "wheel": {**RATES, "gain": 0.5, "jerk": to(1.0, 1e6)},
            "grip": {"gain": 0.5},
        },
        "command": {"latency": 0.5, "jitter": 0.5, "drop": {"rate": 5.0, "duration": 0.5}},
    }
)


def smooth_commands(
    amplitude: float, frequency: float, phase: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return commands (steps, 3) and their rates, within the envelope's velocity and acceleration."""
    time = DT * np.arange(steps)
    frequency = min(frequency, 3.0 / amplitude, math.sqrt(30.0 / amplitude), 8.0)
    wave, rate = np.sin(frequency * time + phase), frequency * np.cos(frequency * time + phase)
    arm, wheel, grip = amplitude * wave, min(4.0, 30.0 / frequency) * 0.9 * wave, 45.0 * wave
    commands = np.stack([arm, wheel, grip], axis=1)
    rates = np.stack([amplitude * rate, wheel, np.zeros(steps)], axis=1)
    return commands, rates


@given(st.floats(0.01, 1.7), st.floats(0.1, 8.0), st.floats(0.0, 6.0), st.integers(1, 3))
def test_level_one_with_limits_wider_than_the_command_is_the_identity_bit_for_bit(
    amplitude, frequency, phase, count
):
    limited = limiter(EVERYTHING, count)
    commands, rates = smooth_commands(amplitude, frequency, phase, 60)
    for k, command in enumerate(commands):
        batch, rate = np.tile(command, (count, 1)), np.tile(rates[k], (count, 1))
        if k == 0:  # so far back that the first command is one step away
            batch_before = batch - rate * DT
        measured = Measured(batch_before if k == 0 else batch, rate)
        out = limited.apply(batch, measured, k * DT, np.ones((count, 4)))
        assert out.value.tobytes() == batch.tobytes(), (
            k,
            Reason(int(np.bitwise_or.reduce(out.reasons.ravel()))),
        )
        assert not out.reasons.any()


@given(seeds, st.integers(1, 3))
def test_the_identity_holds_for_any_stream_of_velocities_and_efforts_within_the_envelope(seed, count):
    rng = np.random.default_rng(seed)
    limited, command = limiter(EVERYTHING, count), np.zeros((count, 3))
    for k in range(40):
        command[:, 1] = np.clip(command[:, 1] + rng.uniform(-2.4, 2.4, count), -4.0, 4.0)
        command[:, 2] = rng.uniform(-50.0, 50.0, count)
        out = limited.apply(
            command, Measured(np.zeros((count, 3)), np.zeros((count, 3))), k * DT, np.ones((count, 4))
        )
        assert out.value.tobytes() == (command + 0.0).tobytes()
        assert not out.reasons.any()


@given(numbers_of_nerfs, seeds)
def test_inputs_are_never_mutated_and_outputs_never_change_later(number, seed):
    limited, script = limiter(number, 2), Script(seed, 2, steps=15)
    outputs: list[tuple[Limited, bytes]] = []
    for k, now in enumerate(script.times):
        arrays = [script.commands[k], script.positions[k], script.velocities[k], script.lifts[k]]
        before = [array.tobytes() for array in arrays]
        for array in arrays:
            array.flags.writeable = False
        measured = Measured(arrays[1], arrays[2])
        if k % 6 == 5:
            out = limited.stop(measured, float(now))
        else:
            out = limited.apply(arrays[0], measured, float(now), arrays[3])
        assert [array.tobytes() for array in arrays] == before
        for result in out:
            assert not any(np.shares_memory(result, array) for array in arrays)
        assert not any(np.shares_memory(one, other) for one in out for item, _ in outputs for other in item)
        outputs.append((out, bits([out])))
        for result in out:  # they belong to the caller: writing to them disturbs nothing
            assert result.flags.writeable
    assert all(bits([item]) == then for item, then in outputs)


@given(numbers_of_nerfs, seeds)
def test_what_the_caller_does_with_outputs_disturbs_nothing(number, seed):
    script = Script(seed, 2, steps=15)
    expected = bits(script.run(limiter(number, 2)))
    limited, observed = limiter(number, 2), b""
    for k in range(15):
        out = script.run(limited, steps=slice(k, k + 1))
        observed += bits(out)
        for array in out[0]:
            array[...] = 7
    assert observed == expected


@given(numbers_of_nerfs, seeds, st.integers(0, 39))
def test_a_batch_is_as_many_singles_bit_for_bit_also_after_a_masked_reset(number, seed, when):
    count = 3
    script = Script(seed, count)
    batch = limiter(number, count, seed=9)
    out = script.run(batch, steps=slice(0, when))
    batch.reset([False, True, False], [77])
    out += script.run(batch, steps=slice(when, None))
    for robot in range(count):
        alone, only = limiter(number, 1, seed=9 + robot), slice(robot, robot + 1)
        own = script.run(alone, only, slice(0, when))
        if robot == 1:
            alone.reset(seeds=[77])
        own += script.run(alone, only, slice(when, None))
        assert bits(out, only) == bits(own), robot


@given(numbers_of_nerfs, seeds, st.integers(0, 2**63))
def test_the_same_seeds_replay_the_same_bits_whatever_came_before(number, seed, own_seed):
    script, other = Script(seed, 2, steps=25), Script(seed + 1, 2, steps=25)
    expected = bits(script.run(limiter(number, 2, seed=own_seed)))
    assert bits(script.run(limiter(number, 2, seed=own_seed))) == expected
    used = limiter(number, 2, seed=5)
    other.run(used)
    used.stop(None, 1e3)
    used.reset(seeds=[own_seed, own_seed + 1])
    assert bits(script.run(used)) == expected


def test_another_seed_gives_other_faults():
    script = Script(3, 1)
    assert bits(script.run(limiter(5, seed=1))) != bits(script.run(limiter(5, seed=2)))


STUCK = {"hold": {"rate": 3.0, "duration": 0.3}}
OTHERS = [
    {"channels": {"arm": {"intermittent": {"rate": 9.0, "duration": 0.2}, **STUCK}}},
    {"channels": {"arm": {"dead_band": {"nerfed": {"uniform": [0.0, 0.1]}}, "quantum": 0.1, **STUCK}}},
    {"channels": {"arm": STUCK, "wheel": {"hold": {"rate": 50.0, "duration": 0.1}}, "grip": {"gain": 0.5}}},
    {"channels": {"arm": STUCK}, "command": {"drop": {"rate": 50.0, "duration": 0.3}}},
]


@pytest.mark.parametrize("other", OTHERS)
def test_adding_an_impairment_does_not_reshuffle_another(other):
    def stuck(data: dict) -> list[bool]:
        limited = limiter(NerfSpec.parse({"name": "n", **data}))
        observed = []
        for k in range(200):
            command = np.full((1, 3), 0.001 * k + 0.5)  # never twice the same
            out = limited.apply(
                command, Measured(np.zeros((1, 3)), np.zeros((1, 3))), k * DT, np.zeros((1, 4))
            )
            observed.append(bool(out.reasons[0, 0] & Reason.HOLD))
        return observed

    alone = stuck({"channels": {"arm": STUCK}})
    assert 20 < sum(alone) < 180
    assert stuck(other) == alone


def test_adding_an_impairment_does_not_redraw_a_limit():
    drawn = {"velocity": to({"uniform": [0.3, 0.9]}, 2.0)}
    alone = limiter(NerfSpec.parse({"name": "n", "channels": {"wheel": drawn}}), 4)
    more = {"wheel": {**drawn, "gain": {"nerfed": {"uniform": [0.1, 0.9]}}}, "arm": {**drawn, **STUCK}}
    both = limiter(NerfSpec.parse({"name": "n", "channels": more, "command": {"jitter": 0.3}}), 4)
    assert np.array_equal(alone.limits("velocity")[:, 1], both.limits("velocity")[:, 1])


@pytest.mark.parametrize("dt", [0.013, 0.0625, 0.1])
@pytest.mark.parametrize("field", ["hold", "drop"])
def test_the_share_of_time_in_fault_does_not_depend_on_the_call_rate(dt, field):
    burst = {"rate": to(1.0, 0.0), "duration": 0.5}
    nerfed = single_spec({"drop": burst}) if field == "drop" else single_spec(hold=burst)
    count = 100
    limited = single("velocity", nerfed, count=count, period=dt)
    bit, share, steps = Reason[field.upper()], 0.0, 300
    for k in range(steps):
        command = np.full((count, 1), 1.0 + 1e-6 * k)
        out = limited.apply(command, None, k * dt, np.zeros((count, 4)))
        share += np.mean(out.reasons & bit > 0) / steps
    total = steps * dt  # from healthy; the share settles with the rate 1/1 + 1/0.5
    expected = (1.0 / 3.0) * (1.0 - (1.0 - math.exp(-3.0 * total)) / (3.0 * total))
    assert share == pytest.approx(expected, abs=0.035)


@pytest.mark.parametrize("dts", [[0.05], [0.01], [0.02, 0.07, 0.03], [0.3]])
def test_latency_is_counted_by_time_stamps_at_any_call_rate(dts):
    limited = single("effort", single_spec({"latency": 0.25}), period=0.05)
    now, sent = 0.0, []
    for k in range(80):
        now += dts[k % len(dts)]
        sent.append((now, now))
        out = limited.apply([[now]], at_rest(), now, np.zeros((1, 4))).value[0, 0]
        arrived = [value for stamp, value in sent if stamp + 0.25 <= now + 1e-9]
        assert out == (arrived[-1] if arrived else 0.0)


STEP_NERFS = {
    "velocity": [
        {"jerk": 60.0},
        {"acceleration": 5.0},
        {"jerk": 200.0, "acceleration": 3.0, "deceleration": 12.0, "velocity": 1.5},
        {"gain": 0.5, "jerk": 30.0},
    ],
    "position": [
        {},
        {"velocity": 1.0},
        {"acceleration": 3.0},
        {"acceleration": 30.0, "deceleration": 10.0},
        {"acceleration": 10.0, "deceleration": 30.0, "velocity": 1.5},
    ],
}


@pytest.mark.parametrize(
    ("mode", "fields"), [(mode, fields) for mode, several in STEP_NERFS.items() for fields in several]
)
@given(st.floats(0.01, 2.0), st.floats(0.01, 0.1))
def test_a_step_is_reached_and_never_overshot(mode, fields, target, dt):
    drive = Drive(single(mode, single_spec(**fields), period=dt))
    sign = -1.0 if target > 1.0 else 1.0
    out = [sign * drive.step(sign * target, dt) for _ in range(int(6.0 / dt))]
    end = min(target, fields.get("velocity", target)) if mode == "velocity" else target
    end *= fields.get("gain", 1.0)
    assert max(out) <= end + 1e-9
    assert min(out) >= 0.0
    assert out[-1] == pytest.approx(end, abs=1e-6)
    assert np.all(np.diff(out) >= -1e-9)


def test_every_nerf_of_these_laws_can_be_enforced():
    for number in range(len(NERFS)):
        assert not any(item.problem for item in limiter(number).report)
        assert nerf(number).name == f"nerf-{number}"
    assert len(CHANNELS) == 3
