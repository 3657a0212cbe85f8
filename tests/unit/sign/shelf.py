"""The two forms in which evidence lies beside an image, as something that a test can take from and put into."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import encode
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import (
    INDEX,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)
from lockgate.sign import bundle, dsse, legacy, predicate, referrers

if TYPE_CHECKING:
    from lockgate.oci.layout import Layout


class Held(NamedTuple):
    """What one piece of evidence holds."""

    payload: bytes
    signature: bytes
    hint: str = ""
    """Which key a bundle names; the older form names none."""


def layers_of(layout: Layout, subject: str, kind: str) -> tuple[Descriptor, ...]:
    """Return the layers of every tag of an image, each one once."""
    every = [
        layer
        for entry in legacy.entries(layout, subject, kind)
        for layer in legacy.layers(layout, entry)
    ]
    return tuple({legacy.identity(one): one for one in every}.values())


class Bundles:
    """Sigstore bundles as referrers."""

    form = "bundle"

    def __init__(self, layout: Layout, subject: str) -> None:
        self.layout, self.subject = layout, subject

    def listed(self, kind: str) -> Descriptor:
        """Return the referrer of one type."""
        return next(
            one
            for one in referrers.listed(self.layout, self.subject)
            if one.annotations[referrers.PREDICATE_TYPE] == kind
        )

    def raw(self, kind: str) -> bytes:
        """Return the bundle's bytes."""
        return referrers.load(self.layout, self.subject, self.listed(kind)).bundle

    def held(self, kind: str) -> Held:
        """Return what is in the bundle."""
        found = bundle.parse(self.raw(kind))
        return Held(found.payload, found.signature, found.hint)

    def remove(self, kind: str) -> None:
        """Take the referrer off the list."""
        kept = referrers.listed(self.layout, self.subject)
        listing = Index(manifests=tuple(one for one in kept if one != self.listed(kind)))
        stored = self.layout.put(index_bytes(listing), INDEX)
        self.layout.tag({"sha256-" + Digest(self.subject).hex: stored})

    def replace_raw(self, kind: str, data: bytes, *, listed_as: str = "") -> None:
        """Put other bytes in the place of the bundle."""
        self.remove(kind)
        referrers.attach(self.layout, self.subject, data, listed_as or kind)

    def replace(self, kind: str, held: Held) -> None:
        """Put another payload and signature in the place of those of one type."""
        self.replace_raw(kind, bundle.build(*held))

    def signed_bytes(self, _kind: str, payload: bytes, payload_type: str = "") -> bytes:
        """Return the bytes that a signature of this type is over."""
        return dsse.pae(payload, payload_type) if payload_type else dsse.pae(payload)

    def blobs(self, kind: str) -> dict[str, str]:
        """Return the digests of what is stored for one type."""
        manifest = self.listed(kind).digest
        layer = Manifest.parse(self.layout.read(manifest)).layers[0]
        return {"manifest": manifest, "content": layer.digest}


class Layers:
    """Layers of the `.sig` and `.att` images."""

    form = "legacy"

    def __init__(self, layout: Layout, subject: str) -> None:
        self.layout, self.subject = layout, subject

    def _image(self, kind: str) -> str:
        return legacy.SIGNATURES if kind == predicate.SIGNATURE else legacy.ATTESTATIONS

    def listed(self, kind: str) -> Descriptor:
        """Return the layer of one type."""
        layers = layers_of(self.layout, self.subject, self._image(kind))
        if kind == predicate.SIGNATURE:
            return layers[0]
        return next(one for one in layers if one.annotations[legacy.PREDICATE_TYPE] == kind)

    def raw(self, kind: str) -> bytes:
        """Return the layer's bytes."""
        return legacy.load(self.layout, self.listed(kind), self._image(kind))

    def held(self, kind: str) -> Held:
        """Return what is in the layer and its annotations."""
        data = self.raw(kind)
        if kind == predicate.SIGNATURE:
            return Held(data, base64.b64decode(self.listed(kind).annotations[legacy.SIGNATURE]))
        return Held(*dsse.open_envelope(dsse.parse(data)))

    def remove(self, kind: str) -> None:
        """Take the layer off the image."""
        layer = self.listed(kind)
        self.rewrite(
            kind,
            tuple(
                one
                for one in layers_of(self.layout, self.subject, self._image(kind))
                if one != layer
            ),
        )

    def rewrite(self, kind: str, layers: tuple[Descriptor, ...]) -> None:
        """Make these the layers of the image that holds `kind`."""
        image = self._image(kind)
        entry = self.layout.tags()[legacy.tag(self.subject, image)]
        manifest = Manifest.parse(self.layout.read(entry.digest))
        changed = Manifest(config=manifest.config, layers=layers)
        stored = self.layout.put(manifest_bytes(changed), MANIFEST)
        self.layout.tag({legacy.tag(self.subject, image): stored})

    def _add(self, kind: str, layer: legacy.Layer) -> None:
        legacy.add(self.layout, self.subject, self._image(kind), [layer])

    def replace_raw(self, kind: str, data: bytes, *, listed_as: str = "") -> None:
        """Put other bytes in the place of the layer's; a signature beside it stays."""
        if kind == predicate.SIGNATURE:
            layer = legacy.signature_layer(data, self.held(kind).signature)
        else:
            layer = legacy.attestation_layer(data, listed_as or kind)
        self.remove(kind)
        self._add(kind, layer)

    def replace(self, kind: str, held: Held) -> None:
        """Put another payload and signature in the place of those of one type."""
        self.remove(kind)
        if kind == predicate.SIGNATURE:
            self._add(kind, legacy.signature_layer(held.payload, held.signature))
        else:
            envelope = encode(dsse.build(held.payload, held.signature))
            self._add(kind, legacy.attestation_layer(envelope, kind))

    def signed_bytes(self, kind: str, payload: bytes, payload_type: str = "") -> bytes:
        """Return the bytes that a signature of this type is over."""
        if kind == predicate.SIGNATURE:
            return payload
        return dsse.pae(payload, payload_type) if payload_type else dsse.pae(payload)

    def blobs(self, kind: str) -> dict[str, str]:
        """Return the digests of what is stored for one type."""
        entry = self.layout.tags()[legacy.tag(self.subject, self._image(kind))]
        return {"manifest": entry.digest, "content": self.listed(kind).digest}


Shelf = Bundles | Layers

SHELVES: tuple[type[Bundles | Layers], ...] = (Bundles, Layers)
