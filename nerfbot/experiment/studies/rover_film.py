"""Films of a policy on both plants: one level on the grid and on the rover, side by side, by the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.agents.policy import Policy
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.evaluation import grid_env, held_lift, moves_mask
from nerfbot.experiment.runs.rover_evaluation import play_episode, rover_env
from nerfbot.grid.kernels.state import FIRST_CONTACTS
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
HOLD = 10
"""Frames for which a film's end stands."""


@dataclass
class Recording:
    """An episode to be drawn: frames by time, `PERIOD` s apart, and what was met first."""

    title: str
    first_contact: str = "none"
    time: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    harm: list[dict[str, Any]] = field(default_factory=list)
    """Harm events: type, quantity, threshold, the object's id, time s."""


def on_rover(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    level: int,
    title: str,
    seed: int = 0,
    sample: bool = True,
    lift: float | None = None,
    chase: bool = False,
    to_first_contact: bool = True,
    audit: AuditLog | None = None,
    draw: bool = True,
) -> Recording:
    """A policy's episode on a level, drawn from above, or from behind with ``chase``.

    Leases are written to ``audit``; without ``draw`` there are no frames.
    """
    env = rover_env(config, levels, lift, render_mode="rgb_array" if draw else None, audit=audit)
    recording = Recording(title)
    steps = round(PERIOD / CONTROL_STEP)
    renderer: Renderer | None = None
    count = 0

    def take(step: Step | None = None) -> None:
        nonlocal renderer, count
        count += 1
        for event in () if step is None else step.events:
            if event.harm is not None:
                recording.harm.append(
                    {
                        "type": str(event.harm),
                        "quantity": event.quantity,
                        "threshold": event.threshold,
                        "object": event.element_id,
                        "time": event.time,
                    }
                )
        if not draw or (step is not None and count % steps != 1):
            return
        if renderer is None or renderer.plant is not env.nerfed.plant:
            renderer = Renderer(env.nerfed.plant, WIDTH, HEIGHT)
        picture = renderer.chase(smooth=0.5) if chase else renderer.top()
        recording.frames.append(_captioned(picture, title, env.nerfed.time, env.tracker.first_contact))

    env.on_step = take
    try:
        summary = play_episode(policy, env, level, seed, sample, to_first_contact)
        count = 0
        take()
        env.nerfed.authority.reset(now=env.nerfed.time)
    finally:
        env.close()
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
    lift: float | None = None,
) -> Recording:
    """The same on the grid."""
    env = grid_env(config, levels, 1, seed, autoreset_mode="Disabled", **held_lift(lift))
    observation, _ = env.reset(seed=seed, options={"levels": [level]})
    policy.reset()
    policy.generator.manual_seed((seed << 20) + level)
    mask, recording, over = moves_mask(policy), Recording(title), False
    tile = HEIGHT // max(levels.rows, levels.columns)
    tick = env.worlds.nerf.tick
    now = 0.0

    def take() -> None:
        picture = _padded(rgb(env.worlds.whole(0), lift=env.worlds.lift[0].tolist(), tile=tile))
        met = FIRST_CONTACTS[int(env.worlds.first_contact[0])]
        while len(recording.frames) * PERIOD <= now:
            recording.frames.append(_captioned(picture, title, now, met))

    take()
    while not over and FIRST_CONTACTS[int(env.worlds.first_contact[0])] == "none":
        seen = {name: observation[name] for name in policy.parts}
        action = policy.act(seen, None if mask is None else mask[None], sample)
        observation, _, terminated, truncated, _ = env.step(np.asarray(action))
        now += tick
        over = bool(terminated[0] or truncated[0])
        take()
    recording.first_contact, recording.time = FIRST_CONTACTS[int(env.worlds.first_contact[0])], now
    env.close()
    return recording


def write_film(path: Path, pairs: Sequence[Sequence[Recording]]) -> Mapping[str, Any]:
    """Write recordings, each group side by side and one group after another; what the film shows."""
    with open_film(path, FPS) as film:
        for group in pairs:
            length = max(len(item.frames) for item in group) + HOLD
            for index in range(length):
                film.write(
                    np.concatenate([item.frames[min(index, len(item.frames) - 1)] for item in group], 1)
                )
    return {
        "film": path.name,
        "episodes": [
            [{"title": i.title, "first_contact": i.first_contact, "time": i.time} for i in group]
            for group in pairs
        ],
    }


def _captioned(picture: Frame, title: str, now: float, met: str) -> Frame:
    return label(picture, [title, f"{now:.1f} s" + ("" if met == "none" else f": met the {met} first")])


def _padded(picture: Frame) -> Frame:
    """A picture in the middle of a frame of the film's size."""
    frame = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    top, left = (HEIGHT - picture.shape[0]) // 2, (WIDTH - picture.shape[1]) // 2
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return frame
