"""A run folder: `config.yaml`, `metrics.jsonl`, TensorBoard events, beside a policy and a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from nerfbot.experiment.protocol.config import InvalidExperiment

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"


class RunLog:
    """Writes a run's metrics, one JSON object a line and the same numbers as TensorBoard events.

    Args:
        folder: is made; lines of an earlier start are kept up to `steps` and dropped after it.
        config: written as `config.yaml`.
        steps: from which the run goes on, 0 for a new one.

    Raises `InvalidExperiment` where the folder cannot be written.

    """

    def __init__(self, folder: Path, config: Mapping[str, Any], steps: int = 0) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept = [line for line in read_metrics(folder) if line["steps"] <= steps] if steps else []
            (folder / "config.yaml").write_text(
                yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8"
            )
            text = "".join(json.dumps(line) + "\n" for line in kept)
            (folder / METRICS).write_text(text, encoding="utf-8")
            self._file = (folder / METRICS).open("a", encoding="utf-8")
        except OSError as problem:
            raise InvalidExperiment(f"{folder}: cannot be written: {problem.strerror}") from None
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


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            found.append((f"{prefix}{name}", float(value)))
    return found


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last line that was cut off is left out, a missing file is none."""
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
