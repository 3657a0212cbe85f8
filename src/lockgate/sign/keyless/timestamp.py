"""Timestamps of RFC 3161: when a signature was there, by an authority that is trusted.

The token is CMS signed data (RFC 5652) with one signer, whose certificate is the first one of the authority in the
trusted root. A certificate inside the token is not looked at.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import SignatureInvalid
from lockgate.sign.keyless import der
from lockgate.sign.keyless.chain import check_issued, public_verify, readable
from lockgate.sign.keyless.material import refused

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from lockgate.sign.keyless.der import Value
    from lockgate.sign.keyless.trusted_root import Authority, TrustedRoot

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_2 = "1.2.840.113549.1.9.16.2.47"

_HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_ECDSA = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
_RSA = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
"""Algorithms of signatures, each with its hash."""
_PLAIN_RSA = "1.2.840.113549.1.1.1"
"""RSA with the hash that stands beside it."""

_GENERALIZED = re.compile(rb"([0-9]{14})(?:\.([0-9]{1,6})[0-9]*)?Z")
_GRANTED = (0, 1)
"""`granted` and `grantedWithMods` (RFC 3161, section 2.4.2)."""


class _Token(NamedTuple):
    info: bytes
    """The TSTInfo, as it is signed."""
    signer: Value
    """The SignerInfo."""


def check(response: bytes, signed: bytes, root: TrustedRoot) -> dt.datetime:
    """Return when a signature was there.

    Args:
        response: the answer of a timestamp authority.
        signed: the bytes of the signature that it is about.
        root: what is trusted.

    Raises:
        SignatureInvalid: no trusted authority says so, or it says it of something else.
    """
    token = _token(response)
    when, imprint = _info(token.info)
    if imprint[1] != hashlib.new(imprint[0], signed).digest():
        raise refused("a timestamp is of another signature")
    if not root.timestamp_authorities:
        raise refused("a signature has a timestamp, and no timestamp authority is trusted here")
    why: SignatureInvalid | None = None
    for authority in root.timestamp_authorities:
        try:
            with readable():
                _check_authority(token, authority, when)
        except SignatureInvalid as error:
            why = why or error
        else:
            return when
    raise why or refused("no timestamp authority is trusted here")


def _check_authority(token: _Token, authority: Authority, when: dt.datetime) -> None:
    signer = authority.certificates[0]
    _check_signer(token, signer)
    if not authority.period.covers(when):
        raise refused("a timestamp is of a time when its authority was not trusted")
    check_issued(authority.certificates, when)
    _check_purpose(signer)


def _token(response: bytes) -> _Token:
    """RFC 3161, section 2.4.2, then RFC 5652, section 5."""
    parts = der.read(response).expect(der.SEQUENCE).children()
    if len(parts) != 2:
        raise der.damaged("it is not a response with a token")
    status = parts[0].expect(der.SEQUENCE).children()
    if not status or der.number(status[0]) not in _GRANTED:
        raise refused("a timestamp authority has refused to give a timestamp")
    content = _fields(parts[1], 2)
    if der.oid(content[0]) != _SIGNED_DATA:
        raise der.damaged("it is not signed data")
    data = _fields(der.read(content[1].expect(0xA0).body), 4)
    inner = _fields(data[2], 2)
    if der.oid(inner[0]) != _TST_INFO:
        raise der.damaged("it is not a timestamp that is signed")
    info = der.read(inner[1].expect(0xA0).body).expect(der.OCTETS).body
    signers = data[-1].expect(der.SET).children()
    if len(signers) != 1:
        raise der.damaged("it has not one signer")
    return _Token(info, signers[0])


def _info(data: bytes) -> tuple[dt.datetime, tuple[str, bytes]]:
    """Return the time of a TSTInfo, and the name and value of the hash that it is of."""
    fields = _fields(der.read(data), 5)
    imprint = _fields(fields[2], 2)
    return _time(fields[4]), (_hash(imprint[0]), imprint[1].expect(der.OCTETS).body)


def _time(value: Value) -> dt.datetime:
    found = _GENERALIZED.fullmatch(value.expect(der.TIME).body)
    if found is None:
        raise der.damaged("its time is not one")
    try:
        whole = dt.datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError:
        raise der.damaged("its time is not one") from None
    return whole + dt.timedelta(microseconds=int((found[2] or b"0").ljust(6, b"0")))


def _check_signer(token: _Token, certificate: Certificate) -> None:
    """RFC 5652, section 5.6, and RFC 5816 for the certificate that signs."""
    fields = _fields(token.signer, 6)
    _check_name(fields[1], certificate)
    digest = _hash(fields[2])
    attributes = _attributes(fields[3].expect(0xA0))
    if der.oid(attributes[_CONTENT_TYPE]) != _TST_INFO:
        raise der.damaged("its signed content type is another one")
    if (
        attributes[_MESSAGE_DIGEST].expect(der.OCTETS).body
        != hashlib.new(digest, token.info).digest()
    ):
        raise refused("a timestamp was changed after it was signed")
    _check_certificate(attributes, certificate)
    algorithm = der.oid(_fields(fields[4], 1)[0])
    rsa = {**_RSA, _PLAIN_RSA: digest}
    name = _ECDSA.get(algorithm) or rsa.get(algorithm)
    if name is None:
        raise refused(f"a timestamp is signed by an algorithm that is not known here: {algorithm}")
    # What is signed is the attributes as a SET; in the token they have another tag (RFC 5652, section 5.4).
    signed = bytes([der.SET]) + fields[3].raw[1:]
    signature = fields[5].expect(der.OCTETS).body
    public_verify(certificate, signature, signed, name, is_rsa=algorithm in rsa)


def _check_name(value: Value, certificate: Certificate) -> None:
    from cryptography.x509 import ExtensionNotFound, SubjectKeyIdentifier

    if value.tag == der.SEQUENCE:
        issuer, serial = _fields(value, 2)[:2]
        same = (issuer.raw, der.number(serial)) == (
            certificate.issuer.public_bytes(),
            certificate.serial_number,
        )
    else:
        try:
            known = certificate.extensions.get_extension_for_class(
                SubjectKeyIdentifier
            ).value.digest
        except (ExtensionNotFound, ValueError):
            known = b""
        same = value.expect(0x80).body == known
    if not same:
        raise refused("a timestamp is of an authority that is not trusted here")


def _attributes(value: Value) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for one in value.children():
        kind, values = _fields(one, 2)[:2]
        name, inner = der.oid(kind), values.expect(der.SET).children()
        if name in found or len(inner) != 1:
            raise der.damaged("an attribute stands twice")
        found[name] = inner[0]
    if not {_CONTENT_TYPE, _MESSAGE_DIGEST} <= found.keys():
        raise der.damaged("an attribute is missing")
    return found


def _check_certificate(attributes: dict[str, Value], certificate: Certificate) -> None:
    """Check that the token names the certificate by its hash (RFC 2634, section 5.4, RFC 5035, section 3)."""
    from cryptography.hazmat.primitives.serialization import Encoding

    raw = certificate.public_bytes(Encoding.DER)
    if _SIGNING_CERTIFICATE_2 in attributes:
        first = _fields(_fields(_fields(attributes[_SIGNING_CERTIFICATE_2], 1)[0], 1)[0], 1)
        # The algorithm can be left out, and then is SHA-256.
        named = first[0].tag == der.SEQUENCE
        name, found = (_hash(first[0]) if named else "sha256"), first[1 if named else 0]
        same = found.expect(der.OCTETS).body == hashlib.new(name, raw).digest()
    elif _SIGNING_CERTIFICATE in attributes:
        first = _fields(_fields(_fields(attributes[_SIGNING_CERTIFICATE], 1)[0], 1)[0], 1)
        known = hashlib.sha1(raw, usedforsecurity=False).digest()
        same = first[0].expect(der.OCTETS).body == known
    else:
        raise der.damaged("it does not say which certificate signed it")
    if not same:
        raise refused("a timestamp names another certificate than its authority's")


def _check_purpose(certificate: Certificate) -> None:
    """RFC 3161, section 2.3: for timestamps and nothing else, and critical."""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        found = certificate.extensions.get_extension_for_class(ExtendedKeyUsage)
    except (ExtensionNotFound, ValueError):
        found = None
    if (
        found is None
        or not found.critical
        or list(found.value) != [ExtendedKeyUsageOID.TIME_STAMPING]
    ):
        raise refused("the certificate of a timestamp authority is not one for timestamps")


def _hash(value: Value) -> str:
    name = der.oid(_fields(value, 1)[0])
    if name not in _HASHES:
        raise refused(f"a timestamp uses a hash that is not known here: {name}")
    return _HASHES[name]


def _fields(value: Value, least: int) -> list[Value]:
    found = value.expect(der.SEQUENCE).children()
    if len(found) < least:
        raise der.damaged("a field is missing")
    return found
