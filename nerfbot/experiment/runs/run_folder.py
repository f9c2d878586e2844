"""A run folder: `config.yaml`, `metrics.jsonl`, TensorBoard events, beside a policy and a checkpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from nerfbot.declared import validate
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment, RobotTrainingConfig
from nerfbot.files import read_yaml, write_atomically

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"


class RunLog:
    """Writes a run's metrics, one JSON object a line and the same numbers as TensorBoard events.

    Args:
        folder: is created; lines of an earlier start stay up to `steps` and are dropped after it.
        config: written as `config.yaml`.
        steps: at which the run continues, 0 for a new one.

    Raises `InvalidExperiment` where the folder cannot be written.

    """

    def __init__(self, folder: Path, config: Mapping[str, Any], steps: int = 0) -> None:
        earlier = [line for line in read_metrics(folder) if line["steps"] <= steps] if steps else []
        write_text(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
        write_text(folder / METRICS, "".join(json.dumps(line) + "\n" for line in earlier))
        self._file = (folder / METRICS).open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder), purge_step=steps or None)

    def write(self, steps: int, metrics: Mapping[str, Any]) -> None:
        """One line; numbers in nested mappings become events named ``outer/inner``."""
        self._file.write(json.dumps({"steps": steps, **metrics}) + "\n")
        self._file.flush()
        for name, value in _flat(metrics):
            self._events.add_scalar(name, value, steps)

    def __enter__(self) -> RunLog:
        """Nothing to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close both files."""
        self._file.close()
        self._events.close()


def write_text(path: Path, text: str) -> None:
    """Write a file whole, with the folders that it needs. Raises `InvalidExperiment` where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InvalidExperiment(f"{path.parent}: cannot be written: {problem.strerror}") from None
    write_atomically(path, text, InvalidExperiment)


def note_test_use(folder: Path, what: str) -> None:
    """Append a dated line to the folder's ``test_uses.txt``: the sealed test levels are about to be read."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "test_uses.txt").open("a", encoding="utf-8") as uses:
        uses.write(f"{time.strftime('%Y-%m-%d %H:%M')} {what} measured on the test levels\n")


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{name}", float(value)


def read_config(folder: Path) -> tuple[ExperimentConfig, str]:
    """The experiment and arm of a run's folder. Raises `InvalidExperiment` where it is no run's."""
    path = folder / "config.yaml"
    data = read_yaml(path, InvalidExperiment)
    if not isinstance(data, dict) or not isinstance(data.get("experiment"), dict):
        raise InvalidExperiment(f"{path}: is no run's; it has no field 'experiment'")
    model = RobotTrainingConfig if "environment" in data["experiment"] else ExperimentConfig
    return validate(model, data["experiment"], str(path), InvalidExperiment), str(data.get("arm"))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics, without a last one that was cut off; a missing file has none."""
    try:
        text = (folder / METRICS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
