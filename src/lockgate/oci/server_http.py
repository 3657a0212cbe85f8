"""Connections and threads of the registry: HTTP/1.1 on top of the standard library's server.

What a person asked for is in `server`. Here is what keeps a client that is slow, silent or hostile from
holding more than its one connection, for longer than the limits say.
"""

from __future__ import annotations

import contextlib
import io
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.oci.server_body import Head, Patient, body_of, drained
from lockgate.oci.server_protocol import Body, Refused, Request, Response, refused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_SMALL = 64 * 1024
"""Bytes of an unread body that are thrown away to keep the connection."""

_LARGE = 8 << 20
"""Bytes of one that are thrown away before the connection is closed, so that the client sees the answer."""


class Limits(NamedTuple):
    """What a client may cost."""

    connections: int = 128
    """At once; the next one is told to come again."""
    idle: float = 30.0
    """Seconds that the head of the next request may take; the TLS handshake too."""
    stall: float = 60.0
    """Seconds that the next piece of a body may take, in either direction."""


class HttpServer(ThreadingHTTPServer):
    """Listens from the moment it is made; a thread answers each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[Request], Response],
        *,
        tls: ssl.SSLContext | None,
        limits: Limits,
        log: Callable[[str], None],
    ) -> None:
        self.answer, self.limits, self.log = answer, limits, log
        self.stopping = False
        self._tls = tls
        self._free = threading.Semaphore(limits.connections)
        self._changed = threading.Condition()
        self._handlers: set[_Handler] = set()
        try:
            found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
            self.address_family = found[0]
            super().__init__((str(found[4][0]), address[1]), _Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            raise UsageError(
                f"{address[0]}:{address[1]} cannot be listened on: {error}",
                hint="`--port 0` takes a free port, `--host` an address of this machine",
            ) from None

    def server_bind(self) -> None:
        """Bind, without looking up the machine's name as HTTPServer does."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own when one is free."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            if self._tls is None:
                request.sendall(
                    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection, then give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands when this is TLS, then read requests until there are no more."""
        with contextlib.suppress(OSError):
            if self._tls is not None:
                request.settimeout(self.limits.idle)
                request = self._tls.wrap_socket(request, server_side=True)
            with contextlib.closing(request):
                super().finish_request(request, client_address)

    def enter(self, handler: _Handler) -> None:
        """Remember a connection that is open."""
        with self._changed:
            self._handlers.add(handler)

    def leave(self, handler: _Handler) -> None:
        """Forget a connection that was closed."""
        with self._changed:
            self._handlers.discard(handler)
            self._changed.notify_all()

    def finish(self, grace: float) -> None:
        """Close idle connections, wait until the others have answered, then close those too."""
        with self._changed:
            for handler in self._handlers:
                if not handler.busy:
                    handler.hang_up()
            self._changed.wait_for(lambda: not self._handlers, grace)
            for handler in self._handlers:
                handler.hang_up()
            self._changed.wait_for(lambda: not self._handlers, 1)


class _Writer(io.RawIOBase):
    """Sends all of what is written, within the patience for one piece."""

    def __init__(self, connection: socket.socket, stall: float) -> None:
        self._connection, self._stall = connection, stall

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._connection.settimeout(self._stall)
        self._connection.sendall(data)
        return len(data)


class _Handler(BaseHTTPRequestHandler):
    """One connection: requests one after the other."""

    protocol_version = "HTTP/1.1"
    # What does not say gets an answer with a head all the same.
    default_request_version = "HTTP/1.0"
    server: HttpServer

    def setup(self) -> None:
        self.connection = self.request
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._patient = Patient(self.connection)
        self.rfile = io.BufferedReader(self._patient, 64 * 1024)
        self.wfile = _Writer(self.connection, self.server.limits.stall)  # type: ignore[assignment]
        self.busy = False
        self.server.enter(self)

    def finish(self) -> None:
        self.server.leave(self)
        self.rfile.close()

    def hang_up(self) -> None:
        """End the connection from another thread."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def handle_one_request(self) -> None:
        self.busy = False
        if self.server.stopping:
            self.close_connection = True
            return
        self._patient.renew(self.server.limits.idle)
        super().handle_one_request()

    def parse_request(self) -> bool:
        self.busy = True
        whole, head = self.rfile, Head(self.rfile)
        self.rfile = head  # type: ignore[assignment] # only its lines are read
        try:
            understood = super().parse_request()
        finally:
            self.rfile = whole
        if understood and head.broken:
            self.send_error(400, "a line of the head is no header field")
        return understood and not head.broken

    def _serve(self) -> None:
        body: Body | None = None
        try:
            body, length = body_of(
                self.headers.get_all("Content-Length", []),
                self.headers.get_all("Transfer-Encoding", []),
                self.rfile,
                lambda: self._patient.renew(self.server.limits.stall),
            )
            request = Request.of(self.command, self.path, dict(self.headers.items()), body, length)
            response = self.server.answer(request)
        except Refused as error:
            # Where the next request begins is not known.
            self.close_connection = body is None
            response = error.response
        except (ConnectionError, TimeoutError):
            self.close_connection = True
            return
        if response.done:
            self.server.log(response.done)
        self._finish(response, body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _finish(self, response: Response, body: Body | None) -> None:
        try:
            whole = body is not None and drained(body, _SMALL)
            self.close_connection |= not whole or self.server.stopping
            self._send(response)
            if body is not None and not whole:
                drained(body, _LARGE)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            if response.extent is not None:
                response.extent.file.close()

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        for name, value in (
            *response.headers,
            ("X-Content-Type-Options", "nosniff"),
            *((("Content-Length", str(response.length)),) if response.status != 204 else ()),
            *((("Connection", "close"),) if self.close_connection else ()),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if response.extent is None:
            self.wfile.write(response.body)
            return
        file, start, size = response.extent
        self.connection.settimeout(self.server.limits.stall)
        if size and self.connection.sendfile(file, start, size) != size:
            # The file became shorter: the client has to see that this is not the end.
            self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what could not be read as a request."""
        self.close_connection = True
        self.command = self.command or "GET"
        text = message or explain or "this is not a request that is understood"
        self._send(refused(code, "UNSUPPORTED", text[:200]).response)

    def log_message(self, *_: object) -> None:
        """Say nothing: what changed is logged where it was changed."""
