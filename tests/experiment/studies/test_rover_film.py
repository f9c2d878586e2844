"""A film of the same level on both plants."""

from __future__ import annotations

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("torch")
pytest.importorskip("imageio_ffmpeg")

import imageio_ffmpeg

from nerfbot.experiment.protocol.config import load_experiment
from nerfbot.experiment.runs.training import draw_levels
from nerfbot.experiment.studies.rover_film import HEIGHT, WIDTH, on_grid, on_rover, write_film
from tests.experiment.runs.test_rover_evaluation import untrained


def test_both_plants_are_recorded_by_the_same_clock_and_written(tmp_path) -> None:
    config = load_experiment("coin-in-corner", ["task.horizon=4.0"])
    levels = draw_levels(config.course, 2, "development", False)
    policy = untrained(config, levels)
    grid = on_grid(policy, config, levels, 0, "grid, level 0")
    rover = on_rover(policy, config, levels, 0, "rover, level 0")
    for recording in (grid, rover):
        assert recording.time <= 4.0 + 1e-6
        assert abs(len(recording.frames) - recording.time / 0.4) <= 2.0
        assert all(frame.shape == (HEIGHT, WIDTH, 3) for frame in recording.frames)
    assert (rover.frames[0] != rover.frames[-1]).any()
    description = write_film(tmp_path / "film.mp4", [[grid, rover]])
    assert [item["title"] for item in description["episodes"][0]] == ["grid, level 0", "rover, level 0"]
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4"))
    assert next(reader)["size"] == (2 * WIDTH, HEIGHT)
