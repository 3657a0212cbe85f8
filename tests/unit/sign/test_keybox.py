"""cosign's encrypted private key format."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from lockgate.base.errors import KeyRefused
from lockgate.sign import keybox

BOX = {
    "kdf": {
        "name": "scrypt",
        "params": {"N": 32768, "r": 8, "p": 1},
        "salt": "WO3mVvyTwJ9vwT5/Tk5OW5WPIBUofMjcpEfrLnfY4uA=",
    },
    "cipher": {"name": "nacl/secretbox", "nonce": "tCy7HcTFr4uxv4Nrg/DWmncuZ148U1MX"},
    "ciphertext": "08n43p5G5yviPEZpO7tPPF4aZQkWiWjkv4taFdhDBA0tamKH4nw=",
}
"""A published test vector of go-securesystemslib; password `supersecret`."""


def test_opens_a_box_that_others_made() -> None:
    """The test vector of the reference implementation opens to its text."""
    found = keybox.unseal(json.dumps(BOX).encode(), b"supersecret", what="key")
    assert base64.b64decode(json.loads(found)) == b"reallyimportant"


def test_what_is_sealed_opens() -> None:
    """A box opens with its password, and no box is like another."""
    boxes = [keybox.seal(b"secret", b"pw", keybox.LEGACY) for _ in range(2)]
    assert boxes[0] != boxes[1]
    assert [keybox.unseal(one, b"pw", what="key") for one in boxes] == [b"secret", b"secret"]


def test_the_default_cost_is_cosigns() -> None:
    """A key is as hard to guess as one that cosign makes."""
    params = json.loads(keybox.seal(b"secret", b"pw"))["kdf"]["params"]
    assert params == {"N": 65536, "r": 8, "p": 1}


def test_a_wrong_password_is_refused() -> None:
    """The message says what it may be, and how to give the password."""
    with pytest.raises(KeyRefused, match="password is wrong") as caught:
        keybox.unseal(json.dumps(BOX).encode(), b"guess", what="key release")
    assert "COSIGN_PASSWORD" in caught.value.hint


def change(path: str, value: Any) -> bytes:
    """Return the box with one value changed."""
    box = json.loads(json.dumps(BOX))
    *parents, last = path.split(".")
    inner = box
    for one in parents:
        inner = inner[one]
    inner[last] = value
    return json.dumps(box).encode()


@pytest.mark.parametrize(
    "box",
    [
        b"",
        b"{}",
        b"not json",
        change("ciphertext", "###"),
        change("ciphertext", 7),
        change("cipher.nonce", "AAAA"),
        change("ciphertext", "AAAA"),
        change("kdf.salt", "AAAA"),
        json.dumps(BOX).replace('"kdf"', '"kdf":{},"kdf"').encode(),
    ],
)
def test_a_damaged_box_is_refused(box: bytes) -> None:
    """Whatever is wrong with the file, it is one clear error."""
    with pytest.raises(KeyRefused, match=r"damaged|changed") as caught:
        keybox.unseal(box, b"supersecret", what="key release")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kdf.name", "argon2"),
        ("cipher.name", "aes"),
        ("kdf.params.N", 1 << 30),
        ("kdf.params.r", 1 << 20),
        ("kdf.params.p", 0),
    ],
)
def test_unknown_parameters_are_refused_before_they_cost(path: str, value: Any) -> None:
    """A forged file cannot make the reader spend gigabytes."""
    with pytest.raises(KeyRefused, match="not known"):
        keybox.unseal(change(path, value), b"supersecret", what="key")
