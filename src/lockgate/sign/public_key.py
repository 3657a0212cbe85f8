"""Public keys: ECDSA on P-256 and P-384, and Ed25519, each with the hash that cosign takes for it.

Names, fingerprints and comparing cost no cryptography library; only `verify` loads it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from lockgate.base.errors import KeyRefused, SignatureInvalid
from lockgate.sign import pem

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

MARK = "Lockgate development key: made on this machine, for this machine."
"""First line of both files of a development key. Every reader of PEM skips it, and it goes where the file
goes, so that a copied public key is still known for what it is."""


class Algorithm(NamedTuple):
    """A kind of key, with the one way in which it signs (Sigstore, docs/algorithm-registry.md)."""

    name: str
    """For people: `ECDSA P-256`."""
    prefix: bytes
    """SubjectPublicKeyInfo up to the point or the key."""
    size: int
    """Bytes of SubjectPublicKeyInfo altogether."""


P256 = Algorithm(
    "ECDSA P-256", bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), 91
)
"""With SHA-256; an uncompressed point (RFC 5480, section 2)."""

P384 = Algorithm(
    "ECDSA P-384", bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), 120
)
"""With SHA-384; an uncompressed point (RFC 5480, section 2)."""

ED25519 = Algorithm("Ed25519", bytes.fromhex("302a300506032b6570032100"), 44)
"""RFC 8410, section 4."""

ALGORITHMS = (P256, P384, ED25519)
"""Every kind that is read. The bytes of a key say which it is, so nothing else has to be believed."""

_P256_POINT, _P384_POINT = 65, 97
"""Bytes of an uncompressed point."""


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
        if not any(
            self.spki.startswith(one.prefix) and len(self.spki) == one.size for one in ALGORITHMS
        ):
            known = ", ".join(one.name for one in ALGORITHMS)
            raise KeyRefused(
                f"key {self.name} is of a kind that is not known here; known: {known}",
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
    def algorithm(self) -> Algorithm:
        """What kind of key it is."""
        return next(one for one in ALGORITHMS if self.spki.startswith(one.prefix))

    @property
    def fingerprint(self) -> str:
        """The sha256 of the key's DER form, in 64 hexadecimal digits."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def short(self) -> str:
        """For people only: `7c:1e:90:4b`."""
        return short(self.fingerprint)

    @property
    def label(self) -> str:
        """How it is shown: `key 7c:1e:90:4b (release)`."""
        return f"key {self.short} ({self.name})"

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
        verifiers: dict[Algorithm, Callable[[bytes, bytes], bool]] = {
            P256: self._verify_ecdsa,
            P384: self._verify_ecdsa,
            ED25519: self._verify_ed25519,
        }
        if not verifiers[self.algorithm](signature, data):
            raise self._invalid()

    def _invalid(self) -> SignatureInvalid:
        return SignatureInvalid(
            f"a signature does not verify with {self.label}",
            hint="what was signed or its signature was changed: run `inv sign` again",
        )

    def verify_digest(self, signature: bytes, digest: bytes) -> None:
        """Return when `signature` is this key's over data of which only the sha256 is known.

        Raises:
            SignatureInvalid: it is not, or such a key signs no sha256.
        """
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
        from cryptography.hazmat.primitives.hashes import SHA256

        if self.algorithm != P256 or not self._verify_ecdsa(signature, digest, Prehashed(SHA256())):
            raise self._invalid()

    def _verify_ecdsa(
        self, signature: bytes, data: bytes, prehashed: Prehashed | None = None
    ) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        digest = hashes.SHA256() if self.algorithm == P256 else hashes.SHA384()
        try:
            key = _point(self.spki)
        except ValueError:
            raise KeyRefused(
                f"key {self.name} is damaged: it is no point of its curve", hint="restore its file"
            ) from None
        try:
            key.verify(signature, data, ec.ECDSA(prehashed or digest))
        except InvalidSignature:
            return False
        return True

    def _verify_ed25519(self, signature: bytes, data: bytes) -> bool:
        """Check a signature by Ed25519, or by Ed25519ph, which `cosign sign` uses with these keys.

        One key may serve both: RFC 8032 (section 5.1, `dom2`) puts a prefix before the prehashed form, so
        that a signature of one kind is never one of the other.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        raw = self.spki[len(ED25519.prefix) :]
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, data)
        except InvalidSignature:
            return _verify_prehashed(raw, signature, data)
        return True


@functools.lru_cache(maxsize=64)
def _point(spki: bytes) -> EllipticCurvePublicKey:
    """Return an ECDSA key as the library has it; keys that sign much are opened once.

    Raises:
        ValueError: it is no point of its curve.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    if spki.startswith(P256.prefix):
        curve, point = ec.SECP256R1(), spki[-_P256_POINT:]
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), spki[-_P384_POINT:])


def _verify_prehashed(key: bytes, signature: bytes, data: bytes) -> bool:
    from nacl import bindings
    from nacl.exceptions import BadSignatureError

    if len(signature) != bindings.crypto_sign_BYTES:
        return False
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, data)
    try:
        return bindings.crypto_sign_ed25519ph_final_verify(state, signature, key)
    except BadSignatureError:
        return False


def short(fingerprint: str) -> str:
    """Return the first four bytes of a fingerprint for people: `7c:1e:90:4b`."""
    return ":".join(fingerprint[at : at + 2] for at in range(0, 8, 2))
