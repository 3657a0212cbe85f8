"""Predicates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lockgate.base.canonical import encode
from lockgate.base.errors import DigestMismatch, SubjectMismatch, UsageError
from lockgate.build.model import GoSources, Package
from lockgate.gate.decision import Decision
from lockgate.oci.digest import Digest
from lockgate.scan.sbom import cyclonedx
from lockgate.sign import predicate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.world import World


def test_an_image_signature_says_nothing_more() -> None:
    """`cosign sign` of v3 signs an empty predicate."""
    assert predicate.signature() == b"{}"
    assert predicate.SIGNATURE == "https://sigstore.dev/cosign/sign/v1"


def test_the_sbom_is_taken_as_it_is(world: World) -> None:
    """Not a byte of the document is changed."""
    assert predicate.sbom(world.sbom, world.image) is world.sbom


def test_our_own_sbom_is_taken(world: World) -> None:
    """What the build writes about an image is about that image."""
    document = cyclonedx(world.image)
    assert predicate.sbom(document, world.image) == document


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"spdxVersion": "SPDX-2.3"}',
        b'{"bomFormat": "CycloneDX"}',
        b'{"bomFormat": "CycloneDX", "components": []}',
        b'{"bomFormat": "CycloneDX", "components": "libexpat1"}',
        b'{"bomFormat": "CycloneDX", "components": [{"hashes": 7}]}',
    ],
)
def test_another_document_is_no_sbom(document: bytes, world: World) -> None:
    """An SBOM that lists nothing, or is of another kind, is refused before it is signed."""
    with pytest.raises(UsageError):
        predicate.sbom(document, world.image)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("SHA-256", "SHA-512", "not about"),
        ("abab", "acab", "lacks libexpat1"),
    ],
)
def test_an_sbom_of_something_else_is_refused(old: str, new: str, why: str, world: World) -> None:
    """It must name the image by digest, and each of its packages by theirs."""
    document = world.sbom.replace(old.encode(), new.encode())
    with pytest.raises(SubjectMismatch, match=why):
        predicate.sbom(document, world.image)


def test_another_images_sbom_is_refused(make_world: Callable[..., World]) -> None:
    """The same packages in another image are another bill."""
    one, other = make_world(), make_world(salt="other")
    with pytest.raises(SubjectMismatch, match="not about"):
        predicate.sbom(other.sbom, one.image)


def scan(world: World) -> Any:
    """Return the parsed scan predicate."""
    return json.loads(predicate.vuln(world.report, world.raw, builder="urn:b"))


def test_the_scan_has_cosigns_fields(world: World) -> None:
    """COSIGN_VULN_ATTESTATION_SPEC.md: invocation, scanner with database and result, metadata with times."""
    found = scan(world)
    assert set(found["invocation"]) == {"parameters", "uri", "event_id", "builder.id"}
    assert found["scanner"]["uri"] == "pkg:github/aquasecurity/trivy@0.76.0"
    assert found["scanner"]["version"] == "0.76.0"
    assert set(found["scanner"]["db"]) == {"uri", "version"}
    assert found["metadata"]["scanFinishedOn"] == predicate.timestamp(world.report.scanned)
    assert found["metadata"]["scanStartedOn"]


def test_the_scan_holds_every_platforms_results(world: World) -> None:
    """The scanner's own results, floats and all, in the order of the platforms."""
    results = scan(world)["scanner"]["result"]["Results"]
    assert [one["Target"] for one in results] == ["linux/amd64", "linux/arm64"]
    assert results[0]["Vulnerabilities"] == [{"Score": 7.5}]


def test_the_scan_names_its_report(world: World) -> None:
    """A field of our own has the report's digest, the database and the raw reports' digests."""
    ours = scan(world)[predicate.REPORT_FIELD]
    assert ours["digest"] == {"sha256": Digest.of(encode(world.report)).hex}
    assert ours["database"]["kind"] == "upstream"
    assert [one["report"] for one in ours["platforms"]] == list(world.raw)


def test_a_changed_raw_report_is_refused(world: World) -> None:
    """A report whose bytes are not those that were decided on is not signed."""
    first = next(iter(world.raw))
    with pytest.raises(DigestMismatch):
        predicate.vuln(world.report, {**world.raw, first: b"{}"}, builder="b")
    odd = b"[]"
    first_scan = msgspec.structs.replace(world.report.platforms[0], report=Digest.of(odd))
    report = msgspec.structs.replace(world.report, platforms=(first_scan,))
    with pytest.raises(UsageError, match="not a JSON object"):
        predicate.vuln(report, {Digest.of(odd): odd}, builder="b")
    with pytest.raises(UsageError, match="not there"):
        predicate.vuln(world.report, {}, builder="b")


def test_provenance_has_the_fields_of_slsa(world: World) -> None:
    """SLSA build provenance v1: buildDefinition and runDetails with what is required of each."""
    found = json.loads(predicate.provenance(world.image))
    assert set(found) == {"buildDefinition", "runDetails"}
    definition = found["buildDefinition"]
    assert definition["buildType"] == predicate.BUILD_TYPE
    assert definition["externalParameters"]["component"] == "app"
    assert definition["internalParameters"]["inputs"] == world.image.inputs
    builder = found["runDetails"]["builder"]
    assert builder == {
        "id": "urn:lockgate:builder:lockgate/native",
        "version": {"lockgate": "0.1.0"},
    }


def test_provenance_names_everything_by_digest(world: World) -> None:
    """Commit, tree, locks and each package once, although it is on two platforms."""
    found = json.loads(predicate.provenance(world.image))
    names = found["buildDefinition"]["resolvedDependencies"]
    assert all(one["digest"] for one in names)
    assert names[0]["digest"] == {"gitCommit": world.image.source.revision}
    assert names[0]["uri"].startswith("git+https://git.example/shop@3f2a9c1")
    assert [one["name"] for one in names[:4]] == ["source", "tree", "stack.lock", "requirements"]
    assert [one["uri"] for one in names[4:]] == [world.image.platforms[0].packages[0].purl]


def test_provenance_names_go_modules_by_their_sums(world: World) -> None:
    """The locks by their digests, a module by what go.sum lists of it, the standard library by its version."""
    listed = Package(
        kind="gobinary",
        name="example.org/a",
        version="v1.0.0",
        architecture="",
        source="",
        licences=(),
        sha256="a" * 64,
        purl="pkg:golang/example.org/a@v1.0.0",
    )
    own = msgspec.structs.replace(listed, version="", purl="pkg:golang/example.org/own")
    library = msgspec.structs.replace(listed, sha256="", purl="pkg:golang/stdlib@v1.27.3")
    platform = msgspec.structs.replace(world.image.platforms[0], packages=(listed, own, library))
    module = GoSources(
        module="greeting",
        programs={"greeting": "."},
        mod="sha256:" + "1" * 64,
        sums="sha256:" + "2" * 64,
        content="sha256:" + "3" * 64,
    )
    image = msgspec.structs.replace(
        world.image, platforms=(platform,), go=(module,), requirements=""
    )

    names = json.loads(predicate.provenance(image))["buildDefinition"]["resolvedDependencies"]

    assert names[3:] == [
        {"name": "greeting/go.mod", "digest": {"sha256": "1" * 64}},
        {"name": "greeting/go.sum", "digest": {"sha256": "2" * 64}},
        {"uri": listed.purl, "digest": {"dirHash": "a" * 64}},
        {"uri": own.purl, "digest": {"sha256": "a" * 64}},
        {"uri": library.purl},
    ]


def test_provenance_holds_no_time(world: World) -> None:
    """The same build gives the same bytes, so nothing of the run is in it."""
    data = predicate.provenance(world.image)
    assert data == predicate.provenance(world.image)
    found = json.loads(data)
    assert "metadata" not in found["runDetails"]
    assert str(world.image.source.time).encode() not in data


def test_provenance_of_a_dirty_tree_says_so(world: World) -> None:
    """Uncommitted changes are named, and without a commit none is claimed."""
    source = msgspec.structs.replace(world.image.source, revision="", changes=("app/x.py",))
    image = msgspec.structs.replace(world.image, source=source)
    names = json.loads(predicate.provenance(image))["buildDefinition"]["resolvedDependencies"]
    assert "gitCommit" not in json.dumps(names)
    assert names[0]["annotations"] == {"dirty": True, "changes": ["app/x.py"]}


def test_the_summary_has_the_fields_of_slsa(world: World) -> None:
    """SLSA verification summary v1: every required field, and the scan as its input."""
    data = predicate.summary(world.decision, evidence={predicate.VULN: b"s"}, development=False)
    found = json.loads(data)
    assert found["verifier"]["id"] == predicate.VERIFIER
    assert found["timeVerified"] == predicate.timestamp(world.decision.decided)
    assert found["resourceUri"].startswith("pkg:oci/app@sha256%3A")
    assert found["policy"]["uri"] == "urn:lockgate:environment:prod"
    assert found["policy"]["digest"]["sha256"] == Digest.of(encode(world.threshold)).hex
    assert found["verificationResult"] == "PASSED"
    assert found["verifiedLevels"] == ["SLSA_BUILD_LEVEL_UNEVALUATED"]
    (evidence,) = found["inputAttestations"]
    assert evidence["digest"] == {"sha256": Digest.of(b"s").hex}


def test_the_summary_carries_the_decision(world: World) -> None:
    """The whole decision can be read back."""
    found = json.loads(predicate.summary(world.decision, evidence={}, development=True))
    assert msgspec.convert(found[predicate.DECISION_FIELD], Decision) == world.decision
    assert found[predicate.DEVELOPMENT_FIELD] is True


def test_a_closed_gate_is_a_failed_summary(world: World) -> None:
    """A refusal is said as one."""
    closed = msgspec.structs.replace(world.decision, refusals=("uncommitted changes",))
    found = json.loads(predicate.summary(closed, evidence={}, development=False))
    assert (found["verificationResult"], found["verifiedLevels"]) == ("FAILED", ["FAILED"])


def test_names_cover_every_type() -> None:
    """People see one word for each of the five."""
    assert list(predicate.NAMES.values()) == ["signature", "sbom", "vuln", "provenance", "summary"]
