"""What becomes of a bring-up when its nodes end: real processes, which need no ROS."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nerfbot.bridge.ros.bringup_plan import BringupPlan, NodePlan
from nerfbot.bridge.ros.bringup_runner import Runner
from nerfbot.hardware.safety.requests import RequestServer

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
    code = (
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])\ntime.sleep(60)\n"
    )
    (tmp_path / f"{LONG_LIVED}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")


def test_a_policy_that_ends_is_started_twice_more_and_the_rest_goes_on_without_it(tmp_path: Path) -> None:
    runner, lines = run(tmp_path, long_lived(), NodePlan("second", ENDS, restarts=2, essential=False))
    assert lines.count("second: ended with 0; starting it again") == 2
    assert lines.count("second: ended with 0") == 1
    assert lines[-1] == "alive: gate"
    assert runner.failure == ""


def test_a_node_that_ends_is_reported_to_the_supervisor(tmp_path: Path) -> None:
    plan = BringupPlan(
        (long_lived(), NodePlan("recorder", ENDS, restarts=1, essential=False)),
        "",
        tmp_path / "run",
        tmp_path / "sockets",
        None,
    )
    runner = Runner(plan, lambda name, line: None)
    faults: list[dict] = []
    try:
        runner.start()
        server = RequestServer(plan.supervisor)
        end = time.monotonic() + 20.0
        while len(faults) < 2 and time.monotonic() < end:
            runner.poll(0.1)
            faults += [request.fields for request in server.read() if request.kind == "fault"]
        server.close()
    finally:
        runner.stop()
    expected = {"source": "recorder", "name": "process"}
    assert faults == [
        {**expected, "detail": "ended with 0; starting it again"},
        {**expected, "detail": "ended with 0"},
    ]


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


NODE = """
import sys, time
from nerfbot.hardware.ros.program import EndRequest
time.sleep({imports})
request = EndRequest()
print("ready", flush=True)
request.starting = False
while not request.received:
    time.sleep(0.01)
"""


def started(tmp_path: Path, imports: float, *names: str) -> subprocess.Popen[str]:
    """A process that runs a plan of such nodes, as `nerfbot bringup` does."""
    (tmp_path / "nerfbot_node.py").write_text(NODE.format(imports=imports))
    code = (
        "import sys; from pathlib import Path;"
        "from nerfbot.bridge.ros.bringup_plan import BringupPlan, NodePlan;"
        "from nerfbot.bridge.ros.bringup_runner import Runner;"
        f"nodes = tuple(NodePlan(name, 'nerfbot_node') for name in {names!r});"
        f"here = Path({str(tmp_path)!r});"
        "sys.exit(Runner(BringupPlan(nodes, '', here / 'run', here / 'sockets', None)).run())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def nodes_of(tmp_path: Path) -> list[str]:
    """The nodes that run, by the run folder in their arguments."""
    words = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return [text.decode() for text in words if f"{tmp_path}/run/params".encode() in text]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_node_and_the_bring_up(tmp_path: Path, number: int) -> None:
    process = started(tmp_path, 0.0, "gate", "nerf")
    lines: list[str] = []
    while sorted(lines) != ["[gate] ready\n", "[nerf] ready\n"]:
        lines += [line for line in [process.stdout.readline()] if "ready" in line]  # type: ignore[union-attr]
    process.send_signal(number)
    rest, _ = process.communicate(timeout=20.0)
    assert process.returncode == 0
    assert "killing" not in rest
    assert nodes_of(tmp_path) == []


def test_a_signal_before_a_node_listens_is_not_lost(tmp_path: Path) -> None:
    process = started(tmp_path, 1.0, "gate")
    while not nodes_of(tmp_path):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20.0)
    assert process.returncode in (0, 2)  # 2 where it came before all nodes had been started
    assert "Interrupted: SIGINT" in rest  # what `program.start` makes one line of
    assert "killing" not in rest
    assert nodes_of(tmp_path) == []


def test_a_signal_during_the_start_ends_what_has_been_started(tmp_path: Path) -> None:
    process = started(tmp_path, 0.0, "gate", *(f"more{k}" for k in range(40)))
    while not nodes_of(tmp_path):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30.0)
    assert process.returncode == 2
    assert "[bringup] SIGINT before it started" in rest
    assert nodes_of(tmp_path) == []


def test_from_an_empty_cache_it_says_that_it_compiles_and_answers_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "empty"))
    process = started(tmp_path, 0.0, "gate")
    assert "compiling the limits" in process.stdout.readline()  # type: ignore[union-attr]
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=5.0)
    assert process.returncode == 2
    assert rest == "[bringup] SIGTERM before it started\n"
