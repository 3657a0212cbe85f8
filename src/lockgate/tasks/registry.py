"""`inv registry.serve`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import reported

if TYPE_CHECKING:
    import threading

    from invoke.context import Context

    from lockgate.oci.layout import Layout
    from lockgate.oci.server_users import Users

USER = "LOCKGATE_REGISTRY_USER"
"""Environment variable with the `name:password` of the one who may use the registry."""


@task(
    auto_shortflags=False,  # `-p` is `--plan` everywhere
    help={
        "host": "address to listen on; any but loopback lets other machines in",
        "port": "port to listen on; 0 picks a free one",
        "store": "folder of an image layout; without it the store of lockgate.yaml",
        "users": f"file with lines `name:hash` of `openssl passwd -6`; or `name:password` in {USER}",
        "cert": "certificate with its chain (PEM), for TLS",
        "cert_key": "key of the certificate (PEM)",
        "read_only": "nothing can be pushed or deleted; nothing is written into the store",
    },
)
@reported
def serve(
    context: Context,
    host: str = "127.0.0.1",
    port: int = 5000,
    store: str = "",
    users: str = "",
    cert: str = "",
    cert_key: str = "",
    read_only: bool = False,
) -> None:
    """Serve the store as an OCI registry until Ctrl-C; for laptops, air gaps and tests.

    The address is printed on stdout. Example: inv registry.serve --port 0
    """
    from pathlib import Path

    from lockgate.base.errors import UsageError
    from lockgate.oci.server import LOOPBACK_NAMES, Server, is_loopback
    from lockgate.oci.server_routes import Rules
    from lockgate.tasks.console import Console

    console = Console()
    if bool(cert) != bool(cert_key):
        raise UsageError("a certificate needs its key", hint="give both `--cert` and `--cert-key`")
    local = is_loopback(host)
    rules = Rules(
        users=_users(users),
        read_only=read_only,
        names=LOOPBACK_NAMES if local and not cert else None,
    )
    stop = _signals()
    with Server(
        _layout(store, read_only=read_only),
        rules,
        host=host,
        port=port,
        tls=(Path(cert), Path(cert_key)) if cert else None,
        log=lambda line: console.say("registry", line),
    ) as server:
        scheme = "https" if cert else "http"
        mode = "  read-only" if read_only else ""
        console.say("registry", f"{scheme}://{server.address}{mode}   stop: Ctrl-C", tone="good")
        if not local and not cert:
            console.say("registry", "other machines reach it without TLS", tone="warn")
        if not local and rules.users is None:
            console.say("registry", "other machines need no password", tone="warn")
        sys.stdout.write(server.address + "\n")
        sys.stdout.flush()
        stop.wait()
        console.say("registry", "stopping: requests that run may end")
    console.say("registry", "stopped")


def _layout(store: str, *, read_only: bool) -> Layout:
    from pathlib import Path

    from lockgate.base.errors import UsageError
    from lockgate.oci.layout import Layout
    from lockgate.tasks.session import open_session

    if store:
        place = Path(store)
        there = {one.name for one in place.iterdir()} if place.is_dir() else set()
        # Nobody serves a folder of keys or sources on purpose. One that was killed while it was made is a layout, too.
        if "oci-layout" not in there and any(
            one not in ("blobs", "index.json") and not one.startswith(".") for one in there
        ):
            raise UsageError(
                f"{store} is no image layout, and not empty",
                hint="name a new folder, an empty one or an image layout",
            )
    else:
        session = open_session()
        place = session.root / session.settings.store
    return Layout.open(place) if read_only else Layout.create(place)


def _users(file: str) -> Users | None:
    from pathlib import Path

    from lockgate.base.errors import UsageError
    from lockgate.oci.server_users import Users

    plain = os.environ.get(USER)
    if file and plain is not None:
        raise UsageError(f"both `--users` and {USER} say who may come in", hint=f"unset {USER}")
    if plain is not None:
        return Users.single(plain, USER)
    if not file:
        return None
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", hint="`--users` names a file") from None
    return Users.parse(text, file)


def _signals() -> threading.Event:
    """Return what is set once the process is asked to end."""
    import signal
    import threading

    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    return asked


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("registry", serve)
