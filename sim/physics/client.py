"""One PyBullet physics client: the connection, the fixed time step and the settings that make a run repeat.

Every plant owns one client and never touches another's. Nothing here knows about robots or courses, and
PyBullet itself is imported only when a client is opened.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import Self

from nerfbot.errors import MissingDependency

SUBSTEP = 1.0 / 240.0
"""Physics time step, s. PyBullet's solver is tuned for it."""

SUBSTEPS = 12
"""Physics steps in one control step (20 Hz)."""

CONTROL_STEP = SUBSTEPS * SUBSTEP
"""Control period, s."""

GRAVITY = 9.81
"""Standard acceleration of free fall, m/s², along -z."""


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep PyBullet's greeting off the terminal: it comes from native code, straight to descriptor 2."""
    sys.stderr.flush()
    stderr, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(sink)


def import_pybullet() -> Any:
    """The ``pybullet`` module.

    Raises `MissingDependency`: PyBullet is not installed; the text says how to get it, or that this Python
    has no wheel.
    """
    try:
        with _quiet_stderr():
            return importlib.import_module("pybullet")
    except ImportError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        remedy = (
            f"PyBullet has no wheel for Python {version}: use Python 3.11 or older"
            if sys.version_info >= (3, 12)
            else "install it with pip install 'nerfbot[sim]'"
        )
        raise MissingDependency(f"nerfbot.sim needs pybullet, which cannot be imported; {remedy}") from error


@contextlib.contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Send what PyBullet prints to stderr while it loads a file: stdout is for a command's results."""
    flush = ctypes.CDLL(None).fflush
    sys.stdout.flush()
    flush(None)
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        flush(None)
        os.dup2(stdout, 1)
        os.close(stdout)


class Closable:
    """A context manager that closes at the end; closing twice does nothing."""

    def close(self) -> None:
        """Disconnect from the physics."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Client:
    """A physics client whose attributes are PyBullet's functions bound to it, and PyBullet's constants.

    ``client.stepSimulation()`` is ``pybullet.stepSimulation(physicsClientId=...)``; the bound functions are
    made once, here, so that a call costs nothing extra. Settings: 240 Hz, no real-time clock, sorted
    overlapping pairs (without which a restored state does not replay bit for bit), a friction *cone* (the
    default pyramid makes a block up to 41 % harder to push along a diagonal) and no disk cache for loaded
    files.

    Args:
        gui: open PyBullet's window instead of running without a screen.

    Raises `MissingDependency`: PyBullet is missing, or the window could not be opened.

    """

    def __init__(self, gui: bool = False) -> None:
        pybullet = import_pybullet()
        if gui and sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
            # PyBullet would end the whole process.
            raise MissingDependency("nerfbot.sim: PyBullet's window needs a display, and DISPLAY is not set")
        self.id: int = pybullet.connect(pybullet.GUI if gui else pybullet.DIRECT)
        if self.id < 0:
            raise MissingDependency("nerfbot.sim could not open PyBullet's window: is there a display?")
        self.gui = gui
        self._shown_until = 0.0
        for name in dir(pybullet):
            member = getattr(pybullet, name)
            if inspect.isbuiltin(member):
                setattr(self, name, functools.partial(member, physicsClientId=self.id))
            elif name.isupper():
                setattr(self, name, member)
        # Called in every physics step: by position, because a keyword costs as much as the call itself
        self.stepSimulation: Callable[[], None] = functools.partial(pybullet.stepSimulation, self.id)
        self._pybullet = pybullet
        self.configure()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"pybullet has no {name!r}")

    def bound(self, name: str, *arguments: Any) -> Callable[[], Any]:
        """PyBullet's function ``name`` with all ``arguments`` before the client's id, by position: to be
        called again and again.
        """
        return functools.partial(getattr(self._pybullet, name), *arguments, self.id)

    def before_step(self, hook: Callable[[], None]) -> None:
        """Call ``hook`` before every physics step from now on."""
        advance = self.stepSimulation

        def step() -> None:
            hook()
            advance()

        self.stepSimulation = step

    def contacts_of(self, body: int, only_base: bool = False) -> Callable[[], tuple[tuple[Any, ...], ...]]:
        """A function that returns PyBullet's contact points of a body, or of its base alone."""
        anything, any_link = -1, -2
        link = -1 if only_base else any_link
        return self.bound("getContactPoints", body, anything, link, any_link)

    def configure(self) -> None:
        """Set gravity, time step and solver."""
        self.setGravity(0.0, 0.0, -GRAVITY)
        self.setRealTimeSimulation(0)
        self.setPhysicsEngineParameter(
            fixedTimeStep=SUBSTEP,
            numSubSteps=0,
            numSolverIterations=50,
            deterministicOverlappingPairs=1,
            enableConeFriction=1,
            enableFileCaching=0,
        )
        if self.gui:
            self.configureDebugVisualizer(self.COV_ENABLE_GUI, 0)

    def follow(self, position: tuple[float, float, float], period: float) -> None:
        """Turn the window to ``position`` (m); wait until ``period`` s have passed since the last call."""
        self.resetDebugVisualizerCamera(2.5, 0.0, -50.0, position)
        now = time.monotonic()
        self._shown_until = max(self._shown_until + period, now)
        time.sleep(self._shown_until - now)

    def close(self) -> None:
        """Disconnect; closing twice does nothing."""
        if self.id >= 0:
            if self.isConnected():
                self.disconnect()
            self.id = -1
