"""Servos on a bus as a plant to measure, through their driver: emulated ones, or those on a port."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.hardware import priority
from nerfbot.hardware.hil.rig import Rig
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec

from .excitation import Floats, Trace

PRIORITY = 10

SILENCE = 0.5
"""How long a driver may send no state, s."""

TRIES = 3
"""How often commands are played when the driver stops: a busy machine can pause it."""


class ServoProbe:
    """The robot ``robot`` under its driver with the nerf ``spec``; times are on the steady clock.

    ``port`` None starts an emulator. The probe also plays the supervisor, so no other may run. ``margin`` is
    the slack of an answer on the bus, s. Until `close`, this process and its children have real-time
    priority where the system grants it. Raises the driver's error where it cannot start, and
    `InvalidCommand` where it follows no command.
    """

    def __init__(
        self, spec: NerfSpec, robot: str = "so101", port: str | None = None, margin: float = 0.004
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nerfbot-servo-")
        description = ServoRobot.load(robot)
        self.channels, self.envelope = description.channels(), description.hard_limits()
        self.period = description.period
        """The control period, s."""
        priority.request(PRIORITY)
        self._rig = Rig(description, spec, Path(self._folder.name), port=port, margin=margin)
        try:
            self._rig.start_supervisor()
            self._rig.start_driver()
            self._settle()
        except BaseException:
            self.close()
            raise
        self._command = list(self._rig.state["position"])
        self._reasons: list[str] = []

    def _settle(self) -> None:
        if not self._rig.wait_until_running(20.0):
            reasons = "; ".join(self._rig.state.get("reasons", [])) or "it sends no state"
            raise InvalidCommand(f"measure: the driver follows no command: {reasons}")

    def play(self, channel: int, commands: Floats) -> Trace:
        """Play the commands at the bus's rate while the other joints hold still.

        Raises `InvalidCommand` with the driver's reason where it stops every time.
        """
        for _ in range(TRIES):
            trace = self._play(channel, commands)
            if trace is not None:
                return trace
            self._settle()
            goal = list(self._command)
            goal[channel] = float(commands[0])
            self._rig.follow(goal, 2.0, lambda state: False)
        raise InvalidCommand(f"measure: the driver stopped {TRIES} times: {'; '.join(self._reasons)}")

    def _play(self, channel: int, commands: Floats) -> Trace | None:
        """Send one command per state of the driver, which sends one a cycle; None where the driver stops."""
        rows = []
        state = self._rig.update(self.period)
        for value in commands:
            self._command[channel] = float(value)
            measured = [float(state[name][channel]) for name in ("position", "velocity", "effort")]
            rows.append((float(state["now"]), value, *measured))
            self._rig.command(self._command)
            before, state = state, self._rig.update(SILENCE)
            self._reasons = list(state["reasons"]) or ["it sends no state"] * (state is before)
            if self._reasons:
                return None
        return Trace(*np.array(rows, np.float64).T)

    def close(self) -> None:
        """End the driver, the supervisor and the emulator."""
        self._rig.close()
        priority.release()
        self._folder.cleanup()
