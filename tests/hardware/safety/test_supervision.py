"""What the supervisor decides: leases by position, conditions, the latch, and all of it in the audit log."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nerfbot.course import load_course
from nerfbot.hardware.safety.localisation import Localiser, PlanarPose
from nerfbot.hardware.safety.severity import Severity
from nerfbot.hardware.safety.supervision import LeaseClock, Supervision
from nerfbot.powers.audit import verify

STRENGTH = {"axes": {"strength": 1.0}, "duration": 2.0, "ramp": 0.0, "reason": "test"}
COURSE = load_course("gauntlet")


def make_supervision(folder: Path, **more: Any) -> Supervision:
    return Supervision(COURSE, folder, 0.2, Localiser(1.5), backstop="test", **more)


def in_a_zone(state: Supervision, now: float = 0.0) -> Supervision:
    """The odometry's frame is such that the robot stands a cell east of its start: in a lift zone."""
    state.localiser.update(PlanarPose(0.0, 0.0, 0.0), now)
    assert state.set_origin("test", now)["ok"]
    state.localiser.update(PlanarPose(0.6, 0.0, 0.0), now + 0.4)
    state.tick(now + 0.4)
    return state


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_a_lease_lifts_expires_by_itself_and_is_in_the_log(tmp_path: Path) -> None:
    state = in_a_zone(make_supervision(tmp_path))
    assert state.grant(STRENGTH, 0.4)["ok"]
    for step in range(60):
        now = 0.4 + 0.05 * step
        state.localiser.update(PlanarPose(0.6, 0.0, 0.0), now)
        permit = state.tick(now)
        assert permit.levels[0] == (1.0 if now < 2.4 - 1e-9 else 0.0)
    state.close()
    assert [event["event"] for event in events(tmp_path)][-3:] == ["grant", "return", "end"]
    verify(tmp_path / "audit.jsonl")


def test_a_lease_outside_the_zones_is_refused_with_its_reason(tmp_path: Path) -> None:
    state = make_supervision(tmp_path)
    state.localiser.update(PlanarPose(0.0, 0.0, 0.0), 0.0)
    state.set_origin("test", 0.0)
    state.tick(0.0)
    assert state.grant(STRENGTH, 0.0)["reason"] == "outside-region"


@pytest.mark.parametrize(
    "text", ["cmd_vel_timeout: 0", "cmd_vel_timeout=0.0", "cmd_vel_timeout := 0 s", "x 0"]
)
def test_a_time_out_of_zero_counts_as_none(tmp_path: Path, text: str) -> None:
    for given, expected in ((text, ""), (f"{text}.5", f"{text}.5"), ("base 10", "base 10")):
        folder = tmp_path / str(len(given))
        folder.mkdir(exist_ok=True)
        assert (
            Supervision(COURSE, folder / given[-1], 0.2, Localiser(1.5), backstop=given).backstop == expected
        )


def test_no_lift_without_a_backstop(tmp_path: Path) -> None:
    state = in_a_zone(Supervision(COURSE, tmp_path, 0.2, Localiser(1.5)))
    assert state.grant(STRENGTH, 0.4)["reason"] == "no-backstop"


def test_silent_odometry_takes_the_lift_away(tmp_path: Path) -> None:
    state = in_a_zone(make_supervision(tmp_path))
    state.grant(STRENGTH, 0.4)
    assert state.tick(0.5).levels[0] == 1.0
    assert state.tick(0.95).levels[0] == 0.0


@pytest.mark.parametrize("severity", [Severity.NO_LIFT, Severity.STOP, Severity.TORQUE_OFF])
def test_a_condition_ends_leases_and_refuses_new_ones(tmp_path: Path, severity: Severity) -> None:
    state = in_a_zone(make_supervision(tmp_path))
    state.grant(STRENGTH, 0.4)
    state.set_condition("battery", True, severity, "9 V")
    permit = state.tick(0.45)
    assert permit.levels[0] == 0.0
    assert permit.stop == ("" if severity is Severity.NO_LIFT else "battery: 9 V")
    assert state.grant(STRENGTH, 0.45)["reason"] == "not-now"
    state.set_condition("battery", False, severity, "")
    assert state.tick(0.5).stop == ""
    assert state.grant(STRENGTH, 0.5)["ok"]


def test_an_emergency_stop_survives_a_restart_and_is_cleared_by_an_operator_only(tmp_path: Path) -> None:
    first = in_a_zone(make_supervision(tmp_path))
    first.grant(STRENGTH, 0.4)
    first.set_condition("runaway", True, Severity.ESTOP, "3 m/s")
    assert first.tick(0.45).levels[0] == 0.0
    assert "the cause persists: runaway" in first.clear_estop("operator", at_rest=True)
    first.close()

    second = in_a_zone(make_supervision(tmp_path))
    assert second.tick(0.5).stop == "estop: runaway: 3 m/s"
    assert second.grant(STRENGTH, 0.5)["reason"] == "latched"
    assert "at rest" in second.clear_estop("operator", at_rest=False)
    assert second.clear_estop("operator", at_rest=True) == ""
    assert second.tick(0.55).stop == ""
    names = [event["event"] for event in events(tmp_path)]
    assert names.count("start") == 2
    assert "clear-refused" in names
    verify(tmp_path / "audit.jsonl")


def test_a_drivers_own_latch_ends_leases_and_is_cleared_with_the_stop(tmp_path: Path) -> None:
    state = in_a_zone(make_supervision(tmp_path))
    state.grant(STRENGTH, 0.4)
    state.set_driver_latch(3, "stuck: elbow")
    assert state.tick(0.45).levels[0] == 0.0
    assert state.grant(STRENGTH, 0.45)["detail"] == "driver: latch 3: stuck: elbow"
    assert state.tick(0.5).clear is None
    state.estop("operator")
    permit = state.tick(0.55)
    assert (permit.estop, permit.clear) == (True, None)
    assert state.clear_estop("operator", at_rest=True) == ""
    permit = state.tick(0.6)
    assert (permit.estop, permit.clear) == (False, 3)
    state.set_driver_latch(3, "stuck: elbow")  # repeated
    assert state.tick(0.65).clear == 3
    state.set_driver_latch(4, "stuck: wrist")
    assert state.tick(0.7).clear is None
    state.set_driver_latch(4, "")
    assert state.tick(0.75).clear is None
    assert state.grant(STRENGTH, 0.75)["ok"]


def test_a_revocation_takes_the_lift_away_at_once(tmp_path: Path) -> None:
    state = in_a_zone(make_supervision(tmp_path))
    state.grant({**STRENGTH, "ramp": 0.5}, 0.4)
    assert state.revoke("operator") == {"ok": True, "revoked": 1}
    assert state.tick(0.6).levels == (0.0,) * 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"axes": {"strenght": 1.0}}, "did you mean 'strength'"),
        ({"axes": {"strength": 1.1}}, "axes.strength: must be less than or equal to 1, got 1.1"),
        ({"axes": {"strength": math.nan}}, "axes.strength"),
        ({"duration": 0.0}, "duration: must be greater than 0, got 0"),
        ({"ramp": -1.0}, "ramp: must be greater than or equal to 0, got -1"),
        ({"reason": ""}, "reason: string should match"),
    ],
)
def test_a_malformed_lease_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    answer = in_a_zone(make_supervision(tmp_path)).grant({**STRENGTH, **change}, 0.4)
    assert named in answer["error"]


def test_leases_run_by_the_faster_clock_and_never_stand() -> None:
    clock = LeaseClock()
    clock.tick(100.0, 7.0)
    assert clock.tick(101.0, 7.0) == 1.0
    assert clock.tick(102.0, 12.0) == 6.0
    assert clock.tick(101.0, 3.0) == 6.0


def test_a_log_that_cannot_be_written_ends_lifts_and_stops_nothing_else(tmp_path: Path) -> None:
    state = in_a_zone(make_supervision(tmp_path))
    assert state.grant(STRENGTH, 0.4)["ok"]
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(b"x")
    state.log_fault("test", "any", "event")
    permit = state.tick(0.45)
    assert (permit.levels[0], permit.stop) == (0.0, "")
    assert state.grant(STRENGTH, 0.45)["reason"] == "not-now"
    state.estop("button")
    assert state.tick(0.5).estop
    assert state.clear_estop("operator", at_rest=True) == ""
    state.localiser.update(PlanarPose(0.6, 0.0, 0.0), 1.6)
    state.tick(1.6)
    assert state.grant(STRENGTH, 1.6)["ok"]
    state.close()
    names = [event["event"] for event in events(tmp_path)]
    assert {"gap", "repair", "estop", "clear-estop"} <= set(names)
    verify(tmp_path / "audit.jsonl")


def test_a_grant_that_cannot_be_logged_is_not_given(tmp_path: Path) -> None:
    state = in_a_zone(make_supervision(tmp_path))
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(b"x")
    assert state.grant(STRENGTH, 0.4)["reason"] == "not-now"
    assert state.tick(0.42).levels[0] == 0.0
