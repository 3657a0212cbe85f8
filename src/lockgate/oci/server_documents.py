"""Manifests and indexes as a registry is sent them: checked, and reduced to what a registry needs. Pure.

Next to the OCI media types those of Docker's schema 2 are taken, since clients still write them. Schema 1
is not: it has no digest of a configuration, and its signature says nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lockgate.base.canonical import Foreign, loads
from lockgate.base.errors import UsageError
from lockgate.oci.manifest import INDEX, MANIFEST
from lockgate.oci.server_protocol import ContentDigest, Refused

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

_INDEXES = (INDEX, DOCKER_LIST)
_MANIFESTS = (MANIFEST, DOCKER_MANIFEST)

_ELSEWHERE = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)
"""Layers that are fetched from their own address and need not be here (layer.md)."""

_HINT = "push the image with a current tool, as an OCI image"


class Part(Foreign, frozen=True, rename="camel"):
    """A descriptor, as far as a registry looks at it."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] | None = None

    @property
    def elsewhere(self) -> bool:
        """True when a registry need not have the bytes."""
        return self.media_type.startswith(_ELSEWHERE)


class _Form(Foreign, frozen=True, rename="camel"):
    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    config: Part | None = None
    # An empty list is `null` for some writers.
    layers: tuple[Part, ...] | None = None
    manifests: tuple[Part, ...] | None = None
    subject: Part | None = None
    annotations: dict[str, str] | None = None


class Document(NamedTuple):
    """What a registry needs to know of a manifest or an index."""

    media_type: str
    artifact_type: str
    """As a list of referrers repeats it (spec.md, "Listing Referrers")."""
    blobs: tuple[Part, ...]
    """Config and layers."""
    manifests: tuple[Part, ...]
    subject: Part | None
    annotations: dict[str, str]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that it cannot be used without; the subject is not among it."""
        return (*self.blobs, *self.manifests)


def parse(data: bytes, content_type: str = "") -> Document:
    """Check a manifest or an index.

    Args:
        data: its bytes.
        content_type: what the client says that it is; empty when nobody says.

    Raises:
        UsageError: neither of them, or both at once, or another thing than the client says.
    """
    found = loads(data, what="manifest")
    if not isinstance(found, dict):
        raise UsageError("manifest is not an object", hint=_HINT)
    try:
        form = msgspec.convert(found, _Form)
    except msgspec.ValidationError as error:
        raise UsageError(f"manifest is not valid: {error}", hint=_HINT) from None
    if form.schema_version != 2:
        raise UsageError(f"manifest has schema version {form.schema_version}, not 2", hint=_HINT)
    media_type = _media_type(found, form, content_type)
    if media_type in _MANIFESTS:
        if form.config is None:
            raise UsageError("manifest has no config", hint=_HINT)
        kind = form.artifact_type or form.config.media_type
        blobs = (form.config, *(form.layers or ()))
    else:
        kind, blobs = form.artifact_type or "", ()
    document = Document(
        media_type, kind, blobs, form.manifests or (), form.subject, form.annotations or {}
    )
    for part in (*document.parts, *((form.subject,) if form.subject else ())):
        _check(part)
    return document


def _media_type(found: dict[str, object], form: _Form, content_type: str) -> str:
    """Return the one media type that content type, field and fields agree on."""
    index = "manifests" in found
    # A document that is index and manifest at once shows two readers two images: CVE-2021-41190.
    for field in ("config", "layers", "fsLayers") if index else ("fsLayers",):
        if field in found:
            raise UsageError(
                f"manifest has the field {field!r} of another kind of document", hint=_HINT
            )
    said = content_type.partition(";")[0].strip().lower()
    known = _INDEXES if index else _MANIFESTS
    media_type = form.media_type or said or known[0]
    if said not in ("", media_type):
        raise UsageError(f"manifest is a {media_type[:128]!r}, not {said[:128]!r}", hint=_HINT)
    if media_type not in known:
        raise UsageError(f"a manifest of type {media_type[:128]!r} is not taken", hint=_HINT)
    return media_type


def _check(part: Part) -> None:
    try:
        ContentDigest.parse(part.digest)
    except Refused:
        raise UsageError(f"manifest names the digest {part.digest[:160]!r}", hint=_HINT) from None
    if part.size < 0:
        raise UsageError(f"manifest gives {part.digest} a negative size", hint=_HINT)
