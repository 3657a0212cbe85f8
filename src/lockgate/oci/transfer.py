"""Move an image with everything that belongs to it from one place to another. Pure over `store`.

    (1) what is to be moved is found, and what the target has already; a set with holes goes no further;
    (2) blobs are moved, several at once, each one checked on the way;
    (3) manifests follow, parts before the whole, then the evidence;
    (4) then the older tags of the evidence, and last the name: nothing is visible before its parts;
    (5) everything is looked for in the target once more, and evidence that another writer's list or tag has
        replaced is written again.

A run that was killed at any point is run again and does what is left.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from lockgate.base.canonical import Record
from lockgate.base.errors import DigestMismatch, LockgateError, TrustError
from lockgate.oci import older
from lockgate.oci.closure import Closure, Node, hole, walk
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from lockgate.oci.manifest import Descriptor
    from lockgate.oci.store import Opener, Source, Target

T = TypeVar("T")

JOBS = 4
"""Blobs that are moved, and questions that are asked, at the same time."""


ROUNDS = 3
"""Times that evidence is written which other writers replace; each of them looks after the other, too."""

_Name: TypeAlias = "tuple[str, Descriptor, bytes]"
"""A name, what it is to point at, and the bytes of that."""


class Piece(Record, frozen=True):
    """One blob or manifest that was moved."""

    digest: str
    media_type: str
    size: int
    """In bytes."""


class Moved(Record, frozen=True):
    """An image that was moved, and what had to be moved for it."""

    digest: str
    source: str
    target: str
    name: str
    """Name or tag in the target; empty when it has none there."""
    platforms: int
    """Manifests of the image, without the index that lists them."""
    evidence: tuple[str, ...]
    """Digests of the referrers, and of what the older tags name, sorted."""
    blobs: tuple[Piece, ...]
    """Blobs that the target did not have, sorted by digest."""
    manifests: tuple[Piece, ...]
    """Manifests that the target did not have, or not listed, in the order in which they were written."""
    tags: tuple[str, ...]
    """Names that were set."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be moved."""

    closure: Closure
    source: Source
    target: Target
    name: str
    blobs: tuple[Descriptor, ...]
    nodes: tuple[Node, ...]
    tags: tuple[_Name, ...]

    @property
    def size(self) -> int:
        """Bytes of the blobs."""
        return sum(one.size for one in self.blobs)

    def record(self) -> Moved:
        """Return what is to be moved, or was, as a record."""
        closure = self.closure
        return Moved(
            digest=closure.root.digest,
            source=self.source.label,
            target=self.target.label,
            name=self.name,
            platforms=sum(
                not one.children and one.descriptor.digest not in closure.evidence
                for one in closure.nodes
            ),
            evidence=tuple(sorted(closure.evidence)),
            blobs=tuple(sorted(map(_piece, self.blobs), key=lambda one: one.digest)),
            manifests=tuple(_piece(one.descriptor) for one in self.nodes),
            tags=tuple(name for name, _, _ in self.tags),
        )


def plan(source: Source, target: Target, digest: str, name: str) -> Plan:
    """Find what has to be moved for an image; nothing is written.

    Args:
        source: where the image is.
        target: where it is to be.
        digest: the image.
        name: its name or tag in the target; empty for none.

    Raises:
        TrustError: something of the image is missing in the source, or is not what it claims to be.
        UsageError: the image is not in the source.
        RegistryError: a registry is out of reach.
    """
    with ThreadPoolExecutor(JOBS) as pool:
        closure = walk(source, digest, pool)
        blobs = _unless(target.has, closure.blobs, pool)
        holes = _unless(source.has, blobs, pool)
        if holes:
            raise hole(source, digest, [one.digest for one in holes])
        nodes = _lacking(target, closure.nodes, pool)
        tags = _unless(lambda one: older.points(target, *one), _names(closure, name), pool)
    return Plan(
        closure=closure,
        source=source,
        target=target,
        name=name,
        blobs=tuple(sorted(blobs, key=lambda one: -one.size)),
        nodes=tuple(nodes),
        tags=tuple(tags),
    )


def move(work: Plan, tell: Callable[[int, int, str], None]) -> Moved:
    """Move what is to be moved, and look whether it arrived.

    Args:
        work: what `plan` returned.
        tell: called with the bytes that went, their total, and the digest of the blob.

    Raises:
        DigestMismatch: a blob is not what its digest says; the name was not set.
        TrustError: something is missing in the target afterwards.
        LockgateError: one of the two places failed.
    """
    target, meter = work.target, _Meter(work, tell)
    with ThreadPoolExecutor(JOBS) as pool:
        running = [pool.submit(target.put_blob, one, meter.opener(one)) for one in work.blobs]
        try:
            for done in as_completed(running):
                done.result()
        except BaseException:
            meter.stop()
            for one in running:
                one.cancel()
            raise
        nodes: Sequence[Node] = work.nodes
        names: Sequence[_Name] = work.tags
        for _ in range(ROUNDS):
            for node in nodes:
                target.put_manifest(node.descriptor, node.data)
            for each in names:
                older.tag(target, *each)
            target.finish()
            blobs, nodes, names = _missing(work, pool)
            if blobs or any(name == work.name for name, _, _ in names) or not (nodes or names):
                break
    missing = [one.digest for one in blobs] + [one.descriptor.digest for one in nodes]
    missing += [name for name, _, _ in names]
    if missing:
        raise TrustError(
            f"{target.label} took {Digest(work.closure.root.digest).short} and does not hold "
            f"{', '.join(sorted(missing))}",
            hint="run the same command again; when it stays, do not use this place",
        )
    return work.record()


def _missing(
    work: Plan, pool: Executor
) -> tuple[Sequence[Descriptor], Sequence[Node], Sequence[_Name]]:
    """Look for the whole image in the target; return what is not there."""
    closure, target = work.closure, work.target
    return (
        _unless(target.has, closure.blobs, pool),
        _lacking(target, closure.nodes, pool),
        _unless(lambda one: older.points(target, *one), _names(closure, work.name), pool),
    )


def _names(closure: Closure, name: str) -> list[_Name]:
    """Return the names to be set, the image's own last."""
    data = {one.descriptor.digest: one.data for one in closure.nodes}
    wanted = [*closure.tags, *([(name, closure.root)] if name else [])]
    return [(tag, one, data[one.digest]) for tag, one in wanted]


def _lacking(target: Target, nodes: Sequence[Node], pool: Executor) -> list[Node]:
    """Return the manifests that a target does not have, or does not list for what they refer to."""
    absent = _unless(lambda node: _holds(target, node.descriptor.digest), nodes, pool)
    gone = {node.descriptor.digest for node in absent}
    present = [node for node in nodes if node.descriptor.digest not in gone]
    # One list for all that refer to the same image.
    subjects = sorted({node.subject for node in present} - {""})
    lists = zip(subjects, pool.map(target.referrers, subjects), strict=True)
    listed = {subject: {one.digest for one in found} for subject, found in lists}
    for node in present:
        if node.subject and node.descriptor.digest not in listed[node.subject]:
            gone.add(node.descriptor.digest)
    return [node for node in nodes if node.descriptor.digest in gone]


def _holds(target: Target, digest: str) -> bool:
    """True when a manifest is there with its own bytes.

    Some registries keep, under its digest, what a push had sent of a manifest when it was killed. It is written
    again; where other bytes stay all the same, the last look finds them.
    """
    try:
        return target.manifest(digest) is not None
    except DigestMismatch:
        return False


def _unless(test: Callable[[T], bool], those: Sequence[T], pool: Executor) -> list[T]:
    """Return those for which the test does not hold, asked several at once."""
    return [one for one, holds in zip(those, pool.map(test, those), strict=True) if not holds]


def _piece(descriptor: Descriptor) -> Piece:
    return Piece(digest=descriptor.digest, media_type=descriptor.media_type, size=descriptor.size)


class _Meter:
    """Counts the bytes of all blobs together, and ends them all when one fails."""

    def __init__(self, work: Plan, tell: Callable[[int, int, str], None]) -> None:
        self._source, self._total, self._tell = work.source, work.size, tell
        self._done = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let every blob that is on its way fail."""
        self._stopped.set()

    def opener(self, descriptor: Descriptor) -> Opener:
        """Return what opens a blob; what was counted of it is taken back when it is opened again."""
        counted = 0

        def pieces(found: Iterator[bytes]) -> Iterator[bytes]:
            nonlocal counted
            for piece in found:
                if self._stopped.is_set():
                    raise LockgateError("another part could not be moved")
                counted += len(piece)
                self._count(len(piece), descriptor)
                yield piece

        @contextlib.contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            nonlocal counted
            self._count(-counted, descriptor)
            counted = 0
            with self._source.open(descriptor) as found:
                yield pieces(found)

        return opened

    def _count(self, size: int, descriptor: Descriptor) -> None:
        with self._lock:
            self._done += size
            self._tell(self._done, self._total, Digest(descriptor.digest).short)
