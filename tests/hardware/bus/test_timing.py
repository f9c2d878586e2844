"""A line that never rests and answers that come late: bounded, named, with the cure in the message."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import tty

import pytest

from nerfbot.cli import main
from nerfbot.hardware.bus.bus import QUIET_TIMEOUT, Bus
from nerfbot.hardware.bus.port import Port
from nerfbot.hardware.driver.setup import WrongServos, open_bus
from nerfbot.hardware.errors import BusError, NoReply
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from tests.hardware.lockstep import LockstepArm


@pytest.fixture
def dripping():
    """The path of a terminal on which a byte comes every 2 ms, or all the time where ``flood`` is set."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    ended, flood = threading.Event(), threading.Event()

    def drip():
        while not ended.is_set():
            with contextlib.suppress(BlockingIOError):
                os.write(master, b"\xff" * (4000 if flood.is_set() else 1))
            if not flood.is_set():
                time.sleep(0.002)

    thread = threading.Thread(target=drip)
    thread.start()
    yield os.ttyname(slave), flood
    ended.set()
    thread.join()
    os.close(master)
    os.close(slave)


@pytest.mark.realtime
@pytest.mark.parametrize("floods", [False, True])
def test_a_line_that_is_never_quiet_is_named_in_bounded_time(floods, dripping):
    path, flood = dripping
    if floods:
        flood.set()
    began = time.monotonic()
    with pytest.raises(BusError, match="is never quiet for 10 ms: another device sends"):
        open_bus(ServoRobot.load("so101"), path)
    assert time.monotonic() - began < QUIET_TIMEOUT + 1.0


@pytest.mark.realtime
@pytest.mark.parametrize("floods", [False, True])
def test_an_exchange_on_such_a_line_ends_at_its_deadline(floods, dripping):
    path, flood = dripping
    if floods:
        flood.set()
    robot = ServoRobot.load("so101")
    bus = Bus(Port(path, robot.baud), robot.protocol, robot.servos)
    began = time.monotonic()
    with pytest.raises(NoReply):
        bus.read(1, "present_position")
    assert time.monotonic() - began < 1.0
    bus.close()


def late(arm, seconds):
    arm.emulator.do({"do": "fault", "name": "late", "value": seconds})


def go(arm, cycles):
    guards = set()
    for _ in range(cycles):
        if arm.state.get("phase") != "run":
            arm.actuate(arm.state["position"])
        arm.read()
        guards |= set(arm.state["guards"])
    return guards


@pytest.mark.parametrize("name", ["so101", "koch"])
def test_answers_later_than_the_margin_are_no_second_servo(name):
    """FTDI's default latency timer is 16 ms."""
    arm = LockstepArm(ServoRobot.load(name), NerfSpec.load(f"{name}-weak"))
    go(arm, 60)
    late(arm, 0.013)
    guards = go(arm, 300)
    assert "late-answers" in guards
    assert "strays" not in guards
    assert arm.state["phase"] != "run"
    reasons = " ".join(arm.state["reasons"])
    assert "latency timer to 1 ms" in reasons or "no answer" in reasons


@pytest.mark.parametrize("name", ["so101", "koch"])
def test_a_margin_for_the_adapter_is_the_cure(name):
    robot = ServoRobot.load(name).model_copy(update={"rate": 10.0, "watchdog_s": 1.0})
    arm = LockstepArm(robot, NerfSpec.load(f"{name}-weak"), margin=0.02)
    late(arm, 0.013)
    go(arm, 20)
    assert arm.state["phase"] == "run", arm.state
    assert go(arm, 40) == set()


@pytest.mark.realtime
def test_servos_that_answer_too_late_at_the_start_are_not_called_missing(emulate):
    emulated = emulate()
    emulated.fault("late", value=0.05)
    with pytest.raises(WrongServos, match=r"answers came too late: set the adapter's latency timer to 1 ms"):
        open_bus(ServoRobot.load("so101"), str(emulated.port))
    open_bus(ServoRobot.load("so101"), str(emulated.port), margin=0.2).close()


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "3"])
def test_a_margin_that_is_none_is_refused_before_the_port_is_touched(margin, capsys):
    assert main(["servo", "drive", "so101-weak", "--port", "/dev/nowhere", "--margin", margin]) == 2
    assert f"--margin = {float(margin):g}: must be above 0 and at most 0.2 s" in capsys.readouterr().err
