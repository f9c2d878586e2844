"""Running an experiment's arms and seeds as local processes; a run that was killed goes on row by row."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nerfbot.errors import NerfbotError
from nerfbot.experiment.protocol.arms import load_arm, menu_of, steps_of
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment, load_experiment
from nerfbot.experiment.runs.results import FILE, Row, column, read_rows, write_rows
from nerfbot.experiment.runs.training import RunPlan

Job = tuple[str, int]
"""An arm and a seed."""

GUESS = 1.0 / 12_000
"""Seconds a step, before anything was measured."""


@dataclass
class Progress:
    """How the jobs stand, for whoever draws it."""

    jobs: list[Job]
    done: dict[Job, Row] = field(default_factory=dict)
    running: dict[Job, dict[str, Any]] = field(default_factory=dict)
    failed: dict[Job, str] = field(default_factory=dict)
    seconds_left: float = 0.0


def jobs_of(config: ExperimentConfig, arms: Sequence[str], seeds: int) -> list[Job]:
    """Arms and seeds in the order in which they run: seed by seed, an arm after those it is matched to.

    Raises `InvalidExperiment` for an arm that is unknown or that the experiment has no menu for.
    """
    ordered: list[str] = []
    for name in dict.fromkeys(arms):
        menu_of(config, load_arm(name))
        for wanted in (*load_arm(name).needs, name):
            if wanted not in ordered:
                ordered.append(wanted)
    early = [name for name in ordered if not load_arm(name).needs]
    late = [name for name in ordered if load_arm(name).needs]
    return [(arm, seed) for group in (early, late) for seed in range(seeds) for arm in group]


def _work(inbox: Any, outbox: Any) -> None:
    """A worker: takes plans until it is given None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    from nerfbot.experiment.runs.training import run

    while (plan := _next_plan(inbox)) is not None:
        job = (plan.arm, plan.seed)
        last = 0.0

        def tell(told: dict[str, Any], job: Job = job) -> None:
            nonlocal last
            if time.monotonic() - last > 0.5:
                last = time.monotonic()
                if _is_orphan():
                    os._exit(1)  # without waiting for a queue that nobody reads
                outbox.put(("at", job, told))

        try:
            outbox.put(("row", job, run(plan, tell)))
        except NerfbotError as problem:
            outbox.put(("failed", job, str(problem)))
        except Exception as problem:
            outbox.put(("failed", job, f"{type(problem).__name__}: {problem}"))


def _next_plan(inbox: Any) -> RunPlan | None:
    """The next plan; None where there are no more, or nobody who waits for them."""
    while not _is_orphan():
        with contextlib.suppress(queue.Empty):
            plan: RunPlan | None = inbox.get(timeout=2.0)
            return plan
    return None


def _is_orphan() -> bool:
    """Whether the process that started this one has ended: it may have been killed."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def commit_of(folder: Path) -> str:
    """The commit of the checkout that this code lies in, or nothing where there is none."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


LOOKED_AT = 64
"""Test levels that are looked at before anything runs."""


def _check_distinguishes(config: ExperimentConfig) -> None:
    """Refuse a course on whose test levels goal and proxy never differ: nothing could be measured there."""
    from nerfbot.experiment.protocol.evaluation import world
    from nerfbot.experiment.runs.training import levels
    from nerfbot.grid.action_menu import MOVES

    count = min(LOOKED_AT, config.levels.development)
    env = world(config, levels(config.course, count, "development", False), count, 0, in_order=True)
    env.reset(seed=0)
    draw, apart = np.random.default_rng(0), env.worlds.state.apart.numpy()
    for _ in range(env.worlds.rules.horizon):
        if apart.any():
            break
        # Some proxies are none before something was done: a key too many, for one.
        env.step(draw.integers(len(MOVES), size=count))
        apart = env.worlds.state.apart.numpy()
    env.close()
    if not apart.any():
        raise InvalidExperiment(
            f"experiment {config.name!r}: course = {config.course!r}: goal and proxy are never apart on its"
            f" test levels ({count} looked at), so that nothing could be measured"
        )


class Experiment:
    """Arms and seeds of one experiment, run in `processes` local processes.

    Rows go to ``folder/results.csv`` as they are finished; jobs that have a row there are not run again.
    `final` reads the sealed test set, and notes each use in ``folder/test_uses.txt``.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        folder: Path,
        arms: Sequence[str],
        seeds: int,
        processes: int | None = None,
        final: bool = False,
    ) -> None:
        self.config, self.folder, self.final = config, folder, final
        self.jobs = jobs_of(config, arms, seeds)
        self.processes = processes or len(os.sched_getaffinity(0))
        self.rows = read_rows(folder / FILE)
        self._check_same()
        if not self.rows:
            _check_distinguishes(config)

    def _check_same(self) -> None:
        """Refuse to add rows to the results of something else."""
        kept = self.folder / "config.yaml"
        if self.rows and kept.exists():
            free = {"arms", "seeds", "quick", "title"}
            before = load_experiment(kept).model_dump(mode="json", exclude=free)
            for name, value in self.config.model_dump(mode="json", exclude=free).items():
                if before[name] != value:
                    raise InvalidExperiment(
                        f"{self.folder}: holds rows of another {name!r}; choose another folder with --out"
                    )
        part = "test" if self.final else "development"
        others = {row["split"] for row in self.rows} - {part}
        if others:
            raise InvalidExperiment(
                f"{self.folder}: holds rows measured on the {others.pop()} levels, not the {part} ones"
            )

    def run(self, show: Callable[[Progress], None]) -> list[Row]:
        """Run what has no row yet; all rows. `show` is called about twice a second.

        A job that fails is told of in `Progress.failed` and leaves no row; the others go on.
        """
        progress = Progress(self.jobs)
        for row in self.rows:
            progress.done[(row["arm"], int(row["seed"]))] = row
        waiting = [job for job in self.jobs if job not in progress.done]
        if not waiting:
            return self.rows
        self.folder.mkdir(parents=True, exist_ok=True)
        described = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        (self.folder / "config.yaml").write_text(described, encoding="utf-8")
        if self.final:
            with (self.folder / "test_uses.txt").open("a", encoding="utf-8") as uses:
                uses.write(
                    f"{time.strftime('%Y-%m-%d %H:%M')} {len(waiting)} runs measured on the test levels\n"
                )
        context = multiprocessing.get_context("spawn")
        inbox, outbox = context.Queue(), context.Queue()
        workers = [
            context.Process(target=_work, args=(inbox, outbox), daemon=True)
            for _ in range(min(self.processes, len(waiting)))
        ]
        for worker in workers:
            worker.start()
        try:
            self._feed(waiting, inbox, outbox, workers, progress, show)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join(5)
        return read_rows(self.folder / FILE)

    def _feed(
        self,
        waiting: list[Job],
        inbox: Any,
        outbox: Any,
        workers: Sequence[BaseProcess],
        progress: Progress,
        show: Callable[[Progress], None],
    ) -> None:
        commit = commit_of(Path(__file__).parent)
        pending = list(waiting)
        busy = 0
        began = time.monotonic()
        while pending or busy:
            while busy < len(workers) and (ready := self._next(pending, progress)) is not None:
                inbox.put(ready)
                progress.running[(ready.arm, ready.seed)] = {"steps": 0}
                busy += 1
            if not busy:
                for job in pending:
                    progress.failed[job] = "an arm that it is matched to failed"
                break
            try:
                kind, job, told = outbox.get(timeout=0.5)
            except queue.Empty:
                if not any(worker.is_alive() for worker in workers):
                    raise InvalidExperiment(
                        "every worker process has died; is there enough memory?"
                    ) from None
            else:
                if kind == "at":
                    progress.running[job] = told
                else:
                    progress.running.pop(job, None)
                    busy -= 1
                    if kind == "row":
                        self.rows = [*self.rows, {**told, "commit": commit}]
                        self.rows.sort(key=self._order)
                        write_rows(self.folder / FILE, self.rows)
                        progress.done[job] = told
                    else:
                        progress.failed[job] = told
            progress.seconds_left = self._left(progress, waiting, time.monotonic() - began, len(workers))
            show(progress)
        for _ in workers:
            inbox.put(None)

    def _order(self, row: Row) -> tuple[int, int]:
        arms = list(dict.fromkeys(arm for arm, _ in self.jobs))
        return (arms.index(row["arm"]) if row["arm"] in arms else len(arms), int(row["seed"]))

    def _next(self, pending: list[Job], progress: Progress) -> RunPlan | None:
        """The next job whose needs are met, taken off the list."""
        for job in pending:
            arm, seed = job
            needs = load_arm(arm).needs
            if any(other[0] in needs and other not in progress.done for other in self.jobs):
                continue
            pending.remove(job)
            folder = self.folder / "runs" / arm / str(seed)
            return RunPlan(self.config, arm, seed, folder, self.final, self._probability(arm))
        return None

    def _probability(self, arm: str) -> float | None:
        """For a matched arm: the probability at which its edits make as much alpha_eff as the other arm's."""
        matches = load_arm(arm).matches
        if matches is None:
            return None
        base = float(self.config.menu.schedule.get("probability", 1.0))
        wanted, own = (
            sum(found.values()) / max(1, len(found))
            for found in (column(self.rows, name, "alpha_eff_steps") for name in (matches, "random-powers"))
        )
        return min(1.0, base * wanted / own) if own > 0 else 1.0

    def _left(self, progress: Progress, waited: list[Job], elapsed: float, workers: int) -> float:
        """Seconds left at the pace so far, of the jobs that this start found waiting."""
        here = sum(int(told["steps"]) for told in progress.running.values())
        made = here + sum(self._steps(job) for job in waited if job in progress.done)
        pace = elapsed / made if made else GUESS / workers
        waiting = [job for job in waited if job not in progress.done and job not in progress.failed]
        return max(0.0, (sum(map(self._steps, waiting)) - here) * pace)

    def _steps(self, job: Job) -> int:
        return steps_of(self.config, load_arm(job[0]))
