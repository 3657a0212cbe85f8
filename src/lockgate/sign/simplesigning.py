"""Simple signing: what a signature in the older form of cosign says (cosign, specs/SIGNATURE_SPEC.md).

The payload names a digest and the reference that the signer used for it; `optional` holds what else the signer
says, which `cosign verify -a` and Kyverno compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lockgate.base.canonical import Record, decode, encode
from lockgate.base.errors import SignatureInvalid, SubjectMismatch, UsageError
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"

TYPE = "cosign container image signature"


class _Identity(Record, frozen=True):
    docker_reference: str = msgspec.field(name="docker-reference")


class _Image(Record, frozen=True):
    docker_manifest_digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(Record, frozen=True):
    identity: _Identity
    image: _Image
    type: str


class _Payload(Record, frozen=True):
    critical: _Critical
    optional: dict[str, Any] | None = None


class SimpleSigning(NamedTuple):
    """What a payload says. Nothing of it is verified."""

    digest: str
    """The image, `sha256:…`."""
    reference: str
    """Name under which it was signed; cosign writes the repository, and compares it with nothing."""
    annotations: dict[str, Any]


def build(*, reference: str, digest: str, annotations: Mapping[str, str]) -> bytes:
    """Return the canonical bytes of a payload."""
    return encode(
        _Payload(
            critical=_Critical(
                identity=_Identity(docker_reference=reference),
                image=_Image(docker_manifest_digest=Digest(digest)),
                type=TYPE,
            ),
            optional=dict(annotations) or None,
        )
    )


def parse(data: bytes) -> SimpleSigning:
    """Read a payload.

    Raises:
        SignatureInvalid: it is not one of cosign's. A field in `critical` that is not known is refused, as the
            format asks (containers/image, docs/containers-signature.5.md): it could change what is signed.
    """
    try:
        found = decode(data, _Payload, what="signature payload")
        if found.critical.type != TYPE:
            raise UsageError(f"a signature payload is of type {found.critical.type!r}")
        digest = Digest(found.critical.image.docker_manifest_digest)
    except UsageError as error:
        raise SignatureInvalid(error.message, hint="sign again: `inv sign`") from None
    return SimpleSigning(
        digest, found.critical.identity.docker_reference, dict(found.optional or {})
    )


def check_subject(payload: SimpleSigning, digest: str) -> None:
    """Return when the payload is about `digest`.

    Raises:
        SubjectMismatch: it is about something else.
    """
    if payload.digest != digest:
        raise SubjectMismatch(
            f"subject is {Digest(payload.digest).short}, this image is {Digest(digest).short}",
            hint="sign this image: `inv scan sign`",
        )
