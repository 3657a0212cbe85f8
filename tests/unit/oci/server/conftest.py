"""A client of the registry without a socket: requests in, responses out, over a layout in a folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, INDEX, LAYER_GZIP, MANIFEST
from lockgate.oci.server_protocol import Request
from lockgate.oci.server_routes import Registry, Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


class Answer(NamedTuple):
    """A response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    done: str

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        (one,) = self.json["errors"]
        assert one["message"]
        return str(one["code"])


class Broken:
    """A body whose sender goes away after the first bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int) -> bytes:
        """Return some bytes, then fail."""
        if not self._data:
            raise ConnectionError("gone")
        piece, self._data = self._data[:size], self._data[size:]
        return piece


class Client:
    """Asks a registry; `restart` begins a new one over the same layout."""

    def __init__(self, layout: Layout, rules: Rules | None = None) -> None:
        self.layout = layout
        self.rules = rules or Rules()
        self.restart()

    def restart(self) -> None:
        """Forget all that is only in memory."""
        self._registry = Registry(self.layout, self.rules)

    def __call__(
        self,
        method: str,
        target: str,
        body: bytes | Broken = b"",
        headers: Mapping[str, str] | None = None,
        *,
        length: int | None = -1,
    ) -> Answer:
        """Send a request; its length is that of its body unless another one is given."""
        if length == -1:
            length = len(body) if isinstance(body, bytes) else None
        request = Request.of(
            method,
            target,
            headers or {},
            io.BytesIO(body) if isinstance(body, bytes) else body,
            length,
        )
        found = self._registry.answer(request)
        data = found.body
        if found.extent is not None:
            with found.extent.file as file:
                file.seek(found.extent.start)
                data = file.read(found.extent.size)
        if method == "HEAD":
            data = b""
        shown = {name.lower(): value for name, value in found.headers}
        return Answer(found.status, shown | {"content-length": str(found.length)}, data, found.done)

    def chunk(self, place: str, data: bytes | Broken, span: str = "", **more: Any) -> Answer:
        """Send a chunk, with its range if there is one."""
        return self("PATCH", place, data, {"Content-Range": span} if span else None, **more)

    @staticmethod
    def digest(data: bytes, algorithm: str = "sha256") -> str:
        """Return a digest."""
        return digest_of(data, algorithm)

    def start(self, repository: str) -> str:
        """Begin an upload; return its location."""
        begun = self("POST", f"/v2/{repository}/blobs/uploads/")
        assert begun.status == 202
        return begun.headers["location"]

    def blob(self, repository: str, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob; return its digest."""
        digest = digest_of(data, algorithm)
        done = self("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data)
        assert done.status == 201, done.body
        return digest

    def put(self, repository: str, reference: str, document: Any, kind: str = MANIFEST) -> Answer:
        """Push a manifest."""
        return self(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            as_bytes(document),
            {"Content-Type": kind},
        )

    def image(self, repository: str, tag: str = "", *layers: bytes, **more: Any) -> str:
        """Push an image with its blobs; return its digest."""
        config = b'{"of":"' + repository.encode() + b'"}'
        for one in (config, *layers):
            self.blob(repository, one)
        data = as_bytes(manifest(config, layers, **more))
        done = self.put(repository, tag or digest_of(data), data)
        assert done.status == 201, done.body
        return digest_of(data)

    def index(self, repository: str, tag: str = "", *digests: str, **more: Any) -> str:
        """Push an index of manifests that are there; return its digest."""
        parts = [
            describe(self("GET", f"/v2/{repository}/manifests/{one}").body, MANIFEST)
            for one in digests
        ]
        data = as_bytes({"schemaVersion": 2, "mediaType": INDEX, "manifests": parts, **more})
        done = self.put(repository, tag or digest_of(data), data, INDEX)
        assert done.status == 201, done.body
        return digest_of(data)

    def referrers(self, repository: str, digest: str, query: str = "") -> list[dict[str, Any]]:
        """Return the descriptors of the referrers."""
        found = self("GET", f"/v2/{repository}/referrers/{digest}{query}")
        assert (found.status, found.headers["content-type"]) == (200, INDEX)
        listed: list[dict[str, Any]] = found.json["manifests"]
        return listed

    def bytes_kept(self) -> set[str]:
        """Return the digests of which the layout has bytes; they are compared."""
        return set(checked_blobs(self.layout.root))


def as_bytes(document: Any) -> bytes:
    """Return JSON, or the bytes that are given."""
    return document if isinstance(document, bytes) else json.dumps(document, indent=1).encode()


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return a digest."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def describe(data: bytes, kind: str) -> dict[str, Any]:
    """Return a descriptor."""
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}


def manifest(config: bytes, layers: Iterable[bytes] = (), **more: Any) -> dict[str, Any]:
    """Return an image manifest."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(config, CONFIG),
        "layers": [describe(one, LAYER_GZIP) for one in layers],
        **more,
    }


def checked_blobs(root: Path) -> Iterable[str]:
    """Return every digest in a layout; what is called by a digest has that digest."""
    for path in (root / "blobs").glob("*/*"):
        if not path.name.startswith("."):
            digest = f"{path.parent.name}:{path.name}"
            assert digest_of(path.read_bytes(), path.parent.name) == digest
            yield digest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a loss of power would take is not tested here, and waiting for the disk takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    return Layout.create(tmp_path / "store")


@pytest.fixture(scope="session")
def clients() -> Callable[..., Client]:
    """Call with a layout, and rules if any, for a client."""
    return Client


@pytest.fixture(scope="session")
def broken() -> Callable[[bytes], Broken]:
    """Call with the first bytes of a body that breaks off after them."""
    return Broken


@pytest.fixture
def make(layout: Layout) -> Callable[[Rules], Client]:
    """Call with rules for a client of a registry over the empty store."""
    return lambda rules: Client(layout, rules)


@pytest.fixture
def client(layout: Layout) -> Client:
    """A client of a registry over an empty store."""
    return Client(layout)
