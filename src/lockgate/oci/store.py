"""What a place for images can do, so that images move between any two of them: `Source` and `Target`.

A place holds blobs, manifests by digest, and names. It says what is missing with a value, not an error, and
hands out bytes that are checked on the way. `LayoutStore` is the one over a layout on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Protocol

import msgspec

from lockgate.base.errors import DigestMismatch, UsageError
from lockgate.oci import older
from lockgate.oci.digest import Digest
from lockgate.oci.layout import CHUNK
from lockgate.oci.manifest import CONFIG, INDEX, MANIFEST, Descriptor, Index, Manifest, is_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lockgate.base.errors import LockgateError
    from lockgate.oci.layout import Layout

    Opener = Callable[[], AbstractContextManager[Iterator[bytes]]]
    """Opens a blob from its beginning, as often as it is called."""


class Source(Protocol):
    """A place that images come from. Several threads may use it at once."""

    label: str
    """How to name it to people."""

    def absent(self, what: str) -> LockgateError:
        """Return the error for what is not here."""
        ...

    def resolve(self, name: str) -> Descriptor | None:
        """Return what a name or tag points at now; None when there is no such name."""
        ...

    def manifest(self, digest: str) -> bytes | None:
        """Return an index or manifest, checked against its digest; None when it is not there.

        Raises:
            DigestMismatch: it has other bytes.
        """
        ...

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return the manifests that are listed with `digest` as their subject."""
        ...

    def has(self, descriptor: Descriptor) -> bool:
        """True when a blob of this digest and size is there. Says nothing about its bytes."""
        ...

    def open(self, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """Hand out a blob in pieces; the last step of the iteration fails when the bytes are not its own.

        Raises:
            DigestMismatch: digest or size differ.
        """
        ...


class Target(Source, Protocol):
    """A place that images go to; what went there can be read back."""

    def put_blob(self, descriptor: Descriptor, opener: Opener) -> None:
        """Store a blob; it is there under its digest when this returns, or not at all."""
        ...

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        """Store a manifest whose parts are there; one with a subject is listed as its referrer."""
        ...

    def tag(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Point a name at a manifest that is there, whose bytes are `data`."""
        ...

    def finish(self) -> None:
        """Make what was put visible, where that happens at once and not piece by piece."""
        ...


def checked(pieces: Iterator[bytes], descriptor: Descriptor, where: str) -> Iterator[bytes]:
    """Pass a blob on and compare its digest and size with the descriptor.

    Raises:
        DigestMismatch: after the last piece, or as soon as there are too many bytes.
    """
    found, size = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        size += len(piece)
        if size > descriptor.size:
            break
        yield piece
    if (f"sha256:{found.hexdigest()}", size) != (descriptor.digest, descriptor.size):
        raise DigestMismatch(
            f"blob {Digest(descriptor.digest).short} has other bytes in {where} than its digest says",
            hint="do not use this copy; get the image from where it was built",
        )


def describe(data: bytes) -> tuple[Descriptor, str]:
    """Return the descriptor by which a manifest is listed, and the digest of its subject or nothing.

    Type and annotations are repeated as distribution specification 1.1, "Listing Referrers", has it.

    Raises:
        UsageError: the bytes are neither an index nor a manifest.
    """
    document: Index | Manifest
    if is_index(data):
        document, media_type, kind = (index := Index.parse(data)), INDEX, index.artifact_type
    else:
        document, media_type = (manifest := Manifest.parse(data)), MANIFEST
        kind = manifest.artifact_type or manifest.config.media_type
    found = Descriptor.of(media_type, data)
    if document.subject is None:
        return found, ""
    listed = msgspec.structs.replace(found, artifact_type=kind, annotations=document.annotations)
    return listed, document.subject.digest


class LayoutStore:
    """A layout on disk."""

    def __init__(self, layout: Layout, label: str) -> None:
        self.layout, self.label = layout, label

    def absent(self, what: str) -> LockgateError:
        """Return the error for what is not here."""
        return UsageError(f"{what} is not in {self.label}", hint="`inv build` makes images")

    def resolve(self, name: str) -> Descriptor | None:
        """Return what a name points at."""
        return self.layout.tags().get(name)

    def manifest(self, digest: str) -> bytes | None:
        """Return a checked manifest, or None."""
        return self.layout.read(digest) if self.layout.has(digest) else None

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return the referrers of a digest."""
        return self.layout.referrers(digest)

    def has(self, descriptor: Descriptor) -> bool:
        """True when the file is there with this size."""
        try:
            return self.layout.path(descriptor.digest).stat().st_size == descriptor.size
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Hand out a blob, checked on the way."""
        with self.layout.stream(descriptor.digest) as file:
            yield checked(iter(lambda: file.read(CHUNK), b""), descriptor, self.label)

    def put_blob(self, descriptor: Descriptor, opener: Opener) -> None:
        """Store a blob; its file appears when it is whole and right."""
        with self.layout.writer() as writer, opener() as pieces:
            for piece in pieces:
                writer.write(piece)
            if (writer.digest, writer.size) != (descriptor.digest, descriptor.size):
                raise DigestMismatch(
                    f"what came for blob {Digest(descriptor.digest).short} has another digest",
                    hint="get the image from where it was built",
                )

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        """Store a manifest, and list it when it has a subject.

        Raises:
            DigestMismatch: it is there already, with other bytes; somebody changed the file.
        """
        self.layout.read(self.layout.put(data, descriptor.media_type).digest)
        listed, subject = describe(data)
        if subject:
            self.layout.add_referrer(subject, listed)

    def tag(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Point a name at a manifest; one to which signers add keeps what is behind it by then."""
        if Digest.of(data) != descriptor.digest:
            raise UsageError(f"{name} cannot point at what is not there")
        with self.layout.change() as names:
            held = names.get(name) if older.is_shared(name) else None
            if held is not None and held.digest != descriptor.digest:
                theirs = self.layout.read(held.digest)
                content, both = older.combine(theirs, data, f"{name} in {self.label}")
                if content:
                    self.layout.put(content, CONFIG)
                    descriptor = self.layout.put(both, MANIFEST)
            names[name] = descriptor

    def finish(self) -> None:
        """Nothing is left to do."""
