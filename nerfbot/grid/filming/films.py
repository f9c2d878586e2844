"""Films of episodes drawn at random: one seed draws the seeds of the episodes, so nothing is hand-picked.

The film's title and a JSON file beside it name the seed and each episode's outcome, so that anybody can make
the same film again.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.files import write_atomically
from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.env import GridEnv
from nerfbot.grid.filming.captions import CaptionedEnv, Moment
from nerfbot.grid.rendering.render import rgb
from nerfbot.media import FILM_SUFFIXES, Picture, check_suffix, drawing_package, open_film

HOLD = 1.5
"""How long the last picture of each episode stays, s."""

SEEDS = 100_000
"""Episodes are drawn from so many seeds, without repeats; they are short enough for a caption."""

LEAST_WIDTH = 312
"""Width that the caption of an episode needs, px."""

TITLE, LINE, MARGIN = 34, 19, 10
INK, DIM, PAPER, PANEL = "#eef2f7", "#93a1b3", "#10151d", "#1a222d"
GOOD, BAD, NEITHER, AMBER = "#4cc38a", "#ff6b5e", "#8d99a8", "#ffb454"
OUTCOMES = {"goal": GOOD, "proxy": BAD}


class RandomActions:
    """Random actions: four in five are moves, the others granted edits, each with the same chance."""

    def __init__(self, table: Sequence[str], edits: NDArray[np.int32], seed: int = 0) -> None:
        self.table, self.edits, self.seed = table, edits, seed
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self.random = np.random.default_rng([self.seed, 0xAC7])

    def act(self, observation: Any, mask: NDArray[np.bool_]) -> int:
        """An action that the mask leaves open."""
        granted = np.unique(self.edits[mask & (self.edits >= 0)])
        if not len(granted) or self.random.random() < 0.8:
            return int(self.random.integers(len(MOVES)))
        edit = self.random.choice(granted)
        return int(self.random.choice(np.flatnonzero(mask & (self.edits == edit))))


@dataclass(frozen=True)
class Episode:
    """One recorded episode: its seed, its actions, and every moment from the reset on."""

    seed: int
    actions: tuple[str, ...]
    moments: tuple[Moment, ...]

    @property
    def summary(self) -> dict[str, Any]:
        """Its entry in the JSON file beside a film."""
        last = self.moments[-1]
        return {
            "seed": self.seed,
            "level_seed": last.level_seed,
            "ticks": last.tick,
            "return": last.episode_return,
            "first_contact": last.first_contact,
            "success": last.success,
            "illegal_edits": last.illegal_edits,
            "actions": list(self.actions),
        }


def episode_seeds(seed: int, count: int) -> tuple[int, ...]:
    """The seeds of `count` episodes, as `seed` draws them."""
    if isinstance(seed, bool) or int(seed) != seed or seed < 0:
        raise InvalidCommand(f"seed: must be a whole number from 0, got {seed!r}")
    if isinstance(count, bool) or int(count) != count or count < 1:
        raise InvalidCommand(f"episodes: must be a whole number from 1, got {count!r}")
    if count > SEEDS:
        raise InvalidCommand(f"episodes: at most {SEEDS}, got {count}")
    drawn: list[int] = np.random.default_rng([seed, 0xF11]).permutation(SEEDS)[:count].tolist()
    return tuple(drawn)


def record(env: GridEnv, policy: Any, seeds: Sequence[int]) -> list[Episode]:
    """Play an episode for every seed. `policy`: see `make_film`."""
    captioned, episodes = CaptionedEnv(env), []
    for seed in seeds:
        act = _policy_function(env, policy, seed)
        moments, actions = [captioned.reset(seed)], []
        while not moments[-1].done:
            action = int(act(captioned.observation, captioned.mask))
            moments.append(captioned.step(action))
            actions.append(env.action_table[action])
        episodes.append(Episode(seed, tuple(actions), tuple(moments)))
    return episodes


def _policy_function(env: GridEnv, policy: Any, seed: int) -> Callable[[Any, NDArray[np.bool_]], Any]:
    """The policy, reset for an episode, as a function of observation and mask."""
    if policy is None:
        return RandomActions(env.action_table, env.worlds.menu.column("edit"), seed).act
    reset = getattr(policy, "reset", None)
    if reset is not None:
        reset()
    act = getattr(policy, "act", policy)
    if not callable(act):
        raise InvalidCommand(f"policy: must have a method act(observation), got {policy!r}")
    if "mask" in inspect.signature(act).parameters:
        return lambda observation, mask: act(observation, mask=mask)
    return lambda observation, mask: act(observation)


def make_film(
    path: str | Path,
    keywords: Mapping[str, Any] | None = None,
    policy: Any = None,
    seed: int = 0,
    episodes: int = 4,
    across: int = 2,
    fps: float = 6.0,
    tile: int = 24,
    title: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Play episodes drawn by `seed`, write the film, and a JSON file of the same name beside it.

    Args:
        path: of the film, ending in .gif or .mp4.
        keywords: of ``nerfbot/Grid-v0``.
        policy: anything with ``act(observation)`` or ``act(observation, mask=...)``, or such a function; its
            ``reset()``, where it has one, is called before every episode. None acts at random.
        seed: draws the seeds of the episodes.
        episodes: how many.
        across: how many are shown side by side; the others follow.
        fps: ticks a second.
        tile: side of a cell, px.
        title: in place of the course's name and the kind of policy.
        progress: called with the number of frames written so far and of all frames.

    Returns what the JSON file holds. Raises `InvalidCommand` for another suffix or a number that cannot be,
    `MissingDependency` without Pillow or imageio-ffmpeg, and the errors of the environment. Neither file is
    left half-written.

    """
    place = Path(path)
    check_suffix(place, FILM_SUFFIXES)
    seeds = episode_seeds(seed, episodes)
    if isinstance(across, bool) or int(across) != across or across < 1:
        raise InvalidCommand(f"across: must be a whole number from 1, got {across!r}")
    if not 0.1 <= fps <= 50:
        raise InvalidCommand(f"fps: must be from 0.1 to 50, got {fps!r}")
    draw = drawing_package("PIL.ImageDraw")
    with open_film(place, fps) as film:
        env = GridEnv(**(keywords or {}))
        recorded = record(env, policy, seeds)
        name = env.worlds.levels.courses[0].name
        headline = title or f"{name}: {'random actions' if policy is None else 'the policy'}"
        stage = _Stage(draw, headline, f"episodes drawn by seed {seed}", tile, len(recorded))
        groups = [range(i, min(i + across, len(recorded))) for i in range(0, len(recorded), across)]
        hold = max(1, round(HOLD * fps))
        lengths = [max(len(recorded[index].moments) for index in group) + hold for group in groups]
        width = stage.width(recorded[0], max(map(len, groups)))
        done = 0
        for group, length in zip(groups, lengths, strict=True):
            for frame in range(length):
                film.write(stage.compose([(index, recorded[index]) for index in group], frame, width))
                done += 1
                if progress is not None:
                    progress(done, sum(lengths))
        summary = {
            "film": place.name,
            "title": headline,
            "seed": seed,
            "course": name,
            "policy": "random actions" if policy is None else type(policy).__name__,
            "keywords": {key: _plain(value) for key, value in (keywords or {}).items()},
            "fps": fps,
            "across": across,
            "episodes": [episode.summary for episode in recorded],
        }
    write_atomically(place.with_suffix(".json"), json.dumps(summary, indent=2) + "\n")
    return summary


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None | list | tuple | dict) else str(value)


class _Stage:
    """Composes frames: a title, and a panel for every episode with its picture and what is going on."""

    def __init__(self, draw: Any, headline: str, drawn_by: str, tile: int, number: int) -> None:
        self._draw, self._image, self._fonts = (
            draw,
            drawing_package("PIL.Image"),
            drawing_package("PIL.ImageFont"),
        )
        self.headline, self.drawn_by, self.tile, self.number = headline, drawn_by, tile, number
        self.font = {size: self._fonts.load_default(size) for size in (12, 13, 15)}

    def _panel_width(self, episode: Episode) -> int:
        return max(LEAST_WIDTH, int(episode.moments[0].cells.shape[1]) * self.tile)

    def width(self, episode: Episode, across: int) -> int:
        """Of the whole frame, px."""
        return MARGIN + across * (self._panel_width(episode) + MARGIN)

    def compose(self, shown: Sequence[tuple[int, Episode]], frame: int, width: int) -> Picture:
        """The frame of that number; an episode that is done stands still."""
        panel, rows = self._panel_width(shown[0][1]), int(shown[0][1].moments[0].cells.shape[0])
        height = TITLE + rows * self.tile + 6 * LINE + 2 * MARGIN + 6
        # H.264 halves both sides for its colours.
        canvas = self._image.new("RGB", (width + width % 2, height + height % 2), PAPER)
        pen = self._draw.Draw(canvas)
        self._write(pen, (MARGIN, 9), self._short(self.headline, width * 0.58, 15), 15, INK)
        self._write(pen, (width - MARGIN, 11), self.drawn_by, 13, DIM, "ra")
        for place, (index, episode) in enumerate(shown):
            left = MARGIN + place * (panel + MARGIN)
            moment = episode.moments[min(frame, len(episode.moments) - 1)]
            picture = rgb(moment.cells, moment.lift, self.tile, moment.hidden)
            pen.rounded_rectangle((left, TITLE, left + panel - 1, height - MARGIN - 1), 6, fill=PANEL)
            middle = left + (panel - picture.shape[1]) // 2
            canvas.paste(self._image.fromarray(picture), (middle, TITLE))
            self._caption(pen, left, TITLE + picture.shape[0] + 6, panel, index, moment)
        composed: Picture = np.asarray(canvas)
        return composed

    def _caption(self, pen: Any, left: int, top: int, width: int, index: int, moment: Moment) -> None:
        start, end, room = left + 8, left + width - 8, width - 16
        self._write(pen, (start, top), f"episode {index + 1} of {self.number}, seed {moment.seed}", 13, INK)
        self._write(pen, (end, top), f"tick {moment.tick} / {moment.horizon}", 13, DIM, "ra")
        action = moment.action or "begins"
        self._write(pen, (start, top + LINE), self._short(action, room * 0.5, 13), 13, INK)
        start_width = pen.textlength(action, font=self.font[13])
        why = self._short("; ".join(moment.reasons), room - start_width - 12, 12)
        self._write(pen, (end, top + LINE + 1), why, 12, AMBER, "ra")
        colour = OUTCOMES.get(moment.first_contact, INK if moment.first_contact == "none" else NEITHER)
        self._write(pen, (start, top + 2 * LINE), f"return {moment.episode_return:.2f}", 13, INK)
        self._write(pen, (end, top + 2 * LINE), f"first contact: {moment.first_contact}", 13, colour, "ra")
        powers = [*map(str, moment.leases)] or ["no powers"]
        for row, text in enumerate(powers[:2]):
            shade = "#ffd633" if moment.leases else DIM
            self._write(pen, (start, top + (3 + row) * LINE), self._short(text, room, 12), 12, shade)
        if moment.done:
            done = OUTCOMES.get(moment.first_contact, NEITHER)
            pen.rounded_rectangle((start - 2, top + 5 * LINE, end + 2, top + 6 * LINE + 2), 4, fill=done)
            middle = (start + end) / 2, top + 5.5 * LINE + 1
            self._write(pen, middle, moment.outcome, 13, "#0c1118", "mm")

    def _short(self, text: str, room: float, size: int) -> str:
        """The text, cut where there is no more room (px)."""
        font = self.font[size]
        if font.getlength(text) <= room:
            return text
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        return text.rstrip() + "..." if text else ""

    def _write(
        self, pen: Any, place: tuple[float, float], text: str, size: int, fill: str, anchor: str = "la"
    ) -> None:
        pen.text(place, text, font=self.font[size], fill=fill, anchor=anchor)
