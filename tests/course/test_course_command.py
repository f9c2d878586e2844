"""`nerfbot course`: what it prints for people, for machines, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nerfbot.cli.course import app
from nerfbot.course import catalogue
from nerfbot.course.parser import CATALOGUE
from nerfbot.errors import InvalidCourse

runner = CliRunner()


def test_list_names_every_course() -> None:
    result = runner.invoke(app, ["list", "--json"])
    assert tuple(row["name"] for row in json.loads(result.stdout)) == catalogue()
    assert runner.invoke(app, ["list"]).exit_code == 0


def test_show_tells_where_everything_stands() -> None:
    data = json.loads(runner.invoke(app, ["show", "strength", "--json", "--seed", "3"]).stdout)
    assert (data["rows"], data["columns"], data["seed"]) == (8, 14, 3)
    assert {"id": "block-1", "kind": "block", "row": 4, "column": 6}.items() <= next(
        item for item in data["elements"] if item["kind"] == "block"
    ).items()
    shown = runner.invoke(app, ["show", "strength"])
    assert "■" in shown.stdout
    assert "needs lifted: strength" in shown.stdout


def test_check_exits_0_where_the_claims_hold() -> None:
    result = runner.invoke(app, ["check", "speed", "--json"])
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert data["holds"] is True
    assert data["goals"][0]["sufficient"] == [["speed"]]
    assert "proved\n" in runner.invoke(app, ["check", "corner"]).stdout
    family = runner.invoke(app, ["check", "coin-in-corner"]).stdout
    assert "proved on 20 drawn levels, seeds 0 to 19" in " ".join(family.split())


def test_check_exits_1_where_a_claim_is_refuted(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text((CATALOGUE / "speed.yaml").read_text().replace("needs: [speed]", "needs: [strength]"))
    result = runner.invoke(app, ["check", str(path)])
    assert result.exit_code == 1
    assert "speed found" in result.stdout


def test_bad_input_is_the_parsers_error() -> None:
    result = runner.invoke(app, ["check", "gauntled"])
    with pytest.raises(InvalidCourse, match="did you mean 'gauntlet'"):
        raise result.exception  # type: ignore[misc]
