"""Licences of a Debian package, from its copyright file.

Most files are machine-readable (the Debian policy's "Machine-readable debian/copyright file", 1.0, "DEP-5");
their short names become SPDX ids. What SPDX has no id for becomes a `LicenseRef-`, so that every result is a
valid SPDX expression. The text in the image stays the authority.
"""

from __future__ import annotations

import functools
import re

UNKNOWN = "NOASSERTION"
"""SPDX's word for "nothing is said"."""

_FORMAT = re.compile(r"\AFormat(-Specification)?:", re.IGNORECASE)
_FILES = re.compile(r"^Files:", re.MULTILINE | re.IGNORECASE)
_LICENCE = re.compile(r"^License:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z]+(?:-[0-9]+(?:\.[0-9]+)?)?)")
_GNU = re.compile(r"(?P<family>A?GPL|LGPL|GFDL)-(?P<major>\d)(?:\.(?P<minor>\d))?(?P<later>\+?)")
_SHORT = {
    "expat": "MIT",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "zlib": "Zlib",
    "pd": "LicenseRef-public-domain",
}
"""DEP-5 short names, in lower case, that SPDX writes in another way."""
_PHRASES = {
    "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2": "Python-2.0",
    "GCC Runtime Library Exception": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
"""Sentences by which files in free text are known."""


def names(text: str) -> tuple[str, ...]:
    """Return the SPDX expressions that hold together for a package, sorted.

    In free text the texts that it refers to are listed; whether "or later" holds is not known from that,
    so they become `LicenseRef-GPL-2` and the like. A file that says nothing gives `NOASSERTION`.
    """
    found: set[str] = set()
    if _FORMAT.match(text):
        # Paragraphs without files hold the texts of licences that others may offer as a choice.
        first, *rest = re.split(r"\n[ \t]*\n", text)
        for paragraph in (first, *filter(_FILES.search, rest)):
            for line in _LICENCE.findall(paragraph):
                found.update(_conjuncts(line))
    else:
        found.update(licence for phrase, licence in _PHRASES.items() if phrase in text)
        found.update(f"LicenseRef-{name}" for name in _COMMON.findall(text))
    return tuple(sorted(found)) or (UNKNOWN,)


def _conjuncts(line: str) -> list[str]:
    """Return the expressions that a `License:` line joins with "and".

    "and" binds tighter than "or", but a comma before either binds least (DEP-5, "Syntax").
    """
    if ", or " in line:
        parts = [" AND ".join(_conjuncts(part)) for part in line.split(", or ")]
        return [" OR ".join(f"({part})" if " " in part else part for part in parts)]
    found = []
    for part in re.split(r",\s+and\s+|,\s+", line):
        options = [
            " AND ".join(_spdx(name) for name in re.split(r"\s+and\s+", option))
            for option in re.split(r"\s+(?:or|and/or)\s+", part)
        ]
        found += options[0].split(" AND ") if len(options) == 1 else [" OR ".join(options)]
    return found


def _spdx(name: str) -> str:
    name = name.strip()
    gnu = _GNU.fullmatch(name)
    if gnu:
        version = f"{gnu['major']}.{gnu['minor'] or 0}"
        return f"{gnu['family']}-{version}-{'or-later' if gnu['later'] else 'only'}"
    known = _SHORT.get(name.lower()) or _identifiers().get(name.lower())
    return known or "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-") or "none")


@functools.cache
def _identifiers() -> dict[str, str]:
    """SPDX's own ids by their lower-case form."""
    from license_expression import get_spdx_licensing

    symbols = get_spdx_licensing().known_symbols  # type: ignore[no-untyped-call]
    return {key.lower(): key for key in symbols if not key.startswith("LicenseRef-")}
