"""The campaign's faults: HARDWARE.md's list as a table. Each says what happens and what must come of it.

``expect`` is ``stop`` (a guard must stop the arm), ``rest`` (nobody can write any more: the servos must come
to rest by themselves) or ``ride`` (the arm may go on; nothing may leave the envelope). ``seen`` says that the
driver sees the cause itself, so that its latency counts in bus cycles; ``allowance`` is the time-out that the
design gives a cause that is noticed by silence, s. ``target``: it befalls one servo, ``moving`` the one that
surely moves; ``pushed``: a force moves the arm, and goals stay behind. ``restart``: what it did outlasts it,
and the next trial begins with a new driver and healthy servos. ``emulated``: it cannot be made on real ones.
"""

from __future__ import annotations

import json
import math
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..bus.port import Port
from ..datagram import Mailbox, private_path
from ..driver.guards import COMMAND_TIMEOUT
from ..driver.joint_command import encode
from ..driver.service import PERMIT_SOCKET
from ..errors import BusError
from ..safety.permit import PermitSource
from .rig import PERMIT_EVERY, PERMIT_VALID

if TYPE_CHECKING:
    from .trial import Trial

Expect = Literal["stop", "rest", "ride"]
SITUATIONS = ("rest", "full speed", "near a limit", "during a lift")


@dataclass(frozen=True)
class Fault:
    """One fault. ``inject`` makes it happen and returns the time of the cause (s); ``send`` replaces the
    policy's command while it lasts.
    """

    name: str
    kind: str
    expect: Expect
    inject: Callable[[Trial], float]
    send: Callable[[Trial], None] | None = None
    seen: bool = False
    allowance: float = 0.0
    target: bool = False
    moving: bool = False
    pushed: bool = False
    restart: bool = False
    emulated: bool = False
    seconds: float = 0.3


def _now(trial: Trial) -> float:
    return time.monotonic()


# Commands: what the policy sends is changed


def _raw(trial: Trial, names: list[str], positions: list[Any]) -> None:
    trial.rig.sequence += 1
    data = {"sequence": trial.rig.sequence, "source": "rig", "names": names, "positions": positions}
    trial.rig.link.send(json.dumps(data).encode())


def _with(change: Callable[[Trial, list[str], list[Any]], tuple[list[str], list[Any]]]) -> Any:
    def send(trial: Trial) -> None:
        names, positions = change(trial, list(trial.rig.robot.names), list(trial.goal))
        _raw(trial, names, positions)

    return send


def _all(value: float) -> Any:
    return _with(lambda trial, names, positions: (names, [value] * len(names)))


def _one(trial: Trial, names: list[str], positions: list[Any]) -> tuple[list[str], list[Any]]:
    positions[trial.random.randrange(len(positions))] = math.nan
    return names, positions


COMMANDS: dict[str, tuple[Any, Expect]] = {
    "NaN": (_all(math.nan), "stop"),
    "+Inf": (_all(math.inf), "stop"),
    "-Inf": (_all(-math.inf), "stop"),
    "1e308": (_all(1e308), "stop"),
    "denormal": (_all(5e-324), "ride"),
    "NaN in one joint": (_with(_one), "stop"),
    "empty": (_with(lambda t, n, p: ([], [])), "stop"),
    "short": (_with(lambda t, n, p: (n[:-1], p[:-1])), "stop"),
    "long": (_with(lambda t, n, p: ([*n, "extra"], [*p, 0.0])), "stop"),
    "lengths differ": (_with(lambda t, n, p: (n, p[:-1])), "stop"),
    "wrong name": (_with(lambda t, n, p: (["elbow", *n[1:]], p)), "stop"),
    "duplicate name": (_with(lambda t, n, p: ([n[1], *n[1:]], p)), "stop"),
    "degrees for radians": (_with(lambda t, n, p: (n, [math.degrees(v) for v in t.far])), "stop"),
    "no JSON": (lambda t: t.rig.link.send(t.random.randbytes(60)), "stop"),
}

# Timing: when and how often it is sent


def _nothing(trial: Trial) -> None:
    pass


def _frozen(trial: Trial) -> None:
    trial.rig.link.send(encode(trial.rig.sequence, "rig", _goal(trial)))


def _backwards(trial: Trial) -> None:
    trial.back += 1
    trial.rig.link.send(encode(max(0, trial.rig.sequence - trial.back), "rig", _goal(trial)))


def _twice(trial: Trial) -> None:
    trial.rig.command(trial.goal)
    trial.rig.link.send(encode(trial.rig.sequence, "rig", _goal(trial)))


def _flood(trial: Trial) -> None:
    for _ in range(60):
        trial.rig.command(trial.goal)


def _burst_then_silence(trial: Trial) -> None:
    if not trial.burst:
        trial.burst = True
        _flood(trial)


def _stamped(stamp: float) -> Callable[[Trial], None]:
    def send(trial: Trial) -> None:
        trial.rig.sequence += 1
        data = json.loads(encode(trial.rig.sequence, "rig", _goal(trial)))
        trial.rig.link.send(json.dumps({**data, "stamp": stamp}).encode())

    return send


def _other_source(trial: Trial) -> None:
    trial.rig.command(trial.goal)
    trial.rig.command(trial.goal, "another policy")


def _goal(trial: Trial) -> dict[str, float]:
    return dict(zip(trial.rig.robot.names, trial.goal, strict=True))


TIMING: dict[str, tuple[Any, Expect, float, bool]] = {
    "stopped": (_nothing, "stop", COMMAND_TIMEOUT, False),
    "frozen repeat": (_frozen, "stop", COMMAND_TIMEOUT, False),
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


def _signal(child: str, number: int) -> Callable[[Trial], float]:
    def inject(trial: Trial) -> float:
        at = time.monotonic()
        getattr(trial.rig, child).signal(number)
        return at

    return inject


def _driver_pause(trial: Trial) -> float:
    assert trial.rig.driver is not None
    trial.rig.driver.signal(signal.SIGSTOP)
    time.sleep(0.12)
    trial.rig.driver.signal(signal.SIGCONT)
    return time.monotonic()


def _bus_hang(trial: Trial) -> float:
    at = time.monotonic()
    trial.emulated.process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    trial.emulated.process.send_signal(signal.SIGCONT)
    return at


def _policy(number: int) -> Callable[[Trial], float]:
    """The motion is handed to a policy process, which then dies or hangs."""

    def inject(trial: Trial) -> float:
        trial.rig.command(trial.goal)
        trial.rig.start_policy(trial.goal)
        time.sleep(0.13)  # the old source must have been silent for the new one to count
        at = time.monotonic()
        assert trial.rig.policy is not None
        trial.rig.policy.signal(number)
        return at

    return inject


def _second_permit(trial: Trial) -> float:
    trial.rig.impostor = PermitSource(PERMIT_VALID)
    at = time.monotonic()
    trial.rig.impersonate()
    return at


def _impersonate(trial: Trial) -> None:
    trial.rig.command(trial.goal)
    trial.rig.impersonate()


# Configuration


def _permit_now(**fields: Any) -> Callable[[Trial], float]:
    def inject(trial: Trial) -> float:
        at = time.monotonic()
        trial.rig.tell(**fields)
        return at

    return inject


def _estop_at_lift(trial: Trial) -> float:
    """A lift is asked for and an emergency stop with it: the stop must win."""
    return _permit_now(levels={"speed": 1.0, "strength": 1.0}, estop=True)(trial)


def _clear_too_early(trial: Trial) -> float:
    at = trial.emulated.fault("over_temperature", servo=trial.servo)
    time.sleep(0.05)
    trial.rig.tell(clear=int(trial.rig.look(0.02).get("latch", 0)))
    return at


# The bus


def _fault(name: str, servo: bool = False, **arguments: Any) -> Callable[[Trial], float]:
    def inject(trial: Trial) -> float:
        chosen = {"servo": trial.servo} if servo else {}
        given = {k: v(trial.random) if callable(v) else v for k, v in arguments.items()}
        return trial.emulated.fault(name, **chosen, **given)

    return inject


def _busy(trial: Trial) -> float:
    """Another program tries to open the port: the lock must keep it out."""
    at = time.monotonic()
    try:
        port = Port(trial.rig.port, trial.rig.robot.baud)
    except BusError:
        return at
    port.close()
    trial.problem = "a second program could open the port"
    return at


def _stray_client(trial: Trial) -> float:
    """Somebody sends rubbish to the permit socket."""
    path = trial.rig.folder / PERMIT_SOCKET
    rubbish = Mailbox(private_path(path))
    at = time.monotonic()
    for _ in range(5):
        rubbish.send(trial.random.randbytes(50), path)
    rubbish.close()
    return at


def _replug(trial: Trial) -> float:
    at = trial.emulated.fault("unplug")
    time.sleep(0.15)
    trial.emulated.fault("replug")
    return at


def _rng(low: float, high: float) -> Callable[[random.Random], float]:
    return lambda rng: rng.uniform(low, high)


def _command_faults() -> list[Fault]:
    return [
        Fault(name, "command", expect, _now, send, seen=expect == "stop")
        for name, (send, expect) in COMMANDS.items()
    ]


def _timing_faults() -> list[Fault]:
    return [
        Fault(name, "timing", expect, _now, send, seen, allowance)
        for name, (send, expect, allowance, seen) in TIMING.items()
    ]


def _either(low: float, high: float) -> Callable[[random.Random], float]:
    return lambda rng: rng.choice((-1, 1)) * rng.uniform(low, high)


def _row(kind: str, **usual: Any) -> Callable[..., Fault]:
    """Faults of one kind: what is usual for them may be said otherwise in a row."""

    def make(name: str, inject: Callable[[Trial], float], send: Any = None, **said: Any) -> Fault:
        return Fault(name, kind, inject=inject, send=send, **{"expect": "stop", **usual, **said})

    return make


_process, _setting, _serial = _row("process"), _row("configuration"), _row("serial")
_servo = _row("servo", target=True, emulated=True)

FAULTS: list[Fault] = [
    *_command_faults(),
    *_timing_faults(),
    _process("policy killed", _policy(signal.SIGKILL), _nothing, allowance=COMMAND_TIMEOUT),
    _process("policy hangs", _policy(signal.SIGSTOP), _nothing, allowance=COMMAND_TIMEOUT),
    _process("supervisor killed", _signal("supervisor", signal.SIGKILL), allowance=PERMIT_VALID),
    _process("supervisor hangs", _signal("supervisor", signal.SIGSTOP), allowance=PERMIT_VALID),
    _process("driver killed", _signal("driver", signal.SIGKILL), expect="rest", restart=True, seconds=0.6),
    _process("driver paused", _driver_pause, expect="ride", seconds=0.4),
    _process("bus hangs", _bus_hang, expect="ride", seconds=0.4),
    _process("two supervisors", _second_permit, _impersonate, seen=True),
    _setting("rubbish as permit", _stray_client, expect="ride"),
    _setting("lift beyond 1", _permit_now(levels={"speed": 1.0, "strength": 5.0}), allowance=PERMIT_VALID),
    _setting("emergency stop", _permit_now(estop=True), seen=True, allowance=PERMIT_EVERY),
    _setting("lift with an emergency stop", _estop_at_lift, seen=True, allowance=PERMIT_EVERY),
    _setting("permits an hour ahead", _permit_now(ahead=3600.0), allowance=PERMIT_VALID),
    _setting("permits an hour old", _permit_now(ahead=-3600.0), allowance=PERMIT_VALID),
    _setting("reset while the cause persists", _clear_too_early, seen=True, target=True, emulated=True),
    _serial("unplug and replug", _replug, expect="rest", seconds=0.6, restart=True),
    _serial("bus dead", _fault("dead"), expect="rest", seconds=0.6),
    _serial("busy port", _busy, expect="ride"),
    _serial("one servo silent", _fault("silence", True), seen=True, target=True),
    _serial("one answer lost", _fault("silence", True, count=1), expect="ride", target=True),
    _serial("corruption, all", _fault("corruption", value=3.0), seen=True),
    _serial("corruption, some", _fault("corruption", True, count=4, value=2.0), expect="ride", target=True),
    _serial("bad checksums", _fault("bad_checksum", True), seen=True, target=True),
    _serial("partial frames", _fault("partial"), seen=True),
    _serial("wrong ID", _fault("wrong_id", True), seen=True, target=True),
    _serial("late answers", _fault("late", value=_rng(0.012, 0.03)), expect="ride"),
    _serial("noise before answers", _fault("noise"), expect="ride"),
    _serial("echo", _fault("echo"), expect="ride"),
    _serial("lost sync-writes", _fault("lost_sync_write", count=4), expect="ride"),
    _serial("one lost sync-write", _fault("lost_sync_write", count=1), expect="ride"),
    _servo("duplicate ID", _fault("duplicate_id", True), seen=True, emulated=False),
    _servo("stuck", _fault("stuck", True, value=1.0), moving=True, seconds=0.8, allowance=0.45),
    _servo("encoder jumps", _fault("encoder_jump", True, value=_either(250, 900)), seen=True, restart=True),
    _servo("encoder wraps around", _fault("wrap", True), seen=True, restart=True),
    _servo("over-temperature", _fault("over_temperature", True), seen=True, restart=True),
    _servo("overload", _fault("overload", True, value=_either(0.5, 2.0)), expect="ride", pushed=True),
    _servo("under-voltage", _fault("voltage", value=2.5), seen=True, target=False),
    _servo("over-voltage", _fault("voltage", value=17.0), seen=True, target=False),
    _servo("brown-out", _fault("brown_out"), expect="rest", seconds=0.6, restart=True, target=False),
    _servo("brown-out of one", _fault("brown_out", True), seen=True, restart=True),
    _servo("limits forgotten", _fault("limits_forgotten"), expect="ride", target=False),
    _servo("torque dropped", _fault("torque_dropped", True), seen=True),
    _servo("EEPROM changed", _fault("eeprom_changed", True, value=4000.0), allowance=0.06, restart=True),
]
"""Every fault of the campaign."""


def named(name: str) -> Fault:
    """The fault called ``name``."""
    return next(fault for fault in FAULTS if fault.name == name)
