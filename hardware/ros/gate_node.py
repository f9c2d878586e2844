"""The gate: the trusted last writer before the robot. Small, and without impairments.

It follows commands within the envelope while the permit holds, and stops by the channels' modes where it does
not. It is the only publisher of the robot's command topic. When it dies itself, the robot's own time-out must
stop the robot.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from ..safety.command_filter import Output
from .base_node import NEWEST_QOS, run
from .filter_node import LinkNode

PROBE = 1.0
"""Seconds for which the gate falls silent in a probe of the robot's own time-out."""


class Gate(LinkNode):
    """`cmd_vel_nerfed` in, `cmd_vel` out."""

    TAKES, SENDS = "cmd_vel_nerfed", "cmd_vel"
    IS_LAST = True

    def __init__(self) -> None:
        super().__init__("gate")

    def configure(self) -> None:
        """Besides the command, pass on the nerf's effort caps within what holds the load and the envelope."""
        super().configure()
        envelope = self.chain.limiter.envelope
        limits = [envelope.channel(channel) for channel in self.chain.channels]
        # Not below what holds the load, nor above what the envelope allows
        self._caps = [
            (item.holding_effort or 0.0, math.inf if item.max_effort is None else item.max_effort)
            for item in limits
        ]
        self._mute_until = -1e9
        self.create_service(Trigger, "~/probe_backstop", self._probe)
        self.create_subscription(
            Float64MultiArray, "effort_limit_nerfed", self.guarded(self._take_caps), NEWEST_QOS
        )

    def _probe(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Fall silent as if dead, for `PROBE` s: the supervisor sees whether the robot stops itself."""
        stop = self.chain.stop_reason(self.now())
        response.success, response.message = not stop, stop
        if not stop:
            self._mute_until = self.now() + PROBE
        return response

    def _send(self, output: Output, header: Any) -> None:
        if self.now() < self._mute_until:
            return
        if self._mute_until > 0.0:  # the probe is over: from rest, whatever is commanded
            self._mute_until = -1e9
            self.chain.stream.forget()
        super()._send(output, header)

    def _take_caps(self, message: Float64MultiArray) -> None:
        caps = list(message.data)
        if len(caps) != len(self._caps) or not all(cap >= 0.0 for cap in caps):
            self.chain.refused = f"effort_limit_nerfed: must be {len(self._caps)} numbers, got {caps}"
            return
        bounded = [min(max(cap, low), high) for cap, (low, high) in zip(caps, self._caps, strict=True)]
        self._caps_out.publish(Float64MultiArray(data=bounded))


def main() -> int:
    """Run the node."""
    return run(Gate)


if __name__ == "__main__":
    sys.exit(main())
