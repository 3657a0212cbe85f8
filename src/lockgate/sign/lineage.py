"""Lineage: is an image built on the base that it names?

A base has no signature of its own: its layers are layers of the image, and whoever signs the image signs them. What
can be wrong is the name. So the base is looked up by the digest in the image's annotations (OCI image specification
1.1, annotations.md), and its layers must be the first ones of the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import SubjectMismatch, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import MANIFEST, Descriptor, Index, Manifest, is_index
from lockgate.sign.combine import met, unmet

if TYPE_CHECKING:
    from lockgate.oci.readable import Readable
    from lockgate.sign.model import Result

BASE_DIGEST = "org.opencontainers.image.base.digest"
BASE_NAME = "org.opencontainers.image.base.name"

_NAME = "base"


def base(place: Readable, digest: str) -> Result | str:
    """Return whether every platform of an image is built on the base that it names.

    Args:
        place: where image and base lie.
        digest: the image, whose bytes were checked.

    Returns:
        A text when it cannot be told: the image names no base, or the base is not there, or not one manifest.

    Raises:
        DigestMismatch: the base has other bytes.
        UsageError: it is no image.
    """
    found = [_compared(place, one) for one in _manifests(place, digest)]
    # A platform of which nothing can be told hides no other whose claim is false.
    refused = [one for one in found if not isinstance(one, str) and not one.met]
    untold = [one for one in found if isinstance(one, str)]
    return (*refused, *untold, *found)[0]


def _compared(place: Readable, manifest: Manifest) -> Result | str:
    """Return the same of one platform."""
    wanted = manifest.annotations.get(BASE_DIGEST, "")
    if not wanted:
        return "the image names no base"
    name = manifest.annotations.get(BASE_NAME, "a base without a name")
    try:
        named = f"{name} {Digest(wanted).short}"
    except UsageError:
        # Others may name theirs by another algorithm.
        return f"{name} is named by {wanted[:80]!r}, which is no digest of sha256"
    found = _fetch(place, wanted)
    if found is None:
        return f"{named} is not there; its layers are those of the image"
    if is_index(found):
        # Which platform of it is meant, nobody says.
        return f"{named} is an index, and not the manifest of one platform"
    theirs = [one.digest for one in Manifest.parse(found).layers]
    ours = [one.digest for one in manifest.layers]
    if not theirs or ours[: len(theirs)] != theirs:
        return unmet(_NAME, SubjectMismatch(f"says that it is built on {named}, and is not"))
    return met(_NAME, f"{named}, its layers are the first ones")


def _manifests(place: Readable, digest: str) -> tuple[Manifest, ...]:
    data = _need(place, digest)
    if not is_index(data):
        return (Manifest.parse(data),)
    return tuple(Manifest.parse(_need(place, one.digest)) for one in Index.parse(data).manifests)


def _need(place: Readable, digest: str) -> bytes:
    found = _fetch(place, digest)
    if found is None:
        raise UsageError(f"{Digest(digest).short} is not there", hint="check the digest")
    return found


def _fetch(place: Readable, digest: str) -> bytes | None:
    return place.fetch(Descriptor(media_type=MANIFEST, digest=Digest(digest), size=0))
