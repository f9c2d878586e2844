"""What an experiment is, as data: a task with its courses, networks, budget, power menu, and the arms to run.

Presets are YAML files in `presets/`; a user's own file has the same form. Any field can be changed from the
command line by ``--set key=value``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from pydantic import Field, model_validator

from nerfbot.agents.curricula import ReplayConfig
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.ppo import PPOConfig
from nerfbot.declared import DataPath, Declared, PositiveInt, suggestion, validate
from nerfbot.errors import InvalidSpec
from nerfbot.experiment.protocol.environments import CELLS, Environment
from nerfbot.files import is_yaml_path, read_yaml

PRESETS = Path(__file__).parents[1] / "presets"

FILES = ("course", "tests", "nerf", "options")
"""Fields whose texts may name YAML files: from the folder of the file that names them."""


class InvalidExperiment(InvalidSpec):
    """An experiment's description that cannot be used; names the file, the field and the value."""


class MenuConfig(Declared):
    """Powers and when they are granted: the keywords of ``nerfbot/Grid-v0`` of the same names."""

    powers: tuple[str, ...] = ()
    contents: str | tuple[str, ...] | dict[str, str | tuple[str, ...]] = "all"
    destinations: str = "drawn"
    schedule: dict[str, Any] = Field(default_factory=lambda: {"kind": "never"})


class ExplorerConfig(Declared):
    """An explorer by its name in `nerfbot.agents.explorers`, its signal (None: its own), and its options."""

    name: str = "bandit"
    signal: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class LevelCounts(Declared):
    """How many levels each part of the data has."""

    train: PositiveInt = 4096
    validation: PositiveInt = 512
    development: PositiveInt = 1024
    test: PositiveInt = 1024


class ExperimentConfig(Declared):
    """An experiment.

    `tests` are further courses whose tests' distribution is measured beside `course`'s own, by a name.
    `menus` are changes of `menu` by a name, for the arms that play with another: "oracle" is the menu that a
    designer who knows the answer has cut down, "4", "16" and "64" are smaller ones. `replay` of the worlds
    that edits made, in every arm with powers (None: there is none). `steps` an arm, power steps included;
    `worlds` side by side; `device` of the worlds and of learning (measuring is the CPU's); `points` of the
    learning curve. `arms` that run by default. `quick`: changes for a quick
    look.
    """

    name: str
    title: str = ""
    course: str
    tests: dict[str, str] = Field(default_factory=dict)
    task: dict[str, Any] | None = None
    nerf: str = "none"
    network: NetworkConfig = Field(default_factory=NetworkConfig)
    ppo: PPOConfig = Field(default_factory=PPOConfig)
    steps: PositiveInt = 300_000
    worlds: PositiveInt = 256
    device: Literal["cpu", "cuda"] = "cpu"
    points: PositiveInt = 8
    levels: LevelCounts = Field(default_factory=LevelCounts)
    menu: MenuConfig = Field(default_factory=MenuConfig)
    menus: dict[str, dict[str, Any]] = Field(default_factory=dict)
    explorer: ExplorerConfig = Field(default_factory=ExplorerConfig)
    replay: ReplayConfig | None = None
    seeds: PositiveInt = 10
    arms: tuple[str, ...] = ()
    quick: dict[str, Any] = Field(default_factory=dict)


class RobotTrainingConfig(ExperimentConfig):
    """Learning on a robot in PyBullet itself: what an experiment has, and which `environment`.

    `processes` with `crew` robots each replace `worlds`. `hold`: control steps of 0.05 s for which an action
    is repeated (1 on ``nerfbot/RoverCells-v0``); a step of learning is one action. `parts` of the observation
    that the policy gets; none named: all. `episodes` of each measurement. `options`: further keywords of the
    environment, such as ``robot`` or ``reveal_lift``.
    """

    environment: Environment
    processes: PositiveInt = 2
    crew: PositiveInt = 16
    hold: PositiveInt = 1
    parts: tuple[str, ...] = ()
    episodes: PositiveInt = 50
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> RobotTrainingConfig:
        if self.hold > 1 and self.environment == CELLS:
            raise ValueError(f"hold: must be 1 on {self.environment}, whose action is a whole move")
        if self.device != "cpu":
            raise ValueError(f"device: must be cpu on {self.environment}, got {self.device!r}")
        return self


def presets() -> tuple[str, ...]:
    """Names of the experiments that come with the package."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def load_experiment(
    source: str | Path, changes: Iterable[str] = (), quick: bool = False, on_robot: bool = False
) -> ExperimentConfig:
    """An experiment by a preset's name or a file's path, with changes of the form ``key.key=value`` (YAML).

    `quick` applies the file's own `quick` section first. With `on_robot` a file may name an `environment`
    and is then a `RobotTrainingConfig`. Raises `InvalidExperiment`, one line, for an unknown name or key,
    with the nearest known one.
    """
    path = Path(source)
    if str(source) in presets():
        path = PRESETS / f"{source}.yaml"
    elif not path.exists():
        raise InvalidExperiment(
            f"experiment {str(source)!r}: neither a file nor a preset{suggestion(str(source), presets())}"
        )
    data = read_yaml(path, InvalidExperiment)
    if not isinstance(data, dict):
        raise InvalidExperiment(f"{path}: must be a mapping of fields")
    data = _located(data, path.parent)
    if quick:
        data = _merged(data, data.get("quick", {}))
    changes = list(changes)
    for change in changes:
        data = _merged(data, parse_change(change))

    def source_of(wrong: DataPath) -> str:
        blamed = [f"--set {change}" for change in changes if _concerns(change, wrong)]
        return ", ".join(blamed) or str(path)

    if "environment" in data and not on_robot:
        place = source_of(("environment",))
        raise InvalidExperiment(f"{place}: environment: only `nerfbot train` learns on a robot itself")
    model = RobotTrainingConfig if "environment" in data else ExperimentConfig
    return validate(model, data, source_of, InvalidExperiment)


def _located(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The fields of a file in `folder`, with the YAML files that they name as paths from here."""

    def place(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: place(inner) for key, inner in value.items()}
        return str(folder / value) if isinstance(value, str) and is_yaml_path(value) else value

    located = {name: place(value) if name in FILES else value for name, value in data.items()}
    if isinstance(data.get("quick"), Mapping):
        located["quick"] = _located(data["quick"], folder)
    return located


def parse_change(text: str) -> dict[str, Any]:
    """``a.b=value`` as a nested mapping. Raises `InvalidExperiment` for any other form."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidExperiment(f"--set {text!r}: must have the form key=value")
    try:
        nested = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InvalidExperiment(f"--set {text!r}: the value is not YAML") from None
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return cast("dict[str, Any]", nested)


def _concerns(change: str, wrong: DataPath) -> bool:
    """Whether ``key.key=value`` sets the value at the path ``wrong``, a part of it, or what contains it."""
    keys = change.partition("=")[0].split(".")
    return all(str(part) == key for part, key in zip(wrong, keys, strict=False))


def _merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(data)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
