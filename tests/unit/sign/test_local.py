"""Private keys in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, utils

from lockgate.base.errors import KeyRefused
from lockgate.sign import keybox, pem
from lockgate.sign.local import LocalSigner, make_pair
from lockgate.sign.public_key import MARK, PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KEYS: dict[str, PrivateKeyTypes] = {
    "ECDSA P-256": ec.generate_private_key(ec.SECP256R1()),
    "ECDSA P-384": ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}

FORMS = ("cosign", "PKCS#8", "PKCS#8 with a password")


def written(key: PrivateKeyTypes, how: str) -> bytes:
    """Return a key's file; its password is `pw` where it has one."""
    kept: form.KeySerializationEncryption = form.NoEncryption()
    if how == "PKCS#8 with a password":
        kept = form.BestAvailableEncryption(b"pw")
    if how != "cosign":
        return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, kept)
    pkcs8 = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, kept)
    return pem.write(keybox.LABEL, keybox.seal(pkcs8, b"pw", keybox.LEGACY))


def signer_of(data: bytes, password: bytes | None = None, **more: PublicKey) -> LocalSigner:
    """Return the signer of a file; without a password none may be asked for."""

    def ask() -> bytes:
        assert password is not None, "a password was asked for"
        return password

    block = pem.parse(data, what="key release")
    return LocalSigner(block, what="key release", name="release", password=ask, **more)


@pytest.mark.parametrize("how", FORMS)
@pytest.mark.parametrize("name", list(KEYS))
def test_every_kind_is_read_in_every_form(name: str, how: str) -> None:
    """Each kind of key opens from each form, and its halves belong together."""
    signer = signer_of(written(KEYS[name], how), None if how == "PKCS#8" else b"pw")
    assert signer.public_key().algorithm.name == name
    signer.public_key().verify(signer.sign(b"data"), b"data")


@pytest.mark.parametrize("name", list(KEYS))
def test_signs_the_same_bytes_each_time(name: str) -> None:
    """RFC 6979 and RFC 8032: a signature depends on key and data alone."""
    data = written(KEYS[name], "PKCS#8")
    assert signer_of(data).sign(b"data") == signer_of(data).sign(b"data")
    assert signer_of(data).sign(b"data") != signer_of(data).sign(b"other")


VECTORS = {
    "P-256": (
        ec.SECP256R1(),
        0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721,
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
    ),
    "P-384": (
        ec.SECP384R1(),
        0x6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5,
        0x94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46,
    ),
}
"""RFC 6979, sections A.2.5 and A.2.6: curve, private key, and r of the signature over "sample"."""


@pytest.mark.parametrize("name", list(VECTORS))
def test_signs_as_rfc_6979_says(name: str) -> None:
    """The published vectors, with the hash that belongs to each curve."""
    curve, secret, r = VECTORS[name]
    key = ec.derive_private_key(secret, curve)
    signature = signer_of(written(key, "PKCS#8")).sign(b"sample")
    assert utils.decode_dss_signature(signature)[0] == r


@pytest.mark.parametrize("how", ["cosign", "PKCS#8 with a password"])
@pytest.mark.parametrize("password", [b"guess", b""])
def test_a_wrong_password_is_refused(how: str, password: bytes) -> None:
    """The key stays shut, with exit code 4, whichever form it has."""
    with pytest.raises(KeyRefused, match="password is wrong") as caught:
        signer_of(written(KEYS["ECDSA P-256"], how), password).sign(b"data")
    assert caught.value.exit_code == 4
    assert "COSIGN_PASSWORD" in caught.value.hint


@pytest.mark.parametrize("label", ["EC PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE"])
def test_other_blocks_are_refused(label: str) -> None:
    """What is not read here says how to bring it into a form that is."""
    with pytest.raises(KeyRefused, match="not read here") as caught:
        signer_of(pem.write(label, b"x"))
    assert "import-key-pair" in caught.value.hint


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-521", "Ed448", "RSA"],
)
def test_other_algorithms_are_refused(key: PrivateKeyTypes) -> None:
    """An algorithm that is not known here is refused before anything is signed."""
    with pytest.raises(KeyRefused, match="known: ECDSA P-256, ECDSA P-384, Ed25519"):
        signer_of(written(key, "PKCS#8")).sign(b"data")


@pytest.mark.parametrize("label", ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])
def test_a_damaged_key_is_refused(label: str) -> None:
    """PKCS#8 that is none is one clear error."""
    with pytest.raises(KeyRefused, match=r"damaged|changed"):
        signer_of(pem.write(label, b"x" * 40), b"pw").sign(b"data")


def test_a_foreign_public_half_is_refused() -> None:
    """When the public half beside a key is another one's, nothing is signed."""
    other = signer_of(written(KEYS["Ed25519"], "PKCS#8")).public_key()
    with pytest.raises(KeyRefused, match="not the private half"):
        signer_of(written(KEYS["ECDSA P-384"], "PKCS#8"), public=other).sign(b"data")


def test_a_marked_public_half_stays_marked() -> None:
    """Opening a development key does not make it another one, when only its public file has the mark."""
    data = written(KEYS["Ed25519"], "PKCS#8")
    bare = signer_of(data).public_key()
    signer = signer_of(data, public=PublicKey(bare.spki, bare.name, development=True))
    signer.sign(b"data")
    assert signer.development


def test_a_new_pair_is_cosigns() -> None:
    """A pair that is made here is one on P-256, in cosign's form, marked when it is for development."""
    private, public = make_pair(b"pw", development=True)
    signer = signer_of(private, b"pw")
    assert signer.development
    assert PublicKey.parse(public, name="new").spki == signer.public_key().spki
    assert signer.public_key().algorithm.name == "ECDSA P-256"
    assert private.startswith(MARK.encode())
