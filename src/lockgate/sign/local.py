"""A private key in this process: cosign's encrypted form, or PKCS#8 (RFC 5958) with or without a password.

A key is opened when something is signed, and not before: what is signed already is recognised by the public
half alone, without the 100 ms that opening an encrypted key takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lockgate.base.errors import KeyRefused
from lockgate.sign import keybox, pem
from lockgate.sign.public_key import ALGORITHMS, MARK, P256, PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    PrivateKey: TypeAlias = EllipticCurvePrivateKey | Ed25519PrivateKey

PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 - the name of a variable

_PLAIN = "PRIVATE KEY"
"""Label of unencrypted PKCS#8 (RFC 7468, section 10)."""
_ENCRYPTED = "ENCRYPTED PRIVATE KEY"
"""Label of PKCS#8 with a password (RFC 7468, section 11)."""


class LocalSigner:
    """A private key in this process. It is opened, and its password asked for, when it is needed."""

    def __init__(
        self,
        block: pem.Pem,
        *,
        what: str,
        name: str,
        password: Callable[[], bytes],
        public: PublicKey | None = None,
    ) -> None:
        _check_label(block, what)
        self._block, self._what, self._name = block, what, name
        self._password = password
        self._public = public
        self._private: PrivateKey | None = None

    @property
    def development(self) -> bool:
        """True for a development key: either of its files says so."""
        return MARK in self._block.preamble or self.public_key().development

    @property
    def fingerprint(self) -> str:
        """The sha256 of the public key's DER form, in hexadecimal."""
        return self.public_key().fingerprint

    def public_key(self) -> PublicKey:
        """Return the public half; opens the private key when there was no public file.

        Raises:
            KeyRefused: the key cannot be opened.
        """
        return self._public or self._half(self._open())

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`, the same each time: RFC 6979 for ECDSA, RFC 8032 for Ed25519.

        Ed25519 signs the data itself and not its hash: that is what `cosign verify` checks with such a key.

        Raises:
            KeyRefused: the key cannot be opened, or is not that of its public file.
        """
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519

        key = self._open()
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        digest = hashes.SHA256() if self.public_key().algorithm == P256 else hashes.SHA384()
        return key.sign(data, ec.ECDSA(digest, deterministic_signing=True))

    def _open(self) -> PrivateKey:
        if self._private is None:
            private = private_key(self._block, self._what, self._password)
            public = self._half(private)
            if self._public is not None and self._public.spki != public.spki:
                raise KeyRefused(
                    f"{self._what} is not the private half of the public key beside it "
                    f"({self._public.short})",
                    hint="remove the public file, or write it again: `cosign public-key --key …`",
                )
            self._private = private
            # What a public file says of a development key is kept.
            self._public = self._public or public
        return self._private

    def _half(self, private: PrivateKey) -> PublicKey:
        return public_half(private, self._name, development=MARK in self._block.preamble)


def make_pair(password: bytes, *, development: bool = False) -> tuple[bytes, bytes]:
    """Return a new key pair in PEM form: the private half, encrypted as cosign does, and the public one."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    cost = keybox.LEGACY if development else keybox.STANDARD
    box = keybox.seal(pkcs8, password, cost)
    sealed = pem.write(keybox.LABEL, box, preamble=MARK if development else "")
    return sealed, public_half(key, "new", development=development).pem()


def private_key(block: pem.Pem, what: str, password: Callable[[], bytes]) -> PrivateKey:
    """Open a private key.

    Args:
        block: the key's PEM block.
        what: how to name the key in an error.
        password: asked only when the key has one.

    Raises:
        KeyRefused: the password is wrong, or the bytes are not a key of a known kind.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    pkcs8, secret = block.body, None
    if block.label == _ENCRYPTED:
        secret = password()
    elif block.label != _PLAIN:
        pkcs8 = keybox.unseal(block.body, password(), what=what)
    try:
        key = load_der_private_key(pkcs8, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if secret is not None:
            raise keybox.shut(what) from None
        raise KeyRefused(f"{what} is damaged", hint="restore the key file from a copy") from None
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey)
        and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    ):
        return key
    kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
    known = ", ".join(one.name for one in ALGORITHMS)
    raise KeyRefused(
        f"{what} is of a kind that is not known here ({kind}); known: {known}",
        hint="make one with `cosign generate-key-pair`",
    )


def public_half(key: PrivateKey, name: str, *, development: bool) -> PublicKey:
    """Return the public half of a private key."""
    from cryptography.hazmat.primitives import serialization as form

    spki = key.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(spki, name, development)


def _check_label(block: pem.Pem, what: str) -> None:
    if block.label == "PUBLIC KEY":
        raise KeyRefused(
            f"{what} is a public key where the private one is needed",
            hint="name the file with the private half, usually `cosign.key`",
        )
    if block.label not in (keybox.LABEL, keybox.OLD_LABEL, _PLAIN, _ENCRYPTED):
        raise KeyRefused(
            f"{what} holds a block {block.label!r}, which is not read here",
            hint="bring it into cosign's form with `cosign import-key-pair --key …`",
        )
