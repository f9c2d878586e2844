"""An envelope in ros2_control's spelling is complete or refused; nothing in it means "off"."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nerfbot.errors import InvalidSpec
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.parameters import COMMON, channels_of, check, check_names, envelope_of, shared_names

TWIST: dict[str, Any] = {
    "command_type": "twist_stamped",
    "command_mode": "velocity",
    "channels": ["linear.x", "angular.z"],
    "use_odometry": True,
    "linear.x.max_velocity": 1.5,
    "linear.x.max_acceleration": 3,
    "linear.x.max_deceleration": 2.0,
    "angular.z.max_velocity": 3.0,
    "angular.z.max_acceleration": 12.0,
    "angular.z.max_deceleration": 8.0,
}
ARM: dict[str, Any] = {
    "command_type": "joint_trajectory",
    "command_mode": "position",
    "channels": ["elbow"],
    "use_odometry": False,
    "joint_limits.elbow.min_position": -1.0,
    "joint_limits.elbow.max_position": 1.0,
    "joint_limits.elbow.max_velocity": 2.0,
    "joint_limits.elbow.max_acceleration": 5.0,
    "joint_limits.elbow.max_deceleration": 5.0,
}


def envelope(values: dict[str, Any]) -> Any:
    return envelope_of(values, channels_of(values))


def test_limits_of_a_twist_and_of_joints_are_read() -> None:
    limits = envelope(TWIST).channels["linear.x"]
    assert (limits.max_velocity, limits.max_acceleration, limits.stop_deceleration) == (1.5, 3.0, 2.0)
    assert envelope(ARM).channels["elbow"].min_position == -1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0, "1.5", True])
@pytest.mark.parametrize("name", ["max_velocity", "max_acceleration", "max_deceleration"])
def test_a_limit_that_is_no_limit_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidSpec, match=rf"linear\.x\.{name} = "):
        envelope({**TWIST, f"linear.x.{name}": value})


@pytest.mark.parametrize("name", ["max_velocity", "max_acceleration", "max_deceleration"])
def test_a_missing_limit_is_asked_for_by_its_parameters_name(name: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"^linear\.x\.{name}: is required"):
        envelope({key: value for key, value in TWIST.items() if key != f"linear.x.{name}"})


def test_an_optional_limit_given_as_nan_is_not_taken_for_missing() -> None:
    with pytest.raises(InvalidSpec, match=r"linear\.x\.min_velocity = nan"):
        envelope({**TWIST, "linear.x.min_velocity": math.nan})


@pytest.mark.parametrize("switch", ["has_velocity_limits", "has_acceleration_limits", "has_position_limits"])
def test_a_limit_cannot_be_switched_off(switch: str) -> None:
    with pytest.raises(InvalidSpec, match=f"{switch} = false: a hard limit cannot be off"):
        envelope({**TWIST, f"linear.x.{switch}": False})


def test_inverted_positions_and_signs_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="min_position = 2: must be below"):
        envelope({**ARM, "joint_limits.elbow.min_position": 2.0})
    with pytest.raises(InvalidSpec, match="min_velocity = 1: must not be above 0"):
        envelope({**TWIST, "linear.x.min_velocity": 1.0})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"command_type": "twist_stampd"}, "did you mean 'twist_stamped'"),
        ({"channels": ["linear.x", "linear.x"]}, "each once"),
        ({"channels": []}, "each once"),
        ({"channels": ["linear.w"]}, "no part of a twist"),
        ({"command_type": "joint_trajectory", "command_mode": "speed"}, "command_mode"),
    ],
)
def test_channels_that_cannot_be_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSetup, match=named):
        channels_of({**TWIST, **change})


def test_values_are_checked_against_their_table() -> None:
    values = {item.name: item.default for item in COMMON}
    check(values, COMMON)
    for name, value in [("cmd_vel_timeout", 0.0), ("cmd_vel_timeout", math.nan), ("timer_rate", 1e9)]:
        with pytest.raises(InvalidSetup, match=f"{name} = "):
            check({**values, name: value}, COMMON)
    with pytest.raises(InvalidSetup, match="must be a bool"):
        check({**values, "autostart": "yes"}, COMMON)


def test_a_misspelt_parameter_is_not_overlooked() -> None:
    with pytest.raises(InvalidSetup, match=r"did you mean 'linear\.x\.max_velocity'"):
        check_names(["linear.x.max_velocty"], ["linear.x.max_velocity"])


def test_one_file_for_the_whole_chain_may_hold_what_only_some_nodes_read() -> None:
    assert {"linear.x.max_velocity", "command_mode"} <= shared_names(None)
    names = shared_names(["elbow"])
    assert "joint_limits.elbow.max_effort" in names
    assert "linear.x.max_velocity" not in names
    assert "linear.x.max_velocty" not in shared_names(None)
