"""A proxy in front of the S3 server that counts requests and misbehaves when it is told to."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Answer", "Asked", "Cut", "Proxy", "refuse", "unreliable"]


@dataclass(frozen=True)
class Asked:
    """One request as the proxy saw it; `number` counts those of its method and path from 1."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    number: int


@dataclass(frozen=True)
class Answer:
    """Answer without asking the server."""

    body: bytes
    status: int = 200


def refuse(status: int, code: str) -> Answer:
    """An error of S3's."""
    text = f"<Error><Code>{code}</Code><Message>told to</Message></Error>"
    return Answer(text.encode(), status)


@dataclass(frozen=True)
class Cut:
    """Pass on so many bytes of the body, then close the connection.

    :param honest: announce the length of the whole body; else of what is sent, as a bad cache does.
    """

    after: int
    honest: bool = True


@dataclass
class Proxy:
    """What was asked so far, and what becomes of the next request."""

    endpoint: str = ""
    behave: Callable[[Asked], Answer | Cut | None] = lambda _: None
    asked: list[Asked] = field(default_factory=list)

    def count(self, method: str, part: str = "") -> int:
        """How many requests had the method, and the part in their path or query."""
        return sum(a.method == method and part in f"{a.path}?{a.query}" for a in self.asked)


@contextmanager
def unreliable(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before `upstream`."""
    proxy = Proxy()
    lock = threading.Lock()
    place = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *said: Any) -> None:
            """Keep quiet."""

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            with lock:
                number = 1 + sum(
                    a.method == self.command and a.path == parts.path for a in proxy.asked
                )
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, parts.path, parts.query, headers, number)
                proxy.asked.append(asked)
            fault = proxy.behave(asked)
            if isinstance(fault, Answer):
                self.answer(fault)
                return
            client = http.client.HTTPConnection(str(place.hostname), place.port)
            client.request(self.command, self.path, body, asked.headers)
            answer = client.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") or str(len(data))
            sent = data if not isinstance(fault, Cut) else data[: fault.after]
            if isinstance(fault, Cut) and not fault.honest:
                length = str(len(sent))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(sent)
            if isinstance(fault, Cut):
                self.close_connection = True
            client.close()

        def answer(self, fault: Answer) -> None:
            self.send_response(fault.status)
            self.send_header("Content-Length", str(len(fault.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(fault.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
