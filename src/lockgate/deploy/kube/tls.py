"""How a server is reached and how both prove who they are: certificates, names, proxies."""

from __future__ import annotations

import http.client
import os
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from lockgate.deploy.kube.kubeconfig import Access

CONNECT = 10.0
"""Seconds to reach a server."""


class TlsConnection(http.client.HTTPSConnection):
    """A connection whose server may be known by another name than that it is reached by."""

    def __init__(self, host: str, port: int | None, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=CONNECT, context=context)
        self._name, self._tls = name, context

    def connect(self) -> None:
        """Open the connection, and check who answers."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def proxy(access: Access, host: str) -> tuple[str, int] | None:
    """Return host and port of the proxy to a server; None when there is none.

    Raises:
        UsageError: it is of a kind that cannot be used.
    """
    address = access.proxy
    if not address:
        if host in ("127.0.0.1", "::1", "localhost") or not any(
            name.lower() in ("https_proxy", "all_proxy") for name in os.environ
        ):
            return None
        from urllib.request import getproxies, proxy_bypass

        found = getproxies()
        address = "" if proxy_bypass(host) else found.get("https") or found.get("all") or ""
    if not address:
        return None
    try:
        parts = urlsplit(address)
        port = parts.port or 80
    except ValueError:
        raise UsageError(
            "the address of the proxy is none",
            hint="set `proxy-url` of the cluster in the kubeconfig, or NO_PROXY",
        ) from None
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(
            f"the proxy {parts.scheme}://{parts.hostname} cannot be used: only `http://HOST:PORT` can",
            hint="set `proxy-url` of the cluster in the kubeconfig, or NO_PROXY",
        )
    return parts.hostname, port


def context(authority: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Return what checks the server, and shows the client's certificate when it has one.

    Raises:
        UsageError: a certificate or key is none.
    """
    try:
        context = ssl.create_default_context(cadata=authority.decode("ascii") or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate:
            # The library reads keys from files only. This one exists in memory alone.
            handle = os.memfd_create("client")
            try:
                with os.fdopen(handle, "wb", closefd=False) as file:
                    file.write(certificate.rstrip() + b"\n" + key)
                # An encrypted key is refused: without a password the library would ask the terminal for one.
                context.load_cert_chain(f"/proc/self/fd/{handle}", password="")
            finally:
                os.close(handle)
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UsageError(
            f"a certificate in the kubeconfig cannot be used: {reason}",
            hint="get the kubeconfig again from where it came",
        ) from None
    return context
