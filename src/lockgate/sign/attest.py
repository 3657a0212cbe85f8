"""Attest: sign an image and its evidence, with the gate's permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import (
    AttestationMissing,
    KeyRefused,
    LockgateError,
    SignatureInvalid,
    SubjectMismatch,
)
from lockgate.gate.decide import require_open
from lockgate.oci.digest import Digest
from lockgate.sign import bundle, dsse, predicate, referrers, statement
from lockgate.sign.model import Signed, SignedStatement
from lockgate.sign.public_key import short

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    signer: Signer,
    layout: Layout,
    development_key_allowed: bool,
    allow_failed_summary: bool = False,
) -> Signed:
    """Sign an image, its SBOM, its scan, its provenance and the gate's summary; store them as referrers.

    What the same key has signed before, over the same bytes, is recognised and left as it is, and then the
    private key is not opened.

    Args:
        decision: the permission; everything else must speak of its subject.
        image: how the image came to be.
        report: the report that was decided on.
        raw_reports: the scanner's reports, by their digest.
        sbom: the CycloneDX document.
        signer: the key.
        layout: the store that holds the image.
        development_key_allowed: whether the environment takes a development key.
        allow_failed_summary: sign the refusal of a closed gate: its scan and a summary that says FAILED, and
            nothing else.

    Raises:
        GateClosed: the decision does not let the image pass.
        SubjectMismatch: the records speak of different images, builds or reports.
        KeyRefused: the key cannot be opened, or is a development key where none is taken.
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
    done = {kind: _sign(kind, payload, image, signer, layout) for kind, payload in payloads.items()}
    return Signed(
        subject=decision.subject,
        key=signer.fingerprint,
        development=signer.development,
        statements=tuple(done[kind] for kind in predicate.NAMES if kind in done),
    )


def present(signed: Signed, layout: Layout) -> bool:
    """True when everything in a record of an earlier `attest` is still in the store, byte for byte.

    A digest in the record names bytes that were signed or verified when it was written, so no signature
    has to be verified again to know that there is nothing to do.
    """
    listed = {one.digest: one for one in referrers.listed(layout, signed.subject)}
    try:
        for one in signed.statements:
            if one.manifest not in listed:
                return False
            referrers.load(layout, signed.subject, listed[one.manifest])
    except LockgateError:
        return False
    return bool(signed.statements)


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


def _payloads(
    decision: Decision,
    image: Image,
    report: Report,
    raw_reports: Mapping[str, bytes],
    sbom: bytes,
    development: bool,
) -> dict[str, bytes]:
    """Return the statements' bytes in the order in which they are signed.

    The image signature comes last: when a run is ended midway, no image has the mark without the evidence.
    """
    builder = predicate.builder_id(image)
    scan = _state(image, predicate.VULN, predicate.vuln(report, raw_reports, builder=builder))
    verdict = predicate.summary(decision, evidence={predicate.VULN: scan}, development=development)
    if not decision.allowed:
        return {
            predicate.VULN: scan,
            predicate.SUMMARY: _state(image, predicate.SUMMARY, verdict),
        }
    return {
        predicate.SBOM: _state(image, predicate.SBOM, predicate.sbom(sbom)),
        predicate.VULN: scan,
        predicate.PROVENANCE: _state(image, predicate.PROVENANCE, predicate.provenance(image)),
        predicate.SUMMARY: _state(image, predicate.SUMMARY, verdict),
        predicate.SIGNATURE: _state(image, predicate.SIGNATURE, predicate.signature()),
    }


def _state(image: Image, kind: str, content: bytes) -> bytes:
    return statement.build(
        name=image.component, digest=image.subject, predicate_type=kind, predicate=content
    )


def _sign(
    kind: str, payload: bytes, image: Image, signer: Signer, layout: Layout
) -> SignedStatement:
    found = _existing(kind, payload, image.subject, signer, layout)
    if found:
        return SignedStatement(predicate_type=kind, manifest=found, new=False)
    signature = signer.sign(dsse.pae(payload))
    data = bundle.build(payload, signature, signer.public_key().hint)
    stored = referrers.attach(layout, image.subject, data, kind)
    return SignedStatement(predicate_type=kind, manifest=stored.digest, new=True)


def _existing(kind: str, payload: bytes, subject: str, signer: Signer, layout: Layout) -> str:
    """Return the referrer in which this key has signed these bytes; empty when there is none."""
    key = signer.public_key()
    for one in referrers.listed(layout, subject):
        if one.annotations.get(referrers.PREDICATE_TYPE) != kind:
            continue
        try:
            held = bundle.parse(referrers.load(layout, subject, one))
            if held.payload == payload and held.hint == key.hint:
                key.verify(held.signature, dsse.pae(payload))
                return one.digest
        except (SignatureInvalid, SubjectMismatch, AttestationMissing):
            # Not usable as evidence, whatever is wrong with it: it is signed anew beside it. Changed bytes
            # in the store are another matter (DigestMismatch): the same bundle could not be stored again.
            continue
    return ""
