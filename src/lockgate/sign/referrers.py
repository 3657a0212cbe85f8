"""Bundles as referrers of an image in a layout, as cosign v3 stores them (pkg/oci/remote/write.go).

A bundle is the one layer of a manifest whose subject is the image and whose config is empty. cosign adds the
time of writing; it is left out here, so that the same bundle gives the same manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lockgate.base.errors import AttestationMissing, SignatureInvalid, SubjectMismatch, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import (
    EMPTY,
    EMPTY_JSON,
    INDEX,
    MANIFEST,
    Descriptor,
    Manifest,
    is_index,
    manifest_bytes,
)
from lockgate.sign.bundle import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.oci.layout import Layout
    from lockgate.oci.readable import Readable

CONTENT = "dev.sigstore.bundle.content"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"

MAX_BUNDLE = 64 * 1024 * 1024
"""Largest bundle that is read, in bytes; a scanner's report of a large image has a few million."""


def attach(
    layout: Layout,
    subject: str,
    bundle: bytes,
    predicate_type: str,
    more: Mapping[str, str] | None = None,
) -> Descriptor:
    """Store a bundle as a referrer of an image; doing it twice changes nothing.

    Args:
        layout: the store.
        subject: digest of the image.
        bundle: the bundle's bytes.
        predicate_type: of the statement inside.
        more: annotations for people and for tools that choose by them; nobody trusts them, and what is signed
            stands in the statement.

    Returns:
        The descriptor of the referrer manifest.

    Raises:
        UsageError: the image is not in the layout.
        StorageError: the layout cannot be written.
    """
    annotations = {**(more or {}), CONTENT: "dsse-envelope", PREDICATE_TYPE: predicate_type}
    empty = msgspec.structs.replace(layout.put(EMPTY_JSON, EMPTY), artifact_type=MEDIA_TYPE)
    data = manifest_bytes(
        Manifest(
            artifact_type=MEDIA_TYPE,
            config=empty,
            layers=(layout.put(bundle, MEDIA_TYPE),),
            subject=_describe(layout, subject),
            annotations=annotations,
        )
    )
    stored = layout.put(data, MANIFEST)
    # A listing repeats type and annotations, so that readers can choose without fetching (distribution
    # specification 1.1, "Listing Referrers").
    listed = msgspec.structs.replace(stored, artifact_type=MEDIA_TYPE, annotations=annotations)
    layout.add_referrer(subject, listed)
    return listed


def listed(place: Readable, subject: str) -> tuple[Descriptor, ...]:
    """Return the referrers of an image that hold a bundle."""
    return place.referrers(subject, MEDIA_TYPE)


class Loaded(NamedTuple):
    """What a referrer holds. Nothing of it is verified but its digest."""

    bundle: bytes
    predicate_type: str
    """As listing and manifest say; empty when neither does, since only the signed statement has to."""


def load(place: Readable, subject: str, referrer: Descriptor) -> Loaded:
    """Return the bundle in a referrer, every byte checked against its digest.

    Raises:
        DigestMismatch: bytes in the store were changed.
        SubjectMismatch: the referrer belongs to another image.
        AttestationMissing: a blob is not there.
        SignatureInvalid: the manifest is not that of a bundle, or is listed as another type than it says.
    """
    try:
        manifest = Manifest.parse(read(place, referrer))
    except UsageError as error:
        raise SignatureInvalid(error.message, hint="sign again: `inv sign`") from None
    if manifest.subject is None or manifest.subject.digest != subject:
        other = Digest(manifest.subject.digest).short if manifest.subject else "nothing"
        raise SubjectMismatch(
            f"a referrer belongs to {other}, this image is {Digest(subject).short}",
            hint="sign this image: `inv scan sign`",
        )
    if len(manifest.layers) != 1 or manifest.layers[0].media_type != MEDIA_TYPE:
        raise SignatureInvalid("a referrer does not hold one bundle", hint="sign again: `inv sign`")
    # cosign's listing has no annotations; where there are some, they are those of the manifest.
    inside = manifest.annotations.get(PREDICATE_TYPE, "")
    outside = referrer.annotations.get(PREDICATE_TYPE, inside)
    if outside != inside:
        raise SignatureInvalid(
            f"a referrer is listed as {outside!r} and says {inside!r}",
            hint="sign again: `inv sign`",
        )
    return Loaded(read(place, manifest.layers[0]), inside)


def read(place: Readable, descriptor: Descriptor) -> bytes:
    """Return a blob of evidence, its bytes checked against digest and size.

    Raises:
        DigestMismatch: its bytes were changed.
        AttestationMissing: the blob is not there.
        SignatureInvalid: it is longer or shorter than its descriptor says, or longer than evidence may be.
    """
    digest = Digest(descriptor.digest)
    try:
        data = place.fetch(descriptor, limit=MAX_BUNDLE)
    except UsageError as error:
        raise SignatureInvalid(error.message, hint=error.hint) from None
    if data is None:
        raise AttestationMissing(
            f"blob {digest.short} of a referrer is not there", hint="sign again: `inv sign`"
        )
    if len(data) != descriptor.size:
        raise SignatureInvalid(
            f"blob {digest.short} is not {descriptor.size} bytes long",
            hint="sign again: `inv sign`",
        )
    return data


def _describe(layout: Layout, digest: str) -> Descriptor:
    data = layout.read(digest)
    return Descriptor.of(INDEX if is_index(data) else MANIFEST, data)
