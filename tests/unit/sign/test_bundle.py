"""Sigstore bundles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import SignatureInvalid
from lockgate.sign import bundle


def changed(**changes: Any) -> bytes:
    """Return a bundle with other fields; a name with `__` reaches into an object."""
    content: Any = json.loads(bundle.build(b"{}", b"s", "hint"))
    for name, value in changes.items():
        *parents, last = name.split("__")
        inner = content
        for one in parents:
            inner = inner[one]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return json.dumps(content).encode()


@given(st.binary(min_size=1), st.binary(min_size=1), st.text(min_size=1))
def test_what_is_built_can_be_parsed(payload: bytes, signature: bytes, hint: str) -> None:
    """Payload, signature and hint come back."""
    found = bundle.parse(bundle.build(payload, signature, hint))
    assert found == bundle.Bundle(payload, signature, hint)


def test_the_form_is_that_of_cosign() -> None:
    """sigstore_bundle.proto in its JSON form, with the fields that cosign v3 fills for a key."""
    assert json.loads(bundle.build(b"{}", b"s", "hint")) == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "hint"}},
        "dsseEnvelope": {
            "payload": "e30=",
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": "cw=="}],
        },
    }


def test_log_entries_are_let_through() -> None:
    """Other writers add what a key does not need; it is not evidence and not an error."""
    data = changed(
        verificationMaterial__tlogEntries=[{"logIndex": "1"}],
        verificationMaterial__timestampVerificationData={},
    )
    assert bundle.parse(data).payload == b"{}"


def test_a_certificate_is_recognised() -> None:
    """It is not read here: a bundle without a key's name is one for whoever reads certificates."""
    data = changed(verificationMaterial={"certificate": {"rawBytes": "cw=="}})
    assert bundle.parse(data).hint == ""


def test_an_equal_key_id_is_let_through() -> None:
    """sigstore_bundle.proto: both hints must be the same."""
    signatures = [{"sig": "cw==", "keyid": "hint"}]
    assert bundle.parse(changed(dsseEnvelope__signatures=signatures)).hint == "hint"
    with pytest.raises(SignatureInvalid, match="two keys"):
        bundle.parse(changed(dsseEnvelope__signatures=[{"sig": "cw==", "keyid": "other"}]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"not json",
        bundle.build(b"{}", b"s", "h")[:-1],
        bundle.build(b"{}", b"s", "h").replace(b'"mediaType"', b'"mediaType":"x","mediaType"'),
        bundle.build(b"{}", b"s", "h").replace(b'"payload"', b'"payload":"e30=","payload"'),
        changed(mediaType="application/vnd.dev.sigstore.bundle.v0.4+json"),
        changed(mediaType=...),
        changed(more=1),
        changed(dsseEnvelope=...),
        changed(dsseEnvelope__more=1),
        changed(dsseEnvelope__payload=7),
        changed(dsseEnvelope__payloadType="text/plain"),
        changed(dsseEnvelope__signatures=[]),
        changed(messageSignature={"signature": "cw=="}),
        changed(verificationMaterial={}),
        changed(verificationMaterial=...),
        changed(verificationMaterial={"publicKey": {"hint": ""}}),
        changed(verificationMaterial__certificate={"rawBytes": "cw=="}),
        changed(verificationMaterial__x509CertificateChain={"certificates": []}),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """What is not exactly a bundle with a key and a DSSE envelope is not to be trusted, exit 4."""
    with pytest.raises(SignatureInvalid) as caught:
        bundle.parse(data)
    assert caught.value.exit_code == 4
    assert caught.value.hint
