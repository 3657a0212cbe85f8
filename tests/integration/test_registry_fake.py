"""The registry that unit tests use, against real ones: the same calls get the same answers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.integration.registries import serve
from tests.unit.oci.dictregistry import DictRegistry
from tests.unit.oci.images import build, describe, noise, opener, refer

from lockgate.base.errors import LockgateError
from lockgate.oci.connection import World
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import Manifest
from lockgate.oci.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = noise(100_000, "blob")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A layout with an image and a referrer."""
    found = Layout.create(tmp_path / "store")
    refer(found, build(found), b"statement")
    return found


class Session:
    """A sequence of raw requests, and what of each answer the client depends on."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client
        self.seen: list[tuple[Any, ...]] = []

    def ask(
        self, method: str, path: str, *, content: bytes = b"", **headers: str
    ) -> httpx2.Response:
        """Make a request and note its answer."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        found = self.client.request(method, path, content=content or None, headers=named)
        error = ""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            error = found.json()["errors"][0]["code"]
        served = found.status_code in (200, 206) and method == "GET" and "/tags/" not in path
        body = len(found.content) if served else 0
        kept = ("docker-content-digest", "range", "content-range", "oci-subject")
        marks = tuple(
            (name, found.headers[name].removeprefix("bytes="))
            for name in kept
            if name in found.headers
        )
        self.seen.append(
            (method, found.status_code, error, body, marks, "location" in found.headers)
        )
        return found


def sequence(session: Session, layout: Layout) -> None:
    """Ask for what the client asks for: uploads, blobs, manifests, tags, what is not there."""
    blob, repository = describe(DATA), "/v2/team/app"
    session.ask("HEAD", f"{repository}/blobs/{blob.digest}")
    session.ask("GET", f"{repository}/manifests/1.0")
    location = session.ask("POST", f"{repository}/blobs/uploads/").headers["location"]
    location = session.ask(
        "PATCH", location, content=DATA[:60_000], content_type="application/octet-stream"
    ).headers["location"]
    location = session.ask("GET", location).headers.get("location", location)
    location = session.ask(
        "PATCH", location, content=DATA[60_000:], content_type="application/octet-stream",
        content_range="60000-99999",
    ).headers["location"]  # fmt: skip
    joint = "&" if "?" in location else "?"
    session.ask("PUT", f"{location}{joint}digest={blob.digest}")
    session.ask("HEAD", f"{repository}/blobs/{blob.digest}")
    session.ask("GET", f"{repository}/blobs/{blob.digest}")
    session.ask("GET", f"{repository}/blobs/{blob.digest}", range="bytes=60000-99999")
    location = session.ask("POST", f"{repository}/blobs/uploads/").headers["location"]
    joint = "&" if "?" in location else "?"
    session.ask("PUT", f"{location}{joint}digest={blob.digest}", content=b"other bytes",
                content_type="application/octet-stream")  # fmt: skip
    mount = f"/v2/team/other/blobs/uploads/?mount={blob.digest}&from=team/app"
    session.ask("POST", mount)
    root = layout.resolve("app")
    part = layout.manifests(root.digest)[0]
    manifest = layout.read(part.digest)
    session.ask("PUT", f"{repository}/manifests/{part.digest}", content=manifest,
                content_type=part.media_type)  # fmt: skip
    for one in (Manifest.parse(manifest).config, *Manifest.parse(manifest).layers):
        location = session.ask("POST", f"{repository}/blobs/uploads/").headers["location"]
        joint = "&" if "?" in location else "?"
        session.ask("PUT", f"{location}{joint}digest={one.digest}",
                    content=layout.path(one.digest).read_bytes(),
                    content_type="application/octet-stream")  # fmt: skip
    for reference in (part.digest, "1.0", "2.0"):
        session.ask("PUT", f"{repository}/manifests/{reference}", content=manifest,
                    content_type=part.media_type)  # fmt: skip
    for reference in (part.digest, "1.0", "3.0", root.digest):
        session.ask("HEAD", f"{repository}/manifests/{reference}", accept=part.media_type)
        session.ask("GET", f"{repository}/manifests/{reference}", accept=part.media_type)
    tags = session.ask("GET", f"{repository}/tags/list").json()["tags"]
    assert sorted(tags) == ["1.0", "2.0"]
    session.ask("GET", "/v2/team/none/tags/list")
    session.ask("DELETE", f"{repository}/manifests/{part.digest}")
    session.ask("GET", f"{repository}/manifests/{part.digest}", accept=part.media_type)


@pytest.mark.parametrize("kind", ["docker-registry", "distribution"])
def test_the_same_answers(kind: str, layout: Layout, tmp_path: Path) -> None:
    """Status, code of the error, length, digest, range: what the client goes by is the same."""
    fake = Session(
        httpx2.Client(
            base_url="https://registry.example",
            transport=httpx2.MockTransport(DictRegistry(pages=99, referrers_api=False)),
        )
    )
    sequence(fake, layout)
    home = tmp_path / "registry"
    home.mkdir()
    with (
        serve(kind, home) as running,
        # As long as the library waits: on a busy machine five seconds are not enough for every answer.
        httpx2.Client(
            base_url=f"http://127.0.0.1:{running.port}", timeout=60, trust_env=False
        ) as client,
    ):
        real = Session(client)
        sequence(real, layout)

    wrong = [
        f"{number}: {mine}\n   {theirs}"
        for number, (mine, theirs) in enumerate(zip(fake.seen, real.seen, strict=True))
        if mine != theirs
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", ["crane", "docker-registry", "distribution", "lockgate"])
def test_the_client_gets_the_same(kind: str, layout: Layout, tmp_path: Path) -> None:
    """Through the client, fake and real registries cannot be told apart."""
    home = tmp_path / "registry"
    home.mkdir()
    with serve(kind, home) as running:
        world = World(sleep=lambda _: None)
        with Registry(world.endpoint(f"{running.host}/team/app"), world, push=True) as client:
            real = list(calls(client, layout))
    fake = list(calls(DictRegistry(referrers_api=kind == "lockgate").open(), layout))

    assert real == fake


def calls(client: Registry, layout: Layout) -> Iterator[object]:
    """Use the whole client; yield what came of each call."""
    root = layout.resolve("app")
    nodes = [*layout.manifests(root.digest), root, layout.referrers(root.digest)[0]]
    client.ping()
    yield client.resolve("1.0")
    for node in nodes:
        document = layout.read(node.digest)
        if node is not root:
            parsed = Manifest.parse(document)
            for part in (parsed.config, *parsed.layers):
                yield client.has(part)
                client.put_blob(part, opener(layout.path(part.digest).read_bytes()))
                yield client.has(part)
                with client.open(part) as pieces:
                    yield b"".join(pieces)
        yield client.manifest(node.digest)
        client.put_manifest(node, document)
        yield client.manifest(node.digest)
    yield client.referrers(root.digest)
    for name in ("1.0", "1.1", "1.0"):
        client.tag(name, root, layout.read(root.digest))
        yield client.resolve(name)
    yield sorted(one for one in client.tags() if not one.startswith("sha256-"))
    yield client.resolve("2.0")
    yield client.has(describe(b"none"))
    try:
        with client.open(describe(b"none")) as pieces:
            yield list(pieces)
    except LockgateError as error:
        yield type(error)
