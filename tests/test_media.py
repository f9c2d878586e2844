"""Picture and film files: what is written, and that a failure leaves nothing half-written."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand, MissingDependency
from nerfbot.media import FilmWriter, check_suffix, open_film, save_png

SUFFIXES = pytest.mark.parametrize("suffix", [".gif", ".mp4"])


def write_one_and_fail(film: FilmWriter) -> None:
    film.write(np.zeros((64, 64, 3), np.uint8))
    raise ValueError("half-way")


def test_a_png_holds_exactly_the_picture(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).integers(0, 256, (13, 7, 3), dtype=np.uint8)
    save_png(picture, tmp_path / "picture.png")
    assert np.array_equal(np.asarray(image.open(tmp_path / "picture.png")), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@SUFFIXES
def test_a_film_that_fails_leaves_nothing_and_keeps_the_earlier_one(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("imageio_ffmpeg" if suffix == ".mp4" else "PIL")
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"earlier")
    with pytest.raises(ValueError, match="half-way"), open_film(path, 5) as film:
        write_one_and_fail(film)
    with pytest.raises(InvalidCommand, match="a film needs at least one frame"), open_film(path, 5):
        pass
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


@SUFFIXES
def test_a_film_of_odd_size_is_written(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("imageio_ffmpeg" if suffix == ".mp4" else "PIL")
    path = tmp_path / f"film{suffix}"
    with open_film(path, 5) as film:
        for level in (0, 120, 240):
            film.write(np.full((33, 65, 3), level, np.uint8))
    assert path.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("suffix", "package"), [("gif", "pillow"), ("mp4", "imageio-ffmpeg")])
def test_a_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, package: str
) -> None:
    blocked = {"gif": "PIL", "mp4": "imageio_ffmpeg"}[suffix]
    real = importlib.import_module

    def refuse(name: str) -> Any:
        if name.partition(".")[0] == blocked:
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr("importlib.import_module", refuse)
    path = tmp_path / f"film.{suffix}"
    expected = pytest.raises(MissingDependency, match=f"drawing needs {package}, .* pip install 'nerfbot")
    with expected, open_film(path, 5):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("film.avi", r"out: must end in \.gif or \.mp4, got "),
        ("nowhere/film.gif", "out: there is no folder"),
        ("folder.gif", "out: .* is a folder"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(InvalidCommand, match=message):
        check_suffix(tmp_path / name, (".gif", ".mp4"))
