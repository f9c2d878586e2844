"""The gauntlet: three drives through `gauntlet`, and the folder with their results.

It joins the runs, their pictures and the report, and puts the folder in place only when it is complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from nerfbot.course import load_course
from nerfbot.errors import InvalidCommand
from nerfbot.files import replaced_folder
from nerfbot.media import save_png
from nerfbot.powers import AuditLog, verify

from . import pictures, report
from .runs import COURSE, KINDS, STAGES, Frame, Run, drive_all

OUTPUTS = ("report.html", "demo.mp4", "demo.png", "metrics.json", "audit.jsonl")
"""What the folder holds; a folder with anything else in it is not replaced."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def make(
    out: Path,
    seed: int = 0,
    video: bool = True,
    progress: Progress = lambda text, done, total: None,
    gui: bool = False,
) -> dict[str, Any]:
    """Run the demo, write its folder and return its metrics.

    Args:
        out: the folder; one that an earlier demo wrote is replaced, at the end.
        seed: of the course and of everything random in the nerf.
        video: also make `demo.mp4`, which takes most of the time.
        progress: called as work goes on.
        gui: show PyBullet's window while driving, in real time.

    Raises `InvalidCommand` where ``out`` holds something else or cannot be written, and `MissingDependency`;
    nothing is left behind then.

    """
    if seed < 0:
        raise InvalidCommand(f"seed = {seed}: must not be negative")
    with replaced_folder(out, OUTPUTS) as work:
        return _fill(work, seed, video, progress, gui)


def _fill(work: Path, seed: int, video: bool, progress: Progress, gui: bool) -> dict[str, Any]:
    done = 0

    def driven(run: Run) -> None:
        nonlocal done
        done += 1
        progress("driving", done, len(KINDS))

    progress("driving", 0, len(KINDS))
    log = work / "audit.jsonl"
    with AuditLog(log) as audit:
        runs = drive_all(audit, seed, gui, driven)
    records, summary = report.read_records(log), verify(log, head=audit.head)
    by_run = report.records_by_run(records)
    for run in runs:
        run.windows = report.windows(by_run[run.kind.name])
    metrics = {"seed": seed, "course": COURSE, "audit": {"lines": summary.lines, "head": summary.head}}
    metrics["runs"] = numbers = report.metrics(runs, records)
    with pictures.pool(load_course(COURSE, seed=seed)) as drawers:
        stills, poster = _stills(drawers, runs, progress)
        material = report.Material(runs, records, summary, stills, poster, numbers, seed)
        report.write(work / "report.html", material)
        save_png(poster, work / "demo.png")
        if video:
            _video(drawers, work / "demo.mp4", runs, progress)
    (work / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics


def _stills(
    drawers: ProcessPoolExecutor, runs: list[Run], progress: Progress
) -> tuple[dict[str, list[tuple[str, pictures.Image]]], pictures.Image]:
    """A still of each run's stages, with a caption, and the poster."""
    captioned: list[tuple[str, str, Frame]] = []
    for run in runs:
        for start, end, index, result in run.stages:
            moment = end if result == "failed" else start + 0.6 * (end - start)
            frame = min(run.frames, key=lambda item: (item.stage != index, abs(item.time - moment)))
            stage = STAGES[index]
            text = f"{frame.time:.1f} s: {stage.obstacle}, {result}"
            captioned.append((run.kind.name, text, frame))
    block = next(run for run in runs if run.kind.name == "leases")
    pushing = [frame for frame in block.frames if frame.stage == 0 and frame.note == "push"] or block.frames
    jobs = [drawers.submit(pictures.still, frame) for _, _, frame in captioned]
    last = drawers.submit(pictures.poster, pushing[len(pushing) // 2])
    stills: dict[str, list[tuple[str, pictures.Image]]] = {run.kind.name: [] for run in runs}
    for k, ((name, text, _), job) in enumerate(zip(captioned, jobs, strict=True)):
        stills[name].append((text, job.result()))
        progress("drawing the report", k + 1, len(jobs) + 1)
    image = last.result()
    progress("drawing the report", len(jobs) + 1, len(jobs) + 1)
    return stills, image


def _video(drawers: ProcessPoolExecutor, path: Path, runs: list[Run], progress: Progress) -> None:
    shots, drawn = pictures.shots(runs), 0

    def tick() -> None:
        nonlocal drawn
        drawn += 1
        progress("drawing the video", drawn, len(shots))

    pictures.write_video(path, drawers, shots, tick)
