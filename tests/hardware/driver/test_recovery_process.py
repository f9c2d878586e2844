"""A driver process on real bytes recovers from its latches and goes on: `test_recovery` walks all of them."""

from __future__ import annotations

import signal
import time

import pytest

from nerfbot.hardware.hil.rig import Rig
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec

pytestmark = pytest.mark.realtime


def pause(rig):
    """Longer than a Dynamixel's bus watchdog."""
    rig.driver.signal(signal.SIGSTOP)
    time.sleep(0.16)
    rig.driver.signal(signal.SIGCONT)


EVENTS = {
    "a pause": pause,
    "brown-out of one": lambda rig: rig.bus.fault("brown_out", servo=2),
    "torque dropped": lambda rig: rig.bus.fault("torque_dropped", servo=2),
    "EEPROM changed": lambda rig: rig.bus.fault("eeprom_changed", servo=2, value=4000),
}


@pytest.mark.parametrize("name", ["so101", "koch"])
def test_the_same_driver_goes_on_after_every_event(name, tmp_path):
    robot = ServoRobot.load(name).model_copy(update={"release_s": 0.5, "rate": 50.0})
    with Rig(robot, NerfSpec.load(f"{name}-weak"), tmp_path, margin=0.02) as rig:
        rig.start_supervisor()
        rig.start_driver()
        assert rig.wait_until_running(8.0), rig.state
        driver = rig.driver.pid
        for event, hit in EVENTS.items():
            hit(rig)
            rig.follow(rig.state["position"], 0.8, lambda state: False)
            assert rig.state["latched"] or event == "a pause", event
            assert rig.wait_until_running(6.0), (event, rig.state)
            assert all(servo["values"]["torque_enable"] for servo in rig.bus.state().values())
            rig.set_permit()
        assert rig.driver_alive
        assert rig.driver.pid == driver
