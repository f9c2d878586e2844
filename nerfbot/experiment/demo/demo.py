"""The demo: from the proxy to the robot, in a few minutes.

Two policies learn in the grid, one plainly, one with occasional powers. Both then drive the rover in
PyBullet, nerfed and lifted, on courses that tell the goal from its proxy. A scripted driver shows leases and
the audit log on `gauntlet`. The results are one folder, written whole or not at all.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfbot.agents.policy import load_policy
from nerfbot.course.events import Event
from nerfbot.errors import InvalidCommand
from nerfbot.experiment.demo.report import DemoResult, write_report
from nerfbot.experiment.protocol.config import ExperimentConfig, load_experiment
from nerfbot.experiment.runs.results import Row, json_ready
from nerfbot.experiment.runs.rover_evaluation import one_thread
from nerfbot.experiment.runs.training import draw_levels
from nerfbot.experiment.runs.workers import Workers
from nerfbot.experiment.studies.curve import NERF, Condition, CurvePlan, measure, policy_folder
from nerfbot.experiment.studies.rover_film import Recording, on_rover, write_film
from nerfbot.experiment.studies.study_rows import OnProgress, write
from nerfbot.files import replaced_folder
from nerfbot.powers import AuditLog, verify
from nerfbot.sim.gauntlet import gauntlet

OUTPUTS = (
    *("report.html", "demo.mp4", "demo.png", "metrics.json", "audit.jsonl", "curve.csv", "curve.png"),
    *("plane.png", "gauntlet.html", "gauntlet-audit.jsonl", "policies"),
)
"""The folder's files; a folder with anything else in it is not replaced."""

COURSE = "coin-in-corner"
LEARNED_UNDER = "none"
EDITS = {"powers": ("move-coin", "rewrite-cell")}
PAIR = (Condition("plain", "plain", {}), Condition("with powers", "powers-explore", EDITS))
"""The two policies: without powers, and with occasional edits of the world. A decision is one cell whatever
the nerf, so that both train without one; only the rover is nerfed.
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
    progress: OnProgress = lambda text, done, total: None,
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
    with replaced_folder(out, OUTPUTS) as work:
        return _fill(work, scale or Scale(), seed, video, progress, gui)


def _fill(
    work: Path, scale: Scale, seed: int, video: bool, on_progress: OnProgress, gui: bool
) -> dict[str, Any]:
    driven = gauntlet.make(work / "gauntlet", seed, False, on_progress, gui)
    renamed = {"report.html": "gauntlet.html", "audit.jsonl": "gauntlet-audit.jsonl", "demo.png": "demo.png"}
    for name, new_name in renamed.items():
        (work / "gauntlet" / name).rename(work / new_name)
    shutil.rmtree(work / "gauntlet")
    plans = [plan_of(scale, seed, condition, work / f"part-{k}") for k, condition in enumerate(PAIR)]
    rows = measure_side_by_side(plans, on_progress)
    write(work / "curve.csv", rows)
    (work / "policies").mkdir()
    for plan, condition in zip(plans, PAIR, strict=True):
        shutil.move(policy_folder(plan, condition, seed), work / "policies" / condition.arm)
        shutil.rmtree(plan.folder)
    films, harm = _film(work, plans[0].config, scale, seed, video, on_progress)
    log = verify(work / "audit.jsonl")
    audit = {"lines": log.lines, "head": log.head}
    write_report(work, plans[0], DemoResult(seed, rows, films, harm, audit, driven))
    metrics: dict[str, Any] = json_ready(
        {"seed": seed, "course": COURSE, "nerf": NERF, "audit": audit, "gauntlet": driven}
    )
    metrics["points"] = [json_ready(row) for row in rows]
    metrics["films"] = films
    (work / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics


def plan_of(scale: Scale, seed: int, condition: Condition, folder: Path) -> CurvePlan:
    """How one of the policies is trained and measured, with the demo's seed."""
    config = load_experiment(COURSE, [f"nerf={NERF}", *scale.changes], quick=True)
    small = config.levels.model_copy(update={"validation": 64, "development": 64})
    config = config.model_copy(update={"steps": scale.steps, "levels": small})
    return CurvePlan(
        config, folder, (condition,), (seed,), scale.lifts, scale.episodes, learned_under=LEARNED_UNDER
    )


def measure_side_by_side(plans: Sequence[CurvePlan], on_progress: OnProgress) -> list[Row]:
    """Measure each plan in a process of its own; all rows. Raises the first error of any of them."""
    rows: dict[int, list[Row]] = {}
    with Workers(_measure, len(plans)) as workers:
        for index, plan in enumerate(plans):
            workers.put(index, plan)
        while len(rows) < len(plans):
            message = workers.next_message()
            if message is None:
                codes = [worker.exitcode for worker in workers.processes if worker.exitcode is not None]
                if codes:
                    raise InvalidCommand(f"demo: a process that measures ended with code {codes[0]}")
            elif message.kind == "progress":
                on_progress(*message.payload)
            elif message.kind == "error":
                raise InvalidCommand(message.payload)
            else:
                rows[message.key] = message.payload
    return [row for index in range(len(plans)) for row in rows[index]]


def _measure(plan: CurvePlan, report: Callable[[Any], None]) -> list[Row]:
    return measure(plan, lambda *progress: report(progress))


def _film(
    work: Path, config: ExperimentConfig, scale: Scale, seed: int, video: bool, on_progress: OnProgress
) -> tuple[Mapping[str, Any] | None, list[tuple[str, Event]]]:
    """Film both policies on the first levels, nerfed and then lifted; their leases go to the audit log."""
    levels = draw_levels(config.course, scale.episodes, "development", False)
    policies = {condition.name: load_policy(work / "policies" / condition.arm) for condition in PAIR}
    groups: list[list[Recording]] = []
    harm: list[tuple[str, Event]] = []
    count = scale.films if video else 1
    with AuditLog(work / "audit.jsonl") as audit, one_thread():
        for level, (lift, state) in itertools.product(range(count), ((None, "nerfed"), (1.0, "lifted"))):
            group = []
            for name, policy in policies.items():
                title = f"{name}; {state}, level {level}"
                audit.append("run", 0.0, name=title, course=COURSE, nerf=NERF, seed=seed)
                recording = on_rover(
                    policy, config, levels, level, title, seed, lift=lift, audit=audit, draw=video
                )
                harm += [(title, event) for event in recording.harm]
                group.append(recording)
            groups.append(group)
            on_progress("filming", len(groups), 2 * count)
    return (write_film(work / "demo.mp4", groups) if video else None), harm
