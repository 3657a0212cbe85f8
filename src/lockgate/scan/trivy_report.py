"""Trivy's JSON report as findings. Nothing here touches a file or a process.

The format is Trivy's `pkg/types/report.go`, schema version 2. Keys that this module does not know are
passed over, since every release adds some; a schema version that it does not know is refused.
"""

from __future__ import annotations

import contextlib
import gc
import re
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lockgate.base.errors import ReportUnreadable
from lockgate.base.settings import SEVERITIES, Severity
from lockgate.scan.model import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 2
"""The report's `SchemaVersion` that is known."""

NOT_OF_IMAGES = frozenset({"DS-0026"})
"""Rules that an image's configuration cannot follow: the OCI image specification has no HEALTHCHECK, the
platform's probes do that work. They count in Dockerfiles that lie in an image."""

IMAGE_CONFIGURATION = "image configuration"
"""Stands for the file in findings of the image's own configuration."""

_KINDS = {("os-pkgs", "debian"): "deb", ("lang-pkgs", "python-pkg"): "pypi"}
_PYTHON = ("python-pkg", "pip")
"""Trivy's words for installed distributions and for a requirements file."""

_Text = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Schema(_Model):
    version: int = Field(default=0, alias="SchemaVersion")


class _System(_Model):
    family: str = Field(default="", alias="Family")
    name: str = Field(default="", alias="Name")
    ended: bool = Field(default=False, alias="EOSL")


class _Metadata(_Model):
    image: str = Field(default="", alias="ImageID")
    system: _System | None = Field(default=None, alias="OS")


class _Layer(_Model):
    diff_id: str = Field(default="", alias="DiffID")


class _Identifier(_Model):
    purl: str = Field(default="", alias="PURL")


class _Package(_Model):
    name: str = Field(default="", alias="Name")


class _Vulnerability(_Model):
    id: _Text = Field(alias="VulnerabilityID")
    package: _Text = Field(alias="PkgName")
    version: str = Field(default="", alias="InstalledVersion")
    fixed: str = Field(default="", alias="FixedVersion")
    severity: str | None = Field(default=None, alias="Severity")
    title: str = Field(default="", alias="Title")
    path: str = Field(default="", alias="PkgPath")
    others: tuple[str, ...] | None = Field(default=None, alias="VendorIDs")
    identifier: _Identifier | None = Field(default=None, alias="PkgIdentifier")
    layer: _Layer | None = Field(default=None, alias="Layer")


class _Misconfiguration(_Model):
    id: _Text = Field(alias="ID")
    severity: str | None = Field(default=None, alias="Severity")
    title: str = Field(default="", alias="Title")
    status: str = Field(default="", alias="Status")
    layer: _Layer | None = Field(default=None, alias="Layer")
    cause: _Cause | None = Field(default=None, alias="CauseMetadata")


class _Cause(_Model):
    line: int = Field(default=0, alias="StartLine")


class _Secret(_Model):
    # `Match` and `Code` are left out on purpose: they quote the file around the secret.
    id: _Text = Field(alias="RuleID")
    severity: str | None = Field(default=None, alias="Severity")
    title: str = Field(default="", alias="Title")
    line: int = Field(default=0, alias="StartLine")
    layer: _Layer | None = Field(default=None, alias="Layer")


class _Result(_Model):
    target: str = Field(default="", alias="Target")
    kind: str = Field(default="", alias="Class")
    type: str = Field(default="", alias="Type")
    packages: tuple[_Package, ...] | None = Field(default=None, alias="Packages")
    vulnerabilities: tuple[_Vulnerability, ...] | None = Field(
        default=None, alias="Vulnerabilities"
    )
    misconfigurations: tuple[_Misconfiguration, ...] | None = Field(
        default=None, alias="Misconfigurations"
    )
    secrets: tuple[_Secret, ...] | None = Field(default=None, alias="Secrets")


class _Report(_Model):
    artifact: str = Field(default="", alias="ArtifactName")
    metadata: _Metadata = Field(default=_Metadata(), alias="Metadata")
    results: tuple[_Result, ...] | None = Field(default=None, alias="Results")


class Parsed(NamedTuple):
    """What a report says of one platform."""

    image: str
    """Digest of the image configuration that was scanned; empty when the report does not say."""
    system: str
    """Operating system and release, `debian 13.7`; empty when none was recognised."""
    packages: tuple[tuple[str, str], ...]
    """Kind (`deb`, `pypi`, or the scanner's own word) and normalised name of every package seen, sorted."""
    findings: tuple[Finding, ...]
    """In the report's order, without platforms."""
    checked: tuple[str, ...] = ()
    """Files that a rule about misconfigurations looked at, whatever it found, in the report's order."""
    ended: bool = False
    """True when nobody lists any more what is found in this release of the system."""


def parse(data: bytes) -> Parsed:
    """Parse the bytes of a report.

    Raises:
        ReportUnreadable: the bytes are cut off, not a report, or of an unknown schema version.
    """
    with _no_collection():
        try:
            version = _Schema.model_validate_json(data).version
            report = _Report.model_validate_json(data) if version == SCHEMA else None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the report"
            raise ReportUnreadable(
                f"trivy's report is not readable: {place}: {first['msg']}",
                hint="run the scan again; nothing was decided from this report",
            ) from None
    if report is None:
        raise ReportUnreadable(
            f"trivy's report has schema version {version}, only {SCHEMA} is read",
            hint="put a Trivy on PATH whose reports have that version, or remove it from PATH",
        )
    results = report.results or ()
    system = report.metadata.system or _System()
    seen = {_name(result, package) for result in results for package in result.packages or ()}
    return Parsed(
        image=report.metadata.image,
        system=f"{system.family} {system.name}".strip() if system.family else "",
        packages=tuple(sorted(seen)),
        findings=tuple(one for result in results for one in _findings(result, report.artifact)),
        checked=tuple(one.target for one in results if one.misconfigurations),
        ended=system.ended,
    )


def _name(result: _Result, package: _Package) -> tuple[str, str]:
    kind = _KINDS.get((result.kind, result.type), result.type)
    if kind == "pypi":
        # Trivy takes the name from METADATA as it is written; everyone compares the normalised one.
        return kind, re.sub(r"[-_.]+", "-", package.name).lower()
    return kind, package.name


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    # A large report makes hundreds of thousands of objects, none of them garbage: walking them again and
    # again doubles the time.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _findings(result: _Result, artifact: str) -> Iterator[Finding]:
    for vulnerability in result.vulnerabilities or ():
        yield _vulnerability(vulnerability, result.type)
    # Trivy names a file by its path, and the image's own configuration like the whole artifact.
    file = "" if result.target == artifact else result.target.lstrip("/")
    for check in result.misconfigurations or ():
        ours = not file and result.type == "dockerfile" and check.id in NOT_OF_IMAGES
        if check.status != "PASS" and not ours:
            line = check.cause.line if check.cause else 0
            yield _in_file("misconfig", check, line, file, result.type)
    for secret in result.secrets or ():
        yield _in_file("secret", secret, secret.line, file, "secret")


def _vulnerability(found: _Vulnerability, target: str) -> Finding:
    return Finding(
        kind="vuln",
        id=found.id,
        severity=_severity(found.severity),
        title=found.title,
        package=found.package,
        version=found.version,
        fixed=_next_fixed(found, target),
        target=target,
        path=found.path,
        purl=found.identifier.purl if found.identifier else "",
        aliases=tuple(sorted(set(found.others or ()) - {found.id})),
        platforms=(),
        layer=found.layer.diff_id if found.layer else "",
    )


def _in_file(
    kind: str, found: _Misconfiguration | _Secret, line: int, file: str, target: str
) -> Finding:
    return Finding(
        kind=kind,
        id=found.id,
        severity=_severity(found.severity),
        title=f"{found.title}, line {line}" if line and file else found.title,
        package=file or IMAGE_CONFIGURATION,
        version="",
        fixed="",
        target=target,
        path=file,
        purl="",
        aliases=(),
        platforms=(),
        layer=found.layer.diff_id if found.layer else "",
    )


def _severity(text: str | None) -> Severity:
    """Return the severity that a report names; what it does not name or what is not known is UNKNOWN."""
    for known in SEVERITIES:
        if text == known:
            return known
    return "UNKNOWN"


def _next_fixed(found: _Vulnerability, target: str) -> str:
    """Return the lowest fixed version above the installed one; Trivy lists one for each branch."""
    if target not in _PYTHON or "," not in found.fixed:
        return found.fixed
    from packaging.version import Version

    try:
        installed = Version(found.version)
        versions = sorted(Version(text.strip()) for text in found.fixed.split(","))
    except ValueError:
        return found.fixed  # no version, or one of more digits than a number may have
    return next((str(version) for version in versions if version > installed), found.fixed)
