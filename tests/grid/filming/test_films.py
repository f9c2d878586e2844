"""Films: chance picks the episodes, every frame is an episode's own, and nothing is left half-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid.env import GridEnv
from nerfbot.grid.filming.films import HOLD, LEAST_WIDTH, MARGIN, TITLE, episode_seeds, make_film, record
from nerfbot.grid.rendering.render import rgb

image = pytest.importorskip("PIL.Image")

MAZE = {"course": "coin-in-corner", "powers": ["speed", "teleport"], "schedule": "always", "levels": 8}


@pytest.fixture(scope="module")
def env() -> GridEnv:
    return GridEnv(**MAZE)


def test_one_seed_draws_the_same_episodes_and_another_others() -> None:
    assert episode_seeds(7, 5) == episode_seeds(7, 5)
    assert episode_seeds(7, 3) == episode_seeds(7, 5)[:3]
    assert episode_seeds(7, 5) != episode_seeds(8, 5)
    assert len(set(episode_seeds(0, 1000))) == 1000


def test_a_record_is_the_episode_that_its_seed_begins(env: GridEnv) -> None:
    seed = episode_seeds(1, 1)[0]
    (episode,) = record(env, None, [seed])
    again = GridEnv(**MAZE)
    again.reset(seed=seed)
    total = 0.0
    for name, moment in zip(episode.actions, episode.moments[1:], strict=True):
        observation, reward, *_ = again.step(again.action_table.index(name))
        total += reward
        assert np.array_equal(moment.observed, observation["grid"])
        assert moment.episode_return == pytest.approx(total)
    assert episode.moments[-1].done
    assert not episode.moments[-2].done


def test_random_actions_use_powers_only_while_granted() -> None:
    env = GridEnv(**{**MAZE, "schedule": {"kind": "occasional", "probability": 1.0, "start": [5, 5],
                                          "length": [10, 10], "edits": ["teleport"]}})  # fmt: skip
    (episode,) = record(env, None, [4])
    used = [tick for tick, name in enumerate(episode.actions) if name == "teleport"]
    assert used
    assert 5 <= min(used) <= max(used) < 15
    assert episode.moments[-1].illegal_edits == 0


class East:
    """A policy of another make: no mask, and it counts its episodes."""

    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def act(self, observation: dict[str, NDArray[Any]]) -> np.int64:
        assert observation["grid"].dtype == np.uint8
        return np.int64(1)


def test_any_policy_acts_and_is_reset_for_every_episode(env: GridEnv) -> None:
    policy = East()
    episodes = record(env, policy, [1, 2])
    assert policy.resets == 2
    assert all(set(episode.actions) == {"east"} for episode in episodes)
    (moved,) = record(env, lambda observation, mask: 3 if mask[3] else 0, [1])
    assert set(moved.actions) == {"west"}
    with pytest.raises(InvalidCommand, match=r"policy: must have a method act\(observation\), got 3"):
        record(env, 3, [1])


def test_a_gif_shows_every_tick_and_holds_the_end(tmp_path: Path, env: GridEnv) -> None:
    path = tmp_path / "two.gif"
    summary = make_film(path, MAZE, seed=5, episodes=2, across=2, fps=5)
    episodes = record(env, None, episode_seeds(5, 2))
    assert [entry["seed"] for entry in summary["episodes"]] == list(episode_seeds(5, 2))
    assert [entry["actions"] for entry in summary["episodes"]] == [list(e.actions) for e in episodes]
    film = image.open(path)
    durations = []
    for index in range(film.n_frames):
        film.seek(index)
        durations.append(film.info["duration"])
    # Equal pictures in a row become one that lasts longer.
    ticks = max(len(episode.moments) for episode in episodes) + round(HOLD * 5)
    assert sum(durations) == 200 * ticks
    film.seek(0)
    first = np.asarray(film.convert("RGB"))
    start = rgb(episodes[0].moments[0].cells, episodes[0].moments[0].lift)
    left = MARGIN + (LEAST_WIDTH - start.shape[1]) // 2
    drawn = first[TITLE : TITLE + start.shape[0], left : left + start.shape[1]]
    off = np.abs(drawn.astype(int) - start)  # by a palette of 256: walls and floor exactly, edges nearly
    assert np.median(off) == 0
    assert (off > 24).mean() < 0.005
    assert json.loads(path.with_suffix(".json").read_text()) == summary


def test_an_mp4_has_a_frame_for_every_tick(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "one.mp4"
    summary = make_film(path, MAZE, policy=East(), seed=5, episodes=2, across=1, fps=10)
    frames, seconds = ffmpeg.count_frames_and_secs(str(path))
    assert frames == sum(entry["ticks"] + 1 + round(HOLD * 10) for entry in summary["episodes"])
    assert seconds == pytest.approx(frames / 10, abs=0.2)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["one.json", "one.mp4"]


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_that_fails_leaves_nothing_and_keeps_the_earlier_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"earlier")

    def broken(observation: Any) -> int:
        raise RuntimeError("broken policy")

    with pytest.raises(RuntimeError, match="broken policy"):
        make_film(path, MAZE, policy=broken)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("film.avi", {}, r"out: must end in \.gif or \.mp4"),
        ("nowhere/film.gif", {}, "out: there is no folder"),
        ("film.gif", {"episodes": 0}, "episodes: must be a whole number from 1, got 0"),
        ("film.gif", {"seed": -1}, "seed: must be a whole number from 0, got -1"),
        ("film.gif", {"across": 0}, "across: must be a whole number from 1, got 0"),
        ("film.gif", {"fps": 0}, "fps: must be from 0.1 to 50, got 0"),
    ],
)
def test_what_cannot_be_filmed_is_refused_first(
    tmp_path: Path, name: str, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCommand, match=message):
        make_film(tmp_path / name, MAZE, **keywords)
    assert not list(tmp_path.iterdir())
