"""Requested against measured, on robots that nobody prepared: every joint of every URDF in a folder.

    .venv/bin/python benchmarks/urdf_sweep.py FOLDER
    .venv/bin/python benchmarks/urdf_sweep.py FOLDER --only husky --failures

Each URDF gets a channel for every joint that can be commanded. Each limit is put on all of them at once, in
each channel mode; commands drive the joints, gravity along an oblique axis does, or pushes from outside, at
half and at twice the motors' effort. A joint that passes its limit while its motor has effort to spare is a
failure: exit 1 (2: nothing was measured). A URDF that cannot be measured is one line with the reason.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from joint_trials import LIMITS, Finding, trials

from nerfbot.errors import NerfbotError

Result = tuple[list[Finding], list[str], str]
"""The findings of a URDF, what was left out, and why it could not be measured ("": it could)."""


def measure(urdf: Path) -> Result:
    found: list[Finding] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for item in trials(urdf, Path(folder)):
                found.append(item) if isinstance(item, Finding) else notes.append(item)
        except Exception as error:  # whatever a foreign file provokes
            kind = "" if isinstance(error, (NerfbotError, ValueError)) else f"{type(error).__name__}: "
            return found, notes, kind + " ".join(str(error).split())
    return found, notes, ""


class Worker:
    """Measures URDFs in a process of its own, so that one that ends it, or never ends, costs only itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pool: ProcessPoolExecutor | None = None

    def measure(self, urdf: Path) -> Result:
        """As `measure`, or the reason why that did not come to an end."""
        self._pool = self._pool or ProcessPoolExecutor(1, get_context("spawn"))
        try:
            return self._pool.submit(measure, urdf).result(self._seconds)
        except BrokenProcessPool:
            problem = "PyBullet ended the process"
        except TookTooLong:
            problem = f"took more than {self._seconds:g} s"
        self.close()
        return [], [], problem

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            for process in list(self._pool._processes.values()):
                process.kill()
            self._pool.shutdown()
            self._pool = None


def table(found: list[Finding], only_failures: bool) -> Iterator[str]:
    """A line for each joint type, limit and channel mode: requested -> measured under each drive."""
    rows: dict[tuple[str, str, str], list[Finding]] = {}
    for item in found:
        rows.setdefault((item.type, item.limit, item.mode), []).append(item)
    for (kind, limit, mode), items in sorted(rows.items()):
        if only_failures and not any(item.failed for item in items):
            continue
        unit = items[0].joint.unit(LIMITS[limit])
        cells = "; ".join(_cell(item) for item in items)
        yield f"  {kind}, {mode} channel, {limit} limit in {unit}: {cells}"


def _cell(item: Finding) -> str:
    if item.refused:
        return "refused"
    requested, name = item.joint.caps[item.limit], item.joint.name
    text = f"{item.drive} {requested:.3g} -> {item.measured:.3g} ({name})"
    if item.largest > item.measured:
        text += f", excused {item.largest:.3g}"
    return text + (" FAILS" if item.failed else "")


def main() -> None:
    """Print progress, findings and the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", metavar="TEXT", help="URDFs whose path has this in it")
    parser.add_argument("--failures", action="store_true", help="leave out the lines of limits that hold")
    parser.add_argument("--seconds", type=float, default=300.0, help="the longest time for one URDF")
    given = parser.parse_args()
    files = [path for path in sorted(given.folder.rglob("*.urdf")) if given.only in str(path)]
    if not files:
        parser.error(f"no URDF in {given.folder} whose path has {given.only!r} in it")
    worker, failures, measured = Worker(given.seconds), 0, 0
    for number, path in enumerate(files, 1):
        found, notes, problem = worker.measure(path)
        measured += bool(found)
        failed = sum(item.failed for item in found)
        failures += failed
        verdict = problem or (
            f"{failed} of {len(found)} trials fail" if failed else f"{len(found)} trials hold"
        )
        print(f"[{number}/{len(files)}] {path.relative_to(given.folder)}: {verdict}")
        for text in notes:
            print(f"  left out: {text}")
        for text in table(found, given.failures):
            print(text)
        sys.stdout.flush()
    worker.close()
    print(f"{measured} of {len(files)} URDFs measured, {failures} trials fail")
    raise SystemExit(1 if failures else 0 if measured else 2)


if __name__ == "__main__":
    main()
