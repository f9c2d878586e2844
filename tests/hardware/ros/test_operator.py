"""The operator's commands with several robots on one machine: all stop, and others ask which."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hardware.ros_world import Partner, World, a_world

pytestmark = pytest.mark.realtime

MAIN = "import sys; from nerfbot.cli import main; sys.exit(main())"
NAMES = ("left", "right")


class Fleet:
    """Robots of two worlds; each is its supervisor, and the test is its gate."""

    def __init__(self, worlds: list[World], temporary: str) -> None:
        self.temporary = temporary
        self.gates = [Partner(world, "cmd_vel", "nothing") for world in worlds]
        self.processes = []
        self.sockets = []
        for world, name in zip(worlds, NAMES, strict=True):
            world.environment["TMPDIR"] = temporary
            self.sockets.append(world.folder / "supervisor")
            process = world.start(
                "hardware.ros.supervisor_node",
                supervisor_socket=self.sockets[-1],
                state_folder=world.folder / name,
                use_odometry=False,
            )
            self.processes.append(process)
        for gate, socket in zip(self.gates, self.sockets, strict=True):
            gate.until(socket.exists)
            gate.until(lambda gate=gate: gate.publisher.get_subscription_count() > 0)
        self.speed = 0.0

    def nerfbot(self, *words: str) -> tuple[int, str]:
        """Run a command from any folder, while the gates send `speed`; its exit code and what it prints."""
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *words],
            env={**os.environ, "TMPDIR": self.temporary, "PYTHONPATH": str(Path.cwd())},
            cwd=self.temporary,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while process.poll() is None:
            for gate in self.gates:
                gate.send(self.speed)
                gate.spin(0.01)
        return process.returncode, process.communicate()[0]

    def estop(self, *words: str) -> tuple[int, dict[str, Any]]:
        code, text = self.nerfbot("estop", "--json", *words)
        return code, {item["name"]: item for item in json.loads(text)["robots"]}


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with a_world() as one, a_world() as two, tempfile.TemporaryDirectory(prefix="nb") as temporary:
        robots = Fleet([one, two], temporary)
        yield robots
        for gate in robots.gates:
            gate.close()


def test_an_emergency_stop_stops_every_robot_and_says_what_each_confirmed(fleet: Fleet) -> None:
    code, answers = fleet.estop("--reason", "test")
    assert code == 0
    assert answers.keys() == set(NAMES)
    assert all(
        item["ok"] and "latched (test), commanded: rest" in item["detail"] for item in answers.values()
    )
    code, text = fleet.nerfbot("estop", "--clear")
    assert code == 2
    assert "2 robots run on this machine, name one: left, right" in text
    assert fleet.nerfbot("estop", "--clear", "--robot", "left")[0] == 0
    assert "not latched" in fleet.nerfbot("lift", "status", "--robot", "left")[1]
    assert "test" in fleet.nerfbot("lift", "status", "--robot", "right")[1]


def test_a_robot_that_is_named_is_stopped_alone(fleet: Fleet) -> None:
    for name in ("right", str(fleet.sockets[1])):
        code, answers = fleet.estop("--robot", name)
        assert code == 0
        assert answers.keys() == {name}
    assert "not latched" in fleet.nerfbot("lift", "status", "--robot", "left")[1]
    code, text = fleet.nerfbot("estop", "--robot", "middle")
    assert code == 2
    assert "nor a robot that runs (left, right)" in text


def test_a_robot_that_does_not_confirm_fails_the_command_and_the_others_stop(fleet: Fleet) -> None:
    fleet.processes[0].send_signal(signal.SIGSTOP)
    code, answers = fleet.estop()
    fleet.processes[0].send_signal(signal.SIGCONT)
    assert code == 1
    assert "NOT CONFIRMED: " in answers["left"]["detail"]
    assert "no answer" in answers["left"]["detail"]
    assert answers["right"]["ok"]


def test_a_robot_that_is_still_commanded_to_move_is_not_stopped(fleet: Fleet) -> None:
    fleet.speed = 0.3
    code, answers = fleet.estop("--robot", "left")
    assert code == 1
    assert "latched, commanded: motion: 0.300" in answers["left"]["detail"]


def test_a_robot_whose_supervisor_has_ended_is_none(fleet: Fleet) -> None:
    fleet.processes[0].kill()
    fleet.processes[0].wait()
    fleet.processes[1].terminate()
    fleet.processes[1].wait()
    code, text = fleet.nerfbot("estop")
    assert code == 2
    assert "no robot runs on this machine" in text
    assert list(Path(fleet.temporary).glob("nerfbot-robots-*/*")) == []


@pytest.mark.parametrize("words", [("lift", "status"), ("lift", "revoke"), ("watch", "--seconds", "1")])
def test_other_commands_ask_for_a_robot_where_there_are_several(fleet: Fleet, words: tuple[str, ...]) -> None:
    code, text = fleet.nerfbot(*words)
    assert code == 2
    assert "name one: left, right" in text
    code, text = fleet.nerfbot(*words, "--robot", "right")
    assert code == 0
