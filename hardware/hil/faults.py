"""The campaign's faults as a table: what happens, and what must come of it (see `Fault`)."""

from __future__ import annotations

import json
import math
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from ..bus.port import Port
from ..datagram import Mailbox, private_path
from ..driver.guards import COMMAND_TIMEOUT, CONTACT_TIME
from ..driver.joint_command import encode
from ..driver.service import PERMIT_SOCKET
from ..errors import BusError
from ..safety.permit import PermitSource
from .fault import Expect, Fault, FaultContext
from .rig import PERMIT_PERIOD, PERMIT_VALID

Send = Callable[[FaultContext], Any]
Inject = Callable[[FaultContext], float]

LIFTED = {"speed": 1.0, "strength": 1.0}
SITUATIONS = ("rest", "full speed", "near a limit", "during a lift")


def _now(context: FaultContext) -> float:
    return time.monotonic()


# Commands: what the policy sends is changed


def _changed(change: Callable[[FaultContext, list[str], list[Any]], tuple[list[str], list[Any]]]) -> Send:
    def send(context: FaultContext) -> None:
        rig = context.rig
        names, positions = change(context, list(rig.robot.names), list(context.goal))
        rig.client.sequence += 1
        data = {"sequence": rig.client.sequence, "source": "rig", "names": names, "positions": positions}
        rig.client.send(json.dumps(data).encode())

    return send


def _all(value: float) -> Send:
    return _changed(lambda context, names, positions: (names, [value] * len(names)))


def _one_nan(context: FaultContext, names: list[str], positions: list[Any]) -> tuple[list[str], list[Any]]:
    positions[context.rng.randrange(len(positions))] = math.nan
    return names, positions


COMMANDS: dict[str, tuple[Send, Expect]] = {
    "NaN": (_all(math.nan), "stop"),
    "+Inf": (_all(math.inf), "stop"),
    "-Inf": (_all(-math.inf), "stop"),
    "1e308": (_all(1e308), "stop"),
    "denormal": (_all(5e-324), "ride"),
    "NaN in one joint": (_changed(_one_nan), "stop"),
    "empty": (_changed(lambda c, n, p: ([], [])), "stop"),
    "short": (_changed(lambda c, n, p: (n[:-1], p[:-1])), "stop"),
    "long": (_changed(lambda c, n, p: ([*n, "extra"], [*p, 0.0])), "stop"),
    "lengths differ": (_changed(lambda c, n, p: (n, p[:-1])), "stop"),
    "wrong name": (_changed(lambda c, n, p: (["elbow", *n[1:]], p)), "stop"),
    "duplicate name": (_changed(lambda c, n, p: ([n[1], *n[1:]], p)), "stop"),
    "degrees for radians": (_changed(lambda c, n, p: (n, [math.degrees(v) for v in c.far_goal])), "stop"),
    "no JSON": (lambda c: c.rig.client.send(c.rng.randbytes(60)), "stop"),
}

# Timing: when and how often it is sent


def _nothing(context: FaultContext) -> None:
    pass


def _resend(context: FaultContext, back: int = 0) -> None:
    """Send the goal with the number of the last command, or of one ``back`` commands ago."""
    sequence = max(0, context.rig.client.sequence - back)
    context.rig.client.send(encode(sequence, "rig", context.named_goal()))


def _backwards(context: FaultContext) -> None:
    context.steps_back += 1
    _resend(context, context.steps_back)


def _twice(context: FaultContext) -> None:
    context.rig.command(context.goal)
    _resend(context)


def _flood(context: FaultContext) -> None:
    for _ in range(60):
        context.rig.command(context.goal)


def _burst_then_silence(context: FaultContext) -> None:
    if not context.flooded:
        context.flooded = True
        _flood(context)


def _stamped(stamp: float) -> Send:
    def send(context: FaultContext) -> None:
        client = context.rig.client
        client.sequence += 1
        data = json.loads(encode(client.sequence, "rig", context.named_goal()))
        client.send(json.dumps({**data, "stamp": stamp}).encode())

    return send


def _other_source(context: FaultContext) -> None:
    context.rig.command(context.goal)
    context.rig.command(context.goal, "another policy")


TIMING: dict[str, tuple[Send, Expect, float, bool]] = {
    "stopped": (_nothing, "stop", COMMAND_TIMEOUT, False),
    "frozen repeat": (_resend, "stop", COMMAND_TIMEOUT, False),
    "out of order": (_backwards, "stop", COMMAND_TIMEOUT, False),
    "burst, then silence": (_burst_then_silence, "stop", COMMAND_TIMEOUT, False),
    "duplicate": (_twice, "ride", 0.0, False),
    "flood": (_flood, "ride", 0.0, False),
    "zero stamp": (_stamped(0.0), "ride", 0.0, False),
    "stamp an hour ahead": (_stamped(time.time() + 3600.0), "ride", 0.0, False),
    "stamp an hour back": (_stamped(time.time() - 3600.0), "ride", 0.0, False),
    "two policies": (_other_source, "stop", 0.0, True),
}

# Processes


def _signal(child: str, number: int) -> Inject:
    def inject(context: FaultContext) -> float:
        at = time.monotonic()
        getattr(context.rig, child).signal(number)
        return at

    return inject


def _driver_pause(context: FaultContext) -> float:
    assert context.rig.driver is not None
    context.rig.driver.signal(signal.SIGSTOP)
    time.sleep(0.12)
    context.rig.driver.signal(signal.SIGCONT)
    return time.monotonic()


def _bus_hang(context: FaultContext) -> float:
    at = time.monotonic()
    context.bus.process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    context.bus.process.send_signal(signal.SIGCONT)
    return at


def _policy(number: int) -> Inject:
    """A policy process takes the motion over, and then dies or hangs."""

    def inject(context: FaultContext) -> float:
        context.rig.command(context.goal)
        context.rig.start_policy(context.goal)
        time.sleep(0.13)  # the driver accepts a new source once the old one has been silent
        at = time.monotonic()
        assert context.rig.policy is not None
        context.rig.policy.signal(number)
        return at

    return inject


def _second_permit(context: FaultContext) -> float:
    context.rig.impostor = PermitSource(PERMIT_VALID)
    at = time.monotonic()
    context.rig.impersonate()
    return at


def _impersonate(context: FaultContext) -> None:
    context.rig.command(context.goal)
    context.rig.impersonate()


# Configuration


def _permit_now(**fields: Any) -> Inject:
    def inject(context: FaultContext) -> float:
        at = time.monotonic()
        context.rig.set_permit(**fields)
        return at

    return inject


_estop_and_lift = _permit_now(levels=LIFTED, estop=True)  # the stop must win


def _clear_early(context: FaultContext) -> float:
    at = context.bus.fault("over_temperature", servo=context.servo)
    time.sleep(0.05)
    context.rig.set_permit(clear=int(context.rig.update(0.02).get("latch", 0)))
    return at


# The bus


def _fault(name: str, servo: bool = False, **arguments: Any) -> Inject:
    """Inject the emulator's fault ``name``; an argument may be a function of the random numbers."""

    def inject(context: FaultContext) -> float:
        target = {"servo": context.servo} if servo else {}
        drawn = {k: v(context.rng) if callable(v) else v for k, v in arguments.items()}
        return context.bus.fault(name, **target, **drawn)

    return inject


def _busy(context: FaultContext) -> float:
    """Another program tries to open the port: the lock must keep it out."""
    at = time.monotonic()
    try:
        port = Port(context.rig.port, context.rig.robot.baud)
    except BusError:
        return at
    port.close()
    context.problem = "a second program could open the port"
    return at


def _rubbish_permits(context: FaultContext) -> float:
    path = context.rig.folder / PERMIT_SOCKET
    sender = Mailbox(private_path(path))
    at = time.monotonic()
    for _ in range(5):
        sender.send(context.rng.randbytes(50), path)
    sender.close()
    return at


def _replug(context: FaultContext) -> float:
    at = context.bus.fault("unplug")
    time.sleep(0.15)
    context.bus.fault("replug")
    return at


def _uniform(low: float, high: float) -> Callable[[random.Random], float]:
    return lambda rng: rng.uniform(low, high)


def _signed(low: float, high: float) -> Callable[[random.Random], float]:
    return lambda rng: rng.choice((-1, 1)) * rng.uniform(low, high)


def _row(kind: str, **defaults: Any) -> Callable[..., Fault]:
    """A function that makes faults of one kind; a row may override its defaults."""

    def make(name: str, inject: Inject, send: Send | None = None, **fields: Any) -> Fault:
        return Fault(name, kind, inject=inject, send=send, **{"expect": "stop", **defaults, **fields})

    return make


_process, _configuration, _serial = _row("process"), _row("configuration"), _row("serial")
_servo = _row("servo", target=True, emulated=True)

FAULTS: list[Fault] = [
    *(
        Fault(name, "command", expect, _now, send, visible=expect == "stop")
        for name, (send, expect) in COMMANDS.items()
    ),
    *(
        Fault(name, "timing", expect, _now, send, visible, allowance)
        for name, (send, expect, allowance, visible) in TIMING.items()
    ),
    _process("policy killed", _policy(signal.SIGKILL), _nothing, allowance=COMMAND_TIMEOUT),
    _process("policy hangs", _policy(signal.SIGSTOP), _nothing, allowance=COMMAND_TIMEOUT),
    _process("supervisor killed", _signal("supervisor", signal.SIGKILL), allowance=PERMIT_VALID),
    _process("supervisor hangs", _signal("supervisor", signal.SIGSTOP), allowance=PERMIT_VALID),
    _process("driver killed", _signal("driver", signal.SIGKILL), expect="rest", restart=True, seconds=0.6),
    _process("driver paused", _driver_pause, expect="ride", seconds=0.4),
    _process("bus hangs", _bus_hang, expect="ride", seconds=0.4),
    _process("two supervisors", _second_permit, _impersonate, visible=True),
    _configuration("rubbish as permit", _rubbish_permits, expect="ride"),
    _configuration("lift beyond 1", _permit_now(levels={**LIFTED, "strength": 5.0}), allowance=PERMIT_VALID),
    _configuration("emergency stop", _permit_now(estop=True), visible=True, allowance=PERMIT_PERIOD),
    _configuration("lift with an emergency stop", _estop_and_lift, visible=True, allowance=PERMIT_PERIOD),
    _configuration("permits an hour ahead", _permit_now(ahead=3600.0), allowance=PERMIT_VALID),
    _configuration("permits an hour old", _permit_now(ahead=-3600.0), allowance=PERMIT_VALID),
    _configuration("reset while the cause persists", _clear_early, visible=True, target=True, emulated=True),
    _serial("unplug and replug", _replug, expect="rest", seconds=0.6, restart=True),
    _serial("bus dead", _fault("dead"), expect="rest", seconds=0.6),
    _serial("busy port", _busy, expect="ride"),
    _serial("one servo silent", _fault("silence", True), visible=True, target=True),
    _serial("one answer lost", _fault("silence", True, count=1), expect="ride", target=True),
    _serial("corruption, all", _fault("corruption", value=3.0), visible=True),
    _serial("corruption, some", _fault("corruption", True, count=4, value=2.0), expect="ride", target=True),
    _serial("bad checksums", _fault("bad_checksum", True), visible=True, target=True),
    _serial("partial frames", _fault("partial"), visible=True),
    _serial("wrong ID", _fault("wrong_id", True), visible=True, target=True),
    _serial("late answers", _fault("late", value=_uniform(0.012, 0.03)), expect="ride"),
    _serial("noise before answers", _fault("noise"), expect="ride"),
    _serial("echo", _fault("echo"), expect="ride"),
    _serial("lost sync-writes", _fault("lost_sync_write", count=4), expect="ride"),
    _serial("one lost sync-write", _fault("lost_sync_write", count=1), expect="ride"),
    _servo("duplicate ID", _fault("duplicate_id", True), visible=True, emulated=False),
    _servo(
        "stuck",
        _fault("stuck", True, value=1.0),
        moving=True,
        seconds=CONTACT_TIME + 0.6,
        allowance=CONTACT_TIME + 0.2,
    ),
    _servo(
        "encoder jumps", _fault("encoder_jump", True, value=_signed(250, 900)), visible=True, restart=True
    ),
    _servo("encoder wraps around", _fault("wrap", True), visible=True, restart=True),
    _servo("over-temperature", _fault("over_temperature", True), visible=True, restart=True),
    _servo("overload", _fault("overload", True, value=_signed(0.5, 2.0)), expect="ride", pushed=True),
    _servo("under-voltage", _fault("voltage", value=2.5), visible=True, target=False),
    _servo("over-voltage", _fault("voltage", value=17.0), visible=True, target=False),
    _servo("brown-out", _fault("brown_out"), expect="rest", seconds=0.6, restart=True, target=False),
    _servo("brown-out of one", _fault("brown_out", True), visible=True, restart=True),
    _servo("limits forgotten", _fault("limits_forgotten"), expect="ride", target=False),
    _servo("torque dropped", _fault("torque_dropped", True), visible=True),
    _servo("EEPROM changed", _fault("eeprom_changed", True, value=4000.0), allowance=0.06, restart=True),
]
"""Every fault of the campaign."""


def fault_named(name: str) -> Fault:
    """The fault called ``name``."""
    return next(fault for fault in FAULTS if fault.name == name)
