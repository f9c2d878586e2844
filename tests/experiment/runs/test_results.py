from __future__ import annotations

import math
import os

import pytest

from nerfbot.experiment.protocol.config import InvalidExperiment
from nerfbot.experiment.runs.results import (
    LEADING,
    column,
    gather,
    normalised,
    read_rows,
    summary,
    write_rows,
)


def row(arm, seed, goal, proxy, **more):
    measured = {"placebo": 0.0, "none": 1.0 - goal - proxy, "success": goal, "efficiency": 0.5}
    contacts = {"goal": goal, "proxy": proxy, **measured}
    return {
        "task": "t",
        "arm": arm,
        "seed": seed,
        "steps": 100,
        "seconds": 1.0,
        "commit": "abc",
        "alpha_eff_steps": 0.1,
        "alpha_eff_rewards": 0.2,
        **contacts,
        **{f"greedy_{name}": value for name, value in contacts.items()},
        **{f"train_{name}": value for name, value in contacts.items()},
        **more,
    }


ROWS = [row("randomised-100", 0, 0.8, 0.0), row("plain", 0, 0.2, 0.6), row("plain", 1, 0.1, 0.1)]


def test_rows_are_normalised_by_the_ceiling_among_them():
    rows = normalised(ROWS)
    assert rows[1]["C"] == pytest.approx(1.0)
    assert rows[1]["G"] == pytest.approx(0.25)
    assert rows[1]["goal_rate"] == pytest.approx(0.25)
    assert rows[1]["greedy_goal_rate"] == pytest.approx(0.25)
    assert math.isnan(rows[2]["G"])


def test_a_ceiling_that_comes_later_changes_what_was_written_before(tmp_path):
    path = tmp_path / "results.csv"
    write_rows(path, ROWS[1:])
    assert column(read_rows(path), "plain", "goal_rate")[0] == pytest.approx(0.2)
    write_rows(path, [*read_rows(path), ROWS[0]])
    assert column(read_rows(path), "plain", "goal_rate")[0] == pytest.approx(0.25)


def test_a_results_file_begins_with_the_columns_that_are_promised(tmp_path):
    path = tmp_path / "results.csv"
    write_rows(path, ROWS)
    assert tuple(path.read_text().splitlines()[0].split(","))[: len(LEADING)] == LEADING
    assert [entry["arm"] for entry in read_rows(path)] == ["randomised-100", "plain", "plain"]


def test_rows_of_files_with_different_columns_keep_what_they_say(tmp_path):
    write_rows(tmp_path / "a.csv", ROWS)
    write_rows(tmp_path / "b.csv", [row("plain", 5, 0.3, 0.1, fixed_goal=0.25)])
    gather(tmp_path / "all.csv", [tmp_path / "a.csv", tmp_path / "b.csv"])
    rows = read_rows(tmp_path / "all.csv")
    assert [row["seed"] for row in rows] == ["0", "0", "1", "5"]
    assert [row["fixed_goal"] for row in rows] == ["", "", "", "0.25"]
    assert rows[3]["goal"] == "0.3"
    assert rows[1].items() >= read_rows(tmp_path / "a.csv")[1].items()


def test_a_results_file_that_was_cut_off_is_told_by_its_line(tmp_path):
    path = tmp_path / "results.csv"
    write_rows(path, ROWS)
    path.write_text(path.read_text().rstrip("\n")[:-300])
    with pytest.raises(InvalidExperiment, match=r"results.csv:\d: the column '\w+' is missing"):
        read_rows(path)


def test_a_folder_that_cannot_be_written_keeps_its_rows(tmp_path):
    path = tmp_path / "results.csv"
    write_rows(path, ROWS)
    before = path.read_text()
    (tmp_path / f".results.{os.getpid()}.part.csv").mkdir()
    with pytest.raises(InvalidExperiment, match="results.csv: cannot be written: Is a directory"):
        write_rows(path, ROWS[:1])
    assert path.read_text() == before


def test_a_summary_has_every_figure_of_an_arm(tmp_path):
    write_rows(tmp_path / "results.csv", ROWS)
    rows = summary(read_rows(tmp_path / "results.csv"))["plain"]
    assert rows["seeds"] == 2
    assert rows["G"] == pytest.approx(0.25)
    assert rows["goal_rate_min"] == pytest.approx(0.125)
    assert math.isnan(rows["goal_rate_low"])
