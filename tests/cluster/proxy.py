"""A proxy before the API server that sees every request, and can do something at any of them."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import ssl
import threading
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.apiserver import ApiServer


class Request(NamedTuple):
    """One request."""

    number: int
    """From 1."""
    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether it changes something in the cluster."""
        return (
            self.method != "GET"
            and "dryRun=All" not in self.path
            and "authorization.k8s.io" not in self.path
        )


def _nothing(_: Request) -> None:
    """Let a request pass."""


class Proxy:
    """Speaks plain HTTP on loopback, and TLS to the API server."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.seen: list[Request] = []
        self.before: Callable[[Request], None] = _nothing
        """Called before a request is passed on."""
        self.after: Callable[[Request], None] = _nothing
        """Called when the API server has answered, and the client does not know it yet."""
        self.url = ""

    def number(self, method: str, path: str) -> Request:
        """Count a request."""
        with self._lock:
            made = Request(len(self.seen) + 1, method, path)
            self.seen.append(made)
        return made

    def pass_on(
        self, request: Request, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the API server."""
        parts = urlsplit(self._server.url)
        context = ssl.create_default_context(cafile=self._server.folder / "server.crt")
        with contextlib.closing(
            http.client.HTTPSConnection("127.0.0.1", parts.port, context=context, timeout=60)
        ) as link:
            link.request(request.method, request.path, body or None, headers)
            answer = link.getresponse()
            return answer.status, answer.getheaders(), answer.read()


@contextlib.contextmanager
def proxied(server: ApiServer) -> Iterator[Proxy]:
    """Run a proxy."""
    proxy = Proxy(server)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

        def _any(self) -> None:
            request = proxy.number(self.command, self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sent = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("host", "content-length", "connection")
            }
            try:
                proxy.before(request)
                status, headers, content = proxy.pass_on(request, sent, body)
                proxy.after(request)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in headers:
                    if name.lower() in ("content-type", "retry-after"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - the library's names

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that was killed is what these tests are about."""

    with Server(("127.0.0.1", 0), Handler) as listener:
        proxy.url = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown()
            thread.join()
