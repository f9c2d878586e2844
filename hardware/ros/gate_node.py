"""The gate: the trusted last writer before the robot. Small, and without impairments.

It follows commands within the envelope while the permit holds, and stops by the channels' modes where it does
not. It is the only publisher of the robot's command topic. If the gate itself dies, the robot's own time-out
must stop the robot.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.hardware.ros.gate_node"))

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
        self._silent_until = 0.0
        self.create_service(Trigger, "~/probe_backstop", self._probe)
        self.listen(Float64MultiArray, "effort_limit_nerfed", self._take_effort_limit, NEWEST_QOS)

    def _probe(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Fall silent as if dead, for `PROBE` s: the supervisor watches whether the robot stops itself."""
        stop = self.filter.stop_reason(self.now())
        response.success, response.message = not stop, stop
        if not stop:
            self._silent_until = self.now() + PROBE
            self.filter.stop_conditions["probe"] = "the gate is silent, to see whether the robot stops itself"
        return response

    def _end_probe_when_due(self) -> None:
        """End the probe when its time is over, or for any other reason to stop: that one is sent at once."""
        now, conditions = self.now(), self.filter.stop_conditions
        if now >= self._silent_until or conditions.keys() - {"probe"} or self.filter.permit.stop(now):
            self._silent_until = 0.0
            conditions.pop("probe", None)
            self.filter.stream.reset()  # begin from rest, whatever is commanded

    def _tick(self) -> None:
        if self._silent_until:
            self._end_probe_when_due()
        try:
            super()._tick()
        except Exception:  # a defect: stop all the same, then report it
            self._send(self.filter.bare_stop(self.now()), None)
            raise

    def _send(self, output: FilteredCommand, header: Any) -> None:
        if not self._silent_until:
            super()._send(output, header)

    def _take_effort_limit(self, message: Float64MultiArray) -> None:
        try:
            bounded = self.filter.bound_effort_limit(message.data)
        except InvalidCommand as error:
            self.filter.refusal = f"effort_limit_nerfed: {error}"
            return
        self._effort_limit_out.publish(Float64MultiArray(data=bounded))


main = partial(run, GateNode)
