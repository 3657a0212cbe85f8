"""Images of a few bytes for the tests of what moves them."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import encode
from lockgate.oci.manifest import (
    CONFIG,
    EMPTY,
    EMPTY_JSON,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    index_bytes,
    manifest_bytes,
)
from lockgate.oci.store import LayoutStore, checked
from lockgate.oci.store import describe as describe_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.oci.layout import Layout
    from lockgate.oci.store import Opener

KIND = "application/vnd.example.evidence+json"


def noise(size: int, seed: str) -> bytes:
    """Return bytes that look random and are always the same."""
    return hashlib.shake_128(seed.encode()).digest(size)


def describe(data: bytes) -> Descriptor:
    """Return the descriptor of a blob."""
    return Descriptor.of(LAYER_GZIP, data)


def opener(data: bytes, *, of: bytes | None = None, step: int = 100_000) -> Opener:
    """Return what opens a blob in pieces; `of` is what it should be, where that is something else."""

    @contextlib.contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        pieces = (data[at : at + step] for at in range(0, len(data), step))
        yield checked(pieces, describe(data if of is None else of), "a test")

    return opened


def build(layout: Layout, name: str = "app", *, size: int = 1000, layers: int = 2) -> Descriptor:
    """Store and name an index of two platforms; they share their first layer."""
    listed = []
    for architecture in ("amd64", "arm64"):
        config = layout.put(encode({"architecture": architecture, "name": name}), CONFIG)
        parts = [layout.put(noise(size, f"{name} base"), LAYER_GZIP)]
        parts += [
            layout.put(noise(size, f"{name} {architecture} {number}"), LAYER_GZIP)
            for number in range(1, layers)
        ]
        data = manifest_bytes(Manifest(config=config, layers=tuple(parts)))
        where = Platform(os="linux", architecture=architecture)
        listed.append(msgspec.structs.replace(layout.put(data, MANIFEST), platform=where))
    marks = {"org.opencontainers.image.revision": "3f2a9c1d" * 5}
    root = layout.put(index_bytes(Index(manifests=tuple(listed), annotations=marks)), INDEX)
    layout.tag({name: root})
    return root


def refer(layout: Layout, subject: Descriptor, content: bytes = b"{}") -> Descriptor:
    """Store a referrer of a manifest and list it."""
    subject = msgspec.structs.replace(subject, annotations={}, platform=None, artifact_type="")
    manifest = Manifest(
        artifact_type=KIND,
        config=layout.put(EMPTY_JSON, EMPTY),
        layers=(layout.put(content, KIND),),
        subject=subject,
        annotations={"about": "a test"},
    )
    data = manifest_bytes(manifest)
    listed, _ = describe_manifest(data)
    LayoutStore(layout, "a layout").put_manifest(listed, data)
    return listed


def sign_the_old_way(layout: Layout, subject: Descriptor, end: str = ".sig") -> Descriptor:
    """Store a manifest without a subject under the tag that cosign gives it."""
    config = layout.put(encode({"of": subject.digest, "as": end}), CONFIG)
    part = layout.put(b"signature of " + subject.digest.encode() + end.encode(), KIND)
    found = layout.put(manifest_bytes(Manifest(config=config, layers=(part,))), MANIFEST)
    layout.tag({subject.digest.replace(":", "-") + end: found})
    return found


def everything(layout: Layout, name: str = "app", *, size: int = 1000) -> Descriptor:
    """Store an image with every kind of evidence: referrers, one of a platform, one of a referrer, old tags."""
    root = build(layout, name, size=size)
    platform = layout.manifests(root.digest)[0]
    signature = refer(layout, root, b"signature")
    refer(layout, root, b"statement")
    refer(layout, platform, b"about one platform")
    refer(layout, signature, b"about the signature")
    sign_the_old_way(layout, root)
    sign_the_old_way(layout, root, ".att")
    return root
