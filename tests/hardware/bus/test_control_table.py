"""Control tables: what the data files say, how a register holds a number, and what is refused."""

from __future__ import annotations

import math

import pytest

from nerfbot.hardware.bus.control_table import load_servo, servo_models
from nerfbot.hardware.errors import InvalidServo

# From the makers' tables, written down apart from the data files: address, size, initial value.
TABLE = {
    "sts3215": {
        "id": (5, 1, 1), "max_torque_limit": (16, 2, 1000), "overload_torque": (36, 1, 80),
        "torque_enable": (40, 1, 0), "acceleration": (41, 1, 0), "goal_position": (42, 2, 0),
        "goal_velocity": (46, 2, 0), "torque_limit": (48, 2, 1000), "lock": (55, 1, 0),
        "present_position": (56, 2, 2048), "hardware_status": (65, 1, 0), "present_current": (69, 2, 0),
    },
    "xl330-m288": {
        "id": (7, 1, 1), "current_limit": (38, 2, 1750), "velocity_limit": (44, 4, 445),
        "shutdown": (63, 1, 52), "torque_enable": (64, 1, 0), "bus_watchdog": (98, 1, 0),
        "goal_current": (102, 2, 1750), "profile_velocity": (112, 4, 0), "goal_position": (116, 4, 0),
        "present_position": (132, 4, 2048), "present_temperature": (146, 1, 25),
    },
    "xl430-w250": {"pwm_limit": (36, 2, 885), "velocity_limit": (44, 4, 265), "present_load": (126, 2, 0)},
    "xm430-w350": {"current_limit": (38, 2, 1193), "temperature_limit": (31, 1, 80)},
}  # fmt: skip


@pytest.mark.parametrize("model", TABLE)
def test_a_table_is_the_makers(model):
    servo = load_servo(model)
    for name, expected in TABLE[model].items():
        register = servo.register(name)
        assert (register.address, register.size, register.initial) == expected, name


def test_models_differ_where_the_makers_say():
    assert servo_models() == ["sts3215", "sts3215-12v", "xl330-m288", "xl430-w250", "xm430-w350"]
    assert "goal_current" not in load_servo("xl430-w250").registers
    assert load_servo("sts3215").watchdog is None
    assert load_servo("xl430-w250").watchdog == "bus_watchdog"


@pytest.mark.parametrize(
    ("model", "register", "value", "data"),
    [
        ("sts3215", "goal_velocity", -5, "0580"),  # a bit of its own means minus
        ("sts3215", "homing_offset", -1, "0108"),
        ("sts3215", "present_load", -100, "6404"),
        ("xl330-m288", "goal_current", -5, "fbff"),  # two's complement
        ("xl330-m288", "goal_position", -1, "ffffffff"),
        ("xl330-m288", "bus_watchdog", -1, "ff"),
    ],
)
def test_negative_numbers_are_held_as_the_maker_does(model, register, value, data):
    entry = load_servo(model).register(register)
    if entry.low <= value:
        assert entry.encode(value).hex() == data
    assert entry.decode(bytes.fromhex(data)) == value


def test_units_of_a_count():
    sts, xl = load_servo("sts3215"), load_servo("xl330-m288")
    assert sts.radians_per_count == pytest.approx(math.radians(0.087890625))
    assert sts.register("acceleration").scale == pytest.approx(math.radians(8.7890625))
    assert sts.register("goal_velocity").scale * 50 == pytest.approx(0.732 * 2 * math.pi / 60, rel=1e-3)
    assert xl.register("profile_velocity").scale == pytest.approx(0.229 * 2 * math.pi / 60, rel=1e-5)
    assert xl.register("profile_acceleration").scale == pytest.approx(214.577 * 2 * math.pi / 3600, rel=1e-5)
    assert xl.register("goal_current").scale * 1470 == pytest.approx(0.52)


@pytest.mark.parametrize("value", [1001, -1])
def test_a_number_that_a_register_cannot_hold_is_refused(value):
    with pytest.raises(InvalidServo, match=f"torque_limit = {value}"):
        load_servo("sts3215").register("torque_limit").encode(value)


def test_unknown_model_and_register_are_named_with_the_nearest():
    with pytest.raises(InvalidServo, match=r"sts3251.*did you mean 'sts3215'"):
        load_servo("sts3251")
    with pytest.raises(InvalidServo, match=r"goal_positon.*did you mean 'goal_position'"):
        load_servo("sts3215").register("goal_positon")


def test_a_block_is_split_into_its_registers():
    servo = load_servo("sts3215")
    address, length = servo.block("goal_position", "goal_velocity")
    assert servo.decode_block(address, bytes.fromhex("000800000580")) == {
        "goal_position": 2048, "goal_time": 0, "goal_velocity": -5,
    }  # fmt: skip
    assert length == 6


def test_counts_of_a_limit_round_down_and_survive_a_round_trip():
    register = load_servo("sts3215").register("torque_limit")
    assert register.counts_below(0.5) * register.scale <= 0.5
    assert all(register.counts_below(counts * register.scale) == counts for counts in range(1001))
