"""However a driver ends, it lets the arm down first: exceptions at every call, signals, a log that fails."""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import signal
import sys
import types
from pathlib import Path

import pytest

import nerfbot
from nerfbot.hardware.bus.bus import Bus
from nerfbot.hardware.driver.driver import ServoDriver
from nerfbot.hardware.driver.guards import COMMAND_TIMEOUT
from nerfbot.hardware.driver.joint_command import encode
from nerfbot.hardware.driver.service import DriverConfig, DriverService, run_to_end
from nerfbot.hardware.emulator.__main__ import build
from nerfbot.hardware.emulator.process import wait_until
from nerfbot.hardware.hil.rig import Rig
from nerfbot.hardware.robot import ServoRobot
from nerfbot.hardware.safety.permit import PermitSource
from nerfbot.limits import NerfSpec
from nerfbot.powers import verify
from tests.hardware.lockstep import LockstepPort

RELEASE = 0.2
ROBOTS = ("so101", "koch")
CODE = tuple(str(Path(nerfbot.__file__).parent / part) for part in ("hardware", "limits", "powers"))
ENDS = {"run_to_end", "finish", "close"}
"""What lets the arm down: an exception before its first line would be one in the interpreter."""

LAST_RESORT = ("/bus/", "/let_down.py", "/register_limits.py", "/robot.py", "/envelope.py", "/declared.py")
"""What remains where a driver's own cycle fails for good."""


SIGNALS = [
    "SIGTERM",
    "SIGINT",
    "SIGHUP",
    "SIGQUIT",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGVTALRM",
    "SIGPROF",
    "SIGIO",
    "SIGXCPU",
]
"""What ends or stops a process and can be handled (signal(7))."""


Injected = FloatingPointError
"""The exception that is injected: a built-in one, which the driver raises nowhere itself."""


class EndingArm:
    """A driver service and emulated servos in lockstep: `run` moves the arm and ends after 12 more cycles."""

    def __init__(self, name, folder):
        robot = ServoRobot.load(name).model_copy(update={"release_s": RELEASE})
        self.emulator = build(robot, None, clock=lambda: 0.0)
        for joint, servo in zip(robot.joints, self.emulator.servos, strict=True):
            servo.place(servo.angle_of(joint.counts(0.0)), 0.0)
        self.port = port = LockstepPort(self.emulator, robot.baud)
        config = DriverConfig(
            robot, NerfSpec.load(f"{name}-weak"), "lockstep", folder, folder / "audit.jsonl"
        )
        bus = Bus(port, robot.protocol, robot.servos)
        self.service = DriverService(config, port.clock, lambda s: port.wait(port.now + s), bus)
        self.source, self.sequence, self.moving = PermitSource(0.1), 0, 0
        self.dropped = []
        for servo in self.emulator.servos:
            servo.write = self._watched(servo)

    def _watched(self, servo):
        write, effort = servo.write, servo.model.limits["effort"].ram
        at_first = self.service.driver.plan.counts_at((0.0,) * 4)[servo.id][effort]

        def watched(address, data):
            enabled = servo.enabled
            done = write(address, data)
            if enabled and not servo.enabled and servo.values[effort] > 0.15 * at_first:
                self.dropped.append((servo.id, servo.values[effort], at_first))
            return done

        return watched

    def done(self):
        """Feed the driver; whether it is to end."""
        driver, now = self.service.driver, self.port.now
        self.sequence += 1
        driver.permits.take(self.source.next(now=now).encode(), 1, now)
        running = driver.phase.value == "run"
        goal = {joint.name: 0.3 if running else joint.position for joint in driver.joints}
        driver.commands.receive(encode(self.sequence, "test", goal), now, COMMAND_TIMEOUT)
        self.moving += running
        assert self.sequence < 200, driver.report(now)
        return self.moving > 24

    def run(self, inject):
        """Run to the end, and call ``inject()`` once the arm moves; the exception, if any."""

        def done():
            ended = self.done()
            if self.moving == 12:
                inject()
            return ended

        try:
            run_to_end(self.service, done, lambda: None)
        except BaseException as error:
            return error
        finally:
            sys.setprofile(None)
        return None


def is_ours(code):
    return code.co_filename.startswith(CODE) and "/emulator/" not in code.co_filename


def calls(name, folder):
    """Every function of ours that a driver calls from when the arm moves until it has ended."""
    arm, found = EndingArm(name, folder), {}

    def hook(frame, event, arg):
        if event == "call" and is_ours(frame.f_code):
            found[frame.f_code] = None

    assert arm.run(lambda: sys.setprofile(hook)) is None
    assert arm.moving > 24
    return [code for code in found if code.co_name not in ENDS]


def check_let_down(arm, what):
    assert not any(servo.enabled for servo in arm.emulator.servos), what
    assert not arm.dropped, (what, arm.dropped)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "always"), [("so101", False), ("koch", True)], ids=["once", "for good"])
def test_an_exception_at_any_call_ends_with_the_arm_let_down(name, always, tmp_path):
    walked = 0
    for number, code in enumerate(calls(name, tmp_path)):
        if always and any(part in code.co_filename for part in LAST_RESORT):
            continue
        (tmp_path / str(number)).mkdir()
        arm = EndingArm(name, tmp_path / str(number))
        if always:
            with breaking(code) as inject:
                error = arm.run(inject)
        else:
            error = arm.run(lambda code=code: throw_once(code))
        assert error is None or isinstance(error, Injected), (code, error)
        check_let_down(arm, (name, code))
        walked += 1
    assert walked > 50


def throw_once(code):
    """Throw an exception at the next call of ``code``; Python removes a profiler that throws."""

    def hook(frame, event, arg):
        if event == "call" and frame.f_code is code:
            raise Injected(code.co_name)

    sys.setprofile(hook)


def broken(*arguments, **named):
    raise FloatingPointError


@contextlib.contextmanager
def breaking(code):
    """A function that makes every later call of ``code`` throw; afterwards it is as before."""
    functions = [
        item
        for item in gc.get_referrers(code)
        if isinstance(item, types.FunctionType) and item.__code__ is code and not code.co_freevars
    ]

    def inject():
        for function in functions:
            function.__code__ = broken.__code__

    try:
        yield inject
    finally:
        for function in functions:
            function.__code__ = code


@pytest.mark.parametrize("name", ROBOTS)
def test_a_driver_whose_cycle_fails_for_good_lets_the_arm_down(name, tmp_path):
    arm = EndingArm(name, tmp_path)
    with breaking(ServoDriver._cycle.__code__) as inject:
        assert isinstance(arm.run(inject), Injected)
    check_let_down(arm, name)


@pytest.fixture
def rig(tmp_path):
    """A running rig; 50 Hz."""
    robot = ServoRobot.load("so101").model_copy(update={"rate": 50.0, "release_s": RELEASE})
    with Rig(robot, NerfSpec.load("so101-weak"), tmp_path, margin=0.03) as new:
        new.start_supervisor()
        new.start_driver()
        assert new.wait_until_running(8.0), new.state
        yield new


def torque(rig):
    return [servo["values"]["torque_enable"] for servo in rig.bus.state().values()]


@pytest.mark.realtime
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_that_would_end_the_driver_lets_the_arm_down_first(name, rig):
    rig.driver.signal(getattr(signal, name))
    assert wait_until(lambda: not rig.driver.alive, 5.0)
    assert torque(rig) == [0] * 6
    events = [json.loads(line)["event"] for line in (rig.folder / "audit.jsonl").read_text().splitlines()]
    assert events.count("torque-off") == 6


@pytest.mark.realtime
def test_a_full_disk_stops_the_arm_and_the_driver_holds_it_until_there_is_room(rig):
    log = rig.folder / "audit.jsonl"
    here = list(rig.state["position"])
    resource.prlimit(rig.driver.pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 20, -1))
    rig.set_permit(estop=True)  # an event
    assert rig.follow(here, 3.0, lambda state: "audit-log" in state["guards"]), rig.state
    rig.set_permit(clear=rig.state["latch"])
    assert not rig.follow(here, 1.5, lambda state: state["phase"] == "run")
    assert rig.driver_alive
    assert torque(rig) == [1] * 6
    assert any(reason.startswith(f"audit-log: {log}: ") for reason in rig.state["reasons"])
    resource.prlimit(rig.driver.pid, resource.RLIMIT_FSIZE, (-1, -1))
    assert rig.follow(here, 4.0, lambda state: state["phase"] == "run"), rig.state
    verify(log)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    events = [record["event"] for record in records]
    assert events[events.index("gap") - 1 : events.index("gap") + 1] == ["repair", "gap"]
    assert "latch" in events[events.index("gap") :]


@pytest.mark.realtime
@pytest.mark.parametrize("foreign", [b"x", b"somebody's line\n"])
def test_bytes_of_somebody_else_in_the_log_do_not_end_the_driver(foreign, rig):
    log = rig.folder / "audit.jsonl"
    here = list(rig.state["position"])
    with log.open("ab") as file:
        file.write(foreign)
    rig.set_permit(estop=True)
    assert rig.follow(here, 3.0, lambda state: "audit-log" in state["guards"]), rig.state
    rig.set_permit(clear=rig.state["latch"])
    assert rig.follow(here, 4.0, lambda state: state["phase"] == "run"), rig.state
    assert rig.driver_alive
    new = rig.folder / "audit-2.jsonl"
    verify(log if foreign == b"x" else new)
    assert new.exists() == (foreign != b"x")
