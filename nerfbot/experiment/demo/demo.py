"""The main job: from the proxy to the robot, in a few minutes.

Two policies learn in the grid, one plainly, one with occasional powers. Both then drive the rover in
PyBullet, nerfed and lifted, on courses that tell the goal from its proxy; and a scripted driver shows on
`gauntlet` what leases and the audit log are. What came of it is one folder, put in its place when it is
whole.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfbot.agents.policy import load_policy
from nerfbot.errors import InvalidCommand, NerfbotError
from nerfbot.experiment.demo.report import DemoResult, write_report
from nerfbot.experiment.protocol.config import load_experiment
from nerfbot.experiment.runs.results import Row, plain
from nerfbot.experiment.runs.rover_evaluation import one_thread
from nerfbot.experiment.runs.training import levels
from nerfbot.experiment.studies.curve import NERF, Condition, CurvePlan, measure, policy_folder
from nerfbot.experiment.studies.rover_film import Recording, on_rover, write_film
from nerfbot.experiment.studies.study_rows import write
from nerfbot.powers import AuditLog, verify
from nerfbot.sim.gauntlet import gauntlet

Progress = Callable[[str, int, int], None]

OUTPUTS = (
    *("report.html", "demo.mp4", "demo.png", "metrics.json", "audit.jsonl", "curve.csv", "curve.png"),
    *("plane.png", "gauntlet.html", "gauntlet-audit.jsonl", "policies"),
)
"""What the folder holds; a folder with anything else in it is not replaced."""

COURSE = "coin-in-corner"
LEARNED_UNDER = "none"
EDITS = {"powers": ("move-coin", "rewrite-cell")}
PAIR = (Condition("plain", "plain", {}), Condition("with powers", "powers-explore", EDITS))
"""The two policies: without powers, and with edits of the world at times. A decision is one cell whatever the
nerf, so that both learn in cells as long as a tick; the nerf is the rover's.
"""


@dataclass(frozen=True)
class Scale:
    """How much is done: steps of learning, levels a point, lift levels, and how many levels are filmed."""

    steps: int = 200_000
    episodes: int = 16
    lifts: tuple[float, ...] = (0.0, 0.5, 1.0)
    films: int = 2
    changes: tuple[str, ...] = ()


def make(
    out: Path,
    seed: int = 0,
    video: bool = True,
    progress: Progress = lambda text, done, total: None,
    gui: bool = False,
    scale: Scale | None = None,
) -> dict[str, Any]:
    """Run the demo, write its folder and return its metrics.

    Args:
        out: the folder; one that an earlier demo wrote is replaced, at the end.
        seed: of everything random.
        video: also film both policies.
        progress: called as work goes on.
        gui: show PyBullet's window while the gauntlet is driven, in real time.
        scale: how much is done.

    Raises `InvalidCommand` where ``out`` holds something else or cannot be written, and `MissingDependency`;
    nothing is left behind then.

    """
    if seed < 0:
        raise InvalidCommand(f"seed = {seed}: must not be negative")
    chosen = scale or Scale()
    with gauntlet.replaced_folder(out, OUTPUTS) as work:
        return _fill(work, chosen, seed, video, progress, gui)


def _fill(work: Path, scale: Scale, seed: int, video: bool, progress: Progress, gui: bool) -> dict[str, Any]:
    driven = gauntlet.make(work / "gauntlet", seed, False, progress, gui)
    for name, kept in (("report.html", "gauntlet.html"), ("audit.jsonl", "gauntlet-audit.jsonl")):
        (work / "gauntlet" / name).rename(work / kept)
    (work / "gauntlet" / "demo.png").rename(work / "demo.png")
    shutil.rmtree(work / "gauntlet")
    plans = [plan_of(scale, seed, condition, work / f"part-{k}") for k, condition in enumerate(PAIR)]
    rows = side_by_side(plans, progress)
    write(work / "curve.csv", rows)
    (work / "policies").mkdir()
    for plan, condition in zip(plans, PAIR, strict=True):
        shutil.move(policy_folder(plan, condition, seed), work / "policies" / condition.arm)
    for plan in plans:
        shutil.rmtree(plan.folder)
    films, harm = _film(work, plans, scale, seed, video, progress)
    summary = verify(work / "audit.jsonl")
    audit = {"lines": summary.lines, "head": summary.head}
    result = DemoResult(seed, rows, films, harm, audit, driven)
    write_report(work, plans[0], result)
    metrics: dict[str, Any] = plain(
        {"seed": seed, "course": COURSE, "nerf": NERF, "audit": audit, "gauntlet": driven}
    )
    metrics["points"] = [plain(row) for row in rows]
    metrics["films"] = films
    (work / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics


def plan_of(scale: Scale, seed: int, condition: Any, folder: Path) -> CurvePlan:
    """How one of the policies is trained and measured: its seed is the demo's."""
    changes = [f"nerf={NERF}", *scale.changes]
    config = load_experiment(COURSE, changes, quick=True)
    small = config.levels.model_copy(update={"validation": 64, "development": 64})
    config = config.model_copy(update={"steps": scale.steps, "levels": small})
    return CurvePlan(
        config,
        folder,
        (condition,),
        (seed,),
        scale.lifts,
        scale.episodes,
        learned_under=LEARNED_UNDER,
    )


def side_by_side(plans: Sequence[CurvePlan], progress: Progress) -> list[Row]:
    """Measure each plan in a process of its own; all rows. Raises the first error that any of them met."""
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    workers = [
        context.Process(target=_work, args=(number, plan, told), daemon=True)
        for number, plan in enumerate(plans)
    ]
    for worker in workers:
        worker.start()
    found: dict[int, list[Row]] = {}
    try:
        while len(found) < len(plans):
            try:
                kind, index, what = told.get(timeout=1.0)
            except queue.Empty:
                gone = [k for k, w in enumerate(workers) if not w.is_alive() and k not in found]
                if gone and told.empty():
                    name = plans[gone[0]].conditions[0].name
                    code = workers[gone[0]].exitcode
                    raise InvalidCommand(f"demo: the process of {name!r} ended with code {code}") from None
                continue
            if kind == "rows":
                found[index] = what
            elif kind == "error":
                raise InvalidCommand(what)
            else:
                progress(*what)
    finally:
        for worker in workers:
            if worker.is_alive() and len(found) < len(plans):
                worker.terminate()
            worker.join()
    return [row for index in range(len(plans)) for row in found[index]]


def _work(index: int, plan: CurvePlan, told: Any) -> None:
    """What a process does: one plan, its progress told at most four times a second."""
    import time

    last = 0.0

    def tell(text: str, done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.25:
            last = time.monotonic()
            told.put(("progress", index, (text, done, of)))

    try:
        told.put(("rows", index, measure(plan, tell)))
    except NerfbotError as problem:
        told.put(("error", index, str(problem)))


def _film(
    work: Path, plans: Sequence[CurvePlan], scale: Scale, seed: int, video: bool, progress: Progress
) -> tuple[Mapping[str, Any] | None, list[dict[str, Any]]]:
    """Film both policies on the first levels, nerfed and then lifted; their leases go to the audit log."""
    config = plans[0].config
    played = levels(config.course, scale.episodes, "development", False)
    pairs: list[list[Recording]] = []
    harm: list[dict[str, Any]] = []
    count = scale.films if video else 1
    with AuditLog(work / "audit.jsonl") as audit, one_thread():
        for number in range(count):
            for lift in (0.0, 1.0):
                group = []
                for condition in PAIR:
                    policy = load_policy(work / "policies" / condition.arm)
                    what = "nerfed" if lift == 0 else "lifted"
                    title = f"{condition.name}; {what}, level {number}"
                    audit.append("run", 0.0, name=title, course=COURSE, nerf=NERF, seed=seed)
                    recording = on_rover(
                        policy,
                        config,
                        played,
                        number,
                        title,
                        seed,
                        lift=lift or None,
                        audit=audit,
                        draw=video,
                    )
                    harm += [{"run": title, **event} for event in recording.harm]
                    group.append(recording)
                pairs.append(group)
                progress("filming", len(pairs), 2 * count)
    return (write_film(work / "demo.mp4", pairs) if video else None), harm
