"""Bundles as referrers of an image in a layout, as cosign v3 stores them (pkg/oci/remote/write.go).

A bundle is the one layer of a manifest whose subject is the image and whose config is empty. cosign adds the
time of writing; it is left out here, so that the same bundle gives the same manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from lockgate.oci.layout import Layout

CONTENT = "dev.sigstore.bundle.content"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"

MAX_BUNDLE = 64 * 1024 * 1024
"""Largest bundle that is read, in bytes; a scanner's report of a large image has a few million."""


def attach(layout: Layout, subject: str, bundle: bytes, predicate_type: str) -> Descriptor:
    """Store a bundle as a referrer of an image; doing it twice changes nothing.

    Returns:
        The descriptor of the referrer manifest.

    Raises:
        UsageError: the image is not in the layout.
        StorageError: the layout cannot be written.
    """
    annotations = {CONTENT: "dsse-envelope", PREDICATE_TYPE: predicate_type}
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


def listed(layout: Layout, subject: str) -> tuple[Descriptor, ...]:
    """Return the referrers of an image that hold a bundle."""
    return layout.referrers(subject, MEDIA_TYPE)


def load(layout: Layout, subject: str, referrer: Descriptor) -> bytes:
    """Return the bundle in a referrer, every byte checked against its digest.

    Raises:
        DigestMismatch: bytes in the store were changed.
        SubjectMismatch: the referrer belongs to another image.
        AttestationMissing: a blob is not there.
        SignatureInvalid: the manifest is not that of a bundle.
    """
    try:
        manifest = Manifest.parse(_read(layout, referrer))
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
    return _read(layout, manifest.layers[0])


def _read(layout: Layout, descriptor: Descriptor) -> bytes:
    digest = Digest(descriptor.digest)
    if not layout.has(digest):
        raise AttestationMissing(
            f"blob {digest.short} of a referrer is not in the store", hint="sign again: `inv sign`"
        )
    data = layout.read(digest, limit=MAX_BUNDLE)
    if len(data) != descriptor.size:
        raise SignatureInvalid(
            f"blob {digest.short} is not {descriptor.size} bytes long",
            hint="sign again: `inv sign`",
        )
    return data


def _describe(layout: Layout, digest: str) -> Descriptor:
    data = layout.read(digest)
    return Descriptor.of(INDEX if is_index(data) else MANIFEST, data)
