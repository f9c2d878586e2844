"""The supervisor: sends the permit, reads raw sensors, and can always stop the robot.

The decisions are in `safety`; this is the node around them: topics, services, sockets, the heartbeat.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.hardware.ros.supervisor_node"))

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, QoSReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import BatteryState, JointState, LaserScan, Temperature
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger

from nerfbot.course import load_course

from ..datagram import Mailbox, private_path
from ..errors import InvalidSetup
from ..safety.localisation import NO_ORIGIN, Localiser, PlanarPose
from ..safety.motion_monitor import PROBE_SPEED, PROVE_SPEED, MotionMonitor
from ..safety.permit import Permit
from ..safety.registry import register
from ..safety.requests import RequestServer
from ..safety.severity import Severity
from ..safety.supervision import Supervision
from .base_node import NAMES_SENDERS, STATE_QOS, WITHOUT_SENDERS, BaseNode, run
from .callback_budget import CallbackBudget, take_newest
from .command_messages import command_type
from .last_writer import LastWriter
from .message_types import serialized_stamp
from .parameters import COMMANDS, Parameter, channels_of, envelope_of, limit_parameters
from .sensor_formats import read_odometry


class Threshold(NamedTuple):
    """A raw reading with a threshold: message, topic, reading, whether it is a maximum, and how bad.

    ``read`` returns None for a message that says nothing about it.
    """

    message: Any
    topic: str
    read: Callable[[Any], float | None]
    is_maximum: bool
    severity: Severity


def _largest_effort(message: Any) -> float | None:
    """NaN where any is; None without efforts, as from a broadcaster of other joints."""
    return float(np.abs(message.effort).max()) if len(message.effort) else None


THRESHOLDS: dict[str, Threshold] = {
    "min_voltage": Threshold(BatteryState, "battery_state", lambda m: m.voltage, False, Severity.NO_LIFT),
    "max_temperature": Threshold(Temperature, "temperature", lambda m: m.temperature, True, Severity.STOP),
    "max_load": Threshold(JointState, "joint_states", _largest_effort, True, Severity.NO_LIFT),
}
"""By the parameter that gives the threshold; 0 disables it (hard limits are the gate's)."""


UNPROVEN = (
    f"the robot's own time-out is not shown yet: drive at {PROBE_SPEED:g} to {PROVE_SPEED:g} m/s for a second"
)


class SupervisorNode(BaseNode):
    """Permits by a Unix socket to each of `permit_sockets`; requests at `supervisor_socket`."""

    NAME = "supervisor"
    SHARED = ("autostart", *COMMANDS, "supervisor_socket", "priority")
    OWN = (
        Parameter("permit_sockets", [""], "", "paths of the sockets that permits are sent to"),
        Parameter("permit_period", 0.05, "s", "time between permits", 0.005, 1.0),
        Parameter("permit_valid", 0.2, "s", "how long a permit holds", 0.01, 2.0),
        Parameter("state_folder", "", "", "folder of the latch and the audit log"),
        Parameter(
            "gate_socket", "", "", "the gate's permit_socket: if the gate dies, the stop is sent from here"
        ),
        Parameter("course", "gauntlet", "", "a course's name or path: its lift zones allow leases"),
        Parameter("max_lease", 30.0, "s", "longest lease", 0.0, 600.0, True),
        Parameter("max_speed", 1.5, "m/s", "a faster robot has jumped or run away", 0.0, 20.0, True),
        Parameter("drift", 0.02, "m/m", "uncertainty of the odometry by distance", 0.0, 1.0),
        Parameter("odometry_timeout", 0.5, "s", "silence after which it stops", 0.0, 5.0, True),
        Parameter("scan_timeout", 1.0, "s", "silence of a scan that stops; 0: not watched", 0.0, 60.0),
        Parameter("tracking_tolerance", 0.5, "m/s", "of measured to commanded speed", 0.0, 20.0, True),
        Parameter("backstop", "", "", "what stops the robot when the gate dies; empty: lifts are refused"),
        Parameter(
            "prove_backstop", False, "", "no lift before a probe has shown it, in the first slow drive"
        ),
        Parameter("origin_at_start", False, "", "set the origin with the first odometry (simulation)"),
        Parameter("min_voltage", 0.0, "V", "below it no lift; 0: not checked", 0.0, 1000.0),
        Parameter("max_temperature", 0.0, "degC", "above it a stop; 0: not checked", 0.0, 500.0),
        Parameter("max_load", 0.0, "N·m", "joint effort above which no lift; 0: not checked", 0.0, 1e4),
    )

    def parameters(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """As of every node, with the limits of the channels: for the stop in place of a gate that died."""
        return (*super().parameters(values), *limit_parameters(values.get("channels", ())))

    def configure(self) -> None:
        """Open the latch and the log, the sockets and the topics."""
        values = self.values
        if not values["state_folder"]:
            raise InvalidSetup("state_folder: is required, for the latch and the audit log")
        if not values["supervisor_socket"]:
            raise InvalidSetup("supervisor_socket: is required, for requests")
        if values["permit_valid"] < 2.0 * values["permit_period"]:
            raise InvalidSetup(f"permit_valid = {values['permit_valid']}: must be at least two permit_period")
        course = load_course(values["course"])
        localiser = Localiser(values["max_speed"], values["drift"], values["odometry_timeout"])
        self.supervision = Supervision(
            course,
            Path(values["state_folder"]),
            values["permit_valid"],
            localiser,
            values["max_lease"],
            "" if values["prove_backstop"] else values["backstop"],
        )
        self._kind, self._channels = command_type(values), channels_of(values)
        if values["prove_backstop"]:
            self.supervision.no_backstop = UNPROVEN
        names = ("tracking_tolerance", "permit_period", "use_odometry", "use_sim_time", "scan_timeout")
        self.motion = MotionMonitor(
            self.supervision,
            self.now(),
            **{name: values[name] for name in names},
            prove_backstop=values["prove_backstop"],
            has_position_channels=self._channels[0].mode == "position",
        )
        if not NAMES_SENDERS:
            self.get_logger().warning(f"{WITHOUT_SENDERS}; lifts are refused")
        self.supervision.set_condition("senders", not NAMES_SENDERS, Severity.NO_LIFT, WITHOUT_SENDERS)
        self._requests = RequestServer(values["supervisor_socket"])
        place = (Path(values["supervisor_socket"]), Path(values["state_folder"]))
        self._registered = register(self.get_namespace(), *place)
        self._permits = Mailbox(private_path(values["supervisor_socket"]))
        self._lift = self.create_publisher(Float64MultiArray, "lift", STATE_QOS)
        self._lease = self.create_publisher(Float64MultiArray, "lease", STATE_QOS)
        self._estop = self.create_publisher(Bool, "estop", STATE_QOS)
        self._audit = self.create_publisher(String, "audit", 100)
        self.supervision.audit.listener = lambda event: self._audit.publish(String(data=json.dumps(event)))
        self._published: tuple[Any, ...] = ()
        self.listen(Odometry, "odom", self._take_odometry, qos_profile_sensor_data)
        self.listen(LaserScan, "scan", self._take_scan, qos_profile_sensor_data, raw=True)
        # Read with each permit, and not more often: a flood on a topic must not keep the supervisor busy
        qos = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        self._commands = {
            name: self.create_subscription(
                self._kind.message_class(), topic, lambda _: None, qos, callback_group=CallbackBudget(0)
            )
            for topic, name in (("cmd_vel_policy", "requested"), ("cmd_vel", "executed"))
        }
        self._last_writer: LastWriter | None = None
        if values["gate_socket"]:
            self._last_writer = LastWriter(
                self,
                "cmd_vel",
                self._kind,
                self._channels,
                envelope_of(values, self._channels),
                values["gate_socket"],
                values["permit_period"],
            )
        for name, item in THRESHOLDS.items():
            if values[name] > 0.0:
                check = partial(self._check_threshold, name, item)
                self.listen(item.message, item.topic, check, qos_profile_sensor_data)
        kinds = {"estop": "estop", "clear_estop": "clear-estop", "set_origin": "origin", "revoke": "revoke"}
        for name, kind in kinds.items():
            self.create_service(Trigger, f"~/{name}", partial(self._serve, kind))
        self._probe = self.create_client(Trigger, "gate/probe_backstop")
        self.call_every(values["permit_period"], self._beat)

    # Heartbeat

    def _beat(self) -> None:
        now = self.now()
        for request in self._requests.read():
            self._requests.answer(request, self._handle(request.kind, request.fields))
        self._read_commands(now)
        inactive = not self.active
        self.supervision.set_condition("inactive", inactive, Severity.STOP, f"the supervisor is {self.state}")
        self.motion.check(now, self._simulated())
        self._replace_gate(now)
        if self.motion.is_time_to_prove(now):
            self._begin_probe()
        permit = self._send_permit(now)
        published = (permit.levels, bool(self.supervision.latch.reason), permit.stop)
        if published != self._published:
            self._published = published
            self._lift.publish(Float64MultiArray(data=list(permit.levels)))
            self._lease.publish(Float64MultiArray(data=self.supervision.lease_remaining()))
            self._estop.publish(Bool(data=published[1]))
            self.publish_diagnostics()

    def _replace_gate(self, now: float) -> bool:
        """Send the stop where the gate has died; whether it is being sent."""
        writer = self._last_writer
        if writer is None:
            return False
        writer.update(self.motion.commands.get("executed", ()), now)
        detail = "the gate has died; the supervisor sends the stop in its place"
        self.supervision.set_condition("gate-died", writer.gate_died, Severity.NO_LIFT, detail)
        return writer.writes

    def _send_permit(self, now: float) -> Permit:
        permit = self.supervision.tick(now, self._simulated())
        data = permit.encode()
        for path in self.values["permit_sockets"]:
            if path:
                self._permits.send(data, path)
        return permit

    def _simulated(self) -> float:
        return 1e-9 * float(self.get_clock().now().nanoseconds) if self.values["use_sim_time"] else 0.0

    # Requests

    def _handle(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request; a defect or a full disk is one, too, and does not end the supervisor."""
        try:
            return self._answer(kind, fields)
        except Exception as error:
            self.internal_error(f"{type(error).__name__}: {error}")
            return {"ok": False, "error": str(error), "detail": str(error)}

    def _answer(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        state, now = self.supervision, self.now()
        if kind == "status":
            motion = {"commanded": self.motion.commanded(now), "speed": round(self.motion.speed, 3)}
            return {**state.status(now), **self.motion.commands, **motion}
        if kind == "grant":
            return state.grant(fields, now)
        if kind == "revoke":
            return state.revoke(fields["reason"])
        if kind == "origin":
            return state.set_origin(fields["reason"], now)
        if kind == "backstop":
            return self._begin_probe()
        if kind == "fault":
            state.log_fault(fields["source"], fields["name"], fields["detail"])
            return {"ok": True}
        if kind == "latch":
            return state.set_driver_latch(fields["number"], fields["reason"])
        if kind == "estop":
            state.estop(fields["reason"])
            return {"ok": True}
        at_rest = self.motion.requests_no_motion(now) and self.motion.is_at_rest
        refusal = state.clear_estop(fields["reason"], at_rest)
        return {"ok": not refusal, "detail": refusal}

    def _begin_probe(self) -> dict[str, Any]:
        """Let the gate fall silent while the robot drives, and watch whether the robot stops itself."""
        if abs(self.motion.speed) < PROBE_SPEED:
            return {"ok": False, "detail": f"the robot must drive, at {PROBE_SPEED:g} m/s or more"}
        if not self._probe.service_is_ready():
            return {"ok": False, "detail": "the gate's service is not there"}
        self._probe.call_async(Trigger.Request())
        self.motion.begin_probe(self.now())
        return {"ok": True, "detail": "probing"}

    def _serve(self, kind: str, request: Any, response: Any) -> Any:
        answer = self._handle(kind, {"reason": "service"})
        response.success, response.message = bool(answer["ok"]), str(answer.get("detail", ""))
        return response

    # Raw sensors

    def _take_odometry(self, message: Odometry) -> None:
        now, state = self.now(), self.supervision
        x, y, heading, speed, _ = read_odometry(message).tolist()
        self.motion.update_speed(speed)
        problem = state.localiser.update(PlanarPose(x, y, heading), now)
        if problem:
            state.authority.revoke_all(state.clock.now, f"odometry: {problem}")
            state.log_fault("odometry", "pose", problem)
        elif self.values["origin_at_start"] and state.localiser.problem == NO_ORIGIN:
            state.set_origin("at start", now)

    def _take_scan(self, data: bytes) -> None:
        self.motion.update_scan(serialized_stamp(data), self.now())

    def _read_commands(self, now: float) -> None:
        for name, subscription in self._commands.items():
            message = take_newest(subscription)
            if message is None:
                continue
            try:
                self.motion.update_command(name, self._kind.read(message, self._channels), now)
            except ValueError as error:
                self.motion.update_command(name, [], now)
                self.supervision.conditions.set("command", Severity.NOTE, str(error))

    def _check_threshold(self, name: str, item: Threshold, message: Any) -> None:
        reading, threshold = item.read(message), self.values[name]
        if reading is None:
            return
        bad = not (reading <= threshold if item.is_maximum else reading >= threshold)  # NaN is bad
        detail = f"{item.topic} reads {reading:g}, {name} = {threshold:g}"
        self.supervision.set_condition(name, bad, item.severity, detail)

    # Reports

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """The worst condition, the lift, the leases."""
        status, conditions = self.supervision.status(self.now()), self.supervision.conditions
        level = "error" if status["stop"] else "warn" if conditions.worst else "ok"
        return level, status["stop"] or conditions.reason(Severity.NOTE) or "permitted", status

    def finish(self) -> None:
        """Withdraw the permit by a last one that stops, finish a stop in place of the gate, close the log."""
        self.supervision.set_condition("ending", True, Severity.STOP, "the supervisor ends")
        self._send_permit(self.now())
        while self._replace_gate(self.now()):
            time.sleep(self.values["permit_period"])
        self.supervision.audit.listener = None
        self.supervision.close()
        self._registered.unlink(missing_ok=True)
        self._requests.close()
        self._permits.close()


main = partial(run, SupervisorNode)
