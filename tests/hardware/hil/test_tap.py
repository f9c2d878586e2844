"""The campaign on a real port: an emulator that is not told of it stands for the servos at the other end."""

from __future__ import annotations

import json
import math

import pytest
import yaml

from nerfbot.cli import main
from nerfbot.hardware.emulator.process import EmulatedBus, wait_until
from nerfbot.hardware.errors import InvalidServo
from nerfbot.hardware.hil.safe_envelope import RADIUS, with_safe_envelope
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec

pytestmark = pytest.mark.realtime

SO101, WEAK = ServoRobot.load("so101"), NerfSpec.load("so101-weak")
HOME = dict.fromkeys(SO101.names, 0.5)
FAULTS = ("NaN", "policy killed", "driver killed", "one servo silent", "lost sync-writes", "echo")


@pytest.fixture
def arm():
    """Fallen to where it stays by itself."""
    with EmulatedBus("so101", options=("--priority", "40")) as bus:
        assert wait_until(lambda: max(abs(servo["velocity"]) for servo in bus.state().values()) > 0.1)
        assert wait_until(lambda: max(abs(servo["velocity"]) for servo in bus.state().values()) < 0.01, 10.0)
        yield bus


def test_a_safe_envelope_is_near_where_the_arm_stands_and_no_faster_than_its_nerf():
    near = with_safe_envelope(SO101, WEAK, HOME)
    for name in SO101.names:
        limits, wide = near.limits(name), SO101.limits(name)
        assert (limits.min_position, limits.max_position) == (max(0.5 - RADIUS, wide.min_position), 1.1)
        assert (limits.max_velocity, limits.max_acceleration) == (1.0, 15.0)
        assert limits.max_effort == wide.max_effort
        assert limits.stop_deceleration == wide.stop_deceleration
    sagged = with_safe_envelope(SO101, WEAK, {**HOME, "shoulder_lift": 1.9}).limits("shoulder_lift")
    assert (sagged.min_position, sagged.max_position) == (pytest.approx(1.85 - RADIUS), 1.85)


@pytest.mark.parametrize("at", [1.94, -2.0, 3.0])
def test_an_arm_that_stands_outside_its_range_is_left_alone(at):
    with pytest.raises(InvalidServo, match=r"shoulder_lift: stands at .* move it by hand"):
        with_safe_envelope(SO101, WEAK, {**HOME, "shoulder_lift": at})


def test_an_arm_that_still_moves_is_left_alone(capsys, tmp_path):
    with EmulatedBus("so101") as bus:
        assert wait_until(lambda: max(abs(servo["velocity"]) for servo in bus.state().values()) > 0.1)
        assert main(["hil", "run", "--port", str(bus.port), "--yes", "--out", str(tmp_path)]) == 2
    assert "rad/s: the arm must be at rest" in capsys.readouterr().err


@pytest.mark.slow
def test_the_campaign_runs_on_a_port_and_leaves_the_servos_as_they_should_be(arm, tmp_path, capsys):
    words = [word for fault in FAULTS for word in ("--fault", fault)]
    words += ["--trials", str(2 * len(FAULTS)), "--margin", "0.008", "--out", str(tmp_path / "hil"), "--json"]
    before = {id: servo["angle"] for id, servo in arm.state().items()}
    code = main(["hil", "run", "--port", str(arm.port), "--yes", *words])
    data = json.loads(capsys.readouterr().out)
    assert data["problems"] == []
    assert code == 0
    assert data["trials"] == 2 * len(FAULTS)
    assert data["robot"] == "so101"
    # Of the joints that no gravity turns, by what the servos themselves know
    lines = [line for line in arm.read_log() if line[1] == "w" and line[2] in (1, 5)]
    moved = max(abs(line[6] * 2 * math.pi / 4096 - before[line[2]]) for line in lines)
    assert 0.2 < moved < RADIUS + 0.1
    assert max(abs(line[7]) for line in lines) < 1.5  # rad/s: the nerf's 1, and overshoot; lifted it were 3
    tried = yaml.safe_load((tmp_path / "hil" / "robot.yaml").read_text())
    assert tried["envelope"]["channels"]["wrist_roll"]["max_velocity"] == 1.0
    for joint in SO101.joints:
        values, limits = arm.state()[joint.id]["values"], SO101.limits(joint.name)
        ends = sorted(joint.counts(end) for end in (limits.min_position, limits.max_position))
        assert [values["min_position_limit"], values["max_position_limit"]] == pytest.approx(ends, abs=1)
        assert values["torque_enable"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fault", "stuck"], "--fault 'stuck': cannot be made on real servos"),
        ([], "not touched; answer y, or give --yes"),
        (["--yes", "--calibration", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_done_on_a_port_is_one_line(arm, words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115 (nobody is there to answer)
    assert main(["hil", "run", "--port", str(arm.port), "--out", str(tmp_path / "hil"), *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "hil").exists()
    assert all(servo["values"]["torque_enable"] == 0 for servo in arm.state().values())


def test_an_emulated_arm_takes_no_calibration(capsys):
    assert main(["hil", "run", "--calibration", "a.json"]) == 2
    assert "--calibration a.json: is for a real arm" in capsys.readouterr().err
