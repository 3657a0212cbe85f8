"""Advisories of Python distributions from OSV files (OSV schema 1.6), as pypa/advisory-database has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate.base.canonical import Foreign
from lockgate.base.errors import UsageError
from lockgate.scan import cvss
from lockgate.scan.advisories import PythonAdvisory

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = 120
"""Longest title in characters."""


class _Package(Foreign, frozen=True):
    name: str
    ecosystem: str


class _Event(Foreign, frozen=True):
    introduced: str = ""
    fixed: str = ""
    last_affected: str = ""


class _Range(Foreign, frozen=True):
    type: str
    events: tuple[_Event, ...]


class _Affected(Foreign, frozen=True):
    package: _Package
    ranges: tuple[_Range, ...] = ()
    versions: tuple[str, ...] = ()


class _Severity(Foreign, frozen=True):
    type: str
    score: str


class _Entry(Foreign, frozen=True):
    id: str
    affected: tuple[_Affected, ...] = ()
    aliases: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    severity: tuple[_Severity, ...] = ()
    withdrawn: str = ""


def advisories(entry: Any, *, what: str) -> Iterator[PythonAdvisory]:
    """Yield what an OSV entry says of Python distributions: one advisory a distribution, none if withdrawn.

    Args:
        entry: the parsed file.
        what: how to name the file in an error.

    Raises:
        UsageError: not an OSV entry, or one without any version that it could be compared with.
    """
    try:
        found = msgspec.convert(entry, _Entry)
    except msgspec.ValidationError as error:
        raise UsageError(f"{what} is not an OSV entry: {error}") from None
    if found.withdrawn:
        return
    for name in sorted({_normal(one.package.name) for one in found.affected if _is_python(one)}):
        parts = [one for one in found.affected if _normal(one.package.name) == name]
        ranges = [one for part in parts for one in part.ranges if one.type == "ECOSYSTEM"]
        try:
            specifiers = [text for one in ranges for text in _specifiers(one.events)]
            specifiers += _listed([text for part in parts for text in part.versions], specifiers)
            patched = _ordered(
                {event.fixed for one in ranges for event in one.events if event.fixed}
            )
        except ValueError as error:
            raise UsageError(f"{what} names a version that is none: {str(error)[:200]}") from None
        if not specifiers:
            raise UsageError(f"{what} names no version of {name} that is vulnerable")
        yield PythonAdvisory(
            id=found.id,
            aliases=tuple(sorted(set(found.aliases))),
            package=name,
            vulnerable=tuple(dict.fromkeys(specifiers)),
            patched=patched,
            cvss=_vector(found.severity),
            title=_title(found.summary or found.details),
        )


def _is_python(affected: _Affected) -> bool:
    return affected.package.ecosystem == "PyPI"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _specifiers(events: tuple[_Event, ...]) -> list[str]:
    """Turn events into specifiers. OSV: sorted by version, each `introduced` opens what the next one ends."""
    from packaging.version import Version

    def place(event: _Event) -> tuple[Version, bool]:
        return Version(event.introduced or event.fixed or event.last_affected), bool(
            event.introduced
        )

    found, start = [], ""
    for event in sorted(events, key=place):
        if event.introduced:
            start = start or event.introduced
        elif start:
            end = f"<{event.fixed}" if event.fixed else f"<={event.last_affected}"
            found.append(end if start == "0" else f">={start},{end}")
            start = ""
    return [*found, f">={start}"] if start else found


def _listed(versions: list[str], specifiers: list[str]) -> list[str]:
    """Return specifiers for versions that are listed and that no range holds: mostly pre-releases."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    sets = [SpecifierSet(text, prereleases=True) for text in specifiers]
    found = set()
    for text in versions:
        try:
            version = Version(text)
        except InvalidVersion:
            continue  # No installer has taken such a version for years, and no scanner compares it.
        if not any(version in one for one in sets):
            found.add(str(version))
    return [f"=={text}" for text in _ordered(found)]


def _ordered(versions: set[str]) -> tuple[str, ...]:
    from packaging.version import Version

    return tuple(sorted(versions, key=lambda text: (Version(text), text)))


def _vector(severities: tuple[_Severity, ...]) -> str:
    """Return the CVSS 3 vector with the highest score."""
    vectors = [one.score for one in severities if one.type == "CVSS_V3"]
    return max(vectors, key=cvss.base_score, default="")


def _title(text: str) -> str:
    first = re.split(r"(?<=[a-z)`])\.\s", " ".join(text.split()), maxsplit=1)[0]
    return first if len(first) <= TITLE else first[: TITLE - 1].rstrip() + "…"
