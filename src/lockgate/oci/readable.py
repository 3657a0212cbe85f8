"""What a reader of evidence asks of a place, and every place that is not a layout, read that way: `Elsewhere`.

A layout answers the questions itself. A registry or an archive is asked by digest, each thing once, several at
the same time; what was got is kept for the run.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from lockgate.base.errors import (
    DigestMismatch,
    LockgateError,
    RegistryError,
    TrustError,
    UsageError,
)
from lockgate.oci.closure import MAX_MANIFESTS, hole
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, MANIFEST, MAX_JSON, Descriptor, Index, Manifest, is_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from lockgate.oci.store import Source

JOBS = 4
"""Questions that are asked at the same time."""

MAX_KEPT = 64 << 20
"""Bytes of one image's manifests and evidence that are kept; what is beyond is asked for when it is needed."""

A = TypeVar("A")
B = TypeVar("B")


class Readable(Protocol):
    """A place that an image and its evidence are read from."""

    def check(self, digest: str) -> tuple[Descriptor, ...]:
        """Check the bytes of everything below an index or a manifest; return the layers that were left out.

        Raises:
            UsageError, TrustError, RegistryError: something is not there, or not an image.
            DigestMismatch: bytes differ from their descriptor.
        """
        ...

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Return the manifests that are listed with `digest` as their subject, of one type when given."""
        ...

    def named(self, name: str) -> tuple[Descriptor, ...]:
        """Return what a name or tag points at; nothing when there is none."""
        ...

    def fetch(self, descriptor: Descriptor, *, limit: int = MAX_JSON) -> bytes | None:
        """Return a manifest or blob, its bytes checked against the digest; None when it is not there.

        Raises:
            DigestMismatch: it has other bytes.
            UsageError: it is larger than `limit`.
        """
        ...


class Elsewhere:
    """A registry or an archive.

    Args:
        source: the place.
        layers: read the layers too, and not only what names them by digest.
    """

    def __init__(self, source: Source, *, layers: bool) -> None:
        self._source, self._layers = source, layers
        self._pool = ThreadPoolExecutor(JOBS)
        self._kept: dict[str, bytes] = {}
        self._room = MAX_KEPT

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def check(self, digest: str) -> tuple[Descriptor, ...]:
        """Check index, manifests and configurations, and the layers when they are to be read."""
        data = self.fetch(Descriptor(media_type=MANIFEST, digest=digest, size=0))
        if data is None:
            raise self._source.absent(Digest(digest).short)
        if is_index(data):
            listed = Index.parse(data).manifests
            if not listed:
                raise UsageError(
                    f"index {Digest(digest).short} lists no manifest", hint="push it again"
                )
        else:
            listed = (Descriptor.of(MANIFEST, data),)
        manifests = [Manifest.parse(one) for one in self._several(self._part(digest), listed)]
        configs = {one.config.digest: one.config for one in manifests}
        list(self._several(self._part(digest), configs.values()))
        layers = {one.digest: one for each in manifests for one in each.layers}
        if not self._layers:
            return tuple(layers.values())
        list(self._several(self._hash, layers.values()))
        return ()

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Return the referrers that the place lists; what they hold is fetched ahead."""
        every = self._source.referrers(digest)
        if len(every) > MAX_MANIFESTS:
            raise TrustError(
                f"{Digest(digest).short} in {self._source.label} has more than {MAX_MANIFESTS} referrers",
                hint="somebody may be adding them; look at them before it is used",
            )
        found = [one for one in every if artifact_type in ("", one.artifact_type)]
        found.sort(key=lambda one: (one.artifact_type, one.digest))
        self._ahead(found)
        return tuple(found)

    def named(self, name: str) -> tuple[Descriptor, ...]:
        """Return what a tag points at; what it holds is fetched ahead."""
        found = self._source.resolve(name)
        if found is None:
            return ()
        self._ahead([found])
        return (found,)

    def fetch(self, descriptor: Descriptor, *, limit: int = MAX_JSON) -> bytes | None:
        """Return a manifest or blob; what was got in this run is not asked for again."""
        kept = self._kept.get(descriptor.digest)
        if kept is not None:
            return kept
        if descriptor.media_type in (INDEX, MANIFEST):
            found = self._source.manifest(descriptor.digest)
        else:
            found = self._blob(descriptor, limit)
        if found is not None:
            self._keep(descriptor.digest, found)
        return found

    def _keep(self, digest: str, data: bytes) -> None:
        if len(data) <= self._room:
            self._room -= len(data)
            self._kept[digest] = data

    def _ahead(self, manifests: Iterable[Descriptor]) -> None:
        """Fetch manifests and their layers, several at once."""
        list(self._several(self._evidence, manifests))

    def _evidence(self, manifest: Descriptor) -> None:
        try:
            data = self.fetch(manifest)
            for layer in Manifest.parse(data).layers if data else ():
                self.fetch(layer, limit=self._room)
        except LockgateError:
            return  # whoever asks for it is told why it is not there

    def _blob(self, descriptor: Descriptor, limit: int) -> bytes | None:
        if descriptor.size > limit:
            raise UsageError(
                f"blob {Digest(descriptor.digest).short} is larger than {limit} bytes",
                hint="it is no configuration and no evidence; check the digest",
            )
        try:
            with self._source.open(descriptor) as pieces:
                return b"".join(pieces)
        except (RegistryError, UsageError) as error:
            gone = isinstance(error, UsageError) and not self._source.has(descriptor)
            if gone or getattr(error, "status", 0) == 404:
                return None
            raise

    def _part(self, root: str) -> Callable[[Descriptor], bytes]:
        def part(descriptor: Descriptor) -> bytes:
            data = self.fetch(descriptor)
            if data is None:
                raise hole(self._source, root, [descriptor.digest])
            if len(data) != descriptor.size:
                raise DigestMismatch(
                    f"{Digest(descriptor.digest).short} is not {descriptor.size} bytes long",
                    hint="do not use this image; find out who built it",
                )
            return data

        return part

    def _hash(self, descriptor: Descriptor) -> None:
        with self._source.open(descriptor) as pieces:
            for _ in pieces:
                pass

    def _several(self, ask: Callable[[A], B], those: Iterable[A]) -> Iterable[B]:
        return self._pool.map(ask, those)
