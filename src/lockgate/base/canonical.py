"""Canonical bytes and the records that are made of them.

A record is a frozen value with one JSON form: keys sorted, no white space, UTF-8, no floats. The same record
gives the same bytes on every machine, so a record's bytes may be hashed, compared and signed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, TypeVar

import msgspec

from lockgate.base.errors import UsageError

T = TypeVar("T")

_HINT = "make it again with the command that wrote it, or get it again from where it came"

MAX_DEPTH = 200
"""Most lists and objects inside of one another. Python's own bound differs between its versions and with the depth
of the caller; below this one, what was read can be walked through and written again."""

_TEXT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_NO_BRACKET = re.compile(r"[^\[\]]+")
_BRACKETS = str.maketrans("{}", "[]")

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that is half of a pair, or the first of one that is whole."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every record that a stage takes or returns. Unknown fields are refused on reading."""


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """Base of JSON objects that others define (OCI, in-toto). Unknown fields are tolerated."""


def encode(value: object) -> bytes:
    """Return the canonical JSON of a record or plain value: sorted keys, no spaces, UTF-8.

    Raises:
        TypeError: the value holds a float, text that is not Unicode, or a type without a JSON form.
    """
    plain = msgspec.to_builtins(value, str_keys=True, order="sorted", enc_hook=_as_text)
    _refuse_floats(plain)
    text = json.dumps(
        plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise TypeError("a canonical value holds half of a surrogate pair") from None


def _as_text(value: object) -> str:
    # msgspec knows `str` but none of its subclasses, such as `oci.digest.Digest`.
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def _refuse_floats(value: Any) -> None:
    # Two JSON writers rarely agree on a float's text, so no float may reach bytes that are signed.
    if isinstance(value, float):
        raise TypeError(f"a canonical value holds the float {value!r}")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)


def decode(data: bytes, kind: type[T], *, what: str = "record") -> T:
    """Parse JSON bytes into `kind`, refusing duplicate keys, unknown record fields and wrong types.

    Args:
        data: the bytes as read.
        kind: a `Record`, a `Foreign` struct, or any type that msgspec knows.
        what: how to name the input in an error.

    Raises:
        UsageError: the bytes are not such a value; the message names the field.
    """
    return convert(loads(data, what=what), kind, what=what)


def convert(found: Any, kind: type[T], *, what: str = "record") -> T:
    """Return what `loads` returned as `kind`, as `decode`.

    Raises:
        UsageError: it is not such a value; the message names the field.
    """
    try:
        return msgspec.convert(found, kind, str_keys=True)
    except RecursionError:
        raise UsageError(f"{what} is nested too deeply", hint=_HINT) from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{what} is not valid: {error}", hint=_HINT) from None


def loads(data: bytes, *, what: str = "JSON") -> Any:
    """Parse JSON bytes strictly: UTF-8 without a mark, no duplicate keys, no NaN, bounded nesting.

    A parser that keeps the last of two equal keys can be shown one value while another reader sees the
    other; RFC 8259 section 4 leaves that open, so it is refused. So is an escaped half of a surrogate
    pair (section 8.2): it is no text, and could not be written again.

    Raises:
        UsageError: the bytes are not JSON of this kind.
    """
    try:
        # Given bytes, `json` would guess UTF-16 and UTF-32 too.
        text = data.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()
        if _is_deep(text):
            raise RecursionError
    except RecursionError:
        raise UsageError(f"{what} is nested too deeply", hint=_HINT) from None
    except ValueError as error:
        raise UsageError(f"{what} is not readable as JSON: {error}", hint=_HINT) from None
    return found


def _is_deep(text: str) -> bool:
    """True when a text that is JSON nests deeper than MAX_DEPTH. Each round takes the innermost level away."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    left = _NO_BRACKET.sub("", _TEXT.sub("", text).translate(_BRACKETS))
    for _ in range(MAX_DEPTH):
        if not left:
            return False
        left = left.replace("[]", "")
    return bool(left)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Whoever wrote it chose how many keys there are: each is counted once, and not compared with all.
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
