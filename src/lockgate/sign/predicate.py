"""Predicates: what the statements about an image say, each in the form that its readers know.

    signature   cosign v3, `cosign sign` (pkg/types/predicate.go): no content, the signature is the claim
    sbom        CycloneDX (in-toto spec/predicates/cyclonedx.md): the document itself
    vuln        cosign, specs/COSIGN_VULN_ATTESTATION_SPEC.md
    provenance  SLSA build provenance v1
    summary     SLSA verification summary v1, with the gate's Decision in a field of our own

Those of the check stage, which are written on request, are in `lockgate.sign.checks`.

Fields of our own have a URI as their name, as the SLSA parsing rules ask.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate import __version__
from lockgate.base.canonical import Foreign, encode, loads
from lockgate.base.errors import SubjectMismatch, UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lockgate.build.model import Image
    from lockgate.gate.decision import Decision
    from lockgate.scan.model import Report

SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
SBOM = "https://cyclonedx.org/bom"
VULN = "https://cosign.sigstore.dev/attestation/vuln/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"

NAMES = {
    SIGNATURE: "signature",
    SBOM: "sbom",
    VULN: "vuln",
    PROVENANCE: "provenance",
    SUMMARY: "summary",
}
"""What people call each predicate type, in the order in which they are shown."""

ON_REQUEST = {checks.TESTS: "tests", checks.LICENCES: "licences"}
"""The same for what is signed when the record of the check stage is given."""

ORDER = (*NAMES, *ON_REQUEST)
"""Every predicate type that is written, in the order in which records list them."""

BUILD_TYPE = "urn:lockgate:build:image:v1"
BUILDER = "urn:lockgate:builder:"
"""Start of every builder's id; its name follows: `urn:lockgate:builder:lockgate/native`."""
VERIFIER = "urn:lockgate:gate"
ENVIRONMENT = "urn:lockgate:environment:"
"""Start of the policy's URI; the environment's name follows."""

REPORT_FIELD = "urn:lockgate:report"
DECISION_FIELD = "urn:lockgate:decision"
DEVELOPMENT_FIELD = "urn:lockgate:development-key"

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def signature() -> bytes:
    """Return the predicate of an image signature."""
    return encode({})


def signer_says(image: Image, environment: str) -> dict[str, str]:
    """Return what an image signature says beside its claim: who built what from where, and for whom it is signed.

    `cosign verify -a builder=…` and a Kyverno policy compare them. The commit of a tree with uncommitted changes
    is marked, as it is in the image's labels; without a commit there is none.
    """
    source = image.source
    commit = source.revision + ("-dirty" if source.dirty else "") if source.revision else ""
    found = {
        "builder": builder_name(image),
        "stack": image.stack,
        "commit": commit,
        "environment": environment,
    }
    return {key: value for key, value in found.items() if value}


def sbom(document: bytes, image: Image) -> bytes:
    """Return a CycloneDX document as it is.

    Raises:
        UsageError: it is not a CycloneDX document, or lists no component.
        SubjectMismatch: it is about another image, or lacks a package of this one.
    """
    content = loads(document, what="SBOM")
    if not isinstance(content, dict) or content.get("bomFormat") != "CycloneDX":
        raise UsageError("the SBOM is not a CycloneDX document", hint="run `inv build` again")
    if not content.get("components"):
        raise UsageError("the SBOM lists no component", hint="run `inv build` again")
    try:
        found = msgspec.convert(content, _Bom)
    except msgspec.ValidationError as error:
        raise UsageError(f"the SBOM is not valid: {error}", hint="run `inv build` again") from None
    if Digest(image.subject).hex not in found.metadata.component.sha256:
        raise SubjectMismatch(
            f"the SBOM is not about {Digest(image.subject).short}", hint="run `inv build` again"
        )
    listed = {one for component in found.components for one in component.sha256}
    for platform in image.platforms:
        for package in platform.packages:
            if package.sha256 and package.sha256 not in listed:
                raise SubjectMismatch(
                    f"the SBOM lacks {package.name} {package.version} of {platform.platform}",
                    hint="run `inv build` again",
                )
    return document


class _Hash(Foreign, frozen=True):
    alg: str
    content: str


class _Component(Foreign, frozen=True):
    hashes: tuple[_Hash, ...] = ()

    @property
    def sha256(self) -> tuple[str, ...]:
        return tuple(one.content for one in self.hashes if one.alg == "SHA-256")


class _Metadata(Foreign, frozen=True):
    component: _Component = msgspec.field(default_factory=_Component)


class _Bom(Foreign, frozen=True):
    """CycloneDX 1.6, as far as it says what it is about and what is inside."""

    components: tuple[_Component, ...]
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


def vuln(report: Report, raw: Mapping[str, bytes], *, builder: str) -> bytes:
    """Return the scan's predicate: the scanner's own results of every platform, in one list.

    Args:
        report: what the scan stage made of them.
        raw: the scanner's reports by their digest, as they were read.
        builder: the builder's id.

    Raises:
        UsageError: a raw report is missing or is not a JSON object.
        DigestMismatch: a raw report has other bytes than the report says.
    """
    ended = timestamp(report.scanned)
    database = report.database
    content = {
        "invocation": {"parameters": [], "uri": "", "event_id": "", "builder.id": builder},
        "scanner": {
            "uri": f"pkg:github/aquasecurity/{report.scanner.name}@{report.scanner.version}",
            "version": report.scanner.version,
            "db": {"uri": f"urn:lockgate:advisories:{database.kind}", "version": database.digest},
            "result": {
                "SchemaVersion": 2,
                "ArtifactName": report.subject,
                "ArtifactType": "container_image",
                "Results": list(_results(report, raw)),
            },
        },
        # A report knows when its scan ended; it began at most the scan's time limit before.
        "metadata": {"scanStartedOn": ended, "scanFinishedOn": ended},
        REPORT_FIELD: {
            "digest": {"sha256": Digest.of(encode(report)).hex},
            "database": loads(encode(database)),
            "platforms": loads(encode(report.platforms)),
        },
    }
    # Scores in a scanner's results are floats. They are written once, here; later readers hold the bytes.
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _results(report: Report, raw: Mapping[str, bytes]) -> Iterator[Any]:
    for one in report.platforms:
        if one.report not in raw:
            raise UsageError(
                f"the scanner's report of {one.platform} is not there", hint="run `inv scan` again"
            )
        what = f"the scanner's report of {one.platform}"
        content = loads(Digest(one.report).check(raw[one.report], what), what=what)
        if not isinstance(content, dict):
            raise UsageError(f"{what} is not a JSON object", hint="run `inv scan` again")
        yield from content.get("Results") or []


def provenance(image: Image) -> bytes:
    """Return the build's predicate. It holds no time and no run's id, so the same build gives the same bytes."""
    source = image.source
    version = image.builder.partition("@")[2]
    content = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "component": image.component,
                "platforms": [one.platform for one in image.platforms],
                "source": {"repository": source.repository, "subpath": source.subpath},
                "stack": image.stack,
            },
            "internalParameters": {"inputs": image.inputs, "relocked": list(image.relocked)},
            "resolvedDependencies": list(_dependencies(image)),
        },
        "runDetails": {"builder": {"id": builder_id(image), "version": {"lockgate": version}}},
    }
    return encode(content)


def builder_id(image: Image) -> str:
    """Return the id of the builder that made an image."""
    return BUILDER + builder_name(image)


def builder_name(image: Image) -> str:
    """Return the builder's name without its version: `lockgate/native`."""
    return image.builder.partition("@")[0]


def _dependencies(image: Image) -> Iterator[dict[str, Any]]:
    """Yield what the image was made from: commit, source tree, locks, and every package by its digest."""
    source = image.source
    if _COMMIT.fullmatch(source.revision):
        commit: dict[str, Any] = {"name": "source", "digest": {"gitCommit": source.revision}}
        if source.repository:
            commit["uri"] = f"git+{source.repository}@{source.revision}"
        yield commit
    tree: dict[str, Any] = {"name": "tree", "digest": {"sha256": Digest(source.content).hex}}
    if source.dirty:
        tree["annotations"] = {"dirty": True, "changes": list(source.changes)}
    yield tree
    yield {"name": "stack.lock", "digest": {"sha256": Digest(image.stack_lock).hex}}
    if image.requirements:
        yield {"name": "requirements", "digest": {"sha256": Digest(image.requirements).hex}}
    for module in image.go:
        for name, lock in (("go.mod", module.mod), ("go.sum", module.sums)):
            if lock:
                place = f"{module.module}/{name}"
                yield {"name": place, "digest": {"sha256": Digest(lock).hex}}
    packages = {
        (one.purl, one.sha256, one.kind) for each in image.platforms for one in each.packages
    }
    for purl, sha256, kind in sorted(packages):
        # in-toto, digest_set.md: what go.sum lists is a `dirHash`. Sources of our own have no version.
        listed = kind == "gobinary" and "@" in purl
        digest = {"dirHash" if listed else "sha256": sha256}
        yield {"uri": purl, "digest": digest} if sha256 else {"uri": purl}


def summary(decision: Decision, *, evidence: Mapping[str, bytes], development: bool) -> bytes:
    """Return the verdict's predicate, the Decision inside.

    Args:
        decision: the gate's verdict.
        evidence: statements that it was made from, by predicate type.
        development: whether a development key signs; said inside, where no one can take it off.
    """
    content = {
        "verifier": {"id": VERIFIER, "version": {"lockgate": __version__}},
        "timeVerified": timestamp(decision.decided),
        "resourceUri": resource_uri(decision.component, decision.subject),
        "policy": {
            "uri": ENVIRONMENT + decision.environment,
            "digest": {"sha256": Digest.of(encode(decision.threshold)).hex},
        },
        "inputAttestations": [
            {
                "name": kind,
                "digest": {"sha256": Digest.of(evidence[kind]).hex},
                "mediaType": "application/vnd.in-toto+json",
            }
            for kind in sorted(evidence)
        ],
        "verificationResult": "PASSED" if decision.allowed else "FAILED",
        # The gate judges findings. It makes no claim about a level of the build track.
        "verifiedLevels": ["SLSA_BUILD_LEVEL_UNEVALUATED" if decision.allowed else "FAILED"],
        "slsaVersion": "1.0",
        DECISION_FIELD: loads(encode(decision)),
        DEVELOPMENT_FIELD: development,
    }
    return encode(content)


def resource_uri(component: str, subject: str) -> str:
    """Return the package URL of an image (purl specification, type `oci`)."""
    return f"pkg:oci/{component.rpartition('/')[2]}@{subject.replace(':', '%3A')}"


def timestamp(seconds: int) -> str:
    """Return seconds since 1970 in the form of RFC 3339: `2026-11-20T10:00:00Z`."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
