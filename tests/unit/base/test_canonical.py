"""Canonical bytes: one value, one text; strict in both directions."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.canonical import Foreign, Record, decode, encode, loads
from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest


class Pet(Record, frozen=True):
    """A record."""

    name: str
    legs: int
    friends: tuple[str, ...] = ()


class Guest(Foreign, frozen=True):
    """Others' object."""

    name: str


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_survives_the_round_trip(value: Any) -> None:
    """What is encoded and read again is equal."""
    assert loads(encode(value)) == value


@given(TEXT, st.integers(), st.lists(TEXT))
def test_a_record_survives_the_round_trip(name: str, legs: int, friends: list[str]) -> None:
    """A record is read back as an equal record."""
    pet = Pet(name=name, legs=legs, friends=tuple(friends))
    assert decode(encode(pet), Pet) == pet


@given(st.dictionaries(TEXT, st.integers()), st.randoms(use_true_random=False))
def test_the_order_of_insertion_does_not_count(value: dict[str, int], random: Any) -> None:
    """The same mapping built in another order gives the same bytes."""
    items = list(value.items())
    random.shuffle(items)
    assert encode(dict(items)) == encode(value)


@given(VALUES)
def test_the_form_is_the_one_promised(value: Any) -> None:
    """Keys sorted by code point, no white space, UTF-8 as it is: as `json` writes it with those settings."""
    expected = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert encode(value) == expected.encode()


def test_nested_keys_are_sorted() -> None:
    """Sorting reaches every level, fields of records included."""
    value = {"z": {"b": 1, "a": Pet(name="x", legs=1)}, "a": 0}
    assert encode(value) == b'{"a":0,"z":{"a":{"friends":[],"legs":1,"name":"x"},"b":1}}'


def test_sets_have_one_order() -> None:
    """A set's bytes do not depend on the hash seed."""
    assert encode({"b", "a", "c"}) == b'["a","b","c"]'


def test_a_digest_is_text() -> None:
    """A subclass of `str` is written as its text, as value and as key."""
    digest = Digest.of(b"")
    assert encode({digest: [digest]}) == f'{{"{digest}":["{digest}"]}}'.encode()


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), float("inf"), [0.5], {"a": {"b": (1, 2.0)}}, {"s": {1.5}}]
)
def test_floats_are_refused(value: Any) -> None:
    """No float reaches canonical bytes, however deep it lies."""
    with pytest.raises(TypeError, match="float"):
        encode(value)


@pytest.mark.parametrize("value", ["\ud800", {"\udc80": 1}, ["a", "x\udfff"]])
def test_half_a_surrogate_pair_is_refused(value: Any) -> None:
    """Text that is not Unicode (a file name that is not UTF-8) has no canonical bytes."""
    with pytest.raises(TypeError, match="surrogate"):
        encode(value)


def test_a_type_without_json_form_is_refused() -> None:
    """An unknown type is an error, not its `repr`."""
    with pytest.raises(TypeError, match="object"):
        encode([object()])


def test_duplicate_keys_are_refused() -> None:
    """Two equal keys in one object are two answers to one question."""
    with pytest.raises(UsageError, match="'name' stands twice"):
        decode(b'{"name":"a","legs":4,"name":"b"}', Pet)


def test_a_repeated_key_among_many_is_found_at_once() -> None:
    """What a registry serves may have hundreds of thousands of keys; comparing each with all takes an hour."""
    keys = ",".join(f'"{number}":0' for number in range(200_000))
    started = time.process_time()
    with pytest.raises(UsageError, match="'7' stands twice"):
        loads(f'{{{keys},"7":1}}'.encode())
    assert time.process_time() - started < 60


def test_duplicate_keys_are_refused_at_depth_and_when_escaped() -> None:
    """An escape does not hide that a key stands twice."""
    with pytest.raises(UsageError, match="twice"):
        loads(b'[{"x":{"a":1,"\\u0061":2}}]')


def test_unknown_fields_of_records_are_refused() -> None:
    """A record of a later version is not half understood."""
    with pytest.raises(UsageError, match="tail"):
        decode(b'{"name":"a","legs":4,"tail":1}', Pet)


def test_unknown_fields_of_foreign_objects_are_tolerated() -> None:
    """What others define may grow."""
    assert decode(b'{"name":"a","new":[1]}', Guest) == Guest(name="a")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b'{"name":1,"legs":4}', "name"),
        (b'{"name":"a","legs":"4"}', "legs"),
        (b'{"name":"a","legs":4.0}', "legs"),
        (b'{"name":"a","legs":true}', "legs"),
        (b'{"name":"a"}', "legs"),
        (b'{"name":"a","legs":1,"friends":[1]}', "friends"),
    ],
)
def test_a_wrong_type_names_the_field(data: bytes, named: str) -> None:
    """The error says what was read and which field is wrong."""
    with pytest.raises(UsageError, match=rf"^pet\.json is not valid: .*{named}") as caught:
        decode(data, Pet, what="pet.json")
    assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1}x',
        b"[1,]",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"'a'",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'"\\ud800"',
        b'{"\\uDFFF":1}',
        b"1" * 5000,
    ],
)
def test_what_is_not_json_is_refused(data: bytes) -> None:
    """Not JSON, not UTF-8, another encoding of Unicode, NaN, half a surrogate pair, an endless number."""
    with pytest.raises(UsageError, match=r"^thing is not readable as JSON"):
        loads(data, what="thing")


def test_a_whole_surrogate_pair_is_text() -> None:
    """An escaped character beyond U+FFFF is read."""
    assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("unit", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(unit: bytes) -> None:
    """A hundred thousand brackets are an error of the input, not a crash."""
    with pytest.raises(UsageError, match="nested too deeply"):
        decode(unit * 100_000, dict[str, Any])


@given(st.binary())
def test_any_bytes_give_a_value_or_a_usage_error(data: bytes) -> None:
    """No bytes make the reader fail in another way, and what it reads can be written."""
    try:
        found = loads(data)
    except UsageError:
        return
    assert isinstance(found, (float, list, dict)) or loads(encode(found)) == found


def test_records_are_frozen() -> None:
    """A record cannot be changed after it was hashed."""
    with pytest.raises(AttributeError):
        Pet(name="a", legs=1).legs = 2  # type: ignore[misc]
