"""Key files go both ways: cosign's open here, ours open in cosign, and keys that it imports too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from tests.integration.cosign.keys import KINDS, PASSWORD, WITH_PASSWORD, pair

from lockgate.base.errors import KeyRefused
from lockgate.sign.keys import development_key, load
from lockgate.sign.local import make_pair
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cosign.conftest import Cosign


def test_a_key_that_cosign_made_signs_here(cosign: Cosign) -> None:
    """`cosign generate-key-pair`: the private half opens with its password, and only with that."""
    cosign.run("generate-key-pair")
    signer = load("cosign.key", root=cosign.home, environ=WITH_PASSWORD, ask=None)
    public = PublicKey.parse((cosign.home / "cosign.pub").read_bytes(), name="cosign")
    public.verify(signer.sign(b"data"), b"data")
    with pytest.raises(KeyRefused, match="password is wrong"):
        load("cosign.key", root=cosign.home, environ={"COSIGN_PASSWORD": "x"}, ask=None).sign(b"")


@pytest.mark.parametrize("development", [False, True])
def test_a_key_that_we_made_opens_in_cosign(development: bool, cosign: Cosign) -> None:
    """Cosign shows the public half of our private file, marked or not."""
    private, public = make_pair(PASSWORD.encode(), development=development)
    (cosign.home / "ours.key").write_bytes(private)
    shown = cosign.run("public-key", "--key", "ours.key").stdout
    expected = PublicKey.parse(public, name="ours")
    assert PublicKey.parse(shown.encode(), name="shown").spki == expected.spki
    cosign.run("public-key", "--key", "ours.key", env={"COSIGN_PASSWORD": "x"}, code=None)


def test_the_development_key_opens_in_cosign(cosign: Cosign, tmp_path: Path) -> None:
    """Its password is empty, and its file is one like every other."""
    signer = development_key(tmp_path / "keys")
    shown = cosign.run(
        "public-key", "--key", str(tmp_path / "keys" / "cosign.key"), env={"COSIGN_PASSWORD": ""}
    ).stdout
    assert PublicKey.parse(shown.encode(), name="shown").fingerprint == signer.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_opens_in_cosign(kind: str, cosign: Cosign) -> None:
    """The form is the same whatever is in it."""
    keys = pair(kind, cosign.home, "ours")
    shown = cosign.run("public-key", "--key", "ours.key").stdout
    assert PublicKey.parse(shown.encode(), name="shown").spki == keys.signer.public_key().spki


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_cosign_imported_signs_here(kind: str, cosign: Cosign) -> None:
    """`cosign import-key-pair` of PKCS#8; the original and the imported file are one key."""
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind == "Ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = ec.generate_private_key(ec.SECP256R1() if kind == "P-256" else ec.SECP384R1())
    plain = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    (cosign.home / "plain.pem").write_bytes(plain)
    flags = ("--key", "plain.pem", "--output-key-prefix", "imported", "--yes")
    cosign.run("import-key-pair", *flags)
    files = ("plain.pem", "imported.key")
    signers = [load(one, root=cosign.home, environ=WITH_PASSWORD, ask=None) for one in files]
    assert signers[0].sign(b"data") == signers[1].sign(b"data")
