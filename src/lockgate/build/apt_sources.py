"""The machine's own Debian mirrors, as apt's source lists name them (sources.list(5)).

Lockgate names no mirror itself: where packages come from is the machine's choice or the settings'. What a
mirror serves is believed only after its index was verified against the pinned archive keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import Record
from lockgate.base.errors import UsageError
from lockgate.build.deb822 import paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LINE = re.compile(r"deb\s+(?:\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>\S.*)")
_SCHEMES = ("https://", "http://", "file:/")
_SECURITY = "-security"
_SUITE = re.compile(
    r"(bullseye|bookworm|trixie|forky|duke|sid|(old)*stable|testing|unstable)"
    r"(-(updates|backports|proposed-updates|security))?"
)
"""Suites that only Debian has: Ubuntu's and most third parties' have other names."""


class AptEntry(NamedTuple):
    """One address with the suites and components that apt takes from it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


class Mirrors(Record, frozen=True):
    """Addresses below which `dists/` and `pool/` lie; empty where none is known."""

    main: str = ""
    """Serves a suite such as `trixie` and `trixie-updates`."""
    security: str = ""
    """Serves suites that end in `-security`."""

    def of(self, archive: str) -> str:
        """Return the address for `main` or `security`.

        Raises:
            UsageError: none is known; asked only when something must be downloaded.
        """
        address, field = (
            (self.security, "build.security_mirror")
            if archive == "security"
            else (self.main, "build.mirror")
        )
        if not address:
            raise UsageError(
                f"no Debian mirror is known for the {archive} archive: the settings name none, "
                "and neither do this machine's apt sources",
                hint=f"set `{field}` in `lockgate.yaml`",
            )
        return address


def find_mirrors(root: Path, *, mirror: str = "", security_mirror: str = "") -> Mirrors:
    """Return the mirrors of this machine; addresses from the settings count first.

    Args:
        root: root of the file system, `/` outside tests.
        mirror: `build.mirror` of the settings.
        security_mirror: `build.security_mirror` of the settings.

    Raises:
        UsageError: an address in the settings is not `http:`, `https:` or `file:`.
    """
    for field, address in (("mirror", mirror), ("security_mirror", security_mirror)):
        if address and not address.startswith(_SCHEMES):
            raise UsageError(
                f"`build.{field}` is {address!r}, which is no address of a mirror",
                hint="write it with `https://`, `http://` or `file:///`",
            )
    found = choose(read_sources(root)) if not (mirror and security_mirror) else Mirrors()
    return Mirrors(
        main=(mirror or found.main).rstrip("/"),
        security=(security_mirror or found.security).rstrip("/"),
    )


def choose(entries: Iterable[AptEntry]) -> Mirrors:
    """Return the first Debian entry that is not for security, and the first that is.

    Others publish for Debian's suites too (`bookworm main` of a vendor), so an address whose last folder
    is the archive's own name goes before the rest.
    """
    usable = [
        (entry.uri.rstrip("/"), suite)
        for entry in entries
        for suite in entry.suites
        if "main" in entry.components and entry.uri.startswith(_SCHEMES) and _SUITE.fullmatch(suite)
    ]
    usable.sort(key=lambda pair: pair[0].rsplit("/", 1)[-1] not in ("debian", "debian-security"))
    main = [uri for uri, suite in usable if not suite.endswith(_SECURITY)]
    security = [uri for uri, suite in usable if suite.endswith(_SECURITY)]
    return Mirrors(main=next(iter(main), ""), security=next(iter(security), ""))


def read_sources(root: Path) -> tuple[AptEntry, ...]:
    """Return the entries of `etc/apt/sources.list` and `sources.list.d` in the order that apt reads them.

    A file that cannot be read or is not in its format is passed over: it is apt's, not ours, and an
    address that is missing in the end is an error of its own.
    """
    folder = root / "etc" / "apt"
    parts = sorted((folder / "sources.list.d").glob("*"))
    found: list[AptEntry] = []
    for path in (folder / "sources.list", *parts):
        try:
            if path.suffix == ".list":
                found += parse_list(path.read_text("utf-8"))
            elif path.suffix == ".sources":
                found += parse_sources(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, UsageError):
            continue
    return tuple(found)


def parse_list(text: str) -> list[AptEntry]:
    """Parse the one-line format; lines for sources, comments and lines it does not know give nothing."""
    found = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line.split("#", 1)[0].strip())
        if match:
            components = tuple(match["components"].split())
            found.append(AptEntry(match["uri"], (match["suite"],), components))
    return found


def parse_sources(text: str) -> list[AptEntry]:
    """Parse the deb822 format; paragraphs that are not enabled, or not for packages, give nothing.

    Raises:
        UsageError: the text is not in that format.
    """
    found = []
    for fields in paragraphs(text, what="an apt source"):
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "without", "off", "0")
        if enabled and "deb" in fields.get("types", "").split():
            suites, components = fields.get("suites", ""), fields.get("components", "")
            found += [
                AptEntry(uri, tuple(suites.split()), tuple(components.split()))
                for uri in fields.get("uris", "").split()
            ]
    return found
