"""What the robot does is compared with what it is commanded; silence, frozen clocks and runaways stop it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from nerfbot.course import load_course
from nerfbot.hardware.safety.localisation import Localiser, PlanarPose
from nerfbot.hardware.safety.motion_monitor import MotionMonitor
from nerfbot.hardware.safety.severity import Severity
from nerfbot.hardware.safety.supervision import Supervision


def make_monitor(folder: Path, **more: Any) -> MotionMonitor:
    settings = {"tracking_tolerance": 0.5, "permit_period": 0.05}
    switches = {"use_odometry": True, "use_sim_time": False, **more}
    supervision = Supervision(load_course("gauntlet"), folder, 0.2, Localiser(1.5), backstop="test")
    return MotionMonitor(supervision, 100.0, **settings, **switches)


def run(monitor: MotionMonitor, now: float, seconds: float, executed: float = 0.0, **more: float) -> float:
    """Check every 0.05 s with fresh odometry and commands from the gate; the time afterwards."""
    for _ in range(round(seconds / 0.05)):
        now += 0.05
        monitor.supervision.localiser.update(PlanarPose(0.0, 0.0, 0.0), now)
        if not more.get("silent_gate"):
            monitor.update_command("executed", [executed, 0.0], now)
        monitor.check(now, more.get("simulated", 0.0))
    return now


def held(monitor: MotionMonitor) -> dict[str, Severity]:
    return {name: severity for name, (severity, _) in monitor.supervision.conditions.active().items()}


def test_a_robot_that_follows_its_commands_sets_no_condition(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path)
    monitor.update_speed(0.4)
    run(monitor, 100.0, 10.0, executed=0.4)
    assert held(monitor) == {}


def test_a_measured_speed_unlike_the_commanded_one_refuses_lifts_after_a_second(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path)
    monitor.update_speed(1.0)
    now = run(monitor, 100.0, 0.9)
    assert held(monitor) == {}
    now = run(monitor, now, 0.3)
    assert held(monitor) == {"tracking": Severity.NO_LIFT}
    monitor.update_speed(0.1)
    run(monitor, now, 0.05)
    assert held(monitor) == {}


def test_an_unreadable_command_is_no_measure_of_tracking(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path)
    monitor.update_speed(1.0)
    for step in range(60):
        now = 100.0 + 0.05 * step
        monitor.supervision.localiser.update(PlanarPose(0.0, 0.0, 0.0), now)
        monitor.update_command("executed", [], now)
        monitor.check(now, 0.0)
    assert held(monitor) == {}


@pytest.mark.parametrize("speed", [2.0, -2.0, math.nan, math.inf])
def test_a_runaway_latches_after_a_third_of_a_second(tmp_path: Path, speed: float) -> None:
    monitor = make_monitor(tmp_path, use_odometry=False)
    monitor.update_speed(speed)
    now = run(monitor, 100.0, 0.25)
    assert not monitor.supervision.latch.reason
    now = run(monitor, now, 0.15)
    assert monitor.supervision.latch.reason.startswith("runaway")
    monitor.update_speed(0.0)
    run(monitor, now, 0.05)
    assert held(monitor) == {"estop": Severity.ESTOP}


def test_a_silent_gate_refuses_lifts(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path)
    now = run(monitor, 100.0, 4.0, silent_gate=True)
    assert held(monitor) == {}
    now = run(monitor, now, 1.5, silent_gate=True)
    assert held(monitor) == {"gate": Severity.NO_LIFT}
    run(monitor, now, 0.05)
    assert held(monitor) == {}


def test_silent_odometry_stops_where_it_is_used(tmp_path: Path) -> None:
    for use, expected in ((True, {"odometry": Severity.STOP}), (False, {})):
        monitor = make_monitor(tmp_path / str(use), use_odometry=use)
        now = run(monitor, 100.0, 3.0)
        monitor.check(now + 0.6, 0.0)
        assert held(monitor) == expected


def test_a_frozen_simulated_clock_stops(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path, use_sim_time=True)
    now = run(monitor, 100.0, 1.9, simulated=7.0)
    assert held(monitor) == {}
    now = run(monitor, now, 0.2, simulated=7.0)
    assert held(monitor) == {"clock": Severity.STOP}
    run(monitor, now, 0.05, simulated=8.0)
    assert held(monitor) == {}


def test_what_counts_as_a_request_for_no_motion(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path)
    assert monitor.requests_no_motion(100.0)  # nobody requests anything
    for values, expected in (([0.3, 0.0], False), ([], False), ([0.0, 0.0], True)):
        monitor.update_command("requested", values, 100.0)
        assert monitor.requests_no_motion(100.5) is expected
    monitor.update_command("requested", [0.3, 0.0], 100.0)
    assert monitor.requests_no_motion(101.1)  # the sender has fallen silent
    arm = make_monitor(tmp_path / "arm", has_position_channels=True)
    arm.update_command("requested", [0.3, 0.0], 100.0)
    assert arm.requests_no_motion(100.0)


def test_a_robot_that_rests_while_the_gate_is_silent_has_a_backstop(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path)
    monitor.update_speed(0.3)
    now = run(monitor, 100.0, 1.0, executed=0.3)
    monitor.begin_probe(now)
    assert monitor.supervision.backstop == ""
    now = run(monitor, now, 0.3, silent_gate=True)
    assert monitor.supervision.backstop == ""
    monitor.update_speed(0.0)
    run(monitor, now, 0.05, silent_gate=True)
    assert monitor.supervision.backstop.startswith("shown: at rest 0.35 s")


def test_a_robot_that_drives_on_has_none(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path)
    monitor.update_speed(0.3)
    now = run(monitor, 100.0, 1.0, executed=0.3)
    monitor.begin_probe(now)
    now = run(monitor, now, 1.0, silent_gate=True)
    run(monitor, now, 1.0, executed=0.3)
    assert monitor.supervision.backstop == ""
    assert "did not stop" in (tmp_path / "audit.jsonl").read_text()


def test_a_time_out_to_be_shown_is_probed_once_in_the_first_slow_steady_drive(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path, prove_backstop=True)
    for speed in (0.0, 0.04, 0.5):  # at rest, or too slow or too fast to show it without harm
        monitor.update_speed(speed)
        now = run(monitor, 100.0, 1.0, executed=speed)
        assert not monitor.is_time_to_prove(now)
    monitor.update_speed(0.2)
    now = run(monitor, now, 0.4, executed=0.2)
    assert not monitor.is_time_to_prove(now)
    now = run(monitor, now, 0.3, executed=0.2)
    assert monitor.is_time_to_prove(now)
    monitor.begin_probe(now)
    monitor.update_speed(0.0)
    now = run(monitor, now, 0.3, silent_gate=True)
    assert monitor.supervision.backstop.startswith("shown")
    monitor.update_speed(0.2)
    now = run(monitor, now, 1.0, executed=0.2)
    assert not monitor.is_time_to_prove(now)


def test_a_stop_that_was_commanded_shows_nothing_and_is_probed_again(tmp_path: Path) -> None:
    monitor = make_monitor(tmp_path, prove_backstop=True)
    monitor.update_speed(0.2)
    now = run(monitor, 100.0, 1.0, executed=0.2)
    monitor.begin_probe(now)
    now = run(monitor, now, 0.3, executed=0.0)
    monitor.update_speed(0.0)
    now = run(monitor, now, 0.5, silent_gate=True)
    now = run(monitor, now, 1.0, executed=0.0)
    assert monitor.supervision.backstop == ""
    assert "inconclusive" in (tmp_path / "audit.jsonl").read_text()
    monitor.update_speed(0.2)
    now = run(monitor, now, 1.0, executed=0.2)
    assert monitor.is_time_to_prove(now)


@pytest.mark.parametrize("repeats", [False, True], ids=["silent", "repeats its stamp"])
def test_a_scan_that_goes_stale_stops_until_it_is_there_again(tmp_path: Path, repeats: bool) -> None:
    monitor, now = make_monitor(tmp_path), 100.0
    now = run(monitor, now, 3.0)
    assert "scan" not in held(monitor)  # there is none to watch
    for stamp in (5.0, 5.1, 5.2):
        monitor.update_scan(stamp, now)
        now = run(monitor, now, 0.9)
        assert "scan" not in held(monitor)
    if repeats:
        monitor.update_scan(5.2, now)
    now = run(monitor, now, 0.2)
    assert held(monitor)["scan"] is Severity.STOP
    monitor.update_scan(5.3, now)
    run(monitor, now, 0.1)
    assert "scan" not in held(monitor)


def test_a_scan_without_stamps_ages_by_receipt(tmp_path: Path) -> None:
    monitor, now = make_monitor(tmp_path), 100.0
    for _ in range(3):
        monitor.update_scan(0.0, now)
        now = run(monitor, now, 0.9)
    assert "scan" not in held(monitor)
