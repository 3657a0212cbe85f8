"""Write a BoltDB file, the format of Trivy's database (bbolt, format version 2).

The layout follows bbolt's `internal/common` (`page.go`, `meta.go`, `bucket.go`) and the rules by which
`node.go` and `bucket.go` fill pages. A file is a row of pages of 4096 bytes. A page starts with its number
(8 bytes), kind (2), count of elements (2) and the number of further pages that it runs over (4):

    0, 1   meta: magic, version, page size, root bucket, free list, count of pages, transaction, FNV-1a 64
    2      free list, empty
    3 …    leaf pages (keys with values) and branch pages (first keys of the pages below)

A bucket is a B+ tree of such pages. Its value in the bucket above is the number of its root page and a
sequence number; a small bucket without buckets inside stands there whole, as a page with number 0.
Numbers are little-endian: bbolt writes the machine's own order, and that is the order of every machine that
Trivy is released for. The file is written once and never changed, so there are no free pages.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_T = TypeVar("_T")

Tree: TypeAlias = "Mapping[bytes, bytes | Tree]"
"""A bucket: values and further buckets by key."""

PAGE = 4096
"""Bytes of a page. bbolt reads the size from the file, so it need not be the machine's own."""

MAX_KEY = 32768
"""bucket.go, `MaxKeySize`."""

_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META, _FREE_LIST = 0x01, 0x02, 0x04, 0x10
_IS_BUCKET = 0x01
_INLINE = PAGE // 4
_HEADER = struct.Struct("<QHHI")
_LEAF_ELEMENT = struct.Struct("<IIII")
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_BUCKET = struct.Struct("<QQ")
_META_BODY = struct.Struct("<IIIIQQQQQ")
_ELEMENT = 16


class _Item(NamedTuple):
    """One element of a leaf page."""

    key: bytes
    value: bytes
    flags: int


class _Child(NamedTuple):
    """One element of a branch page: the first key of a page and its number."""

    key: bytes
    page: int


def bolt_bytes(root: Tree) -> bytes:
    """Return a BoltDB file whose root bucket is `root`. The same tree gives the same bytes.

    Raises:
        UsageError: a key is empty or longer than bbolt takes.
    """
    pages = _Pages()
    top = pages.bucket(root)
    free_list = _HEADER.pack(2, _FREE_LIST, 0, 0).ljust(PAGE, b"\0")
    metas = [_meta(number, top, pages.count) for number in (0, 1)]
    return b"".join((*metas, free_list, *pages.written))


class _Pages:
    """Pages in the order of their numbers, from number 3 on."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.count = 3

    def bucket(self, tree: Tree) -> int:
        """Write a bucket and all buckets inside; return the number of its root page."""
        items = [self._item(key, tree[key]) for key in sorted(tree)]
        level = [
            _Child(part[0].key if part else b"", self._leaf(part))
            for part in _parts(items, [_ELEMENT + len(i.key) + len(i.value) for i in items])
        ]
        while len(level) > 1:
            level = [
                _Child(part[0].key, self._branch(part))
                for part in _parts(level, [_ELEMENT + len(child.key) for child in level])
            ]
        return level[0].page

    def _item(self, key: bytes, value: bytes | Tree) -> _Item:
        if not 0 < len(key) <= MAX_KEY:
            raise UsageError(f"a key of {len(key)} bytes cannot stand in a BoltDB file")
        if isinstance(value, bytes):
            return _Item(key, value, 0)
        return _Item(key, _inline(value) or _BUCKET.pack(self.bucket(value), 0), _IS_BUCKET)

    def _leaf(self, items: Sequence[_Item]) -> int:
        return self._page(_LEAF, len(items), _leaf_body(items))

    def _branch(self, children: Sequence[_Child]) -> int:
        elements, keys = [], b"".join(child.key for child in children)
        position = _ELEMENT * len(children)
        for child in children:
            elements.append(_BRANCH_ELEMENT.pack(position, len(child.key), child.page))
            position += len(child.key) - _ELEMENT
        return self._page(_BRANCH, len(children), b"".join(elements) + keys)

    def _page(self, kind: int, count: int, body: bytes) -> int:
        number, length = self.count, -(-(_HEADER.size + len(body)) // PAGE)
        header = _HEADER.pack(number, kind, count, length - 1)
        self.written.append((header + body).ljust(length * PAGE, b"\0"))
        self.count += length
        return number


def _leaf_body(items: Sequence[_Item]) -> bytes:
    # A position counts from the start of its own element to the key; the value follows the key.
    elements, data = [], []
    position = _ELEMENT * len(items)
    for item in items:
        elements.append(_LEAF_ELEMENT.pack(item.flags, position, len(item.key), len(item.value)))
        data += [item.key, item.value]
        position += len(item.key) + len(item.value) - _ELEMENT
    return b"".join((*elements, *data))


def _inline(tree: Tree) -> bytes:
    """Return a bucket as it stands inside its parent, or nothing when it must have its own pages."""
    items = []
    for key in sorted(tree):
        value = tree[key]
        if not isinstance(value, bytes) or not 0 < len(key) <= MAX_KEY:
            return b""
        items.append(_Item(key, value, 0))
    body = _leaf_body(items)
    if _HEADER.size + len(body) > _INLINE:
        return b""
    return _BUCKET.pack(0, 0) + _HEADER.pack(0, _LEAF, len(items), 0) + body


def _parts(entries: Sequence[_T], sizes: Sequence[int]) -> Iterator[Sequence[_T]]:
    """Cut the entries of one level into pages.

    A page takes what fits into `PAGE`, yet at least two entries, as in bbolt: a level is then always
    shorter than the one below it, however long the keys are. What does not fit makes the page run over.
    """
    start, used = 0, _HEADER.size
    for index, size in enumerate(sizes):
        left = len(entries) - index
        if used + size > PAGE and index - start >= 2 and left >= 2:
            yield entries[start:index]
            start, used = index, _HEADER.size
        used += size
    yield entries[start:]


def _meta(number: int, root: int, count: int) -> bytes:
    # The page number is the transaction number modulo two; the higher valid transaction is read.
    body = _META_BODY.pack(_MAGIC, _VERSION, PAGE, 0, root, 0, 2, count, number)
    page = _HEADER.pack(number, _META, 0, 0) + body + struct.pack("<Q", _fnv1a(body))
    return page.ljust(PAGE, b"\0")


def _fnv1a(data: bytes) -> int:
    found = 0xCBF29CE484222325
    for byte in data:
        found = ((found ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return found
