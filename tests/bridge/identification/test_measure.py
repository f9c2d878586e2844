"""Measured limits are the enforced ones: known limits come back from the simulated robot's response."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from nerfbot.bridge.identification.excitation import (
    Trace,
    chirp_commands,
    identify_chirp,
    identify_step,
    step_commands,
)
from nerfbot.bridge.identification.measure import fitted_spec, measure
from nerfbot.bridge.identification.servo_probe import ServoProbe
from nerfbot.bridge.identification.sim_probe import SimProbe
from nerfbot.cli import main
from nerfbot.hardware.robot import ROBOTS
from nerfbot.limits import NerfSpec
from nerfbot.limits.spec import PRESETS


@pytest.fixture(scope="module")
def weak():
    probe = SimProbe("rover-weak")
    measured_limits, _ = measure(probe, NerfSpec.load("rover-weak"), room=1.5)
    yield {(item.channel, item.field): item for item in measured_limits}, measured_limits, probe.envelope
    probe.close()


@pytest.mark.parametrize(
    ("channel", "field", "tolerance"),
    [
        ("linear.x", "latency", 0.1),
        ("linear.x", "chirp_latency", 0.1),
        ("linear.x", "velocity", 0.02),
        ("linear.x", "acceleration", 0.05),
        ("linear.x", "deceleration", 0.05),
        ("linear.x", "dead_band", 0.3),
        ("angular.z", "chirp_latency", 0.1),
        ("angular.z", "velocity", 0.02),
        ("angular.z", "acceleration", 0.05),
        ("angular.z", "deceleration", 0.05),
    ],
)
def test_the_simulated_robot_has_the_limits_that_are_declared(weak, channel, field, tolerance) -> None:
    item = weak[0][channel, field]
    assert item.declared is not None
    assert item.effective == pytest.approx(item.declared, rel=tolerance)


def test_a_limit_that_another_one_overrides_shows(tmp_path: Path) -> None:
    """12 N of traction cannot brake the rover's mass at the 2 m/s² that its nerf allows."""
    text = yaml.safe_load((PRESETS / "rover-weak.yaml").read_text())
    text["channels"]["linear.x"]["effort"]["nerfed"] = 12.0
    path = tmp_path / "weaker.yaml"
    path.write_text(yaml.safe_dump(text))
    probe = SimProbe(str(path))
    measured_limits, _ = measure(probe, NerfSpec.load(path), room=1.5)
    probe.close()
    limits = {item.field: item for item in measured_limits if item.channel == "linear.x"}
    assert limits["deceleration"].effective < 0.8 * limits["deceleration"].declared
    assert limits["effort"].effective == pytest.approx(12.0, rel=0.02)


def test_the_fitted_specification_loads_and_has_the_measured_limits(weak, tmp_path: Path) -> None:
    path = tmp_path / "fitted.yaml"
    path.write_text(yaml.safe_dump(fitted_spec(weak[1], "fitted", weak[2])))
    spec = NerfSpec.load(path).model_copy(update={"envelope": weak[2]})
    assert spec.channel("linear.x").velocity.at(0.0) == pytest.approx(0.4, rel=0.02)


def trace(time: np.ndarray, commands: np.ndarray, velocity: np.ndarray, effort: float = np.nan) -> Trace:
    return Trace(time, commands, velocity, velocity, np.full(len(time), effort))


def test_latency_and_ramps_are_identified_from_an_artificial_response() -> None:
    commands = step_commands(1.0, 0.01, 1.0)
    time = 0.01 * np.arange(len(commands))
    start, end = time[np.flatnonzero(commands)[0]], time[np.flatnonzero(commands)[-1]] + 0.01
    rising = np.clip((time - start - 0.08) * 4.0, 0.0, 0.5)
    measured = np.clip(np.minimum(rising, 0.5 - (time - end - 0.08) * 2.0), 0.0, None)
    limits = identify_step(trace(time, commands, measured, -7.0))
    assert limits["latency"] == pytest.approx(0.08, abs=1e-6)
    assert limits["velocity"] == pytest.approx(0.5)
    assert limits["acceleration"] == pytest.approx(4.0)
    assert limits["deceleration"] == pytest.approx(2.0, rel=0.01)
    assert limits["effort"] == 7.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_of_position_reveals_the_same_limits(sign: float) -> None:
    commands = sign * step_commands(1.0, 0.01, 2.0, -0.3)
    time = 0.01 * np.arange(len(commands))
    since = time - time[np.flatnonzero(commands - commands[0])[0]] - 0.05
    velocity = np.clip(np.minimum(np.minimum(since * 5.0, 0.8), (1.7 - since) * 4.0), 0.0, None)
    limits = identify_step(trace(time, commands, sign * velocity), is_position=True)
    assert limits["latency"] == pytest.approx(0.05, abs=1e-6)
    assert limits["velocity"] == pytest.approx(0.8)
    assert limits["acceleration"] == pytest.approx(5.0)
    assert limits["deceleration"] == pytest.approx(4.0, rel=0.01)


def test_a_chirps_delay_and_gain_are_identified_from_an_artificial_response() -> None:
    commands = chirp_commands(0.3, 2.0, 0.05, centre=0.5)
    time = 0.05 * np.arange(len(commands))
    late = np.interp(time - 0.05 - 0.13, time, commands)  # one period is not the plant's
    limits = identify_chirp(trace(time, commands, 0.5 + 0.7 * (late - 0.5)))
    assert limits["chirp_latency"] == pytest.approx(0.13, abs=0.002)
    assert limits["gain"] == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("is_position", [False, True])
def test_a_plant_that_does_not_move_has_no_velocity_and_no_guessed_ramps(is_position: bool) -> None:
    commands = step_commands(1.0, 0.01, 1.0)
    still = trace(0.01 * np.arange(len(commands)), commands, np.zeros(len(commands)))
    assert identify_chirp(still)["gain"] == 0.0
    limits = identify_step(still, is_position)
    assert limits["velocity"] == 0.0
    assert np.isnan(limits["acceleration"])
    assert np.isnan(limits["effort"])


@pytest.mark.realtime
def test_servos_under_their_driver_have_the_limits_that_their_registers_declare(tmp_path: Path) -> None:
    robot = tmp_path / "so101.yaml"
    slowed = yaml.safe_load((ROBOTS / "so101.yaml").read_text()) | {"rate": 50.0}  # for a busy machine
    robot.write_text(yaml.safe_dump(slowed))
    probe = ServoProbe(NerfSpec.load("so101-weak"), str(robot), margin=0.03)
    try:
        wrist = [channel.name for channel in probe.channels].index("wrist_flex")
        probe.play(wrist, np.full(round(1.5 / probe.period), -0.4))
        limits = identify_step(
            probe.play(wrist, step_commands(0.4, probe.period, 1.5, -0.4)), is_position=True
        )
    finally:
        probe.close()
    assert limits["velocity"] == pytest.approx(1.0, rel=0.05)
    assert 0.0 < limits["effort"] <= 0.56
    assert limits["acceleration"] < 16.0


def test_the_command_prints_json_and_writes_plot_and_specification(tmp_path: Path, capsys) -> None:
    words = ["nerf", "measure", "--nerf", "rover-slow", "--json"]
    files = ["--plot", str(tmp_path / "steps.png"), "--out", str(tmp_path / "fitted.yaml")]
    assert main([*words, *files]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {item["field"] for item in printed["limits"]} >= {
        "latency",
        "velocity",
        "acceleration",
        "dead_band",
    }
    assert (tmp_path / "steps.png").stat().st_size > 1000
    assert NerfSpec.load(tmp_path / "fitted.yaml").name == "rover-slow-measured"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--plant", "moon"], "--plant = 'moon'"),
        (["--channel", "linear.y"], "channel 'linear.y': is not the plant's, which has linear.x, angular.z"),
        (["--plant", "servo", "--robot", "so102"], "so102"),
    ],
)
def test_what_cannot_be_measured_is_named(words: list[str], named: str, capsys) -> None:
    assert main(["nerf", "measure", *words]) == 2
    assert named in capsys.readouterr().err
