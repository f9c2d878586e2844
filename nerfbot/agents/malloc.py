"""Keeping freed memory for the next minibatch: a network's activations are megabytes that come and go.

By default the C library hands them back to the system and asks for them anew, page by page: thousands of page
faults a minibatch, a quarter of the time of a small network's passes on a CPU.
"""

from __future__ import annotations

import ctypes
import functools

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of glibc's `mallopt` (malloc.h): how much stays at the heap's end, and what is mapped by itself."""

MOST = (1 << 31) - 1


@functools.cache
def keep_freed() -> bool:
    """Let this process keep what it frees, at most its own peak; whether the C library can (glibc does)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(MMAP_THRESHOLD, MOST) and mallopt(TRIM_THRESHOLD, MOST))
