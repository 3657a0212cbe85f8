"""OpenSSL reads what Lockgate signs: keys, signatures and the bytes that were signed."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lockgate.sign import dsse, keys
from lockgate.sign.keys import development_key
from tests import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def openssl() -> str:
    """Return the program."""
    return machine.program("openssl")


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program for at most a minute."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_openssl_verifies_a_signature(openssl: str, tmp_path: Path) -> None:
    """The signature over an envelope's encoding verifies with the public file, and with nothing changed."""
    signer = development_key(tmp_path / "keys")
    data, signature = tmp_path / "data", tmp_path / "data.sig"
    data.write_bytes(dsse.pae(b'{"_type":"https://in-toto.io/Statement/v1"}'))
    signature.write_bytes(signer.sign(data.read_bytes()))
    public = str(tmp_path / "keys" / keys.PUBLIC_FILE)
    verify = (openssl, "dgst", "-sha256", "-verify", public, "-signature", str(signature))
    good = run(*verify, str(data))
    assert good.returncode == 0, good.stderr
    assert good.stdout.strip() == "Verified OK"
    data.write_bytes(data.read_bytes() + b" ")
    assert run(*verify, str(data)).returncode != 0


def test_openssl_reads_a_marked_public_key(openssl: str, tmp_path: Path) -> None:
    """The line of text before the key is skipped, as RFC 7468 asks of readers."""
    development_key(tmp_path)
    found = run(
        openssl, "pkey", "-pubin", "-in", str(tmp_path / keys.PUBLIC_FILE), "-noout", "-text"
    )
    assert found.returncode == 0, found.stderr
    assert "prime256v1" in found.stdout
