"""`results.csv`: one row an arm and seed, with C, G and goal rate by the ceiling."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.experiment.protocol.arms import ARMS, CEILING
from nerfbot.experiment.protocol.config import InvalidExperiment
from nerfbot.experiment.protocol.measures import Ceiling, Contacts, Robustness, number_or_nan
from nerfbot.experiment.protocol.statistics import interval
from nerfbot.experiment.runs.run_folder import write_text

FILE = "results.csv"

LEADING = (
    *("task", "arm", "seed", "steps", "C", "G", "goal_rate", "placebo", "train_success"),
    *("alpha_eff_steps", "alpha_eff_rewards", "greedy_goal_rate", "seconds", "commit"),
)
"""Columns that every results file begins with."""

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a results file; a missing file has none. Raises `InvalidExperiment` for another kind."""
    return read_csv(path, LEADING)


def read_csv(path: Path, columns: Iterable[str], may_be_empty: bool = True) -> list[Row]:
    """The rows of a CSV file, which must have these columns; a missing file has none.

    Raises `InvalidExperiment`, one line, where a column is missing or (unless it may be) empty.
    """
    if not path.exists():
        return []
    try:
        rows: list[Row] = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InvalidExperiment(f"{path}: cannot be read: {problem}") from None
    for number, row in enumerate(rows, 2):
        for name in columns:
            value = row.get(name)
            if value is None or (value == "" and not may_be_empty):
                raise InvalidExperiment(f"{path}:{number}: the column {name!r} is missing or cut off")
    return rows


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """All rows, with what follows from the ceiling among them. Raises as `write_csv`."""
    rows = normalised(rows)
    write_csv(path, [*LEADING, *(name for name in _names(rows) if name not in LEADING)], rows)


def gather(path: Path, sources: Iterable[Path]) -> None:
    """Put the rows of several results files into one; a column that a file lacks stays empty.

    Raises as `read_rows` and `write_csv`.
    """
    rows = [row for source in sources for row in read_rows(source)]
    write_csv(path, _names(rows), rows)


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], undefined: str = ""
) -> None:
    """All rows, whole or not at all; floats with six digits, NaN as `undefined`.

    Raises `InvalidExperiment` where the system refuses; the old file stays then.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _formatted(value, undefined) for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def _formatted(value: Any, undefined: str) -> Any:
    if isinstance(value, float):
        return undefined if math.isnan(value) else f"{value:.6g}"
    return value


def normalised(rows: Iterable[Row], prefixes: Sequence[str] | None = None) -> list[Row]:
    """The rows with C, G and goal rates by the ceiling that is among them (1 where there is none).

    For the measurements whose columns have these prefixes; by default for all but ``train_``.
    """
    rows = [dict(row) for row in rows]
    if prefixes is None:
        measured = sorted(name for name in (rows[0] if rows else ()) if name.endswith("_goal"))
        prefixes = ["", *(name.removesuffix("goal") for name in measured if name != "train_goal")]
    for prefix in prefixes:
        ceiling = Ceiling.of(Contacts.from_row(row, prefix) for row in rows if row.get("arm") == CEILING)
        for row in rows:
            row |= Robustness.of(Contacts.from_row(row, prefix), ceiling).columns(prefix)
    return rows


def column(rows: Iterable[Row], arm: str, name: str) -> dict[int, float]:
    """A column of one arm by seed; an empty field is NaN."""
    return {int(row["seed"]): number_or_nan(row[name]) for row in rows if row["arm"] == arm}


def arm_values(rows: Iterable[Row], arm: str, name: str) -> NDArray[np.float64]:
    """A column of one arm. Shape: (seeds,)."""
    return np.array(list(column(rows, arm, name).values()))


def arms_of(rows: Iterable[Row]) -> list[str]:
    """The arms that have rows, in the order of the table of arms; others follow in the order of the file."""
    there = dict.fromkeys(row["arm"] for row in rows)
    return [arm for arm in ARMS if arm in there] + [arm for arm in there if arm not in ARMS]


AVERAGED = ("greedy_goal_rate", "alpha_eff_steps", "alpha_eff_rewards", "train_success", "seconds")
"""Columns of which a summary has the mean over seeds, beside C, G and goal rate."""


def summary(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """The arms with their figures, as ``nerfbot experiment --json`` prints them."""
    figures: dict[str, dict[str, Any]] = {}
    for arm in arms_of(rows):
        rate = list(column(rows, arm, "goal_rate").values())
        spread = interval(rate)
        figures[arm] = {
            "seeds": len(rate),
            "steps": int(max(column(rows, arm, "steps").values())),
            **{name: _mean(arm_values(rows, arm, name)) for name in ("C", "G")},
            "goal_rate": spread.value,
            "goal_rate_low": spread.low,
            "goal_rate_high": spread.high,
            "goal_rate_min": min(rate),
            **{name: _mean(arm_values(rows, arm, name)) for name in AVERAGED},
        }
    return figures


def json_ready(value: Any) -> Any:
    """Nested mappings as JSON has them: null for what is not finite."""
    if isinstance(value, Mapping):
        return {name: json_ready(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mean(numbers: NDArray[np.float64]) -> float:
    finite = numbers[np.isfinite(numbers)]
    return float(finite.mean()) if len(finite) else math.nan
