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
"""s after which a driver that tells no state is given up."""

TRIES = 3
"""How often a sequence is played anew that the driver has stopped: a machine that is busy pauses it."""


class ServoProbe:
    """The robot ``robot`` under its driver with the nerf ``spec``; times are of the steady clock.

    ``port`` None starts an emulator. Whoever measures plays the supervisor too: no other may run. ``margin``
    is the bus's, s. While it lives, this process and those it starts have real-time priority, where the
    system gives it. Raises what the driver does where it must not start, and `InvalidCommand` where it
    follows no command.
    """

    def __init__(
        self, spec: NerfSpec, robot: str = "so101", port: str | None = None, margin: float = 0.004
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nerfbot-servo-")
        description = ServoRobot.load(robot)
        self.channels, self.envelope = description.channels(), description.hard_limits()
        self._period = description.period
        priority.ask(PRIORITY)
        self._rig = Rig(description, spec, Path(self._folder.name), port=port, margin=margin)
        try:
            self._rig.start_supervisor()
            self._rig.start_driver()
            self._settle()
        except BaseException:
            self.close()
            raise
        self._at = list(self._rig.state["position"])
        self._why: list[str] = []

    @property
    def period(self) -> float:
        """The control period, s."""
        return self._period

    def _settle(self) -> None:
        if not self._rig.settle_running(20.0):
            reasons = "; ".join(self._rig.state.get("reasons", [])) or "it tells nothing"
            raise InvalidCommand(f"measure: the driver follows no command: {reasons}")

    def play(self, channel: int, commands: Floats) -> Trace:
        """Play the commands at the bus's rate, the other joints where they are.

        Raises `InvalidCommand` with the driver's reason where it stops each time.
        """
        for _ in range(TRIES):
            trace = self._play(channel, commands)
            if trace is not None:
                return trace
            self._settle()
            goal = list(self._at)
            goal[channel] = float(commands[0])
            self._rig.follow(goal, 2.0, lambda state: False)
        raise InvalidCommand(f"measure: the driver stopped {TRIES} times: {'; '.join(self._why)}")

    def _play(self, channel: int, commands: Floats) -> Trace | None:
        """One command for each state that the driver tells, which it does once a cycle."""
        rows = []
        state = self._rig.look(self._period)
        for value in commands:
            self._at[channel] = float(value)
            told = [float(state[name][channel]) for name in ("position", "velocity", "effort")]
            rows.append((float(state["now"]), value, *told))
            self._rig.command(self._at)
            before, state = state, self._rig.look(SILENCE)
            self._why = list(state["reasons"]) or ["it tells nothing"] * (state is before)
            if self._why:
                return None
        return Trace(*np.array(rows, np.float64).T)

    def close(self) -> None:
        """End the driver, the supervisor and the emulator."""
        self._rig.close()
        priority.release()
        self._folder.cleanup()
