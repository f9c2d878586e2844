"""Running an experiment's arms and seeds as local processes; a killed run continues row by row."""

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
import torch
import yaml

from nerfbot.errors import NerfbotError
from nerfbot.experiment.protocol.arms import load_arm, menu_of, steps_of
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment, load_experiment
from nerfbot.experiment.protocol.evaluation import grid_env
from nerfbot.experiment.runs.results import FILE, Row, arm_values, read_rows, write_rows
from nerfbot.experiment.runs.run_folder import note_test_use, write_text
from nerfbot.experiment.runs.training import RunPlan, RunProgress, draw_levels, run
from nerfbot.grid.action_menu import MOVES

Job = tuple[str, int]
"""An arm and a seed."""

INITIAL_PACE = 1.0 / 12_000
"""Seconds a step, before anything was measured."""

CHECKED_LEVELS = 64
"""Test levels that are checked before anything runs."""

FREE_FIELDS = {"arms", "seeds", "quick", "title"}
"""Fields of the configuration that may differ between the rows of one folder."""


@dataclass
class Progress:
    """The state of all jobs, for whoever draws it."""

    jobs: list[Job]
    done: dict[Job, Row] = field(default_factory=dict)
    running: dict[Job, RunProgress] = field(default_factory=dict)
    failed: dict[Job, str] = field(default_factory=dict)
    seconds_left: float = 0.0


def jobs_of(config: ExperimentConfig, arms: Sequence[str], seeds: int) -> list[Job]:
    """Arms and seeds in the order in which they run: seed by seed, an arm after those it needs.

    Raises `InvalidExperiment` for an arm that is unknown or that the experiment has no menu for.
    """
    ordered: dict[str, bool] = {}
    for name in dict.fromkeys(arms):
        menu_of(config, load_arm(name))
        for arm in (*load_arm(name).needs, name):
            ordered.setdefault(arm, bool(load_arm(arm).needs))
    return [
        (arm, seed)
        for late in (False, True)
        for seed in range(seeds)
        for arm, has_needs in ordered.items()
        if has_needs is late
    ]


def _work(inbox: Any, outbox: Any) -> None:
    """A worker process: runs plans until it is given None or its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    while (plan := _next_plan(inbox)) is not None:
        job = (plan.arm, plan.seed)
        last = 0.0

        def report(progress: RunProgress, job: Job = job) -> None:
            nonlocal last
            if time.monotonic() - last > 0.5:
                last = time.monotonic()
                if _is_orphan():
                    os._exit(1)  # without waiting for a queue that nobody reads
                outbox.put(("progress", job, progress))

        try:
            outbox.put(("row", job, run(plan, report)))
        except NerfbotError as problem:
            outbox.put(("failed", job, str(problem)))
        except Exception as problem:
            outbox.put(("failed", job, f"{type(problem).__name__}: {problem}"))


def _next_plan(inbox: Any) -> RunPlan | None:
    """The next plan; None where there are no more, or nobody waits for them."""
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
    """The commit of the checkout that a folder lies in; empty where there is none."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        git = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return git.stdout.strip() if git.returncode == 0 else ""


def _check_distinguishes(config: ExperimentConfig) -> None:
    """Refuse a course on whose test levels goal and proxy never differ: nothing could be measured there."""
    count = min(CHECKED_LEVELS, config.levels.development)
    level_set = draw_levels(config.course, count, "development", False)
    env = grid_env(config, level_set, count, 0, in_order=True)
    env.reset(seed=0)
    rng, apart = np.random.default_rng(0), env.worlds.state.apart.numpy()
    for _ in range(env.worlds.rules.horizon):
        if apart.any():
            break
        # Some proxies come into being only during an episode: a key too many, for one.
        env.step(rng.integers(len(MOVES), size=count))
        apart = env.worlds.state.apart.numpy()
    env.close()
    if not apart.any():
        raise InvalidExperiment(
            f"experiment {config.name!r}: course = {config.course!r}: goal and proxy are never apart on its"
            f" test levels ({count} checked), so that nothing could be measured"
        )


class Experiment:
    """Arms and seeds of one experiment, run in `processes` local processes.

    Rows go to ``folder/results.csv`` as they are finished; jobs that have a row there are not run again.
    `final` measures on the sealed test set, and notes each use in ``folder/test_uses.txt``.
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
        path = self.folder / "config.yaml"
        if self.rows and path.exists():
            earlier = load_experiment(path).model_dump(mode="json", exclude=FREE_FIELDS)
            for name, value in self.config.model_dump(mode="json", exclude=FREE_FIELDS).items():
                if earlier[name] != value:
                    raise InvalidExperiment(
                        f"{self.folder}: holds rows of another {name!r}; choose another folder with --out"
                    )
        split = "test" if self.final else "development"
        others = {row["split"] for row in self.rows} - {split}
        if others:
            raise InvalidExperiment(
                f"{self.folder}: holds rows measured on the {others.pop()} levels, not the {split} ones"
            )

    def run(self, show: Callable[[Progress], None]) -> list[Row]:
        """Run what has no row yet; all rows. `show` is called about twice a second.

        A job that fails is listed in `Progress.failed` and leaves no row; the others continue.
        """
        progress = Progress(self.jobs)
        for row in self.rows:
            progress.done[(row["arm"], int(row["seed"]))] = row
        waiting = [job for job in self.jobs if job not in progress.done]
        if not waiting:
            return self.rows
        described = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        write_text(self.folder / "config.yaml", described)
        if self.final:
            note_test_use(self.folder, f"{len(waiting)} runs")
        context = multiprocessing.get_context("spawn")
        inbox, outbox = context.Queue(), context.Queue()
        workers = [
            context.Process(target=_work, args=(inbox, outbox), daemon=True)
            for _ in range(min(self.processes, len(waiting)))
        ]
        for worker in workers:
            worker.start()
        try:
            self._schedule(waiting, inbox, outbox, workers, progress, show)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join(5)
        return read_rows(self.folder / FILE)

    def _schedule(
        self,
        waiting: list[Job],
        inbox: Any,
        outbox: Any,
        workers: Sequence[BaseProcess],
        progress: Progress,
        show: Callable[[Progress], None],
    ) -> None:
        """Hand out the waiting jobs and take in what the workers report, until all are done or failed."""
        commit = commit_of(Path(__file__).parent)
        pending = list(waiting)
        began = time.monotonic()
        while pending or progress.running:
            while len(progress.running) < len(workers) and (plan := self._next(pending, progress)) is not None:
                inbox.put(plan)
                progress.running[(plan.arm, plan.seed)] = RunProgress(0, 1)
            if not progress.running:
                progress.failed.update(dict.fromkeys(pending, "an arm that it needs has failed"))
                break
            try:
                kind, job, payload = outbox.get(timeout=0.5)
            except queue.Empty:
                if not any(worker.is_alive() for worker in workers):
                    raise InvalidExperiment(
                        "every worker process has died; is there enough memory?"
                    ) from None
            else:
                if kind == "progress":
                    progress.running[job] = payload
                else:
                    del progress.running[job]
                if kind == "row":
                    self.rows = sorted([*self.rows, {**payload, "commit": commit}], key=self._order)
                    write_rows(self.folder / FILE, self.rows)
                    progress.done[job] = payload
                elif kind == "failed":
                    progress.failed[job] = payload
            elapsed = time.monotonic() - began
            progress.seconds_left = self._seconds_left(progress, waiting, elapsed, len(workers))
            show(progress)
        for _ in workers:
            inbox.put(None)

    def _order(self, row: Row) -> tuple[int, int]:
        arms = list(dict.fromkeys(arm for arm, _ in self.jobs))
        return (arms.index(row["arm"]) if row["arm"] in arms else len(arms), int(row["seed"]))

    def _next(self, pending: list[Job], progress: Progress) -> RunPlan | None:
        """The plan of the first pending job whose needs are met; the job is removed from the list."""
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
        target, own = (
            sum(alpha) / max(1, len(alpha))
            for alpha in (arm_values(self.rows, name, "alpha_eff_steps") for name in (matches, "random-powers"))
        )
        return min(1.0, base * target / own) if own > 0 else 1.0

    def _seconds_left(self, progress: Progress, waiting: list[Job], elapsed: float, workers: int) -> float:
        """Seconds left for the jobs that this start had waiting, at the pace so far."""
        running = sum(run.steps for run in progress.running.values())
        done = running + sum(self._steps(job) for job in waiting if job in progress.done)
        pace = elapsed / done if done else INITIAL_PACE / workers
        left = [job for job in waiting if job not in progress.done and job not in progress.failed]
        return max(0.0, (sum(map(self._steps, left)) - running) * pace)

    def _steps(self, job: Job) -> int:
        return steps_of(self.config, load_arm(job[0]))
