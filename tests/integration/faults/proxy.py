"""A proxy on loopback in front of a registry, which goes wrong where a test wants it to.

    with faulty(running.port, once("GET", r"/blobs/", cut(1000))) as proxy: ... proxy.host ...

A script gets each request before it is answered and returns the fault that befalls it, or nothing. A fault
gets the exchange and does with it what it likes: ask the registry, or not; answer, or not.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import select
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

from tests.integration.registries import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Fault = Callable[["Exchange"], None]
    Script = Callable[["Asked"], "Fault | None"]

PIECE = 65536
"""Bytes that are passed on at once."""
_RESET = struct.pack("ii", 1, 0)
"""socket(7), SO_LINGER: closing sends a reset at once."""
_SESSION = re.compile(r"(?<=/uploads/)[^/?]+")
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class Asked(NamedTuple):
    """A request."""

    number: int
    """1 for the first."""
    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def key(self) -> str:
        """The same for requests that ask for the same, whatever the name of an upload's session."""
        return f"{self.method} {_SESSION.sub('*', self.path.partition('?')[0])}"


class Answered(NamedTuple):
    """What the registry answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Exchange(BaseHTTPRequestHandler):
    """One connection of a client; each request is handed to the script."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    proxy: Proxy
    asked: Asked

    def _any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked = self.proxy.note(self.command, self.path, headers)
        self._left = int(headers.get("content-length", "0"))
        fault = self.proxy.script(self.asked) or passing
        try:
            fault(self)
        except (OSError, http.client.HTTPException):
            # One of the two sides ended the conversation; so does this one.
            self.reset()
        if self._left:
            # What was not read would be taken for the next request.
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def body(self, most: int = 1 << 40) -> Iterator[bytes]:
        """Read the request's body, at most so many bytes of it."""
        while self._left and most and (piece := self.rfile.read(min(PIECE, self._left, most))):
            self._left -= len(piece)
            most -= len(piece)
            yield piece

    def ask(self, path: str = "", body: Iterable[bytes] | None = None) -> Answered:
        """Ask the registry, and return its answer."""
        headers = {
            k: v for k, v in self.asked.headers.items() if k not in _HOP - {"content-length"}
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.target, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(
                self.asked.method,
                path or self.asked.path,
                skip_host=True,
                skip_accept_encoding=True,
            )
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            for piece in self.body() if body is None else body:
                connection.send(piece)
            found = connection.getresponse()
            kept = {name.lower(): value for name, value in found.getheaders()}
            return Answered(found.status, kept, found.read())

    def ask_part(self, most: int) -> None:
        """Send the beginning of the request to the registry, and break off.

        The registry has put away what it got when this returns, since the clients of tests do not wait
        before they ask for it.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.target, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(
                self.asked.method, self.asked.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            for piece in self.body(most):
                connection.send(piece)
            finish(connection.sock)

    def answer(self, found: Answered, *, claimed: int | None = None) -> None:
        """Answer the client; `claimed` is the length that is told, where that is not the true one."""
        for _ in self.body():
            pass
        self.send_response(found.status)
        for name, value in found.headers.items():
            if name not in _HOP | {"date", "server"}:
                self.send_header(name, value)
        length = len(found.body) if claimed is None else claimed
        if self.command == "HEAD":
            length = int(found.headers.get("content-length", "0"))
        if found.status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)
            self.wfile.flush()
            if claimed is not None:
                self.close_connection = True

    def reset(self) -> None:
        """End the connection as a machine does that lost its power."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        for one in (self.rfile, self.wfile, self.connection):
            with contextlib.suppress(OSError):
                one.close()
        self.rfile, self.wfile = io.BytesIO(), io.BytesIO()

    def wait_for_the_end(self) -> None:
        """Wait until the client gives up, or the test is over."""
        self.close_connection = True
        while not self.proxy.over.is_set():
            readable = select.select([self.connection], [], [], 0.05)[0]
            # More of the body, or the end.
            if readable and not self.connection.recv(PIECE):
                return


def passing(exchange: Exchange) -> None:
    """Pass the registry's answer on."""
    exchange.answer(exchange.ask())


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Proxy:
    """A running proxy."""

    def __init__(self, target: int, script: Script) -> None:
        self.target, self.script = target, script
        self.seen: list[Asked] = []
        self.over = threading.Event()
        self._lock = threading.Lock()
        handler = type("Handler", (Exchange,), {"proxy": self})
        self._server = _Listener(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def note(self, method: str, path: str, headers: Mapping[str, str]) -> Asked:
        """Remember a request."""
        with self._lock:
            asked = Asked(len(self.seen) + 1, method, path, headers)
            self.seen.append(asked)
        return asked

    def close(self) -> None:
        """End everything."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)


@contextlib.contextmanager
def faulty(target: int, script: Script) -> Iterator[Proxy]:
    """Run a proxy in front of a port."""
    proxy = Proxy(target, script)
    try:
        yield proxy
    finally:
        proxy.close()
