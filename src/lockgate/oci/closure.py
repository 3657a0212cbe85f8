"""Everything that belongs to an image: manifests, configurations, layers, and what refers to them. Pure.

To an image belong its index with every platform, and its evidence: the referrers of each of these manifests,
the referrers of those, and cosign's older tags (`sha256-<hex>.sig`, `.att`, `.sbom`). A copy without them is
an image that nobody signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import DigestMismatch, SubjectMismatch, TrustError, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, MANIFEST, Descriptor, Index, Manifest, is_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor

    from lockgate.oci.store import Source

LEGACY = (".sig", ".att", ".sbom")
"""Ends of the tags under which cosign keeps what belongs to a digest (cosign, specs/SIGNATURE_SPEC.md)."""

MAX_MANIFESTS = 4096
MAX_BYTES = 64 << 20
"""Manifests of one image, and their bytes together. Beyond it is a mistake or an attack."""
MAX_DEPTH = 8
"""Indexes within indexes."""


class Node(NamedTuple):
    """One manifest or index."""

    descriptor: Descriptor
    data: bytes
    """As it was served; its digest was checked."""
    parts: tuple[Descriptor, ...]
    """Configuration and layers; none for an index."""
    children: tuple[Descriptor, ...]
    """What an index lists."""
    subject: str
    """Digest of what it refers to, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Closure:
    """An image with everything that belongs to it."""

    root: Descriptor
    nodes: tuple[Node, ...]
    """In the order in which they can be written: parts before the whole, an image before its evidence."""
    evidence: frozenset[str]
    """Digests of the nodes that are not of the image itself."""
    blobs: tuple[Descriptor, ...]
    """Configurations and layers, each one once."""
    tags: tuple[tuple[str, Descriptor], ...]
    """Older tags of evidence, with what they point at."""

    @property
    def data(self) -> bytes:
        """The bytes of the root."""
        return next(one.data for one in self.nodes if one.descriptor.digest == self.root.digest)


class _Found(NamedTuple):
    """What a source has for one digest."""

    digest: str
    node: Node | None
    referrers: tuple[Descriptor, ...]
    tags: tuple[tuple[str, Descriptor], ...]


def walk(source: Source, digest: str, pool: Executor) -> Closure:
    """Find everything that belongs to an image in a source.

    Raises:
        TrustError: a manifest is missing, a referrer belongs to something else, or there is no end to it.
        DigestMismatch: a manifest has other bytes than its descriptor says.
        UsageError: it is not an image.
        LockgateError: it is not in the source; the kind is the source's.
    """
    found: dict[str, _Found] = {}
    level = [digest]
    while level:
        for one in pool.map(lambda digest: _look(source, digest), level):
            found[one.digest] = one
        _check_limits(source, digest, found)
        following = (each for digest in level for each in _next(found[digest]))
        level = list(dict.fromkeys(each for each in following if each not in found))
    holes = [one.digest for one in found.values() if one.node is None]
    if digest in holes:
        raise source.absent(Digest(digest).short)
    if holes:
        raise hole(source, digest, holes)
    return _arrange({key: one for key, one in found.items() if one.node}, digest)


def hole(source: Source, digest: str, missing: Iterable[str]) -> TrustError:
    """Return the error for an image of which something is missing."""
    names = ", ".join(sorted(missing))
    return TrustError(
        f"{Digest(digest).short} is not whole in {source.label}, {names} is missing; nothing was moved",
        hint="build or push the image again where it came from",
    )


def check_referrers(count: int, digest: str, where: str) -> None:
    """Refuse more referrers of one manifest than anybody reads or copies.

    Raises:
        TrustError: there are more than `MAX_MANIFESTS`.
    """
    if count > MAX_MANIFESTS:
        raise TrustError(
            f"{Digest(digest).short} in {where} has more than {MAX_MANIFESTS} referrers",
            hint="somebody may be adding them; look at them before it is used",
        )


def _look(source: Source, digest: str) -> _Found:
    data = source.manifest(digest)
    if data is None:
        return _Found(digest, None, (), ())
    older = (f"sha256-{Digest(digest).hex}{end}" for end in LEGACY)
    tags = ((name, source.resolve(name)) for name in older)
    return _Found(
        digest,
        _parse(data),
        tuple(sorted(source.referrers(digest), key=lambda one: one.digest)),
        tuple((name, each) for name, each in tags if each is not None),
    )


def _parse(data: bytes) -> Node:
    if is_index(data):
        index = Index.parse(data)
        for one in index.manifests:
            if one.media_type not in (INDEX, MANIFEST):
                raise UsageError(
                    f"an index lists {Digest(one.digest).short} of type {one.media_type!r}",
                    hint="only OCI images are moved: `skopeo copy --format oci` makes one",
                )
        subject = index.subject.digest if index.subject else ""
        return Node(Descriptor.of(INDEX, data), data, (), index.manifests, subject)
    manifest = Manifest.parse(data)
    subject = manifest.subject.digest if manifest.subject else ""
    parts = (manifest.config, *manifest.layers)
    return Node(Descriptor.of(MANIFEST, data), data, parts, (), subject)


def _next(found: _Found) -> Iterator[str]:
    children = found.node.children if found.node else ()
    for one in (*children, *found.referrers, *(each for _, each in found.tags)):
        yield one.digest


def _check_limits(source: Source, digest: str, found: dict[str, _Found]) -> None:
    size = sum(one.node.descriptor.size for one in found.values() if one.node)
    if len(found) > MAX_MANIFESTS or size > MAX_BYTES:
        raise TrustError(
            f"{Digest(digest).short} in {source.label} has more than {MAX_MANIFESTS} manifests, "
            f"or more than {MAX_BYTES} bytes of them",
            hint="somebody may be adding referrers to it; look at them before it is copied",
        )


def _arrange(found: dict[str, _Found], root: str) -> Closure:
    """Put what was found in the order in which it can be written."""
    order: dict[str, Node] = {}
    owners: list[str] = []
    """The same digests as in `order`; evidence is added to both while it is gone through."""

    def place(digest: str, depth: int) -> None:
        node = found[digest].node
        if digest in order or node is None:
            return
        if depth > MAX_DEPTH:
            raise TrustError(
                f"{Digest(root).short} has indexes within indexes more than {MAX_DEPTH} deep",
                hint="do not use this image; find out who built it",
            )
        for child in node.children:
            place(child.digest, depth + 1)
            _check_size(child, found[child.digest].node)
        order[digest] = node
        owners.append(digest)

    place(root, 0)
    image = frozenset(order)
    tags: list[tuple[str, Descriptor]] = []
    for digest in owners:
        owner = found[digest]
        for one in owner.referrers:
            _check_subject(one, owner.digest, found[one.digest].node)
            place(one.digest, 0)
        for name, one in owner.tags:
            tags.append((name, one))
            place(one.digest, 0)
    blobs = {(part.digest, part.size): part for node in order.values() for part in node.parts}
    return Closure(
        root=order[root].descriptor,
        nodes=tuple(order.values()),
        evidence=frozenset(order) - image,
        blobs=tuple(blobs.values()),
        tags=tuple(sorted(tags, key=lambda pair: pair[0])),
    )


def _check_size(listed: Descriptor, node: Node | None) -> None:
    if node is not None and node.descriptor.size != listed.size:
        raise DigestMismatch(
            f"manifest {Digest(listed.digest).short} is not {listed.size} bytes long",
            hint="do not use this image; find out who built it",
        )


def _check_subject(listed: Descriptor, owner: str, node: Node | None) -> None:
    if node is not None and node.subject != owner:
        raise SubjectMismatch(
            f"{Digest(listed.digest).short} is listed as a referrer of {Digest(owner).short}, "
            "and belongs to something else",
            hint="the list of referrers was tampered with, or written by a broken tool",
        )
