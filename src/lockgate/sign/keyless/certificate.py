"""The signer's certificate: issued by a trusted authority, in a trusted log of certificates, and for whom."""

from __future__ import annotations

import calendar
import datetime as dt
import functools
import hashlib
from typing import TYPE_CHECKING

from lockgate.base.errors import KeyRefused, SignatureInvalid
from lockgate.sign.keyless import der
from lockgate.sign.keyless.chain import check_issued, extension, readable
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.material import refused
from lockgate.sign.keyless.trusted_root import find
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate
    from cryptography.x509.certificate_transparency import SignedCertificateTimestamp

    from lockgate.sign.keyless.trusted_root import TrustedRoot

_ISSUER_1 = "1.3.6.1.4.1.57264.1.1"
_ISSUER_2 = "1.3.6.1.4.1.57264.1.8"
"""Extensions of Fulcio that name the issuer of the identity (fulcio, docs/oid-info.md)."""
_USER_NAME = "1.3.6.1.4.1.57264.1.7"
"""Kind of a subject's alternative name that is neither an address nor a mail address."""


class Signer:
    """A signer's certificate."""

    def __init__(self, chain: Sequence[bytes]) -> None:
        """Read the certificates of a bundle.

        Raises:
            SignatureInvalid: one cannot be read, or a root is among them: a bundle must not bring its own.
        """
        from cryptography.x509 import load_der_x509_certificate

        with readable():
            self._leaf, *others = (load_der_x509_certificate(one) for one in chain)
            roots = [one for one in others if one.subject == one.issuer]
        if roots:
            raise refused("a bundle holds a root certificate, which is not its to give")

    def key(self) -> PublicKey:
        """Return the certified key.

        Raises:
            SignatureInvalid: it is of a kind that is not known here.
        """
        from cryptography.hazmat.primitives import serialization as form

        encoding, kind = form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo
        try:
            with readable():
                spki = self._leaf.public_key().public_bytes(encoding, kind)
            return PublicKey(spki, "certificate")
        except KeyRefused:
            raise refused("a certificate's key is of a kind that is not known here") from None

    def check(self, times: Sequence[dt.datetime], root: TrustedRoot) -> None:
        """Return when the certificate was good at each time.

        Raises:
            SignatureInvalid: no trusted authority has issued it, it was not valid, is not for signing code, or is in
                no trusted log of certificates.
        """
        with readable():
            issuers = [self._issuer(when, root) for when in times]
            _check_purpose(self._leaf)
            self._check_logged(issuers[0], root)

    def identity(self) -> Identity:
        """Return whom the certificate is for.

        Raises:
            SignatureInvalid: it does not say, or says more than one.
        """
        with readable():
            return Identity(subject=_subject(self._leaf), issuer=_issuer_name(self._leaf))

    def _issuer(self, when: dt.datetime, root: TrustedRoot) -> Certificate:
        """Return the certificate of the authority that issued it, as far as that was trusted at a time."""
        why: SignatureInvalid | None = None
        for authority in root.authorities:
            try:
                check_issued((self._leaf, *authority.certificates), when)
            except SignatureInvalid as error:
                why = why or error
                continue
            if authority.period.covers(when):
                return authority.certificates[0]
            why = refused("a certificate is of a time when its authority was not trusted")
        raise why or refused("no certificate authority is trusted here")

    def _check_logged(self, issuer: Certificate, root: TrustedRoot) -> None:
        """Check that a trusted log has promised to hold the certificate (RFC 6962, section 3.2)."""
        from cryptography.x509 import PrecertificateSignedCertificateTimestamps

        found = extension(self._leaf, PrecertificateSignedCertificateTimestamps)
        promises = list(found.value) if found else []
        trusted = 0
        for one in promises:
            log = find(root.certificate_logs, one.log_id)
            if log is None or log.key is None:
                continue
            log.key.verify(one.signature, _promised(self._leaf, one, issuer))
            if not log.period.covers(one.timestamp.replace(tzinfo=dt.UTC)):
                raise refused("a certificate was logged when its log was not trusted")
            trusted += 1
        if not trusted:
            raise refused("a certificate is in no log of certificates that is trusted here")


def _promised(leaf: Certificate, one: SignedCertificateTimestamp, issuer: Certificate) -> bytes:
    """Return what a log signs for a certificate (RFC 6962, section 3.2, `precert_entry`)."""
    body = leaf.tbs_precertificate_bytes
    at = one.timestamp
    milliseconds = calendar.timegm(at.utctimetuple()) * 1000 + at.microsecond // 1000
    return b"".join(
        (
            b"\0\0",  # version 1, a certificate's timestamp
            milliseconds.to_bytes(8, "big"),
            b"\0\1",  # of a precertificate
            _issuer_key_hash(issuer),
            len(body).to_bytes(3, "big"),
            body,
            len(one.extension_bytes).to_bytes(2, "big"),
            one.extension_bytes,
        )
    )


@functools.lru_cache(maxsize=16)
def _issuer_key_hash(issuer: Certificate) -> bytes:
    """RFC 6962, section 3.2, `issuer_key_hash`; it is the same for every certificate of an authority."""
    from cryptography.hazmat.primitives import serialization as form

    spki = issuer.public_key().public_bytes(
        form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).digest()


def _check_purpose(leaf: Certificate) -> None:
    from cryptography.x509 import BasicConstraints, ExtendedKeyUsage, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage, purposes = extension(leaf, KeyUsage), extension(leaf, ExtendedKeyUsage)
    # Who is no authority need not say so.
    constraints = extension(leaf, BasicConstraints)
    if (
        usage is None
        or not usage.value.digital_signature
        or purposes is None
        or ExtendedKeyUsageOID.CODE_SIGNING not in purposes.value
        or (constraints is not None and constraints.value.ca)
    ):
        raise refused("a certificate is not one for signing code")


def _subject(leaf: Certificate) -> str:
    from cryptography.x509 import (
        OtherName,
        RFC822Name,
        SubjectAlternativeName,
        UniformResourceIdentifier,
    )

    found = extension(leaf, SubjectAlternativeName)
    names = list(found.value) if found else []
    if len(names) != 1:
        raise refused(f"a certificate is for {len(names)} subjects, and not for one")
    (name,) = names
    if isinstance(name, RFC822Name | UniformResourceIdentifier):
        return name.value
    if isinstance(name, OtherName) and name.type_id.dotted_string == _USER_NAME:
        return _text(der.read(name.value))
    raise refused("a certificate's subject is of a kind that is not known here")


def _issuer_name(leaf: Certificate) -> str:
    old, new = _extension(leaf, _ISSUER_1), _extension(leaf, _ISSUER_2)
    found = {_text(der.read(new))} if new else set()
    if old:
        # The older extension holds the bare text.
        try:
            found.add(old.decode())
        except UnicodeDecodeError:
            raise refused("a certificate's issuer is not a text") from None
    if len(found) != 1:
        raise refused("a certificate does not say who knows its subject")
    return found.pop()


def _extension(leaf: Certificate, oid: str) -> bytes:
    from cryptography.x509 import ExtensionNotFound, ObjectIdentifier, UnrecognizedExtension

    try:
        found = leaf.extensions.get_extension_for_oid(ObjectIdentifier(oid)).value
    except ExtensionNotFound:
        return b""
    return found.value if isinstance(found, UnrecognizedExtension) else b""


def _text(value: der.Value) -> str:
    try:
        return value.expect(der.UTF8).body.decode()
    except UnicodeDecodeError:
        raise refused("a certificate holds a text that is none") from None
