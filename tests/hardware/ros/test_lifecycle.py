"""Every way out of `active`, and every end of the process, leaves the robot commanded to rest."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.hardware.lifecycle_walk import DEACTIVATE, SHUTDOWNS, Walker
from tests.hardware.ros_world import TWIST_LIMITS, Partner, World, a_world

pytestmark = pytest.mark.realtime

NODES = {
    "gate": ("hardware.ros.gate_node", "cmd_vel_nerfed", "cmd_vel", {}),
    "nerf": ("hardware.ros.nerf_node", "cmd_vel_policy", "cmd_vel_nerfed", {"nerf": "rover-slow"}),
}
SPEED = 0.3


class Driven(Partner):
    """One node of the chain, driven at `SPEED`."""

    def __init__(self, world: World, name: str, code: str = "", **settings: object) -> None:
        module, takes, sends, more = NODES[name]
        super().__init__(world, takes, sends, f"permit.{name}")
        self.each = self.commanding(SPEED)
        self.process = world.start(
            module,
            code,
            permit_socket=world.folder / f"permit.{name}",
            use_odometry=False,
            **{**TWIST_LIMITS, **more, **settings},
        )

    def moves(self) -> None:
        self.until(lambda: self.speed == SPEED, self.each)
        del self.received[:-1]

    def rests(self) -> None:
        """What is sent brakes as the envelope says, and then is zero for good."""
        self.received.clear()
        self.until(lambda: bool(self.received) and self.speed == 0.0, self.each)
        self.received.clear()
        self.drive(0.1, SPEED)
        assert all(message.twist.linear.x == 0.0 for _, message in self.received)

    def braked(self) -> None:
        """No step between two messages is larger than the envelope's deceleration makes it in a tick."""
        speeds = [message.twist.linear.x for _, message in self.received]
        assert speeds[-1] == 0.0
        assert max(before - after for before, after in pairwise(speeds)) <= 2.0 * 0.02 * (1 + 1e-6) + 1e-9


@contextlib.contextmanager
def driven(name: str, code: str = "", **settings: object) -> Iterator[Driven]:
    with a_world() as world:
        partner = Driven(world, name, code, **settings)
        yield partner
        partner.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", NODES)
def test_in_every_order_of_transitions_it_moves_only_while_it_is_active(name: str) -> None:
    with driven(name, autostart=False) as node:
        walker = Walker(node, name)

        def check(active: bool) -> None:
            if active:
                node.moves()
            elif walker.expected != "unconfigured":  # it has no publisher yet
                node.rests()

        walker.walk(3, node.each, check)


@pytest.mark.parametrize("name", NODES)
def test_a_shutdown_of_the_active_node_brakes_under_the_envelope(name: str) -> None:
    with driven(name) as node:
        walker = Walker(node, name)
        node.moves()
        walker.change(SHUTDOWNS["active"], node.each)
        node.until(lambda: node.speed == 0.0, node.each)
        node.braked()
        node.until(lambda: "inactive: the node is finalized" in node.reasons(name), node.each)


@pytest.mark.parametrize("name", NODES)
def test_a_transition_that_fails_brakes_and_is_final(name: str) -> None:
    code = (
        f"import sys; from nerfbot.hardware.ros import {name}_node as module;"
        f"module.{name.capitalize()}Node.on_deactivate = lambda *_: 1 / 0;"
        "sys.exit(module.main())"
    )
    with driven(name, code) as node:
        node.moves()
        walker = Walker(node, name)
        future = walker.request(DEACTIVATE)
        node.until(future.done, node.each)
        node.until(lambda: node.speed == 0.0, node.each)
        node.braked()
        assert walker.state(node.each) == "finalized"


ON_SIGNAL = """
import signal, sys
from nerfbot.hardware.ros import {name}_node
from nerfbot.limits import ActuatorLimiter
def act(*_):
    {act}
signal.signal(signal.SIGUSR1, act)
sys.exit({name}_node.main())
"""
"""A node that does `act` in the middle of its work when it gets SIGUSR1."""

ENDS = {
    "exit": "sys.exit(3)",
    "interrupt": "raise KeyboardInterrupt",
    "no memory": "raise MemoryError",
    "context": "import rclpy; raise rclpy.executors.ExternalShutdownException",
}


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGHUP", *ENDS])
def test_an_end_of_the_process_brakes_under_the_envelope_first(name: str, end: str) -> None:
    code = ON_SIGNAL.format(name=name, act=ENDS[end]) if end in ENDS else ""
    with driven(name, code) as node:
        node.moves()
        node.process.send_signal(signal.SIGUSR1 if code else getattr(signal, end))
        node.until(lambda: node.process.poll() is not None or node.speed == 0.0, node.each)
        node.until(lambda: node.speed == 0.0)
        node.braked()
        if not code:
            assert node.process.wait(10.0) == 0


def test_two_signals_do_not_cut_the_stop_short() -> None:
    with driven("gate", **{"linear.x.max_deceleration": 0.2}) as node:
        node.moves()
        for _ in range(3):
            node.process.send_signal(signal.SIGINT)
            node.process.send_signal(signal.SIGTERM)
            node.spin(0.3)
        node.until(lambda: node.speed == 0.0)
        assert node.process.wait(10.0) == 0


def test_a_gate_whose_limiter_fails_brakes_all_the_same() -> None:
    act = "ActuatorLimiter.stop = ActuatorLimiter.apply = lambda *_: 1 / 0"
    with driven("gate", ON_SIGNAL.format(name="gate", act=act)) as node:
        node.moves()
        node.process.send_signal(signal.SIGUSR1)
        node.until(lambda: node.speed == 0.0, node.each)
        node.braked()
        assert any("ZeroDivisionError" in reason for reason in node.reasons("gate"))
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(10.0) == 0


MODULES = [
    *(f"hardware.ros.{name}_node" for name in ("gate", "nerf", "supervisor", "recorder", "servo")),
    *(f"bridge.ros.{name}_node" for name in ("plant", "policy")),
]


def catches(pid: int, number: int) -> bool:
    """Whether a process handles a signal itself (proc(5), SigCgt)."""
    (line,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(line, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_signal_while_it_starts_is_answered_at_once_by_one_line(module: str, seconds: float) -> None:
    with a_world() as world:
        process = world.start(module)
        while not catches(process.pid, signal.SIGTERM):  # Python itself starts
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        assert process.wait(5.0) == 2
        (line,) = world.output(process).splitlines()
        assert "SIGINT before it started" in line or "is required" in line or "must be" in line


def test_a_signal_while_it_compiles_is_answered_at_once() -> None:
    pytest.importorskip("numba")
    with a_world() as world:
        world.environment["NUMBA_CACHE_DIR"] = str(world.folder / "empty")
        process = world.start("hardware.ros.gate_node", permit_socket=world.folder / "p", **TWIST_LIMITS)
        time.sleep(4.0)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(3.0) == 2
        (line,) = world.output(process).splitlines()
        assert line == "gate: SIGTERM before it started"


REFUSED = {
    "gate": ("hardware.ros.gate_node", {"permit_socket": "p"}, "linear.x"),
    "nerf": ("hardware.ros.nerf_node", {"permit_socket": "p", "sensors": "[sonar]", **TWIST_LIMITS}, "sonar"),
    "supervisor": ("hardware.ros.supervisor_node", {"supervisor_socket": "s"}, "state_folder"),
    "recorder": ("hardware.ros.recorder_node", {"file": "/proc/no/file"}, "/proc/no/file"),
    "servo": ("hardware.ros.servo_node", {"command_type": "twist"}, "command_type"),
    "plant": ("bridge.ros.plant_node", {"course": "nowhere"}, "nowhere"),
    "policy": ("bridge.ros.policy_node", {"policy": "/nowhere"}, "/nowhere"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_configuration_is_one_line_and_exit_code_2(name: str) -> None:
    module, settings, named = REFUSED[name]
    with a_world() as world:
        sockets = {key: world.folder / value for key, value in settings.items() if key.endswith("_socket")}
        process = world.start(module, **{**settings, **sockets})
        assert process.wait(60.0) == 2
        (line,) = world.output(process).splitlines()
        assert line.startswith(f"{name}: ")
        assert named in line
