"""What stops the arm, and what clears it: the table of guards, walked in lockstep."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest

from nerfbot.hardware.driver.guards import COMMAND_TIMEOUT, GUARDS, Clears
from nerfbot.hardware.driver.joint_command import encode
from nerfbot.hardware.driver.report import Phase
from nerfbot.hardware.robot import ServoRobot
from nerfbot.hardware.safety.permit import PermitSource
from nerfbot.hardware.safety.severity import Severity
from nerfbot.limits import NerfSpec
from tests.hardware.lockstep import LockstepArm, lame

ROBOTS = ("so101", "koch")
RELEASE = 0.3
ID = 2  # the shoulder, which gravity pulls
BOUNDS = dict.fromkeys(Clears, 0.5) | {Clears.SERVICE: RELEASE + 1.0}
"""How long clearing may take, s: docs/hardware.md states it."""


def make(name):
    """A running arm that is let down in `RELEASE`."""
    robot = ServoRobot.load(name).model_copy(update={"release_s": RELEASE})
    arm = LockstepArm(robot, NerfSpec.load(f"{name}-weak"))
    assert until(arm, lambda: arm.state["phase"] == "run", 1.0), arm.state
    return arm


def until(arm, done, seconds, each=lambda: None):
    """Let the arm stay where it is until ``done()``, at most ``seconds``; whether it came to that."""
    end = arm.port.now + seconds
    while arm.port.now < end:
        each()
        if arm.state.get("phase") != "run":
            arm.actuate(arm.state["position"])
        arm.read()
        if done():
            return True
    return False


def running(arm):
    """Whether the arm follows commands, with torque everywhere."""
    on = all(servo.values["torque_enable"] == 1 for servo in arm.emulator.servos)
    return arm.state["phase"] == "run" and not arm.state["latched"] and on


def servo(arm):
    return arm.emulator.servos[ID - 1]


def fault(name, **more):
    def hit(arm):
        arm.emulator.do({"do": "fault", "name": name, "servo": ID, **more})

    return hit


def relieve(arm):
    """The cause goes: nothing acts on line or servos any more, and what was hot has cooled."""
    arm.emulator.line.faults.clear()
    for each in arm.emulator.servos:
        each.relieve()
        each.motor.temperature = 25.0


def late(arm):
    arm.emulator.do({"do": "fault", "name": "late", "value": 0.013})


def overload(arm):
    servo(arm).latched |= 1 << 5
    servo(arm)._overload_since = -9.0


def set_fields(**fields):
    def change(arm):
        for name, value in fields.items():
            setattr(arm, name, value)

    return change


def impostor(arm):
    """A second supervisor speaks once."""
    arm.driver.permits.take(PermitSource(0.05).next(now=arm.port.now).encode(), 2, arm.port.now)


def bad_command(arm):
    arm.driver.commands.receive(b"{}", arm.port.now, COMMAND_TIMEOUT)


def second_policy(arm):
    command = encode(1, "another", dict.fromkeys(arm.robot.names, 0.0))
    arm.driver.commands.receive(command, arm.port.now, COMMAND_TIMEOUT)


def unplug(arm):
    arm.driver.bus.port.close()
    arm.driver.bus.port._next_try = math.inf


def replug(arm):
    arm.driver.bus.port._next_try = 0.0


def unplug_briefly(arm):
    arm.driver.bus.port.close()


def fire_watchdog(arm):
    servo(arm).values["bus_watchdog"] = -1


def spoil(arm):
    """The servo no longer takes one of its limits."""
    write, name = servo(arm).write, servo(arm).model.limits["effort"].ram

    def spoilt(address, data):
        done = write(address, data)
        servo(arm).values[name] = 3
        return done

    servo(arm).write = spoilt


def unspoil(arm):
    del servo(arm).write


def creep(arm):
    """The encoder creeps out of the joint's range, with no jump."""
    outside = arm.state["position"][ID - 1] > arm.driver.joints[ID - 1].high + 0.1
    servo(arm).encoder_offset += 0 if outside else 80


def creep_back(arm):
    servo(arm).encoder_offset -= min(80, servo(arm).encoder_offset)


def lame_on_its_way(arm):
    lame(servo(arm))
    servo(arm).motor.stuck = True  # or the arm would sink
    arm.actuate([0.5] * 6)


def mended(arm):
    del servo(arm)._command
    relieve(arm)


def full_disk(arm):
    arm.driver.log_problem = "audit.jsonl: No space left on device"


def room(arm):
    arm.driver.log_problem = ""


def widen(arm):
    limits = arm.driver._envelope.channels["shoulder_pan"]
    arm.driver._envelope.channels["shoulder_pan"] = limits.model_copy(update={"max_velocity": 99.0})


def intrude(arm):
    """Another program on the port sends the servo elsewhere, once in every cycle."""
    goal = servo(arm).counts + 300
    bus = arm.driver.bus
    block = bus.block_of(ID, {"goal_position": goal})
    arm.emulator.receive(bus.protocol.write(ID, *block), arm.port.now)
    arm.emulator.pop_output(arm.port.now + 1.0)  # the answer goes to that program


@dataclass
class Cause:
    """What makes a guard stop the arm, at once and in every cycle, and what ends it, likewise."""

    hit: object
    end: object = relieve
    each: object = lambda arm: None
    back: object = lambda arm: None
    persists: bool = True
    """Whether it lasts until `end`; else it has happened once."""


CAUSES = {
    "permit": Cause(set_fields(permits=False), set_fields(permits=True)),
    "permit-conflict": Cause(impostor, each=impostor),
    "estop": Cause(set_fields(stop="estop: test"), set_fields(stop="")),
    "command-age": Cause(set_fields(commands=False), set_fields(commands=True)),
    "command-invalid": Cause(bad_command, each=bad_command),
    "command-conflict": Cause(second_policy, each=second_policy),
    "port": Cause(unplug, replug),
    "port-reopened": Cause(unplug_briefly, persists=False),
    "answers": Cause(fault("silence")),
    "late-answers": Cause(late),
    "strays": Cause(fault("duplicate_id")),
    "hardware-status": Cause(overload, persists=False),
    "temperature": Cause(fault("over_temperature")),
    "voltage": Cause(fault("voltage", value=2.5)),
    "torque-dropped": Cause(fault("torque_dropped"), persists=False),
    "bus-watchdog": Cause(fire_watchdog, persists=False),
    "registers-held": Cause(spoil, unspoil),
    "eeprom": Cause(fault("eeprom_changed", value=4000), persists=False),
    "foreign-goal": Cause(intrude, each=intrude),
    "range": Cause(creep, each=creep, back=creep_back),
    "encoder-jump": Cause(fault("encoder_jump", value=300), persists=False),
    "stuck": Cause(lame_on_its_way, mended, persists=False),
    "pause": Cause(lambda arm: arm.port.wait(arm.port.now + 0.05), persists=False),
    "audit-log": Cause(full_disk, room),
    "envelope-frozen": Cause(widen),
}
WALK = [
    (robot, guard)
    for robot, guard in itertools.product(ROBOTS, GUARDS)
    if (robot, guard.name) != ("so101", "bus-watchdog")  # a Feetech has none
]


def test_every_guard_has_its_cause_here():
    assert list(CAUSES) == [guard.name for guard in GUARDS]


@pytest.mark.parametrize(("name", "guard"), WALK, ids=[f"{name} {guard.name}" for name, guard in WALK])
def test_what_the_table_says_clears_a_guard_clears_it_in_time_and_nothing_else_does(name, guard):
    arm, cause = make(name), CAUSES[guard.name]
    spoke = []

    def each():
        cause.each(arm)
        spoke.extend(arm.state["guards"])

    cause.hit(arm)
    until(arm, lambda: False, 0.4, each)
    assert guard.name in spoke, arm.state
    assert bool(arm.state["latched"]) == (guard.severity is Severity.LATCH)
    arm.clearing = cause.persists
    if cause.persists:
        assert not until(arm, lambda: running(arm), 0.3, lambda: cause.each(arm)), "the cause persists"
    arm.clearing = False
    cause.end(arm)
    cleared = until(arm, lambda: running(arm), 0.6, lambda: cause.back(arm))
    assert cleared == (guard.clears is Clears.ITSELF), "a latch waits for its permit"
    arm.clearing = True
    own_error = name == "koch" and "hardware-status" in spoke  # a Dynamixel keeps it
    bound = BOUNDS[Clears.SERVICE if own_error else guard.clears]
    cleared = until(arm, lambda: running(arm), bound, lambda: cause.back(arm))
    assert cleared == (guard.clears is not Clears.RESTART), arm.state
    if cleared:
        follows(arm)


def follows(arm):
    """The arm is as it was: it goes where it is told."""
    position = list(arm.state["position"])
    goal = [position[0] + 0.3, *position[1:]]
    for _ in range(80):
        arm.actuate(goal)
        arm.read()
    assert arm.state["phase"] == "run", arm.state
    assert arm.state["position"][0] == pytest.approx(goal[0], abs=0.05)


def test_a_latch_stays_while_another_stop_holds():
    arm = make("so101")
    fault("encoder_jump", value=300)(arm)
    until(arm, lambda: False, 0.4)
    arm.clearing = True
    assert not until(arm, lambda: not arm.state["latched"], 0.4, lambda: bad_command(arm))
    assert until(arm, lambda: running(arm), 0.5)


def test_a_log_that_raises_stops_the_arm_and_ends_nothing():
    arm = make("so101")

    def log(event, **details):
        raise ValueError("no log")

    arm.driver._log = log
    fault("encoder_jump", value=300)(arm)
    until(arm, lambda: False, 0.3)
    assert "audit-log: ValueError: no log" in arm.state["reasons"]


def brown_out(arm):
    servo(arm).power_on(arm.port.now)


def brown_out_of_all(arm):
    for each in arm.emulator.servos:
        each.power_on(arm.port.now)


def silence(arm):
    arm.port.wait(arm.port.now + 0.15)


EVENTS = {
    "brown-out of one": brown_out,
    "brown-out of all": brown_out_of_all,
    "torque dropped": fault("torque_dropped"),
    "bus silent for 0.15 s": silence,
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", ROBOTS)
def test_torque_returns_with_the_permit_where_the_joint_stands_and_the_others_keep_theirs(name, event):
    arm = make(name)
    EVENTS[event](arm)
    until(arm, lambda: False, 1.0)
    kept = [each for each in arm.emulator.servos if each.enabled]
    lost = [each for each in arm.emulator.servos if not each.enabled]
    assert bool(lost) == (event != "bus silent for 0.15 s")
    assert arm.state["recovery"] == ("ready" if arm.state["latched"] else "")

    def by_hand():
        for each in lost:
            each.motor.angle -= 0.01

    until(arm, lambda: False, 0.3, by_hand)
    until(arm, lambda: False, 0.3)
    before = [each.motor.angle for each in arm.emulator.servos]
    arm.clearing, leads = True, []

    def look():
        leads.extend(each.values["goal_position"] - each.counts for each in lost if each.enabled)

    assert until(arm, lambda: running(arm) and all(each.enabled for each in kept), 0.5, look), arm.state
    assert all(abs(lead) < 40 for lead in leads)
    until(arm, lambda: False, 0.3)
    after = [each.motor.angle for each in arm.emulator.servos]
    assert after == pytest.approx(before, abs=0.06)
    assert arm.state["phase"] == "run"


def test_while_one_servo_recovers_the_others_hold():
    arm = make("so101")
    brown_out(arm)
    until(arm, lambda: False, 0.6)
    others, written = [each for each in arm.emulator.servos if each is not servo(arm)], []
    for each in others:
        each.write = recorded(each, written)
    arm.clearing = True
    assert until(arm, lambda: running(arm), 0.5)
    assert written
    assert "torque_enable" not in written


def recorded(each, names):
    """The servo's `write`, which adds the names of what is written to ``names``."""
    write = each.write

    def record(address, data):
        names.extend(register.name for register in each.model.registers_in(address, len(data)))
        return write(address, data)

    return record


def test_an_operator_is_told_what_to_do():
    arm = make("so101")
    fault("over_temperature")(arm)
    until(arm, lambda: False, 1.0)
    assert arm.state["recovery"] == "operator"
    assert any("shoulder_lift: " in each and "let it cool" in each for each in arm.state["needs"])
    relieve(arm)
    until(arm, lambda: False, 0.3)
    assert (arm.state["recovery"], arm.state["needs"]) == ("ready", [])


def test_eeprom_that_changes_what_registers_mean_is_for_an_operator():
    arm = make("koch")
    arm.emulator.servos[ID - 1].values["drive_mode"] = 4
    arm.clearing = True
    assert not until(arm, lambda: False, 1.0)
    assert arm.state["latched"]
    assert arm.state["latch"] == 1
    assert any("drive_mode = 4" in each for each in arm.state["needs"]), arm.state


def effort(each):
    return each.values[each.model.limits["effort"].ram]


BEFORE_LET_DOWN = EVENTS | {
    "healthy": lambda arm: None,
    "overload": overload,
    "EEPROM changed": fault("eeprom_changed", value=4000),
    "emergency stop": set_fields(stop="estop: test"),
    "port unplugged": unplug,
}


def let_down(arm):
    """From now on the driver has to let the arm down."""
    arm.permits = arm.commands = False
    arm.driver.permits.withdraw()
    arm.driver.hold_s = 0.0


def test_a_let_down_ends_only_when_every_servo_says_that_its_torque_is_off():
    arm = make("so101")
    fault("silence")(arm)
    let_down(arm)
    assert not until(arm, lambda: arm.driver.phase is Phase.OFF, 2.0)
    assert [each.id for each in arm.emulator.servos if each.enabled] == [ID]
    relieve(arm)
    assert until(arm, lambda: arm.driver.phase is Phase.OFF, 0.5)
    assert not servo(arm).enabled


@pytest.mark.parametrize("waiting", [0.0, 0.4])
@pytest.mark.parametrize("event", BEFORE_LET_DOWN)
@pytest.mark.parametrize("name", ROBOTS)
def test_an_arm_is_let_down_slowly_from_every_state(name, event, waiting):
    arm = make(name)
    BEFORE_LET_DOWN[event](arm)
    until(arm, lambda: False, waiting)
    let_down(arm)
    with_torque = [each for each in arm.emulator.servos if each.enabled]
    full = [effort(each) for each in arm.emulator.servos]
    dropped = []

    def look():
        if arm.state["phase"] == "release":
            replug(arm)
        for each, at_first in zip(arm.emulator.servos, full, strict=True):
            if each in with_torque and not each.enabled and not each.latched:
                with_torque.remove(each)
                if effort(each) > 0.15 * at_first:
                    dropped.append((each.id, effort(each), at_first))

    assert until(arm, lambda: arm.driver.phase is Phase.OFF, 2.0, look), arm.state
    look()
    assert not any(each.enabled for each in arm.emulator.servos)
    assert not dropped
