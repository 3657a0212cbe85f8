"""Where a repository is: which host answers, by which protocol. Pure.

Plain HTTP is spoken to loopback addresses, to `localhost`, to names below `localhost` (RFC 6761 section 6.3)
and to hosts that are named for it; to nobody else, and never because a server asks for it.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

_HUB = "docker.io"
_HUB_ADDRESS = "registry-1.docker.io"
"""Docker Hub is named by one host and served by another."""


class Endpoint(NamedTuple):
    """One repository of one registry."""

    host: str
    """Host and port as a reference has them; by this name credentials are looked up."""
    path: str
    """Repository within the registry."""
    scheme: str
    """`http` or `https`."""

    @classmethod
    def of(cls, name: str, *, plain_http: Collection[str] = (), tls: bool = False) -> Self:
        """Find the registry in a reference's name, `host[:port]/path`.

        Args:
            name: `ImageRef.name`.
            plain_http: hosts, with their port when they have one, that speak plain HTTP.
            tls: use TLS on loopback too, because the caller has the certificates for it.

        Raises:
            UsageError: there is no registry in the name.
        """
        host, _, path = name.partition("/")
        if not path or not has_host(name):
            raise UsageError(
                f"{name!r} names no registry", hint="write it in front: `registry.example/team/app`"
            )
        hostname = _hostname(host)
        plain = host in plain_http or hostname in plain_http
        if host == _HUB and "/" not in path:
            path = f"library/{path}"
        return cls(host, path, "http" if plain or (is_loopback(hostname) and not tls) else "https")

    @property
    def registry(self) -> str:
        """Address of the registry, without a slash at the end."""
        return f"{self.scheme}://{_HUB_ADDRESS if self.host == _HUB else self.host}"

    @property
    def address(self) -> str:
        """Address below which the repository's manifests and blobs are."""
        return f"{self.registry}/v2/{self.path}"

    @property
    def name(self) -> str:
        """Host and path, as in a reference."""
        return f"{self.host}/{self.path}"


def has_host(name: str) -> bool:
    """True when the first part of a reference's name is a registry, and not a folder of one."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or any(mark in first for mark in ".:["))


def is_loopback(hostname: str) -> bool:
    """True for addresses of this machine that no other one answers on."""
    if is_localhost(hostname):
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def is_localhost(hostname: str) -> bool:
    """True for `localhost` and the names below it, which not every resolver knows."""
    plain = hostname.lower().rstrip(".")
    return plain == "localhost" or plain.endswith(".localhost")


def _hostname(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  (reading it checks it)
    except ValueError as error:
        raise UsageError(
            f"{host!r} is not a host: {error}", hint="a port is a number up to 65535"
        ) from None
    return (parts.hostname or "").lower()
