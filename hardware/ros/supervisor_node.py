"""The supervisor: gives the permit, reads raw sensors, and can always stop the robot.

What it decides is in `oversight`; this is the node around it: topics, services, sockets, the heartbeat.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.qos import QoSProfile, QoSReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import BatteryState, JointState, Temperature
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger

from nerfbot.course import Course
from nerfbot.errors import AuditLogError

from ..datagram import Mailbox, private_path
from ..errors import InvalidSetup
from ..safety.localisation import Odometry, Pose
from ..safety.requests import Request, RequestDesk
from ..safety.severity import Severity
from ..safety.supervision import Oversight
from .base_node import STATE_QOS, ChainNode, run
from .callback_budget import Ration, newest
from .command_messages import COMMAND_TYPES
from .parameters import Parameter, channels_of
from .sensor_messages import yaw

_NAMES = (
    "autostart",
    "command_type",
    "channels",
    "command_mode",
    "use_odometry",
    "supervisor_socket",
    "priority",
)


SILENT = 1.0
"""Seconds without a command after which nobody asks for anything."""

PROBE_SPEED = 0.05
"""Speed in m/s from which a probe of the robot's own time-out tells something."""


class Watch(NamedTuple):
    """A raw reading with a threshold: message, topic, the reading, whether above it is bad, and how bad."""

    message: Any
    topic: str
    read: Any
    above: bool
    severity: Severity


WATCHES: dict[str, Watch] = {
    "min_voltage": Watch(BatteryState, "battery_state", lambda m: m.voltage, False, Severity.NO_LIFT),
    "max_temperature": Watch(Temperature, "temperature", lambda m: m.temperature, True, Severity.STOP),
    "max_load": Watch(
        JointState, "joint_states", lambda m: max(map(abs, m.effort), default=0.0), True, Severity.NO_LIFT
    ),
}
"""By the parameter that is the threshold; 0 leaves a reading unwatched (hard limits are the gate's)."""


class Supervisor(ChainNode):
    """Permits by a Unix socket to each of `permit_sockets`; requests at `supervisor_socket`."""

    OWN = (
        Parameter("permit_sockets", [""], "", "where permits go: a path for each reader"),
        Parameter("permit_period", 0.05, "s", "time between permits", 0.005, 1.0),
        Parameter("permit_valid", 0.2, "s", "how long a permit holds", 0.01, 2.0),
        Parameter("state_folder", "", "", "where the latch and the audit log are kept"),
        Parameter("course", "gauntlet", "", "a course's name or path: its lift zones allow leases"),
        Parameter("max_lease", 30.0, "s", "longest lease", 0.0, 600.0, True),
        Parameter("max_speed", 1.5, "m/s", "more is a jump or a runaway", 0.0, 20.0, True),
        Parameter("drift", 0.02, "m/m", "uncertainty of the odometry by distance", 0.0, 1.0),
        Parameter("odometry_timeout", 0.5, "s", "silence after which it stops", 0.0, 5.0, True),
        Parameter("tracking_tolerance", 0.5, "m/s", "difference of told and measured speed", 0.0, 20.0, True),
        Parameter("backstop", "", "", "what stops the robot when the gate dies; empty: lifts are refused"),
        Parameter("origin_at_start", False, "", "set the origin with the first odometry (simulation)"),
        Parameter("min_voltage", 0.0, "V", "below it no lift; 0: not watched", 0.0, 1000.0),
        Parameter("max_temperature", 0.0, "degC", "above it a stop; 0: not watched", 0.0, 500.0),
        Parameter("max_load", 0.0, "N·m", "joint effort above which no lift; 0: not watched", 0.0, 1e4),
    )

    def __init__(self) -> None:
        super().__init__("supervisor")

    def tables(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """The common parameters that concern it, and its own."""
        from .parameters import COMMON

        return (*(item for item in COMMON if item.name in _NAMES), *self.OWN)

    def configure(self) -> None:
        """Open the state, the sockets and the topics."""
        values = self.values
        if not values["state_folder"]:
            raise InvalidSetup("state_folder: is required: the latch and the audit log are kept there")
        if not values["supervisor_socket"]:
            raise InvalidSetup("supervisor_socket: is required: operators ask there")
        if values["permit_valid"] < 2.0 * values["permit_period"]:
            raise InvalidSetup(f"permit_valid = {values['permit_valid']}: must be at least two permit_period")
        course = Course.load(values["course"])
        odometry = Odometry(values["max_speed"], values["drift"], values["odometry_timeout"])
        self.oversight = Oversight(
            course,
            Path(values["state_folder"]),
            values["permit_valid"],
            odometry,
            values["max_lease"],
            values["backstop"],
        )
        self._desk = RequestDesk(values["supervisor_socket"])
        self._permits = Mailbox(private_path(values["supervisor_socket"]))
        self._lift = self.create_publisher(Float64MultiArray, "lift", STATE_QOS)
        self._lease = self.create_publisher(Float64MultiArray, "lease", STATE_QOS)
        self._estop = self.create_publisher(Bool, "estop", STATE_QOS)
        self._audit = self.create_publisher(String, "audit", 100)
        self.oversight.audit.listener = lambda event: self._audit.publish(String(data=json.dumps(event)))
        self._last_told: tuple[Any, ...] = ()
        self._started = self.now()
        self._command: dict[str, list[float]] = {}
        self._speed = 0.0
        self._off_since: float | None = None
        self._fast_since: float | None = None
        self._heard = {"requested": -1e9, "executed": -1e9}
        self._clock_moved, self._clock_last = self.now(), 0.0
        self.create_subscription(
            OdometryMessage, "odom", self.guarded(self._take_odometry), qos_profile_sensor_data
        )
        self._kind = COMMAND_TYPES[values["command_type"]]
        self._channels = channels_of(values)
        # Looked at with each permit, and no oftener: a flood on a topic does not wear out who can stop it
        qos = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        self._commands = {
            name: self.create_subscription(
                self._kind.message_class(), topic, lambda _: None, qos, callback_group=Ration(0)
            )
            for topic, name in (("cmd_vel_policy", "requested"), ("cmd_vel", "executed"))
        }
        for name, watch in WATCHES.items():
            if values[name] > 0.0:
                take = self._watcher(name, watch, values[name])
                self.create_subscription(
                    watch.message, watch.topic, self.guarded(take), qos_profile_sensor_data
                )
        services = {
            "estop": lambda: self._answer("estop", {"reason": "service"}),
            "clear_estop": lambda: self._answer("clear-estop", {"reason": "service"}),
            "set_origin": lambda: self._answer("origin", {"reason": "service"}),
            "revoke": lambda: self._answer("revoke", {"reason": "service"}),
        }
        for name, act in services.items():
            self.create_service(Trigger, f"~/{name}", self._service(act))
        self._probing: float | None = None
        self._probe = self.create_client(Trigger, "gate/probe_backstop")
        self.every(values["permit_period"], self._beat)

    # Heartbeat

    def _beat(self) -> None:
        now = self.now()
        for request in self._desk.read():
            self._desk.answer(request, self._take(request))
        self._read_commands(now)
        self._look(now)
        permit = self.oversight.tick(now, self._simulated())
        data = permit.encode()
        for path in self.values["permit_sockets"]:
            if path:
                self._permits.send(data, path)
        told = (permit.levels, bool(self.oversight.latch.reason), permit.stop)
        if told != self._last_told:
            self._last_told = told
            self._lift.publish(Float64MultiArray(data=list(permit.levels)))
            self._lease.publish(Float64MultiArray(data=self.oversight.lease_left()))
            self._estop.publish(Bool(data=told[1]))
            self.publish_diagnostics()

    def _simulated(self) -> float:
        return 1e-9 * float(self.get_clock().now().nanoseconds) if self.values["use_sim_time"] else 0.0

    def _look(self, now: float) -> None:
        """What the ladder knows by looking: silence, runaway, tracking, a clock that stands."""
        state, values = self.oversight, self.values
        if values["use_odometry"]:
            silent = state.odometry.is_silent(now) and now - self._started > 5.0 * values["odometry_timeout"]
            self._hold("odometry", silent, Severity.STOP, f"silent for {values['odometry_timeout']:g} s")
        if values["use_sim_time"]:
            simulated = self._simulated()
            if simulated != self._clock_last:
                self._clock_moved, self._clock_last = now, simulated
            stands = now - self._clock_moved > 2.0
            self._hold("clock", stands, Severity.STOP, "use_sim_time is set and /clock stands still")
        self._watch_probe(now)
        executed = self._command.get("executed")
        fast = abs(self._speed) > 1.2 * values["max_speed"]
        self._fast_since = (self._fast_since or now) if fast else None
        if self._fast_since is not None and now - self._fast_since > 0.3:
            state.condition("runaway", Severity.ESTOP, f"{self._speed:.2f} m/s measured")
        elif not fast:
            state.fine("runaway")
        off = (
            executed is not None
            and executed != []
            and abs(executed[0] - self._speed) > values["tracking_tolerance"]
        )
        off = off and values["use_odometry"]
        self._off_since = (self._off_since or now) if off else None
        lagging = self._off_since is not None and now - self._off_since > 1.0
        self._hold("tracking", lagging, Severity.NO_LIFT, f"measured {self._speed:.2f} m/s, told otherwise")
        mute = now - self._heard["executed"] > 1.0 and now - self._started > 5.0
        self._hold("gate", mute, Severity.NO_LIFT, "the gate sends nothing")

    def _hold(self, name: str, holds: bool, severity: Severity, detail: str) -> None:
        if holds:
            self.oversight.condition(name, severity, detail)
        else:
            self.oversight.fine(name)

    # Requests

    def _take(self, request: Request) -> dict[str, Any]:
        try:
            return self._answer(request.kind, request.fields)
        except AuditLogError as error:
            self.oversight.ladder.set("audit", Severity.NO_LIFT, str(error))
            return {"error": str(error)}

    def _answer(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        state, now = self.oversight, self.now()
        if kind == "status":
            return {**state.status(now), **self._command, "speed": round(self._speed, 3)}
        if kind == "grant":
            return state.grant(fields, now)
        if kind == "revoke":
            return state.revoke(fields["reason"])
        if kind == "origin":
            return state.set_origin(fields["reason"], now)
        if kind == "backstop":
            return self._begin_probe()
        if kind == "fault":
            state.fault(fields["source"], fields["name"], fields["detail"])
            return {"ok": True}
        if kind == "latch":
            return state.latched_below(fields["number"], fields["reason"])
        if kind == "estop":
            state.estop(fields["reason"])
            return {"ok": True}
        refused = state.clear_estop(fields["reason"], self._asks_nothing(now) and abs(self._speed) < 0.02)
        return {"ok": not refused, "detail": refused}

    def _asks_nothing(self, now: float) -> bool:
        """Whether the last command asks for no motion; one that could not be read asks for who knows what.

        A position may be asked for anywhere: what moves is told by its speed. Nor does who fell silent ask.
        """
        if self._channels[0].mode == "position" or now - self._heard["requested"] > SILENT:
            return True
        asked = self._command["requested"]
        return bool(asked) and all(abs(value) < 1e-3 for value in asked)

    def _begin_probe(self) -> dict[str, Any]:
        """Let the gate fall silent while the robot drives, and see whether the robot stops itself."""
        if abs(self._speed) < PROBE_SPEED:
            return {"ok": False, "detail": f"the robot must drive, at {PROBE_SPEED:g} m/s or more"}
        if not self._probe.service_is_ready():
            return {"ok": False, "detail": "the gate's service is not there"}
        self._probe.call_async(Trigger.Request())
        self._probing = self.now()
        self.oversight.backstop = ""
        return {"ok": True, "detail": "probing"}

    def _watch_probe(self, now: float) -> None:
        """A robot that rests while the gate is silent has a time-out of its own; else lifts are refused."""
        if self._probing is None:
            return
        silent = now - self._heard["executed"]
        if silent > 2.0 * self.values["permit_period"] and abs(self._speed) < 0.02:
            self.oversight.backstop_shown(f"shown: at rest {silent:.2f} s after the gate fell silent")
            self._probing = None
        elif now - self._probing > 1.5:
            self.oversight.backstop_shown("")
            self._probing = None

    def _service(self, act: Any) -> Any:
        def answer(request: Any, response: Any) -> Any:
            told = act()
            response.success, response.message = bool(told["ok"]), str(told.get("detail", ""))
            return response

        return answer

    # Raw sensors

    def _take_odometry(self, message: OdometryMessage) -> None:
        now, pose = self.now(), message.pose.pose
        speed = message.twist.twist.linear.x
        self._speed = speed if math.isfinite(speed) else math.inf
        problem = self.oversight.odometry.take(
            Pose(pose.position.x, pose.position.y, yaw(pose.orientation)), now
        )
        if problem:
            self.oversight.authority.revoke_all(self.oversight.clock.now, f"odometry: {problem}")
            self.oversight.fault("odometry", "pose", problem)
        elif self.values["origin_at_start"] and self.oversight.odometry.problem == "no origin has been set":
            self.oversight.set_origin("at start", now)

    def _read_commands(self, now: float) -> None:
        for name, subscription in self._commands.items():
            message = newest(subscription)
            if message is None:
                continue
            self._heard[name] = now
            try:
                self._command[name] = self._kind.read(message, self._channels)
            except ValueError as error:
                self._command[name] = []
                self.oversight.ladder.set("command", Severity.NOTE, str(error))

    def _watcher(self, name: str, watch: Watch, threshold: float) -> Any:
        def take(message: Any) -> None:
            reading = watch.read(message)
            bad = not (reading <= threshold if watch.above else reading >= threshold)  # NaN is bad
            self._hold(name, bad, watch.severity, f"{watch.topic} reads {reading:g}, {name} = {threshold:g}")

        return take

    # Telling

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """The worst condition, the lift, the leases."""
        told = self.oversight.status(self.now())
        level = "error" if told["stop"] else "warn" if self.oversight.ladder.worst else "ok"
        return level, told["stop"] or self.oversight.ladder.reason(Severity.NOTE) or "permitted", told

    def finish(self) -> None:
        """Withdraw the permit by a last one that stops, and close the log."""
        if not hasattr(self, "oversight"):
            return
        self.oversight.condition("ending", Severity.STOP, "the supervisor ends")
        data = self.oversight.tick(self.now(), self._simulated()).encode()
        for path in self.values["permit_sockets"]:
            if path:
                self._permits.send(data, path)
        self.oversight.audit.listener = None
        self.oversight.close()
        self._desk.close()
        self._permits.close()


def main() -> int:
    """Run the node."""
    return run(Supervisor)


if __name__ == "__main__":
    sys.exit(main())
