"""Other simulators in processes of their own, measured in turn with ours: each runs only on request."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = REPOSITORY / "build" / "peers" / "bin" / "python"
"""Where `make bench-peers` puts what would collide with this project's own packages."""

START_TIMEOUT = 180.0
"""s that a peer may take to compile and warm up."""


class Peer:
    """One peer with `worlds` worlds; `title` names it with its version, None where it is not installed.

    A context manager: on leaving, its process ends. `script` follows the protocol that peers_grid.py
    describes. `own`: the peer is installed beside this project, not in the peers' environment.
    """

    def __init__(self, script: str | Path, name: str, worlds: int, own: bool = False) -> None:
        path = REPOSITORY / "benchmarks" / script
        python = str(ENVIRONMENT) if ENVIRONMENT.exists() and not own else sys.executable
        self.title: str | None = None
        self._process = subprocess.Popen(
            [python, str(path), name, str(worlds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        timeout = threading.Timer(START_TIMEOUT, self._process.kill)
        timeout.start()
        answer = self._read()
        timeout.cancel()
        if isinstance(answer, dict) and "peer" in answer:
            count = f"{worlds:,} worlds" if worlds > 1 else "1 world"
            self.title = f"{answer['peer']}, {count}"

    def rate(self, seconds: float) -> float:
        """Steps per second over about `seconds`; NaN where the peer has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return float("nan")
        answer = self._read()
        return answer if isinstance(answer, float) else float("nan")

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.strip() else None

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
