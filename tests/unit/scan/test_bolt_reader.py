"""`lockgate.scan.bolt_reader`: the names of buckets, and nothing else of a file of any size."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.scan.bolt import PAGE, bolt_bytes
from lockgate.scan.bolt_reader import bucket_names

KEYS = st.text(min_size=1, max_size=40)


def names(data: bytes) -> tuple[str, ...]:
    """Return the names of the buckets in the bytes of a file."""
    return bucket_names(lambda at, length: data[at : at + length])


@given(st.sets(KEYS, max_size=200), st.sets(KEYS, max_size=20))
def test_every_bucket_is_named_and_no_value(buckets: set[str], values: set[str]) -> None:
    """Whatever a root holds, its buckets are found, and its plain values are not among them."""
    tree: dict[bytes, bytes | dict[bytes, bytes]] = {one.encode(): b"value" for one in values}
    tree |= {one.encode(): {b"key": b"value"} for one in buckets}
    assert names(bolt_bytes(tree)) == tuple(sorted(buckets))


def test_a_root_of_several_levels_is_read_whole() -> None:
    """More buckets than one page holds stand in pages below branch pages."""
    buckets = [f"debian {number:05}" for number in range(5000)]
    data = bolt_bytes({one.encode(): {b"k": b"v" * 200} for one in buckets})
    assert names(data) == tuple(buckets)


def test_the_newest_transaction_counts() -> None:
    """The two first pages take turns; the one with the higher transaction names the root."""
    old, new = bolt_bytes({b"old": {}}), bolt_bytes({b"new": {}})
    stale = bytearray(new)
    stale[PAGE : 2 * PAGE] = old[PAGE : 2 * PAGE]
    assert names(bytes(stale)) == ("new",)


@pytest.mark.parametrize("data", [b"", b"db", b"\0" * 3 * PAGE, b"SQLite format 3\0" * 1000])
def test_another_file_is_refused(data: bytes) -> None:
    """What is not a BoltDB file has no buckets that could be missing."""
    with pytest.raises(UsageError, match="not a BoltDB"):
        names(data)


@given(st.integers(0, 7 * PAGE - 1), st.integers(1, 255))
def test_a_changed_byte_ends_in_names_or_in_the_error(at: int, change: int) -> None:
    """A damaged file neither raises anything else nor keeps the reader busy."""
    data = bytearray(bolt_bytes({f"{n}".encode(): {b"k": b"v" * 100} for n in range(100)}))
    data[at % len(data)] ^= change
    with contextlib.suppress(UsageError):
        names(bytes(data))


@pytest.mark.parametrize("length", [PAGE, 3 * PAGE, 3 * PAGE + 10])
def test_a_file_that_was_cut_off_is_damaged(length: int) -> None:
    """A download that ended early is no database."""
    with pytest.raises(UsageError):
        names(bolt_bytes({b"debian 13": {b"k": b"v"}})[:length])
