"""What the nerf and the gate share as nodes: topics in and out around a `CommandChain`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Measured, NerfSpec

from ..datagram import Mailbox
from ..errors import InvalidSetup
from ..safety.command_filter import CommandChain, Output
from .base_node import COMMAND_QOS, NEWEST_QOS, SUCCESS, ChainNode
from .callback_budget import Ration, empty
from .command_messages import COMMAND_TYPES, TWIST_PARTS, stamp_of
from .parameters import COMMON, Parameter, channels_of, envelope_of, limit_parameters

MOST_SENDERS = 64
"""Senders whose message numbers are kept."""

MEASUREMENT_TIMEOUT = 0.5
"""A measurement older than this (s) is none."""


class LinkNode(ChainNode):
    """A node that takes commands on one topic and sends limited ones on another.

    Subclasses name the topics (`TAKES`, `SENDS`) and give the specification.
    """

    TAKES, SENDS = "", ""
    IS_LAST = False
    OWN: tuple[Parameter, ...] = ()

    def tables(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """The chain's common parameters, this node's own, and the limits of its channels."""
        if "channels" not in values:
            return (*COMMON, *self.OWN)
        return (*COMMON, *self.OWN, *limit_parameters(values["channels"]))

    def spec(self) -> NerfSpec:
        """The specification that this link enforces."""
        return NerfSpec(name=self.get_name())

    # Lifecycle

    def configure(self) -> None:
        """Build the chain and its topics; nothing is sent before this."""
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
        wanted, found = values["envelope_digest"], envelope.digest()
        if wanted and wanted != found:
            raise InvalidSetup(f"envelope_digest = {wanted!r}: the envelope's is {found}")
        self.chain = CommandChain(
            self.spec(),
            channels,
            envelope,
            period=values["control_period"],
            timeout=values["cmd_vel_timeout"],
            jump=values["stamp_jump"],
            stamps_are_time=clock == "stamp",
            last_clamp=self.IS_LAST,
            seed=values.get("seed", 0),
            allow=[name for name in values.get("allow", ()) if name],
        )
        self.chain.conditions["inactive"] = "the node is not active"
        self._kind = COMMAND_TYPES[values["command_type"]]
        self._message = self._kind.message_class()
        self._measured_at = -1e9
        self._measured: Measured | None = None
        self._stop = ""
        self.last: Output | None = None
        self._permits = Mailbox(values["permit_socket"])
        self._caps_out = self.create_publisher(
            Float64MultiArray, self.name_of("effort_limit", self.SENDS), NEWEST_QOS
        )
        self._out = self.create_publisher(self._message, self.SENDS, COMMAND_QOS)
        self._outgoing = self._message()  # filled anew for each command: publishing copies it at once
        self._numbers: dict[object, int] = {}
        self.dropped = 0
        """Commands that the middleware dropped before they were taken: as many as came too fast."""
        self._wrong_qos = 0
        events = SubscriptionEventCallbacks(incompatible_qos=self._notice_qos, use_default_callbacks=False)
        # Between two ticks of the timer, half a queue is taken at most
        self._ration = Ration(COMMAND_QOS.depth // 2)
        self._in = self.create_subscription(
            self._message,
            self.TAKES,
            self.guarded(self._take),
            COMMAND_QOS,
            callback_group=self._ration,
            event_callbacks=events,
        )
        self._listen_to_measurements()
        self.every(1.0 / values["timer_rate"], self._tick)
        if self.IS_LAST:
            self.every(0.2, self._look_around)
        self.get_logger().info(f"envelope {found[:12]}, {self.TAKES} -> {self.SENDS}")

    @staticmethod
    def name_of(what: str, beside: str) -> str:
        """The topic that carries `what` beside a command topic: it has the same ending."""
        ending = beside.removeprefix("cmd_vel")
        return f"{what}{ending}"

    def on_activate(self, state: Any) -> Any:
        """Follow commands."""
        self.chain.conditions.pop("inactive", None)
        return super().on_activate(state)

    def on_deactivate(self, state: Any) -> Any:
        """Stop, and go on sending the stop."""
        self.chain.conditions["inactive"] = "the node is not active"
        super().on_deactivate(state)
        return SUCCESS

    def finish(self) -> None:
        """Stop under the envelope's deceleration before the process ends, for at most two seconds."""
        if not hasattr(self, "chain"):
            return
        self.chain.conditions = {"ending": "the node ends"}
        period = 1.0 / self.values["timer_rate"]
        for _ in range(int(2.0 / period)):
            before = None if self.last is None else self.last.values
            self._tick()
            if before is not None and self.last is not None and before == self.last.values:
                break
            time.sleep(period)
        self._permits.close()

    # Commands

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        now = self.now()
        gid = info.get("publisher_gid")
        source = bytes(gid["data"]) if gid else None
        self._count_dropped(source, info.get("publication_sequence_number"))
        stamp = stamp_of(message, self._kind)
        try:
            values: Any = self._kind.read(message, self.chain.channels)
        except InvalidCommand as error:
            values = error
        output = self.chain.command(values, now, stamp, source, self._fresh_measurement(now))
        if output is not None:
            self._send(output, message.header if self._kind.stamped else None)
        self._read_permits(now)  # for the next one: the command goes first, and the timer reads them too

    def _count_dropped(self, source: object, number: int | None) -> None:
        """Note the gap before message `number` of a sender, where the middleware numbers them."""
        if number is None:
            return
        if len(self._numbers) > MOST_SENDERS:
            self._numbers.clear()
        self.dropped += max(number - self._numbers.get(source, number - 1) - 1, 0)
        self._numbers[source] = number

    def _tick(self) -> None:
        now = self.now()
        self._ration.renew()
        if self.chain.settling:
            empty(self._in, COMMAND_QOS.depth)
        self._read_permits(now)
        output = self.chain.tick(now, self._fresh_measurement(now))
        if output is not None:
            self._send(output, None)
        self.after_tick(now)

    def after_tick(self, now: float) -> None:
        """What else a node does at the timer's rate."""

    def _read_permits(self, now: float) -> None:
        for data, pid, _ in self._permits.read():
            self.chain.permit.take(data, pid, now)

    def _send(self, output: Output, header: Any) -> None:
        self.last = output
        message = self._outgoing
        self._kind.write(message, output.values, self.chain.channels)
        if self._kind.stamped:
            message.header.frame_id = "" if header is None else header.frame_id
            # One clock for all that follows; in simulated time the stamp is when the command was given
            if header is not None and self.values["limiter_clock"] == "stamp":
                message.header.stamp = header.stamp
            elif self.values["use_sim_time"]:
                message.header.stamp = self.get_clock().now().to_msg()
            else:
                stamp = message.header.stamp
                stamp.sec, stamp.nanosec = divmod(time.time_ns(), 1_000_000_000)
        self._out.publish(message)
        if output.effort_limit is not None and not self.IS_LAST:
            self._caps_out.publish(Float64MultiArray(data=output.effort_limit))
        if output.stop != self._stop:
            self._stop = output.stop
            self._report(output.stop)

    def _report(self, stop: str) -> None:
        name, _, detail = stop.partition(": ")
        if stop:
            self.get_logger().warning(f"stop: {stop}")
        self.tell_supervisor(name or "stop", detail if stop else "")
        if not stop:
            self._told.clear()
        self.publish_diagnostics()

    def internal_error(self, text: str) -> None:
        """A defect stops the robot until the process is started anew."""
        super().internal_error(text)
        if hasattr(self, "chain"):
            self.chain.conditions["internal-error"] = text

    # The surroundings

    def _look_around(self) -> None:
        """Another publisher of what we alone may send is a stop, as the graph shows it.

        Of what we take, the messages themselves tell: the graph goes on showing a process that was killed
        until its lease ends.
        """
        for name in (self.SENDS, self.name_of("effort_limit", self.SENDS)):
            full = self.resolve_topic_name(name)
            count = self.count_publishers(full)
            if count > 1:
                self.chain.conditions["second-publisher"] = f"{count} publishers on {full}"
                return
        self.chain.conditions.pop("second-publisher", None)

    def _notice_qos(self, event: Any) -> None:
        self._wrong_qos = event.total_count
        detail = f"a publisher on {self.TAKES} offers another quality of service than reliable"
        self.get_logger().warning(detail)
        self.chain.refused = detail
        self.tell_supervisor("qos", detail)

    # Measurements

    def _listen_to_measurements(self) -> None:
        names = [channel.name for channel in self.chain.channels]
        if all(name in TWIST_PARTS for name in names):
            if self.values["use_odometry"]:
                self.create_subscription(
                    Odometry, "odom", self.guarded(self._take_odometry), qos_profile_sensor_data
                )
        else:
            self.create_subscription(
                JointState, "joint_states", self.guarded(self._take_joints), qos_profile_sensor_data
            )

    def _take_odometry(self, message: Any) -> None:
        twist = message.twist.twist
        velocity = [
            getattr(getattr(twist, name.partition(".")[0]), name.partition(".")[2])
            for name in (channel.name for channel in self.chain.channels)
        ]
        self._measured = Measured(velocity=np.array([velocity]))
        self._measured_at = self.now()

    def _take_joints(self, message: Any) -> None:
        places = {name: index for index, name in enumerate(message.name)}
        try:
            rows = [places[channel.name] for channel in self.chain.channels]
            told = [
                np.array([[numbers[row] for row in rows]]) if len(numbers) else None
                for numbers in (message.position, message.velocity, message.effort)
            ]
        except (KeyError, IndexError):
            return  # a message about other joints, or a broken one: the measurement ages
        self._measured = Measured(*told)
        self._measured_at = self.now()

    def _fresh_measurement(self, now: float) -> Measured | None:
        return self._measured if now - self._measured_at < MEASUREMENT_TIMEOUT else None

    # Diagnostics

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """The stop's reason, the age of the command, the permit and the envelope's hash."""
        now, chain = self.now(), self.chain
        stop = chain.stop_reason(now)
        values: dict[str, object] = {
            "stop": stop,
            "refused": chain.refused,
            "permit_problem": chain.permit.problem,
            "command_age_s": f"{chain.stream.age(now):.3f}",
            "permit_remaining_s": f"{chain.permit.remaining(now):.3f}",
            "lift": ", ".join(f"{level:.2f}" for level in chain.permit.levels(now)),
            "requested": chain.requested,
            "executed": None if self.last is None else self.last.values,
            "reasons": None if self.last is None else self.last.reasons,
            "incompatible_qos": self._wrong_qos,
            "dropped": self.dropped,
            "envelope": chain.digest,
        }
        return ("error" if stop else "ok"), stop or "following", values
