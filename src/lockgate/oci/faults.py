"""What goes wrong with a registry, in words: exceptions of httpx2 and answers of the registry.

Error codes: distribution specification 1.1, "Error Codes".
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

import httpx2

from lockgate.base.canonical import loads
from lockgate.base.errors import DigestMismatch, LockgateError, RegistryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOREIGN = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, httpx2.StreamError)
"""Everything that httpx2 raises."""

MAX_BODY = 64 * 1024
"""Bytes of an error's answer that are read."""

_LONGEST = 240
"""Characters of a registry's own words that are repeated."""

_NETWORK = "check the network, then run the same command again: what was moved is kept"
_ODD = "check that the address is that of a registry"
_AUTHORITY = "name the file of its certificate authority: `--authority FILE`"

TEXTS: dict[type[Exception], tuple[str, bool, str]] = {
    httpx2.ConnectTimeout: ("does not take a connection in time", True, _NETWORK),
    httpx2.ReadTimeout: ("stopped answering", True, _NETWORK),
    httpx2.WriteTimeout: ("stopped taking data", True, _NETWORK),
    httpx2.PoolTimeout: ("is busy with this run's other requests", True, _NETWORK),
    httpx2.TimeoutException: ("does not answer in time", True, _NETWORK),
    httpx2.ConnectError: ("cannot be reached", True, _NETWORK),
    httpx2.ReadError: ("broke the connection off", True, _NETWORK),
    httpx2.WriteError: ("broke the connection off", True, _NETWORK),
    httpx2.CloseError: ("broke the connection off", True, _NETWORK),
    httpx2.NetworkError: ("broke the connection off", True, _NETWORK),
    httpx2.RemoteProtocolError: ("sent an answer that is cut off or is not HTTP", True, _ODD),
    httpx2.LocalProtocolError: ("cannot be asked this over HTTP", False, _ODD),
    httpx2.ProtocolError: ("does not keep to HTTP", False, _ODD),
    httpx2.ProxyError: ("is behind a proxy that fails", True, "check the proxy variables"),
    httpx2.UnsupportedProtocol: ("uses a protocol that is not spoken here", False, _ODD),
    httpx2.TransportError: ("cannot be reached", True, _NETWORK),
    httpx2.SSEError: ("sent a stream of events that is broken", False, _ODD),
    httpx2.DecodingError: ("sent an answer that cannot be unpacked", False, _ODD),
    httpx2.TooManyRedirects: ("redirects without end", False, _ODD),
    httpx2.RequestError: ("cannot be asked", False, _ODD),
    httpx2.HTTPStatusError: ("refused a request", False, _ODD),
    httpx2.HTTPError: ("cannot be asked", False, _ODD),
    httpx2.InvalidURL: ("names an address that is none", False, _ODD),
    httpx2.CookieConflict: ("sent contradicting cookies", False, _ODD),
    httpx2.StreamError: ("sent an answer that was read twice", False, _ODD),
    httpx2.StreamConsumed: ("sent an answer that was read twice", False, _ODD),
    httpx2.StreamClosed: ("sent an answer that was closed before it was read", False, _ODD),
    httpx2.ResponseNotRead: ("sent an answer that was not read", False, _ODD),
    httpx2.RequestNotRead: ("was asked with a body that was not read", False, _ODD),
}
"""For every exception of httpx2: what the host did, whether again may help, and a hint."""

_IMMUTABLE = re.compile(
    r"immutab|already exists|cannot be overwritten|tag .*(locked|protected)", re.I
)
"""How registries say that a tag stays where it is; the specification has no code for it."""


class Answer(NamedTuple):
    """An answer that is not what was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Its first bytes."""


def unreachable(error: Exception, host: str, *, plain: bool = False) -> RegistryError:
    """Translate an exception of httpx2 about `host`, which was spoken to without TLS when `plain`."""
    for cause in _causes(error):
        found = _known(cause, host)
        if found is not None:
            return found
    kind = next(one for one in type(error).__mro__ if one in TEXTS)
    text, again, hint = TEXTS[kind]
    if plain and kind in (httpx2.ReadError, httpx2.RemoteProtocolError):
        # Among other causes this is how servers answer what is not TLS.
        hint = f"{hint}; when it speaks TLS, {_AUTHORITY}"
    return RegistryError(f"{host} {text}{_detail(str(error))}", hint=hint, retryable=again)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _known(cause: BaseException, host: str) -> RegistryError | None:
    """Return the error for a cause that has more to say than httpx2's class."""
    if isinstance(cause, socket.gaierror):
        again = cause.errno == socket.EAI_AGAIN
        return RegistryError(
            f"{host} is not known: its name has no address",
            hint="check the spelling, and that this machine can resolve names",
            retryable=again,
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RegistryError(
            f"{host} shows a certificate that is not trusted: {cause.verify_message}",
            hint=_AUTHORITY,
        )
    if isinstance(cause, ssl.SSLError):
        plain = "WRONG_VERSION_NUMBER" in str(cause) or "HTTP_REQUEST" in str(cause)
        return RegistryError(
            f"{host} does not speak TLS" if plain else f"{host} fails at TLS{_detail(str(cause))}",
            hint=f"if plain HTTP is meant: `--insecure {host}`" if plain else _NETWORK,
        )
    if isinstance(cause, ConnectionRefusedError):
        return RegistryError(
            f"{host} refuses connections", hint="is a registry running there?", retryable=True
        )
    return None


def refused(answer: Answer, what: str, where: str, *, reading: bool = False) -> LockgateError:
    """Translate an answer with an error status.

    Args:
        answer: status, headers and the beginning of the body.
        what: what was asked for, to begin a sentence with: `tag 1.0`.
        where: the repository, with its host.
        reading: nothing was sent, so nothing that was sent can have been changed.
    """
    codes, words = _errors(answer.body)
    said = _detail(words)
    content = _about_content(answer.status, codes, what, where, said, reading=reading)
    if content is not None:
        return content
    match answer.status:
        case 401:
            return RegistryError(
                f"{where} asks for credentials: {what}{said}", hint=login(where), status=401
            )
        case 403 if not _IMMUTABLE.search(words):
            return RegistryError(
                f"{where} does not allow this: {what}{said}",
                hint=f"ask its owner for the right, or log in as somebody else: {login(where)}",
                status=403,
            )
        case 400 | 403 | 405 | 409 | 412 if _IMMUTABLE.search(words):
            return RegistryError(
                f"{what} already exists at {where} and cannot be moved: its tags are immutable",
                hint="push under another tag: `--tag`",
                status=answer.status,
            )
        case 400 | 415 if codes & {"UNSUPPORTED", "MANIFEST_INVALID"} or answer.status == 415:
            return RegistryError(
                f"{where} does not take {what}{said}",
                hint="a registry that knows OCI 1.1 takes it; this one may be too old",
                status=answer.status,
            )
        case 404:
            return RegistryError(
                f"{what} is not at {where}{said}", hint="check name and tag", status=404
            )
        case 405 | 501:
            return RegistryError(
                f"{where} does not offer this: {what}{said}",
                hint="a registry may have it switched off",
                status=answer.status,
            )
        case 408 | 429 | 500 | 502 | 503 | 504 as status:
            busy = "has had too many requests" if status == 429 else f"fails with status {status}"
            return RegistryError(
                f"{where} {busy}: {what}{said}",
                hint="wait a little, then run the same command again: what was moved is kept",
                retryable=True,
                status=status,
            )
    return RegistryError(
        f"{where} answered {answer.status}: {what}{said}", hint=_ODD, status=answer.status
    )


def _about_content(
    status: int, codes: set[str], what: str, where: str, said: str, *, reading: bool
) -> LockgateError | None:
    """Return the error for a registry that disagrees about bytes; None when it speaks of something else."""
    if status != 400:
        return None
    if "HTTP request to an HTTPS server" in said:
        # The words of Go's server, which most registries are made with.
        return RegistryError(f"{where.partition('/')[0]} speaks TLS", hint=_AUTHORITY, status=400)
    if "DIGEST_INVALID" in codes and reading:
        # docker-registry reads its own files while another client writes them.
        return RegistryError(
            f"{where} cannot read {what} now{said}", hint=_ODD, retryable=True, status=400
        )
    if "DIGEST_INVALID" in codes:
        return DigestMismatch(
            f"{what} reached {where} with other bytes than its digest says",
            hint="run the same command again; when it stays, something on the way changes bytes",
        )
    if codes & {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}:
        return RegistryError(
            f"{where} lacks a part of {what}{said}",
            hint="run the same command again; when it stays, this registry loses what it takes",
            status=400,
        )
    return None


def login(where: str) -> str:
    """Return a hint for somebody whose credentials are missing or too weak."""
    host = where.partition("/")[0]
    return f"`docker login {host}` or `podman login {host}`"


def _errors(body: bytes) -> tuple[set[str], str]:
    """Return the codes in an answer and its words for people; both empty when it has none."""
    try:
        found = loads(body)
        errors = [one for one in found["errors"] if isinstance(one, dict)]
    except (UsageError, KeyError, TypeError):
        return set(), body.decode("utf-8", "replace") if len(body) < _LONGEST else ""
    codes = {str(one.get("code", "")) for one in errors}
    words = "; ".join(str(one.get("message") or one.get("code") or "") for one in errors)
    return codes, words


def _detail(words: str) -> str:
    """Return a server's words, fit to stand at the end of a line, or nothing."""
    plain = "".join(char if char.isprintable() else " " for char in words)
    plain = " ".join(plain.split())[:_LONGEST]
    return f" ({plain})" if plain else ""
