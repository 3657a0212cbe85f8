"""The order of Debian package versions (Debian Policy 5.6.12, deb-version(7))."""

from __future__ import annotations

import re
from typing import TypeAlias

from lockgate.base.errors import UsageError

Key: TypeAlias = "tuple[int, tuple[object, ...], tuple[object, ...]]"
"""Sorts as the version does. The parts alternate between text and number, so they always compare."""

_FORM = re.compile(r"(?:([0-9]+):)?([0-9A-Za-z.+~-]+?)(?:-([0-9A-Za-z.+~]+))?")
_PAIR = re.compile(r"([^0-9]*)([0-9]*)")


def key(version: str) -> Key:
    """Return the sort key of a version: epoch, upstream version, revision.

    Raises:
        UsageError: the text is not a Debian version.
    """
    found = _FORM.fullmatch(version)
    if found is None:
        raise UsageError(f"{version!r} is not a Debian version")
    return int(found[1] or 0), _part(found[2]), _part(found[3] or "")


def _part(text: str) -> tuple[object, ...]:
    pairs: list[object] = []
    for letters, digits in _PAIR.findall(text):
        if letters or digits:
            pairs += [(*map(_order, letters), 0), int(digits or 0)]
    # The end sorts after a tilde and before all else; it has to stand there to be compared.
    return (*pairs, (0,))


def _order(letter: str) -> int:
    if letter == "~":
        return -1
    return ord(letter) if letter.isalpha() else ord(letter) + 256
