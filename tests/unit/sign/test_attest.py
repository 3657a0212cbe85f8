"""Attest: signing an image and its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import (
    DigestMismatch,
    GateClosed,
    KeyRefused,
    SubjectMismatch,
    UsageError,
)
from lockgate.oci.digest import Digest
from lockgate.sign import bundle, dsse, predicate, referrers
from lockgate.sign.attest import present
from lockgate.sign.model import Signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.conftest import World

    from lockgate.scan.model import Finding
    from lockgate.sign.keys import LocalSigner
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
        held = bundle.parse(referrers.load(world.layout, world.image.subject, one))
        signer.public_key().verify(held.signature, dsse.pae(held.payload))
        assert held.hint == signer.public_key().hint


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


def test_a_reporting_gate_signs(
    make_world: Callable[..., World], signer: LocalSigner, high: Finding
) -> None:
    """Where violations do not block, the image is signed, and the summary says for which environment."""
    world = make_world(findings=(high,), environment="dev", blocks=False)
    assert len(world.sign(signer).statements) == 5


@pytest.mark.parametrize(
    "change",
    ["image", "report", "findings", "component", "dirty", "platform built", "platform scanned"],
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
    }
    with pytest.raises(SubjectMismatch) as caught:
        world.sign(signer, **changes[change])
    assert caught.value.hint
    assert referrers.listed(world.layout, world.image.subject) == ()


def _scanned_less(world: World) -> dict[str, Any]:
    report = msgspec.structs.replace(world.report, platforms=world.report.platforms[:1])
    decision = msgspec.structs.replace(world.decision, report=Digest.of(encode(report)))
    return {"report": report, "decision": decision}


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
    held = bundle.parse(referrers.load(world.layout, world.image.subject, listed[summary.manifest]))
    assert b'"urn:lockgate:development-key":true' in held.payload


def test_a_missing_raw_report_is_refused(world: World, signer: LocalSigner) -> None:
    """Evidence that is not there cannot be signed; nothing else is signed either."""
    with pytest.raises(UsageError, match="report"):
        world.sign(signer, raw_reports={})
    assert referrers.listed(world.layout, world.image.subject) == ()


def test_a_bad_signature_is_replaced(world: World, signer: LocalSigner) -> None:
    """A bundle with the right content and a wrong signature does not count as signed."""
    signed = world.sign(signer)
    layout, subject = world.layout, world.image.subject
    listed = referrers.listed(layout, subject)
    bad = []
    for one in listed:
        held = bundle.parse(referrers.load(layout, subject, one))
        forged = bundle.build(held.payload, signer.sign(b"other"), held.hint)
        bad.append((forged, one.annotations[referrers.PREDICATE_TYPE]))
    _unlist(world)
    for forged, kind in bad:
        referrers.attach(layout, subject, forged, kind)
    again = world.sign(signer)
    assert all(one.new for one in again.statements)
    assert [one.manifest for one in again.statements] == [one.manifest for one in signed.statements]


def _unlist(world: World) -> None:
    """Empty the image's list of referrers."""
    from lockgate.oci.manifest import INDEX, Index, index_bytes

    empty = world.layout.put(index_bytes(Index(manifests=())), INDEX)
    world.layout.tag({"sha256-" + Digest(world.image.subject).hex: empty})


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

    class Tired:
        """Signs three times."""

        development = False
        fingerprint = signer.fingerprint

        def __init__(self) -> None:
            self.left = 3

        def public_key(self) -> PublicKey:
            """Return the public half."""
            return signer.public_key()

        def sign(self, data: bytes) -> bytes:
            """Sign, or end the run."""
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return signer.sign(data)

    with pytest.raises(KeyboardInterrupt):
        world.sign(Tired())
    kinds = {
        one.annotations[referrers.PREDICATE_TYPE]
        for one in referrers.listed(world.layout, world.image.subject)
    }
    assert predicate.SIGNATURE not in kinds
    rest = world.sign(signer)
    assert sum(one.new for one in rest.statements) == 2


def test_an_earlier_record_is_checked_without_keys(world: World, signer: LocalSigner) -> None:
    """`present` says whether everything of an earlier run is still in the store, byte for byte."""
    signed = world.sign(signer)
    assert present(signed, world.layout)
    assert not present(msgspec.structs.replace(signed, statements=()), world.layout)
    path = world.layout.path(signed.statements[2].manifest)
    data = path.read_bytes()
    path.write_bytes(data + b" ")
    assert not present(signed, world.layout)
    path.unlink()
    assert not present(signed, world.layout)
    path.write_bytes(data)
    assert present(signed, world.layout)
    _unlist(world)
    assert not present(signed, world.layout)
