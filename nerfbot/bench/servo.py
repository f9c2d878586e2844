"""`nerfbot bench servo`: bus cycles a second and what they cost, six emulated servos at 1 Mbaud."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nerfbot.bench.figures import Baseline, Figure
from nerfbot.errors import NerfbotError
from nerfbot.limits import NerfSpec

SECONDS = 5.0
ARMS = ("so101", "koch")
"""An arm for each protocol."""


def figures(progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Measure the driver of `ARMS` following commands; ``progress`` is told what comes next."""
    return [figure for name in ARMS for figure in _figures(name, progress)]


def _figures(name: str, progress: Callable[[str], None]) -> list[Figure]:
    from nerfbot.hardware.hil.rig import Rig
    from nerfbot.hardware.robot import ServoRobot

    progress(f"driver of {name}")
    robot = ServoRobot.load(name)
    with (
        tempfile.TemporaryDirectory() as folder,
        Rig(robot, NerfSpec.load(f"{name}-weak"), Path(folder)) as rig,
    ):
        rig.start_supervisor()
        rig.start_driver()
        if not rig.wait_until_running(10.0) or rig.driver is None:
            raise NerfbotError(f"bench servo: the driver of {name} does not run: {rig.state.get('reasons')}")
        hold = list(rig.state["position"])
        cpu, began, cycles, last = _cpu(rig.driver.pid), time.monotonic(), 0, 0.0
        while time.monotonic() - began < SECONDS:
            rig.command(hold)
            state = rig.update(0.02)
            cycles += state["now"] != last
            last = state["now"]
        seconds = time.monotonic() - began
        share = (_cpu(rig.driver.pid) - cpu) / seconds
    baseline = Baseline("the robot's rate", robot.rate)
    return [
        Figure(f"cycles_per_s.{name}", cycles / seconds, "1/s", "higher", baseline),
        Figure(f"driver_core_share.{name}", share, "1", "lower"),
    ]


def _cpu(pid: int) -> float:
    """Processor time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
