"""An S3 endpoint that passes requests on to another one, and misbehaves when it is told to."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Action = Literal["pass", "cut", "lose", "ignore conditions"] | tuple[int, str]
"""`cut`: close in the middle of the request. `lose`: pass it on, and close before the answer.
A status and code: answer with that error.
"""


class Proxy:
    """Asks `decide` about each request; counts what it did not pass on."""

    def __init__(self, endpoint: str) -> None:
        self.upstream = urlsplit(endpoint)
        self.decide: Callable[[str, str], Action] = _pass
        self.misbehaved = 0
        self.seen: list[tuple[str, str]] = []

    def behave(self) -> None:
        """Pass everything on from here."""
        self.decide = _pass

    def times(self, count: int, action: Action, *, method: str, part: str = "") -> None:
        """Do so to the next requests of a method whose path has that part."""
        left = [count]

        def decide(called: str, path: str) -> Action:
            if called == method and part in path and left[0]:
                left[0] -= 1
                return action
            return "pass"

        self.decide = decide


def _pass(method: str, path: str) -> Action:
    return "pass"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *args: object) -> None:
        return

    def _answer(self) -> None:
        action = self.proxy.decide(self.command, self.path)
        self.proxy.seen.append((self.command, self.path))
        if action != "pass":
            self.proxy.misbehaved += 1
        size = int(self.headers.get("Content-Length") or 0)
        if action == "cut":
            self.rfile.read(size // 2)
            self._hang_up()
            return
        body = self.rfile.read(size)
        if isinstance(action, tuple):
            self._refuse(*action)
            return
        answer, data = self._ask(body, conditions=action != "ignore conditions")
        if action == "lose":
            self._hang_up()
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _ask(self, body: bytes, *, conditions: bool) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {
            name: value
            for name, value in self.headers.items()
            if conditions or name.lower() != "if-none-match"
        }
        upstream = http.client.HTTPConnection(self.proxy.upstream.netloc)
        upstream.request(self.command, self.path, body=body, headers=headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        return answer, data

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815


@contextmanager
def a_proxy(endpoint: str) -> Iterator[tuple[Proxy, str]]:
    proxy = Proxy(endpoint)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
