"""The demo's pictures: video frames with the state beside the view, stills, and the poster.

Each picture is a function of a recorded frame, so that several processes can draw at once.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerfbot.course import Course
from nerfbot.limits import AXES
from nerfbot.media import open_film

from ..plant.plant import Plant
from ..plant.render import Frame as Image
from ..plant.render import Renderer
from ..plant.snapshot import show
from .runs import STAGES, Frame, Run

FPS = 12
"""Frames a second of the video; one frame is a quarter of a second of the run, so it plays three times as
fast."""

SIZE = (960, 540)
VIEW = (576, 324)
DRAWN = (480, 270)
"""The chase view is drawn at this size and enlarged: software rendering is what takes the time."""

MAP = (388, 144)
HOLD = 18
"""For how many frames each run's last picture stands."""

AXIS_COLOURS = dict(zip(AXES, ("#e4572e", "#e0a100", "#2a9d8f", "#7b6cf6"), strict=True))
INK, DIM, PAPER, PANEL = "#eef2f7", "#93a1b3", "#10151d", "#1a222d"
GOOD, BAD = "#4cc38a", "#ff6b5e"


class Shot(NamedTuple):
    """A frame to draw: run number from 1, its title, the frame, and the outcome where the run has ended."""

    number: int
    title: str
    frame: Frame
    outcome: str = ""
    good: bool = False


_plant: Plant | None = None


def _begin(course: Course) -> None:
    """Give this process a plant to draw."""
    global _plant
    _plant = Plant(course)


def _stage_plant() -> Plant:
    if _plant is None:
        raise RuntimeError("the drawing process was not begun")
    return _plant


def pool(course: Course, workers: int = 2) -> ProcessPoolExecutor:
    """Processes that draw ``course``."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(course,))


def outcome(run: Run) -> str:
    """How a run ended, in a few words."""
    if run.success:
        return f"passed in {run.time:.1f} s"
    return f"failed at {', '.join(run.failed_at)}"


def shots(runs: list[Run]) -> list[Shot]:
    """The pictures of the video, in order."""
    found = []
    for number, run in enumerate(runs, start=1):
        found += [Shot(number, run.kind.title, frame) for frame in run.frames]
        found.append(found[-1]._replace(outcome=outcome(run), good=run.success))
    return found


def write_video(
    path: Path, drawers: ProcessPoolExecutor, pictures: list[Shot], tick: Callable[[], None]
) -> None:
    """Draw and write the video; ``tick`` is called after each picture.

    Raises `MissingDependency` without imageio-ffmpeg or Pillow.
    """
    with open_film(path, FPS) as video:
        for shot, image in zip(pictures, _in_order(drawers, pictures), strict=True):
            for _ in range(HOLD if shot.outcome else 1):
                video.write(image)
            tick()


def _in_order(drawers: ProcessPoolExecutor, pictures: list[Shot]) -> Iterator[Image]:
    """Drawn pictures, a few of them ahead of what is written, so that memory stays small."""
    rest = iter(pictures)
    waiting = [drawers.submit(compose, shot) for shot in islice(rest, 8)]
    while waiting:
        image = waiting.pop(0).result()
        for shot in islice(rest, 1):
            waiting.append(drawers.submit(compose, shot))
        yield image


def still(frame: Frame) -> Image:
    """A chase view for the report, uint8 (360, 640, 3)."""
    plant = _stage_plant()
    show(plant, frame.snapshot)
    return Renderer(plant, 640, 360, smoothing=2).chase()


def poster(frame: Frame) -> Image:
    """Chase view over the course from above, uint8 (height, 960, 3)."""
    plant = _stage_plant()
    show(plant, frame.snapshot)
    chase = Renderer(plant, 960, 460, smoothing=2).chase(distance=2.2, height=1.3)
    above = Renderer(plant, 960, 380, smoothing=2).top()
    rule = np.full((6, 960, 3), 255, np.uint8)
    return np.concatenate([chase, rule, above])


def compose(shot: Shot) -> Image:
    """A video frame, uint8 (540, 960, 3)."""
    from PIL import Image as Pictures
    from PIL import ImageDraw, ImageFont

    plant, frame = _stage_plant(), shot.frame
    show(plant, frame.snapshot)
    canvas = Pictures.new("RGB", SIZE, PAPER)
    chase = Pictures.fromarray(Renderer(plant, *DRAWN).chase()).resize(VIEW, Pictures.Resampling.BICUBIC)
    canvas.paste(chase, (12, 48))
    canvas.paste(Pictures.fromarray(Renderer(plant, *MAP).top()), (12, 384))
    pen = ImageDraw.Draw(canvas)
    write = partial(_write, pen, ImageFont)
    write((12, 12), f"Run {shot.number} of 3", 20, DIM)
    write((120, 12), shot.title, 20, INK)
    write((948, 12), f"{frame.time:5.1f} s", 20, INK, "ra")
    _panel(pen, write, shot)
    _speeds(pen, write, frame)
    if shot.outcome:
        pen.rectangle((12, 322, 588, 372), fill=GOOD if shot.good else BAD)
        write((300, 347), shot.outcome, 22, "#0c1118", "mm")
    return np.asarray(canvas)


def _write(
    pen: Any, fonts: Any, place: tuple[float, float], text: str, size: int, fill: str, anchor: str = "la"
) -> None:
    pen.text(place, text, font=fonts.load_default(size), fill=fill, anchor=anchor)


def _panel(pen: Any, write: Callable[..., None], shot: Shot) -> None:
    """Right of the view: the obstacle, the lift by axis, the active lease."""
    frame, left, right = shot.frame, 604, 948
    stage = STAGES[frame.stage]
    pen.rounded_rectangle((left, 48, right, 372), 8, fill=PANEL)
    write((left + 16, 62), "obstacle", 13, DIM)
    write((left + 16, 80), f"{stage.obstacle} (needs {stage.axis})", 18, INK)
    write((left + 16, 106), f"driver: {frame.note}", 14, DIM)
    write((left + 16, 140), "lift", 13, DIM)
    for k, axis in enumerate(AXES):
        y, level = 162 + 32 * k, frame.lift[k]
        write((left + 16, y), axis, 15, INK if axis == stage.axis else DIM)
        pen.rounded_rectangle((left + 110, y + 3, right - 16, y + 17), 5, fill="#2b3644")
        if level > 0.02:
            end = left + 116 + (right - 16 - left - 116) * level
            pen.rounded_rectangle((left + 110, y + 3, end, y + 17), 5, fill=AXIS_COLOURS[axis])
    write((left + 16, 300), "lease", 13, DIM)
    if frame.lease is None:
        write((left + 16, 320), "none", 18, DIM)
    else:
        write((left + 16, 320), frame.lease[0], 18, GOOD)
        write((right - 16, 320), f"{frame.lease[1]:.1f} s left", 18, GOOD, "ra")


def _speeds(pen: Any, write: Callable[..., None], frame: Frame) -> None:
    """Bottom right: forward speed asked for and enforced, and why they differ."""
    left, right = 416, 948
    pen.rounded_rectangle((left, 384, right, 528), 8, fill=PANEL)
    for y, name, value, colour in (
        (400, "asked", frame.requested, "#7fb0ff"),
        (432, "enforced", frame.executed, "#ffb454"),
    ):
        write((left + 16, y), name, 15, DIM)
        middle, half = left + 250, 150
        pen.rounded_rectangle((middle - half, y + 3, middle + half, y + 17), 4, fill="#2b3644")
        end = middle + half * max(-1.0, min(1.0, value / 1.5))
        pen.rectangle((min(middle, end), y + 3, max(middle, end), y + 17), fill=colour)
        write((right - 16, y), f"{value:.2f} m/s", 15, INK, "ra")
    write((left + 16, 466), "limited by", 13, DIM)
    write((left + 16, 486), ", ".join(frame.reasons[:4]) or "nothing", 16, INK)
