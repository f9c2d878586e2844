"""Every node of a driving chain through its lifecycle: the robot moves only while all of them are active."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from tests.bridge.ros.test_faults import Chain
from tests.hardware.lifecycle_walk import ACTIVATE, DEACTIVATE, Walker
from tests.hardware.ros_world import Partner, a_world, partnered

pytestmark = pytest.mark.realtime


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    yield from partnered(Chain)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plant", "supervisor", "gate", "nerf"])
def test_the_robot_moves_only_while_the_node_is_active(chain: Chain, name: str) -> None:
    chain.rewind()
    walker = Walker(chain, name)

    def to_and_fro() -> None:
        (chain.back if chain.ahead > 0.0 else chain.drive)()

    def check(active: bool) -> None:
        if active:
            chain.until(lambda: abs(chain.measured) > 0.1, to_and_fro)
        else:
            chain.until(lambda: abs(chain.measured) < 0.02, to_and_fro)
            before = chain.ahead
            for _ in range(10):
                to_and_fro()
                chain.spin(0.02)
            assert abs(chain.ahead - before) < 0.02

    try:
        walker.walk(2, to_and_fro, check)
    finally:
        chain.restart(name)


@pytest.mark.slow
def test_a_policy_and_a_recorder_work_only_while_they_are_active(chain: Chain) -> None:
    with a_world(chain.world.domain) as world:
        policy = Partner(world, "unused", "cmd_vel_policy")
        world.start("bridge.ros.policy_node", course="corner", suffix="''", leases=False)
        world.start("hardware.ros.recorder_node", file=world.folder / "it.mcap")
        for name in ("policy", "recorder"):
            walker = Walker(policy, name)

            def count(name: str = name) -> int:
                policy.diagnostics.clear()
                policy.until(lambda: bool(policy.values(name)))
                return int(policy.values(name)["sent" if name == "policy" else "messages"])

            def check(active: bool) -> None:
                before = count()
                if active:
                    policy.until(lambda: count() > before)
                else:
                    assert count() == before

            check(True)
            for number in (DEACTIVATE, ACTIVATE, DEACTIVATE):
                walker.change(number)
                check(walker.expected == "active")
            walker.end(lambda: None)
            check(False)
        policy.close()
