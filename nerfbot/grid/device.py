"""Warp, started quietly, and its devices by name."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

import warp as wp

from nerfbot.errors import InvalidCommand

_INFO, _WARNING = 20, 30
"""Levels of Warp's messages: its default, and the one set here."""


@functools.cache
def start_warp() -> None:
    """Start Warp, once, without its announcement and without complaints about a missing CUDA driver.

    The announcement would end up in the middle of a command's JSON on the standard output. The library writes
    past Python to the standard error, which is closed meanwhile.
    """
    if getattr(wp.config, "log_level", _INFO) == _INFO:
        wp.config.log_level = _WARNING
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no standard error to close
        wp.init()
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        wp.init()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def find_device(name: str) -> Any:
    """Warp's device of that name. Raises `InvalidCommand` where there is none."""
    start_warp()
    try:
        if name.startswith("cuda") and not wp.is_cuda_available():
            raise ValueError  # Warp itself would first print the driver's errors
        return wp.get_device(name)
    except (RuntimeError, ValueError):
        known = ", ".join(str(device) for device in wp.get_devices())
        raise InvalidCommand(f"device: {name!r} is not there (there are: {known})") from None
