"""What a reader of evidence asks of a place, and every place that is not a layout, read that way: `Elsewhere`.

A layout answers the questions itself. A registry or an archive is asked by digest, each thing once, several at
the same time; what was got is kept for the run.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from lockgate.base.errors import (
    DigestMismatch,
    LockgateError,
    RegistryError,
    TrustError,
    UsageError,
)
from lockgate.oci.closure import check_referrers
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, MANIFEST, MAX_JSON, Descriptor, Index, Manifest, is_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from lockgate.oci.store import Source

JOBS = 4
"""Questions that are asked at the same time."""

MAX_KEPT = 16 << 20
"""Bytes of manifests and evidence that are kept; what is older is asked for once more when it is needed."""

A = TypeVar("A")
B = TypeVar("B")


class Readable(Protocol):
    """A place that an image and its evidence are read from."""

    def begin(self, digest: str, names: Sequence[str]) -> None:
        """Learn what will be asked for: an image, its referrers, and these names."""
        ...

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

    def offer(self, data: bytes) -> None:
        """Take notice of bytes that may be those of a blob; a place that is at hand has no use for them."""
        ...


@runtime_checkable
class Tagged(Protocol):
    """A source that hands out what a tag points at in one answer."""

    def tagged(self, name: str) -> tuple[Descriptor, bytes] | None:
        """Return what a tag points at now, checked; None when there is no such tag."""
        ...


class Elsewhere:
    """A registry or an archive. For as many images as one likes: what is kept of them is bounded.

    Args:
        source: the place.
        layers: read the layers too, and not only what names them by digest.
    """

    def __init__(self, source: Source, *, layers: bool) -> None:
        self._source, self._layers = source, layers
        self._pool = ThreadPoolExecutor(JOBS)
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._turn = threading.Lock()
        self._lists: dict[str, Future[tuple[Descriptor, ...]]] = {}
        """Lists of referrers that were asked for, by digest; each answers one question."""
        self._tags: dict[str, Future[Descriptor | None]] = {}
        """The same for tags."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, digest: str, names: Sequence[str]) -> None:
        """Ask for lists and tags already, while the image is looked at."""
        self._lists = {digest: self._pool.submit(self._source.referrers, digest)}
        self._tags = {name: self._pool.submit(self._resolve, name) for name in names}

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
        # One digest with two sizes is two claims, of which one is false.
        configs = {(one.config.digest, one.config.size): one.config for one in manifests}
        list(self._several(self._part(digest), configs.values()))
        layers = {(one.digest, one.size): one for each in manifests for one in each.layers}
        if not self._layers:
            return tuple(layers.values())
        list(self._several(self._hash(digest), layers.values()))
        return ()

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Return the referrers that the place lists; what they hold is fetched ahead."""
        asked = self._lists.pop(digest, None)
        every = self._source.referrers(digest) if asked is None else asked.result()
        check_referrers(len(every), digest, self._source.label)
        found = [one for one in every if artifact_type in ("", one.artifact_type)]
        found.sort(key=lambda one: (one.artifact_type, one.digest))
        self._ahead(found)
        return tuple(found)

    def named(self, name: str) -> tuple[Descriptor, ...]:
        """Return what a tag points at; what it holds is fetched ahead."""
        asked = self._tags.pop(name, None)
        found = self._resolve(name) if asked is None else asked.result()
        if found is None:
            return ()
        self._evidence(found)
        return (found,)

    def _resolve(self, name: str) -> Descriptor | None:
        if not isinstance(self._source, Tagged):
            return self._source.resolve(name)
        answer = self._source.tagged(name)
        if answer is None:
            return None
        self._keep(answer[0].digest, answer[1])
        return answer[0]

    def offer(self, data: bytes) -> None:
        """Keep bytes that may be those of a blob, and that it need then not be asked for."""
        self._keep(Digest.of(data), data)

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
        with self._turn:
            if len(data) > MAX_KEPT or digest in self._kept:
                return
            self._kept[digest] = data
            self._size += len(data)
            while self._size > MAX_KEPT:
                _, gone = self._kept.popitem(last=False)
                self._size -= len(gone)

    def _ahead(self, manifests: Iterable[Descriptor]) -> None:
        """Fetch manifests and their layers, several at once."""
        list(self._several(self._evidence, manifests))

    def _evidence(self, manifest: Descriptor) -> None:
        try:
            data = self.fetch(manifest)
            for layer in Manifest.parse(data).layers if data else ():
                if layer.size <= MAX_KEPT:
                    self.fetch(layer, limit=MAX_KEPT)
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
            if self._gone(error, descriptor):
                return None
            raise

    def _part(self, root: str) -> Callable[[Descriptor], bytes]:
        def part(descriptor: Descriptor) -> bytes:
            data = self.fetch(descriptor)
            if data is None:
                raise self._hole(root, descriptor.digest)
            if len(data) != descriptor.size:
                raise DigestMismatch(
                    f"{Digest(descriptor.digest).short} is not {descriptor.size} bytes long",
                    hint="do not use this image; find out who built it",
                )
            return data

        return part

    def _hash(self, root: str) -> Callable[[Descriptor], None]:
        def layer(descriptor: Descriptor) -> None:
            try:
                with self._source.open(descriptor) as pieces:
                    for _ in pieces:
                        pass
            except (RegistryError, UsageError) as error:
                if self._gone(error, descriptor):
                    raise self._hole(root, descriptor.digest) from None
                raise

        return layer

    def _hole(self, root: str, missing: str) -> TrustError:
        return TrustError(
            f"{Digest(root).short} is not whole in {self._source.label}, {missing} is missing",
            hint="push it again from where it was built",
        )

    def _gone(self, error: RegistryError | UsageError, descriptor: Descriptor) -> bool:
        """True when a blob could not be opened because it is not there."""
        if isinstance(error, RegistryError):
            return error.status == 404
        return not self._source.has(descriptor)

    def _several(self, ask: Callable[[A], B], those: Iterable[A]) -> Iterable[B]:
        return self._pool.map(ask, those)
