"""The gate: the trusted last writer before the robot. Small, and without impairments.

It follows commands within the envelope while the permit holds, and stops by the channels' modes where it does
not. It is the only publisher of the robot's command topic. If the gate itself dies, the robot's own time-out
must stop the robot.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from nerfbot.errors import InvalidCommand

from ..safety.command_filter import FilteredCommand
from .base_node import NEWEST_QOS, run
from .filter_node import FilterNode

PROBE = 1.0
"""Seconds for which the gate falls silent in a probe of the robot's own time-out."""


class GateNode(FilterNode):
    """`cmd_vel_nerfed` in, `cmd_vel` out; also `effort_limit_nerfed` in, `effort_limit` out."""

    NAME = "gate"
    TAKES, SENDS = "cmd_vel_nerfed", "cmd_vel"
    IS_LAST = True

    def configure(self) -> None:
        """Besides the commands, pass on the nerf's effort limits and serve the probe."""
        super().configure()
        self._silent_until = -1e9
        self.create_service(Trigger, "~/probe_backstop", self._probe)
        self.listen(Float64MultiArray, "effort_limit_nerfed", self._take_effort_limit, NEWEST_QOS)

    def _probe(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Fall silent as if dead, for `PROBE` s: the supervisor watches whether the robot stops itself."""
        stop = self.filter.stop_reason(self.now())
        response.success, response.message = not stop, stop
        if not stop:
            self._silent_until = self.now() + PROBE
        return response

    def _send(self, output: FilteredCommand, header: Any) -> None:
        if self.now() < self._silent_until:
            return
        if self._silent_until > 0.0:  # the probe is over: begin from rest, whatever is commanded
            self._silent_until = -1e9
            self.filter.stream.reset()
        super()._send(output, header)

    def _take_effort_limit(self, message: Float64MultiArray) -> None:
        try:
            bounded = self.filter.bound_effort_limit(message.data)
        except InvalidCommand as error:
            self.filter.refusal = f"effort_limit_nerfed: {error}"
            return
        self._effort_limit_out.publish(Float64MultiArray(data=bounded))


main = partial(run, GateNode)

if __name__ == "__main__":
    sys.exit(main())
