"""The Decision: what the gate said of one digest, with everything that it said it from."""

from __future__ import annotations

from lockgate.base.canonical import Record
from lockgate.base.settings import Severity
from lockgate.scan.model import Database, Finding, Scanner


class Waiver(Record, frozen=True):
    """Dated, owned, reasoned permission for findings ("exception" in texts for people)."""

    id: str
    """Name of the waiver itself, unique in its file: `expat-2026-11`."""
    findings: tuple[str, ...]
    """Ids of findings it covers: CVE-…, GHSA-…, PYSEC-…, or a rule's id; never empty."""
    owner: str
    """Team or person who answers for it."""
    reason: str
    until: str
    """Last day on which it holds, `2026-12-31`, in UTC."""
    packages: tuple[str, ...] = ()
    """Package names it is limited to; empty: any."""
    components: tuple[str, ...] = ()
    """Components it is limited to; empty: any."""
    paths: tuple[str, ...] = ()
    """Patterns of paths in the image it is limited to; empty: any."""


class Waived(Record, frozen=True):
    """A finding that would count, and the waiver that permits it."""

    finding: Finding
    waiver: Waiver


class Threshold(Record, frozen=True):
    """What the gate tolerates without a waiver."""

    severity: Severity
    """Least severity that counts as a violation."""
    blocks: bool
    """Whether violations close the gate."""
    fixed_only: bool
    """Count only findings for which a fix exists."""
    unknown: Severity
    """What a finding without a severity is taken to be."""
    embedded_advisories: bool
    dirty: bool
    unsandboxed_scanner: bool
    database_max_age_days: int
    waiver_max_days: int


class Decision(Record, frozen=True):
    """What `decide` returns. What failed and whether it blocks are separate fields."""

    subject: str
    """Digest of the image index."""
    component: str
    environment: str
    threshold: Threshold
    violations: tuple[Finding, ...]
    """Findings at or above the threshold that no waiver permits; in the report's order."""
    blocks: bool
    """Whether violations close the gate in this environment."""
    refusals: tuple[str, ...]
    """What this environment never takes, whatever the findings: `embedded advisories`, `uncommitted
    changes`, `scanner without sandbox`. One refusal closes the gate. Sorted."""
    waived: tuple[Waived, ...]
    tolerated: tuple[Finding, ...]
    """Findings below the threshold, or without a fix where only fixable ones count."""
    lapsed: tuple[Waiver, ...]
    """Waivers whose last day is over; they permit nothing. Only those that match a finding."""
    unused: tuple[Waiver, ...]
    """Waivers of this component that match no finding."""
    scanner: Scanner
    database: Database
    scanned: int
    """When the scan ended, in seconds since 1970."""
    decided: int
    """When the gate decided, in seconds since 1970."""
    report: str
    """Digest of the report's canonical bytes."""

    @property
    def failed(self) -> bool:
        """True when something counts against the image, whether or not that blocks."""
        return bool(self.violations or self.refusals)

    @property
    def allowed(self) -> bool:
        """True when the image may go on."""
        return not self.refusals and not (self.blocks and self.violations)
