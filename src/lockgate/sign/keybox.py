"""The encrypted private key format of cosign: PKCS#8 in a NaCl secretbox whose key scrypt derives.

The box is JSON with the fields `kdf`, `cipher` and `ciphertext` (go-securesystemslib, package `encrypted`),
and stands base64-encoded in a PEM block.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import NamedTuple

from lockgate.base.canonical import Foreign, decode, encode
from lockgate.base.errors import KeyRefused, UsageError

LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
OLD_LABEL = "ENCRYPTED COSIGN PRIVATE KEY"


class Cost(NamedTuple):
    """Parameters of scrypt (RFC 7914, section 2)."""

    n: int
    r: int
    p: int


LEGACY = Cost(32768, 8, 1)
STANDARD = Cost(65536, 8, 1)
OWASP = Cost(131072, 8, 1)

_KNOWN = (LEGACY, STANDARD, OWASP)
"""What cosign accepts. Other parameters are refused: a forged file could ask for any amount of memory."""


class _Params(Foreign, frozen=True):
    N: int
    r: int
    p: int


class _Kdf(Foreign, frozen=True):
    name: str
    params: _Params
    salt: str


class _Cipher(Foreign, frozen=True):
    name: str
    nonce: str


class _Box(Foreign, frozen=True):
    kdf: _Kdf
    cipher: _Cipher
    ciphertext: str


def seal(pkcs8: bytes, password: bytes, cost: Cost = STANDARD) -> bytes:
    """Return the box that holds a private key, with a fresh salt and nonce."""
    from nacl.secret import SecretBox

    salt, nonce = os.urandom(32), os.urandom(SecretBox.NONCE_SIZE)
    sealed = SecretBox(_derive(password, salt, cost)).encrypt(pkcs8, nonce).ciphertext
    params = {"N": cost.n, "r": cost.r, "p": cost.p}
    return encode(
        {
            "kdf": {"name": "scrypt", "params": params, "salt": _text(salt)},
            "cipher": {"name": "nacl/secretbox", "nonce": _text(nonce)},
            "ciphertext": _text(sealed),
        }
    )


def unseal(box: bytes, password: bytes, *, what: str) -> bytes:
    """Return the private key in a box, PKCS#8 in DER.

    Raises:
        KeyRefused: the password is wrong, or the bytes are not such a box.
    """
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        found = decode(box, _Box, what=what)
        params = found.kdf.params
        cost = Cost(params.N, params.r, params.p)
        salt = base64.b64decode(found.kdf.salt, validate=True)
        nonce = base64.b64decode(found.cipher.nonce, validate=True)
        sealed = base64.b64decode(found.ciphertext, validate=True)
    except (UsageError, ValueError):
        raise _damaged(what) from None
    if (found.kdf.name, found.cipher.name) != ("scrypt", "nacl/secretbox") or cost not in _KNOWN:
        raise KeyRefused(
            f"{what} is encrypted in a way that is not known: {found.kdf.name} {tuple(cost)}, "
            f"{found.cipher.name}",
            hint="make a key with `cosign generate-key-pair`",
        )
    if len(nonce) != SecretBox.NONCE_SIZE:
        raise _damaged(what)
    try:
        return SecretBox(_derive(password, salt, cost)).decrypt(sealed, nonce)
    except (CryptoError, ValueError):
        raise shut(what) from None


def shut(what: str) -> KeyRefused:
    """Return the error of a key that its password does not open."""
    return KeyRefused(
        f"{what} does not open: the password is wrong, or the file was changed",
        hint="set `COSIGN_PASSWORD` to the key's password",
    )


def _derive(password: bytes, salt: bytes, cost: Cost) -> bytes:
    # OpenSSL counts its own tables against maxmem, so the limit is a little above 128 * N * r.
    memory = 128 * cost.n * cost.r + (1 << 20)
    return hashlib.scrypt(
        password, salt=salt, n=cost.n, r=cost.r, p=cost.p, dklen=32, maxmem=memory
    )


def _damaged(what: str) -> KeyRefused:
    return KeyRefused(f"{what} is damaged", hint="restore the key file from a copy")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
