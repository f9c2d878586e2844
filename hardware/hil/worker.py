"""One worker of the campaign: `python -m nerfbot.hardware.hil.worker`, trials in, results out, JSON lines.

A process of its own, without threads, so that it can fork drivers and supervisors.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nerfbot.errors import NerfbotError
from nerfbot.limits import NerfSpec

from .faults import fault_named
from .trial import Result, TrialRunner

NICE = 10
"""A worker yields to the kernel's threads, which carry an emulated port's bytes. Not with real servos: their
driver inherits it where the system refuses real-time priority.
"""

SHARED_MEMORY, MIN_FREE = "/dev/shm", 1 << 30
"""Linux's file system in memory, and the bytes that must be free there for the logs of a campaign."""

TRIES = 3
"""Attempts at a trial whose rig breaks: on a busy machine servos can seem silent while it starts."""


def run_all(
    robot: str, spec: NerfSpec, plan: list[list[Any]], margin: float, out: Any, port: str = ""
) -> None:
    """Run the trials of ``plan``, [fault, situation, seed] each, and write a line for each to ``out``.

    ``robot``: a name or file; ``port``: a real one, or empty for emulated servos.
    """
    with tempfile.TemporaryDirectory(prefix="nerfbot-hil-", dir=_in_memory()) as folder:
        runner = TrialRunner(robot, spec, Path(folder), int(plan[0][2]) if plan else 0, margin, port)
        try:
            for name, situation, seed in plan:
                result = attempt(runner, name, situation, seed)
                out.write(json.dumps(asdict(result)) + "\n")
                out.flush()
        finally:
            runner.close()


def _in_memory() -> str | None:
    """A folder in memory, where there is one with room: emulated servos must not wait for a disk."""
    if os.access(SHARED_MEMORY, os.W_OK) and shutil.disk_usage(SHARED_MEMORY).free > MIN_FREE:
        return SHARED_MEMORY
    return None


def attempt(runner: TrialRunner, name: str, situation: str, seed: int) -> Result:
    """One trial; a rig that breaks `TRIES` times is a missed stop, not the end of the campaign."""
    fault, problem = fault_named(name), ""
    for _ in range(TRIES):
        try:
            return runner.run(fault, situation, seed)
        except (NerfbotError, RuntimeError, OSError) as error:
            if runner.rig.driver is not None:
                runner.rig.driver.kill()
            problem = f"the rig broke: {error}"
    return Result(
        name, fault.kind, situation, seed, fault.expect, fault.visible, [], problem, None, 0, [], 0.0, 0.0
    )


def main() -> int:
    """Read one JSON object from standard input: robot, spec, margin, plan."""
    order = json.loads(sys.stdin.read())
    if not order["port"]:
        os.nice(NICE)
    spec = NerfSpec.load(order["spec"])
    run_all(order["robot"], spec, order["plan"], order["margin"], sys.stdout, order["port"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
