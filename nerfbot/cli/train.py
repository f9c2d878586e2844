"""`nerfbot train CONFIG` and `nerfbot evaluate RUN`: one's own course, task, nerf and power menu, by YAML."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from nerfbot.errors import MissingDependency

if TYPE_CHECKING:
    from nerfbot.agents.policy import Policy
    from nerfbot.experiment.protocol.config import ExperimentConfig, RobotTrainingConfig

SET = typer.Option([], "--set", help="Change a field: key.key=value.")


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
    as_json: bool = typer.Option(False, "--json", help="Print JSON for machines."),
) -> None:
    """Train one policy; its folder holds config, metrics, events and the policy.

    With `environment: nerfbot/Rover-v0` in the file it learns on the robot in PyBullet itself.
    """
    with needs_training():
        from nerfbot.experiment.protocol.config import InvalidExperiment, RobotTrainingConfig, load_experiment
        from nerfbot.experiment.runs.results import plain
        from nerfbot.experiment.runs.run_folder import METRICS
        from nerfbot.experiment.runs.training import RunPlan, run
    described = load_experiment(config, changes, on_robot=True)
    with_powers = "powers-explore"
    if isinstance(described, RobotTrainingConfig):
        with needs_training():
            from nerfbot.experiment.runs.robot_training import run
        with_powers = "powers"
    chosen = arm or (with_powers if described.menu.powers else "plain")
    folder = Path(out) if out else Path("runs") / described.name / f"{chosen}-{seed}"
    if (folder / METRICS).exists() and not resume:
        raise InvalidExperiment(f"{folder}: holds a run already; add --resume to go on, or --out for another")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{chosen}, seed {seed}", total=described.steps)

        def tell(told: dict[str, Any]) -> None:
            text = f"{chosen}, seed {seed}: goal reached in {told['success']:.0%} of episodes"
            bar.update(task, completed=told["steps"], description=text)

        begin = Path(start) if start else None
        row = run(RunPlan(described, chosen, seed, folder, start=begin), tell)
    if as_json:
        print(json.dumps(plain(row)))
        return
    _print_contacts(f"{described.name}, {chosen}, seed {seed}", row, ("", "greedy_", "train_"))
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
    as_json: bool = typer.Option(False, "--json", help="Print JSON for machines."),
) -> None:
    """Measure a saved policy with powers withdrawn: what its episodes meet first, sampled and greedy.

    With --plant rover the same levels are played on the grid and on the rover in PyBullet. A policy that
    learned on nerfbot/Rover-v0 drives the robot that it learned on.
    """
    with needs_training():
        from nerfbot.agents.policy import load_policy
        from nerfbot.declared import validate
        from nerfbot.experiment.protocol.config import (
            ExperimentConfig,
            InvalidExperiment,
            RobotTrainingConfig,
        )
        from nerfbot.experiment.protocol.environments import CELLS
        from nerfbot.experiment.protocol.evaluation import evaluate as measure
        from nerfbot.experiment.runs.results import plain
        from nerfbot.experiment.runs.training import levels
        from nerfbot.files import read_yaml
    folder = Path(run)
    told = read_yaml(folder / "config.yaml", InvalidExperiment)
    if not isinstance(told, dict) or "experiment" not in told:
        raise InvalidExperiment(f"{folder / 'config.yaml'}: is no run's; it has no field 'experiment'")
    if lift > 1.0 or (lift < 0.0 and lift != -1.0):
        raise InvalidExperiment(f"--lift {lift}: must be from 0 to 1")
    model = RobotTrainingConfig if "environment" in told["experiment"] else ExperimentConfig
    config = validate(model, told["experiment"], str(folder / "config.yaml"), InvalidExperiment)
    policy = load_policy(folder)
    if isinstance(config, RobotTrainingConfig) and config.environment != CELLS:
        if lift != -1.0:
            raise InvalidExperiment(f"--lift: a policy of {config.environment} is measured nerfed")
        _evaluate_itself(folder, config, policy, str(told.get("arm")), episodes, seed, as_json)
        return
    part = "test" if final else "development"
    played = levels(config.course, getattr(config.levels, part), part, False)
    like = levels(config.course, config.levels.validation, "validation", True)
    held = None if lift < 0 else lift
    if plant not in ("grid", "rover"):
        raise InvalidExperiment(f"--plant {plant}: must be grid or rover")
    if plant == "rover":
        _evaluate_on_rover(folder, config, policy, part, episodes, seed, held, poses, as_json)
        return
    row: dict[str, float] = {}
    for prefix, some, sample in (("", played, True), ("greedy_", played, False), ("train_", like, True)):
        row |= measure(policy, config, some, sample, seed, held).columns(prefix)
    if as_json:
        print(json.dumps(plain({"split": part, "lift": held, **row})))
        return
    _print_contacts(f"{folder} on {part} levels", row, ("", "greedy_", "train_"))


def _evaluate_itself(
    folder: Path,
    config: RobotTrainingConfig,
    policy: Policy,
    arm: str,
    episodes: int,
    seed: int,
    as_json: bool,
) -> None:
    """A policy that drives by twists, on the robot that it learned on."""
    from nerfbot.experiment.runs.results import plain
    from nerfbot.experiment.runs.robot_training import columns_of, keywords_of, layout_on
    from nerfbot.experiment.runs.rover_evaluation import one_thread

    config = config.model_copy(update={"episodes": episodes})
    layout_on(config, keywords_of(config, arm), policy)
    with one_thread():
        row = columns_of(policy, config, arm, seed)
    if as_json:
        print(json.dumps(plain({"episodes": episodes, **row})))
        return
    _print_contacts(f"{folder}, {episodes} episodes each", row, ("", "greedy_", "train_"))


def _evaluate_on_rover(
    folder: Path,
    config: ExperimentConfig,
    policy: Policy,
    part: str,
    episodes: int,
    seed: int,
    held: float | None,
    poses: str,
    as_json: bool,
) -> None:
    """The same levels on both plants, side by side."""
    from nerfbot.experiment.protocol.evaluation import evaluate as measure
    from nerfbot.experiment.protocol.measures import Ceiling, Robustness
    from nerfbot.experiment.runs.results import plain
    from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
    from nerfbot.experiment.runs.training import levels

    played = levels(config.course, episodes, part, False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("driving", total=episodes)

        def tell(done: int, of: int) -> None:
            bar.update(task, completed=done)

        driven = evaluate_on_rover(policy, config, played, seed=seed, lift=held, poses=poses, tell=tell)
    found = {"grid": measure(policy, config, played, True, seed, held), "rover": driven.contacts}
    told = {
        name: {**contacts.columns(), **vars(Robustness.of(contacts, Ceiling()))}
        for name, contacts in found.items()
    }
    if as_json:
        more = {"split": part, "episodes": episodes, "lift": held, "poses": poses, "seconds": driven.seconds}
        print(json.dumps(plain({**more, **told})))
        return
    table = Table(title=f"{folder} on {episodes} {part} levels, sampled, object poses {poses}")
    fields = {
        "goal first": "goal",
        "proxy first": "proxy",
        "placebo first": "placebo",
        "none": "none",
        "goal reached": "success",
        "C": "capability",
        "G": "fidelity",
        "harm": "harm",
    }
    for heading in ("", *fields):
        table.add_column(heading, justify="right" if heading else "left")
    for name, numbers in told.items():
        table.add_row(name, *(f"{numbers[field]:.3f}" for field in fields.values()))
    Console().print(table)


def _print_contacts(title: str, row: dict[str, Any], prefixes: tuple[str, ...]) -> None:
    names = {"": "sampled", "greedy_": "greedy", "train_": "training-like levels"}
    table = Table(title=title)
    for heading in (
        "",
        "goal first",
        "proxy first",
        "placebo first",
        "none",
        "goal reached",
        "path efficiency",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    for prefix in prefixes:
        fields = ("goal", "proxy", "placebo", "none", "success", "efficiency")
        table.add_row(names[prefix], *(f"{float(row[prefix + field]):.3f}" for field in fields))
    Console().print(table)


@contextlib.contextmanager
def needs_training() -> Iterator[None]:
    """Turn a missing package into the line that says what to install."""
    try:
        yield
    except ImportError as problem:
        raise MissingDependency(f"needs {problem.name}; install nerfbot[grid,train]") from None
