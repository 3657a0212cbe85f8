"""HTTP requests as they go over the wire: certificates, loopback names, who may be spoken to plainly."""

from __future__ import annotations

import contextlib
import http.cookiejar
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from lockgate.base.errors import RegistryError, UsageError
from lockgate.oci import faults
from lockgate.oci.endpoint import Endpoint, is_localhost, is_loopback

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from lockgate.oci.credentials import Credential

_CONNECT, _READ = 10.0, 60.0
"""Seconds to reach a registry, and to wait for its next bytes."""

_LOOPBACK = "127.0.0.1"

_LABEL = 64
"""Characters that a part of a host's name has less than (RFC 1035, section 2.3.4)."""


def _nobody(_: Endpoint) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class World:
    """What a connection takes from outside."""

    credentials: Callable[[Endpoint], Credential | None] = _nobody
    """Finds what to log in with; asked only once a registry wants to know."""
    ca_file: Path | None = None
    """Certificates (PEM) of the authorities to trust instead of the machine's; loopback uses TLS then too."""
    plain_http: Collection[str] = ()
    """Hosts that speak plain HTTP."""
    transport: httpx2.BaseTransport | None = None
    """What carries requests instead of sockets."""
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    """From 0 to 1."""
    now: Callable[[], float] = time.time
    """Seconds since 1970."""

    def endpoint(self, name: str) -> Endpoint:
        """Find the registry in a reference's name.

        Raises:
            UsageError: there is none.
        """
        return Endpoint.of(name, plain_http=self.plain_http, tls=self.ca_file is not None)


class Connection:
    """The connections that one registry and those that it names are spoken to by; for several threads."""

    def __init__(self, endpoint: Endpoint, world: World) -> None:
        self._endpoint, self._world = endpoint, world
        self._clients: dict[tuple[str, bool], httpx2.Client] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End all connections."""
        for client in self._clients.values():
            client.close()

    @contextlib.contextmanager
    def send(
        self,
        method: str,
        address: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] = b"",
    ) -> Iterator[httpx2.Response]:
        """Send one request and hand out whatever is answered, its content not read yet.

        Raises:
            RegistryError: there is no answer, or it breaks off, or the address would have to be spoken to
                without protection.
        """
        self._check(address)
        host = address.netloc.decode("ascii")
        # Content is hashed as it was served, so nobody may pack it on the way.
        sent = {"Accept-Encoding": "identity", "User-Agent": "lockgate", "Host": host} | dict(
            headers
        )
        local = is_localhost(address.host)
        try:
            response = self._client(address).send(
                httpx2.Request(
                    method,
                    address.copy_with(host=_LOOPBACK) if local else address,
                    headers=sent,
                    content=body or None,
                    extensions={"sni_hostname": address.host} if local else {},
                ),
                stream=True,
            )
            try:
                yield response
            finally:
                response.close()
        except faults.FOREIGN as error:
            raise faults.unreachable(error, host, plain=address.scheme == "http") from None

    def _check(self, address: httpx2.URL) -> None:
        host = address.netloc.decode("ascii")
        if not all(0 < len(one) < _LABEL for one in address.host.removesuffix(".").split(".")):
            raise RegistryError(
                f"{host[:80]} cannot be the name of a host", hint="check the spelling"
            )
        plain = is_loopback(address.host) or not {host, address.host}.isdisjoint(
            self._world.plain_http
        )
        if address.scheme == "https":
            return
        if address.scheme == self._endpoint.scheme == "http" and plain:
            return
        raise RegistryError(
            f"{self._endpoint.host} sends to {address.scheme}://{host}, which is not protected",
            hint="its address for clients is set wrongly; ask who runs it",
        )

    def _client(self, address: httpx2.URL) -> httpx2.Client:
        key = (address.scheme, is_loopback(address.host))
        with self._lock:
            if key not in self._clients:
                client = httpx2.Client(
                    transport=self._world.transport,
                    verify=self._certificates(address.scheme),
                    timeout=httpx2.Timeout(_READ, connect=_CONNECT),
                    # Where a proxy stands, another machine's loopback is.
                    trust_env=not key[1],
                )
                # A session must not stick to the requests of another user, nor turn on a registry's
                # protection against forged forms (Harbor).
                nobody = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
                client.cookies.jar.set_policy(nobody)
                self._clients[key] = client
            return self._clients[key]

    def _certificates(self, scheme: str) -> ssl.SSLContext:
        import ssl

        if self._world.ca_file is None and scheme == "https" and self._world.transport is None:
            return httpx2.create_ssl_context()
        if self._world.ca_file is None or scheme == "http":
            # It trusts nobody. Reading the machine's certificates takes a while, and none is looked at.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            return ssl.create_default_context(cafile=self._world.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"{self._world.ca_file} cannot be used: {error.strerror or error}",
                hint="it must be a file of certificates in PEM",
            ) from None
