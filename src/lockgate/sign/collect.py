"""Collect: everything that lies beside an image, wherever that is, as evidence or as faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import DigestMismatch, TrustError
from lockgate.oci.digest import Digest
from lockgate.sign import bundle, dsse, legacy, predicate, referrers
from lockgate.sign.evidence import (
    Evidence,
    Fault,
    Findings,
    from_bundle,
    from_envelope,
    from_simple_signing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from lockgate.oci.manifest import Descriptor
    from lockgate.oci.readable import Readable
    from lockgate.sign.evidence import Trust


def collect(place: Readable, subject: str, trust: Trust, *, now: int) -> Findings:
    """Look at everything that is stored beside an image, in every form, by the same rules.

    Args:
        place: the store, a registry or an archive.
        subject: digest of the image.
        trust: the keys that are trusted.
        now: seconds since 1970.

    Raises:
        DigestMismatch: bytes of something stored beside the image were changed.
        StorageError, UsageError, RegistryError: the place cannot be read.
    """
    bundles = list(_bundles(place, subject, trust))
    known = {(one.digest, one.signature) for one in bundles if isinstance(one, Evidence)}
    found = [
        *bundles,
        *_attestations(place, subject, trust, known),
        *_signatures(place, subject, trust),
    ]
    return Findings(
        subject=subject,
        evidence=tuple(sorted((one for one in found if isinstance(one, Evidence)), key=_place)),
        faults=tuple(one for one in found if isinstance(one, Fault)),
        now=now,
    )


def _place(one: Evidence) -> tuple[str, str, bytes]:
    """Return where a piece stands: no store lists them in an order that means something."""
    return one.digest, one.key.fingerprint, one.signature


def _bundles(place: Readable, subject: str, trust: Trust) -> Iterator[Evidence | Fault]:
    for referrer in referrers.listed(place, subject):
        listed_as = referrer.annotations.get(referrers.PREDICATE_TYPE, "")
        try:
            held = referrers.load(place, subject, referrer)
            listed_as = held.predicate_type
            yield from_bundle(held.bundle, subject=subject, listed_as=listed_as, trust=trust)
            inside = bundle.parse(held.bundle)
            # In the older form the same envelope is a layer, whose bytes are known then.
            place.offer(encode(dsse.build(inside.payload, inside.signature)))
        except TrustError as error:
            yield _fault(listed_as, error, referrer.digest)


def _attestations(
    place: Readable, subject: str, trust: Trust, known: AbstractSet[tuple[str, bytes]]
) -> Iterator[Evidence | Fault]:
    for layer in _layers(place, subject, legacy.ATTESTATIONS):
        if isinstance(layer, Fault):
            yield layer
            continue
        listed_as = layer.annotations.get(legacy.PREDICATE_TYPE, "")
        try:
            held = dsse.parse(legacy.load(place, layer, legacy.ATTESTATIONS))
            payload, signature = dsse.open_envelope(held)
            # What is in a bundle too, with the same signature, is not verified twice.
            if (Digest.of(payload), signature) not in known:
                yield from_envelope(
                    payload, signature, subject=subject, listed_as=listed_as, trust=trust
                )
        except TrustError as error:
            yield _fault(listed_as, error, layer.digest)


def _signatures(place: Readable, subject: str, trust: Trust) -> Iterator[Evidence | Fault]:
    for layer in _layers(place, subject, legacy.SIGNATURES):
        if isinstance(layer, Fault):
            yield layer
            continue
        try:
            data = legacy.load(place, layer, legacy.SIGNATURES)
            signature = layer.annotations.get(legacy.SIGNATURE, "")
            yield from_simple_signing(data, signature, subject=subject, trust=trust)
        except TrustError as error:
            yield _fault(predicate.SIGNATURE, error, layer.digest)


def _layers(place: Readable, subject: str, kind: str) -> Iterator[Descriptor | Fault]:
    for entry in legacy.entries(place, subject, kind):
        try:
            yield from legacy.layers(place, entry)
        except TrustError as error:
            listed_as = predicate.SIGNATURE if kind == legacy.SIGNATURES else ""
            yield _fault(listed_as, error, entry.digest)


def _fault(listed_as: str, error: TrustError, digest: str) -> Fault:
    if isinstance(error, DigestMismatch):
        # Not a signature that does not hold, but a store that cannot be relied on.
        raise error
    return Fault(predicate_type=listed_as, error=error, digest=digest)
