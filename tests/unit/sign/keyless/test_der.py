"""DER."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.sign.keyless.instance import integer, oid, tlv

from lockgate.base.errors import SignatureInvalid
from lockgate.sign.keyless import der


def test_reads_what_others_write() -> None:
    """Elements in elements, with short and long lengths."""
    data = tlv(0x30, integer(7), tlv(0x04, b"x" * 300), oid("1.3.6.1.4.1.57264.1.8"))
    first, second, third = der.read(data).expect(der.SEQUENCE).children()
    assert der.number(first) == 7
    assert second.expect(der.OCTETS).body == b"x" * 300
    assert der.oid(third) == "1.3.6.1.4.1.57264.1.8"


@given(st.integers(0, 2**64))
def test_numbers_come_back(value: int) -> None:
    """Whatever their size."""
    assert der.number(der.read(integer(value))) == value


@given(st.lists(st.integers(0, 2**40), max_size=6), st.integers(0, 39), st.integers(0, 2))
def test_object_identifiers_come_back(rest: list[int], second: int, first: int) -> None:
    """In their dotted form."""
    text = ".".join(str(one) for one in (first, second, *rest))
    assert der.oid(der.read(oid(text))) == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x01",
        b"\x30\x00\x00",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x80" + b"x" * 128,
        b"\x30\x85\x00\x00\x00\x00\x01x",
        b"\x1f\x81\x00\x00",
    ],
)
def test_another_form_is_refused(data: bytes) -> None:
    """Cut off, followed by more, of indefinite length, of a length in a longer form, of a long tag."""
    with pytest.raises(SignatureInvalid) as caught:
        der.read(data)
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"\x06\x00", b"\x06\x01\x80", b"\x02\x00", b"\x04\x01x"])
def test_elements_that_are_none_are_refused(data: bytes) -> None:
    """An identifier or number without digits, and an element of another kind."""
    for read in (der.oid, der.number):
        with pytest.raises(SignatureInvalid):
            read(der.read(data))


@given(st.binary(max_size=40))
def test_any_bytes_are_an_element_or_one_error(data: bytes) -> None:
    """Nothing else comes of a read; what is read is all of it."""
    try:
        found = der.read(data)
    except SignatureInvalid:
        return
    assert found.raw == data
