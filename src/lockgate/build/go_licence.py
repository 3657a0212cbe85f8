"""Which licence is this? The texts that Go modules carry, told apart by the words that only one of them has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FILE = re.compile(r"(?:LICEN[CS]E|COPYING|UNLICENSE)(?:[.-].*)?", re.IGNORECASE)
_LONGEST = 1 << 18
"""Bytes read of one file."""

_MARKS = (
    ("Apache-2.0", ("apache license", "version 2.0, january 2004")),
    ("MPL-2.0", ("mozilla public license", "version 2.0")),
    ("LGPL-3.0-or-later", ("gnu lesser general public license", "version 3, 29 june 2007")),
    ("LGPL-2.1-or-later", ("gnu lesser general public license", "version 2.1, february 1999")),
    ("AGPL-3.0-only", ("gnu affero general public license", "version 3, 19 november 2007")),
    ("GPL-3.0-only", ("gnu general public license", "version 3, 29 june 2007")),
    ("GPL-2.0-only", ("gnu general public license", "version 2, june 1991")),
    ("EPL-2.0", ("eclipse public license - v 2.0",)),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
    ("ISC", ("permission to use, copy, modify, and distribute this software for any purpose",)),
    ("MIT", ("permission is hereby granted, free of charge", "without restriction")),
    ("Unlicense", ("free and unencumbered software released into the public domain",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("Zlib", ("this software is provided 'as-is'", "altered source versions")),
    ("BSL-1.0", ("boost software license - version 1.0",)),
)
"""SPDX identifier, and the words that must all stand in the text; the first that fits counts."""

_BSD = "redistribution and use in source and binary forms"
_ENDORSE = re.compile(r"neither the names? of|the names? of .{0,80}may not be used to endorse")


def names(folder: Path) -> tuple[str, ...]:
    """Return the SPDX identifiers of the licence texts at the top of a module, sorted; empty when unknown.

    A text that is none of the known ones gives nothing: a guess would pass for knowledge.
    """
    try:
        files = [one for one in folder.iterdir() if _FILE.fullmatch(one.name) and one.is_file()]
        texts = [one.read_bytes()[:_LONGEST].decode("utf-8", "replace") for one in files]
    except OSError:
        return ()
    return tuple(sorted({name for text in texts if (name := _name(text))}))


def _name(text: str) -> str:
    words = re.sub(r"\s+", " ", text).casefold()
    for name, marks in _MARKS:
        if all(mark in words for mark in marks):
            return name
    if _BSD in words:
        return "BSD-3-Clause" if _ENDORSE.search(words) else "BSD-2-Clause"
    return ""
