"""`results.csv`: one row an arm and seed, with C, G and goal rate by the ceiling."""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerfbot.experiment.protocol.arms import ARMS, CEILING
from nerfbot.experiment.protocol.config import InvalidExperiment
from nerfbot.experiment.protocol.measures import Ceiling, Contacts, Robustness
from nerfbot.experiment.protocol.statistics import Interval, interval

FILE = "results.csv"

LEADING = (
    "task",
    "arm",
    "seed",
    "steps",
    "C",
    "G",
    "goal_rate",
    "placebo",
    "train_success",
    "alpha_eff_steps",
    "alpha_eff_rewards",
    "greedy_goal_rate",
    "seconds",
    "commit",
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
    others = dict.fromkeys(name for row in rows for name in row if name not in LEADING)
    shown = ({name: _shown(value) for name, value in row.items()} for row in rows)
    write_csv(path, [*LEADING, *others], shown)


def gather(path: Path, sources: Iterable[Path]) -> None:
    """Put the rows of several results files into one; a column that a file lacks stays empty.

    Raises as `read_rows` and `write_csv`.
    """
    rows = [row for source in sources for row in read_rows(source)]
    write_csv(path, list(dict.fromkeys(name for row in rows for name in row)), rows)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """All rows, through a temporary file.

    Raises `InvalidExperiment` where that fails; what was there before then stays.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text.getvalue(), encoding="utf-8")
        part.replace(path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InvalidExperiment(
            f"{path}: cannot be written: {problem.strerror}; earlier rows are kept"
        ) from None


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def normalised(rows: Iterable[Row]) -> list[Row]:
    """The rows with C, G and goal rates by the ceiling that is among them (1 where there is none)."""
    rows = [dict(row) for row in rows]
    measured = sorted(name for name in (rows[0] if rows else ()) if name.endswith("_goal"))
    prefixes = ["", *(name.removesuffix("goal") for name in measured)]
    top = [row for row in rows if row["arm"] == CEILING]
    for prefix in prefixes:
        ceiling = Ceiling.of(contacts_of(row, prefix) for row in top)
        for row in rows:
            if prefix != "train_":
                row |= robustness(row, prefix, ceiling)
    return rows


def contacts_of(row: Row, prefix: str) -> Contacts:
    """A row's shares by first contact, from the columns with a prefix."""
    return Contacts.from_row(
        {name: "" if value is None else str(value) for name, value in row.items()}, prefix
    )


def robustness(row: Row, prefix: str, ceiling: Ceiling) -> dict[str, float]:
    """The columns C, G and goal rate that go with a row's shares."""
    found = Robustness.of(contacts_of(row, prefix), ceiling)
    return {
        f"{prefix}C": found.capability,
        f"{prefix}G": found.fidelity,
        f"{prefix}goal_rate": found.goal_rate,
    }


def column(rows: Iterable[Row], arm: str, name: str) -> dict[int, float]:
    """A column of one arm by seed; an empty field is NaN."""
    return {
        int(row["seed"]): float(row[name] if row[name] not in ("", None) else "nan")
        for row in rows
        if row["arm"] == arm
    }


def arms_of(rows: Iterable[Row]) -> list[str]:
    """The arms that have rows, in the order of the table of arms; others follow in the order of the file."""
    there = dict.fromkeys(row["arm"] for row in rows)
    return [arm for arm in ARMS if arm in there] + [arm for arm in there if arm not in ARMS]


def summary(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """The arms with their figures, as ``nerfbot experiment --json`` prints them."""
    told: dict[str, dict[str, Any]] = {}
    for arm in arms_of(rows):
        rate = list(column(rows, arm, "goal_rate").values())
        spread: Interval = interval(rate)
        told[arm] = {
            "seeds": len(rate),
            "steps": int(max(column(rows, arm, "steps").values())),
            **{name: _mean(column(rows, arm, name).values()) for name in ("C", "G")},
            "goal_rate": spread.value,
            "goal_rate_low": spread.low,
            "goal_rate_high": spread.high,
            "goal_rate_min": min(rate),
            "greedy_goal_rate": _mean(column(rows, arm, "greedy_goal_rate").values()),
            **{
                name: _mean(column(rows, arm, name).values())
                for name in ("alpha_eff_steps", "alpha_eff_rewards", "train_success", "seconds")
            },
        }
    return told


def plain(value: Any) -> Any:
    """A summary as JSON has it: no NaN."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mean(values: Iterable[float]) -> float:
    found = np.array([value for value in values if math.isfinite(value)])
    return float(found.mean()) if len(found) else math.nan
