"""Key pairs of each kind, in files that cosign and Lockgate both read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from lockgate.sign import keybox, pem
from lockgate.sign.keys import load

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.sign.keys import Signer

KINDS = ("P-256", "P-384", "Ed25519")

PASSWORD = "correct horse"

WITH_PASSWORD = {"COSIGN_PASSWORD": PASSWORD}
"""What opens every private key that is written here."""


class Pair(NamedTuple):
    """The two files of a key pair."""

    private: Path
    public: Path
    flags: tuple[str, ...]
    """What `cosign verify` needs with such a key: its default is SHA-256 whatever the curve."""

    @property
    def signer(self) -> Signer:
        """The key as Lockgate reads it."""
        return load(
            str(self.private),
            root=self.private.parent,
            environ=WITH_PASSWORD,
            ask=None,
        )


def pair(kind: str, folder: Path, name: str) -> Pair:
    """Write a new key pair in cosign's form, with the password of this module."""
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind == "Ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = ec.generate_private_key(ec.SECP256R1() if kind == "P-256" else ec.SECP384R1())
    pkcs8 = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    box = keybox.seal(pkcs8, PASSWORD.encode(), keybox.LEGACY)
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(pem.write(keybox.LABEL, box))
    public.write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    flags = ("--signature-digest-algorithm", "sha384") if kind == "P-384" else ()
    return Pair(private, public, flags)
