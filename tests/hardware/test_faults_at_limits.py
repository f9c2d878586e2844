"""Faults at the nerf's limit and during a lift, through the node: it is commanded to stop, and no faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically

from nerfbot.hardware.safety.permit import NERFED
from tests.hardware.ros_world import TWIST_LIMITS, Partner, World, a_world, partnered

pytestmark = pytest.mark.realtime

SPEC = """
name: slow
channels:
  linear.x: {velocity: {nerfed: 0.4, lifted: 1.2}, acceleration: {nerfed: 2.0, lifted: 2.5}}
"""
LIFTED = (0.0, 1.0, 0.0, 0.0)
TOPS = {NERFED: 0.4, LIFTED: 1.2}
PERIOD = 0.05


class Limited(Partner):
    def __init__(self, world: World, **more: object) -> None:
        super().__init__(world, "cmd_vel_policy", "cmd_vel_nerfed", "permit.nerf")
        (world.folder / "spec.yaml").write_text(SPEC)
        self.levels = NERFED
        world.start(
            "hardware.ros.nerf_node",
            permit_socket=world.folder / "permit.nerf",
            nerf=world.folder / "spec.yaml",
            use_odometry=False,
            **TWIST_LIMITS,
            **more,
        )
        self.until(lambda: "command: none yet" in self.reasons("nerf"), self.permit)

    def leave(self, stop: str = "") -> None:
        self.permit(self.levels, stop)

    def at_the_limit(self, levels: tuple[float, ...]) -> None:
        """Ask for more than the nerf gives until it gives what it has."""
        self.levels = levels

        def each() -> None:
            self.leave()
            self.send(1.45)

        self.until(lambda: self.speed == pytest.approx(TOPS[levels]), each)
        self.received.clear()

    def stopped(self, each: Callable[[], None]) -> list[float]:
        """Go on like this until it has stood still; the speeds commanded meanwhile."""

        def speeds() -> list[float]:
            return [message.twist.linear.x for _, message in self.received]

        self.until(lambda: 0.0 in speeds(), each)
        return speeds()


@pytest.fixture(scope="module")
def nerf() -> Iterator[Limited]:
    yield from partnered(Limited)


def sends(value: float) -> Callable[[Limited], None]:
    def fault(nerf: Limited) -> None:
        nerf.leave()
        nerf.send(value)

    return fault


def stamped(when: Callable[[float], float]) -> Callable[[Limited], None]:
    def fault(nerf: Limited) -> None:
        nerf.leave()
        nerf.send(1.45, stamp=when(time.time()))

    return fault


def without_permit(nerf: Limited) -> None:
    nerf.send(1.45)


def emergency(nerf: Limited) -> None:
    nerf.leave("estop: test")
    nerf.send(1.45)


def in_another_unit(nerf: Limited) -> None:
    nerf.leave()
    nerf.send(1450000.0 * 1e3)  # micrometres


START = time.time()
FAULTS: dict[str, Callable[[Limited], None]] = {
    "nan": sends(math.nan),
    "infinite": sends(-math.inf),
    "huge": sends(1e308),
    "unit": in_another_unit,
    "silence": lambda nerf: nerf.leave(),
    "no permit": without_permit,
    "emergency stop": emergency,
    "time stands": stamped(lambda now: START),
    "time runs back": stamped(lambda now: START - (now - START)),
    "an hour back": stamped(lambda now: now - 3600.0),
    "an hour ahead": stamped(lambda now: now + 3600.0),
}


@pytest.mark.parametrize("levels", [NERFED, LIFTED], ids=["nerfed", "lifted"])
@pytest.mark.parametrize("fault", FAULTS)
def test_at_its_limit_a_fault_stops_it_and_gives_nothing_more(
    nerf: Limited, fault: str, levels: tuple[float, ...]
) -> None:
    nerf.at_the_limit(levels)
    speeds = nerf.stopped(lambda: FAULTS[fault](nerf))
    assert all(0.0 <= speed <= TOPS[levels] + 1e-9 for speed in speeds)
    nerf.until(lambda: nerf.speed == 0.0, nerf.leave)


def test_steps_of_time_that_are_none_give_no_more_than_two_periods() -> None:
    """In simulated time the stamps are the time: nothing, backwards, an instant, a pause."""
    with a_world() as world:
        partner = Limited(world, use_sim_time=True, limiter_clock="stamp", cmd_vel_timeout=2.0)
        stamp = 2.0
        for step in range(60):
            stamp += (PERIOD, 0.0, -0.03, 1e-9, 0.4)[step % 5]
            partner.leave()
            partner.publisher.publish(partner.message(1.45 if step % 10 < 7 else -1.45, stamp=stamp))
            partner.spin(0.02)
        speeds = [message.twist.linear.x for _, message in partner.received]
        partner.close()
    assert len(speeds) > 20
    assert max(map(abs, speeds)) <= 0.4 + 1e-9
    # The nerf's 2 m/s², the envelope's deceleration, and what the envelope gives a reversal
    assert max(abs(after - before) for before, after in pairwise(speeds)) <= 3.0 * 2.0 * PERIOD + 1e-9


WRITES = [
    ("linear.x.max_velocity", ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=9.0)),
    ("linear.x.max_velocity", ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=math.nan)),
    ("linear.x.has_velocity_limits", ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=False)),
    ("linear.x.max_velocity", ParameterValue(type=ParameterType.PARAMETER_NOT_SET)),
    ("nerf", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="none")),
    ("permit_socket", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="/tmp/x")),
]


@pytest.mark.parametrize("service", ["set_parameters", "set_parameters_atomically"])
def test_nothing_widens_the_nerf_or_the_envelope_at_run_time(nerf: Limited, service: str) -> None:
    kind = SetParameters if service == "set_parameters" else SetParametersAtomically
    client = nerf.node.create_client(kind, f"/nerf/{service}")
    nerf.until(client.service_is_ready, nerf.leave)
    for name, value in WRITES:
        future = client.call_async(kind.Request(parameters=[Parameter(name=name, value=value)]))
        nerf.until(future.done, nerf.leave)
        answer = future.result()
        results = answer.results if service == "set_parameters" else [answer.result]
        assert [result.successful for result in results] == [False]
    nerf.at_the_limit(NERFED)
    nerf.stopped(nerf.leave)
