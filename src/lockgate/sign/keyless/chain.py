"""Certificates: that they can be read, and that one is issued by the next, up to a root that is trusted."""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import TYPE_CHECKING, TypeVar

from lockgate.sign.keyless.material import refused

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from cryptography.hazmat.primitives.hashes import HashAlgorithm
    from cryptography.x509 import Certificate, Extension, ExtensionType

T = TypeVar("T", bound="ExtensionType")


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Translate what the library raises on certificates that are none, wherever it first looks at a field.

    Raises:
        SignatureInvalid: a certificate cannot be read.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

    try:
        yield
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        DuplicateExtension,
        InvalidVersion,
        UnsupportedGeneralNameType,
    ):
        raise refused("a certificate cannot be read") from None


def extension(certificate: Certificate, kind: type[T]) -> Extension[T] | None:
    """Return an extension; None when the certificate has it not."""
    from cryptography.x509 import ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(kind)
    except ExtensionNotFound:
        return None


def check_issued(certificates: Sequence[Certificate], when: dt.datetime) -> None:
    """Return when each certificate is issued by the next one, and all were valid at a time.

    The order is fixed and the last one is trusted, so no path has to be searched for (RFC 5280, section 6.1).

    Args:
        certificates: from the one that signed to the root.
        when: the time.

    Raises:
        SignatureInvalid: one is not issued by the next, was not valid, or may not issue.
    """
    for one in certificates:
        if not one.not_valid_before_utc <= when <= one.not_valid_after_utc:
            raise refused(f"a certificate was not valid at {when:%Y-%m-%dT%H:%M:%SZ}")
        _check_understood(one)
    for depth, (one, issuer) in enumerate(itertools.pairwise(certificates)):
        _check_may_issue(issuer, depth)
        if not _issued(one, issuer):
            raise refused("a certificate is not issued by an authority that is trusted here")


@functools.lru_cache(maxsize=64)
def _issued(one: Certificate, issuer: Certificate) -> bool:
    """True when the name and the signature are the issuer's. The bytes of both decide, and nothing else.

    An authority's own certificates come again with each bundle, and a leaf with each time that is looked at.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        one.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    return True


@functools.lru_cache(maxsize=64)
def _check_understood(certificate: Certificate) -> None:
    """RFC 5280, section 4.2: an extension that is critical and not known here could forbid just this use."""
    from cryptography.x509.oid import ExtensionOID

    known = (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    )
    for one in certificate.extensions:
        if one.critical and one.oid not in known:
            name = one.oid.dotted_string
            raise refused(f"a certificate has a critical extension that is not known here: {name}")


@functools.lru_cache(maxsize=64)
def _check_may_issue(certificate: Certificate, depth: int) -> None:
    """RFC 5280, section 6.1.4: an authority, for so many below it, whose key signs certificates."""
    from cryptography.x509 import BasicConstraints, KeyUsage

    constraints, usage = extension(certificate, BasicConstraints), extension(certificate, KeyUsage)
    if constraints is not None and usage is not None:
        longest = constraints.value.path_length
        within = longest is None or depth <= longest
        if constraints.value.ca and usage.value.key_cert_sign and within:
            return
    raise refused("a certificate is issued by one that may not issue")


def public_verify(
    certificate: Certificate, signature: bytes, data: bytes, digest: str, *, is_rsa: bool
) -> None:
    """Return when a signature is by a certificate's key: ECDSA or RSA (PKCS #1 v1.5) with one of the SHA-2 hashes.

    Raises:
        SignatureInvalid: it is not, or the key is of another kind.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    known: dict[str, HashAlgorithm] = {
        "sha256": hashes.SHA256(),
        "sha384": hashes.SHA384(),
        "sha512": hashes.SHA512(),
    }
    key = certificate.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and not is_rsa:
            key.verify(signature, data, ec.ECDSA(known[digest]))
        elif isinstance(key, rsa.RSAPublicKey) and is_rsa:
            key.verify(signature, data, padding.PKCS1v15(), known[digest])
        else:
            raise refused("a timestamp is signed by another algorithm than its authority's key has")
    except InvalidSignature:
        raise refused("a timestamp does not verify with its authority's certificate") from None
