"""A registry in dictionaries: it behaves as the specification says, or goes wrong where a test wants it to.

    registry = DictRegistry(bearer=True)
    with registry.open("team/app") as repository: ...

It stands behind httpx2's MockTransport, so no socket is opened. `tests/integration` compares it with a real
registry, call by call.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx2
from tests.unit.oci.mishaps import answer, error

from lockgate.oci.connection import World
from lockgate.oci.credentials import Credential
from lockgate.oci.manifest import INDEX
from lockgate.oci.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.oci.mishaps import Action

    from lockgate.oci.endpoint import Endpoint

HOST = "registry.example"
REALM = "https://auth.example/token"
STORAGE = "storage.example"
USER, PASSWORD = "ada", "s3cret:with:colons"

NOW = 1_800_000_000.0


class Asked(NamedTuple):
    """One request as it arrived."""

    method: str
    host: str
    path: str
    """With its query."""
    authorization: str
    scheme: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Repository:
    """What one repository holds."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Media type and bytes by digest."""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """What goes wrong, where, and how often."""

    method: str
    path: re.Pattern[str]
    action: Action
    times: int


class Call(NamedTuple):
    """A request, taken apart."""

    request: httpx2.Request
    path: str
    """Of the repository."""
    last: str
    """Digest, tag or session."""
    query: dict[str, str]

    @property
    def method(self) -> str:
        """The method."""
        return self.request.method


def digest_of(data: bytes) -> str:
    """Return a sha256 digest."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class DictRegistry:
    """The registry. Its fields may be changed at any time."""

    basic: bool = False
    bearer: bool = False
    tokens_live: int = 300
    """Seconds."""
    referrers_api: bool = True
    says_subject: bool = True
    """Whether it answers with OCI-Subject."""
    pages: int = 2
    """Entries on one page."""
    immutable: bool = False
    redirects_blobs: str = ""
    """Where blobs are redirected to; `{digest}` stands for theirs."""
    accepts: tuple[str, ...] = ()
    """Media types of manifests that it takes; all when empty."""
    minimum_chunk: int = 0
    meanwhile: Callable[[], object] = lambda: None
    """What others do while a client waits."""

    def __post_init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.sessions = 0
        self.uploads: dict[str, tuple[str, bytearray]] = {}
        self.asked: list[Asked] = []
        self.slept: list[float] = []
        self.now = NOW
        self.faults: list[Fault] = []
        self.tokens: dict[str, tuple[float, str]] = {}
        """End and scope of the tokens that were given out."""
        self.forms: list[dict[str, list[str]]] = []
        """What the realm was asked with."""

    def __getitem__(self, path: str) -> Repository:
        return self.repositories.setdefault(path, Repository())

    # What tests say and ask.

    def open(self, path: str = "team/app", *, push: bool = True, mount_from: str = "") -> Registry:
        """Return a client for one repository, logged in when the registry wants it."""
        world = self.world()
        return Registry(world.endpoint(f"{HOST}/{path}"), world, push=push, mount_from=mount_from)

    def world(self, credential: Credential | None = None) -> World:
        """Return the world of a client: this registry, no waiting, no randomness."""
        known = Credential(username=USER, secret=PASSWORD, origin="a test")

        def find(_: Endpoint) -> Credential | None:
            return credential or (known if self.basic or self.bearer else None)

        return World(
            credentials=find,
            transport=httpx2.MockTransport(self),
            sleep=self._sleep,
            random=lambda: 1.0,
            now=lambda: self.now,
        )

    def fail(self, method: str, path: str, action: Action, *, times: int = 1) -> None:
        """Let the next requests that match go wrong: `action(request, serve)` answers or raises."""
        self.faults.append(Fault(method, re.compile(path), action, times))

    def count(self, method: str, path: str = "") -> int:
        """Return how many requests of a kind came."""
        return sum(one.method == method and bool(re.search(path, one.path)) for one in self.asked)

    # The registry.

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        url = urlsplit(str(request.url))
        path = url.path + (f"?{url.query}" if url.query else "")
        host = request.headers["host"]
        authorization = request.headers.get("authorization", "")
        self.asked.append(Asked(request.method, host, path, authorization, url.scheme))
        for fault in self.faults:
            if fault.times and fault.method == request.method and fault.path.search(path):
                fault.times -= 1
                return fault.action(request, lambda: self._serve(request))
        found = self._serve(request)
        if request.method == "HEAD":
            # Neither has an error a body then (RFC 9110 section 9.3.2).
            found = httpx2.Response(found.status_code, headers=found.headers, content=iter([]))
        return found

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.meanwhile()

    def _serve(self, request: httpx2.Request) -> httpx2.Response:
        url = urlsplit(str(request.url))
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        if str(request.url).startswith(REALM):
            return self._token(request)
        if request.headers["host"] == STORAGE:
            return self._stored(request)
        if not self._may(request, url.path):
            return self._challenge(url.path, request.method)
        if url.path == "/v2/":
            return answer(200)
        for pattern, serve in (
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self._upload),
            (r"/v2/(.+)/blobs/([^/]+)", self._blob),
            (r"/v2/(.+)/manifests/([^/]+)", self._manifest),
            (r"/v2/(.+)/referrers/([^/]+)", self._referrers),
            (r"/v2/(.+)/tags/(list)", self._tags),
        ):
            match = re.fullmatch(pattern, url.path)
            if match:
                return serve(Call(request, match[1], match[2], query))
        return answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    def _may(self, request: httpx2.Request, path: str) -> bool:
        held = request.headers.get("authorization", "")
        if self.basic:
            return held == _basic(USER, PASSWORD)
        if self.bearer:
            ends, scope = self.tokens.get(held.removeprefix("Bearer "), (0.0, ""))
            return ends > self.now and set(_scope(path, request.method).split()) <= set(
                scope.split()
            )
        return True

    def _challenge(self, path: str, method: str) -> httpx2.Response:
        way = 'Basic realm="here"'
        if self.bearer:
            wanted = _scope(path, method).split()
            scope = f',scope="{wanted[0].rpartition(":")[0]}:{_actions(wanted)}"' if wanted else ""
            way = f'Bearer realm="{REALM}",service="{HOST}"{scope}'
        return error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": way})

    def _token(self, request: httpx2.Request) -> httpx2.Response:
        held = request.headers.get("authorization")
        if request.method == "POST":
            form = parse_qs(request.content.decode())
            known = form.get("refresh_token") == [PASSWORD]
        else:
            form = parse_qs(urlsplit(str(request.url)).query)
            known = held in (None, _basic(USER, PASSWORD))
        self.forms.append(form)
        if not known:
            return error(401, "UNAUTHORIZED", "incorrect username or password")
        # Whoever does not log in may read.
        somebody = bool(held) or request.method == "POST"
        granted = [
            f"{one.rpartition(':')[0]}:{action}"
            for one in " ".join(form.get("scope", [])).split()
            for action in one.rpartition(":")[2].split(",")
            if somebody or action == "pull"
        ]
        name = f"token-{len(self.tokens)}"
        self.tokens[name] = (self.now + self.tokens_live, " ".join(granted))
        body = json.dumps({"token": name, "expires_in": self.tokens_live}).encode()
        return answer(200, body, {"Content-Type": "application/json"})

    def _stored(self, request: httpx2.Request) -> httpx2.Response:
        """Answer for the store of blobs behind the registry; who brings credentials is sent away."""
        if "authorization" in request.headers:
            return answer(400, b"only one way to log in is allowed")
        digest = urlsplit(str(request.url)).path.rpartition("/")[2]
        blobs = {key: one for held in self.repositories.values() for key, one in held.blobs.items()}
        return answer(200, blobs[digest], head=request.method == "HEAD")

    def _blob(self, call: Call) -> httpx2.Response:
        blobs, digest = self[call.path].blobs, call.last
        if digest not in blobs:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if call.method == "DELETE":
            del blobs[digest]
            return answer(202)
        if self.redirects_blobs:
            return answer(307, headers={"Location": self.redirects_blobs.format(digest=digest)})
        data, start = blobs[digest], _range(call.request)
        marks = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        if start:
            marks["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return answer(206, data[start:], marks)
        return answer(200, data, marks, head=call.method == "HEAD")

    def _upload(self, call: Call) -> httpx2.Response:
        if call.method == "POST":
            return self._begin(call)
        if call.last not in self.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown to registry")
        held, sent = self.uploads[call.last][1], call.request.content
        if call.method == "GET":
            return answer(204, headers=self._session(call.path, call.last))
        if call.query["state"] != str(len(held)):
            return error(416, "BLOB_UPLOAD_INVALID", "resumed at the wrong place")
        where = call.request.headers.get("content-range")
        if where and where != f"{len(held)}-{len(held) + len(sent) - 1}":
            return error(416, "BLOB_UPLOAD_INVALID", "out of order")
        held += sent
        if call.method == "PATCH":
            return answer(202, headers=self._session(call.path, call.last))
        digest = call.query["digest"]
        if digest_of(bytes(held)) != digest:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        del self.uploads[call.last]
        self[call.path].blobs[digest] = bytes(held)
        return self._stored_as(call.path, digest)

    def _begin(self, call: Call) -> httpx2.Response:
        known = self[call.query.get("from", call.path)].blobs
        mounted = call.query.get("mount", "")
        if mounted in known:
            self[call.path].blobs[mounted] = known[mounted]
            return self._stored_as(call.path, mounted)
        self.sessions += 1
        name = f"upload-{self.sessions}"
        self.uploads[name] = (call.path, bytearray())
        marks = self._session(call.path, name)
        if self.minimum_chunk:
            marks["OCI-Chunk-Min-Length"] = str(self.minimum_chunk)
        return answer(202, headers=marks)

    @staticmethod
    def _stored_as(path: str, digest: str) -> httpx2.Response:
        marks = {"Location": f"/v2/{path}/blobs/{digest}", "Docker-Content-Digest": digest}
        return answer(201, headers=marks)

    def _session(self, path: str, name: str) -> dict[str, str]:
        held = len(self.uploads[name][1])
        return {
            "Location": f"/v2/{path}/blobs/uploads/{name}?state={held}",
            "Range": f"0-{max(held - 1, 0)}",
        }

    def _manifest(self, call: Call) -> httpx2.Response:
        held = self[call.path]
        if call.method == "PUT":
            return self._put_manifest(call.request, held, call.last)
        digest = held.tags.get(call.last, call.last)
        if digest not in held.manifests:
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if call.method == "DELETE":
            if call.last in held.tags:
                del held.tags[call.last]
            else:
                del held.manifests[digest]
            return answer(202)
        kind, data = held.manifests[digest]
        marks = {"Content-Type": kind, "Docker-Content-Digest": digest}
        return answer(200, data, marks, head=call.method == "HEAD")

    def _put_manifest(
        self, request: httpx2.Request, held: Repository, reference: str
    ) -> httpx2.Response:
        data, kind = request.content, request.headers["content-type"]
        digest, document = digest_of(data), json.loads(data)
        if self.accepts and kind not in self.accepts:
            return error(400, "MANIFEST_INVALID", f"media type {kind} is not allowed")
        if ":" in reference and reference != digest:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        for part in [document["config"], *document["layers"]] if "config" in document else []:
            if part["digest"] not in held.blobs:
                return error(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown: {part['digest']}")
        for child in document.get("manifests", []):
            if child["digest"] not in held.manifests:
                return error(404, "MANIFEST_UNKNOWN", f"manifest unknown: {child['digest']}")
        if ":" not in reference:
            if self.immutable and held.tags.get(reference, digest) != digest:
                return error(412, "PRECONDITION", f"tag {reference} is configured as immutable")
            held.tags[reference] = digest
        held.manifests[digest] = (kind, data)
        marks = {"Docker-Content-Digest": digest, "Location": f"/v2/x/manifests/{digest}"}
        subject = document.get("subject", {}).get("digest", "")
        if subject and self.referrers_api and self.says_subject:
            marks["OCI-Subject"] = subject
        return answer(201, headers=marks)

    def _referrers(self, call: Call) -> httpx2.Response:
        if not self.referrers_api:
            return answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})
        found: list[dict[str, Any]] = []
        for key, (kind, data) in sorted(self[call.path].manifests.items()):
            try:
                document = json.loads(data)
            except ValueError:
                continue  # half a manifest refers to nothing
            if document.get("subject", {}).get("digest") == call.last:
                artifact = document.get("artifactType") or document["config"]["mediaType"]
                listed = {"mediaType": kind, "digest": key, "size": len(data)}
                more = {"artifactType": artifact, "annotations": document.get("annotations", {})}
                found.append(listed | more)
        page, link = self._page(found, call, f"/v2/{call.path}/referrers/{call.last}")
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": page})
        return answer(200, body.encode(), {"Content-Type": INDEX} | link)

    def _tags(self, call: Call) -> httpx2.Response:
        if call.path not in self.repositories:
            return error(404, "NAME_UNKNOWN", "repository name not known to registry")
        page, link = self._page(sorted(self[call.path].tags), call, f"/v2/{call.path}/tags/list")
        body = json.dumps({"name": call.path, "tags": page}).encode()
        return answer(200, body, {"Content-Type": "application/json"} | link)

    def _page(self, found: list[Any], call: Call, address: str) -> tuple[list[Any], dict[str, str]]:
        start = int(call.query.get("at", "0"))
        end = start + self.pages
        link = {"Link": f'<{address}?at={end}>; rel="next"'} if end < len(found) else {}
        return found[start:end], link


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _scope(path: str, method: str) -> str:
    """Return what a request needs, one action a word: `repository:a:pull repository:a:push`."""
    match = re.match(r"/v2/(.+)/(?:blobs|manifests|referrers|tags)/", path)
    if not match:
        return ""
    actions = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(method, "pull,push")
    return " ".join(f"repository:{match[1]}:{one}" for one in actions.split(","))


def _actions(scopes: list[str]) -> str:
    return ",".join(one.rpartition(":")[2] for one in scopes)


def _range(request: httpx2.Request) -> int:
    match = re.fullmatch(r"bytes=([0-9]+)-[0-9]+", request.headers.get("range", ""))
    return int(match[1]) if match else 0
