"""Public keys: ECDSA on P-256 with SHA-256, the kind that cosign makes.

Names, fingerprints and comparing cost no cryptography library; only `verify` loads it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Self

from lockgate.base.errors import KeyRefused, SignatureInvalid
from lockgate.sign import pem

MARK = "Lockgate development key: made on this machine, for this machine."
"""First line of both files of a development key. Every reader of PEM skips it, and it goes where the file
goes, so that a copied public key is still known for what it is."""

_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point (RFC 5480, section 2)."""

_POINT = 64
"""Bytes of the two coordinates."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that signatures are checked with."""

    spki: bytes
    """SubjectPublicKeyInfo, DER."""
    name: str
    """What people call it: `release`."""
    development: bool = False
    """True for a development key."""

    def __post_init__(self) -> None:
        if not self.spki.startswith(_P256) or len(self.spki) != len(_P256) + _POINT:
            raise KeyRefused(
                f"key {self.name} is not an ECDSA key on P-256",
                hint="make one that can be used here with `cosign generate-key-pair`",
            )

    @classmethod
    def parse(cls, data: bytes, *, name: str) -> Self:
        """Read a public key in PEM form.

        Raises:
            KeyRefused: the bytes are not such a key.
        """
        found = pem.parse(data, what=f"public key {name}")
        if found.label.endswith("PRIVATE KEY"):
            raise KeyRefused(
                f"{name} is a private key where a public one is needed",
                hint=f"write the public half: `cosign public-key --key {name}`",
            )
        if found.label != "PUBLIC KEY":
            raise KeyRefused(
                f"{name} holds a {found.label.lower()}, not a public key",
                hint="a public key starts with -----BEGIN PUBLIC KEY-----",
            )
        return cls(found.body, name, MARK in found.preamble)

    @property
    def fingerprint(self) -> str:
        """The sha256 of the key's DER form, in 64 hexadecimal digits."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def short(self) -> str:
        """For people only: `7c:1e:90:4b`."""
        return short(self.fingerprint)

    @property
    def hint(self) -> str:
        """How a Sigstore bundle names the key: the fingerprint in base64, as cosign writes it."""
        return base64.b64encode(hashlib.sha256(self.spki).digest()).decode()

    def pem(self) -> bytes:
        """Return the key in PEM form, marked when it is a development key."""
        return pem.write("PUBLIC KEY", self.spki, preamble=MARK if self.development else "")

    def verify(self, signature: bytes, data: bytes) -> None:
        """Return when `signature` is this key's over `data`.

        Raises:
            SignatureInvalid: it is not.
            KeyRefused: the key is no point of its curve.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(
                ec.SECP256R1(), self.spki[-_POINT - 1 :]
            )
        except ValueError:
            raise KeyRefused(
                f"key {self.name} is damaged: it is no point of P-256", hint="restore its file"
            ) from None
        try:
            key.verify(signature, data, ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise SignatureInvalid(
                f"a signature does not verify with key {self.short} ({self.name})",
                hint="what was signed or its signature was changed: run `inv sign` again",
            ) from None


def short(fingerprint: str) -> str:
    """Return the first four bytes of a fingerprint for people: `7c:1e:90:4b`."""
    return ":".join(fingerprint[at : at + 2] for at in range(0, 8, 2))
