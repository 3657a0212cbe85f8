"""Descriptors, manifests, indexes and image configurations (OCI image specification 1.1)."""

from __future__ import annotations

from typing import Any, Self

import msgspec

from lockgate.base.canonical import Foreign, convert, encode, loads
from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"

EMPTY_JSON = b"{}"
"""The content of the empty descriptor (manifest.md#guidance-for-an-empty-descriptor)."""

REF_NAME = "org.opencontainers.image.ref.name"

MAX_JSON = 4 * 1024 * 1024
"""Largest manifest, index or config that is read, in bytes (the limit that registries hold)."""

_FIELDS = frozenset(
    (
        *("schemaVersion", "mediaType", "artifactType", "annotations", "subject"),
        *("config", "layers", "fsLayers", "manifests"),
        *("digest", "size", "platform", "urls", "data"),
    )
)
"""Names of fields of manifests, indexes and descriptors."""
_FOLDED = frozenset(one.casefold() for one in _FIELDS)


class Platform(Foreign, frozen=True, omit_defaults=True):
    """image-index.md#image-index-property-descriptions, `platform`."""

    architecture: str
    os: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `linux/amd64` or `linux/arm/v7`.

        Raises:
            UsageError: another form.
        """
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise UsageError(
                f"{text!r} is not a platform", hint="write `linux/amd64` or `linux/arm64`"
            )
        return cls(os=parts[0], architecture=parts[1], variant=parts[2] if parts[2:] else "")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(Foreign, frozen=True, rename="camel", omit_defaults=True):
    """descriptor.md: what a blob is, its digest and its size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str = ""

    @classmethod
    def of(cls, media_type: str, data: bytes) -> Self:
        """Describe `data`."""
        return cls(media_type=media_type, digest=Digest.of(data), size=len(data))


class Manifest(Foreign, frozen=True, rename="camel", omit_defaults=True):
    """manifest.md: a config, layers and, for a referrer, its subject."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    schema_version: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse manifest bytes.

        Raises:
            UsageError: not an OCI image manifest of schema version 2, or an index at once.
        """
        document = _without(data, "image manifest", "manifests", "fsLayers")
        found = convert(document, cls, what="image manifest")
        _check(found.schema_version, found.media_type, MANIFEST)
        _check_descriptors(found.config, *found.layers, *([found.subject] if found.subject else []))
        return found


class Index(Foreign, frozen=True, rename="camel", omit_defaults=True):
    """image-index.md: a list of manifests, one a platform, or of referrers."""

    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    schema_version: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse index bytes.

        Raises:
            UsageError: not an OCI image index of schema version 2, or a manifest at once.
        """
        document = _without(data, "image index", "config", "layers")
        found = convert(document, cls, what="image index")
        _check(found.schema_version, found.media_type, INDEX)
        _check_descriptors(*found.manifests)
        return found


def is_index(data: bytes) -> bool:
    """True when the document lists manifests; `Index.parse` then says whether it is right.

    Raises:
        UsageError: the bytes are not JSON.
    """
    found = loads(data, what="image manifest")
    return isinstance(found, dict) and "manifests" in found


def _without(data: bytes, what: str, *fields: str) -> Any:
    # A document that is index and manifest at once shows two readers two images: CVE-2021-41190.
    found = loads(data, what=what)
    for field in fields:
        if isinstance(found, dict) and field in found:
            raise UsageError(
                f"{what} is not valid: it has the field `{field}` of another kind of document",
                hint="do not use this image; find out who built it",
            )
    if isinstance(found, dict):
        _check_letters(found, what)
        for field in ("config", "subject", "layers", "manifests"):
            held = found.get(field)
            for one in held if isinstance(held, list) else (held,):
                _check_letters(one, what)
    return found


def _check_letters(found: Any, what: str) -> None:
    """Refuse names that are those of known fields but for upper and lower case: Go's reader takes them for these."""
    for field in found.keys() - _FIELDS if isinstance(found, dict) else ():
        if field.casefold() in _FOLDED:
            raise UsageError(
                f"{what} has a field {field!r}, which some readers take for another",
                hint="do not use this image; find out who built it",
            )


def _check(schema: int, media_type: str, expected: str) -> None:
    if schema != 2:
        raise UsageError(
            f"{expected} has schema version {schema}, only 2 is read",
            hint="re-push the image with a current tool",
        )
    # The media type inside must agree with the one outside, or two readers see two things.
    if media_type not in ("", expected):
        raise UsageError(
            f"media type {media_type!r} stands where {expected!r} is needed",
            hint="re-push the image as an OCI image",
        )


def _check_descriptors(*descriptors: Descriptor) -> None:
    for descriptor in descriptors:
        Digest(descriptor.digest)
        if descriptor.size < 0:
            raise UsageError(
                f"a descriptor of {descriptor.digest} has a negative size",
                hint="do not use this image; find out who built it",
            )


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the canonical bytes of a manifest: schema version 2, media type set, keys sorted."""
    return encode(msgspec.structs.replace(manifest, schema_version=2, media_type=MANIFEST))


def index_bytes(index: Index) -> bytes:
    """Return the canonical bytes of an index: schema version 2, media type set, keys sorted."""
    return encode(msgspec.structs.replace(index, schema_version=2, media_type=INDEX))
