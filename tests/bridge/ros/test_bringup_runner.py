"""What becomes of a bring-up when its nodes end: real processes, which need no ROS."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nerfbot.bridge.ros.bringup_plan import BringupPlan, NodePlan
from nerfbot.bridge.ros.bringup_runner import Runner

pytestmark = pytest.mark.realtime

ENDS, LONG_LIVED = "this", "nerfbot_stays"
"""A module that ends by itself, and one that goes on."""


def run(tmp_path: Path, *nodes: NodePlan, seconds: float = 20.0) -> tuple[Runner, list[str]]:
    """Run a plan until nothing changes any more: its output."""
    lines: list[str] = []
    plan = BringupPlan(nodes, "", tmp_path / "run", tmp_path / "sockets", None)
    runner = Runner(plan, lambda name, line: lines.append(f"{name}: {line}"))
    try:
        runner.start()
        end = time.monotonic() + seconds
        while runner.poll(0.1) and time.monotonic() < end and len(runner.processes) > 1:
            pass
        runner.poll(0.3)
        alive = sorted(runner.processes)
    finally:
        runner.stop()
    lines.append(f"alive: {', '.join(alive)}")
    assert not runner.processes
    assert not plan.sockets.exists()
    return runner, lines


def long_lived() -> NodePlan:
    return NodePlan("gate", LONG_LIVED)


@pytest.fixture(autouse=True)
def long_lived_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{LONG_LIVED}.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")


def test_a_policy_that_ends_is_started_twice_more_and_the_rest_goes_on_without_it(tmp_path: Path) -> None:
    runner, lines = run(tmp_path, long_lived(), NodePlan("second", ENDS, restarts=2, essential=False))
    assert lines.count("second: ended with 0; starting it again") == 2
    assert lines.count("second: ended with 0") == 1
    assert lines[-1] == "alive: gate"
    assert runner.failure == ""


def test_an_essential_node_that_ends_for_good_ends_everything(tmp_path: Path) -> None:
    runner, lines = run(tmp_path, long_lived(), NodePlan("nerf", ENDS, restarts=1))
    assert lines.count("nerf: ended with 0; starting it again") == 1
    assert runner.failure == "nerf ended with 0"


def test_a_node_that_must_not_start_like_this_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "nerfbot_refuses.py").write_text("import sys\nsys.exit(2)\n")
    runner, lines = run(tmp_path, long_lived(), NodePlan("nerf", "nerfbot_refuses", restarts=2))
    assert not any("again" in line for line in lines)
    assert runner.failure == "nerf ended with 2"


def test_a_node_that_ignores_its_signal_is_killed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("nerfbot.bridge.ros.bringup_runner.GRACE", 0.3)
    (tmp_path / "nerfbot_deaf.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf')\ntime.sleep(60)\n"
    )
    lines: list[str] = []
    plan = BringupPlan((NodePlan("gate", "nerfbot_deaf"),), "", tmp_path / "run", tmp_path / "sockets", None)
    runner = Runner(plan, lambda name, line: lines.append(f"{name}: {line}"))
    runner.start()
    while "gate: deaf" not in lines:
        assert runner.poll(0.05)
    runner.stop()
    assert "gate: does not end; killing it" in lines
