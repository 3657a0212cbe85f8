"""What a request is sent with: tokens that end, and programs that give new ones."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import CommandFailed, Forbidden, LockgateError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.deploy.kube.kubeconfig import Access, Exec

PATIENCE = 60.0
"""Seconds that a plugin may take: one that opens a browser needs some."""
_FILE_AGE = 60.0
"""Seconds after which a token's file is read again."""
_EARLY = 30.0
"""Seconds before its end at which a token counts as ended."""


class Credential(NamedTuple):
    """What proves who we are."""

    header: str
    """Value of `Authorization`; empty when a certificate is all."""
    certificate: bytes = b""
    key: bytes = b""
    until: float = float("inf")
    """When it ends, in seconds since 1970."""


class _Status(Foreign, frozen=True, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: str = ""


class _ExecCredential(Foreign, frozen=True, rename="camel"):
    api_version: str
    status: _Status


class Login:
    """The credentials of one access, made when they are needed; for several threads."""

    def __init__(self, access: Access, now: Callable[[], float] = time.time) -> None:
        self._access, self._now = access, now
        self._lock = threading.Lock()
        self._held: Credential | None = None

    def credential(self, refused: Credential | None = None) -> Credential:
        """Return what to send.

        Args:
            refused: what the server has just refused; something else is got, if there can be.

        Raises:
            Forbidden: it was refused and there is nothing else, or the plugin failed.
            ToolMissing: the plugin is not installed.
        """
        with self._lock:
            held = self._held
            if held is None or held.until <= self._now() or (refused and refused == held):
                found = self._get()
                if not found.header.isascii() or not found.header.isprintable():
                    raise Forbidden(
                        f"the token for {self._access.context} holds characters that no token has",
                        hint="log in to the cluster again",
                    )
                if refused and found == refused:
                    raise self._not_known()
                self._held = held = found
            return held

    def _get(self) -> Credential:
        access = self._access
        if access.plugin is not None:
            return run_plugin(access.plugin, access)
        if access.token_file is not None:
            try:
                token = access.token_file.read_bytes().decode("latin-1").strip()
            except OSError as error:
                raise Forbidden(
                    f"the token in {access.token_file} cannot be read: {error.strerror}",
                    hint="log in to the cluster again",
                ) from None
            return Credential(f"Bearer {token}", until=self._now() + _FILE_AGE)
        if access.token:
            return Credential(f"Bearer {access.token.strip()}")
        header = "Basic " + base64.b64encode(access.password.encode()).decode()
        return Credential(header if access.password else "", access.certificate, access.key)

    def _not_known(self) -> Forbidden:
        return Forbidden(
            f"the cluster {self._access.context} does not know these credentials",
            hint=f"log in again, then see `kubectl --context {self._access.context} auth whoami`",
            status=401,
            reason="Unauthorized",
        )


def run_plugin(plugin: Exec, access: Access) -> Credential:
    """Let a program give credentials (client.authentication.k8s.io, v1 and v1beta1).

    Raises:
        ToolMissing: it is not installed.
        Forbidden: it failed, took too long, needs a terminal, or printed something else.
    """
    from lockgate.base.process import run

    def failed(why: str) -> Forbidden:
        return Forbidden(
            f"`{plugin.command}`, which logs in to {access.context}, {why}",
            hint=plugin.install_hint
            or f"run `kubectl --context {access.context} get ns` to see why",
        )

    if plugin.interactive_mode == "Always":
        raise failed("needs a terminal and gets none")
    info = {
        "apiVersion": plugin.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False}
        | ({"cluster": _cluster(access)} if plugin.provide_cluster_info else {}),
    }
    own = {one.name: one.value for one in plugin.env or ()}
    command = plugin.command
    if os.sep in command:
        command = str(access.folder / command)
    try:
        done = run(
            [command, *(plugin.args or ())],
            timeout=PATIENCE,
            env={**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)},
        )
    except ToolMissing as error:
        error.hint = plugin.install_hint or f"install `{plugin.command}`"
        raise
    except CommandFailed as error:
        raise failed(f"failed: {error.message}") from None
    try:
        found = decode(done.stdout, _ExecCredential, what="its output")
        until = found.status.expiration_timestamp
        end = datetime.fromisoformat(until).timestamp() - _EARLY if until else float("inf")
    except (LockgateError, ValueError):
        raise failed("printed no ExecCredential") from None
    if found.api_version != plugin.api_version:
        raise failed(f"printed {found.api_version} instead of {plugin.api_version}")
    status = found.status
    if not status.token and not status.client_certificate_data:
        raise failed("printed neither a token nor a certificate")
    return Credential(
        f"Bearer {status.token.strip()}" if status.token else "",
        status.client_certificate_data.encode(),
        status.client_key_data.encode(),
        end,
    )


def _cluster(access: Access) -> dict[str, str]:
    found = {"server": access.server}
    if access.authority:
        found["certificate-authority-data"] = base64.b64encode(access.authority).decode()
    return found
