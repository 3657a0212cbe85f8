"""An OCI image layout on disk (image-layout.md): the store under `.lockgate/`.

Blobs are written beside their place and renamed into it under the name of their digest, so a blob either
is whole or is not there. `index.json` is replaced atomically under a lock. Referrers of a digest stand in
an index tagged `sha256-<hex>` (distribution specification 1.1, "Referrers Tag Schema"): registries without
the referrers API and tools that read layouts find them there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO, Self

from lockgate.base.errors import DigestMismatch, LockgateError, UsageError
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.oci import partial, pushed
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import (
    INDEX,
    MANIFEST,
    MAX_JSON,
    Descriptor,
    Index,
    Manifest,
    index_bytes,
    is_index,
)
from lockgate.oci.names import Names
from lockgate.oci.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lockgate.oci.partial import BlobWriter

_MARKER = b'{"imageLayoutVersion":"1.0.0"}'
CHUNK = 1 << 20
"""Bytes read at once from a blob."""


class Layout(Names):
    """Blobs by digest and manifests by name in one folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._blobs = root / "blobs" / "sha256"
        self._swept = False
        self.seen = Seen()

    @classmethod
    def create(cls, root: Path) -> Self:
        """Make the folder a layout unless it is one; keep what is there.

        Raises:
            StorageError: the folder cannot be written.
        """
        layout = cls(root)
        try:
            layout._blobs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, root) from error
        with exclusive(root / ".lock"):
            if not (root / "index.json").exists():
                atomic_write(root / "index.json", index_bytes(Index(manifests=())))
            if not (root / "oci-layout").exists():
                atomic_write(root / "oci-layout", _MARKER)
        return layout

    @classmethod
    def open(cls, root: Path) -> Self:
        """Return the layout in `root`.

        Raises:
            UsageError: there is none.
        """
        if not (root / "oci-layout").is_file():
            raise UsageError(f"{root} is not an image layout", hint="`inv build` makes one")
        return cls(root)

    def path(self, digest: str) -> Path:
        """Return where the blob lies or would lie."""
        return self._blobs / Digest(digest).hex

    def has(self, digest: str) -> bool:
        """True when the blob is there. Says nothing about its bytes."""
        return self.path(digest).is_file()

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Store bytes and describe them; storing the same bytes twice changes nothing."""
        descriptor = Descriptor.of(media_type, data)
        path = self.path(descriptor.digest)
        if not path.exists():
            atomic_write(path, data)
        return descriptor

    @contextlib.contextmanager
    def writer(self) -> Iterator[BlobWriter]:
        """Stream a blob of unknown digest into the store; it appears when the block ends well.

        The first writer removes what killed ones left.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        if not self._swept:
            self._swept = True
            partial.sweep(self._blobs)
        with partial.writing(self._blobs) as blob:
            yield blob

    def read(self, digest: str, *, limit: int = MAX_JSON) -> bytes:
        """Return a small blob, its bytes checked against the digest.

        Raises:
            UsageError: the blob is absent or larger than `limit`.
            DigestMismatch: its bytes were changed.
            StorageError: it cannot be read.
        """
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            raise self._absent(digest) from None
        except OSError as error:
            raise storage_error(error, path) from error
        if len(data) > limit:
            raise UsageError(
                f"blob {Digest(digest).short} is larger than {limit} bytes",
                hint="it is no manifest, index or configuration; check the digest",
            )
        return Digest(digest).check(data, str(path))

    def offer(self, data: bytes) -> None:
        """Do nothing: what is here is read here."""

    @contextlib.contextmanager
    def stream(self, digest: str) -> Iterator[BinaryIO]:
        """Open a blob for reading in pieces. Its bytes are not checked: call `verify` first.

        Raises:
            UsageError: the blob is absent.
            StorageError: it cannot be read.
        """
        path = self.path(digest)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise self._absent(digest) from None
        except OSError as error:
            raise storage_error(error, path) from error
        with file:
            yield file

    def verify(self, digest: str) -> int:
        """Check the bytes of a blob of any size; return its size. What was hashed in this run is remembered.

        Raises:
            UsageError: the blob is absent.
            DigestMismatch: its bytes were changed.
        """
        with self.stream(digest) as file:
            before = os.fstat(file.fileno())
            if self.seen.holds(digest, before):
                return before.st_size
            found, size = hashlib.sha256(), 0
            while piece := file.read(CHUNK):
                found.update(piece)
                size += len(piece)
            after = os.fstat(file.fileno())
        if found.hexdigest() != Digest(digest).hex:
            raise DigestMismatch(
                f"blob {Digest(digest).short} has other bytes than its digest says",
                hint=f"remove {self.path(digest)} and run `inv build` again",
            )
        self.seen.add(digest, before, after)
        return size

    def begin(self, digest: str, names: Sequence[str]) -> None:
        """Do nothing: what is here need not be asked for early."""

    def check(self, digest: str) -> tuple[Descriptor, ...]:
        """Check every blob below an index or a manifest, as `verify_image`; nothing is left out."""
        self.verify_image(digest)
        return ()

    def fetch(self, descriptor: Descriptor, *, limit: int = MAX_JSON) -> bytes | None:
        """Return a small blob as `read`; None when it is not there."""
        return self.read(descriptor.digest, limit=limit) if self.has(descriptor.digest) else None

    def verify_image(self, digest: str) -> tuple[Descriptor, ...]:
        """Check every blob below an index or a manifest; return the platform manifests' descriptors.

        Raises:
            UsageError: a blob is absent or not what its descriptor says, or an index is empty.
            DigestMismatch: a blob's bytes or size differ from its descriptor.
        """
        manifests = self.manifests(digest)
        for descriptor in manifests:
            manifest = Manifest.parse(self.read(descriptor.digest))
            for part in (descriptor, manifest.config, *manifest.layers):
                if self.verify(part.digest) != part.size:
                    raise DigestMismatch(
                        f"blob {Digest(part.digest).short} is not {part.size} bytes long",
                        hint="do not use this image; find out who built it",
                    )
        return manifests

    def manifests(self, digest: str) -> tuple[Descriptor, ...]:
        """Return the platform manifests of an index, or the one manifest itself.

        Raises:
            UsageError: the blob is neither an index nor a manifest, is absent, or is an index of nothing.
        """
        data = self.read(digest)
        if not is_index(data):
            Manifest.parse(data)
            return (Descriptor.of(MANIFEST, data),)
        manifests = Index.parse(data).manifests
        if not manifests:
            # Whoever checks or scans "every platform" of it would have done nothing, and be content.
            raise UsageError(
                f"index {Digest(digest).short} lists no manifest", hint="run `inv build` again"
            )
        return manifests

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Return the manifests whose subject is `digest`, of one artifact type when given.

        They are those that were added here, and those that were pushed to a registry over this layout.
        """
        tag = _referrers_tag(digest)
        found = {one.digest: one for one in pushed.everywhere(self.root / pushed.FOLDER, digest)}
        found |= {one.digest: one for one in self._added(self._read().names.get(tag))}
        ordered = sorted(found.values(), key=lambda one: (one.artifact_type, one.digest))
        return tuple(one for one in ordered if artifact_type in ("", one.artifact_type))

    def add_referrer(self, digest: str, referrer: Descriptor) -> None:
        """List a stored manifest as a referrer of `digest`; listing it twice changes nothing.

        Raises:
            UsageError: the list would be longer than readers take.
        """
        tag = _referrers_tag(digest)
        with self.change() as names:
            known = self._added(names.get(tag))
            if not any(one.digest == referrer.digest for one in known):
                names[tag] = self.put(listing((*known, referrer)), INDEX)

    def _added(self, entry: Descriptor | None) -> tuple[Descriptor, ...]:
        return Index.parse(self.read(entry.digest)).manifests if entry else ()

    def _absent(self, digest: str) -> LockgateError:
        return UsageError(
            f"blob {Digest(digest).short} is not in the store", hint="run `inv build` again"
        )


def listing(referrers: Iterable[Descriptor]) -> bytes:
    """Return the index that lists referrers (distribution specification 1.1, "Listing Referrers").

    Raises:
        UsageError: it would be longer than readers take.
    """
    ordered = sorted(referrers, key=lambda one: (one.artifact_type, one.digest))
    data = index_bytes(Index(manifests=tuple(ordered)))
    if len(data) > MAX_JSON:
        raise UsageError(
            f"a list of {len(ordered)} referrers would have more than {MAX_JSON} bytes",
            hint="remove some of them, or shorten their annotations",
        )
    return data


def _referrers_tag(digest: str) -> str:
    return "sha256-" + Digest(digest).hex
