"""Requests to one API server over connections that stay open. Standard library alone: see ADR 12.

Rules that hold for every request:

    (1) a connection that the server had closed meanwhile is made anew, silently and once;
    (2) an answer is whole, or there is none: a broken-off one is an error that may be tried again;
    (3) a 401 is answered with new credentials once;
    (4) no redirect is followed, nothing goes through a proxy to loopback.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube.login import Credential, Login
from lockgate.deploy.kube.tls import CONNECT, TlsConnection, context, proxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from lockgate.deploy.kube.kubeconfig import Access

ANSWER = 75.0
"""Seconds to wait for its next bytes. It gives up itself after 60."""

MAX_ANSWER = 256 << 20
"""Most bytes of one answer."""

_JSON = "application/json"


class Answer(NamedTuple):
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    """Their names in lower case."""
    body: bytes


class Transport(Protocol):
    """Carries requests; the API server in memory of the unit tests is one too."""

    def send(
        self, method: str, path: str, *, body: bytes = b"", media: str = _JSON, accept: str = _JSON
    ) -> Answer:
        """Make one request; raise a `ClusterError` when there is no whole answer."""

    def lines(self, path: str, *, until: float) -> Iterator[bytes]:
        """Make one GET request and yield the lines of its answer until the monotonic clock says `until`."""


class Connection:
    """The connections to one API server. Several threads may use it at once."""

    def __init__(self, access: Access, login: Login | None = None) -> None:
        self._access = access
        self._login = login or Login(access)
        parts = urlsplit(access.server)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = parts.scheme == "https"
        self._path = parts.path
        self._proxy = proxy(access, self._host)
        self._lock = threading.Lock()
        self._idle: list[tuple[Credential, http.client.HTTPConnection]] = []
        self._contexts: dict[tuple[bytes, bytes], ssl.SSLContext] = {}
        self.sent: Counter[str] = Counter()
        """Requests by method: what a benchmark counts."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections that wait for work."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, link in idle:
            link.close()

    def send(
        self, method: str, path: str, *, body: bytes = b"", media: str = _JSON, accept: str = _JSON
    ) -> Answer:
        """Make one request and return its whole answer, whatever the status.

        Raises:
            ClusterError: the server is out of reach or broke off; `retryable` says whether again helps.
            Forbidden: it does not know who we are.
        """
        credential = self._login.credential()
        answer = self._once(method, path, body, media, accept, credential)
        if answer.status == 401:
            credential = self._login.credential(refused=credential)
            answer = self._once(method, path, body, media, accept, credential)
            if answer.status == 401:
                self._login.credential(refused=credential)
        return answer

    def _once(
        self, method: str, path: str, body: bytes, media: str, accept: str, credential: Credential
    ) -> Answer:
        while True:
            link, used = self._take(credential)
            try:
                response = self._ask(link, method, path, body, media, accept, credential)
                content = response.read(MAX_ANSWER)
                if response.length and len(content) < MAX_ANSWER:
                    # With a limit the library takes a broken-off answer for a whole one.
                    raise http.client.IncompleteRead(b"", response.length)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                link.close()
                if used:
                    continue  # it was closed while it waited; the request may be made anew (RFC 9112, 9.3.1)
                raise self._lost(error) from None
            except (OSError, http.client.HTTPException) as error:
                link.close()
                raise self._lost(error) from None
            except BaseException:
                link.close()  # Ctrl-C in the middle of an answer: the rest of it is nobody's
                raise
            self._give_back(credential, link, response)
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, content)

    def lines(self, path: str, *, until: float) -> Iterator[bytes]:
        """Make one GET request and yield the lines of its answer, at most until `until`.

        A line that is an error object is yielded like any other. Ends silently when the server ends it or the
        time is over.

        Raises:
            ClusterError: out of reach.
        """
        credential = self._login.credential()
        link = self._open(credential)
        try:
            response = self._ask(link, "GET", path, b"", _JSON, _JSON, credential)
            while (left := until - time.monotonic()) > 0:
                if link.sock is not None:
                    link.sock.settimeout(left)
                line = response.readline()
                if not line:
                    return
                yield line
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from None
        finally:
            link.close()

    def _ask(
        self,
        link: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        media: str,
        accept: str,
        credential: Credential,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": accept, "User-Agent": "lockgate"}
        if credential.header:
            headers["Authorization"] = credential.header
        if body:
            headers["Content-Type"] = media
        self.sent[method] += 1
        link.request(method, self._path + path, body or None, headers)
        return link.getresponse()

    def _take(self, credential: Credential) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            while self._idle:
                made_for, link = self._idle.pop()
                if made_for == credential:
                    return link, True
                link.close()
        return self._open(credential), False

    def _give_back(
        self,
        credential: Credential,
        link: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        if response.will_close or not response.isclosed():
            link.close()
            return
        with self._lock:
            self._idle.append((credential, link))

    def _open(self, credential: Credential) -> http.client.HTTPConnection:
        host, port = self._proxy or (self._host, self._port)
        link: http.client.HTTPConnection
        if self._tls:
            link = TlsConnection(
                host, port, self._context(credential), self._access.tls_name or self._host
            )
        else:
            link = http.client.HTTPConnection(host, port, timeout=CONNECT)
        if self._proxy:
            link.set_tunnel(self._host, self._port or 443)
        try:
            link.connect()
        except (OSError, http.client.HTTPException) as error:
            link.close()
            raise self._unreachable(error) from None
        if link.sock is not None:
            link.sock.settimeout(ANSWER)
        return link

    def _context(self, credential: Credential) -> ssl.SSLContext:
        pair = (credential.certificate, credential.key)
        with self._lock:
            if pair not in self._contexts:
                self._contexts[pair] = context(self._access.authority, *pair)
            return self._contexts[pair]

    def _unreachable(self, error: Exception) -> ClusterError:
        where = f"the cluster {self._access.context} at {self._access.server}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return ClusterError(
                f"{where} shows a certificate that does not prove who it is: {error.verify_message}",
                hint="get the kubeconfig again from where it came, or check the address",
            )
        return ClusterError(
            f"{where} cannot be reached: {_reason(error)}",
            hint=f"`kubectl --context {self._access.context} version` asks it too; is it running?",
            retryable=isinstance(error, ConnectionError | TimeoutError),
        )

    def _lost(self, error: Exception) -> ClusterError:
        return ClusterError(
            f"the cluster {self._access.context} did not answer: {_reason(error)}",
            hint="run the same command again",
            retryable=True,
        )


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "the connection was closed in the middle"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
