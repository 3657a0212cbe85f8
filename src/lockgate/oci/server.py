"""A registry on a socket: the OCI distribution protocol over an image layout (`server_routes`).

For laptops, air gaps and tests: one process, loopback unless told otherwise. For more there are
distribution, zot and Harbor.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from typing import TYPE_CHECKING, Self

from lockgate.base.errors import UsageError
from lockgate.oci.server_http import HttpServer, Limits
from lockgate.oci.server_routes import Registry, Rules
from lockgate.oci.server_uploads import sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.oci.layout import Layout

GRACE = 10.0
"""Seconds that running requests have to end once the server is asked to stop."""

LOOPBACK_NAMES = ("127.0.0.1", "[::1]", "localhost", ".localhost")
"""By which a registry on loopback may be called, without TLS (`Rules.names`)."""


class Server:
    """A registry that listens from the moment it is made, and answers between `start` and `stop`."""

    def __init__(
        self,
        layout: Layout,
        rules: Rules | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: tuple[Path, Path] | None = None,
        limits: Limits | None = None,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Bind the socket, and remove what was abandoned in the layout.

        Args:
            layout: what is served.
            rules: who may do what.
            host: address to listen on.
            port: 0 for a free one.
            tls: files of the certificate chain and its key (PEM).
            limits: what a client may cost.
            log: called with a line for each change, and for what went wrong, from several threads.

        Raises:
            UsageError: the address is taken or none of this machine, or the certificate cannot be used.
            StorageError: the layout cannot be written.
        """
        rules = rules or Rules()
        self._http = HttpServer(
            (host, port),
            Registry(layout, rules).answer,
            tls=_context(tls),
            limits=limits or Limits(),
            log=log,
        )
        if not rules.read_only:
            sweep(layout.root, time.time())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def address(self) -> str:
        """Host and port, as a reference begins: `127.0.0.1:5000`."""
        host, port = self._http.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def start(self) -> Self:
        """Begin to answer, in threads."""
        self._thread.start()
        return self

    def stop(self, grace: float = GRACE) -> None:
        """Take no more connections, let running requests end for `grace` seconds, then end them."""
        self._http.stopping = True
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._http.finish(grace)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def is_loopback(host: str) -> bool:
    """True when no other machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(files: tuple[Path, Path] | None) -> ssl.SSLContext | None:
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A key that asks for a password would wait for a terminal that nobody looks at.
        context.load_cert_chain(*files, password="")
    except OSError as error:
        raise UsageError(
            f"the certificate {files[0]} with the key {files[1]} cannot be used: {error}",
            hint="both are PEM files: the certificate with its chain, the key without a password",
        ) from None
    return context
