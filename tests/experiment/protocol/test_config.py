from __future__ import annotations

import pytest
import yaml

from nerfbot.experiment.protocol.arms import ARMS, load_arm, menu_of
from nerfbot.experiment.protocol.config import (
    ExperimentConfig,
    InvalidExperiment,
    MenuConfig,
    RobotTrainingConfig,
    load_experiment,
    parse_change,
    presets,
)


@pytest.mark.parametrize("name", presets())
@pytest.mark.parametrize("quick", [False, True])
def test_every_preset_loads_and_has_the_menus_its_arms_need(name, quick):
    config = load_experiment(name, quick=quick, on_robot=True)
    assert config.arms
    for arm in config.arms:
        menu_of(config, load_arm(arm))


def test_a_change_reaches_a_nested_field_and_leaves_its_neighbours():
    plain, changed = load_experiment("yellow-coin"), load_experiment("yellow-coin", ["ppo.clip=0.3"])
    assert changed.ppo.clip == 0.3
    assert changed.ppo.epochs == plain.ppo.epochs
    assert changed.menu == plain.menu


def test_quick_changes_come_before_the_user_s_own():
    assert load_experiment("yellow-coin", ["seeds=1"], quick=True).seeds == 1


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("ppo.cilp=0.3", "--set ppo.cilp=0.3: ppo.cilp: unknown field; did you mean 'clip'?"),
        ("stpes=3", "--set stpes=3: stpes: unknown field; did you mean 'steps'?"),
        ("steps=-3", "steps"),
        ("steps", "--set 'steps': must have the form key=value"),
        ("steps=[", "--set 'steps=[': the value is not YAML"),
        ("network.kind=cnn", "network.kind"),
    ],
)
def test_a_wrong_change_is_one_line_that_names_the_key(change, line):
    with pytest.raises(InvalidExperiment) as caught:
        load_experiment("yellow-coin", [change])
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_robot_s_own_file_is_for_train_alone_and_has_fields_of_its_own():
    config = load_experiment("rover-room", ["processes=3"], on_robot=True)
    assert isinstance(config, RobotTrainingConfig)
    assert config.processes == 3
    with pytest.raises(InvalidExperiment, match=r"rover-room.yaml: environment: only `nerfbot train`"):
        load_experiment("rover-room")
    with pytest.raises(InvalidExperiment, match="--set processes=3: processes: unknown field"):
        load_experiment("yellow-coin", ["processes=3"], on_robot=True)
    with pytest.raises(InvalidExperiment, match="hold: must be 1 on nerfbot/RoverCells-v0"):
        load_experiment("rover-room", ["environment=nerfbot/RoverCells-v0"], on_robot=True)
    with pytest.raises(InvalidExperiment, match="environment"):
        load_experiment("yellow-coin", ["environment=CartPole-v1"], on_robot=True)
    with pytest.raises(InvalidExperiment, match="device: must be cpu on nerfbot/Rover-v0, got 'cuda'"):
        load_experiment("rover-room", ["device=cuda"], on_robot=True)


def test_an_unknown_experiment_is_told_the_nearest():
    with pytest.raises(InvalidExperiment, match="did you mean 'yellow-coin'"):
        load_experiment("yelow-coin")


def test_a_file_of_one_s_own_has_the_form_of_a_preset(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "course": "corner", "arms": ["plain"]}))
    assert load_experiment(path).course == "corner"
    path.write_text("- 1\n")
    with pytest.raises(InvalidExperiment, match="must be a mapping"):
        load_experiment(path)


def test_a_change_is_nested_by_its_dots():
    assert parse_change("a.b=[1, 2]") == {"a": {"b": [1, 2]}}


def test_an_unknown_arm_is_told_the_nearest():
    with pytest.raises(InvalidExperiment, match="did you mean 'powers-explore'"):
        load_arm("power-explore")


def test_the_arms_of_the_protocol_are_there():
    expected = {
        "random-policy",
        "plain",
        "randomised-0.1",
        "randomised-1",
        "randomised-3",
        "randomised-10",
        "randomised-100",
        "bonus-only",
        "powers",
        "powers-explore",
        "random-powers",
        "random-powers-matched",
        "random-powers-oracle",
        "shuffled-explorer",
    }
    assert expected <= set(ARMS)


def test_an_arm_s_menu_is_the_experiment_s_with_the_arm_s_changes():
    menu = MenuConfig(powers=("move-coin", "teleport"), schedule={"kind": "occasional", "charges": 1})
    config = ExperimentConfig(
        name="x", course="corner", menu=menu, menus={"oracle": {"powers": ("move-coin",)}}
    )
    assert menu_of(config, load_arm("plain")).powers == ()
    assert menu_of(config, load_arm("powers-explore")) == menu
    oracle = menu_of(config, load_arm("random-powers-oracle"))
    assert (oracle.powers, oracle.schedule) == (("move-coin",), menu.schedule)
    assert menu_of(config, load_arm("only-teleport")).powers == ("teleport",)
    assert menu_of(config, load_arm("explore-cell")).destinations == "cell"
    assert menu_of(config, load_arm("explore-never-withdrawn")).schedule["charges"] is None


def test_an_arm_that_the_menu_cannot_serve_is_refused():
    config = ExperimentConfig(name="x", course="corner", menu=MenuConfig(powers=("teleport",)))
    with pytest.raises(InvalidExperiment, match="'x' has no menu 'phase'"):
        menu_of(config, load_arm("only-phase"))
    with pytest.raises(InvalidExperiment, match="no menu 'oracle'"):
        menu_of(config, load_arm("random-powers-oracle"))
