"""`lockgate.scan.trivy_report`. The reports are cut down from what Trivy 0.76.0 wrote."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import ReportUnreadable
from lockgate.scan.trivy_report import IMAGE_CONFIGURATION, parse

LAYER = {"Digest": "sha256:1", "DiffID": "sha256:2"}
SECRET = "ghp_" + "a1B2c3D4" * 4


def document(*results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a report with these results."""
    return {
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.76.0"},
        "ReportID": "1",
        "CreatedAt": "2026-11-21T13:35:14.470301202Z",
        "ArtifactID": "sha256:3",
        "ArtifactName": "image",
        "ArtifactType": "container_image",
        "Metadata": {
            "Size": 1,
            "OS": {"Family": "debian", "Name": "13.7"},
            "ImageID": "sha256:4",
            "Reference": None,
        },
        "Results": list(results),
        **changes,
    }


def read(*results: dict[str, Any], **changes: Any) -> Any:
    """Parse a report with these results."""
    return parse(json.dumps(document(*results, **changes)).encode())


def vulnerability(**changes: Any) -> dict[str, Any]:
    """Return a result with one vulnerability of flask."""
    found = {
        "VulnerabilityID": "CVE-2023-30861",
        "VendorIDs": ["PYSEC-2023-62", "GHSA-m2qf-hxjv-5gpq", "CVE-2023-30861"],
        "PkgName": "Flask",
        "PkgPath": "usr/lib/Flask-1.0.2.dist-info/METADATA",
        "PkgIdentifier": {"PURL": "pkg:pypi/flask@1.0.2", "UID": "f78c"},
        "InstalledVersion": "1.0.2",
        "FixedVersion": "2.2.5, 2.3.2",
        "Status": "fixed",
        "Layer": LAYER,
        "DataSource": {"ID": "osv"},
        "Title": "Flask caches cookies",
        "Severity": "HIGH",
        **changes,
    }
    found = {key: value for key, value in found.items() if value is not ...}
    return {
        "Target": "Python",
        "Class": "lang-pkgs",
        "Type": "python-pkg",
        "Vulnerabilities": [found],
    }


def test_vulnerability_becomes_a_finding() -> None:
    """Every field that a gate needs is taken over; the id does not stand among its aliases."""
    (one,) = read(vulnerability()).findings
    assert (one.kind, one.id, one.severity, one.title) == (
        "vuln",
        "CVE-2023-30861",
        "HIGH",
        "Flask caches cookies",
    )
    assert (one.package, one.version, one.target) == ("Flask", "1.0.2", "python-pkg")
    assert one.path == "usr/lib/Flask-1.0.2.dist-info/METADATA"
    assert one.purl == "pkg:pypi/flask@1.0.2"
    assert one.aliases == ("GHSA-m2qf-hxjv-5gpq", "PYSEC-2023-62")
    assert one.layer == "sha256:2"
    assert one.platforms == ()
    assert one.fixable


@pytest.mark.parametrize(
    ("installed", "listed", "expected"),
    [
        ("1.0.2", "2.2.5, 2.3.2", "2.2.5"),
        ("2.3.1", "2.3.2, 2.2.5", "2.3.2"),
        ("1.0.2", "10.0, 9.0", "9.0"),
        ("3.0", "2.2.5, 2.3.2", "2.2.5, 2.3.2"),
        ("odd", "2.2.5, 2.3.2", "2.2.5, 2.3.2"),
        ("1.0.2", "2.2.5", "2.2.5"),
        ("1.0.2", "", ""),
    ],
)
def test_fixed_is_the_next_version_up(installed: str, listed: str, expected: str) -> None:
    """Of one fix for each branch, the lowest above the installed version is the one to take."""
    (one,) = read(vulnerability(InstalledVersion=installed, FixedVersion=listed)).findings
    assert one.fixed == expected
    assert one.fixable == bool(expected)


def test_fixed_is_the_same_for_a_requirements_file() -> None:
    """What holds for an installed distribution holds for one that is only required."""
    (one,) = read({**vulnerability(), "Type": "pip"}).findings
    assert one.fixed == "2.2.5"


@pytest.mark.parametrize("severity", [..., None, "", "UNKNOWN", "high", "URGENT"])
def test_severity_that_is_not_known_is_unknown(severity: Any) -> None:
    """A missing, empty or new severity is UNKNOWN; the finding is never dropped."""
    (one,) = read(vulnerability(Severity=severity)).findings
    assert one.severity == "UNKNOWN"


@pytest.mark.parametrize("severity", ["LOW", "MEDIUM", "HIGH", "CRITICAL"])
def test_known_severity_is_kept(severity: str) -> None:
    """The four severities come through."""
    (one,) = read(vulnerability(Severity=severity)).findings
    assert one.severity == severity


def test_sparse_vulnerability_is_kept() -> None:
    """A vulnerability of which only id and package are known is a finding all the same."""
    names = ("VendorIDs", "PkgPath", "PkgIdentifier", "InstalledVersion", "FixedVersion", "Layer")
    (one,) = read(vulnerability(**dict.fromkeys((*names, "Title", "Severity"), ...))).findings
    assert (one.id, one.package, one.severity, one.fixed) == (
        "CVE-2023-30861",
        "Flask",
        "UNKNOWN",
        "",
    )


def secret(**changes: Any) -> dict[str, Any]:
    """Return a result with one secret, quoted as Trivy quotes it."""
    found = {
        "RuleID": "github-pat",
        "Category": "GitHub",
        "Severity": "CRITICAL",
        "Title": "GitHub Personal Access Token",
        "StartLine": 3,
        "EndLine": 3,
        "Code": {"Lines": [{"Number": 2, "Content": f"password = {SECRET}"}]},
        "Match": f"token={SECRET}",
        "Layer": LAYER,
    }
    return {"Target": "/app/k.py", "Class": "secret", "Secrets": [found], **changes}


def test_secret_is_reported_without_its_text() -> None:
    """A finding says which rule, file and line, and never what the file says there."""
    (one,) = read(secret()).findings
    assert (one.kind, one.id, one.severity, one.target) == (
        "secret",
        "github-pat",
        "CRITICAL",
        "secret",
    )
    assert (one.package, one.path) == ("app/k.py", "app/k.py")
    assert one.title == "GitHub Personal Access Token, line 3"
    assert one.fixable
    assert SECRET not in repr(one)


def test_two_secrets_in_one_file_are_two_findings() -> None:
    """The line keeps findings of one rule apart."""
    result = secret()
    result["Secrets"].append({**result["Secrets"][0], "StartLine": 9})
    assert len(set(read(result).findings)) == 2


def test_secret_in_the_configuration_has_no_path() -> None:
    """The image's own configuration is named as such: it is no file in the image."""
    (one,) = read(secret(Target="image")).findings
    assert (one.package, one.path) == (IMAGE_CONFIGURATION, "")


def misconfiguration(id_: str, target: str, **changes: Any) -> dict[str, Any]:
    """Return a result with one failed check of a Dockerfile."""
    found = {
        "Type": "Dockerfile Security Check",
        "ID": id_,
        "Title": "Image user should not be 'root'",
        "Message": "Last USER command in Dockerfile should not be 'root'",
        "Severity": "HIGH",
        "Status": "FAIL",
        "Layer": LAYER,
        "CauseMetadata": {"Provider": "Dockerfile", "StartLine": 2, "EndLine": 2},
        **changes,
    }
    return {
        "Target": target,
        "Class": "config",
        "Type": "dockerfile",
        "MisconfSummary": {"Successes": 22, "Failures": 1},
        "Misconfigurations": [found],
    }


def test_misconfiguration_becomes_a_finding() -> None:
    """A failed check names its rule, file and line."""
    (one,) = read(misconfiguration("DS-0002", "app/Dockerfile")).findings
    assert (one.kind, one.id, one.severity, one.target) == (
        "misconfig",
        "DS-0002",
        "HIGH",
        "dockerfile",
    )
    assert (one.package, one.path, one.layer) == ("app/Dockerfile", "app/Dockerfile", "sha256:2")
    assert one.title == "Image user should not be 'root', line 2"
    assert one.fixable


def test_check_of_the_configuration_is_reported() -> None:
    """An image that runs as root is found through its configuration."""
    (one,) = read(misconfiguration("DS-0002", "image")).findings
    assert (one.package, one.path) == (IMAGE_CONFIGURATION, "")


def test_health_check_is_not_asked_of_an_image() -> None:
    """An OCI image cannot have a HEALTHCHECK, so its absence counts in a Dockerfile only."""
    assert not read(misconfiguration("DS-0026", "image")).findings
    assert len(read(misconfiguration("DS-0026", "app/Dockerfile")).findings) == 1


@pytest.mark.parametrize(("status", "count"), [("PASS", 0), ("FAIL", 1), ("EXCEPTION", 1), ("", 1)])
def test_only_a_pass_is_no_finding(status: str, count: int) -> None:
    """Whatever did not pass counts."""
    assert len(read(misconfiguration("DS-0002", "x", Status=status)).findings) == count


def test_packages_are_named_as_ours() -> None:
    """Kinds and names are those of our own records, so that the two can be compared."""
    found = read(
        {
            "Target": "image (debian 13.7)",
            "Class": "os-pkgs",
            "Type": "debian",
            "Packages": [{"Name": "libc6", "Version": "2.41", "SrcName": "glibc"}],
        },
        {
            "Target": "Python",
            "Class": "lang-pkgs",
            "Type": "python-pkg",
            "Packages": [{"Name": "Flask_WTF.x"}, {"Name": "Flask_WTF.x"}],
        },
        {"Target": "a", "Class": "lang-pkgs", "Type": "gobinary", "Packages": [{"Name": "a/b"}]},
    )
    assert found.packages == (("deb", "libc6"), ("gobinary", "a/b"), ("pypi", "flask-wtf-x"))
    assert (found.image, found.system) == ("sha256:4", "debian 13.7")


@pytest.mark.parametrize("results", [None, ...])
def test_nothing_seen_is_nothing_seen(results: Any) -> None:
    """A report without results has neither packages nor findings; the stage refuses it."""
    report = document(Metadata={}, Results=results)
    if results is ...:
        del report["Results"]
    found = parse(json.dumps(report).encode())
    assert found == ("", "", (), (), (), False)


@pytest.mark.parametrize("version", [0, 1, 3, 99])
def test_unknown_schema_is_refused(version: int) -> None:
    """A format of another version may mean something else, so it is not read at all."""
    with pytest.raises(ReportUnreadable, match=f"schema version {version}, only 2"):
        read({"Results": "of another shape"}, SchemaVersion=version)


def test_missing_schema_is_refused() -> None:
    """A report that does not say its version is not a report."""
    with pytest.raises(ReportUnreadable, match="schema version 0"):
        parse(b"{}")


@pytest.mark.parametrize(
    "broken",
    [
        vulnerability(VulnerabilityID=...),
        vulnerability(VulnerabilityID=""),
        vulnerability(PkgName=""),
        vulnerability(VendorIDs="x"),
        {"Secrets": [{}]},
        {"Misconfigurations": [{"Status": "FAIL"}]},
        {"Vulnerabilities": {}},
    ],
)
def test_finding_without_an_identity_is_refused(broken: dict[str, Any]) -> None:
    """What cannot be named cannot be waived or fixed; the report is unreadable, the finding not lost."""
    with pytest.raises(ReportUnreadable, match="not readable"):
        read(broken)


@given(st.data())
def test_cut_report_is_refused(data: st.DataObject) -> None:
    """A report that ends at any earlier byte is never read as one with fewer findings."""
    whole = json.dumps(document(vulnerability(), secret())).encode()
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ReportUnreadable):
        parse(whole[:end])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No input ends in another exception."""
    with pytest.raises(ReportUnreadable):
        parse(data)


def test_error_does_not_quote_the_report() -> None:
    """A message about a broken report carries none of its text: it may hold a secret."""
    with pytest.raises(ReportUnreadable) as caught:
        read({"Secrets": [{"RuleID": 5, "Match": SECRET}]}, ArtifactName=[SECRET])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("good", [True, False])
def test_collector_is_left_as_it_was(good: bool) -> None:
    """Garbage collection pauses for a report and goes on afterwards, also after a broken one."""
    if good:
        read(vulnerability())
    else:
        with pytest.raises(ReportUnreadable):
            parse(b"{")
    assert gc.isenabled()


def test_files_that_were_checked_are_named() -> None:
    """A file of which a rule held is one that was looked at; one without a rule is not."""
    rule = {"ID": "KSV-0017", "Severity": "HIGH", "Title": "Privileged", "Status": "PASS"}
    results = [
        {"Target": "a.yaml", "Class": "config", "Type": "kubernetes", "Misconfigurations": [rule]},
        {"Target": "b.yaml", "Class": "config", "Type": "kubernetes"},
    ]
    found = parse(json.dumps({"SchemaVersion": 2, "Results": results}).encode())
    assert (found.checked, found.findings) == (("a.yaml",), ())
