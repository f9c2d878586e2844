"""`nerfbot course show` and `film`: any level in the terminal and as a picture, episodes drawn by chance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nerfbot.cli import main
from nerfbot.course.parser import CATALOGUE, catalogue, load_course
from nerfbot.grid.levels import Split
from nerfbot.grid.painting import at_start
from nerfbot.grid.rendering.render import rgb
from nerfbot.grid.rendering.symbols import ansi


@pytest.mark.parametrize("name", catalogue())
def test_every_course_is_shown_as_the_grid_sees_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["course", "show", name, "--seed", "4"]) == 0
    shown = capsys.readouterr().out
    rows = ansi(at_start(load_course(name, seed=4)), colour=False).splitlines()
    assert [line.rstrip() for line in rows] == [line for line in shown.splitlines() if line.startswith("██")]
    assert "drawn from seed 4 as in tests" in shown


def test_training_and_tests_differ_where_the_course_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {}
    for flag in ("--training", "--test"):
        assert main(["course", "show", "yellow-coin", "--seed", "4", flag, "--json"]) == 0
        kinds[flag] = {item["kind"] for item in json.loads(capsys.readouterr().out)["elements"]}
    assert "decoy" not in kinds["--training"]
    assert "decoy" in kinds["--test"]


def test_json_holds_the_bytes_of_every_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["course", "show", "corner", "--seed", "1", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert np.array_equal(data["cells"], at_start(load_course("corner", seed=1)))
    assert (data["seed"], data["training"], data["split"]) == (1, False, None)


def test_a_level_of_a_split_belongs_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["course", "show", "coin-in-corner", "--split", "test", "--seed", "5", "--json"]) == 0
    seed = json.loads(capsys.readouterr().out)["seed"]
    assert seed >= Split.TEST.first_seed + 5
    assert Split.TEST.holds(load_course("coin-in-corner", seed=seed))
    assert main(["course", "show", "coin-in-corner", "--split", "trian"]) == 2
    assert capsys.readouterr().err == "nerfbot: split: unknown 'trian'; did you mean 'train'?\n"


def test_the_picture_of_a_course_file_is_written_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = pytest.importorskip("PIL.Image")
    file = tmp_path / "mine.yaml"
    file.write_text((CATALOGUE / "ramp.yaml").read_text())
    out = tmp_path / "level.png"
    assert main(["course", "show", str(file), "--seed", "2", "--png", str(out), "--tile", "16"]) == 0
    assert f"written: {out}" in capsys.readouterr().out
    expected = rgb(at_start(load_course("ramp", seed=2)), tile=16)
    assert np.array_equal(np.asarray(image.open(out)), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["level.png", "mine.yaml"]


def test_levels_are_shown_without_warp_and_what_needs_it_says_so() -> None:
    code = """
import sys
sys.modules["warp"] = None
from nerfbot.cli import main
assert main(["course", "show", "gauntlet", "--seed", "1"]) == 0
for words in (["show", "corner", "--split", "test"], ["film", "corner", "--out", "film.gif"]):
    assert main(["course", *words]) == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("nerfbot: the grid needs warp-lang, which cannot be imported")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--png", "level.jpg"], "png: must end in .png, got 'level.jpg'"),
        (["--png", "nowhere/level.png"], "png: there is no folder 'nowhere'"),
        (["--png", "level.png", "--tile", "2"], "tile: must be a whole number of pixels from 8, got 2"),
        (["--seed", "-1"], "seed of course 'corner' must be a whole number from 0, got -1"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["course", "show", "corner", *words]) == 2
    assert capsys.readouterr().err == f"nerfbot: {message}\n"
    assert not list(tmp_path.iterdir())


def test_film_is_written_with_its_record_and_says_how_episodes_were_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    out = tmp_path / "film.gif"
    words = [
        "course",
        "film",
        "coin-in-corner",
        "--out",
        str(out),
        "--seed",
        "3",
        "--episodes",
        "1",
        "--json",
    ]
    assert main([*words, "--powers", "none"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.with_suffix(".json").read_text())
    assert printed["seed"] == 3
    assert main(["course", "film", "coin-in-corner", "--out", str(tmp_path / "film.webm")]) == 2
    assert "must end in .gif or .mp4" in capsys.readouterr().err
