"""The gate: the trusted last writer before the robot. Small, and without impairments.

It follows commands within the envelope while the permit holds, and stops by the channels' modes where it does
not. It is the only publisher of the robot's command topic. When it dies itself, the robot's own time-out must
stop the robot.
"""

from __future__ import annotations

import sys

from std_msgs.msg import Float64MultiArray

from .link import LinkNode
from .node import COMMAND_QOS, run


class Gate(LinkNode):
    """`cmd_vel_nerfed` in, `cmd_vel` out."""

    TAKES, SENDS = "cmd_vel_nerfed", "cmd_vel"
    IS_LAST = True

    def __init__(self) -> None:
        super().__init__("gate")

    def configure(self) -> None:
        """Besides the command, pass on the nerf's effort caps, never above the envelope's."""
        super().configure()
        envelope = self.chain.limiter.envelope
        self._most = [envelope.channel(channel).max_effort for channel in self.chain.channels]
        self.create_subscription(
            Float64MultiArray, "effort_limit_nerfed", self.guarded(self._take_caps), COMMAND_QOS
        )

    def _take_caps(self, message: Float64MultiArray) -> None:
        caps = list(message.data)
        if len(caps) != len(self._most) or not all(cap >= 0.0 for cap in caps):
            self.chain.refused = f"effort_limit_nerfed: must be {len(self._most)} numbers, got {caps}"
            return
        bounded = [
            cap if most is None else min(cap, most) for cap, most in zip(caps, self._most, strict=True)
        ]
        self._caps_out.publish(Float64MultiArray(data=bounded))


def main() -> int:
    """Run the node."""
    return run(Gate)


if __name__ == "__main__":
    sys.exit(main())
