"""A small Sigstore: authorities, a log of certificates, two kinds of transparency logs, timestamps, and their root.

It works as the real one does, with keys of its own; what it writes is checked against no code of Lockgate.
"""

from __future__ import annotations

import base64
import calendar
import datetime as dt
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime(2026, 11, 20, 10, 0, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
YEARS = dt.timedelta(days=3650)

SUBJECT = "https://github.com/shop/app/.github/workflows/release.yml@refs/tags/v1"
ISSUER = "https://token.actions.githubusercontent.com"

IN_TOTO = "application/vnd.in-toto+json"

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> str:
    """Return base64."""
    return base64.b64encode(data).decode()


def spki(key: Private) -> bytes:
    """Return a public key's DER form."""
    return key.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)


def pem_of(certificate: x509.Certificate) -> str:
    """Return base64 of the PEM form, as Rekor keeps a certificate."""
    return b64(certificate.public_bytes(form.Encoding.PEM))


def raw(certificate: x509.Certificate) -> bytes:
    """Return the DER form."""
    return certificate.public_bytes(form.Encoding.DER)


def sign(key: Private, data: bytes) -> bytes:
    """Sign as a log does."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return one element of DER."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def oid(text: str) -> bytes:
    """Return an object identifier in DER."""
    first, second, *rest = (int(one) for one in text.split("."))
    parts = b""
    for one in (40 * first + second, *rest):
        digits = [one & 0x7F]
        while one := one >> 7:
            digits.append(0x80 | one & 0x7F)
        parts += bytes(reversed(digits))
    return tlv(0x06, parts)


def integer(value: int) -> bytes:
    """Return a number in DER."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


SHA256 = tlv(0x30, oid("2.16.840.1.101.3.4.2.1"))
SHA1 = tlv(0x30, oid("1.3.14.3.2.26"))
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
PLAIN_RSA = "1.2.840.113549.1.1.1"


@dataclass(frozen=True)
class Authority:
    """An authority with a root and one certificate below it."""

    key: Private | rsa.RSAPrivateKey
    certificate: x509.Certificate
    root: x509.Certificate


def authority(
    name: str,
    *,
    extension: x509.ExtensionType | None = None,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    critical: bool = True,
) -> Authority:
    """Return a new authority; with an extension for a certificate that issues none itself."""
    root_key = ec.generate_private_key(ec.SECP384R1())
    key = key or ec.generate_private_key(ec.SECP384R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} root")])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    root = _issue(root_name, root_name, root_key, root_key, ca=True)
    ca = extension is None
    own = _issue(own_name, root_name, key, root_key, ca=ca, more=extension, critical=critical)
    return Authority(key, own, root)


def _issue(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    by: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
    more: x509.ExtensionType | None = None,
    critical: bool = True,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - YEARS)
        .not_valid_after(NOW + YEARS)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_usage(ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issued_by(by), critical=False)
    )
    if more is not None:
        builder = builder.add_extension(more, critical=critical)
    return builder.sign(by, hashes.SHA384())


def _issued_by(key: Private | rsa.RSAPrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class Tree:
    """A log's Merkle tree, by the definitions of RFC 9162, section 2.1."""

    leaves: list[bytes] = field(default_factory=list)

    def add(self, body: bytes) -> int:
        """Append an entry; return its number."""
        self.leaves.append(hashlib.sha256(b"\0" + body).digest())
        return len(self.leaves) - 1

    def root(self, leaves: list[bytes] | None = None) -> bytes:
        """Return the tree's hash."""
        leaves = self.leaves if leaves is None else leaves
        if len(leaves) == 1:
            return leaves[0]
        half = _half(len(leaves))
        return hashlib.sha256(b"\1" + self.root(leaves[:half]) + self.root(leaves[half:])).digest()

    def path(self, number: int, leaves: list[bytes] | None = None) -> list[bytes]:
        """Return the proof that an entry is in the tree."""
        leaves = self.leaves if leaves is None else leaves
        if len(leaves) == 1:
            return []
        half = _half(len(leaves))
        if number < half:
            return [*self.path(number, leaves[:half]), self.root(leaves[half:])]
        return [*self.path(number - half, leaves[half:]), self.root(leaves[:half])]


def _half(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


class Instance:
    """One instance of everything, at one time."""

    def __init__(self, now: dt.datetime = NOW) -> None:
        self.now = now
        self.fulcio = authority("sigstore")
        stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        self.tsa = authority("timestamps", extension=stamping)
        self.ct: Private = ec.generate_private_key(ec.SECP256R1())
        self.rekor: Private = ec.generate_private_key(ec.SECP256R1())
        self.tiles: Private = ed25519.Ed25519PrivateKey.generate()
        self.tree = Tree()
        for number in range(6):
            self.tree.add(b"what was there before %d" % number)

    # What is trusted.

    def root(self) -> dict[str, Any]:
        """Return the trusted root, to be changed by a test."""
        period = {"start": "2020-01-01T00:00:00Z"}

        def log(key: Private, host: str) -> dict[str, Any]:
            return {
                "baseUrl": f"https://{host}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": b64(spki(key)),
                    "keyDetails": "PKIX_ED25519"
                    if key is self.tiles
                    else "PKIX_ECDSA_P256_SHA_256",
                    "validFor": dict(period),
                },
                "logId": {"keyId": b64(log_id(key))},
            }

        def chain(one: Authority) -> dict[str, Any]:
            certificates = [{"rawBytes": b64(raw(each))} for each in (one.certificate, one.root)]
            return {
                "subject": {"organization": "sigstore.example", "commonName": "sigstore"},
                "uri": "https://sigstore.example",
                "certChain": {"certificates": certificates},
                "validFor": dict(period),
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.rekor, "rekor.example"), log(self.tiles, "tiles.example")],
            "certificateAuthorities": [chain(self.fulcio)],
            "ctlogs": [log(self.ct, "ct.example")],
            "timestampAuthorities": [chain(self.tsa)],
        }

    # A certificate for ten minutes.

    def certificate(self, key: Private, **changes: Any) -> x509.Certificate:
        """Return a certificate for a key, logged; `changes` are of its fields."""
        given: dict[str, Any] = {
            "names": [x509.UniformResourceIdentifier(SUBJECT)],
            "issuer": ISSUER,
            "old_issuer": ISSUER,
            "start": self.now - dt.timedelta(minutes=1),
            "end": self.now + dt.timedelta(minutes=9),
            "purposes": [ExtendedKeyUsageOID.CODE_SIGNING],
            "usage": _usage(False),
            "ca": None,
            "by": self.fulcio,
            "ct": self.ct,
            "logged": self.now,
            "sct_extensions": b"",
            "more": None,
            **changes,
        }
        builder = self._builder(key, given)
        by: Authority = given["by"]
        bare = builder.sign(by.key, hashes.SHA384())
        if given["ct"] is None:
            return bare
        promise = self._sct(bare, given)
        listed = len(promise).to_bytes(2, "big") + promise
        octets = tlv(0x04, len(listed).to_bytes(2, "big") + listed)
        sct = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), octets)
        logged = builder.add_extension(sct, critical=False)
        return logged.sign(by.key, hashes.SHA384())

    def _builder(self, key: Private, given: dict[str, Any]) -> x509.CertificateBuilder:
        by: Authority = given["by"]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(by.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(given["start"])
            .not_valid_after(given["end"])
            .add_extension(_issued_by(by.key), critical=False)
        )
        if given["usage"]:
            builder = builder.add_extension(given["usage"], critical=True)
        if given["purposes"]:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage(given["purposes"]), critical=False
            )
        for one in (given["ca"], given["more"]):
            if one is not None:
                builder = builder.add_extension(one, critical=True)
        if given["names"]:
            names = x509.SubjectAlternativeName(given["names"])
            builder = builder.add_extension(names, critical=True)
        texts = {"1": _bytes(given["old_issuer"]), "8": tlv(0x0C, _bytes(given["issuer"]))}
        wanted = {"1": given["old_issuer"], "8": given["issuer"]}
        for number, text in texts.items():
            if wanted[number]:
                name = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
                builder = builder.add_extension(
                    x509.UnrecognizedExtension(name, text), critical=False
                )
        return builder

    def _sct(self, bare: x509.Certificate, given: dict[str, Any]) -> bytes:
        """Return a log's promise (RFC 6962, section 3.2)."""
        key, at = given["ct"], given["logged"]
        milliseconds = (calendar.timegm(at.utctimetuple()) * 1000).to_bytes(8, "big")
        extensions = len(given["sct_extensions"]).to_bytes(2, "big") + given["sct_extensions"]
        issuer = hashlib.sha256(spki(given["by"].key)).digest()
        body = bare.tbs_certificate_bytes
        signed = b"".join(
            (b"\0\0", milliseconds, b"\0\1", issuer, len(body).to_bytes(3, "big"), body, extensions)
        )
        signature = sign(key, signed)
        return b"".join(
            (
                b"\0",
                log_id(key),
                milliseconds,
                extensions,
                b"\x04\x03",
                len(signature).to_bytes(2, "big"),
                signature,
            )
        )

    # Entries of logs.

    def entry(self, body: dict[str, Any], *, tiles: bool = False) -> dict[str, Any]:
        """Log something; return the entry with its proofs, as a bundle holds it."""
        data = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        number = self.tree.add(data)
        self.tree.add(b"what came after")
        key = self.tiles if tiles else self.rekor
        made: dict[str, Any] = {
            "logIndex": str(number + 1000),
            "logId": {"keyId": b64(log_id(key))},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "inclusionProof": {
                "logIndex": str(number),
                "rootHash": b64(self.tree.root()),
                "treeSize": str(len(self.tree.leaves)),
                "hashes": [b64(one) for one in self.tree.path(number)],
                "checkpoint": {"envelope": self.checkpoint(tiles=tiles)},
            },
            "canonicalizedBody": b64(data),
        }
        if not tiles:
            made["integratedTime"] = str(calendar.timegm(self.now.utctimetuple()))
            made["inclusionPromise"] = {"signedEntryTimestamp": self.promise(made)}
        return made

    def promise(self, entry: dict[str, Any]) -> str:
        """Return the log's signature over an entry and its time."""
        content = {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logID": log_id(self.rekor).hex(),
            "logIndex": int(entry["logIndex"]),
        }
        data = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
        return b64(sign(self.rekor, data))

    def checkpoint(self, *, tiles: bool = False) -> str:
        """Return what a log says of its tree."""
        key, origin = (
            (self.tiles, "tiles.example") if tiles else (self.rekor, "rekor.example - 2605736670")
        )
        size, root = len(self.tree.leaves), b64(self.tree.root())
        note = f"{origin}\n{size}\n{root}\n"
        return f"{note}\n{signature_line(key, origin.split(' ')[0], note)}"

    # Timestamps.

    def timestamp(self, signed: bytes, **changes: Any) -> bytes:
        """Return a timestamp authority's answer over a signature; `changes` are of its fields."""
        given: dict[str, Any] = {
            "time": self.now.strftime("%Y%m%d%H%M%SZ").encode(),
            "status": 0,
            "by": self.tsa,
            "key": self.tsa.key,
            "named": raw(self.tsa.certificate),
            "imprint": hashlib.sha256(signed).digest(),
            "message_digest": None,
            "kind": "1.2.840.113549.1.9.16.1.4",
            "data": "1.2.840.113549.1.7.2",
            "signers": 1,
            "hash": SHA256,
            "algorithm": ECDSA_SHA256,
            "sid": "serial",
            "ess": "2",
            "more": b"",
            "nonce": b"",
            **changes,
        }
        by: Authority = given["by"]
        info = tlv(
            0x30,
            integer(1),
            oid("1.3.6.1.4.1.57264.2"),
            tlv(0x30, given["hash"], tlv(0x04, given["imprint"])),
            integer(7),
            tlv(0x18, given["time"]),
            given["nonce"],
        )
        digest = given["message_digest"] or hashlib.sha256(info).digest()
        attributes = b"".join(
            (
                attribute("1.2.840.113549.1.9.3", oid(given["kind"])),
                attribute("1.2.840.113549.1.9.4", tlv(0x04, digest)),
                _named(given["ess"], given["named"]),
                given["more"],
            )
        )
        signature = _signed(given["key"], tlv(0x31, attributes))
        signer = tlv(
            0x30,
            integer(1),
            _signer(given["sid"], by.certificate),
            given["hash"],
            tlv(0xA0, attributes),
            tlv(0x30, oid(given["algorithm"])),
            tlv(0x04, signature),
        )
        data = tlv(
            0x30,
            integer(3),
            tlv(0x31, SHA256),
            tlv(0x30, oid(given["kind"]), tlv(0xA0, tlv(0x04, info))),
            tlv(0x31, *([signer] * given["signers"])),
        )
        token = tlv(0x30, oid(given["data"]), tlv(0xA0, data))
        return tlv(0x30, tlv(0x30, integer(given["status"])), token)


def _bytes(text: str) -> bytes:
    """Return a text's bytes; half of a surrogate pair gives bytes that are no text."""
    return text.encode("utf-8", "surrogateescape")


def _signed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _signer(how: str, certificate: x509.Certificate) -> bytes:
    """Return how a token names its signer: by issuer and number, or by its key."""
    if how == "key":
        found = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        return tlv(0x80, found.digest)
    issuer = certificate.issuer.public_bytes()
    return tlv(0x30, issuer, integer(certificate.serial_number))


def _named(how: str, certificate: bytes) -> bytes:
    """Return the attribute that names the signer's certificate by its hash, in its two versions, or none."""
    if how == "1":
        value = tlv(0x04, hashlib.sha1(certificate, usedforsecurity=False).digest())
        return attribute("1.2.840.113549.1.9.16.2.12", tlv(0x30, tlv(0x30, tlv(0x30, value))))
    value = tlv(0x04, hashlib.sha256(certificate).digest())
    if how.startswith("2 with"):
        value = (SHA256 if how == "2 with its hash" else SHA1) + value
    named = attribute("1.2.840.113549.1.9.16.2.47", tlv(0x30, tlv(0x30, tlv(0x30, value))))
    return named if how else b""


def attribute(name: str, value: bytes) -> bytes:
    """Return a signed attribute of a token."""
    return tlv(0x30, oid(name), tlv(0x31, value))


def log_id(key: Private) -> bytes:
    """Return what a log is called."""
    return hashlib.sha256(spki(key)).digest()


def signature_line(key: Private, name: str, note: str) -> str:
    """Return one line of a signed note."""
    return f"\u2014 {name} {b64(log_id(key)[:4] + sign(key, note.encode()))}\n"


def pae(payload: bytes) -> bytes:
    """Return what an envelope's signature is over."""
    return b"DSSEv1 %d %b %d %b" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)


class Made:
    """A bundle and everything that went into it."""

    def __init__(
        self,
        instance: Instance,
        content: bytes,
        *,
        kind: str = "dsse 0.0.1",
        stamped: bool = False,
        envelope: bool = True,
        key: Private | None = None,
        logged: dict[str, Any] | None = None,
        stamp: dict[str, Any] | None = None,
        certificate: dict[str, Any] | None = None,
    ) -> None:
        self.instance, self.content = instance, content
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.certificate = instance.certificate(self.key, **(certificate or {}))
        self.signature = sign(self.key, pae(content) if envelope else content)
        tiles = kind == "hashedrekord 0.0.2"
        body = {**self.body(kind, envelope), **(logged or {})}
        stamps = []
        if tiles or stamped:
            stamps = [{"signedTimestamp": b64(instance.timestamp(self.signature, **(stamp or {})))}]
        self.bundle: dict[str, Any] = {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(raw(self.certificate))},
                "tlogEntries": [instance.entry(body, tiles=tiles)],
                "timestampVerificationData": {"rfc3161Timestamps": stamps},
            },
        }
        if envelope:
            self.bundle["dsseEnvelope"] = {
                "payload": b64(content),
                "payloadType": IN_TOTO,
                "signatures": [{"sig": b64(self.signature)}],
            }
        else:
            digest = b64(hashlib.sha256(content).digest())
            self.bundle["messageSignature"] = {
                "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
                "signature": b64(self.signature),
            }

    def body(self, kind: str, envelope: bool) -> dict[str, Any]:
        """Return what is logged."""
        name, version = kind.split(" ")
        digest = hashlib.sha256(self.content).hexdigest()
        signed = pae(self.content) if envelope else self.content
        specs: dict[str, dict[str, Any]] = {
            "dsse 0.0.1": {
                "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                "payloadHash": {"algorithm": "sha256", "value": digest},
                "signatures": [
                    {"signature": b64(self.signature), "verifier": pem_of(self.certificate)}
                ],
            },
            "intoto 0.0.2": {
                "content": {
                    "envelope": {
                        "payloadType": IN_TOTO,
                        "signatures": [
                            {
                                "publicKey": pem_of(self.certificate),
                                "sig": b64(b64(self.signature).encode()),
                            }
                        ],
                    },
                    "hash": {"algorithm": "sha256", "value": "0" * 64},
                    "payloadHash": {"algorithm": "sha256", "value": digest},
                }
            },
            "hashedrekord 0.0.1": {
                "data": {"hash": {"algorithm": "sha256", "value": digest}},
                "signature": {
                    "content": b64(self.signature),
                    "publicKey": {"content": pem_of(self.certificate)},
                },
            },
            "hashedrekord 0.0.2": {
                "hashedRekordV002": {
                    "data": {
                        "algorithm": "SHA2_256",
                        "digest": b64(hashlib.sha256(signed).digest()),
                    },
                    "signature": {
                        "content": b64(self.signature),
                        "verifier": {
                            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                            "x509Certificate": {"rawBytes": b64(raw(self.certificate))},
                        },
                    },
                }
            },
        }
        return {"apiVersion": version, "kind": name, "spec": specs[kind]}

    @property
    def material(self) -> dict[str, Any]:
        """The part of the bundle that proves the signature."""
        found: dict[str, Any] = self.bundle["verificationMaterial"]
        return found

    @property
    def entry(self) -> dict[str, Any]:
        """The log entry."""
        found: dict[str, Any] = self.material["tlogEntries"][0]
        return found

    def data(self) -> bytes:
        """Return the bundle's bytes."""
        return json.dumps(self.bundle).encode()
