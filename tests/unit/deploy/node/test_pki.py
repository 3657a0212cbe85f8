"""Keys, certificates and kubeconfigs of a cluster."""

from __future__ import annotations

import base64
import functools
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lockgate.base.errors import UsageError
from lockgate.deploy.node import pki

NOW = 1_800_000_000
PUBLIC = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@functools.cache
def made() -> dict[str, pki.File]:
    """Return the files of one cluster."""
    return pki.files(
        "dev", api="https://127.0.0.1:40001", context="lockgate-dev", now=NOW, seconds=86_400
    )


def certificate(name: str) -> x509.Certificate:
    """Return a certificate of the cluster."""
    return x509.load_pem_x509_certificate(made()[f"{pki.PKI}/{name}.crt"].data)


LEAVES = sorted(
    path.removeprefix(f"{pki.PKI}/").removesuffix(".crt")
    for path in made()
    if path.endswith(".crt") and not path.endswith("ca.crt")
)


def test_keys_are_for_root_only() -> None:
    """Whatever holds a private key can be read by its owner alone; certificates by everyone."""
    modes = {path: file.mode for path, file in made().items()}

    secret = {path for path, file in made().items() if b"PRIVATE KEY" in file.data}
    secret |= {path for path in modes if path.endswith(".conf")}
    assert {modes[path] for path in secret} == {0o600}
    assert {mode for path, mode in modes.items() if path not in secret} == {0o644}


@pytest.mark.parametrize("name", LEAVES)
def test_a_key_fits_its_certificate(name: str) -> None:
    """Each certificate is of the key beside it, signed by one of the two authorities, valid from now on."""
    found = certificate(name)

    key = load_pem_private_key(made()[f"{pki.PKI}/{name}.key"].data, None)
    assert found.public_key().public_bytes(*PUBLIC) == key.public_key().public_bytes(*PUBLIC)
    found.verify_directly_issued_by(
        certificate("front-proxy-ca" if name.startswith("front-proxy") else "ca")
    )
    assert found.not_valid_before_utc.timestamp() <= NOW
    assert found.not_valid_after_utc.timestamp() == NOW + 86_400
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_no_key_is_used_twice() -> None:
    """Every part has a key of its own."""
    keys = [
        certificate(name).public_key().public_bytes(*PUBLIC)
        for name in (*LEAVES, "ca", "front-proxy-ca")
    ]

    assert len(set(keys)) == len(keys)


def test_who_passes_requests_on_is_vouched_for_by_another_authority() -> None:
    """A client of the cluster's authority cannot pretend to be the front proxy."""
    assert certificate("ca").subject != certificate("front-proxy-ca").subject
    assert certificate("front-proxy-client").issuer == certificate("front-proxy-ca").subject


def test_the_api_server_is_known_by_its_names() -> None:
    """The names under which pods, parts and the machine call it, and no others."""
    found = certificate("apiserver").extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value

    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)
    addresses = {str(one) for one in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "10.96.0.1"}
    usage = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize(
    ("config", "user", "groups"),
    [
        ("kubelet", "system:node:dev", ["system:nodes"]),
        ("kube-proxy", "system:kube-proxy", []),
        ("scheduler", "system:kube-scheduler", []),
        ("controller-manager", "system:kube-controller-manager", []),
        ("admin", "kubernetes-admin", ["system:masters"]),
    ],
)
def test_a_kubeconfig_says_who_one_is(config: str, user: str, groups: list[str]) -> None:
    """Each kubeconfig has the certificate of one user; only the administrator's is a master."""
    found = json.loads(made()[f"{pki.FOLDER}/{config}.conf"].data)

    pem = base64.b64decode(found["users"][0]["user"]["client-certificate-data"])
    subject = x509.load_pem_x509_certificate(pem).subject
    assert [one.value for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [user]
    assert [
        one.value for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    ] == groups


def test_the_administrator_reaches_the_machines_port() -> None:
    """The kubeconfig for people names the address on loopback, and its one context."""
    found = json.loads(made()[pki.KUBECONFIG].data)

    assert found["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:40001"
    assert found["current-context"] == found["contexts"][0]["name"] == "lockgate-dev"


def test_tokens_are_signed_and_checked_by_one_key() -> None:
    """`sa.pub` is the public half of `sa.key`."""
    private = load_pem_private_key(made()[f"{pki.PKI}/sa.key"].data, None)
    public = load_pem_public_key(made()[f"{pki.PKI}/sa.pub"].data)

    assert private.public_key().public_bytes(*PUBLIC) == public.public_bytes(*PUBLIC)


def test_the_end_is_read_from_the_kubeconfig() -> None:
    """`ends` tells when the administrator's certificate ends."""
    assert pki.ends(made()[pki.KUBECONFIG].data) == NOW + 86_400


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"users": [{"user": {}}]}', b"a: b"])
def test_another_file_is_refused(text: bytes) -> None:
    """What is no kubeconfig of ours has no end that could be told."""
    with pytest.raises(UsageError) as caught:
        pki.ends(text)

    assert "inv cluster.up" in caught.value.hint
