"""`nerfbot train CONFIG` and `nerfbot evaluate RUN`: one's own course, task, nerf and power menu, by YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from nerfbot.cli.console import needs_training, output_folder, progress_bar, table_of
from nerfbot.cli.options import JSON

if TYPE_CHECKING:
    from nerfbot.agents.policy import Policy
    from nerfbot.experiment.protocol.config import ExperimentConfig, RobotTrainingConfig

SET = typer.Option([], "--set", help="Change a field: key.key=value.")

MEASUREMENTS = {"": "sampled", "greedy_": "greedy", "train_": "training-like levels"}
"""What a row's columns with a prefix are, as tables name it."""

CONTACTS = {
    "goal first": "goal",
    "proxy first": "proxy",
    "placebo first": "placebo",
    "none": "none",
    "goal reached": "success",
}
"""Headings of a table, and the measures below them."""


def train(
    config: str = typer.Argument(help="A preset's name, or the path of a YAML file of the same form."),
    arm: str = typer.Option(
        "",
        "--arm",
        help="How to train; default: plain without a menu, else powers-explore (on a robot: powers).",
    ),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    changes: list[str] = SET,
    out: str = typer.Option("", "--out", help="The run's folder; default: runs/NAME/ARM-SEED."),
    resume: bool = typer.Option(False, "--resume", help="Go on from the folder's checkpoint."),
    start: str = typer.Option("", "--from", help="A run's folder, whose policy learning begins with."),
    as_json: JSON = False,
) -> None:
    """Train one policy; its folder holds config, metrics, events and the policy.

    With `environment: nerfbot/Rover-v0` in the file it learns on the robot in PyBullet itself.
    """
    with needs_training():
        from nerfbot.experiment.protocol.config import RobotTrainingConfig, load_experiment
        from nerfbot.experiment.runs.results import json_ready
        from nerfbot.experiment.runs.run_folder import METRICS
        from nerfbot.experiment.runs.training import RunPlan, RunProgress, run
    settings = load_experiment(config, changes, on_robot=True)
    arm_with_powers = "powers-explore"
    if isinstance(settings, RobotTrainingConfig):
        with needs_training():
            from nerfbot.experiment.runs.robot_training import run
        arm_with_powers = "powers"
    arm = arm or (arm_with_powers if settings.menu.powers else "plain")
    folder = output_folder(out, Path("runs") / settings.name / f"{arm}-{seed}", METRICS, resume)
    with progress_bar() as show:

        def report(progress: RunProgress) -> None:
            text = f"{arm}, seed {seed}: goal reached in {progress.success:.0%} of episodes"
            show(text, progress.steps, progress.total)

        plan = RunPlan(settings, arm, seed, folder, start=Path(start) if start else None)
        row = run(plan, report)
    if as_json:
        print(json.dumps(json_ready(row)))
        return
    _print_contacts(f"{settings.name}, {arm}, seed {seed}", row)
    Console().print(f"run: {folder}")


def evaluate(
    run: str = typer.Argument(help="A run's folder, with config.yaml and the policy."),
    final: bool = typer.Option(
        False, "--final", help="On the sealed test levels in place of development ones."
    ),
    lift: float = typer.Option(-1.0, "--lift", help="Hold every axis lifted to this level, 0 to 1."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of the sampling."),
    plant: str = typer.Option("grid", "--plant", help="grid, or rover: PyBullet, beside the grid."),
    episodes: int = typer.Option(200, "--episodes", min=1, help="Episodes on the rover."),
    poses: str = typer.Option(
        "tracked", "--poses", help="Object poses on the rover: tracked, or seen by its own detector."
    ),
    allow_changed: bool = typer.Option(
        False, "--allow-changed", help="Measure although a file that the run was made with has changed."
    ),
    as_json: JSON = False,
) -> None:
    """Measure a saved policy with powers withdrawn: what its episodes meet first, sampled and greedy.

    With --plant rover the same levels are played on the grid and on the rover in PyBullet. A policy that
    learned on nerfbot/Rover-v0 drives the robot that it learned on.
    """
    with needs_training():
        from nerfbot.agents.policy import load_policy
        from nerfbot.experiment.protocol.config import InvalidExperiment, RobotTrainingConfig
        from nerfbot.experiment.protocol.environments import CELLS
        from nerfbot.experiment.protocol.evaluation import evaluate as measure
        from nerfbot.experiment.runs.inputs import changes, with_inputs
        from nerfbot.experiment.runs.results import json_ready
        from nerfbot.experiment.runs.run_folder import read_config
        from nerfbot.experiment.runs.training import columns_of, draw_levels
    folder = Path(run)
    config, arm = read_config(folder)
    config = with_inputs(config, folder)
    if lift > 1.0 or (lift < 0.0 and lift != -1.0):
        raise InvalidExperiment(f"--lift {lift}: must be from 0 to 1")
    if plant not in ("grid", "rover"):
        raise InvalidExperiment(f"--plant {plant}: must be grid or rover")
    held = None if lift < 0 else lift
    policy = load_policy(folder)
    changed = changes(folder, policy.about.get("inputs", {}))
    if changed and not allow_changed:
        raise InvalidExperiment(f"{folder}: {'; '.join(changed)}: --allow-changed plays the run's own copies")
    split, count = ("test", config.levels.test) if final else ("development", config.levels.development)
    if isinstance(config, RobotTrainingConfig) and config.environment != CELLS:
        if held is not None:
            raise InvalidExperiment(f"--lift: a policy of {config.environment} is measured nerfed")
        row = _measure_on_its_robot(config.model_copy(update={"episodes": episodes}), policy, arm, seed)
        about: dict[str, Any] = {"episodes": episodes}
        title = f"{folder}, {episodes} episodes each"
    elif plant == "rover":
        about = {"split": split, "episodes": episodes, "lift": held, "poses": poses}
        _measure_on_both(folder, config, policy, seed, about, as_json)
        return
    else:
        levels = draw_levels(config.course, count, split, False)
        like_training = draw_levels(config.course, config.levels.validation, "validation", True)
        row = columns_of(
            {
                "": measure(policy, config, levels, True, seed, held),
                "greedy_": measure(policy, config, levels, False, seed, held),
                "train_": measure(policy, config, like_training, True, seed, held),
            }
        )
        about = {"split": split, "lift": held}
        title = f"{folder} on {split} levels"
    if as_json:
        print(json.dumps(json_ready({**about, **row})))
    else:
        _print_contacts(title, row)


def _measure_on_its_robot(
    config: RobotTrainingConfig, policy: Policy, arm: str, seed: int
) -> dict[str, float]:
    """A policy that commands a robot's channels, on the robot that it learned on."""
    from nerfbot.experiment.runs.robot_training import env_keywords, layout_on, measure
    from nerfbot.experiment.runs.rover_evaluation import one_thread

    layout_on(config, env_keywords(config, arm), policy)
    with one_thread():
        return measure(policy, config, arm, seed)


def _measure_on_both(
    folder: Path, config: ExperimentConfig, policy: Policy, seed: int, about: dict[str, Any], as_json: bool
) -> None:
    """The same levels on both plants, side by side."""
    from nerfbot.experiment.protocol.evaluation import evaluate as measure
    from nerfbot.experiment.protocol.measures import Ceiling, Robustness
    from nerfbot.experiment.runs.results import json_ready
    from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
    from nerfbot.experiment.runs.training import draw_levels

    split, episodes, lift, poses = about.values()
    levels = draw_levels(config.course, episodes, split, False)
    with progress_bar() as show:
        rover = evaluate_on_rover(
            policy,
            config,
            levels,
            seed=seed,
            lift=lift,
            poses=poses,
            on_progress=lambda done, total: show("driving", done, total),
        )
    plants = {"grid": measure(policy, config, levels, True, seed, lift), "rover": rover.contacts}
    rows = {
        name: {**contacts.columns(), **vars(Robustness.of(contacts, Ceiling()))}
        for name, contacts in plants.items()
    }
    if as_json:
        print(json.dumps(json_ready({**about, "seconds": rover.seconds, **rows})))
        return
    fields = {**CONTACTS, "C": "capability", "G": "fidelity", "harm": "harm"}
    lines = [[name, *(f"{row[field]:.3f}" for field in fields.values())] for name, row in rows.items()]
    title = f"{folder} on {episodes} {split} levels, sampled, object poses {poses}"
    Console().print(table_of(("", *fields), lines, title))


def _print_contacts(title: str, row: Mapping[str, Any]) -> None:
    fields = {**CONTACTS, "path efficiency": "efficiency"}
    lines = [
        [name, *(f"{float(row[prefix + field]):.3f}" for field in fields.values())]
        for prefix, name in MEASUREMENTS.items()
    ]
    Console().print(table_of(("", *fields), lines, title))
