"""What all nodes share: read-only parameters, one-line refusals, steady timers, diagnostics, faults."""

from __future__ import annotations

import functools
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rclpy
import rclpy.subscription
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import State
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from nerfbot.errors import NerfbotError

from .. import priority
from ..datagram import Mailbox, private_path
from .command_messages import COMMAND_TYPES
from .message_types import type_mismatch
from .parameters import COMMON, Parameter, check, check_names, shared_names
from .program import EndRequest, Interrupted

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

COMMAND_QOS = QoSProfile(depth=20, reliability=QoSReliabilityPolicy.RELIABLE)
"""Commands along the chain: reliable, in order, none left out.

The depth is what arrives at 200 Hz in `cmd_vel_timeout` (0.1 s): a node that is held up for less loses
nothing, one that is held up for longer discards its queue. It also bounds a flood: in a queue that is always
full the oldest message is 20 steps of the executor old, a few ms, and timers come first.
"""

NEWEST_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
"""Commands for readers of the last one only: a robot at its own period, the supervisor."""

STATE_QOS = QoSProfile(
    depth=1, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
)
"""States such as the lift or the e-stop: a late subscriber gets the last one."""

_REMEDIES = {kind.type_name: f"command_type: {name}" for name, kind in COMMAND_TYPES.items()}

_MESSAGE_INFO = getattr(rclpy.subscription, "MessageInfo", None)
NAMES_SENDERS = "publisher_gid" in getattr(_MESSAGE_INFO, "__annotations__", {})
"""Whether this rclpy says who sent a message: Kilted's does (ros2/rclpy issue 1465), Jazzy's does not."""

WITHOUT_SENDERS = "this rclpy does not say who sent a message: a second sender is known by the graph only"

_LEVELS = {"ok": DiagnosticStatus.OK, "warn": DiagnosticStatus.WARN, "error": DiagnosticStatus.ERROR}


class BaseNode(LifecycleNode):
    """A lifecycle node whose parameters are read once, checked, and never change.

    Raises `NerfbotError` for a parameter that is unknown, of another type, or out of its range.
    """

    NAME = ""
    SHARED: tuple[str, ...] = ()
    """Which of the `COMMON` parameters it has."""
    OWN: tuple[Parameter, ...] = ()
    """Its other parameters."""

    def __init__(self) -> None:
        super().__init__(self.NAME)
        self.values: dict[str, Any] = {}
        self.refusal = ""
        """Why the node did not configure."""
        self.configured = False
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._reported: dict[str, str] = {}
        self._defects: set[str] = set()
        self._mailbox: Mailbox | None = None
        self._priority_refused = ""
        self._read_parameters()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)

    # What a subclass defines

    def parameters(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """The parameters, given the values read so far: called until it adds none."""
        return (*(item for item in COMMON if item.name in self.SHARED), *self.OWN)

    def configure(self) -> None:
        """Check and build everything; raises `NerfbotError` where the node must not start."""
        raise NotImplementedError

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """Level ("ok", "warn" or "error"), message and values of the diagnostics."""
        return "ok", "", {}

    def finish(self) -> None:
        """Leave the robot stopped when the node ends; called once it was configured."""

    # Topics

    def create_publisher(self, *arguments: Any, **named: Any) -> Any:
        """As in `Node`, without rclpy's default event handlers: they only log, and cost the executor time.

        For commands, whose quality of service can differ, a subclass passes its own.
        """
        named.setdefault("event_callbacks", PublisherEventCallbacks(use_default_callbacks=False))
        return super().create_publisher(*arguments, **named)

    def create_subscription(self, *arguments: Any, **named: Any) -> Any:
        """As in `Node`, without rclpy's default event handlers (see `create_publisher`)."""
        named.setdefault("event_callbacks", SubscriptionEventCallbacks(use_default_callbacks=False))
        return super().create_subscription(*arguments, **named)

    def crowded(self, *topics: str) -> str:
        """Which topic has more than one publisher in the graph, in words; "" for none."""
        counts = {topic: self.count_publishers(topic) for topic in topics}
        return next((f"{count} publishers on {topic}" for topic, count in counts.items() if count > 1), "")

    def listen(self, kind: Any, topic: str, callback: Callable[..., None], qos: Any, **more: Any) -> Any:
        """Subscribe with a `guarded` callback."""
        return self.create_subscription(kind, topic, self.guarded(callback), qos, **more)

    # Parameters

    def _read_parameters(self) -> None:
        given = dict(self._parameter_overrides)
        while added := [item for item in self.parameters(self.values) if item.name not in self.values]:
            for item in added:
                descriptor = ParameterDescriptor(description=item.about, read_only=True, dynamic_typing=True)
                value = given[item.name].value if item.name in given else item.default
                self.declare_parameter(item.name, value, descriptor, ignore_override=True)
                self.values[item.name] = value
            check(self.values, [item for item in added if item.default is not None])
        channels = given["channels"].value if "channels" in given else None
        known = self.values.keys() | shared_names(channels if isinstance(channels, (list, tuple)) else None)
        check_names(list(given), sorted(known | {"use_sim_time"}))
        self.values["use_sim_time"] = bool(self.get_parameter("use_sim_time").value)

    # Lifecycle

    @property
    def state(self) -> str:
        """The lifecycle's state, such as "active"; a node does its work in that one only."""
        return str(self._state_machine.current_state[1])

    @property
    def active(self) -> bool:
        """Whether the lifecycle's state is active."""
        return bool(self._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE)

    def on_configure(self, state: Any) -> Any:
        """Configure, or log in one line why not; a second time is refused."""
        if self.configured or self.refusal:
            self.get_logger().error("configure is refused: it is read once, at start; start the process anew")
            return FAILURE
        try:
            self.configure()
        except Exception as error:  # the lifecycle would swallow it without a word
            self.refusal = _one_line(error)
            if not self.values["autostart"]:  # else the program says it, and ends
                self.get_logger().error(self.refusal)
            self.get_logger().debug(traceback.format_exc())
            return FAILURE
        self.configured = True
        self.call_every(1.0, self.publish_diagnostics)
        self._priority_refused = priority.request(self.values.get("priority", 0))
        if self._priority_refused:
            self.get_logger().warning(f"priority = {self.values['priority']}: {self._priority_refused}")
        # Objects made at start stay: collecting them again and again would hold up commands
        gc.collect()
        gc.freeze()
        return super().on_configure(state)

    def on_cleanup(self, state: Any) -> Any:
        """Refused: a node of the chain without its state could not stop the robot."""
        self.get_logger().error("cleanup is refused: end the process instead")
        return FAILURE

    def on_error(self, state: Any) -> Any:
        """Finalize a node whose transition failed: it is not active, and stays so."""
        self.get_logger().error(f"a transition from {state.label} failed")
        return FAILURE

    def now(self) -> float:
        """The machine's monotonic clock, s."""
        return time.monotonic()

    def call_every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back at this period (s) on a steady clock, which runs without `/clock`."""
        self.create_timer(seconds, self.guarded(callback), clock=self._steady)

    def guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """The callback; an exception in it becomes an `internal_error` and does not end the process."""

        @functools.wraps(callback)
        def call(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                self.internal_error(f"{type(error).__name__}: {error}")

        return call

    def internal_error(self, text: str) -> None:
        """Log a defect of this program, each once."""
        if text not in self._defects:
            self._defects.add(text)
            self.get_logger().error(f"internal error: {text}")

    # Reports

    def publish_diagnostics(self) -> None:
        """Publish one status by REP-107."""
        level, message, values = self.diagnose()
        if mismatch := type_mismatch(self, _REMEDIES):
            level, message = "warn" if level == "ok" else level, f"{message}; {mismatch}"
        if "priority" in self.values:
            values["priority"] = self._priority_refused or self.values["priority"]
        status = DiagnosticStatus(
            level=_LEVELS[level],
            name=f"nerfbot: {self.get_name()}",
            message=message,
            hardware_id=self.get_namespace(),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def report_fault(self, name: str, detail: str) -> None:
        """Send a fault to the supervisor's audit log, once until its detail changes or is empty (gone)."""
        if self._reported.get(name, "") == detail:
            return
        self._reported[name] = detail
        path = self.values.get("supervisor_socket", "")
        if not path or not detail:
            return
        if self._mailbox is None:
            self._mailbox = Mailbox(private_path(path))
        report = {"kind": "fault", "source": self.get_name(), "name": name, "detail": detail[:500]}
        self._mailbox.send(json.dumps(report).encode(), path)

    def destroy_node(self) -> None:
        """Close the fault mailbox, then the node."""
        if self._mailbox is not None:
            self._mailbox.close()
        super().destroy_node()


def sender_of(info: Mapping[str, Any]) -> bytes | None:
    """The identity of a message's publisher; None where the middleware gives none."""
    gid = info.get("publisher_gid")
    return bytes(gid["data"]) if gid else None


def _one_line(error: Exception) -> str:
    text = str(error) if isinstance(error, NerfbotError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]


def run(node_class: type[BaseNode], arguments: Sequence[str] | None = None) -> int:
    """Run a node until a signal ends it; the exit code: 0, or 2 with one line where it cannot start."""
    request, node, refusal = EndRequest(), None, ""
    try:
        try:
            rclpy.init(
                args=None if arguments is None else list(arguments),
                signal_handler_options=SignalHandlerOptions.NO,
            )
            node = node_class()
            if node.values["autostart"] and node.trigger_configure() is SUCCESS:
                node.trigger_activate()
            refusal = node.refusal
            request.starting = False
        except Interrupted as signal_name:
            refusal = f"{signal_name} before it started"
        except Exception as error:  # ours, or rclpy's for arguments that it cannot parse
            refusal = _one_line(error)
        if node is None or refusal:
            print(f"{node_class.NAME}: {refusal}", file=sys.stderr)
            return 2
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not request.received:
            executor.spin_once(timeout_sec=0.1)
        return 0
    except ExternalShutdownException:
        return 0
    finally:
        request.starting = False
        if node is not None:
            if node.configured:
                node.finish()
            node.destroy_node()
        rclpy.try_shutdown()
