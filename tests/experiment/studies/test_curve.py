"""The capability curve: conditions, rows that are with_measures once, and its page."""

from __future__ import annotations

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from nerfbot.experiment.protocol.config import InvalidExperiment, load_experiment
from nerfbot.experiment.studies.curve import CONDITIONS, NERF, CurvePlan, measure, policy_folder
from nerfbot.experiment.studies.curve_report import write_report
from nerfbot.experiment.studies.study_rows import with_measures
from nerfbot.files import read_yaml

SMALL = (
    f"nerf={NERF}",
    "steps=512",
    "worlds=16",
    "ppo.rollout_steps=4",
    "levels.train=32",
    "levels.validation=8",
    "levels.development=8",
    "task.horizon=16.0",
)


def test_only_the_conditions_that_say_so_are_ever_lifted_in_training() -> None:
    lifted = {item.name: "speed" in item.menu.get("powers", ()) for item in CONDITIONS}
    assert lifted == {name: name.endswith("lifted at times") for name in lifted}


def test_capability_and_fidelity_are_of_goal_and_proxy() -> None:
    shares = {"goal": 0.6, "proxy": 0.2, "placebo": 0.15, "none": 0.05}
    row = {f"{plant}_{name}": share for plant in ("grid", "rover") for name, share in shares.items()}
    (measured,) = with_measures([row])
    for plant in ("grid", "rover"):
        assert measured[f"{plant}_C"] == pytest.approx(0.8)
        assert measured[f"{plant}_G"] == pytest.approx(0.75)
        assert measured[f"{plant}_goal_rate"] == pytest.approx(0.6)


def test_points_are_measured_once_and_the_page_shows_them(tmp_path) -> None:
    config = load_experiment("coin-in-corner", SMALL)
    plan = CurvePlan(config, tmp_path, CONDITIONS[-1:], seeds=(0,), lifts=(0.0, 1.0), episodes=3)
    first = measure(plan)
    assert [float(row["lift"]) for row in first] == [0.0, 1.0]
    described = read_yaml(policy_folder(plan, CONDITIONS[-1], 0) / "config.yaml", InvalidExperiment)
    assert described["experiment"]["menu"]["powers"] == ["speed", "move-coin"]
    reported: list[str] = []
    again = measure(plan, lambda text, done, total: reported.append(text))
    assert not reported
    assert [float(row["rover_goal"]) for row in again] == pytest.approx(
        [row["rover_goal"] for row in first], abs=1e-5
    )
    # Lifted, the same number of seconds holds more moves
    assert first[1]["rover_moves"] > first[0]["rover_moves"]
    page = write_report(plan, again).read_text()
    assert "coin moved at times, lifted at times" in page
    with pytest.raises(InvalidExperiment, match="nerf = rover-slow: this run has none"):
        measure(CurvePlan(config.model_copy(update={"nerf": "none"}), tmp_path, episodes=3))
