"""Objects as YAML in its one canonical form, or as JSON: the same objects give the same bytes. Pure.

Block style, keys sorted, objects in apply order, `---` before each. The form is inside what every reader of
Kubernetes YAML agrees on: a text is plain only when none of them could take it for anything else, is a literal
block when it has several lines, and is else quoted as in JSON.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import UsageError
from lockgate.config.order import order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lockgate.config.resource import Resource

_PLAIN = re.compile(r"[A-Za-z/](?:[A-Za-z0-9_./@:+=-]*[A-Za-z0-9_./@+=-])?")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))
"""Not plain whatever their case."""
_LITERAL = re.compile("[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]+")
"""What a literal block can hold: no control characters, no line breaks of other kinds than LF."""
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is and YAML does not, or reads as a line break."""
_MAX_KEY = 1000
"""Characters of a key on its line (YAML 1.2, "Implicit keys": 1024 with its quotes)."""


def emit(resources: Iterable[Resource]) -> bytes:
    """Return objects as YAML documents, in the order in which they are applied."""
    return b"".join(document(one.body) for one in order(resources))


def document(body: Mapping[str, Any]) -> bytes:
    """Return one object as a document, beginning with `---`.

    Raises:
        UsageError: it holds something that YAML cannot: half of a surrogate pair, a key of a thousand characters.
    """
    lines: list[str] = ["---"]
    _mapping(body, "", lines.append)
    lines.append("")
    return _encoded("\n".join(lines))


def listed(resources: Iterable[Resource]) -> bytes:
    """Return objects as one JSON `List`, in the order in which they are applied.

    Raises:
        UsageError: one holds half of a surrogate pair.
    """
    items = [one.body for one in order(resources)]
    content = {"apiVersion": "v1", "items": items, "kind": "List"}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False)
    return _encoded(text + "\n")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "an object holds half of a surrogate pair, which is no text", hint="correct it there"
        ) from None


def _mapping(value: Mapping[str, Any], indent: str, write: Callable[[str], None]) -> None:
    for key in sorted(value):
        _entry(f"{indent}{_key(key)}:", value[key], indent, write)


def _entry(head: str, value: Any, indent: str, write: Callable[[str], None]) -> None:
    """Write a value behind the head of its line."""
    if isinstance(value, Mapping) and value:
        write(head)
        _mapping(value, indent + "  ", write)
    elif isinstance(value, list | tuple) and value:
        write(head)
        _sequence(value, indent, write)
    elif isinstance(value, str) and "\n" in value and (literal := _literal(value, indent)):
        write(f"{head} {literal}")
    else:
        write(f"{head} {_scalar(value)}")


def _sequence(value: Iterable[Any], indent: str, write: Callable[[str], None]) -> None:
    for one in value:
        if isinstance(one, Mapping) and one:
            # The first key stands behind the dash, the others below it.
            lines: list[str] = []
            _mapping(one, indent + "  ", lines.append)
            write(f"{indent}- {lines[0][len(indent) + 2 :]}")
            for line in lines[1:]:
                write(line)
        elif isinstance(one, list | tuple) and one:
            write(f"{indent}-")
            _sequence(one, indent + "  ", write)
        else:
            _entry(f"{indent}-", one, indent, write)


def _literal(value: str, indent: str) -> str:
    """Return a literal block; nothing when it would not be read as the same text."""
    body = value.rstrip("\n")
    ending = len(value) - len(body)
    lines = body.split("\n")
    if (
        not _LITERAL.fullmatch(value)
        or lines[0][:1] in (" ", "\t", "")
        or any(line.endswith((" ", "\t")) or line.startswith("\t") for line in lines)
    ):
        return ""
    chomp = "-" if not ending else "" if ending == 1 else "+"
    lines += [""] * (ending - 1)
    shown = "\n".join(f"{indent}  {line}" if line else "" for line in lines)
    return f"|{chomp}\n{shown}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    return "{}" if isinstance(value, Mapping) else "[]"


def _float(value: float) -> str:
    if value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    text = repr(value)
    # `1e+16` is text to YAML 1.1, `1.0e+16` a number to everyone.
    return text if "." in text else text.replace("e", ".0e")


@functools.lru_cache(maxsize=1 << 14)
def _key(key: str) -> str:
    if len(key) > _MAX_KEY:
        raise UsageError(
            f"an object has a key of {len(key)} characters", hint="shorten it where it is written"
        )
    return _text(key)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
