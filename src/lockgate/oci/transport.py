"""Requests to a registry: retries, redirects, credentials, and bytes as they were served.

Rules that hold for every request:

    (1) credentials go to the registry that they are for, and to the realm that it names; a redirect to
        another scheme, host or port goes without;
    (2) nothing goes from https to http, and http only to where `endpoint` allows it;
    (3) 429, 5xx and broken connections are tried again, after a random pause that grows, or the one that
        the registry asks for; a number of times and no more;
    (4) answers are read with a limit and not unpacked: what is hashed is what was served.
"""

from __future__ import annotations

import contextlib
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import httpx2

from lockgate.base.errors import RegistryError
from lockgate.oci import faults
from lockgate.oci.auth import Access
from lockgate.oci.connection import Connection, World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from lockgate.base.errors import LockgateError
    from lockgate.oci.endpoint import Endpoint

T = TypeVar("T")

ATTEMPTS = 5
PAUSE = 0.5
"""Seconds before the second attempt at most; twice that before the third, and so on."""
LONGEST_PAUSE = 60.0
"""A registry that asks to wait longer, in seconds, is not waited for."""

_WHOLE = ("http://", "https://")
_HOPS = 5
_LOGINS = 2
"""401s that one request may get: one for the first token, one for a token that has just ended."""
_REDIRECTS = (301, 302, 303, 307, 308)


class Transport:
    """Speaks with the registry of one repository. Several threads may use it at once."""

    def __init__(self, endpoint: Endpoint, world: World) -> None:
        self.endpoint = endpoint
        self._world = world
        self._home = httpx2.URL(endpoint.registry)
        self._connection = Connection(endpoint, world)
        self.access = Access(endpoint, find=world.credentials, ask=self._ask, now=world.now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns, trying again after failures that may pass.

        Raises:
            RegistryError: the failure stays, or is of another kind.
        """
        for number in range(1, ATTEMPTS):
            try:
                return attempt()
            except RegistryError as error:
                self.pause(error, number)
        return attempt()

    def pause(self, error: RegistryError, number: int) -> None:
        """Wait after failed attempt `number`, 1 for the first. The jitter keeps many clients apart.

        Raises:
            RegistryError: trying again is of no use, or not for long.
        """
        if not error.retryable or error.pause > LONGEST_PAUSE or number >= ATTEMPTS:
            raise error
        self._world.sleep(error.pause + PAUSE * 2 ** (number - 1) * self._world.random())

    def request(
        self,
        method: str,
        url: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] = b"",
        accept: Collection[int] = (200,),
        limit: int = faults.MAX_BODY,
    ) -> faults.Answer:
        """Make one request and return its answer whole.

        Args:
            method: GET, HEAD, …
            url: absolute, or relative to the registry: `/v2/…`.
            what: what is asked for, to begin the sentence of an error with.
            headers: additional ones.
            body: content to send; an iterator is sent once, and when the registry wants it again, that is
                an error that may be retried.
            accept: statuses that are answers; any other one is an error.
            limit: most bytes of an answer.

        Raises:
            RegistryError: no connection, another status, or a larger answer.
            DigestMismatch: the registry says that the bytes it got have another digest.
        """
        with self.exchange(method, url, what, headers=headers, body=body, accept=accept) as found:
            content = b"" if method == "HEAD" else _read(found, what, limit)
            return faults.Answer(found.status_code, found.headers, content)

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] = b"",
        accept: Collection[int] = (200,),
    ) -> Iterator[httpx2.Response]:
        """Make one request and hand out its answer while it still comes; otherwise as `request`."""
        address, logins, hops = self._join(self._home, url), 0, 0
        while True:
            home = _origin(address) == _origin(self._home)
            used = self.access.header() if home else ""
            sent = dict(headers or {}) | ({"Authorization": used} if used else {})
            with self._connection.send(method, address, sent, body) as response:
                status = response.status_code
                if status == 401 and home:
                    logins += 1
                    if logins > _LOGINS:
                        raise self.access.refused()
                    self.access.answer(response.headers.get_list("www-authenticate"), used)
                elif status in _REDIRECTS and "location" in response.headers:
                    hops += 1
                    self._check_redirect(method, response, hops)
                    address = self._join(address, response.headers["location"])
                elif status not in accept:
                    raise self._refused(response, what)
                else:
                    yield response
                    return
                if not isinstance(body, bytes):
                    raise RegistryError(
                        f"{self.endpoint.name} wants {what} to be sent again",
                        hint="run the same command again",
                        retryable=True,
                    )

    def _join(self, base: httpx2.URL, url: str) -> httpx2.URL:
        try:
            # An address that is whole need not be joined, which takes two more readings of it.
            return httpx2.URL(url) if url.startswith(_WHOLE) else base.join(url)
        except faults.FOREIGN as error:
            raise faults.unreachable(error, self.endpoint.host) from None

    def _check_redirect(self, method: str, response: httpx2.Response, hops: int) -> None:
        if hops > _HOPS:
            raise faults.unreachable(httpx2.TooManyRedirects(""), self.endpoint.host)
        if response.status_code not in (307, 308) and method not in ("GET", "HEAD"):
            raise RegistryError(
                f"{self.endpoint.host} answers a {method} with a redirect that would change it",
                hint="check that the address is that of a registry",
                status=response.status_code,
            )

    def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> faults.Answer:
        """Ask a realm for a token."""
        with self._connection.send(method, self._join(self._home, url), headers, body) as response:
            if response.status_code == 429 or response.status_code >= 500:
                raise self._refused(response, "a token", repeat=False)
            return faults.Answer(
                response.status_code, response.headers, _read(response, "a token", faults.MAX_BODY)
            )

    def _refused(
        self, response: httpx2.Response, what: str, *, repeat: bool = True
    ) -> LockgateError:
        try:
            # A realm may repeat what it was sent, and that holds credentials.
            body = _read(response, what, faults.MAX_BODY) if repeat else b""
        except (RegistryError, *faults.FOREIGN):
            body = b""
        answer = faults.Answer(response.status_code, response.headers, body)
        reading = response.request.method in ("GET", "HEAD")
        error = faults.refused(answer, what, self.endpoint.name, reading=reading)
        if isinstance(error, RegistryError):
            error.pause = self._asked_to_wait(response)
        return error

    def _asked_to_wait(self, response: httpx2.Response) -> float:
        """Read Retry-After, seconds or a date (RFC 9110 section 10.2.3); 0 when it says nothing."""
        text = response.headers.get("retry-after", "").strip()
        if text.isdecimal():
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._world.now())
        except (ValueError, OverflowError):
            return 0.0


def _origin(address: httpx2.URL) -> tuple[str, str, int | None]:
    return address.scheme, address.host, address.port


def _read(response: httpx2.Response, what: str, limit: int) -> bytes:
    found = bytearray()
    for piece in response.iter_raw():
        found += piece
        if len(found) > limit:
            raise RegistryError(
                f"{what} is larger than {limit} bytes",
                hint="it is no manifest, index or configuration; check the address",
            )
    return bytes(found)
