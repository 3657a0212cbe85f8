"""Reports and thresholds of the gate's tests: a scanner that knows what each test tells it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lockgate.gate.decision import Threshold, Waiver
from lockgate.scan.model import Database, Finding, PlatformScan, Report, Scanner

if TYPE_CHECKING:
    from collections.abc import Callable

SUBJECT = "sha256:" + "4f" * 32


@pytest.fixture
def now() -> int:
    """Noon of 2026-11-20 in UTC."""
    return int(dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC).timestamp())


@pytest.fixture
def make_finding() -> Callable[..., Finding]:
    """Return findings that are HIGH, fixed and in a Debian package, unless a test says otherwise."""
    usual = Finding(
        kind="vuln",
        id="CVE-2026-1234",
        severity="HIGH",
        title="heap overflow",
        package="libexpat1",
        version="2.7.1-1",
        fixed="2.7.1-2",
        target="debian",
        path="",
        purl="pkg:deb/debian/libexpat1@2.7.1-1?arch=amd64",
        aliases=(),
        platforms=("linux/amd64",),
        layer="",
    )

    def make(**changes: Any) -> Finding:
        return msgspec.structs.replace(usual, **changes)

    return make


@pytest.fixture
def make_report(now: int) -> Callable[..., Report]:
    """Return reports of a sandboxed scan an hour ago, with a database of the day before."""
    usual = Report(
        subject=SUBJECT,
        scanner=Scanner(
            name="trivy",
            version="0.76.0",
            digest="sha256:" + "aa" * 32,
            origin="path",
            sandbox="namespaces",
        ),
        database=Database(
            kind="upstream", digest="sha256:" + "bb" * 32, updated=now - 86400, partial=False
        ),
        scanned=now - 3600,
        platforms=(
            PlatformScan(
                platform="linux/amd64",
                manifest="sha256:" + "cc" * 32,
                report="sha256:" + "dd" * 32,
                packages=24,
            ),
        ),
        findings=(),
        dirty=False,
    )

    def make(*findings: Finding, **changes: Any) -> Report:
        return msgspec.structs.replace(usual, findings=findings, **changes)

    return make


@pytest.fixture
def make_threshold() -> Callable[..., Threshold]:
    """Return thresholds like that of `prod`."""
    usual = Threshold(
        severity="HIGH",
        blocks=True,
        fixed_only=True,
        unknown="HIGH",
        embedded_advisories=False,
        dirty=False,
        unsandboxed_scanner=False,
        database_max_age_days=2,
        waiver_max_days=30,
    )

    def make(**changes: Any) -> Threshold:
        return msgspec.structs.replace(usual, **changes)

    return make


@pytest.fixture
def make_waiver() -> Callable[..., Waiver]:
    """Return waivers for CVE-2026-1234 that hold for a while."""
    usual = Waiver(
        id="expat",
        findings=("CVE-2026-1234",),
        owner="platform",
        reason="no input of ours reaches the parser",
        until="2026-12-01",
    )

    def make(**changes: Any) -> Waiver:
        return msgspec.structs.replace(usual, **changes)

    return make
