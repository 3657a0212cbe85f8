"""`lockgate.scan.scan`: the stage, with a scanner that knows one vulnerability."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import DigestMismatch, LockgateError, SubjectMismatch, ToolError
from lockgate.base.settings import SEVERITIES, Scan
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import Manifest
from lockgate.scan.model import Finding, Report, Scanner
from lockgate.scan.scan import merge, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lockgate.build.model import Image
    from lockgate.oci.layout import Layout
    from lockgate.oci.manifest import Descriptor
    from lockgate.scan.database import DatabaseDir

SCANNER = Scanner(name="trivy", version="1", digest="sha256:1", origin="path", sandbox="none")


def canned(config: str, arch: str) -> dict[str, Any]:
    """Return what the scanner says of one platform: one vulnerability."""
    purl = f"pkg:deb/debian/libbad1@1.0-1?arch={arch}&distro=debian-13"
    return {
        "SchemaVersion": 2,
        "ArtifactName": "image",
        "Metadata": {"ImageID": config, "OS": {"Family": "debian", "Name": "13.7"}},
        "Results": [
            {
                "Class": "os-pkgs",
                "Type": "debian",
                "Packages": [{"Name": "libbad1"}],
                "Vulnerabilities": [
                    {
                        "VulnerabilityID": "CVE-2026-0001",
                        "PkgName": "libbad1",
                        "PkgIdentifier": {"PURL": purl},
                        "InstalledVersion": "1.0-1",
                        "FixedVersion": "1.0-2",
                        "Layer": {"DiffID": f"sha256:{arch}"},
                        "Severity": "HIGH",
                        "Title": "libbad reads too far",
                    }
                ],
            },
            {"Class": "lang-pkgs", "Type": "python-pkg", "Packages": [{"Name": "Flask"}]},
        ],
    }


class OneVulnerability:
    """A scanner that reads the manifests it is given and knows one vulnerability."""

    scanner = SCANNER

    def __init__(self, change: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self.change = change

    def scan_manifests(
        self,
        layout: Layout,
        manifests: Sequence[Descriptor],
        database: DatabaseDir,  # noqa: ARG002
        settings: Scan,  # noqa: ARG002
    ) -> tuple[bytes, ...]:
        """Report the vulnerability on every platform."""
        found = []
        for one in manifests:
            config = Manifest.parse(layout.read(one.digest)).config.digest
            report = canned(config, json.loads(layout.read(config))["architecture"])
            if self.change is not None:
                self.change(report)
            found.append(json.dumps(report).encode())
        return tuple(found)


@pytest.fixture
def run(
    image: Image, layout: Layout, database: DatabaseDir, tmp_path: Path
) -> Callable[..., Report]:
    """Return a call of the stage in which anything can be replaced."""

    def call(change: Any = None, **changes: Any) -> Report:
        given: dict[str, Any] = {
            "trivy": OneVulnerability(change),
            "database": database,
            "settings": Scan(),
            "now": 5000,
            "records": tmp_path / "records",
            **changes,
        }
        return scan(given.pop("image", image), layout, **given)

    return call


def test_report_speaks_of_the_index(
    run: Callable[..., Report], image: Image, database: Any
) -> None:
    """The subject is the index's digest; scanner, database and time stand in the report."""
    found = run()
    assert found.subject == image.subject
    assert found.scanner == SCANNER
    assert found.database == database.record
    assert found.scanned == 5000
    assert not found.dirty
    assert decode(encode(found), Report) == found


def test_every_platform_has_its_raw_report(
    run: Callable[..., Report], image: Image, tmp_path: Path
) -> None:
    """Raw reports are kept by digest, readable by their owner only."""
    found = run()
    assert [one.platform for one in found.platforms] == ["linux/amd64", "linux/arm64"]
    assert [one.manifest for one in found.platforms] == [one.manifest for one in image.platforms]
    for one in found.platforms:
        path = tmp_path / "records" / Digest(one.report).hex
        assert Digest.of(path.read_bytes()) == one.report
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert one.packages == 2


def test_same_finding_of_two_platforms_stands_once(run: Callable[..., Report]) -> None:
    """It names both platforms, and the details of the first."""
    (one,) = run().findings
    assert one.platforms == ("linux/amd64", "linux/arm64")
    assert "arch=amd64" in one.purl
    assert one.layer == "sha256:amd64"


def test_finding_of_one_platform_names_that_one(run: Callable[..., Report]) -> None:
    """What is found on one platform only is not said of the other."""

    def only_arm(found: dict[str, Any]) -> None:
        vulnerabilities = found["Results"][0]["Vulnerabilities"]
        if "arch=amd64" in vulnerabilities[0]["PkgIdentifier"]["PURL"]:
            vulnerabilities.clear()

    (one,) = run(only_arm).findings
    assert one.platforms == ("linux/arm64",)


def test_uncommitted_changes_stand_in_the_report(run: Callable[..., Report], image: Image) -> None:
    """A dirty source makes a dirty report."""
    source = msgspec.structs.replace(image.source, changes=("app/x.py",))
    assert run(image=msgspec.structs.replace(image, source=source)).dirty


def _other_image(found: dict[str, Any]) -> None:
    found["Metadata"]["ImageID"] = "sha256:" + "9" * 64


def _no_image(found: dict[str, Any]) -> None:
    del found["Metadata"]["ImageID"]


def _no_packages(found: dict[str, Any]) -> None:
    for result in found["Results"]:
        result["Packages"] = []


def _no_results(found: dict[str, Any]) -> None:
    found["Results"] = None


def _no_system(found: dict[str, Any]) -> None:
    found["Metadata"]["OS"] = None


def _other_system(found: dict[str, Any]) -> None:
    found["Metadata"]["OS"] = {"Family": "ubuntu", "Name": "20.04"}


def _other_release(found: dict[str, Any]) -> None:
    found["Metadata"]["OS"]["Name"] = "14"


def _no_python(found: dict[str, Any]) -> None:
    found["Results"].pop()


def _no_debian(found: dict[str, Any]) -> None:
    found["Results"][0]["Packages"] = [{"Name": "libother1"}]


def _other_schema(found: dict[str, Any]) -> None:
    found["SchemaVersion"] = 3


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (_other_image, SubjectMismatch, "trivy reported on sha256:999"),
        (_no_image, SubjectMismatch, "trivy reported on no image"),
        (_no_packages, ToolError, "saw no packages"),
        (_no_results, ToolError, "saw no packages"),
        (_no_system, ToolError, "did not recognise the operating system"),
        (_other_system, ToolError, "do not know ubuntu 20"),
        (_other_release, ToolError, "do not know debian 14"),
        (_no_python, ToolError, "did not see 1 of 2 packages of linux/amd64: flask"),
        (_no_debian, ToolError, "did not see 1 of 2 packages of linux/amd64: libbad1"),
        (_other_schema, ToolError, "schema version 3"),
    ],
)
def test_report_that_proves_nothing_is_refused(
    run: Callable[..., Report],
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    *,
    error: type[LockgateError],
    says: str,
) -> None:
    """A report of something else, or of too little, is an error and never "no findings"."""
    with pytest.raises(error, match=says) as caught:
        run(change)
    assert caught.value.hint
    assert not (tmp_path / "records").exists()


def test_packages_do_not_matter_to_other_scanners(run: Callable[..., Report]) -> None:
    """Looking for secrets only needs no packages."""
    assert run(_no_packages, settings=Scan(scanners=("secret",))).platforms[0].packages == 0


@pytest.mark.parametrize("known", ["debian 12", "debian 1", "debian 13.70", "13.7", "debian"])
def test_a_release_that_the_database_does_not_know_is_no_clean_scan(
    run: Callable[..., Report], database: DatabaseDir, known: str
) -> None:
    """Trivy finds nothing in a release that it has no advisories of, and that is not a pass: `debian 13.7` here."""
    with pytest.raises(ToolError, match=r"do not know debian 13\.7") as caught:
        run(database=database._replace(buckets=(known, "pip::python")))
    assert "scan.database --pull" in caught.value.hint


@pytest.mark.parametrize("known", ["debian 13", "debian 13.7"])
def test_a_release_is_known_by_its_number_or_the_beginning(
    run: Callable[..., Report], database: DatabaseDir, known: str
) -> None:
    """Debian is looked up by its major number, other systems by all of theirs."""
    assert run(database=database._replace(buckets=(known, "pip::python"))).findings


def _go_too(report: dict[str, Any]) -> None:
    packages = [{"Name": "stdlib"}, {"Name": "example.org/lib"}]
    report["Results"].append({"Class": "lang-pkgs", "Type": "gobinary", "Packages": packages})


def test_packages_without_advisories_are_a_finding(run: Callable[..., Report]) -> None:
    """Go packages against advisories that know nothing of Go are said to be unchecked, and not to be clean."""
    found = run(_go_too)
    (only,) = (one for one in found.findings if one.kind == "unchecked")
    assert (only.id, only.severity, only.fixable) == ("UNCHECKED-GOBINARY", "HIGH", True)
    assert only.title.startswith("2 gobinary packages")
    assert len(only.platforms) == 2


def test_packages_with_advisories_are_checked(
    run: Callable[..., Report], database: DatabaseDir
) -> None:
    """With advisories of their ecosystem there is nothing to say."""
    known = database._replace(buckets=(*database.buckets, "go::GitHub Security Advisory Go"))
    assert all(one.kind != "unchecked" for one in run(_go_too, database=known).findings)


def _ended(report: dict[str, Any]) -> None:
    report["Metadata"]["OS"]["EOSL"] = True


def test_a_release_that_is_no_longer_supported_is_a_finding(run: Callable[..., Report]) -> None:
    """What nobody lists any more is not found, and that is not a pass."""
    (only,) = (one for one in run(_ended).findings if one.kind == "unchecked")
    assert (only.id, only.severity, only.fixable) == ("UNSUPPORTED-SYSTEM", "HIGH", True)
    assert only.title.startswith("debian 13.7 is no longer supported")
    assert len(only.platforms) == 2


def test_only_a_search_for_vulnerabilities_needs_advisories(run: Callable[..., Report]) -> None:
    """Who looks for secrets alone is not told of advisories."""
    found = run(_go_too, settings=Scan(scanners=("secret",)))
    assert all(one.kind != "unchecked" for one in found.findings)


def test_record_of_another_image_is_refused(run: Callable[..., Report], image: Image) -> None:
    """Platforms in the record that the index does not hold, or the other way round, stop the scan."""
    fewer = msgspec.structs.replace(image, platforms=image.platforms[:1])
    none = msgspec.structs.replace(image, platforms=())
    moved = msgspec.structs.replace(image, subject=image.platforms[0].manifest)
    for other in (fewer, none, moved):
        with pytest.raises(SubjectMismatch, match="does not hold the platforms"):
            run(image=other)


def test_configuration_of_the_record_is_compared(run: Callable[..., Report], image: Image) -> None:
    """A record that names another configuration than the manifest is refused."""
    first = msgspec.structs.replace(image.platforms[0], config="sha256:" + "8" * 64)
    with pytest.raises(SubjectMismatch):
        run(image=msgspec.structs.replace(image, platforms=(first, image.platforms[1])))


def test_changed_blob_is_refused(run: Callable[..., Report], image: Image, layout: Layout) -> None:
    """A layer with one changed byte is not scanned."""
    path = layout.path(image.platforms[1].layers[0])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatch):
        run()


def test_report_is_missing(run: Callable[..., Report]) -> None:
    """A scanner that returns fewer reports than there are platforms did not scan them all."""

    class Forgetful(OneVulnerability):
        def scan_manifests(self, *arguments: Any) -> tuple[bytes, ...]:
            """Report on the first platform only."""
            return super().scan_manifests(*arguments)[:1]

    with pytest.raises(ToolError, match="1 of 2 platforms"):
        run(trivy=Forgetful())


_findings = st.builds(
    Finding,
    kind=st.just("vuln"),
    id=st.sampled_from(["CVE-1", "CVE-2"]),
    severity=st.sampled_from(SEVERITIES),
    title=st.just(""),
    package=st.sampled_from(["a", "b"]),
    version=st.just("1"),
    fixed=st.just(""),
    target=st.just("debian"),
    path=st.sampled_from(["", "x"]),
    purl=st.sampled_from(["p", "q"]),
    aliases=st.just(()),
    platforms=st.sampled_from([("linux/amd64",), ("linux/arm64",)]),
    layer=st.sampled_from(["l", "m"]),
)


@given(st.lists(_findings, max_size=8), st.randoms())
def test_merge_loses_nothing_and_has_one_order(found: list[Finding], random: Any) -> None:
    """Each finding keeps its platforms, none is doubled, and the worst ones come first."""
    merged = merge(found)

    def identity(one: Finding) -> tuple[str, ...]:
        return one.severity, one.id, one.package, one.path

    assert {(identity(one), where) for one in found for where in one.platforms} == {
        (identity(one), where) for one in merged for where in one.platforms
    }
    assert len({identity(one) for one in merged}) == len(merged)
    ranks = [-SEVERITIES.index(one.severity) for one in merged]
    assert ranks == sorted(ranks)
    shuffled = sorted(found, key=lambda one: (one.purl, one.layer))
    random.shuffle(shuffled)
    assert [identity(one) for one in merge(shuffled)] == [identity(one) for one in merged]
