"""What is measured is what is enforced: known limits come back from the simulated robot's answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from nerfbot.bridge.measure import SimProbe, Trace, fitted, identify, measure, step_commands
from nerfbot.cli import main
from nerfbot.limits import NerfSpec
from nerfbot.limits.spec import PRESETS


@pytest.fixture(scope="module")
def weak():
    probe = SimProbe("rover-weak")
    found, _ = measure(probe, NerfSpec.load("rover-weak"), room=1.5)
    yield {(item.channel, item.field): item for item in found}, found, probe.envelope
    probe.close()


@pytest.mark.parametrize(
    ("channel", "field", "tolerance"),
    [
        ("linear.x", "latency", 0.1),
        ("linear.x", "velocity", 0.02),
        ("linear.x", "acceleration", 0.05),
        ("linear.x", "deceleration", 0.05),
        ("linear.x", "dead_band", 0.3),
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
    found, _ = measure(probe, NerfSpec.load(path), room=1.5)
    probe.close()
    (item,) = [item for item in found if (item.channel, item.field) == ("linear.x", "deceleration")]
    assert item.effective < 0.8 * item.declared


def test_the_fitted_specification_can_be_loaded_and_says_what_was_found(weak, tmp_path: Path) -> None:
    path = tmp_path / "fitted.yaml"
    path.write_text(yaml.safe_dump(fitted(weak[1], "fitted", weak[2])))
    spec = NerfSpec.load(path).model_copy(update={"envelope": weak[2]})
    assert spec.channel("linear.x").velocity.at(0.0) == pytest.approx(0.4, rel=0.02)


def test_latency_and_ramps_are_told_from_a_made_up_answer() -> None:
    commands = step_commands(1.0, 0.01, 1.0)
    time = 0.01 * np.arange(len(commands))
    start, end = time[np.flatnonzero(commands)[0]], time[np.flatnonzero(commands)[-1]] + 0.01
    rising = np.clip((time - start - 0.08) * 4.0, 0.0, 0.5)
    measured = np.clip(np.minimum(rising, 0.5 - (time - end - 0.08) * 2.0), 0.0, None)
    told = identify(Trace(time, commands, measured))
    assert told["latency"] == pytest.approx(0.08, abs=1e-6)
    assert told["velocity"] == pytest.approx(0.5)
    assert told["acceleration"] == pytest.approx(4.0)
    assert told["deceleration"] == pytest.approx(2.0, rel=0.01)


def test_a_plant_that_does_not_move_has_no_velocity_and_no_guessed_ramps() -> None:
    commands = step_commands(1.0, 0.01, 1.0)
    told = identify(Trace(0.01 * np.arange(len(commands)), commands, np.zeros(len(commands))))
    assert told["velocity"] == 0.0
    assert np.isnan(told["acceleration"])


def test_the_command_prints_json_and_writes_plot_and_specification(tmp_path: Path, capsys) -> None:
    words = ["nerf", "measure", "--nerf", "rover-slow", "--json"]
    files = ["--plot", str(tmp_path / "steps.png"), "--out", str(tmp_path / "fitted.yaml")]
    assert main([*words, *files]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {item["field"] for item in told["limits"]} >= {"latency", "velocity", "acceleration", "dead_band"}
    assert (tmp_path / "steps.png").stat().st_size > 1000
    assert NerfSpec.load(tmp_path / "fitted.yaml").name == "rover-slow-measured"


def test_an_unknown_plant_is_named(capsys) -> None:
    assert main(["nerf", "measure", "--plant", "moon"]) == 2
    assert "--plant = 'moon'" in capsys.readouterr().err
