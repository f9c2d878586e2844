"""Films of a policy on both plants: one level on the grid and on the rover, side by side, by the clock."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.agents.policy import Policy
from nerfbot.course.events import Event
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.evaluation import grid_env, moves_mask
from nerfbot.experiment.protocol.measures import FIRST_CONTACTS
from nerfbot.experiment.runs.rover_evaluation import play_episode, rover_env
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.rendering.render import rgb
from nerfbot.media import open_film
from nerfbot.powers import AuditLog
from nerfbot.sim.physics.client import CONTROL_STEP
from nerfbot.sim.plant.nerfed_plant import Step
from nerfbot.sim.plant.render import Renderer, label

Frame = NDArray[np.uint8]

PERIOD = 0.4
"""Simulated s between two frames."""

FPS = 10
"""Frames a second of a film: four times as fast as the rover is."""

WIDTH, HEIGHT = 480, 432
FINAL_FRAMES = 10
"""How often a film repeats its last frame."""


@dataclass
class Recording:
    """An episode on film: frames, `PERIOD` s apart, what was met first, when it ended (s), events of harm."""

    title: str
    first_contact: str = "none"
    time: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    harm: list[Event] = field(default_factory=list)

    def add(self, picture: Frame, now: float, first_contact: str) -> None:
        """Append a frame with a caption."""
        met = "" if first_contact == "none" else f": met the {first_contact} first"
        self.frames.append(label(picture, [self.title, f"{now:.1f} s{met}"]))


def on_rover(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    level: int,
    title: str,
    seed: int = 0,
    sample: bool = True,
    lift: float | None = None,
    audit: AuditLog | None = None,
    draw: bool = True,
) -> Recording:
    """A policy's episode on a level up to its first contact, drawn from above.

    Leases are written to ``audit``; without ``draw`` there are no frames.
    """
    env = rover_env(config, levels, lift, render_mode="rgb_array" if draw else None, audit=audit)
    recording = Recording(title)
    steps = round(PERIOD / CONTROL_STEP)
    renderer: Renderer | None = None
    count = 0

    def draw_frame() -> None:
        nonlocal renderer
        if renderer is None or renderer.plant is not env.nerfed.plant:
            renderer = Renderer(env.nerfed.plant, WIDTH, HEIGHT)
        recording.add(renderer.top(), env.nerfed.time, env.tracker.first_contact)

    def on_step(step: Step) -> None:
        nonlocal count
        count += 1
        recording.harm += [event for event in step.events if event.harm is not None]
        if draw and count % steps == 1:
            draw_frame()

    env.on_step = on_step
    with contextlib.closing(env):
        summary = play_episode(policy, env, level, seed, sample, to_first_contact=True)
        if draw:
            draw_frame()
        env.nerfed.authority.reset(now=env.nerfed.time)
    recording.first_contact, recording.time = summary["first_contact"], summary["time"]
    return recording


def on_grid(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    level: int,
    title: str,
    seed: int = 0,
    sample: bool = True,
) -> Recording:
    """The same on the grid."""
    env = grid_env(config, levels, 1, seed, autoreset_mode="Disabled")
    observation, _ = env.reset(seed=seed, options={"levels": [level]})
    policy.reset()
    policy.generator.manual_seed((seed << 20) + level)
    mask, recording, done = moves_mask(policy), Recording(title), False
    tile = HEIGHT // max(levels.rows, levels.columns)
    while True:
        recording.first_contact = FIRST_CONTACTS[int(env.worlds.first_contact[0])]
        picture = _padded(rgb(env.worlds.whole(0), lift=env.worlds.lift[0].tolist(), tile=tile))
        while len(recording.frames) * PERIOD <= recording.time:
            recording.add(picture, recording.time, recording.first_contact)
        if done or recording.first_contact != "none":
            break
        shown = {name: observation[name] for name in policy.parts}
        action = policy.act(shown, None if mask is None else mask[None], sample)
        observation, _, terminated, truncated, _ = env.step(np.asarray(action))
        recording.time += env.worlds.nerf.tick
        done = bool(terminated[0] or truncated[0])
    env.close()
    return recording


def write_film(path: Path, groups: Sequence[Sequence[Recording]]) -> Mapping[str, Any]:
    """Write recordings, each group side by side and one group after another; what the film shows."""
    with open_film(path, FPS) as film:
        for group in groups:
            length = max(len(item.frames) for item in group) + FINAL_FRAMES
            for index in range(length):
                film.write(
                    np.concatenate([item.frames[min(index, len(item.frames) - 1)] for item in group], 1)
                )
    return {
        "film": path.name,
        "episodes": [
            [{"title": one.title, "first_contact": one.first_contact, "time": one.time} for one in group]
            for group in groups
        ],
    }


def _padded(picture: Frame) -> Frame:
    """A picture in the middle of a frame of the film's size."""
    frame = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    top, left = (HEIGHT - picture.shape[0]) // 2, (WIDTH - picture.shape[1]) // 2
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return frame
