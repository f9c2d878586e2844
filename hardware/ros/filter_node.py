"""What the nerf and the gate share: the topics in and out around a `CommandFilter`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from nerfbot.errors import InvalidCommand
from nerfbot.limits import NerfSpec

from ..datagram import Mailbox
from ..errors import InvalidSetup
from ..safety.command_filter import CommandFilter, FilteredCommand
from ..safety.writer_lock import WriterLock
from .base_node import COMMAND_QOS, NAMES_SENDERS, NEWEST_QOS, WITHOUT_SENDERS, BaseNode, sender_of
from .callback_budget import CallbackBudget, discard_queue
from .command_messages import TWIST_PARTS, command_type, stamp_of
from .measurements import Measurements
from .parameters import COMMON, Parameter, channels_of, envelope_of, limit_parameters

MOST_SENDERS = 64
"""Senders whose message numbers are remembered."""

ACKNOWLEDGED_WITHIN = 0.5
"""s that a node which ends waits for its last command to be received."""

LOCK_WITHIN = 2.0
"""s that a gate waits for the supervisor, which may be stopping the robot in place of the gate before."""


class FilterNode(BaseNode):
    """A node that takes commands on topic `TAKES` and sends limited ones on topic `SENDS`."""

    TAKES, SENDS = "", ""
    IS_LAST = False
    """Whether it is the last before the robot: then it also limits rates, and checks who else publishes."""

    def parameters(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """The chain's common parameters, this node's own, and the limits of its channels."""
        return (*COMMON, *self.OWN, *limit_parameters(values.get("channels", ())))

    def spec(self) -> NerfSpec:
        """The specification that this node enforces."""
        return NerfSpec(name=self.get_name())

    # Lifecycle

    def configure(self) -> None:
        """Build the filter and its topics; nothing is sent before this."""
        values = self.values
        clock, simulated = values["limiter_clock"], values["use_sim_time"]
        if clock not in ("steady", "stamp"):
            raise InvalidSetup(f"limiter_clock: must be steady or stamp, got {clock!r}")
        if clock == "stamp" and not simulated:
            raise InvalidSetup("limiter_clock = 'stamp': needs use_sim_time; on a robot stamps are no clock")
        if not values["permit_socket"]:
            raise InvalidSetup("permit_socket: is required: without a permit nothing moves")
        channels = channels_of(values)
        envelope = envelope_of(values, channels)
        expected, digest = values["envelope_digest"], envelope.digest()
        if expected and expected != digest:
            raise InvalidSetup(f"envelope_digest = {expected!r}: the envelope's is {digest}")
        self.filter = CommandFilter(
            self.spec(),
            channels,
            envelope,
            period=values["control_period"],
            timeout=values["cmd_vel_timeout"],
            jump=values["stamp_jump"],
            stamps_are_time=clock == "stamp",
            rate_limit=self.IS_LAST,
            tick=1.0 / values["timer_rate"],
            seed=values.get("seed", 0),
            allow=[name for name in values.get("allow", ()) if name],
        )
        self._kind = command_type(values)
        self._message = self._kind.message_class()
        self._measurements = Measurements(channels)
        self._stop = ""
        self.last: FilteredCommand | None = None
        self._permits = Mailbox(values["permit_socket"])
        if self.IS_LAST:
            self._lock = WriterLock(values["permit_socket"])
            if not self._lock.take(LOCK_WITHIN):
                raise InvalidSetup(
                    f"permit_socket: another process holds {self._lock.path} and writes to the robot"
                )
        effort_topic = self.SENDS.replace("cmd_vel", "effort_limit")
        self._effort_limit_out = self.create_publisher(Float64MultiArray, effort_topic, NEWEST_QOS)
        self._out = self.create_publisher(self._message, self.SENDS, COMMAND_QOS)
        self._outgoing = self._message()  # filled anew for each command: publishing copies it at once
        self._numbers: dict[object, int] = {}
        self.dropped = 0
        """Commands that arrived too fast, so that the middleware dropped them."""
        self._wrong_qos = 0
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_wrong_qos, use_default_callbacks=False)
        # Between two ticks of the timer, at most half a queue is taken
        self._budget = CallbackBudget(COMMAND_QOS.depth // 2)
        self._in = self.listen(
            self._message,
            self.TAKES,
            self._take,
            COMMAND_QOS,
            callback_group=self._budget,
            event_callbacks=events,
        )
        self._listen_to_measurements()
        self.call_every(1.0 / values["timer_rate"], self._tick)
        self._names_senders = NAMES_SENDERS
        if not NAMES_SENDERS:
            self.get_logger().warning(WITHOUT_SENDERS)
        self.call_every(0.2, self._check_publishers)
        self.get_logger().info(f"envelope {digest[:12]}, {self.TAKES} -> {self.SENDS}")

    def finish(self) -> None:
        """Stop under the envelope's deceleration until the last command is that of a robot at rest."""
        self.filter.stop_conditions = {"ending": "the node ends"}
        tick, until = self.guarded(self._tick), self.now() + self.filter.longest_stop
        tick()
        while not self.filter.at_rest and self.now() < until:
            time.sleep(1.0 / self.values["timer_rate"])
            tick()
        self._out.wait_for_all_acked(Duration(seconds=ACKNOWLEDGED_WITHIN))

    def destroy_node(self) -> None:
        """Close the socket of permits last: whoever sends them knows by it that nothing is published here."""
        super().destroy_node()
        if self.configured:
            self._permits.close()

    # Commands

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        now, source = self.now(), sender_of(info)
        self._count_dropped(source, info.get("publication_sequence_number"))
        self._names_senders = self._names_senders and source is not None
        stamp = stamp_of(message)
        try:
            values: Any = self._kind.read(message, self.filter.channels)
        except InvalidCommand as error:
            values = error
        self._check_active()
        output = self.filter.command(values, now, stamp, source, self._measurements.fresh(now))
        if output is not None:
            self._send(output, message.header if self._kind.stamped else None)
        self._read_permits(now)  # for the next one: the command goes first, and the timer reads them too

    def _count_dropped(self, source: object, number: int | None) -> None:
        """Count the gap before message `number` of a sender, where the middleware numbers them."""
        if number is None:
            return
        if len(self._numbers) > MOST_SENDERS:
            self._numbers.clear()
        self.dropped += max(number - self._numbers.get(source, number - 1) - 1, 0)
        self._numbers[source] = number

    def _tick(self) -> None:
        now = self.now()
        self._budget.renew()
        if self.filter.recovering:
            discard_queue(self._in, COMMAND_QOS.depth)
        self._read_permits(now)
        self._check_active()
        output = self.filter.tick(now, self._measurements.fresh(now))
        if output is not None:
            self._send(output, None)
        self.after_tick(now)

    def _check_active(self) -> None:
        """Stop in every state of the lifecycle but active, however it was left."""
        if self.active:
            self.filter.stop_conditions.pop("inactive", None)
        else:
            self.filter.stop_conditions["inactive"] = f"the node is {self.state}"

    def after_tick(self, now: float) -> None:
        """Whatever else a subclass does at the timer's rate."""

    def _read_permits(self, now: float) -> None:
        for data, pid, _ in self._permits.read():
            self.filter.permit.take(data, pid, now)

    def _send(self, output: FilteredCommand, header: Any) -> None:
        self.last = output
        message = self._outgoing
        self._kind.write(message, output.values, self.filter.channels, self.values["control_period"])
        if self._kind.stamped:
            message.header.frame_id = "" if header is None else header.frame_id
            # One clock for all nodes downstream; in simulated time the stamp is that of the request
            if header is not None and self.values["limiter_clock"] == "stamp":
                message.header.stamp = header.stamp
            elif self.values["use_sim_time"]:
                message.header.stamp = self.get_clock().now().to_msg()
            else:
                stamp = message.header.stamp
                stamp.sec, stamp.nanosec = divmod(time.time_ns(), 1_000_000_000)
        self._out.publish(message)
        if output.effort_limit is not None and not self.IS_LAST:
            self._effort_limit_out.publish(Float64MultiArray(data=output.effort_limit))
        if output.stop != self._stop:
            self._stop = output.stop
            self._report(output.stop)

    def _report(self, stop: str) -> None:
        name, _, detail = stop.partition(": ")
        if stop:
            self.get_logger().warning(f"stop: {stop}")
        self.report_fault(name or "stop", detail if stop else "")
        if not stop:
            self._reported.clear()
        self.publish_diagnostics()

    def internal_error(self, text: str) -> None:
        """A defect stops the robot until the process is restarted."""
        super().internal_error(text)
        if hasattr(self, "filter"):
            self.filter.stop_conditions["internal-error"] = text

    def _check_publishers(self) -> None:
        """Stop while the graph shows another publisher of a topic that only this node may publish.

        For the topic it takes, the senders of the messages decide where they are known: the graph goes on
        showing a killed process until its lease ends.
        """
        topics = [self._out.topic_name, self._effort_limit_out.topic_name] if self.IS_LAST else []
        crowded = self.crowded(*topics, *([] if self._names_senders else [self._in.topic_name]))
        if crowded:
            self.filter.stop_conditions["second-publisher"] = crowded
        else:
            self.filter.stop_conditions.pop("second-publisher", None)

    def _on_wrong_qos(self, event: Any) -> None:
        self._wrong_qos = event.total_count
        detail = f"a publisher on {self.TAKES} offers another quality of service than reliable"
        self.get_logger().warning(detail)
        self.filter.refusal = detail
        self.report_fault("qos", detail)

    # Measurements

    def _listen_to_measurements(self) -> None:
        if not all(channel.name in TWIST_PARTS for channel in self.filter.channels):
            self.listen(JointState, "joint_states", self._take_joints, qos_profile_sensor_data)
        elif self.values["use_odometry"]:
            self.listen(Odometry, "odom", self._take_odometry, qos_profile_sensor_data)

    def _take_odometry(self, message: Any) -> None:
        self._measurements.take_odometry(message, self.now())

    def _take_joints(self, message: Any) -> None:
        self._measurements.take_joints(message, self.now())

    # Diagnostics

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """The stop's reason, the age of the command, the permit and the envelope's hash."""
        now, filter_ = self.now(), self.filter
        stop = filter_.stop_reason(now)
        values: dict[str, object] = {
            "stop": stop,
            "refused": filter_.refusal,
            "permit_problem": filter_.permit.problem,
            "command_age_s": f"{filter_.stream.age(now):.3f}",
            "permit_remaining_s": f"{filter_.permit.remaining(now):.3f}",
            "lift": ", ".join(f"{level:.2f}" for level in filter_.permit.levels(now)),
            "requested": filter_.requested,
            "executed": None if self.last is None else self.last.values,
            "reasons": None if self.last is None else self.last.reasons,
            "measured": self._measurements.report(now),
            "incompatible_qos": self._wrong_qos,
            "dropped": self.dropped,
            "second_sender_known_by": "its messages" if self._names_senders else "the graph only",
            "envelope": filter_.digest,
        }
        return ("error" if stop else "ok"), stop or "following", values
