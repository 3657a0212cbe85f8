"""Read the names of a BoltDB file's buckets: what a database of advisories has a word on at all.

The format is that of `lockgate.scan.bolt`. Only the pages of the root bucket are read, which are a handful of a
file of a gigabyte.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF = 0x01, 0x02
_IS_BUCKET = 0x01
_HEADER = struct.Struct("<QHHI")
_LEAF_ELEMENT = struct.Struct("<IIII")
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_META_BODY = struct.Struct("<IIIIQQQQQ")
_ELEMENT = 16
_SIZES = (4096, 8192, 16384, 32768, 65536)
"""Page sizes of the machines that exist; the file is written with the page size of its writer's machine."""
_MOST = 4096
"""Pages that are read at most: a damaged file must not send the reader round in circles."""


def bucket_names(read: Callable[[int, int], bytes]) -> tuple[str, ...]:
    """Return the names of the root's buckets, sorted.

    Args:
        read: returns the bytes at an offset, of a length; fewer at the end of the file.

    Raises:
        UsageError: the file is not a BoltDB file, or damaged.
    """
    size, root = _newest(read)
    found: set[str] = set()
    waiting, left = [root], _MOST
    while waiting:
        left -= 1
        if left < 0:
            raise _damaged()
        try:
            kind, page = _page(read, waiting.pop(), size)
            if kind == _BRANCH:
                waiting += _children(page)
            else:
                found.update(_buckets(page))
        except struct.error:
            raise _damaged() from None
    return tuple(sorted(found))


def _newest(read: Callable[[int, int], bytes]) -> tuple[int, int]:
    """Return the size of a page and the root bucket's page, from the meta page of the newest transaction."""
    metas = []
    length = _HEADER.size + _META_BODY.size
    for at in (0, *_SIZES):
        data = read(at, length)
        if len(data) < length:
            break
        magic, version, size, _, root, _, _, _, number = _META_BODY.unpack_from(data, _HEADER.size)
        if (magic, version) == (_MAGIC, _VERSION) and size in _SIZES and at in (0, size):
            metas.append((number, size, root))
    if not metas:
        raise UsageError("it is not a BoltDB file")
    _, size, root = max(metas)
    return size, root


def _page(read: Callable[[int, int], bytes], number: int, size: int) -> tuple[int, bytes]:
    head = read(number * size, _HEADER.size)
    own, kind, _, over = _HEADER.unpack(head)
    if own != number or kind not in (_BRANCH, _LEAF) or over >= _MOST:
        raise _damaged()
    return kind, read(number * size, (over + 1) * size)


def _children(page: bytes) -> Iterator[int]:
    for at in _elements(page):
        _, _, child = _BRANCH_ELEMENT.unpack_from(page, at)
        yield child


def _buckets(page: bytes) -> Iterator[str]:
    for at in _elements(page):
        flags, position, length, _ = _LEAF_ELEMENT.unpack_from(page, at)
        if flags & _IS_BUCKET:
            name = page[at + position : at + position + length]
            if len(name) != length:
                raise _damaged()
            yield name.decode("utf-8", "replace")


def _elements(page: bytes) -> range:
    _, _, count, _ = _HEADER.unpack_from(page)
    return range(_HEADER.size, _HEADER.size + count * _ELEMENT, _ELEMENT)


def _damaged() -> UsageError:
    return UsageError("it is a damaged BoltDB file")
