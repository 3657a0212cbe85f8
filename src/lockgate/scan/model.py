"""Records of the scan floor: what one scanner with one database said of one digest at one time."""

from __future__ import annotations

from lockgate.base.canonical import Record
from lockgate.base.settings import Severity

UNSUPPORTED = "UNSUPPORTED-SYSTEM"
"""Id of the finding that a release of a system is no longer supported."""


class Finding(Record, frozen=True):
    """One vulnerability, secret or misconfiguration in one place."""

    kind: str
    """`vuln`, `secret`, `misconfig`, or `unchecked` for packages that no advisory could be looked up for."""
    id: str
    """CVE-…, GHSA-…, PYSEC-…, or the id of Trivy's rule."""
    severity: Severity
    title: str
    package: str
    """Name of the package; for secrets and misconfigurations the file."""
    version: str
    """Installed version; empty for secrets and misconfigurations."""
    fixed: str
    """First fixed version; empty when there is none. Secrets and misconfigurations always count as fixable."""
    target: str
    """`debian`, `python-pkg`, or the file's type, as the scanner names it."""
    path: str
    """Path in the image; empty for Debian packages."""
    purl: str
    """Package URL, on the first of `platforms`; empty when there is none."""
    aliases: tuple[str, ...]
    """Other ids of the same vulnerability, sorted."""
    platforms: tuple[str, ...]
    """Platforms of the index on which it was found, sorted."""
    layer: str
    """Diff id of the layer, on the first of `platforms`; empty when the scanner did not say."""

    @property
    def fixable(self) -> bool:
        """True when something newer, or a change of the file, removes the finding."""
        return bool(self.fixed) or self.kind != "vuln"


class Scanner(Record, frozen=True):
    """The program that looked."""

    name: str
    """`trivy`."""
    version: str
    digest: str
    """sha256 digest of the executable."""
    origin: str
    """`path` (found on PATH) or `wheel` (the hash-pinned one)."""
    sandbox: str
    """`namespaces` when the kernel cut it off from the network, `none` when it could not."""


class AdvisorySource(Record, frozen=True):
    """One data file of the embedded advisories."""

    name: str
    """`Debian 13 changelogs`."""
    date: str
    """Day on which its content was current: `2026-11-20`."""
    licence: str
    """SPDX expression."""


class Database(Record, frozen=True):
    """The advisories that were looked up."""

    kind: str
    """`embedded` or `upstream`."""
    digest: str
    """sha256 digest of `trivy.db`."""
    updated: int
    """When its content was current, in seconds since 1970. For the embedded advisories the day of the
    newest source; `sources` has the day of each."""
    partial: bool
    """True for the embedded advisories: they cover our stacks' packages only."""
    sources: tuple[AdvisorySource, ...] = ()
    """What the embedded advisories were made from, sorted by name; empty for Trivy's database."""


class PlatformScan(Record, frozen=True):
    """The raw report of one platform."""

    platform: str
    manifest: str
    """Digest of the manifest that was scanned."""
    report: str
    """Digest of the raw report's bytes, kept in the records folder."""
    packages: int
    """How many packages the scanner saw; a scan that saw none is refused, not passed."""


class Report(Record, frozen=True):
    """What `scan` returns."""

    subject: str
    """Digest of the image index."""
    scanner: Scanner
    database: Database
    scanned: int
    """When the scan was made, in seconds since 1970."""
    platforms: tuple[PlatformScan, ...]
    findings: tuple[Finding, ...]
    """Sorted by severity (highest first), id, package and path; the same one on two platforms stands once."""
    dirty: bool
    """True when the image was built from uncommitted changes."""
