"""The campaign: every fault in every situation, with varied seeds, over several workers; its figures."""

from __future__ import annotations

import json
import random
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand
from nerfbot.limits import NerfSpec

from ..errors import BusError
from ..robot import ServoRobot
from .faults import FAULTS, SITUATIONS
from .statistics import percentile, upper_bound

Row = dict[str, Any]


@dataclass(frozen=True)
class FaultFigures:
    """What came of one fault, or of all: counts, latencies in s, bounds on the violation probability."""

    name: str
    kind: str
    expect: str
    trials: int
    violations: int
    missed: int
    p50: float | None
    p99: float | None
    most: float | None
    guards: str
    bound: float


@dataclass(frozen=True)
class CampaignFigures:
    """The campaign's figures. ``stop_p99_cycles`` is about the causes that the driver sees, by the clock;
    ``stop_p99_writes`` the same in bus cycles of the log that still pulled. ``timer_p99_cycles`` is a bare
    timer's lateness in the same run.
    """

    robot: str
    period: float
    seconds: float
    pooled: FaultFigures
    faults: list[FaultFigures]
    stop_p99_cycles: float | None
    stop_p99_writes: float | None
    timer_p99_cycles: float | None
    problems: list[Row]

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON data, those with fixed names first."""
        return {
            "trials": self.pooled.trials,
            "violations": self.pooled.violations,
            "missed_stops": self.pooled.missed,
            "stop_p99_cycles": self.stop_p99_cycles,
            "stop_p99_writes": self.stop_p99_writes,
            "seconds": self.seconds,
            "timer_p99_cycles": self.timer_p99_cycles,
            "violation_bound_95": self.pooled.bound,
            "robot": self.robot,
            "faults": [asdict(fault) for fault in self.faults],
            "problems": self.problems,
        }


def plan_trials(trials: int, seed: int, only: Sequence[str] = (), real: bool = False) -> list[list[Any]]:
    """The trials, [fault, situation, seed] each, in random order: every pair as evenly as ``trials`` allows.

    With ``real`` only faults that real servos can have. Raises `InvalidCommand` for an unknown fault, one
    that real servos cannot have, or too few trials.
    """
    names = [fault.name for fault in FAULTS]
    possible = [fault.name for fault in FAULTS if not (real and fault.emulated)]
    for name in only:
        if name not in names:
            raise InvalidCommand(f"--fault {name!r}: there is no such fault{suggestion(name, names)}")
        if name not in possible:
            raise InvalidCommand(f"--fault {name!r}: cannot be made on real servos, only on the emulator")
    if trials < 1:
        raise InvalidCommand(f"--trials = {trials}: must be at least 1")
    selected = [name for name in possible if not only or name in only]
    pairs = [(name, situation) for name in selected for situation in SITUATIONS]
    rng = random.Random(seed)
    rows: list[list[Any]] = []
    while len(rows) < trials:
        rng.shuffle(pairs)
        rows += [[name, situation, 0] for name, situation in pairs[: trials - len(rows)]]
    for index, row in enumerate(rows):
        row[2] = seed * 1_000_003 + index
    return rows


def run_trials(
    robot: str,
    spec: str,
    rows: list[list[Any]],
    workers: int,
    margin: float,
    progress: Callable[[int], None] = lambda _: None,
    port: str = "",
) -> tuple[list[Row], float]:
    """Run the trials on ``workers`` rigs; ``progress`` gets the number of finished ones. Rows and seconds.

    ``port``: a real one, for one worker. Raises `BusError` with a worker's own line where it fails.
    """
    ServoRobot.load(robot)
    NerfSpec.load(spec)
    began = time.monotonic()
    shares = [rows[index::workers] for index in range(workers) if rows[index::workers]]
    processes = []
    for share in shares:
        worker = subprocess.Popen(
            [sys.executable, "-m", "nerfbot.hardware.hil.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        order = {"robot": robot, "spec": spec, "margin": margin, "plan": share, "port": port}
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(order).encode())
        worker.stdin.close()
        processes.append(worker)
    results: list[Row] = []
    try:
        for row in _results(processes):
            results.append(row)
            progress(len(results))
    finally:
        for worker in processes:
            if worker.poll() is None:
                worker.terminate()
            worker.wait()
    if len(results) < len(rows):
        errors = [line for w in processes if w.stderr for line in w.stderr.read().decode().splitlines()]
        reason = (errors or ["no reason given"])[-1]
        raise BusError(f"hil: {len(results)} of {len(rows)} trials were made: {reason}")
    return results, time.monotonic() - began


def _results(workers: Sequence[subprocess.Popen[bytes]]) -> Iterator[Row]:
    """Results as they come, from all workers, until the last has closed its output."""
    pending = {worker.stdout.fileno(): (worker.stdout, b"") for worker in workers if worker.stdout}
    while pending:
        for handle in select.select(list(pending), [], [])[0]:
            stream, rest = pending[handle]
            data = stream.read1(65536)  # type: ignore[attr-defined]
            if not data:
                del pending[handle]
                continue
            *lines, rest = (rest + data).split(b"\n")
            pending[handle] = (stream, rest)
            yield from map(json.loads, lines)


def summarise(robot: str, rows: Sequence[Row], seconds: float) -> CampaignFigures:
    """The figures of all trials."""
    period = ServoRobot.load(robot).period
    faults = [_figures(f.name, f.kind, f.expect, [r for r in rows if r["fault"] == f.name]) for f in FAULTS]
    visible = [row for row in rows if row["seen"] and row["latency"] is not None]
    p99 = percentile([row["latency"] for row in visible], 0.99)
    timer = percentile([row["timer"] for row in rows], 0.99)
    return CampaignFigures(
        robot,
        period,
        round(seconds, 1),
        _figures("all faults", "", "", rows),
        [figures for figures in faults if figures.trials],
        None if p99 is None else round(p99 / period, 2),
        percentile([row["cycles"] for row in visible], 0.99),
        None if timer is None else round(timer / period, 2),
        [row for row in rows if row["violations"] or row["missed"]],
    )


def _figures(name: str, kind: str, expect: str, rows: Sequence[Row]) -> FaultFigures:
    latencies = [row["latency"] for row in rows if row["latency"] is not None]
    violations = sum(bool(row["violations"]) for row in rows)
    guards = Counter(guard for row in rows for guard in row["guards"])
    most_common = ", ".join(guard for guard, _ in guards.most_common(3))
    return FaultFigures(
        name, kind, expect, len(rows), violations, sum(bool(row["missed"]) for row in rows),
        percentile(latencies, 0.5), percentile(latencies, 0.99), max(latencies, default=None),
        most_common, upper_bound(violations, len(rows)),
    )  # fmt: skip
