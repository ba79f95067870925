"""Limits of size, before anything is read, and of rate, by who asks."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_BODY", "BodyLimit", "Buckets"]

MAX_BODY = 4 * 2**20
"""Bytes of one request."""

_ASKERS = 10_000
"""Askers that are remembered; those who asked longest ago are forgotten first."""


class Buckets:
    """A token bucket per asker: so many requests a minute, as many at once after a pause.

    Counts within one process; a deployment with several API servers allows as many times more.

    :param clock: seconds, going forward only.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, asker: str) -> float:
        """Take one request; returns 0, or the seconds until there is one to take."""
        with self._lock:
            return self._wait(asker)

    def _wait(self, asker: str) -> float:
        now = self._clock()
        left, at = self._left.pop(asker, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - at) * self._per_minute / 60)
        allowed = left >= 1
        self._left[asker] = (left - 1 if allowed else left, now)
        while len(self._left) > _ASKERS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._per_minute


class BodyLimit:
    """ASGI middleware: 413 for bodies that are too large."""

    def __init__(self, app: Any, *, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._max_body = max_body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope.get("headers", ())}
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            await _drain(receive, 16 * self._max_body)
            await _too_large(send, self._max_body)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Any) -> Any:
        """Count what comes in: a body may be longer than it says, or say nothing."""
        total = 0

        async def receive_counted() -> Any:
            nonlocal total
            message = await receive()
            if message["type"] == "http.request":
                total += len(message.get("body", b""))
                if total > self._max_body:
                    from fastapi import HTTPException

                    raise HTTPException(413, f"A request has {self._max_body} bytes at most.")
            return message

        return receive_counted


async def _drain(receive: Any, most: int) -> None:
    """Read on, keeping nothing: a client that is still sending would not hear the answer."""
    total, more = 0, True
    while more and total < most:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)


async def _too_large(send: Any, most: int) -> None:
    message = f"A request has {most} bytes at most."
    body = json.dumps(
        {"code": "too_large", "message": message, "hint": None, "errors": []}
    ).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 413,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
