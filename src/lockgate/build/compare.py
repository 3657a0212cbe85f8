"""Are two images the same, and if not, which file differs first?"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import loads
from lockgate.oci.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.oci.layout import Layout

_CHUNK = 1 << 20


class Comparison(NamedTuple):
    """What a comparison found."""

    difference: str
    """The first difference in words; empty when there is none."""
    files: int
    """How many files, folders and links were found equal."""


class _Member(NamedTuple):
    path: str
    facts: tuple[object, ...]


def compare(ours: Layout, our_digest: str, theirs: Layout, their_digest: str) -> Comparison:
    """Compare two image indexes, platform by platform and layer by layer.

    Raises:
        UsageError: a blob is absent or not what it should be.
        DigestMismatch: a blob's bytes were changed.
    """
    files = 0
    pairs = itertools.zip_longest(ours.manifests(our_digest), theirs.manifests(their_digest))
    for one, other in pairs:
        if one is None or other is None:
            return Comparison("one index has more platforms than the other", files)
        name = str(one.platform)
        if str(other.platform) != name:
            return Comparison(f"platform {name} stands where the other has {other.platform}", files)
        left, right = (
            Manifest.parse(ours.read(one.digest)),
            Manifest.parse(theirs.read(other.digest)),
        )
        if len(left.layers) != len(right.layers):
            return Comparison(
                f"{name}: {len(left.layers)} layers, the other has {len(right.layers)}", files
            )
        for number, (mine, yours) in enumerate(zip(left.layers, right.layers, strict=True), 1):
            found = _layers(ours, mine.digest, theirs, yours.digest)
            files += found.files
            if found.difference:
                return Comparison(f"{name}, layer {number}: {found.difference}", files)
        if left.config.digest != right.config.digest:
            key = _first_key(ours.read(left.config.digest), theirs.read(right.config.digest))
            return Comparison(f"{name}: the image configuration differs in `{key}`", files)
    if our_digest != their_digest:
        return Comparison("the annotations of the index differ", files)
    return Comparison("", files)


def _layers(ours: Layout, mine: str, theirs: Layout, yours: str) -> Comparison:
    files = 0
    for left, right in itertools.zip_longest(_members(ours, mine), _members(theirs, yours)):
        if left is None or right is None:
            extra = left or right
            return Comparison(f"only one has {extra.path}", files)
        if left.path != right.path:
            return Comparison(f"{left.path} stands where the other has {right.path}", files)
        if left.facts != right.facts:
            return Comparison(f"{left.path} differs", files)
        files += 1
    if mine != yours:
        return Comparison("the same files, compressed to other bytes: another zlib", files)
    return Comparison("", files)


def _members(layout: Layout, digest: str) -> Iterator[_Member]:
    with (
        layout.stream(digest) as blob,
        gzip.GzipFile(fileobj=blob) as plain,
        tarfile.open(fileobj=plain, mode="r|") as archive,
    ):
        for member in archive:
            content = hashlib.sha256()
            if member.isreg():
                file = archive.extractfile(member)
                while file is not None and (piece := file.read(_CHUNK)):
                    content.update(piece)
            header = (member.type, member.mode, member.uid, member.gid, member.mtime)
            yield _Member(member.name, (*header, member.linkname, content.hexdigest()))


def _first_key(ours: bytes, theirs: bytes) -> str:
    left: dict[str, object] = loads(ours)
    right: dict[str, object] = loads(theirs)
    return next(
        key for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)
    )
