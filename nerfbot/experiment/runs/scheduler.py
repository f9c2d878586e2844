"""Running an experiment's arms and seeds as local processes; a killed run continues row by row."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import yaml

from nerfbot.declared import validate
from nerfbot.experiment.protocol.arms import load_arm, menu_of, steps_of
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment
from nerfbot.experiment.protocol.evaluation import grid_env
from nerfbot.experiment.runs.inputs import described, keep_inputs
from nerfbot.experiment.runs.results import FILE, Row, arm_values, read_rows, write_rows
from nerfbot.experiment.runs.run_folder import note_test_use, write_text
from nerfbot.experiment.runs.training import RunPlan, RunProgress, draw_levels, run
from nerfbot.experiment.runs.workers import Workers
from nerfbot.files import owned_folder, read_yaml
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


def _run(plan: RunPlan, report: Callable[[RunProgress], None]) -> Row:
    """What a worker process does with a plan."""
    torch.set_num_threads(1)
    return run(plan, report)


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
            data = read_yaml(path, InvalidExperiment)
            earlier = validate(ExperimentConfig, data, str(path), InvalidExperiment).model_dump(mode="json")
            for name, value in described(self.config).items():
                if earlier[name] != value and name not in FREE_FIELDS:
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

        A job that fails is listed in `Progress.failed` and leaves no row; the others continue. Raises
        `InvalidExperiment` where another process runs an experiment in the folder.
        """
        with owned_folder(self.folder, InvalidExperiment):
            self.rows = read_rows(self.folder / FILE)
            self._check_same()
            return self._run(show)

    def _run(self, show: Callable[[Progress], None]) -> list[Row]:
        progress = Progress(self.jobs)
        for row in self.rows:
            progress.done[(row["arm"], int(row["seed"]))] = row
        waiting = [job for job in self.jobs if job not in progress.done]
        if not waiting:
            return self.rows
        keep_inputs(self.config, self.folder)
        write_text(self.folder / "config.yaml", yaml.safe_dump(described(self.config), sort_keys=False))
        if self.final:
            note_test_use(self.folder, f"{len(waiting)} runs")
        with Workers(_run, min(self.processes, len(waiting))) as workers:
            self._schedule(waiting, workers, progress, show)
        return read_rows(self.folder / FILE)

    def _schedule(
        self, waiting: list[Job], workers: Workers, progress: Progress, show: Callable[[Progress], None]
    ) -> None:
        """Hand out the waiting jobs and take in what the workers report, until all are done or failed."""
        commit = commit_of(Path(__file__).parent)
        pending, count = list(waiting), len(workers.processes)
        began = time.monotonic()
        while pending or progress.running:
            while len(progress.running) < count and (plan := self._next(pending, progress)) is not None:
                workers.put((plan.arm, plan.seed), plan)
                progress.running[(plan.arm, plan.seed)] = RunProgress(0, 1)
            if not progress.running:
                progress.failed.update(dict.fromkeys(pending, "an arm that it needs has failed"))
                break
            message = workers.next_message()
            if message is not None and message.kind == "progress":
                progress.running[message.key] = message.payload
            elif message is not None:
                del progress.running[message.key]
                if message.kind == "result":
                    row = progress.done[message.key] = {**message.payload, "commit": commit}
                    self.rows = sorted([*self.rows, row], key=self._order)
                    write_rows(self.folder / FILE, self.rows)
                else:
                    progress.failed[message.key] = message.payload
            progress.seconds_left = self._seconds_left(progress, waiting, time.monotonic() - began, count)
            show(progress)

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
