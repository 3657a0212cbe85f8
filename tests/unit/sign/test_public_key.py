"""Public keys."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.base.errors import KeyRefused, SignatureInvalid
from lockgate.sign import pem
from lockgate.sign.local import LocalSigner
from lockgate.sign.public_key import ED25519, MARK, PublicKey, short

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes


KEYS: dict[str, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey] = {
    "ECDSA P-256": ec.generate_private_key(ec.SECP256R1()),
    "ECDSA P-384": ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


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


@pytest.mark.parametrize("name", list(KEYS))
def test_every_known_kind_survives_its_file(name: str) -> None:
    """A key says by its bytes what it is, and its file is the usual one."""
    key = PublicKey(spki(KEYS[name].public_key()), name)
    assert key.algorithm.name == name
    assert PublicKey.parse(key.pem(), name=name) == key
    assert spki(form.load_pem_public_key(key.pem())) == key.spki


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
    ],
    ids=["P-521", "secp256k1", "Ed448", "X25519", "RSA"],
)
def test_other_algorithms_are_refused(key: PublicKeyTypes) -> None:
    """An algorithm that is not known here is said to be so, and not tried."""
    with pytest.raises(KeyRefused, match="known: ECDSA P-256, ECDSA P-384, Ed25519") as caught:
        PublicKey.parse(pem.write("PUBLIC KEY", spki(key)), name="other")
    assert caught.value.hint


@pytest.mark.parametrize("name", list(KEYS))
def test_a_key_with_bytes_behind_it_is_refused(name: str) -> None:
    """The length belongs to the kind: nothing can hide behind a key, and no key is cut short."""
    der = spki(KEYS[name].public_key())
    for changed in (der + b"\0", der[:-1]):
        with pytest.raises(KeyRefused):
            PublicKey(changed, name)


@pytest.mark.parametrize("name", ["ECDSA P-256", "ECDSA P-384"])
def test_a_compressed_point_is_refused(name: str) -> None:
    """A key has one form only, so that its fingerprint is one too."""
    private = KEYS[name]
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    point = form.PublicFormat.UncompressedPoint, form.PublicFormat.CompressedPoint
    long, compressed = (private.public_key().public_bytes(form.Encoding.X962, one) for one in point)
    with pytest.raises(KeyRefused):
        PublicKey(spki(private.public_key()).removesuffix(long) + compressed, name)


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


@pytest.mark.parametrize("name", ["ECDSA P-256", "ECDSA P-384"])
def test_a_point_off_the_curve_is_refused(name: str) -> None:
    """A damaged key is refused when it is used."""
    der = spki(KEYS[name].public_key())
    damaged = PublicKey(der[:-1] + bytes([der[-1] ^ 1]), "release")
    with pytest.raises(KeyRefused, match="no point"):
        damaged.verify(b"signature", b"data")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ECDSA P-256", hashes.SHA256(), hashes.SHA384()),
        ("ECDSA P-384", hashes.SHA384(), hashes.SHA256()),
    ],
)
def test_a_curve_has_one_hash(
    name: str, good: hashes.HashAlgorithm, bad: hashes.HashAlgorithm
) -> None:
    """SHA-256 belongs to P-256 and SHA-384 to P-384, as `cosign sign` has it; another is refused."""
    private = KEYS[name]
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    key = PublicKey(spki(private.public_key()), name)
    key.verify(private.sign(b"data", ec.ECDSA(good)), b"data")
    with pytest.raises(SignatureInvalid):
        key.verify(private.sign(b"data", ec.ECDSA(bad)), b"data")


def test_the_prehashed_form_is_read() -> None:
    """Ed25519ph, which `cosign sign` writes with these keys: the vector of RFC 8032, section 7.3."""
    raw = bytes.fromhex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
    signature = bytes.fromhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    )
    key = PublicKey(ED25519.prefix + raw, "abc")
    key.verify(signature, b"abc")
    for changed, data in ((signature, b"abd"), (signature[::-1], b"abc"), (b"", b"abc")):
        with pytest.raises(SignatureInvalid):
            key.verify(changed, data)
    # The pure form over the hash is another statement, and is none here.
    pure = ed25519.Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
    )
    with pytest.raises(SignatureInvalid):
        key.verify(pure.sign(hashlib.sha512(b"abc").digest()), b"abc")


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
@given(st.sampled_from(list(KEYS)), st.data())
def test_any_changed_bit_is_refused(name: str, data: st.DataObject) -> None:
    """No bit of a signature can be changed, whatever the key."""
    signer = make_signer(KEYS[name])
    signature = bytearray(signer.sign(b"data"))
    at = data.draw(st.integers(0, len(signature) - 1))
    signature[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SignatureInvalid):
        signer.public_key().verify(bytes(signature), b"data")


def make_signer(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> LocalSigner:
    """Return a signer with this key."""
    pkcs8 = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    return LocalSigner(
        pem.Pem("PRIVATE KEY", pkcs8, ""), what="key", name="key", password=lambda: b""
    )
