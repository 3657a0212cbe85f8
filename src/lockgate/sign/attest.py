"""Attest: sign an image and its evidence, with the gate's permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import KeyRefused, SubjectMismatch
from lockgate.gate.decide import decide, require_open
from lockgate.oci.digest import Digest
from lockgate.sign import predicate, simplesigning, statement, writing
from lockgate.sign.checks import predicates
from lockgate.sign.keyless.signer import KeylessSigner
from lockgate.sign.model import Signed
from lockgate.sign.public_key import short

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lockgate.build.check import Checks
    from lockgate.build.model import Image
    from lockgate.gate.decision import Decision
    from lockgate.oci.layout import Layout
    from lockgate.scan.model import Report
    from lockgate.sign.keys import Signer


def attest(
    decision: Decision,
    *,
    image: Image,
    report: Report,
    raw_reports: Mapping[str, bytes],
    sbom: bytes,
    signer: Signer | KeylessSigner,
    layout: Layout,
    development_key_allowed: bool,
    allow_failed_summary: bool = False,
    checks: Checks | None = None,
    formats: Collection[str] = writing.FORMATS,
    reference: str = "",
) -> Signed:
    """Sign an image, its SBOM, its scan, its provenance and the gate's summary; store them beside the image.

    What the same key has signed before, over the same bytes, is recognised and left as it is, and then the
    private key is not opened.

    Args:
        decision: the permission; everything else must speak of its subject.
        image: how the image came to be.
        report: the report that was decided on.
        raw_reports: the scanner's reports, by their digest.
        sbom: the CycloneDX document.
        signer: the key, or who signs without one.
        layout: the store that holds the image.
        development_key_allowed: whether the environment takes a development key.
        allow_failed_summary: sign the refusal of a closed gate: its scan and a summary that says FAILED, and
            nothing else; in the older form alone where that is among the formats.
        checks: what the check stage found; then tests and licences are attested too, as they are.
        formats: `bundle`, `legacy` or both, of `lockgate.sign.writing`; without a key only bundles are written.
        reference: the name under which readers of the older form find the image: a repository. Empty: the
            component.

    Raises:
        GateClosed: the decision does not let the image pass.
        SubjectMismatch: the records speak of different images, builds or reports, or the decision is not the
            one that the report gives.
        KeyRefused: the key cannot be opened, is a development key where none is taken, or there is no identity.
        ToolMissing, ToolError, RemoteError: signing without a key failed.
        UsageError: a format is not known, or the records are not complete.
        LockgateError: the records or the store are damaged.
    """
    if not (allow_failed_summary and not decision.allowed):
        require_open(decision)
    _check_agreement(decision, image, report, layout)
    if signer.development and not development_key_allowed:
        raise KeyRefused(
            f"{decision.environment} does not take the development key {short(signer.fingerprint)}",
            hint=f"set `key` of `{decision.environment}` in `lockgate.yaml`",
        )
    payloads = _payloads(decision, image, report, raw_reports, sbom, signer.development)
    if decision.allowed and checks is not None:
        found = predicates(checks, image)
        payloads |= {kind: _state(image, kind, content) for kind, content in found.items()}
    if not decision.allowed and writing.LEGACY in formats and not isinstance(signer, KeylessSigner):
        # `cosign verify` without `-a` would count the bundle of a refusal as a signature.
        formats = (writing.LEGACY,)
    said = predicate.signer_says(image, decision.environment)
    writer = writing.open_writer(layout, image.subject, signer, formats, said)
    done = writer.attest(payloads)
    if decision.allowed:
        # Last of all: when a run is ended midway, no image has the mark without the evidence.
        mark = _state(image, predicate.SIGNATURE, predicate.signature(), said)
        simple = simplesigning.build(
            reference=reference or image.component, digest=image.subject, annotations=said
        )
        done[predicate.SIGNATURE] = writer.sign_image(mark, simple)
    named = signer.identity if isinstance(signer, KeylessSigner) else None
    return Signed(
        subject=decision.subject,
        identity=named.subject if named else "",
        key=signer.fingerprint,
        development=signer.development,
        statements=tuple(done[kind] for kind in predicate.ORDER if kind in done),
    )


def present(signed: Signed, layout: Layout) -> bool:
    """True when everything in a record of an earlier `attest` is still in the store, byte for byte."""
    return writing.present(layout, signed.subject, signed.statements)


def _check_agreement(decision: Decision, image: Image, report: Report, layout: Layout) -> None:
    """Check that decision, image, report and store speak of one image and one report."""
    hint = "run `inv build scan sign` again"
    for what, subject in (("the report", report.subject), ("the image", image.subject)):
        if subject != decision.subject:
            raise SubjectMismatch(
                f"the decision is about {Digest(decision.subject).short}, "
                f"{what} about {Digest(subject).short}",
                hint=hint,
            )
    if Digest.of(encode(report)) != decision.report:
        raise SubjectMismatch("the decision was made on another report", hint=hint)
    if _decided_again(decision, report) != decision:
        # Whoever can write the record of a decision could take findings out of it.
        raise SubjectMismatch("the decision is not what the gate says of this report", hint=hint)
    if decision.component != image.component:
        raise SubjectMismatch(
            f"the decision is about component {decision.component}, the image is {image.component}",
            hint=hint,
        )
    if report.dirty != image.source.dirty:
        raise SubjectMismatch(
            "report and image disagree on whether the sources were those of a commit", hint=hint
        )
    built = {one.manifest for one in image.platforms}
    scanned = {one.manifest for one in report.platforms}
    stored = {one.digest for one in layout.manifests(image.subject)}
    if not built == scanned == stored:
        raise SubjectMismatch(
            "what was built, what was scanned and what is in the store are not the same platforms",
            hint=hint,
        )


def _decided_again(decision: Decision, report: Report) -> Decision:
    """Return what the gate says of a report with the waivers that a decision names."""
    waivers = [*(one.waiver for one in decision.waived), *decision.lapsed, *decision.unused]
    return decide(
        report,
        component=decision.component,
        environment=decision.environment,
        threshold=decision.threshold,
        waivers=tuple(dict.fromkeys(waivers)),
        now=decision.decided,
    )


def _payloads(
    decision: Decision,
    image: Image,
    report: Report,
    raw_reports: Mapping[str, bytes],
    sbom: bytes,
    development: bool,
) -> dict[str, bytes]:
    """Return the bytes of the attestations by predicate type, in the order in which they are signed."""
    builder = predicate.builder_id(image)
    scan = _state(image, predicate.VULN, predicate.vuln(report, raw_reports, builder=builder))
    verdict = predicate.summary(decision, evidence={predicate.VULN: scan}, development=development)
    if not decision.allowed:
        return {
            predicate.VULN: scan,
            predicate.SUMMARY: _state(image, predicate.SUMMARY, verdict),
        }
    return {
        predicate.SBOM: _state(image, predicate.SBOM, predicate.sbom(sbom, image)),
        predicate.VULN: scan,
        predicate.PROVENANCE: _state(image, predicate.PROVENANCE, predicate.provenance(image)),
        predicate.SUMMARY: _state(image, predicate.SUMMARY, verdict),
    }


def _state(
    image: Image, kind: str, content: bytes, annotations: Mapping[str, str] | None = None
) -> bytes:
    """Return a statement.

    The signature alone has annotations: to `cosign verify` every bundle is a signature, and by what `-a` asks for it
    tells this one from an attestation, the refusal of a closed gate among them.
    """
    return statement.build(
        name=image.component,
        digest=image.subject,
        predicate_type=kind,
        predicate=content,
        annotations=annotations,
    )
