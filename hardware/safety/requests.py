"""Requests to the supervisor from an operator or a policy, and its answers, over a Unix datagram socket.

A request is one JSON object with `kind` and the fields of that kind (`KINDS`); the answer is one object with
`ok`. Requests are only parsed here; the supervisor decides what to do about them.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfbot.declared import suggestion

from ..datagram import Mailbox, private_path
from ..errors import InvalidRequest, NoAnswer

KINDS: dict[str, dict[str, type]] = {
    "status": {},
    "grant": {"axes": dict, "duration": float, "ramp": float, "reason": str},
    "revoke": {"reason": str},
    "estop": {"reason": str},
    "clear-estop": {"reason": str},
    "origin": {"reason": str},
    "backstop": {"reason": str},
    "fault": {"source": str, "name": str, "detail": str},
    "latch": {"number": int, "reason": str},
}
"""The required fields of each kind of request. `latch` comes from a servo driver: the number of its own
latch, and why it is latched ("": no longer).
"""


@dataclass(frozen=True)
class Request:
    """One request: its kind and fields, who sent it (process id), and where the answer goes."""

    kind: str
    fields: Mapping[str, Any]
    pid: int
    reply_to: str


class RequestServer:
    """The supervisor's end: yields well-formed requests; answers a malformed one with what is wrong."""

    def __init__(self, path: str | Path) -> None:
        self._mailbox = Mailbox(path)

    def read(self) -> Iterator[Request]:
        """Yield the requests that have arrived."""
        for data, pid, reply_to in self._mailbox.read():
            try:
                kind, fields = parse(data)
            except InvalidRequest as error:
                self.answer(Request("", {}, pid, reply_to), {"ok": False, "error": str(error)})
            else:
                yield Request(kind, fields, pid, reply_to)

    def answer(self, request: Request, answer: Mapping[str, Any]) -> None:
        """Answer a request, without waiting for its sender."""
        if request.reply_to:
            self._mailbox.send(json.dumps(answer).encode(), request.reply_to)

    def close(self) -> None:
        """Stop answering."""
        self._mailbox.close()


def parse(data: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and fields of a request. Raises `InvalidRequest` naming the field and the value."""
    try:
        fields = json.loads(data)
        kind = fields.pop("kind")
        expected = KINDS[kind]
    except (ValueError, RecursionError, AttributeError):
        raise InvalidRequest(f"request: must be one JSON object, got {data[:40]!r}") from None
    except (KeyError, TypeError):
        raise InvalidRequest(f"request: kind must be one of {', '.join(KINDS)}") from None
    for field, value in fields.items():
        if field not in expected:
            raise InvalidRequest(f"request {kind}: {field}: unknown field{suggestion(field, [*expected])}")
        types = (int, float) if expected[field] is float else expected[field]
        if not isinstance(value, types) or isinstance(value, bool):
            raise InvalidRequest(f"request {kind}: {field} = {value!r}: must be a {expected[field].__name__}")
    for field in expected:
        if field not in fields:
            raise InvalidRequest(f"request {kind}: {field} is missing")
    return kind, fields


class SupervisorClient:
    """Sends requests to the supervisor whose socket is `path`, one at a time; use it as a context manager."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._mailbox = Mailbox(private_path(path))

    def request(self, kind: str, *, timeout: float = 1.0, **fields: Any) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises `NoAnswer` after `timeout` s, or at once where no supervisor reads, and `InvalidRequest` where
        the answer is that the request is wrong.
        """
        for _ in self._mailbox.read():
            pass  # answers that came too late for an earlier request
        if not self.send(kind, **fields):
            raise NoAnswer(f"supervisor {self.path}: nobody reads there")
        return self.answer(timeout)

    def answer(self, timeout: float = 1.0) -> dict[str, Any]:
        """Wait for the answer to what `send` has sent; raises as `request` does."""
        until = time.monotonic() + timeout
        while self._mailbox.wait(until - time.monotonic()):
            for data, _, _ in self._mailbox.read():
                answer = json.loads(data)
                if "error" in answer:
                    raise InvalidRequest(answer["error"])
                return dict(answer)
        raise NoAnswer(f"supervisor {self.path}: no answer within {timeout:g} s")

    def send(self, kind: str, **fields: Any) -> bool:
        """Send a request without waiting for the answer; false where no supervisor reads."""
        return self._mailbox.send(json.dumps({"kind": kind, **fields}).encode(), self.path)

    def close(self) -> None:
        """Close the client's socket."""
        self._mailbox.close()

    def __enter__(self) -> SupervisorClient:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self.close()
