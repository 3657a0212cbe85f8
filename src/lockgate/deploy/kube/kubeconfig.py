"""Where a cluster is and who we are there: kubeconfig files and the account of a pod.

As kubectl finds them (client-go, `tools/clientcmd`): the file that is named, else the files of `KUBECONFIG`, the
first one that knows a name winning, else `~/.kube/config`, else the account that a pod was given. Unlike kubectl,
the current context is not taken where there are several, a server whose certificate is not to be checked is refused,
and a pod's account is not taken where KUBECONFIG names files and none of them is there.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from lockgate.base.canonical import Foreign
from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Folder that a pod finds its account in."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Variable(Foreign, frozen=True):
    """A variable of a plugin's environment."""

    name: str
    value: str


class Exec(Foreign, frozen=True, rename="camel"):
    """A program that gives credentials (client.authentication.k8s.io)."""

    command: str
    api_version: str
    args: tuple[str, ...] | None = None
    env: tuple[Variable, ...] | None = None
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"
    provide_cluster_info: bool = False


class _Cluster(Foreign, frozen=True, rename="kebab"):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class _User(Foreign, frozen=True, rename="kebab"):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(name="tokenFile", default="")
    username: str = ""
    password: str = ""
    exec: Exec | None = None
    auth_provider: Any = None
    as_: str = msgspec.field(name="as", default="")
    as_uid: str = ""
    as_groups: tuple[str, ...] | None = None


class _Context(Foreign, frozen=True, rename="kebab"):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(Foreign, frozen=True):
    name: str
    cluster: _Cluster


class _NamedUser(Foreign, frozen=True):
    name: str
    user: _User = _User()


class _NamedContext(Foreign, frozen=True):
    name: str
    context: _Context = _Context()


class _File(Foreign, frozen=True, rename="kebab"):
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Access:
    """One API server and how to log in to it. It has no representation, since it holds secrets."""

    server: str
    """`https://HOST:PORT`, perhaps with a path."""
    context: str
    """What people call it: the name of the context."""
    namespace: str = "default"
    """The context's own namespace."""
    authority: bytes = b""
    """Certificates (PEM) that are trusted; empty: those of the machine."""
    tls_name: str = ""
    """Name in the server's certificate when it is not the host."""
    proxy: str = ""
    """Address of an HTTP proxy."""
    certificate: bytes = b""
    """Certificate (PEM) of the client."""
    key: bytes = b""
    """Its private key (PEM)."""
    token: str = ""
    """Bearer token."""
    token_file: Path | None = None
    """File with a token that changes; read again for each minute."""
    password: str = ""
    """`USER:PASSWORD` for basic authentication."""
    plugin: Exec | None = None
    """Program that gives the credentials."""
    folder: Path = Path()
    """Folder of the kubeconfig; a plugin's relative path begins there."""


def read(*, file: str = "", context: str = "", root: Path, environ: Mapping[str, str]) -> Access:
    """Return where the cluster is.

    Args:
        file: path of a kubeconfig, relative to `root`; empty: as kubectl looks for it.
        context: name of the context; empty: the only one that there is.
        root: folder of `lockgate.yaml`.
        environ: `KUBECONFIG`, `HOME`, `KUBERNETES_SERVICE_HOST`.

    Raises:
        UsageError: there is no kubeconfig, it cannot be read, or it has no such context.
        StorageError: nobody can say whether it is there.
    """
    paths = _paths(file, root, environ)
    found = [path for path in paths if _is_there(path)]
    if not found:
        named = file or context or environ.get("KUBECONFIG")
        if not named and environ.get("KUBERNETES_SERVICE_HOST"):
            return _account(environ)
        raise UsageError(
            f"there is no kubeconfig: {', '.join(map(str, paths))}",
            hint=_missing_hint(file, context),
        )
    return _select([(path, _parse(path)) for path in found], context)


def _missing_hint(file: str, context: str) -> str:
    name = "set `kubeconfig` of the environment in `lockgate.yaml`, or the variable KUBECONFIG"
    # Where neither is set, the cluster of `inv cluster.up` is the first that is looked for.
    return name if file or context else f"`inv cluster.up` makes a cluster; for another one {name}"


def _paths(file: str, root: Path, environ: Mapping[str, str]) -> list[Path]:
    if file:
        try:
            return [root / Path(file).expanduser()]
        except RuntimeError:  # `~name` of somebody who is not known: a file of this name, then
            return [root / file]
    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [Path(part) for part in named] or [Path(environ.get("HOME", "/")) / ".kube" / "config"]


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a folder above it that may not be read, or a name that is too long
        raise storage_error(error, path) from error


def _parse(path: Path) -> _File:
    import yaml

    try:
        value = yaml.safe_load(path.read_bytes())
        return msgspec.convert({} if value is None else value, _File)
    except OSError as error:
        raise storage_error(error, path) from error
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path} is no kubeconfig: {error}", hint="`kubectl config view` reads it"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # PyYAML raises ValueError too: for a date that there is not.
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{path} is no YAML: {line}", hint="`kubectl config view` reads it"
        ) from None


def _select(files: list[tuple[Path, _File]], wanted: str) -> Access:
    contexts: dict[str, _Context] = {}
    clusters: dict[str, tuple[Path, _Cluster]] = {}
    users: dict[str, tuple[Path, _User]] = {}
    for path, file in files:
        for context in file.contexts or ():
            contexts.setdefault(context.name, context.context)
        for at in file.clusters or ():
            clusters.setdefault(at.name, (path, at.cluster))
        for by in file.users or ():
            users.setdefault(by.name, (path, by.user))
    where = ", ".join(str(path) for path, _ in files)
    # The current context is never taken unasked: it may be anybody's production.
    name = wanted or (next(iter(contexts)) if len(contexts) == 1 else "")
    if name not in contexts:
        raise UsageError(
            f"{where} has no context {name!r}" if name else f"{where} has {len(contexts)} contexts",
            hint=_known(contexts) + "; set `context` of the environment in `lockgate.yaml`",
        )
    chosen = contexts[name]
    if chosen.cluster not in clusters:
        raise UsageError(
            f"the context {name!r} names the cluster {chosen.cluster!r}, which {where} does not know",
            hint=_known(clusters, "clusters"),
        )
    if chosen.user and chosen.user not in users:
        raise UsageError(
            f"the context {name!r} names the user {chosen.user!r}, which {where} does not know",
            hint=_known(users, "users"),
        )
    path, cluster = clusters[chosen.cluster]
    user_path, user = users.get(chosen.user, (path, _User()))
    return _access(name, chosen, (path.parent, cluster), (user_path.parent, user))


def _known(names: Iterable[str], what: str = "contexts") -> str:
    return f"its {what} are " + (", ".join(f"`{one}`" for one in names) or "none")


def _access(
    name: str, context: _Context, at: tuple[Path, _Cluster], by: tuple[Path, _User]
) -> Access:
    folder, cluster = at
    home, user = by
    try:
        parts = urlsplit(cluster.server)
        wrong = parts.scheme not in ("https", "http") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong or "@" in cluster.server:
        # A password may stand in it.
        shown = repr(cluster.server) if "@" not in cluster.server else "with a name before the host"
        raise UsageError(
            f"the cluster of {name!r} has the address {shown}, which is none",
            hint="it is `https://HOST:PORT`",
        )
    if cluster.insecure_skip_tls_verify or (
        parts.scheme == "http" and parts.hostname not in _LOOPBACK
    ):
        raise UsageError(
            f"the cluster of {name!r} is not to be checked, so anybody could answer for it",
            hint="give its certificate: `kubectl config set-cluster NAME --certificate-authority FILE`",
        )
    if user.auth_provider is not None:
        raise UsageError(
            f"the user of {name!r} logs in by an auth-provider, which Kubernetes gave up in 1.26",
            hint="let its vendor's plugin write an `exec` section",
        )
    if user.as_ or user.as_uid or user.as_groups:
        raise UsageError(
            f"the user of {name!r} acts as somebody else (`as`), which is not done here",
            hint="name a context whose user has these rights itself",
        )
    return Access(
        server=cluster.server.rstrip("/"),
        context=name,
        namespace=context.namespace or "default",
        authority=_bytes(folder, cluster.certificate_authority, cluster.certificate_authority_data),
        tls_name=cluster.tls_server_name,
        proxy=cluster.proxy_url,
        certificate=_bytes(home, user.client_certificate, user.client_certificate_data),
        key=_bytes(home, user.client_key, user.client_key_data),
        token=user.token,
        token_file=home / user.token_file if user.token_file else None,
        password=f"{user.username}:{user.password}" if user.username else "",
        plugin=user.exec,
        folder=home,
    )


def _bytes(folder: Path, file: str, data: str) -> bytes:
    """Return what stands in the kubeconfig, or in a file beside it."""
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error:
            raise UsageError(
                "a certificate in the kubeconfig is not readable as base64",
                hint="get the kubeconfig again from where it came",
            ) from None
    if not file:
        return b""
    path = folder / file
    try:
        found = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}, which the kubeconfig names, cannot be read: {error.strerror}",
            hint="get the kubeconfig again from where it came",
        ) from None
    if not found.strip():
        # Without this, every authority of the machine would be trusted instead.
        raise UsageError(
            f"{path}, which the kubeconfig names, is empty",
            hint="get the kubeconfig again from where it came",
        )
    return found


def _account(environ: Mapping[str, str]) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        authority = (ACCOUNT / "ca.crt").read_bytes()
        namespace = (ACCOUNT / "namespace").read_text().strip()
    except OSError as error:
        raise UsageError(
            f"this pod has no account: {error.filename} cannot be read: {error.strerror}",
            hint="set `automountServiceAccountToken: true` of the pod",
        ) from None
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        context="in-cluster",
        namespace=namespace,
        authority=authority,
        token_file=ACCOUNT / "token",
    )
