"""Which CVE a Debian source package fixed in which version, read from its changelog (deb-changelog(5))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.build.debversion import Key, key

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADING = re.compile(
    r"^([0-9a-z][0-9a-z.+-]*) \(([^()\s]+)\)(?: [0-9A-Za-z.+-]+)+;(?:.*?\burgency=([a-z]+))?",
    re.MULTILINE | re.IGNORECASE,
)
_CVE = re.compile(r"(?<![0-9a-z])CVE-[0-9]{4}-[0-9]{4,}(?![0-9])", re.IGNORECASE)


class Upload(NamedTuple):
    """One entry of a changelog."""

    source: str
    version: str
    urgency: str
    """`low`, `medium`, `high`, `emergency` or `critical`, as written; empty in entries without one."""
    cves: tuple[str, ...]
    """Ids that its text names, sorted."""


class Fix(NamedTuple):
    """A package no longer has a vulnerability from this version on."""

    cve: str
    version: str
    urgency: str


def uploads(text: str) -> Iterator[Upload]:
    """Yield the entries of a changelog, the newest first.

    Raises:
        UsageError: the text does not start with an entry's heading.
    """
    headings = list(_HEADING.finditer(text))
    if not headings or text[: headings[0].start()].strip():
        raise UsageError("the text is not a Debian changelog: it does not start with a heading")
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        named = {cve.upper() for cve in _CVE.findall(text, heading.end(), end)}
        source, version, urgency = heading.groups(default="")
        yield Upload(source, version, urgency.lower(), tuple(sorted(named)))


def fixes(text: str) -> tuple[Fix, ...]:
    """Return the fix of every CVE that a changelog names, sorted by CVE.

    The newest entry that names a CVE counts: an earlier fix may have been incomplete, and a fix named too
    late raises a finding, while one named too early hides it. A version may be lower than the one that
    the entry has: `2.9.0-1~deb13u1` comes after `2.9.0-1` in its changelog and before it in order, and
    holds the same fixes.

    Raises:
        UsageError: not a Debian changelog, or one of its versions is none.
    """
    found: dict[str, Fix] = {}
    lowest: tuple[Key, str] | None = None
    for upload in uploads(text):
        this = (key(upload.version), upload.version)
        lowest = this if lowest is None else min(lowest, this)
        for cve in upload.cves:
            found.setdefault(cve, Fix(cve, lowest[1], upload.urgency))
    return tuple(found[cve] for cve in sorted(found))
