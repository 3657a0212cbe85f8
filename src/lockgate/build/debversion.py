"""The order of Debian versions (Debian Policy 5.6.12, deb-version(7))."""

from __future__ import annotations

import re

from lockgate.base.errors import UsageError

_FORM = re.compile(r"(?:([0-9]+):)?([0-9A-Za-z.+~-]*?)(?:-([0-9A-Za-z.+~]+))?(?<!-)")
_PAIR = re.compile(r"(\D*)(\d*)")
_END = ((0,), 0)
_LONGEST = 256
"""Characters of the longest version; those of the archive have some tens."""

Key = tuple[int, tuple[tuple[tuple[int, ...], int], ...], tuple[tuple[tuple[int, ...], int], ...]]
"""Epoch, upstream version and revision, so made that Python's order of tuples is Debian's of versions."""


def key(version: str) -> Key:
    """Return what to sort a version by.

    Raises:
        UsageError: the text cannot be a version.
    """
    match = _FORM.fullmatch(version) if len(version) <= _LONGEST else None
    if match is None or not match[2]:
        raise UsageError(f"{version[:_LONGEST]!r} is not a Debian version")
    return int(match[1] or 0), _pairs(match[2]), _pairs(match[3] or "")


def _pairs(part: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Split into alternating text and number.

    Text compares character by character: `~` sorts before the end, the end before letters, and letters
    before everything else. A pair for the end closes the list, since `~` must sort before it too.
    """
    found = [
        ((*(_weight(sign) for sign in text), 0), int(number or 0))
        for text, number in _PAIR.findall(part)
        if text or number
    ]
    # A part that is empty counts as "0": "1.0" and "1.0-0" are the same version.
    return (*(found or [_END]), _END)


def _weight(sign: str) -> int:
    if sign == "~":
        return -1
    return ord(sign) if sign.isalpha() else ord(sign) + 256


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """True when `version operator wanted` holds; operators are those of Policy 7.1: << <= = >= >>."""
    left, right = key(version), key(wanted)
    match operator:
        case "<<":
            return left < right
        case "<=":
            return left <= right
        case "=":
            return left == right
        case ">=":
            return left >= right
        case ">>":
            return left > right
    raise UsageError(f"{operator!r} is not an operator between Debian versions")
