"""The embedded advisories: data files in the repository, and what Trivy's database holds of them.

The bucket and field names are those of trivy-db, schema version 2 (`pkg/types/types.go`, `pkg/db`). A
severity stands where no other source can replace it: for Debian beside the package, for Python under the
name of the data source. A finding without one comes out of Trivy as UNKNOWN.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from lockgate.base.canonical import Record, encode, loads
from lockgate.base.errors import ToolError, UsageError
from lockgate.base.settings import SEVERITIES
from lockgate.build import debversion
from lockgate.scan import cvss

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lockgate.scan.bolt import Tree

URGENCIES = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH", "emergency": "CRITICAL"}
URGENCIES["critical"] = "CRITICAL"
"""What the urgency of an upload is taken for. It says how soon testing should have the upload; it is
neither Debian's nor NVD's rating of the vulnerability. Any other word is UNKNOWN."""

PYTHON_BUCKET = "pip::Python Packaging Advisory Database"
"""Trivy asks every bucket that starts with `pip::` for Python distributions."""

_PYTHON_SOURCE = "osv"
_ID = re.compile(r"[A-Z][A-Z0-9]*(-[0-9A-Za-z]+)+")


class DebianPackage(Record, frozen=True):
    """What the changelog of one source package says."""

    version: str
    """The version whose changelog was read."""
    fixed: dict[str, str]
    """By CVE, the first version without it and the urgency of that upload: `2.41-12 medium`."""


class DebianAdvisories(Record, frozen=True, tag_field="kind", tag="debian"):
    """Fixed vulnerabilities of one Debian release."""

    name: str
    release: str
    """Major version: `13`."""
    date: str
    """Day on which the content was current: `2026-11-20`."""
    source: str
    licence: str
    notes: str
    packages: dict[str, DebianPackage]
    """By source package. A package without fixes stands here too: its changelog was read."""


class PythonAdvisory(Record, frozen=True):
    """One vulnerability of one distribution."""

    id: str
    """PYSEC-… or GHSA-…: its name in the source."""
    aliases: tuple[str, ...]
    package: str
    """Normalised name."""
    vulnerable: tuple[str, ...]
    """Version specifiers (PEP 440); a version that satisfies one of them is vulnerable."""
    patched: tuple[str, ...]
    """First versions without it, one a branch."""
    cvss: str
    """CVSS 3 vector; empty when the source gives none, and then the severity is UNKNOWN."""
    title: str


class PythonAdvisories(Record, frozen=True, tag_field="kind", tag="python"):
    """Vulnerabilities of Python distributions."""

    name: str
    date: str
    source: str
    licence: str
    notes: str
    advisories: tuple[PythonAdvisory, ...]


Advisories: TypeAlias = DebianAdvisories | PythonAdvisories


def parse(data: bytes, *, what: str) -> Advisories:
    """Parse and check the bytes of a data file.

    Trivy passes over a version or a specifier that it cannot read, which would hide a vulnerability, so
    each of them is read here first.

    Raises:
        ToolError: the file is damaged, or holds something that Trivy would not understand.
    """
    try:
        kinds: Any = DebianAdvisories | PythonAdvisories
        found: Advisories = msgspec.convert(loads(data, what=what), kinds)
        day(found.date)
        if isinstance(found, DebianAdvisories):
            _check_debian(found)
        else:
            _check_python(found)
    except (msgspec.ValidationError, UsageError) as error:
        raise ToolError(
            f"{what} is damaged: {error}",
            hint="restore the file from the repository, or install Lockgate again",
        ) from None
    return found


def _check_debian(found: DebianAdvisories) -> None:
    if not found.packages:
        raise UsageError("it names no package")
    for name, package in found.packages.items():
        debversion.key(package.version)
        for cve, fix in package.fixed.items():
            version, _, urgency = fix.partition(" ")
            debversion.key(version)
            if not _ID.fullmatch(cve) or " " in urgency:
                raise UsageError(f"{cve}: {fix} of {name} is not a fix")


def _check_python(found: PythonAdvisories) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if not found.advisories:
        raise UsageError("it names no advisory")
    for one in found.advisories:
        for name in (one.id, *one.aliases):
            if not _ID.fullmatch(name):
                raise UsageError(f"{name!r} is not the id of a vulnerability")
        if not one.vulnerable or not one.package:
            raise UsageError(f"{one.id} says of no version that it is vulnerable")
        try:
            for specifier in one.vulnerable:
                # An empty specifier, and a missing comma, would mean something else to Trivy.
                if not specifier or " " in specifier:
                    raise InvalidSpecifier(specifier)
                SpecifierSet(specifier)
        except InvalidSpecifier as error:
            raise UsageError(f"{one.id} has a version specifier that is none: {error}") from None
        if one.cvss:
            cvss.severity(one.cvss)


def to_bytes(found: Advisories) -> bytes:
    """Return a data file's bytes: one fact a line, sorted, so that changes can be read."""
    return (
        json.dumps(json.loads(encode(found)), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    ).encode()


def read(folder: Path) -> dict[str, bytes]:
    """Return the data files of a folder by name, sorted.

    Raises:
        ToolError: there are none, or one cannot be read.
    """
    try:
        found = {path.name: path.read_bytes() for path in sorted(folder.glob("*.json"))}
    except OSError as error:
        raise ToolError(f"the advisories in {folder} cannot be read: {error.strerror}") from error
    if not found:
        raise ToolError(
            f"there are no advisories in {folder}",
            hint="restore the folder from the repository, or install Lockgate again",
        )
    return found


def day(date: str) -> int:
    """Return the start of a day, in UTC, in seconds since 1970.

    Raises:
        UsageError: not a date of the form `2026-11-20`.
    """
    try:
        start = dt.datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError:
        raise UsageError(f"{date!r} is not a date of the form 2026-11-20") from None
    return int(start.timestamp())


def tree(sets: Iterable[Advisories]) -> Tree:
    """Return what the database holds: data sources, advisories by bucket and package, vulnerabilities."""
    sources: dict[bytes, bytes] = {}
    buckets: dict[bytes, dict[bytes, dict[bytes, Any]]] = {}
    vulnerabilities: dict[str, dict[str, Any]] = {}
    for found in sets:
        if isinstance(found, DebianAdvisories):
            bucket, kind = f"debian {found.release}", "debian"
            packages = _debian(found, vulnerabilities)
        else:
            bucket, kind = PYTHON_BUCKET, _PYTHON_SOURCE
            packages = _python(found, vulnerabilities)
        name = f"{found.name} of {found.date} (embedded, partial)"
        sources[bucket.encode()] = encode({"ID": kind, "Name": name})
        buckets.setdefault(bucket.encode(), {}).update(packages)
    details = {name.encode(): encode(detail) for name, detail in vulnerabilities.items()}
    return {b"data-source": sources, b"vulnerability": details, **buckets}


def _debian(
    found: DebianAdvisories, vulnerabilities: dict[str, dict[str, Any]]
) -> dict[bytes, dict[bytes, bytes]]:
    packages = {}
    for name, package in found.packages.items():
        advisories = {}
        for cve, fix in package.fixed.items():
            version, _, urgency = fix.partition(" ")
            advisory: dict[str, Any] = {"FixedVersion": version}
            if rated := SEVERITIES.index(URGENCIES.get(urgency, "UNKNOWN")):
                advisory["Severity"] = rated
            advisories[cve.encode()] = encode(advisory)
            vulnerabilities.setdefault(cve, {})
        packages[name.encode()] = advisories
    return packages


def _python(
    found: PythonAdvisories, vulnerabilities: dict[str, dict[str, Any]]
) -> dict[bytes, dict[bytes, bytes]]:
    merged: dict[str, dict[str, dict[str, set[str]]]] = {}
    for one in found.advisories:
        names = sorted({one.id, *one.aliases})
        cves = [name for name in names if name.startswith("CVE-")]
        known = (cves or [one.id])[0]
        # One vulnerability may stand in the source under two ids: whatever either says, holds.
        entry = merged.setdefault(one.package, {}).setdefault(
            known, {"VulnerableVersions": set(), "PatchedVersions": set(), "VendorIDs": set()}
        )
        entry["VulnerableVersions"].update(one.vulnerable)
        entry["PatchedVersions"].update(one.patched)
        entry["VendorIDs"].update(name for name in names if name != known)
        detail = vulnerabilities.setdefault(known, {})
        detail.setdefault("Title", one.title)
        rated = SEVERITIES.index(cvss.severity(one.cvss)) if one.cvss else 0
        if rated > detail.get("VendorSeverity", {}).get(_PYTHON_SOURCE, 0):
            detail["VendorSeverity"] = {_PYTHON_SOURCE: rated}
    return {
        package.encode(): {
            known.encode(): encode(
                {field: sorted(value) for field, value in entry.items() if value}
            )
            for known, entry in entries.items()
        }
        for package, entries in merged.items()
    }
