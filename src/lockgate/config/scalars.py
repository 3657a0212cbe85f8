"""Plain scalars as all of Kubernetes' readers read them; what they disagree about is a fault. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeVar

T = TypeVar("T", int, float)

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE, _FALSE = frozenset(("true", "True", "TRUE")), frozenset(("false", "False", "FALSE"))
_DIVIDED = frozenset(
    each for one in ("y", "n", "yes", "no", "on", "off") for each in (one, one.title(), one.upper())
)
"""Booleans to go-yaml 2 and to PyYAML, text to go-yaml 3."""
_INTEGER = re.compile(r"[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|[1-9][0-9]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?")
_NO_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class Fault(Exception):
    """Something that is not read, and where."""

    def __init__(self, problem: str, mark: Any = None, hint: str = "correct it there") -> None:
        super().__init__(problem)
        self.mark, self.hint = mark, hint


def resolve(text: str, mark: Any) -> Any:
    """Return what a plain scalar is to every reader.

    Raises:
        Fault: they disagree, or JSON cannot hold it.
    """
    if text in _NULL:
        return None
    if text[0].isalpha():
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if text in _DIVIDED:
            raise Fault(
                f"`{text}` is a boolean to some readers and text to others",
                mark,
                f'write true or false, or "{text}"',
            )
        return text
    return _numeric(text, mark) if text[0] in "+-.0123456789" else text


def _numeric(text: str, mark: Any) -> Any:
    """Return the number that a plain scalar is, or the scalar when it only begins like one.

    No error shows it: it may be a password.
    """
    if _NO_JSON.fullmatch(text):
        raise Fault("a number that JSON has not", mark, "write it in quotes if text is meant")
    if _TIME.fullmatch(text):
        raise Fault("a value is a time to some readers, text to others", mark, "write it in quotes")
    bare = text.replace("_", "")
    found = _INTEGER.fullmatch(bare) or _FLOAT.fullmatch(bare)
    if not found:
        return text
    if bare != text or (re.match("[-+]?0[0-9]", text) and not _INTEGER.fullmatch(text)):
        raise Fault(
            "a value is a number to some readers and text to others",
            mark,
            "write it in quotes, or without `_` and leading zeros",
        )
    if _INTEGER.fullmatch(text):
        return _integer(text, mark)
    return number(float(text), mark)


def _integer(text: str, mark: Any) -> int:
    sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-").lower()
    if len(digits) > 80:
        raise Fault("a number is too large", mark, "write it in quotes if text is meant")
    if digits.startswith("0") and digits.isdigit():
        return sign * int(digits, 8)  # as in `defaultMode: 0644`
    return number(sign * int(digits, 0), mark)


def number(value: T, mark: Any = None) -> T:
    """Return a number as Kubernetes holds it: 64 bits."""
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")) or value != value:
            raise Fault("a number is too large", mark, "write it in quotes if text is meant")
    elif not -(1 << 63) <= value < 1 << 63:
        raise Fault("a number is too large", mark, "write it in quotes if text is meant")
    return value
