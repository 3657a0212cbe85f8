"""`lockgate.scan.bolt`, read back by a reader that shares no code with it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.scan.bolt import PAGE, bolt_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reader:
    """Reads a BoltDB file as bbolt does: newest valid meta page, then pages by number."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.depth = 0
        self.kinds: set[int] = set()
        metas = [self._meta(number) for number in (0, 1)]
        _, self.root, self.free, self.pages = max(metas)

    def _meta(self, number: int) -> tuple[int, int, int, int]:
        at = number * PAGE
        page, kind, _, _ = struct.unpack_from("<QHHI", self.data, at)
        magic, version, size, _ = struct.unpack_from("<IIII", self.data, at + 16)
        root, _, free, pages, transaction = struct.unpack_from("<QQQQQ", self.data, at + 32)
        (checksum,) = struct.unpack_from("<Q", self.data, at + 72)
        total = 0xCBF29CE484222325
        for byte in self.data[at + 16 : at + 72]:
            total = (total ^ byte) * 0x100000001B3 % 2**64
        assert (page, kind, magic, version, size) == (number, 4, 0xED0CDAED, 2, PAGE)
        assert checksum == total
        return transaction, root, free, pages

    def tree(self) -> dict[bytes, Any]:
        """Return the root bucket."""
        assert len(self.data) == self.pages * PAGE
        assert struct.unpack_from("<QHHI", self.data, self.free * PAGE) == (self.free, 0x10, 0, 0)
        return self._bucket(self.root)

    def _bucket(self, root: int) -> dict[bytes, Any]:
        pairs = list(self._page(root, 1))
        keys = [key for key, _ in pairs]
        assert keys == sorted(set(keys)), "keys must ascend"
        return dict(pairs)

    def _page(self, number: int, depth: int) -> Iterator[tuple[bytes, Any]]:
        at = number * PAGE
        named, kind, count, more = struct.unpack_from("<QHHI", self.data, at)
        assert named == number
        assert at + (1 + more) * PAGE <= len(self.data)
        self.kinds.add(kind)
        self.depth = max(self.depth, depth)
        yield from self._elements(
            self.data[at : at + (1 + more) * PAGE], kind, count, depth=depth, whole=True
        )

    def _elements(
        self, page: bytes, kind: int, count: int, *, depth: int, whole: bool
    ) -> Iterator[tuple[bytes, Any]]:
        for index in range(count):
            at = 16 + 16 * index
            if kind == 2:
                flags, position, key_size, size = struct.unpack_from("<IIII", page, at)
                key = page[at + position : at + position + key_size]
                value = page[at + position + key_size : at + position + key_size + size]
                assert len(key) == key_size
                assert len(value) == size
                yield key, self._nested(value) if flags & 1 else value
            else:
                assert kind == 1
                assert whole
                position, key_size, child = struct.unpack_from("<IIQ", page, at)
                below = list(self._page(child, depth + 1))
                assert below[0][0] == page[at + position : at + position + key_size]
                yield from below

    def _nested(self, value: bytes) -> dict[bytes, Any]:
        root, _ = struct.unpack_from("<QQ", value)
        if root:
            assert len(value) == 16
            return self._bucket(root)
        page = value[16:]
        number, kind, count, more = struct.unpack_from("<QHHI", page)
        assert (number, kind, more) == (0, 2, 0)
        assert len(page) <= PAGE // 4
        return dict(self._elements(page, kind, count, depth=1, whole=False))


_keys = st.binary(min_size=1, max_size=40)
_trees = st.recursive(
    st.dictionaries(_keys, st.binary(max_size=3000), max_size=8),
    lambda inner: st.dictionaries(_keys, st.binary(max_size=300) | inner, max_size=8),
    max_leaves=12,
)


@given(_trees)
@settings(max_examples=80, deadline=None)
def test_any_tree_comes_back(tree: dict[bytes, Any]) -> None:
    """What is written is what a reader finds, for buckets and values of any size."""
    assert Reader(bolt_bytes(tree)).tree() == tree


@given(st.dictionaries(_keys, st.binary(max_size=200), max_size=30), st.randoms())
@settings(max_examples=30, deadline=None)
def test_order_of_insertion_does_not_matter(tree: dict[bytes, bytes], random: Any) -> None:
    """The same keys and values give the same bytes, in whatever order they came."""
    shuffled = list(tree.items())
    random.shuffle(shuffled)
    assert bolt_bytes({b"x": dict(shuffled)}) == bolt_bytes({b"x": tree})


def test_large_bucket_has_branch_pages() -> None:
    """A bucket of more keys than one page may count becomes a tree of several levels."""
    tree = {b"many": {b"%08d" % n: b"" for n in range(70_000)}}
    reader = Reader(bolt_bytes(tree))
    assert reader.tree() == tree
    assert reader.kinds == {1, 2}
    assert reader.depth >= 3


def test_long_keys_end_in_one_root() -> None:
    """Keys longer than a page still give levels that become shorter towards the root."""
    tree = {b"%06d" % n + b"k" * 9000: b"v" for n in range(9)}
    assert Reader(bolt_bytes(tree)).tree() == tree


def test_value_larger_than_a_page_runs_over() -> None:
    """A value of many pages stands in pages that follow each other."""
    tree: dict[bytes, Any] = {b"big": {b"a": b"x" * 50_000, b"b": b"y" * 2}, b"next": b"z"}
    assert Reader(bolt_bytes(tree)).tree() == tree


def test_small_bucket_stands_in_its_parent() -> None:
    """A small bucket takes no page: two metas, the free list and the root are all there is."""
    assert len(bolt_bytes({b"small": {b"k": b"v"}})) == 4 * PAGE


def test_empty_file_has_an_empty_root() -> None:
    """No buckets at all is a valid file."""
    assert Reader(bolt_bytes({})).tree() == {}


@pytest.mark.parametrize("key", [b"", b"k" * 32_769])
@pytest.mark.parametrize("nested", [False, True])
def test_key_that_bbolt_refuses_is_refused(key: bytes, nested: bool) -> None:
    """A key has 1 to 32768 bytes in bbolt; another one is an error, not a damaged file."""
    with pytest.raises(UsageError, match="key of"):
        bolt_bytes({b"b": {key: b"v"}} if nested else {key: b"v"})
