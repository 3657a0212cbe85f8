"""The scan stage: every platform of an image, one report (`Image` in, `Report` out)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

import msgspec

from lockgate.base.errors import SubjectMismatch, ToolError
from lockgate.base.files import atomic_write
from lockgate.base.settings import SEVERITIES
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import Manifest
from lockgate.scan.model import UNSUPPORTED, Finding, PlatformScan, Report
from lockgate.scan.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lockgate.base.settings import Scan
    from lockgate.build.model import Image, PlatformImage
    from lockgate.oci.layout import Layout
    from lockgate.oci.manifest import Descriptor
    from lockgate.scan.database import DatabaseDir
    from lockgate.scan.model import Scanner
    from lockgate.scan.trivy_report import Parsed

_ECOSYSTEMS = {"pypi": "pip", "gobinary": "go", "gomod": "go"}
"""How trivy-db calls the advisories of a kind of package; others have the kind's own name."""


class ImageScanner(Protocol):
    """Looks at the images of platforms."""

    @property
    def scanner(self) -> Scanner:
        """What a report says of it."""
        ...

    def scan_manifests(
        self,
        layout: Layout,
        manifests: Sequence[Descriptor],
        database: DatabaseDir,
        settings: Scan,
    ) -> tuple[bytes, ...]:
        """Return the report on each manifest, in their order; raise a ToolError when one is missing."""
        ...


def scan(
    image: Image,
    layout: Layout,
    *,
    trivy: ImageScanner,
    database: DatabaseDir,
    settings: Scan,
    now: int,
    records: Path,
) -> Report:
    """Scan every platform of an image by digest.

    Args:
        image: what was built.
        layout: the store that holds it.
        trivy: the scanner.
        database: the advisories.
        settings: what to look for, and for how long.
        now: the time of the scan in seconds since 1970.
        records: folder where reports are kept, without quoted code, under the hexadecimal digits of their
            digest.

    Returns:
        The report; equal findings of several platforms stand once.

    Raises:
        SubjectMismatch: the store's image, the record and the scanner's report are not of one digest.
        DigestMismatch: a blob of the image was changed.
        ToolError: a platform could not be scanned, or the scanner did not see what is in it.
        StorageError: a raw report cannot be kept.
    """
    manifests = layout.verify_image(image.subject)
    expected = {one.manifest: one for one in image.platforms}
    if {one.digest for one in manifests} != set(expected) or not expected:
        raise SubjectMismatch(
            f"{Digest(image.subject).short} does not hold the platforms that its record names",
            hint="run `inv build` again",
        )
    ordered = sorted(manifests, key=lambda one: expected[one.digest].platform)
    scans: list[PlatformScan] = []
    found: list[Finding] = []
    reports = trivy.scan_manifests(layout, ordered, database, settings)
    if len(reports) != len(ordered):
        raise ToolError(
            f"only {len(reports)} of {len(ordered)} platforms were scanned", hint="scan again"
        )
    for manifest, data in zip(ordered, reports, strict=True):
        platform = expected[manifest.digest]
        kept = redact(data)
        seen = _checked(data, platform, layout, database, settings)
        report = Digest.of(kept)
        atomic_write(records / report.hex, kept, mode=0o600)
        scans.append(
            PlatformScan(
                platform=platform.platform,
                manifest=platform.manifest,
                report=report,
                packages=len(seen.packages),
            )
        )
        known = unchecked(seen, database) if "vuln" in settings.scanners else ()
        found += [_on(one, platform.platform) for one in (*seen.findings, *known)]
    return Report(
        subject=image.subject,
        scanner=trivy.scanner,
        database=database.record,
        scanned=now,
        platforms=tuple(scans),
        findings=merge(found),
        dirty=image.source.dirty,
    )


def _checked(
    data: bytes, platform: PlatformImage, layout: Layout, database: DatabaseDir, settings: Scan
) -> Parsed:
    """Parse a report and refuse one that is of another image or did not look at all of this one."""
    from lockgate.scan.trivy_report import parse

    config = Manifest.parse(layout.read(platform.manifest)).config.digest
    seen = parse(data)
    if not config == platform.config == seen.image:
        raise SubjectMismatch(
            f"trivy reported on {seen.image or 'no image'}, the configuration of"
            f" {platform.platform} is {Digest(config).short}",
            hint="run `inv build`, then `inv scan` again",
        )
    if "vuln" in settings.scanners:
        _check_sight(seen, platform, database)
    return seen


def _check_sight(seen: Parsed, platform: PlatformImage, database: DatabaseDir) -> None:
    # Each of these would otherwise end as "no findings".
    if not seen.packages:
        raise ToolError(
            f"trivy saw no packages in {platform.platform}: that is not a scan",
            hint="check that the image holds /var/lib/dpkg/status.d",
        )
    if not seen.system:
        raise ToolError(
            f"trivy did not recognise the operating system of {platform.platform}",
            hint="check that the image holds /etc/os-release",
        )
    # `debian 13.7` is looked up as `debian 13`, `ubuntu 24.04` as it is.
    if not any(seen.system == one or seen.system.startswith(f"{one}.") for one in database.buckets):
        raise ToolError(
            f"the {database.record.kind} advisories do not know {seen.system}",
            hint="pull Trivy's database: `inv scan.database --pull`",
        )
    missing = {(one.kind, one.name) for one in platform.packages} - set(seen.packages)
    if missing:
        names = sorted(name for _, name in missing)
        raise ToolError(
            f"trivy did not see {len(missing)} of {len(platform.packages)} packages of"
            f" {platform.platform}: {', '.join(names[:5])}{' …' if names[5:] else ''}",
            hint="check /var/lib/dpkg/status.d and the dist-info folders in the image",
        )


def unchecked(seen: Parsed, database: DatabaseDir) -> tuple[Finding, ...]:
    """Return a finding for each kind of package that the advisories have no word on, or no new one.

    Without it such packages would pass as packages without a vulnerability. It counts as severe, and a waiver can
    permit it as any other.
    """
    ecosystems = {one.split("::")[0] for one in database.buckets if "::" in one}
    kinds = Counter(kind for kind, _ in seen.packages if kind != "deb")
    found = [
        _unchecked(
            f"UNCHECKED-{kind.upper()}",
            f"{count} {kind} packages, unknown to the {database.record.kind} advisories",
            kind,
        )
        for kind, count in sorted(kinds.items())
        if _ECOSYSTEMS.get(kind, kind) not in ecosystems
    ]
    if seen.ended:
        family = seen.system.partition(" ")[0]
        title = f"{seen.system} is no longer supported with advisories"
        found.append(_unchecked(UNSUPPORTED, title, family))
    return tuple(found)


def _unchecked(name: str, title: str, package: str) -> Finding:
    return Finding(
        kind="unchecked",
        id=name,
        severity="HIGH",
        title=title,
        package=package,
        version="",
        fixed="",
        target=package,
        path="",
        purl="",
        aliases=(),
        platforms=(),
        layer="",
    )


def _on(finding: Finding, platform: str) -> Finding:
    return msgspec.structs.replace(finding, platforms=(platform,))


def merge(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of a report, equal ones of several platforms as one."""
    merged: dict[Finding, Finding] = {}
    for one in sorted(findings, key=lambda one: one.platforms):
        same = msgspec.structs.replace(one, platforms=(), purl="", layer="")
        first = merged.get(same, one)
        both = tuple(sorted({*first.platforms, *one.platforms}))
        merged[same] = msgspec.structs.replace(first, platforms=both)
    return tuple(sorted(merged.values(), key=_place))


def _place(one: Finding) -> tuple[int, str, str, str, str, str, str]:
    worst_first = -SEVERITIES.index(one.severity)
    return worst_first, one.id, one.package, one.path, one.version, one.title, one.target
