"""Every guard: a cycle in which it must speak, and the healthy cycle in which none may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nerfbot.hardware.driver import guards
from nerfbot.hardware.driver.guards import GUARDS, BusCycle, check_guards
from nerfbot.hardware.driver.joint_state import JointState
from nerfbot.hardware.safety.permit import PermitState
from nerfbot.hardware.safety.severity import Severity

VALID = PermitState("", alive=True)


def joint(**changes):
    healthy = JointState("lift", -1.0, 1.0, 5.0, 3.0, 70.0, 4.0, 8.0, temperature=30.0, voltage=7.4)
    return replace(healthy, **changes)


def cycle(joints=None, **changes):
    base = BusCycle(
        5.0, 0.01, 0.01, VALID, [joint(), joint(name="grip")], command_received=4.99, enabled=True
    )
    return replace(base, **({"joints": [joint(), joints]} if joints else {}), **changes)


SPEAKS = {
    "permit": (cycle(permit=PermitState("the permit lapsed")), "lapsed"),
    "permit-conflict": (cycle(permit=VALID._replace(conflict=True)), "two sources"),
    "estop": (cycle(permit=VALID._replace(estop=True)), "emergency stop"),
    "command-age": (cycle(command_received=4.89), "no new command"),
    "command-invalid": (cycle(command_problem="command: grip = nan"), "grip = nan"),
    "command-conflict": (cycle(command_conflict=True), "two sources"),
    "port": (cycle(port_open=False), "port is lost"),
    "port-reopened": (cycle(reopened=True), "came back"),
    "answers": (cycle(joint(name="grip", missed=2)), "grip: no answer for 2 cycles"),
    "late-answers": (cycle(late=5), "too late in 5 cycles: set the adapter's latency timer to 1 ms"),
    "strays": (cycle(strays=3), "3 stray answers"),
    "hardware-status": (
        cycle(joint(name="grip", hardware_errors=("overload",))),
        "grip: hardware error: overload",
    ),
    "temperature": (cycle(joint(name="grip", temperature=67.5)), "grip: 67.5 degC is above 67"),
    "voltage": (cycle(joint(name="grip", voltage=3.9)), "grip: 3.9 V is outside 4 to 8"),
    "torque-dropped": (cycle(joint(name="grip", torque_on=False)), "grip: its torque went off"),
    "bus-watchdog": (cycle(joint(name="grip", watchdog_fired=True)), "grip: its bus watchdog"),
    "registers-held": (
        cycle(joint(name="grip", mismatches=2, mismatch="torque_limit = 9")),
        "torque_limit = 9",
    ),
    "eeprom": (cycle(joint(name="grip", eeprom_mismatch="position_p = 9")), "grip: position_p = 9"),
    "foreign-goal": (cycle(joint(name="grip", foreign_goal="goal_position = 9")), "grip: goal_position = 9"),
    "range": (cycle(joint(name="grip", position=1.09)), "grip: measured at 1.090"),
    "encoder-jump": (
        cycle(joint(name="grip", displacement=0.21, max_displacement=0.2)),
        "grip: jumped by 0.210",
    ),
    "stuck": (cycle(joint(name="grip", goal_error=0.2, blocked_for=0.3)), "grip: stuck 0.200"),
    "pause": (cycle(gap=0.031), "a pause of 0.031 s"),
    "audit-log": (cycle(log_problem="audit.jsonl: No space left on device"), "No space left"),
    "envelope-frozen": (cycle(envelope_intact=False), "not the one"),
}

# Just inside what each guard allows.
SILENT = {
    "command-age": cycle(command_received=4.9),
    "answers": cycle(joint(name="grip", missed=1)),
    "late-answers": cycle(late=4),
    "strays": cycle(strays=2),
    "temperature": cycle(joint(name="grip", temperature=67.0)),
    "voltage": cycle(joint(name="grip", voltage=4.0)),
    "registers-held": cycle(joint(name="grip", mismatches=1, mismatch="torque_limit = 9")),
    "range": cycle(joint(name="grip", position=1.07)),
    "encoder-jump": cycle(joint(name="grip", displacement=0.199, max_displacement=0.2)),
    "stuck": cycle(joint(name="grip", goal_error=0.2, blocked_for=0.25)),
    "contact": cycle(joint(name="grip", goal_error=0.2, blocked_for=1.0, pressing_for=1.0)),
    "a grip": cycle(joint(name="grip", blocked_for=60.0, pressing_for=60.0, is_gripper=True)),
    "pause": cycle(gap=0.03),
    "torque-dropped": cycle(joint(name="grip", torque_on=False), enabled=False),
    "healthy": cycle(),
}


def test_every_guard_has_a_cycle_here():
    assert list(SPEAKS) == [guard.name for guard in GUARDS]


@pytest.mark.parametrize("name", SPEAKS)
def test_a_guard_speaks_in_its_cycle_and_is_the_only_one(name):
    speaking = check_guards(SPEAKS[name][0])
    assert [guard.name for guard, _ in speaking] == [name]
    assert SPEAKS[name][1] in speaking[0][1]


@pytest.mark.parametrize("name", SILENT)
def test_just_inside_what_is_allowed_no_guard_speaks(name):
    assert check_guards(SILENT[name]) == []


@pytest.mark.parametrize("name", SPEAKS)
def test_without_the_guard_its_cycle_would_pass(name, monkeypatch):
    monkeypatch.setattr(guards, "GUARDS", [guard for guard in GUARDS if guard.name != name])
    assert check_guards(SPEAKS[name][0]) == []


def test_what_a_human_must_look_at_is_latched():
    latched = {guard.name for guard in GUARDS if guard.severity is Severity.LATCH}
    assert {"estop", "permit-conflict", "hardware-status", "temperature", "encoder-jump"} <= latched
    assert not latched & {"permit", "command-age", "command-invalid", "answers"}


def test_a_joint_with_torque_may_move_less_far_than_its_motor_could_turn_it():
    powered, loose = joint(torque_on=True), joint(torque_on=False)
    assert powered.reach(0.02) == pytest.approx(1.5 * 3.0 * 0.02 + 0.15)
    assert loose.reach(0.02) == pytest.approx(5.0 * 0.02 + 0.15)
    assert joint(speed_limit=30.0).reach(0.02) == pytest.approx(5.0 * 0.02 + 0.15)
