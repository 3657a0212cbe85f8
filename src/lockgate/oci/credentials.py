"""Who a registry knows us as: docker's and podman's files, and credential helpers.

Formats: docker/cli `config.json` (`auths`, `credHelpers`, `credsStore`), containers-auth.json(5), and the
protocol of docker-credential-helpers. A helper gets the registry on stdin and answers on stdout, so no secret
stands in an argument.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import CommandFailed, ToolMissing, UsageError
from lockgate.base.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lockgate.oci.endpoint import Endpoint

HELPER_TIMEOUT = 60.0
"""Seconds that a helper has; it may ask a person for a password."""

_HUB_KEY = "index.docker.io"
_HUB_SERVER = "https://index.docker.io/v1/"
"""Docker Hub's name in files and to helpers."""

_TOKEN_USER = "<token>"  # noqa: S105
"""The user's name by which a helper says that its secret is an identity token."""

_MAX_FILE = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """What a person or a machine logs in with. The secret is not in its `repr`."""

    username: str
    """Empty for an identity token."""
    secret: str = field(repr=False)
    """A password, or an identity token (an OAuth 2 refresh token)."""
    origin: str
    """Where it was found, for errors."""

    @property
    def is_token(self) -> bool:
        """True for an identity token."""
        return not self.username

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        plain = f"{self.username}:{self.secret}".encode()
        return "Basic " + base64.b64encode(plain).decode()


class _Entry(Foreign, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _File(Foreign, frozen=True, rename="camel"):
    auths: dict[str, _Entry] = msgspec.field(default_factory=dict)
    cred_helpers: dict[str, str] = msgspec.field(default_factory=dict)
    creds_store: str = ""


class CredentialFiles:
    """The files and helpers of one user."""

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._environ = environ
        self._home = home

    def find(self, endpoint: Endpoint) -> Credential | None:
        """Return what to log in with, or None when no file knows the registry.

        Raises:
            UsageError: a file is not what it should be, or the one that was named is not there.
            ToolMissing, CommandFailed: a helper that a file names cannot be used.
        """
        for path in self._paths():
            file = _read(path)
            if file is not None:
                found = self._find(file, path, endpoint)
                if found is not None:
                    return found
        return None

    def _paths(self) -> Iterator[Path]:
        named = self._environ.get("REGISTRY_AUTH_FILE")
        if named:
            if not Path(named).exists():
                raise UsageError(
                    f"{named} is not there, and REGISTRY_AUTH_FILE names it",
                    hint="unset the variable, or `podman login --authfile FILE`",
                )
            yield Path(named)
        else:
            runtime = self._environ.get("XDG_RUNTIME_DIR")
            if runtime:
                yield Path(runtime) / "containers" / "auth.json"
            config = self._environ.get("XDG_CONFIG_HOME") or self._home / ".config"
            yield Path(config) / "containers" / "auth.json"
        docker = self._environ.get("DOCKER_CONFIG") or self._home / ".docker"
        yield Path(docker) / "config.json"

    def _find(self, file: _File, path: Path, endpoint: Endpoint) -> Credential | None:
        keys = _keys(endpoint)
        helpers = {_plain(key): helper for key, helper in file.cred_helpers.items()}
        for key in keys:
            if key in helpers:
                found = self._ask(helpers[key], endpoint, path)
                if found is not None:
                    return found
        entries = {_plain(key): entry for key, entry in file.auths.items()}
        for key in keys:
            found = _parse(entries[key], key, path) if key in entries else None
            if found is not None:
                return found
        return self._ask(file.creds_store, endpoint, path) if file.creds_store else None

    def _ask(self, helper: str, endpoint: Endpoint, path: Path) -> Credential | None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", helper):
            raise UsageError(
                f"{path} names the credential helper {helper!r}, which cannot be one",
                hint="correct it there: a helper's name is the end of `docker-credential-NAME`",
            )
        program = f"docker-credential-{helper}"
        server = _HUB_SERVER if _HUB_KEY in _keys(endpoint) else endpoint.host
        try:
            # A helper of a cloud finds its own login in the environment, so it gets all of it.
            done = run(
                [program, "get"],
                timeout=HELPER_TIMEOUT,
                env=self._environ,
                stdin=server.encode(),
                accept=(0, 1),
            )
        except ToolMissing:
            raise ToolMissing(
                f"`{program}` is not installed, and {path} names it",
                hint="install it, or log in anew",
            ) from None
        if done.code:
            # Helpers say on stdout what is wrong, and that they know nothing is one of these things.
            said = (done.stdout + done.stderr).decode("utf-8", "replace")
            if "credentials not found" in said:
                return None
            raise CommandFailed([program, "get"], done.code, said, hint=f"it is named in {path}")
        answer = decode(done.stdout, dict[str, str], what=f"the answer of `{program}`")
        name, secret = answer.get("Username", ""), answer.get("Secret", "")
        if not secret:
            return None
        return Credential(
            username="" if name == _TOKEN_USER else name, secret=secret, origin=f"`{program}`"
        )


def _read(path: Path) -> _File | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="check its owner and mode"
        ) from None
    return decode(data, _File, what=str(path)) if data.strip() else None


def _parse(entry: _Entry, key: str, path: Path) -> Credential | None:
    origin = str(path)
    if entry.identitytoken:
        return Credential(username="", secret=entry.identitytoken, origin=origin)
    if entry.username and entry.password:
        return Credential(username=entry.username, secret=entry.password, origin=origin)
    if not entry.auth:
        return None
    try:
        plain = base64.b64decode(entry.auth, validate=True).decode()
    except (binascii.Error, ValueError):
        plain = ""
    username, colon, secret = plain.partition(":")
    if not colon or not username:
        raise UsageError(
            f"{path}: `auth` of {key} is not a name and a password in base64",
            hint=f"`docker login {key}` writes it anew",
        )
    # docker pads with NUL bytes.
    return Credential(username=username, secret=secret.rstrip("\0"), origin=origin)


def _keys(endpoint: Endpoint) -> list[str]:
    """Return the names under which a file may know a repository, the most exact one first."""
    parts = endpoint.name.split("/")
    found = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return [*found, _HUB_KEY] if endpoint.host == "docker.io" else found


def _plain(key: str) -> str:
    """Return a key of a file without the scheme and the path of the API that old files have."""
    return re.sub(r"/v[12]/?$", "", re.sub(r"^https?://", "", key)).rstrip("/")
