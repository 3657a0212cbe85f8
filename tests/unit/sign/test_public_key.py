"""Public keys."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.base.errors import KeyRefused, SignatureInvalid
from lockgate.sign import pem
from lockgate.sign.public_key import MARK, PublicKey, short

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from lockgate.sign.keys import LocalSigner


def spki(key: PublicKeyTypes) -> bytes:
    """Return a key's DER form."""
    return key.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)


def test_survives_its_file(signer: LocalSigner) -> None:
    """A key that was written and read is the same key."""
    key = signer.public_key()
    assert PublicKey.parse(key.pem(), name=key.name) == key


def test_another_library_reads_the_file(signer: LocalSigner) -> None:
    """The PEM form is the usual one, with the mark too."""
    key = signer.public_key()
    for one in (key, PublicKey(key.spki, key.name, development=True)):
        assert spki(form.load_pem_public_key(one.pem())) == key.spki


def test_names_itself_as_cosign_does(signer: LocalSigner) -> None:
    """The hint is the sha256 of the DER form in base64 (cosign, internal/key/svkeypair.go)."""
    key = signer.public_key()
    digest = hashlib.sha256(key.spki)
    assert key.hint == base64.b64encode(digest.digest()).decode()
    assert key.fingerprint == digest.hexdigest()


def test_is_short_for_people() -> None:
    """Four bytes with colons."""
    assert short("7c1e904b" + "0" * 56) == "7c:1e:90:4b"


def test_the_mark_travels_with_the_file(signer: LocalSigner, developer: LocalSigner) -> None:
    """A copied development key is still one; another key never is."""
    copied = PublicKey.parse(developer.public_key().pem(), name="release")
    assert copied.development
    assert MARK.encode() in copied.pem()
    assert not PublicKey.parse(signer.public_key().pem(), name="x").development


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_other_algorithms_are_refused(key: PublicKeyTypes) -> None:
    """An algorithm that is not known here is said to be so, and not tried."""
    with pytest.raises(KeyRefused, match="P-256") as caught:
        PublicKey.parse(pem.write("PUBLIC KEY", spki(key)), name="other")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("PRIVATE KEY", "is a private key"),
        ("ENCRYPTED SIGSTORE PRIVATE KEY", "is a private key"),
        ("CERTIFICATE", "holds a certificate"),
    ],
)
def test_other_files_are_refused(label: str, message: str) -> None:
    """A private key or a certificate where a public key is needed is named as what it is."""
    with pytest.raises(KeyRefused, match=message):
        PublicKey.parse(pem.write(label, b"x"), name="release.pub")


def test_a_point_off_the_curve_is_refused(signer: LocalSigner) -> None:
    """A damaged key is refused when it is used."""
    key = signer.public_key()
    damaged = PublicKey(key.spki[:-1] + bytes([key.spki[-1] ^ 1]), "release")
    with pytest.raises(KeyRefused, match="no point"):
        damaged.verify(signer.sign(b"data"), b"data")


def test_verifies_its_own_signature(signer: LocalSigner, stranger: LocalSigner) -> None:
    """The right key, the right bytes; every other combination is refused."""
    signature = signer.sign(b"data")
    signer.public_key().verify(signature, b"data")
    for key, sign, data in (
        (stranger.public_key(), signature, b"data"),
        (signer.public_key(), signature, b"other"),
        (signer.public_key(), stranger.sign(b"data"), b"data"),
        (signer.public_key(), b"", b"data"),
        (signer.public_key(), signature + b"\0", b"data"),
    ):
        with pytest.raises(SignatureInvalid):
            key.verify(sign, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_bit_is_refused(signer: LocalSigner, data: st.DataObject) -> None:
    """No bit of a signature can be changed."""
    signature = bytearray(signer.sign(b"data"))
    at = data.draw(st.integers(0, len(signature) - 1))
    signature[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SignatureInvalid):
        signer.public_key().verify(bytes(signature), b"data")
