"""Attest: signing an image and its evidence."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.sign.shelf import SHELVES, Bundles, Layers, layers_of
from tests.unit.sign.world import make_checks, make_signer

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import (
    DigestMismatch,
    GateClosed,
    KeyRefused,
    SubjectMismatch,
    UsageError,
)
from lockgate.gate.decide import decide
from lockgate.gate.decision import Waiver
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import Manifest
from lockgate.sign import bundle, dsse, legacy, predicate, referrers, simplesigning, statement
from lockgate.sign.attest import present
from lockgate.sign.model import Signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.world import World

    from lockgate.scan.model import Finding
    from lockgate.sign.local import LocalSigner
    from lockgate.sign.public_key import PublicKey


class SealedSigner:
    """A signer whose private key cannot be opened: it knows its public half only."""

    def __init__(self, key: PublicKey) -> None:
        self._key = key

    development = False

    @property
    def fingerprint(self) -> str:
        """The public half's."""
        return self._key.fingerprint

    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._key

    def sign(self, data: bytes) -> bytes:
        """Fail: nothing should be signed."""
        raise AssertionError(f"asked to sign {len(data)} bytes")


class Counting:
    """A signer that counts, and ends the run when it has signed often enough."""

    development = False

    def __init__(self, signer: LocalSigner, *, most: int = 100) -> None:
        self._signer, self._most = signer, most
        self.signed = 0

    @property
    def fingerprint(self) -> str:
        """The signer's."""
        return self._signer.fingerprint

    def public_key(self) -> PublicKey:
        """Return the signer's."""
        return self._signer.public_key()

    def sign(self, data: bytes) -> bytes:
        """Sign, or end the run."""
        if self.signed == self._most:
            raise KeyboardInterrupt
        self.signed += 1
        return self._signer.sign(data)


def store(world: World) -> dict[str, bytes]:
    """Return every file of the layout."""
    root = world.layout.root
    return {
        str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()
    }


def test_writes_five_statements(world: World, signer: LocalSigner) -> None:
    """Signature, SBOM, scan, provenance and summary, each new and each listed as a referrer."""
    signed = world.sign(signer)
    assert [one.predicate_type for one in signed.statements] == list(predicate.NAMES)
    assert all(one.new for one in signed.statements)
    assert (signed.subject, signed.key) == (world.image.subject, signer.fingerprint)
    listed = {one.digest for one in referrers.listed(world.layout, world.image.subject)}
    assert listed == {one.manifest for one in signed.statements}
    assert decode(encode(signed), Signed) == signed


def test_each_bundle_verifies(world: World, signer: LocalSigner) -> None:
    """What lies in the store is what the key signed."""
    world.sign(signer)
    for one in referrers.listed(world.layout, world.image.subject):
        data = referrers.load(world.layout, world.image.subject, one).bundle
        held = bundle.parse(data)
        signer.public_key().verify(held.signature, dsse.pae(held.payload))
        assert held.hint == signer.public_key().hint


def test_both_forms_hold_the_same_envelopes(world: World, signer: LocalSigner) -> None:
    """An attestation is signed once: bundle and `.att` layer have the same payload and signature."""
    signed = world.sign(signer)
    bundles, layers = (shelf(world.layout, world.image.subject) for shelf in SHELVES)
    for kind in predicate.NAMES:
        if kind != predicate.SIGNATURE:
            assert bundles.held(kind)[:2] == layers.held(kind)[:2]
    assert all(one.manifest and one.layer for one in signed.statements)


def test_a_key_is_used_once_a_statement(world: World, signer: LocalSigner) -> None:
    """Four attestations, and the image's own signature in its two forms, whose bytes differ."""
    counting = Counting(signer)
    world.sign(counting)
    assert counting.signed == 6
    assert not any(one.new for one in world.sign(counting).statements)
    assert counting.signed == 6


@pytest.mark.parametrize(
    ("formats", "bundles", "tags"),
    [(("bundle",), 5, 0), (("legacy",), 0, 2), (("legacy", "bundle"), 5, 2)],
)
def test_each_form_is_a_switch(
    formats: tuple[str, ...], bundles: int, tags: int, world: World, signer: LocalSigner
) -> None:
    """Only what is asked for is written, and the record says which form has what."""
    signed = world.sign(signer, formats=formats)
    assert len(referrers.listed(world.layout, world.image.subject)) == bundles
    older = [name for name in world.layout.tags() if name.endswith((".sig", ".att"))]
    assert len(older) == tags
    assert all(bool(one.manifest) == ("bundle" in formats) for one in signed.statements)
    assert all(bool(one.layer) == ("legacy" in formats) for one in signed.statements)
    assert present(signed, world.layout)


def test_the_other_form_is_added_without_the_key(world: World, signer: LocalSigner) -> None:
    """Attestations that were signed as bundles become layers without a new signature, and the other way."""
    world.sign(signer, formats=("bundle",))
    counting = Counting(signer)
    second = world.sign(counting)
    assert counting.signed == 1  # the simple signing payload is no envelope
    assert all(one.new for one in second.statements)


@pytest.mark.parametrize("formats", [(), ("bundle", "notary")])
def test_an_unknown_form_is_refused(
    formats: tuple[str, ...], world: World, signer: LocalSigner
) -> None:
    """A misspelt format, or none, would leave an image that is signed for nobody."""
    with pytest.raises(UsageError) as caught:
        world.sign(signer, formats=formats)
    assert caught.value.hint == "name one or both: `bundle`, `legacy`"


def test_a_signature_says_who_built_what_for_whom(world: World, signer: LocalSigner) -> None:
    """C10: builder, stack, commit and environment are signed annotations of both forms."""
    world.sign(signer)
    expected = {
        "builder": "lockgate/native",
        "stack": "python",
        "commit": world.image.source.revision,
        "environment": "prod",
    }
    bundles, layers = (shelf(world.layout, world.image.subject) for shelf in SHELVES)
    found = statement.parse(bundles.held(predicate.SIGNATURE).payload)
    assert statement.find_subject(found, world.image.subject).annotations == expected
    simple = simplesigning.parse(layers.held(predicate.SIGNATURE).payload)
    assert simple.annotations == expected


def test_an_older_signature_names_a_repository(world: World, signer: LocalSigner) -> None:
    """What other readers compare with where they found the image; else the component."""
    layers = Layers(world.layout, world.image.subject)
    world.sign(signer)
    assert simplesigning.parse(layers.held(predicate.SIGNATURE).payload).reference == "app"
    layers.remove(predicate.SIGNATURE)
    world.sign(signer, reference="registry.example/shop/app")
    found = simplesigning.parse(layers.held(predicate.SIGNATURE).payload)
    assert found.reference == "registry.example/shop/app"


def test_the_checks_are_attested_on_request(world: World, signer: LocalSigner) -> None:
    """With the record of the check stage there is a statement of the tests and one of the licences."""
    signed = world.sign(signer, checks=make_checks(world.image))
    assert [one.predicate_type for one in signed.statements] == list(predicate.ORDER)
    shelf = Layers(world.layout, world.image.subject)
    for kind in predicate.ON_REQUEST:
        found = statement.parse(shelf.held(kind).payload)
        assert found.predicate["result"] == "PASSED"


def test_checks_of_other_sources_are_refused(
    world: World, signer: LocalSigner, make_world: Callable[..., World]
) -> None:
    """Checks of another tree say nothing of this image; nothing is signed then."""
    checks = msgspec.structs.replace(make_checks(world.image), subject=Digest.of(b"other"))
    with pytest.raises(SubjectMismatch, match="built from"):
        world.sign(signer, checks=checks)
    assert referrers.listed(world.layout, world.image.subject) == ()


def test_signing_again_changes_nothing(world: World, signer: LocalSigner) -> None:
    """The second run is told that nothing is new, and leaves every byte of the store as it was."""
    first = world.sign(signer)
    before = store(world)
    second = world.sign(signer)
    assert store(world) == before
    assert not any(one.new for one in second.statements)
    assert [one.manifest for one in second.statements] == [one.manifest for one in first.statements]


def test_signing_again_needs_no_private_key(world: World, signer: LocalSigner) -> None:
    """What is signed already is recognised by the public half."""
    world.sign(signer)
    again = world.sign(SealedSigner(signer.public_key()))
    assert not any(one.new for one in again.statements)


def test_two_stores_get_the_same_bytes(
    world: World, signer: LocalSigner, make_world: Callable[..., World]
) -> None:
    """Removing a bundle and signing again gives the same bundle: signatures are deterministic."""
    first = world.sign(signer)
    before = store(world)
    for one in first.statements:
        world.layout.path(one.manifest).unlink()
    again = make_world().sign(signer)
    assert all(one.new for one in again.statements)
    assert store(world) == before


def test_another_key_signs_beside_it(
    world: World, signer: LocalSigner, stranger: LocalSigner
) -> None:
    """A second key's signatures are new, and the first one's stay."""
    first, second = world.sign(signer), world.sign(stranger)
    assert all(one.new for one in second.statements)
    listed = {one.digest for one in referrers.listed(world.layout, world.image.subject)}
    assert {one.manifest for one in first.statements + second.statements} == listed


def test_a_new_verdict_signs_what_changed(
    world: World, signer: LocalSigner, make_world: Callable[..., World]
) -> None:
    """A verdict of the next day on the same scan needs a new summary and nothing else."""
    world.sign(signer)
    later = make_world(decided=world.decision.decided + 86400).sign(signer)
    assert [predicate.NAMES[one.predicate_type] for one in later.statements if one.new] == [
        "summary"
    ]


def test_a_closed_gate_signs_nothing(
    make_world: Callable[..., World], signer: LocalSigner, high: Finding
) -> None:
    """Later evidence needs earlier permission: the error carries the decision, the store stays bare."""
    world = make_world(findings=(high,))
    with pytest.raises(GateClosed) as caught:
        world.sign(signer)
    assert caught.value.decision == world.decision
    assert referrers.listed(world.layout, world.image.subject) == ()


def test_a_refusal_can_be_attested(
    make_world: Callable[..., World], signer: LocalSigner, high: Finding
) -> None:
    """On request a closed gate is signed as a failed summary with its scan, and no image signature."""
    world = make_world(findings=(high,))
    signed = world.sign(signer, allow_failed_summary=True)
    assert [predicate.NAMES[one.predicate_type] for one in signed.statements] == ["vuln", "summary"]
    # cosign would count a bundle as a signature.
    assert referrers.listed(world.layout, world.image.subject) == ()


def test_a_reporting_gate_signs(
    make_world: Callable[..., World], signer: LocalSigner, high: Finding
) -> None:
    """Where violations do not block, the image is signed, and the summary says for which environment."""
    world = make_world(findings=(high,), environment="dev", blocks=False)
    assert len(world.sign(signer).statements) == 5


@pytest.mark.parametrize(
    "change",
    [
        "image",
        "report",
        "findings",
        "component",
        "dirty",
        "platform built",
        "platform scanned",
        "verdict",
        "sbom",
    ],
)
def test_records_that_disagree_are_refused(
    change: str,
    world: World,
    signer: LocalSigner,
    make_world: Callable[..., World],
    high: Finding,
) -> None:
    """Every record must speak of the same image, report and platforms; else nothing is signed."""
    replace = msgspec.structs.replace
    other = make_world(salt="other")
    changes: dict[str, dict[str, Any]] = {
        "image": {"image": other.image},
        "report": {"report": other.report},
        "findings": {"report": replace(world.report, findings=(high,))},
        "component": {"image": replace(world.image, component="worker")},
        "dirty": {
            "image": replace(world.image, source=replace(world.image.source, changes=("app/x.py",)))
        },
        "platform built": {"image": replace(world.image, platforms=world.image.platforms[:1])},
        "platform scanned": _scanned_less(world),
        "verdict": _made_up(make_world(salt="made up", findings=(high,)), high),
        "sbom": {"sbom": other.sbom},
    }
    with pytest.raises(SubjectMismatch) as caught:
        world.sign(signer, **changes[change])
    assert caught.value.hint
    assert referrers.listed(world.layout, world.image.subject) == ()


def _scanned_less(world: World) -> dict[str, Any]:
    report = msgspec.structs.replace(world.report, platforms=world.report.platforms[:1])
    decision = msgspec.structs.replace(world.decision, report=Digest.of(encode(report)))
    return {"report": report, "decision": decision}


def _made_up(world: World, finding: Finding) -> dict[str, Any]:
    """Return a closed decision out of which its only finding was taken."""
    assert world.decision.violations == (finding,)
    return {
        "decision": msgspec.structs.replace(world.decision, violations=(), tolerated=(finding,)),
        "report": world.report,
        "image": world.image,
    }


def test_a_decision_with_waivers_is_the_gates(
    make_world: Callable[..., World], signer: LocalSigner, high: Finding
) -> None:
    """Deciding again needs only the waivers that the record names: used, lapsed and unused ones."""
    world = make_world(findings=(high,))
    usual = Waiver(id="a", findings=(high.id,), owner="o", reason="r", until="2026-11-25")
    waivers = [
        usual,
        msgspec.structs.replace(usual, id="b", until="2026-11-20"),
        msgspec.structs.replace(usual, id="c", until="2026-11-01"),
        msgspec.structs.replace(usual, id="d", findings=("CVE-2026-9",)),
    ]
    decision = decide(
        world.report,
        component="app",
        environment="prod",
        threshold=world.threshold,
        waivers=waivers,
        now=world.decision.decided,
    )
    assert (len(decision.waived), len(decision.lapsed), len(decision.unused)) == (1, 1, 1)
    assert len(world.sign(signer, decision=decision).statements) == 5


def test_the_development_key_is_refused_where_it_is_not_taken(
    world: World, developer: LocalSigner
) -> None:
    """An environment of its own key does not get signatures of a development key."""
    with pytest.raises(KeyRefused, match="development key") as caught:
        world.sign(developer)
    assert "prod" in caught.value.hint
    assert referrers.listed(world.layout, world.image.subject) == ()


def test_the_development_key_is_said_inside(world: World, developer: LocalSigner) -> None:
    """Where it is taken, record and summary say what key it was."""
    signed = world.sign(developer, development_key_allowed=True)
    assert signed.development
    summary = next(one for one in signed.statements if one.predicate_type == predicate.SUMMARY)
    listed = {one.digest: one for one in referrers.listed(world.layout, world.image.subject)}
    found = referrers.load(world.layout, world.image.subject, listed[summary.manifest])
    held = bundle.parse(found.bundle)
    assert b'"urn:lockgate:development-key":true' in held.payload


def test_a_missing_raw_report_is_refused(world: World, signer: LocalSigner) -> None:
    """Evidence that is not there cannot be signed; nothing else is signed either."""
    with pytest.raises(UsageError, match="report"):
        world.sign(signer, raw_reports={})
    assert referrers.listed(world.layout, world.image.subject) == ()


@pytest.mark.parametrize("shelf_of", SHELVES, ids=lambda one: str(one.form))
def test_a_bad_signature_is_replaced(
    shelf_of: type[Bundles | Layers], world: World, signer: LocalSigner
) -> None:
    """Evidence with the right content and a wrong signature does not count as signed."""
    shelf = shelf_of(world.layout, world.image.subject)
    signed = world.sign(signer, formats=(shelf.form,))
    for kind in predicate.NAMES:
        shelf.replace(kind, shelf.held(kind)._replace(signature=signer.sign(b"other")))
    again = world.sign(signer, formats=(shelf.form,))
    assert all(one.new for one in again.statements)
    assert [one.manifest or one.layer for one in again.statements] == [
        one.manifest or one.layer for one in signed.statements
    ]


def test_changed_bytes_in_the_store_are_no_reason_to_sign_again(
    world: World, signer: LocalSigner
) -> None:
    """A bundle that is not its digest is an error, not something to write beside."""
    signed = world.sign(signer)
    path = world.layout.path(signed.statements[0].manifest)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DigestMismatch):
        world.sign(signer)


def test_an_interrupted_run_goes_on(world: World, signer: LocalSigner) -> None:
    """A run that was ended after three statements is completed; the image's own signature is the last."""
    with pytest.raises(KeyboardInterrupt):
        world.sign(Counting(signer, most=3))
    kinds = {
        one.annotations[referrers.PREDICATE_TYPE]
        for one in referrers.listed(world.layout, world.image.subject)
    }
    assert predicate.SIGNATURE not in kinds
    assert legacy.tag(world.image.subject, legacy.SIGNATURES) not in world.layout.tags()
    rest = Counting(signer)
    world.sign(rest)
    assert rest.signed == 3  # the fourth attestation, and the image's own signature in two forms


def test_two_signers_at_once_lose_nothing(world: World) -> None:
    """Eight keys that sign at the same time leave eight signatures in every form."""
    signers = [make_signer(f"key{number}") for number in range(8)]
    for one in signers:
        one.public_key()  # opened before the race
    start = threading.Barrier(len(signers))

    def sign(one: LocalSigner) -> None:
        start.wait(60)
        world.sign(one)

    threads = [threading.Thread(target=sign, args=(one,)) for one in signers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    layout, subject = world.layout, world.image.subject
    assert len(referrers.listed(layout, subject)) == 8 * 5
    assert len(layers_of(layout, subject, legacy.SIGNATURES)) == 8
    assert len(layers_of(layout, subject, legacy.ATTESTATIONS)) == 8 * 4


def test_an_earlier_record_is_checked_without_keys(world: World, signer: LocalSigner) -> None:
    """`present` says whether everything of an earlier run is still in the store, byte for byte."""
    signed = world.sign(signer)
    assert present(signed, world.layout)
    assert not present(msgspec.structs.replace(signed, statements=()), world.layout)
    blank = msgspec.structs.replace(signed.statements[0], manifest="", layer="")
    assert not present(msgspec.structs.replace(signed, statements=(blank,)), world.layout)
    for shelf_of in SHELVES:
        for digest in shelf_of(world.layout, world.image.subject).blobs(predicate.SBOM).values():
            path = world.layout.path(digest)
            data = path.read_bytes()
            path.write_bytes(data + b" ")
            assert not present(signed, world.layout)
            path.unlink()
            assert not present(signed, world.layout)
            path.write_bytes(data)
            assert present(signed, world.layout)


@pytest.mark.parametrize("shelf_of", SHELVES, ids=lambda one: str(one.form))
def test_a_removed_form_is_not_present(
    shelf_of: type[Bundles | Layers], world: World, signer: LocalSigner
) -> None:
    """What was taken off in one form is signed again, although the other form still has it."""
    signed = world.sign(signer)
    shelf_of(world.layout, world.image.subject).remove(predicate.SUMMARY)
    assert not present(signed, world.layout)
    again = world.sign(SealedSigner(signer.public_key()))
    assert [predicate.NAMES[one.predicate_type] for one in again.statements if one.new] == [
        "summary"
    ]
    assert present(signed, world.layout)


def test_the_signature_alone_has_annotations(world: World, signer: LocalSigner) -> None:
    """C10: it says builder, stack, commit and environment. No attestation does: `cosign verify -a` would count it."""
    world.sign(signer, checks=make_checks(world.image))
    for kind in predicate.ORDER:
        held = Bundles(world.layout, world.image.subject).held(kind)
        (about,) = statement.parse(held.payload).subject
        expected = {"builder", "commit", "environment", "stack"}
        assert set(about.annotations) == (expected if kind == predicate.SIGNATURE else set())


def test_a_listing_says_who_built_what(world: World, signer: LocalSigner) -> None:
    """The manifests of bundles say it too, so that tools can choose without opening any; unsigned, and not trusted."""
    world.sign(signer)
    for one in referrers.listed(world.layout, world.image.subject):
        said = predicate.signer_says(world.image, "prod")
        assert said.items() <= one.annotations.items()
        assert Manifest.parse(world.layout.read(one.digest)).annotations == one.annotations
