"""The registry as a function from request to response (spec.md, "Endpoints"). No sockets.

server_protocol   requests, responses, errors, ranges      pure
server_documents  manifests as they are pushed             pure
server_names      names of the layout ↔ repositories       pure
server_users      who may use it                           pure
server_contents   what can be read                         the layout
server_changes    what can be changed                      the layout
server_uploads    blobs on their way in                    the layout
server_blobs, server_manifests   one method an endpoint
server            sockets, TLS, threads, stopping
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lockgate.base.errors import LockgateError
from lockgate.oci.manifest import MAX_JSON
from lockgate.oci.server_blobs import BlobAnswers
from lockgate.oci.server_changes import Changes
from lockgate.oci.server_manifests import ManifestAnswers
from lockgate.oci.server_names import is_repository
from lockgate.oci.server_protocol import Refused, Request, Response, as_json, refused
from lockgate.oci.server_uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.oci.layout import Layout
    from lockgate.oci.server_users import Users

    Answer = Callable[[Request, str, str], Response]

_READING = ("GET", "HEAD")

_VERSION = ("Docker-Distribution-API-Version", "registry/2.0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What one registry allows."""

    users: Users | None = None
    """Who may use it; None for everybody."""
    read_only: bool = False
    """Nothing is written into the layout, no lock and no mark either."""
    names: tuple[str, ...] | None = None
    """Host names by which it may be called, lower case; those that begin with a dot end a name. None for all."""
    blob: int = 64 << 30
    """Bytes of the largest blob that is taken."""
    page: int = MAX_JSON
    """Bytes of a list of referrers that is sent at once."""


class Registry:
    """A registry over a layout."""

    def __init__(self, layout: Layout, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        contents = Changes(layout)
        blobs = BlobAnswers(contents, Uploads(contents.folder, self._rules.blob))
        manifests = ManifestAnswers(contents, page=self._rules.page)
        self._catalog = manifests.catalog
        self._routes: list[tuple[re.Pattern[str], dict[str, Answer]]] = [
            _route(
                r"/blobs/uploads/?(?P<text>)",
                {"POST": blobs.start},
            ),
            _route(
                r"/blobs/uploads/(?P<text>[^/]+)",
                {
                    "GET": blobs.status,
                    "PATCH": blobs.chunk,
                    "PUT": blobs.finish,
                    "DELETE": blobs.cancel,
                },
            ),
            _route(
                r"/blobs/(?P<text>[^/]+)",
                {"GET": blobs.get, "HEAD": blobs.get, "DELETE": blobs.delete},
            ),
            _route(
                r"/manifests/(?P<text>[^/]+)",
                {
                    "GET": manifests.get,
                    "HEAD": manifests.get,
                    "PUT": manifests.put,
                    "DELETE": manifests.delete,
                },
            ),
            _route(r"/tags/list(?P<text>)", {"GET": manifests.tags, "HEAD": manifests.tags}),
            _route(
                r"/referrers/(?P<text>[^/]+)",
                {"GET": manifests.referrers, "HEAD": manifests.referrers},
            ),
        ]

    def answer(self, request: Request) -> Response:
        """Answer a request; every error becomes a response.

        Raises:
            ConnectionError, TimeoutError: the body of the request broke off.
        """
        try:
            self._admit(request)
            found = self._find(request)
        except Refused as error:
            found = error.response
        except LockgateError as error:
            # The server's own fault: a full disk, changed bytes. Where they lie is not for everybody.
            found = refused(500, "UNKNOWN", "the server's log says what is wrong").response
            found = replace(found, done=f"{request.method} {request.path}: {error.message}")
        return replace(found, headers=(_VERSION, *found.headers))

    def _admit(self, request: Request) -> None:
        names, users = self._rules.names, self._rules.users
        host = _host(request.headers.get("host", ""))
        if names is not None and not any(
            host == one or (one.startswith(".") and host.endswith(one)) for one in names
        ):
            # A page in a browser may have been given a name that leads here (DNS rebinding).
            raise refused(
                421,
                "DENIED",
                f"this registry is not called {host[:64]!r}; say 127.0.0.1 or localhost",
            )
        if request.method not in _READING and "origin" in request.headers:
            # A page in a browser may send what a form could, with the password that the browser remembers. No
            # client of registries says where it comes from (RFC 6454 section 7).
            raise refused(403, "DENIED", "pages in browsers change nothing here")
        if users is not None and not users.admits(request.headers.get("authorization", "")):
            raise refused(
                401,
                "UNAUTHORIZED",
                "name and password are needed",
                ("WWW-Authenticate", 'Basic realm="lockgate", charset="UTF-8"'),
            )

    def _find(self, request: Request) -> Response:
        if request.path in ("/v2", "/v2/", "/v2/_catalog"):
            _allow(request, _READING)
            return self._catalog(request) if request.path == "/v2/_catalog" else as_json({})
        for pattern, answers in self._routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            repository = match["name"]
            if not is_repository(repository):
                status = 404 if request.method in _READING else 400
                raise refused(status, "NAME_INVALID", f"{repository[:160]!r} is no repository name")
            if self._rules.read_only and request.method not in _READING:
                raise refused(405, "UNSUPPORTED", "this registry is read-only", _allowed(_READING))
            _allow(request, tuple(answers))
            return answers[request.method](request, repository, match["text"])
        raise refused(404, "UNSUPPORTED", "there is nothing at this address")


def _route(rest: str, answers: dict[str, Answer]) -> tuple[re.Pattern[str], dict[str, Answer]]:
    # Parts of a name may be called `blobs` or `manifests`: the last of them counts.
    return re.compile(rf"/v2/(?P<name>.+){rest}"), answers


def _allowed(methods: tuple[str, ...]) -> tuple[str, str]:
    return ("Allow", ", ".join(methods))


def _allow(request: Request, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise refused(
            405, "UNSUPPORTED", f"{request.method[:32]} is not possible here", _allowed(methods)
        )


def _host(text: str) -> str:
    """Return the host of a `Host` header without its port, lower case."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::[0-9]*)?", text)
    return match[1].lower().rstrip(".") if match else ""
