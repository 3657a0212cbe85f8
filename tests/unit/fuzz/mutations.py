"""Damage for bytes: what a careless writer, a broken disk or somebody who means harm would make of them."""

from __future__ import annotations

import base64
import binascii
import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TOKENS = (
    *(
        b"\0",
        b"\0" * 512,
        b"\xff" * 8,
        b"\n",
        b"\r\n",
        b"\n\n",
        b" ",
        b'"',
        b"'",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(
        b",",
        b":",
        b"=",
        b"-",
        b"--",
        b"..",
        b"/",
        b"//",
        b"../",
        b"%",
        b"&",
        b"*",
        b"<<: ",
        b"#",
        b"|",
        b"!!",
    ),
    *(
        b"0",
        b"-1",
        b"9" * 20,
        b"9" * 5000,
        b"1e999",
        b"0x",
        b"NaN",
        b"null",
        b"true",
        b"1_0",
        b"\xef\xbb\xbf",
    ),
    *("\u2014", "\u2028", "\ud7ff", "\U0001f600", "\u0660"),
    *(
        rb"\ud800",
        rb"\u0000",
        b"[" * 300,
        b"{" * 300,
        b"- " * 300,
        b"(" * 300,
        b"\x30\x80",
        b"\x30\x84\xff\xff\xff\xff",
    ),
)
"""What parsers trip over, in no order."""

PIECES = tuple(one.encode() if isinstance(one, str) else one for one in TOKENS)

VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        2**31,
        2**63,
        2**64,
        10**30,
        10**4000,
        1.5,
        1e308,
        float("inf"),
        "",
        " ",
        "\0",
    ),
    *(
        "x" * 3000,
        "9" * 5000,
        "\ud800",
        "../..",
        "-",
        "=",
        "AAAA",
        "AAA",
        "\n",
        "sha256:" + "0" * 64,
        "2026-11-20",
    ),
    *([], {}, [[]], [None], {"": None}, ["a"] * 40, [{}] * 40),
)
"""What stands in a document where something else should."""

DEEP = "deep"
"""Stands for a list in a list in a list, which no JSON writer of the library writes."""


def bytes_like(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return seeds with a few changes of bytes: flipped, cut, doubled, inserted, mixed with another seed."""
    edit = st.tuples(
        st.integers(0, 6), st.floats(0, 1), st.integers(0, 255), st.sampled_from(PIECES)
    )

    def apply(seed: bytes, other: bytes, edits: list[tuple[int, float, int, bytes]]) -> bytes:
        data = bytearray(seed)
        for kind, place, value, piece in edits:
            at = int(place * len(data))
            _edit(data, kind, at, value, piece, other)
        return bytes(data)

    return st.builds(
        apply,
        st.sampled_from(seeds),
        st.sampled_from(seeds),
        st.lists(edit, min_size=1, max_size=4),
    )


def _edit(data: bytearray, kind: int, at: int, value: int, piece: bytes, other: bytes) -> None:
    if kind == 0 and at < len(data):
        data[at] ^= 1 << value % 8
    elif kind == 1 and at < len(data):
        data[at] = value
    elif kind == 2:
        data[at:at] = piece
    elif kind == 3:
        del data[at : at + value]
    elif kind == 4:
        data[at:at] = data[at : at + value]
    elif kind == 5:
        del data[at:]
    else:
        data[at:] = other[int(len(other) * at / (len(data) + 1)) :]


def json_like(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return JSON documents with a few values replaced, removed, repeated, or, where they are base64, damaged inside."""
    documents = [json.loads(one) for one in seeds]
    change = st.tuples(
        st.integers(0, 5), st.floats(0, 1), st.sampled_from(VALUES), st.integers(0, 2**16)
    )

    def apply(document: Any, changes: list[tuple[int, float, Any, int]]) -> bytes:
        found = [copy.deepcopy(document)]
        for kind, place, value, salt in changes:
            spots = list(_spots(found))
            holder, key = spots[int(place * (len(spots) - 1))]
            _change(holder, key, kind, value, salt)
        text = json.dumps(found[0], allow_nan=True)
        return text.replace(f'"{DEEP}"', "[" * 250 + "]" * 250).encode()

    return st.builds(apply, st.sampled_from(documents), st.lists(change, min_size=1, max_size=3))


def _spots(value: Any) -> Any:
    """Yield every place in a document, as what holds it and its key there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in list(items):
        yield value, key
        if isinstance(one, dict | list):
            yield from _spots(one)


def _change(holder: Any, key: Any, kind: int, value: Any, salt: int) -> None:
    old = holder[key]
    if kind == 0:
        holder[key] = copy.deepcopy(value)
    elif kind == 1 and isinstance(holder, dict):
        del holder[key]
    elif kind == 2 and isinstance(holder, dict):
        holder[f"{key}x"] = copy.deepcopy(old)
    elif kind == 3 and isinstance(holder, list):
        holder.append(copy.deepcopy(old))
    elif kind == 4:
        holder[key] = DEEP
    elif isinstance(old, str):
        holder[key] = _damaged(old, salt)
    else:
        holder[key] = [old]


def _damaged(text: str, salt: int) -> str:
    """Return a text with one change: in what it encodes when it is base64, else in itself."""
    try:
        data = bytearray(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        data = bytearray()
    if len(data) > 8:
        at = salt % len(data)
        if salt % 5 == 0:
            del data[at:]
        elif salt % 5 == 1:
            data[at:at] = PIECES[salt % len(PIECES)]
        else:
            data[at] ^= 1 << salt % 7
        return base64.b64encode(bytes(data)).decode()
    at = salt % (len(text) + 1)
    return text[:at] + PIECES[salt % len(PIECES)].decode("utf-8", "replace") + text[at + salt % 3 :]


def tar_like(
    seeds: Sequence[bytes], pack: Callable[[bytes], bytes] = bytes
) -> st.SearchStrategy[bytes]:
    """Return tar archives whose headers are damaged in their fields, with the checksum that belongs to them."""
    field = st.sampled_from(
        [
            (0, 100),
            (100, 8),
            (108, 8),
            (116, 8),
            (124, 12),
            (136, 12),
            (156, 1),
            (157, 100),
            (257, 8),
            (345, 155),
        ]
    )
    content = st.sampled_from(
        [
            *(
                b"",
                b"\0",
                b"0",
                b"7" * 11,
                b"-1",
                b"\x80" + b"\0" * 10 + b"\x09",
                b"\xff" * 12,
                b"1_0",
            ),
            *(
                b"/etc/x",
                b"../x",
                b"a/../../x",
                b".wh.x",
                b".wh..wh..opq",
                b".",
                b"a\xff",
                b"g",
                b"x",
                b"L",
                b"K",
            ),
            *(b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"V", b"M", b"X"),
        ]
    )
    edit = st.tuples(st.floats(0, 1), field, content)

    def apply(seed: bytes, edits: list[tuple[float, tuple[int, int], bytes]]) -> bytes:
        data = bytearray(seed)
        heads = [
            at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"
        ]
        for place, (start, size), text in edits:
            at = heads[int(place * (len(heads) - 1))]
            data[at + start : at + start + size] = text[:size].ljust(size, b"\0")
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        return pack(bytes(data))

    damaged = bytes_like(seeds).map(pack)
    return st.one_of(
        st.builds(apply, st.sampled_from(seeds), st.lists(edit, min_size=1, max_size=3)), damaged
    )
