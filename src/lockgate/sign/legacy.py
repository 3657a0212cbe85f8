"""Signatures and attestations in cosign's older form: images under the tags `sha256-<hex>.sig` and `.att`.

Each layer is one signature: in `.sig` a simple signing payload with the signature in an annotation, in `.att` a
DSSE envelope with the predicate's type in one (cosign, specs/SIGNATURE_SPEC.md, specs/ATTESTATION_SPEC.md).
Readers that know no referrers find them by the tag alone; Kyverno reads nothing else without an internet.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lockgate.base.canonical import encode
from lockgate.base.errors import SignatureInvalid, UsageError
from lockgate.oci import older
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import CONFIG, MANIFEST, Descriptor, Manifest, manifest_bytes
from lockgate.sign import simplesigning
from lockgate.sign.referrers import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.oci.layout import Layout
    from lockgate.oci.readable import Readable

SIGNATURES, ATTESTATIONS = "sig", "att"
"""What stands behind the digest in the two tags."""

ENVELOPE = "application/vnd.dsse.envelope.v1+json"

SIGNATURE = "dev.cosignproject.cosign/signature"
"""Annotation of a layer: the signature over its bytes in base64; empty in `.att`, whose layers hold their own."""
PREDICATE_TYPE = "predicateType"

MAX_LAYERS = older.MAX_LAYERS
"""Most layers that are read."""

_MEDIA = {SIGNATURES: simplesigning.MEDIA_TYPE, ATTESTATIONS: ENVELOPE}


class Layer(NamedTuple):
    """Something to be added."""

    data: bytes
    annotations: dict[str, str]


def tag(subject: str, kind: str) -> str:
    """Return the tag under which an image's signatures or attestations lie."""
    return f"sha256-{Digest(subject).hex}.{kind}"


def signature_layer(payload: bytes, signature: bytes) -> Layer:
    """Return a simple signing payload with its signature."""
    return Layer(payload, {SIGNATURE: base64.b64encode(signature).decode()})


def attestation_layer(envelope: bytes, predicate_type: str) -> Layer:
    """Return an envelope, with the annotations that cosign writes."""
    return Layer(envelope, {SIGNATURE: "", PREDICATE_TYPE: predicate_type})


def identity(layer: Descriptor) -> str:
    """Return what names a layer with its annotations, and so with its signature: a digest of both."""
    return Digest.of(encode(layer))


def entries(place: Readable, subject: str, kind: str) -> tuple[Descriptor, ...]:
    """Return what the tags of an image point at: the one that `add` writes to, and others of the same name."""
    return place.named(tag(subject, kind))


def layers(place: Readable, entry: Descriptor) -> tuple[Descriptor, ...]:
    """Return the layers behind one of `entries`.

    Raises:
        DigestMismatch: bytes in the store were changed.
        AttestationMissing: the tag points at something that is not there.
        SignatureInvalid: it is not such an image, or has too many layers to be looked at.
    """
    try:
        manifest = Manifest.parse(read(place, entry))
    except UsageError as error:
        raise SignatureInvalid(error.message, hint="sign again: `inv sign`") from None
    if len(manifest.layers) > MAX_LAYERS:
        raise SignatureInvalid(
            f"a tag holds {len(manifest.layers)} signatures, at most {MAX_LAYERS} are read",
            hint="remove the tag, and sign again: `inv sign`",
        )
    return manifest.layers


def load(place: Readable, layer: Descriptor, kind: str) -> bytes:
    """Return a layer's bytes.

    Raises:
        DigestMismatch, AttestationMissing, SignatureInvalid: as `lockgate.sign.referrers.read`, or it is not
            of the media type that belongs to such an image.
    """
    if layer.media_type != _MEDIA[kind]:
        raise SignatureInvalid(
            f"a layer of `.{kind}` is of type {layer.media_type!r}", hint="sign again: `inv sign`"
        )
    return read(place, layer)


def add(layout: Layout, subject: str, kind: str, new: Sequence[Layer]) -> tuple[str, ...]:
    """Put layers behind those that are there, whoever wrote them; a layer that is there is not added again.

    Returns:
        The identity of each layer, in the given order.

    Raises:
        DigestMismatch, AttestationMissing, SignatureInvalid: what is there is damaged; nothing was changed.
        UsageError: there would be more layers than cosign reads.
        StorageError: the layout cannot be written.
    """
    added = [
        msgspec.structs.replace(layout.put(one.data, _MEDIA[kind]), annotations=one.annotations)
        for one in new
    ]
    name = tag(subject, kind)
    # Two signers at once would each write what they found and themselves, and one of them would be lost.
    with layout.change() as names:
        old = layers(layout, names[name]) if name in names else ()
        known = {identity(one) for one in old}
        missing = tuple(one for one in added if identity(one) not in known)
        if missing:
            every = (*old, *missing)
            if len(every) > MAX_LAYERS:
                raise UsageError(
                    f"{name} would hold {len(every)} signatures, and cosign reads {MAX_LAYERS}",
                    hint="build the image again, or sign without the legacy format",
                )
            config = layout.put(older.config(every), CONFIG)
            changed = Manifest(config=config, layers=every)
            names[name] = layout.put(manifest_bytes(changed), MANIFEST)
    return tuple(identity(one) for one in added)
