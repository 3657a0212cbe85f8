"""DSSE envelopes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import SignatureInvalid
from lockgate.sign import bundle, dsse
from lockgate.sign.keyless import material
from lockgate.sign.statement import PAYLOAD_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_encoding_is_that_of_the_protocol() -> None:
    """The example of protocol.md."""
    found = dsse.pae(b"hello world", "http://example.com/HelloWorld")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_in_bytes() -> None:
    """Not in characters."""
    assert dsse.pae("ä".encode(), "ö") == "DSSEv1 2 ö 2 ä".encode()


@given(st.text(max_size=20), st.binary(max_size=20), st.text(max_size=20), st.binary(max_size=20))
def test_no_two_pairs_share_an_encoding(kind: str, payload: bytes, other: str, more: bytes) -> None:
    """Type and payload cannot flow into each other."""
    if (kind, payload) != (other, more):
        assert dsse.pae(payload, kind) != dsse.pae(more, other)


@given(st.binary(min_size=1, max_size=200), st.binary(min_size=1, max_size=80))
def test_what_is_built_can_be_opened(payload: bytes, signature: bytes) -> None:
    """Payload and signature come back."""
    assert dsse.open_envelope(dsse.build(payload, signature)) == (payload, signature)


@pytest.mark.parametrize("kind", ["", "text/plain", PAYLOAD_TYPE + " ", PAYLOAD_TYPE.upper()])
def test_a_payload_type_that_lies_is_refused(kind: str) -> None:
    """Only an in-toto statement is opened."""
    envelope = msgspec.structs.replace(dsse.build(b"{}", b"s"), payload_type=kind)
    with pytest.raises(SignatureInvalid, match="payload"):
        dsse.open_envelope(envelope)


@pytest.mark.parametrize("count", [0, 2])
def test_an_envelope_has_one_signature(count: int) -> None:
    """None would be unsigned, and of two nobody could say which one counts."""
    envelope = dsse.build(b"{}", b"s")
    changed = msgspec.structs.replace(envelope, signatures=envelope.signatures * count)
    with pytest.raises(SignatureInvalid, match=f"{count} signatures"):
        dsse.open_envelope(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e30",
        "e31=",
        "e30=\n",
        "*30=",
        "e30==",
        base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
    ],
)
def test_base64_has_one_form(text: str) -> None:
    """Missing padding, bits behind the end, line ends and other alphabets are refused."""
    envelope = msgspec.structs.replace(dsse.build(b"{}", b"s"), payload=text)
    with pytest.raises(SignatureInvalid, match="base64"):
        dsse.open_envelope(envelope)


@pytest.mark.parametrize("read", [dsse.parse, bundle.parse, material.parse])
def test_what_would_fill_the_memory_is_not_read(read: Callable[[bytes], object]) -> None:
    """Whoever may push can write megabytes of empty lists, each of which takes many times its bytes."""
    with pytest.raises(SignatureInvalid, match="has more than 10000 parts"):
        read(b'{"signatures":[' + b"[]," * 20_000 + b"[]]}")
