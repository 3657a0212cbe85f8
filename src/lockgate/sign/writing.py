"""Writing: statements about one image, signed once and stored in every form that is asked for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import (
    AttestationMissing,
    LockgateError,
    SignatureInvalid,
    SubjectMismatch,
    UsageError,
)
from lockgate.sign import bundle, dsse, legacy, predicate, referrers
from lockgate.sign.keyless.signer import KeylessSigner
from lockgate.sign.model import SignedStatement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from lockgate.oci.layout import Layout
    from lockgate.oci.manifest import Descriptor
    from lockgate.sign.keys import Signer

BUNDLE, LEGACY = "bundle", "legacy"

FORMATS = (BUNDLE, LEGACY)
"""Sigstore bundles as referrers, and cosign's `.sig` and `.att` images. Readers differ in which they know."""

_UNUSABLE = (SignatureInvalid, SubjectMismatch, AttestationMissing)
"""Not usable as evidence, whatever is wrong with it: it is signed anew beside it. Changed bytes in the store
(DigestMismatch) are another matter: the same bundle could not be stored again."""


class Writer:
    """Signs with one key what that key has not signed yet, and stores it.

    The private key is used once for each statement, whatever the forms: a bundle and a layer of the `.att` image
    hold the same envelope.

    Args:
        layout: the store.
        subject: digest of the image.
        signer: the key.
        formats: one or both of FORMATS.
        marks: annotations of the manifests that hold bundles.
    """

    def __init__(
        self,
        layout: Layout,
        subject: str,
        signer: Signer,
        formats: Collection[str],
        marks: Mapping[str, str] | None = None,
    ) -> None:
        _check_formats(formats)
        self._layout, self._subject, self._signer = layout, subject, signer
        self._formats = frozenset(formats)
        self._marks = dict(marks or {})
        self._stored: set[str] = set()
        """Manifests and identities of layers that hold what is wanted, whole and verified."""

    def attest(self, payloads: Mapping[str, bytes]) -> dict[str, SignedStatement]:
        """Sign and store statements; return what became of each, by predicate type.

        Args:
            payloads: the statements' bytes by predicate type, in the order in which they are signed.

        Raises:
            KeyRefused: the key cannot be opened.
            DigestMismatch: bytes in the store were changed.
            StorageError: the store cannot be written.
        """
        manifests: dict[str, str] = {}
        layers: dict[str, legacy.Layer] = {}
        for kind, payload in payloads.items():
            signature = self._signature(kind, payload)
            manifests[kind] = self._attach(kind, payload, signature)
            envelope = encode(dsse.build(payload, signature))
            layers[kind] = legacy.attestation_layer(envelope, kind)
        identities = self._append(legacy.ATTESTATIONS, layers)
        return {
            kind: self._done(kind, manifests[kind], identities.get(kind, "")) for kind in payloads
        }

    def sign_image(self, statement: bytes, simple: bytes) -> SignedStatement:
        """Sign and store that the image is signed: a statement for the bundle, a simple payload for `.sig`.

        Raises:
            KeyRefused, DigestMismatch, StorageError: as `attest`.
        """
        kind, manifest = predicate.SIGNATURE, ""
        if BUNDLE in self._formats:
            manifest = self._attach(kind, statement, self._signature(kind, statement))
        layers = {}
        if LEGACY in self._formats:
            signature = self._kept_simple(simple) or self._signer.sign(simple)
            layers = {kind: legacy.signature_layer(simple, signature)}
        return self._done(kind, manifest, self._append(legacy.SIGNATURES, layers).get(kind, ""))

    def _signature(self, kind: str, payload: bytes) -> bytes:
        kept = self._kept_bundle(kind, payload), self._kept_envelope(kind, payload)
        return kept[0] or kept[1] or self._signer.sign(dsse.pae(payload))

    def _kept_bundle(self, kind: str, payload: bytes) -> bytes:
        """Return the signature of a bundle in which this key has signed these bytes; empty when there is none."""
        key = self._signer.public_key()
        for one in referrers.listed(self._layout, self._subject):
            if one.annotations.get(referrers.PREDICATE_TYPE) != kind:
                continue
            try:
                held = bundle.parse(referrers.load(self._layout, self._subject, one).bundle)
                if held.payload == payload and held.hint == key.hint:
                    key.verify(held.signature, dsse.pae(payload))
                    self._stored.add(one.digest)
                    return held.signature
            except _UNUSABLE:
                continue
        return b""

    def _kept_envelope(self, kind: str, payload: bytes) -> bytes:
        """Return the same from the `.att` image."""
        key = self._signer.public_key()
        for layer in self._layers(legacy.ATTESTATIONS):
            if layer.annotations.get(legacy.PREDICATE_TYPE) != kind:
                continue
            try:
                data = legacy.load(self._layout, layer, legacy.ATTESTATIONS)
                held, signature = dsse.open_envelope(dsse.parse(data))
                if held == payload:
                    key.verify(signature, dsse.pae(payload))
                    self._stored.add(legacy.identity(layer))
                    return signature
            except _UNUSABLE:
                continue
        return b""

    def _kept_simple(self, payload: bytes) -> bytes:
        """Return the same from the `.sig` image."""
        key = self._signer.public_key()
        for layer in self._layers(legacy.SIGNATURES):
            try:
                if legacy.load(self._layout, layer, legacy.SIGNATURES) == payload:
                    signature = dsse.unbase64(layer.annotations.get(legacy.SIGNATURE, ""))
                    key.verify(signature, payload)
                    self._stored.add(legacy.identity(layer))
                    return signature
            except _UNUSABLE:
                continue
        return b""

    def _layers(self, image: str) -> Iterator[Descriptor]:
        for entry in legacy.entries(self._layout, self._subject, image):
            with contextlib.suppress(*_UNUSABLE):
                yield from legacy.layers(self._layout, entry)

    def _attach(self, kind: str, payload: bytes, signature: bytes) -> str:
        if BUNDLE not in self._formats:
            return ""
        data = bundle.build(payload, signature, self._signer.public_key().hint)
        return referrers.attach(self._layout, self._subject, data, kind, self._marks).digest

    def _append(self, image: str, layers: Mapping[str, legacy.Layer]) -> dict[str, str]:
        if LEGACY not in self._formats or not layers:
            return {}
        added = legacy.add(self._layout, self._subject, image, tuple(layers.values()))
        return dict(zip(layers, added, strict=True))

    def _done(self, kind: str, manifest: str, layer: str) -> SignedStatement:
        new = {one for one in (manifest, layer) if one} - self._stored
        return SignedStatement(predicate_type=kind, manifest=manifest, layer=layer, new=bool(new))


class KeylessWriter:
    """Signs as an identity, and stores bundles; each time anew, with a certificate and log entries of their own.

    There is no older form: its readers want the log's promise with a time (cosign, `dev.sigstore.cosign/bundle`), and
    the log that the public instance writes to since October 2025 (Rekor v2) gives none.
    """

    def __init__(
        self,
        layout: Layout,
        subject: str,
        signer: KeylessSigner,
        formats: Collection[str],
        marks: Mapping[str, str] | None = None,
    ) -> None:
        _check_formats(formats)
        if BUNDLE not in formats:
            raise UsageError(
                "keyless signatures have no legacy form",
                hint="write them as `bundle`, or name a key as `key` in `lockgate.yaml`",
            )
        self._layout, self._subject, self._signer = layout, subject, signer
        self._marks = dict(marks or {})

    def attest(self, payloads: Mapping[str, bytes]) -> dict[str, SignedStatement]:
        """Sign and store statements; as `Writer.attest`.

        Raises:
            KeyRefused: there is no identity, or it was refused.
            ToolMissing, ToolError, RemoteError, SignatureInvalid: there is no signature.
            StorageError: the store cannot be written.
        """
        return {kind: self._done(kind, payload) for kind, payload in payloads.items()}

    def sign_image(self, statement: bytes, _: bytes) -> SignedStatement:
        """Sign and store that the image is signed; as `Writer.sign_image`, and with the errors of `attest`."""
        return self._done(predicate.SIGNATURE, statement)

    def _done(self, kind: str, payload: bytes) -> SignedStatement:
        data = self._signer.bundle(payload)
        manifest = referrers.attach(self._layout, self._subject, data, kind, self._marks).digest
        return SignedStatement(predicate_type=kind, manifest=manifest, new=True)


def open_writer(
    layout: Layout,
    subject: str,
    signer: Signer | KeylessSigner,
    formats: Collection[str],
    marks: Mapping[str, str] | None = None,
) -> Writer | KeylessWriter:
    """Return what signs and stores statements about an image; arguments are those of `Writer`.

    Raises:
        UsageError: a format is not known, none is named, or the signer has it not.
    """
    if isinstance(signer, KeylessSigner):
        return KeylessWriter(layout, subject, signer, formats, marks)
    return Writer(layout, subject, signer, formats, marks)


def _check_formats(formats: Collection[str]) -> None:
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise UsageError(
            f"{unknown[0]!r} is no format of signatures" if unknown else "no format is named",
            hint="name one or both: " + ", ".join(f"`{one}`" for one in FORMATS),
        )


def present(layout: Layout, subject: str, statements: Collection[SignedStatement]) -> bool:
    """True when everything in the record of an earlier run is still in the store, byte for byte.

    A digest in the record names bytes that were signed or verified when it was written, so no signature has to be
    verified again to know that there is nothing to do.
    """
    try:
        listed = {one.digest: one for one in referrers.listed(layout, subject)}
        layers = {
            legacy.identity(one): (kind, one)
            for kind in (legacy.SIGNATURES, legacy.ATTESTATIONS)
            for entry in legacy.entries(layout, subject, kind)
            for one in legacy.layers(layout, entry)
        }
        for one in statements:
            if one.manifest:
                referrers.load(layout, subject, listed[one.manifest])
            if one.layer:
                kind, layer = layers[one.layer]
                legacy.load(layout, layer, kind)
    except (LockgateError, KeyError):
        return False
    return bool(statements) and all(one.manifest or one.layer for one in statements)
