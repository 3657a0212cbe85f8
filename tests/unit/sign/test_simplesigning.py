"""Simple signing payloads."""

from __future__ import annotations

import json

import pytest

from lockgate.base.errors import SignatureInvalid, SubjectMismatch
from lockgate.oci.digest import Digest
from lockgate.sign import simplesigning

DIGEST = Digest.of(b"image")

OF_COSIGN = (
    '{"critical":{"identity":{"docker-reference":"registry.example/app"},'
    f'"image":{{"docker-manifest-digest":"{DIGEST}"}},'
    '"type":"cosign container image signature"},"optional":null}'
).encode()
"""As `cosign sign --new-bundle-format=false` writes one."""


def build(**annotations: str) -> bytes:
    """Return a payload about one image."""
    return simplesigning.build(
        reference="registry.example/app", digest=DIGEST, annotations=annotations
    )


def test_what_is_built_is_cosigns() -> None:
    """Without annotations the bytes are those that cosign writes, `null` included."""
    assert build() == OF_COSIGN
    assert json.loads(build(stack="python"))["optional"] == {"stack": "python"}


def test_what_is_built_can_be_parsed() -> None:
    """Digest, reference and annotations come back."""
    assert simplesigning.parse(build(stack="python")) == (
        DIGEST,
        "registry.example/app",
        {"stack": "python"},
    )


@pytest.mark.parametrize("optional", [b"null", b"{}", b'{"creator":"x","timestamp":1}'])
def test_other_writers_are_read(optional: bytes) -> None:
    """What stands in `optional` is theirs to choose."""
    data = OF_COSIGN.replace(b"null", optional)
    assert simplesigning.parse(data).digest == DIGEST


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        OF_COSIGN.replace(b'"optional"', b'"more"'),
        OF_COSIGN.replace(b'"critical"', b'"critical":{},"critical"'),
        OF_COSIGN.replace(b'"image":', b'"more":1,"image":'),
        OF_COSIGN.replace(b"cosign container", b"atomic container"),
        OF_COSIGN.replace(b"sha256:", b"sha512:"),
        OF_COSIGN.replace(b"sha256:", b"SHA256:"),
        OF_COSIGN.replace(b"null", b"[]"),
        OF_COSIGN.replace(b'"docker-reference":"registry.example/app"', b""),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """Repeated or unknown fields, another type, another digest algorithm."""
    with pytest.raises(SignatureInvalid) as caught:
        simplesigning.parse(data)
    assert caught.value.hint


def test_another_image_is_a_mismatch() -> None:
    """A payload is about one digest, and only about that."""
    found = simplesigning.parse(build())
    simplesigning.check_subject(found, DIGEST)
    with pytest.raises(SubjectMismatch, match="subject is"):
        simplesigning.check_subject(found, Digest.of(b"other"))
