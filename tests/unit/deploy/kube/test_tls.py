"""What keys are taken, and by which proxy a server is reached."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lockgate.base.errors import UsageError
from lockgate.deploy.kube import tls
from lockgate.deploy.kube.kubeconfig import Access


def pair(password: bytes = b"") -> tuple[bytes, bytes]:
    """Return a certificate and its key, encrypted when there is a password."""
    import datetime as dt

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "me")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2036, 1, 1, tzinfo=dt.UTC))
        .sign(key, hashes.SHA256())
    )
    sealed = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed
    )


def test_a_key_is_taken() -> None:
    """It is in no file."""
    assert tls.context(b"", *pair()).cert_store_stats()


def test_a_key_with_a_password_is_refused() -> None:
    """The library would ask the terminal, and wait for ever."""
    with pytest.raises(UsageError, match="cannot be used"):
        tls.context(b"", *pair(b"password"))


@pytest.mark.parametrize("address", ["http://proxy:port", "http://[::1", "socks5://proxy:1"])
def test_a_proxy_that_is_none_is_refused(address: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match="proxy"):
        tls.proxy(Access(server="https://192.0.2.1", context="dev", proxy=address), "192.0.2.1")
