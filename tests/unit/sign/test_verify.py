"""Verify: what an image's referrers prove, and every way in which they do not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.sign.shelf import SHELVES, Bundles, Held, Layers, Shelf

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import (
    AttestationMissing,
    DigestMismatch,
    KeyRefused,
    SignatureInvalid,
    SubjectMismatch,
    TrustError,
    UsageError,
)
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, MANIFEST, Index, index_bytes
from lockgate.sign import bundle, legacy, predicate, referrers, statement
from lockgate.sign.combine import AllOf, AnyOf
from lockgate.sign.model import Result, Verification
from lockgate.sign.public_key import PublicKey
from lockgate.sign.requirement import Signature, default_requirement
from lockgate.sign.verify import WIDTH, lines, require, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.world import World

    from lockgate.scan.model import Finding
    from lockgate.sign.local import LocalSigner

KINDS = list(predicate.NAMES)


@pytest.fixture
def check(world: World, signer: LocalSigner, now: int) -> Callable[..., Verification]:
    """Verify the world's image as `prod` does, with other arguments where a test wants them."""

    def check(**changes: Any) -> Verification:
        arguments: dict[str, Any] = {
            "place": world.layout,
            "digest": world.image.subject,
            "requirement": default_requirement("prod", world.threshold),
            "keys": [signer.public_key()],
            "name": "prod",
            "now": now,
            "development_key_allowed": False,
            **changes,
        }
        return verify(**arguments)

    return check


@pytest.fixture(params=SHELVES, ids=lambda one: str(one.form))
def shelf(request: pytest.FixtureRequest, world: World, signer: LocalSigner) -> Shelf:
    """Sign the world's image in one of the two forms; return where the evidence lies."""
    found: Shelf = request.param(world.layout, world.image.subject)
    world.sign(signer, formats=(found.form,))
    return found


def forge(shelf: Shelf, kind: str, payload: bytes, signer: LocalSigner, *, hint: str = "") -> None:
    """Put a payload that `signer` signed in the place of the evidence of one type."""
    signature = signer.sign(shelf.signed_bytes(kind, payload))
    shelf.replace(kind, Held(payload, signature, hint or signer.public_key().hint))


def result(verification: Verification, kind: str) -> Result:
    """Return the line of one predicate type."""
    return next(one for one in verification.results if one.name == predicate.NAMES[kind])


def refused(verification: Verification, kind: str, error: type[TrustError]) -> None:
    """Check that exactly one requirement is unmet, and that it becomes this error."""
    assert [one.name for one in verification.results if not one.met] == [predicate.NAMES[kind]]
    assert result(verification, kind).error == error.__name__
    with pytest.raises(error) as caught:
        require(verification)
    assert type(caught.value) is error
    assert caught.value.exit_code == 4
    assert caught.value.hint


def test_a_signed_image_is_trusted(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Five of five, and each line says what satisfied it."""
    world.sign(signer)
    found = check()
    assert found.met
    require(found)
    shown = lines(found)
    assert shown[-1] == 'trusted: 5 of 5 requirements of "prod" met'
    assert shown[0] == f"signature   ok        key {signer.public_key().short} (release)"
    assert "builder lockgate/native, commit 3f2a9c1" in shown[3]
    assert decode(encode(found), Verification) == found


def test_an_unsigned_image_is_not(check: Callable[..., Verification]) -> None:
    """No evidence is a failure, never a skip."""
    found = check()
    assert [one.error for one in found.results] == ["AttestationMissing"] * 5
    with pytest.raises(AttestationMissing):
        require(found)
    assert lines(found)[-1] == 'not trusted: 5 of 5 requirements of "prod" unmet'


@pytest.mark.parametrize("kind", KINDS, ids=predicate.NAMES.get)
def test_each_statement_is_needed(
    kind: str, shelf: Shelf, check: Callable[..., Verification]
) -> None:
    """Taking any one away leaves the image untrusted, in either form."""
    assert check().met
    shelf.remove(kind)
    found = check()
    assert not found.met
    assert result(found, kind).error == "AttestationMissing"
    with pytest.raises(AttestationMissing):
        require(found)


def test_one_form_makes_up_for_the_other(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """What is there in either form counts, and what is there in both counts once."""
    world.sign(signer)
    both = check()
    Bundles(world.layout, world.image.subject).remove(predicate.SBOM)
    Layers(world.layout, world.image.subject).remove(predicate.VULN)
    assert check() == both


def test_without_keys_nothing_is_checked(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """No trust root is an error of its own, not an unsigned image and not a pass."""
    world.sign(signer)
    with pytest.raises(KeyRefused, match="trusts no key") as caught:
        check(keys=[])
    assert caught.value.hint


@pytest.mark.parametrize("empty", [AllOf(parts=()), AnyOf(parts=())])
def test_without_requirements_nothing_is_trusted(
    empty: AllOf | AnyOf, world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """The empty requirement fails on a perfectly signed image."""
    world.sign(signer)
    found = check(requirement=empty)
    assert not found.met
    with pytest.raises(AttestationMissing, match="nothing is required"):
        require(found)


@pytest.mark.parametrize("met", [False, True])
def test_a_verification_of_nothing_is_refused(met: bool, world: World, now: int) -> None:
    """A record is not believed when it has no result to show, whatever it claims."""
    blank = Verification(subject=world.image.subject, name="prod", met=met, results=(), checked=now)
    with pytest.raises(AttestationMissing, match="nothing was checked"):
        require(blank)


def test_what_is_used_is_what_was_verified(
    world: World,
    signer: LocalSigner,
    make_world: Callable[..., World],
    check: Callable[..., Verification],
) -> None:
    """A name that was moved between resolving and using is noticed, however good both images are."""
    world.sign(signer)
    resolved = world.layout.resolve("app").digest
    found = check(digest=resolved)
    require(found, subject=world.layout.resolve("app").digest)
    other = make_world(salt="other")
    other.sign(signer)
    moved = world.layout.resolve("app").digest
    with pytest.raises(SubjectMismatch, match="is to be used") as caught:
        require(found, subject=moved)
    assert "verifies what it names now" in caught.value.hint


def test_a_refusal_takes_the_permission_back(
    world: World,
    signer: LocalSigner,
    make_world: Callable[..., World],
    check: Callable[..., Verification],
    high: Finding,
) -> None:
    """A refusal is evidence: once it is attested, the older permission no longer opens the gate."""
    world.sign(signer)
    assert check().met
    later = make_world(findings=(high,), decided=world.decision.decided + 30)
    assert later.image.subject == world.image.subject
    later.sign(signer, allow_failed_summary=True)
    found = check()
    refused(found, predicate.SUMMARY, AttestationMissing)
    assert result(found, predicate.SUMMARY).detail == "the gate of prod is closed to this image"
    again = make_world(decided=world.decision.decided + 60)
    again.sign(signer)
    assert check().met


def test_another_key_is_refused(
    world: World, stranger: LocalSigner, check: Callable[..., Verification]
) -> None:
    """C24: a signature of a key that is not trusted is refused, and the line names the trusted one."""
    world.sign(stranger)
    found = check()
    assert {one.error for one in found.results} == {"SignatureInvalid"}
    assert "release" in found.results[0].detail
    with pytest.raises(SignatureInvalid, match="not trusted here"):
        require(found)


def test_a_borrowed_hint_does_not_help(
    shelf: Shelf, signer: LocalSigner, stranger: LocalSigner, check: Callable[..., Verification]
) -> None:
    """The hint says which key to try. It does not make another key's signature good."""
    for kind in KINDS:
        forge(shelf, kind, shelf.held(kind).payload, stranger, hint=signer.public_key().hint)
    assert {one.error for one in check().results} == {"SignatureInvalid"}


def test_junk_beside_good_evidence_does_no_harm(
    world: World, signer: LocalSigner, stranger: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Whoever can add referrers cannot take trust away: what a trusted key signed still counts."""
    world.sign(signer)
    world.sign(stranger)
    layout, subject = world.layout, world.image.subject
    referrers.attach(layout, subject, b"junk", predicate.SBOM)
    junk = {legacy.SIGNATURE: "", legacy.PREDICATE_TYPE: predicate.SBOM}
    for kind in (legacy.SIGNATURES, legacy.ATTESTATIONS):
        legacy.add(layout, subject, kind, [legacy.Layer(b"junk", junk)])
        layout.tag({f"evil/app:{legacy.tag(subject, kind)}": layout.put(b"junk", MANIFEST)})
    assert check().met


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        ("other", SubjectMismatch, "subject is"),
        ("changed", SignatureInvalid, "does not verify with"),
        ("developer", KeyRefused, "development key"),
        ("stranger", SignatureInvalid, "not trusted here"),
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["as listed", "reversed"])
def test_of_several_refusals_the_most_telling_one_is_named(
    told: str,
    error: type[TrustError],
    words: str,
    order: int,
    world: World,
    signer: LocalSigner,
    stranger: LocalSigner,
    developer: LocalSigner,
    make_world: Callable[..., World],
    check: Callable[..., Verification],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each and every less telling one lie beside the image; in which order they are listed does not matter."""
    kind = predicate.SIGNATURE
    reasons = ["other", "changed", "developer", "stranger"]
    lying = reasons[reasons.index(told) :]
    world.sign(stranger, formats=("bundle",))
    if "developer" in lying:
        world.sign(developer, formats=("bundle",), development_key_allowed=True)
    payload = Bundles(world.layout, world.image.subject).held(kind).payload
    other = make_world(salt="other")
    other.sign(signer, formats=("bundle",))
    foreign = Bundles(other.layout, other.image.subject).held(kind)
    forged = bundle.build(payload, foreign.signature, hint=signer.public_key().hint)
    replayed = Bundles(other.layout, other.image.subject).raw(kind)
    for name, data in (("changed", forged), ("other", replayed)):
        if name in lying:
            referrers.attach(world.layout, world.image.subject, data, kind)
    listed = referrers.listed
    monkeypatch.setattr(referrers, "listed", lambda *words: listed(*words)[::order])
    found = check(keys=[signer.public_key(), developer.public_key()])
    assert result(found, kind).error == error.__name__
    assert words in result(found, kind).detail


def test_what_is_said_of_a_good_image_does_not_depend_on_the_order(
    world: World,
    signer: LocalSigner,
    stranger: LocalSigner,
    check: Callable[..., Verification],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two trusted keys have signed it; every machine names the same one."""
    world.sign(signer)
    world.sign(stranger)
    listed, layers = referrers.listed, legacy.layers
    keys = [signer.public_key(), stranger.public_key()]
    first = check(keys=keys)
    monkeypatch.setattr(referrers, "listed", lambda *words: listed(*words)[::-1])
    monkeypatch.setattr(legacy, "layers", lambda *words: layers(*words)[::-1])
    assert first.met
    assert check(keys=keys) == first


def test_the_development_key_is_refused(
    world: World, developer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """An environment that does not take it refuses it even when it is among the trusted keys."""
    world.sign(developer, development_key_allowed=True)
    found = check(keys=[developer.public_key()])
    assert {one.error for one in found.results} == {"KeyRefused"}
    with pytest.raises(KeyRefused, match="development key"):
        require(found)
    assert check(keys=[developer.public_key()], development_key_allowed=True).met


def test_a_development_key_without_its_mark_is_refused(
    world: World, developer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Taking the mark off the public file is not enough: the summary says what key signed it."""
    world.sign(developer, development_key_allowed=True)
    bare = PublicKey(developer.public_key().spki, "release", development=False)
    refused(check(keys=[bare]), predicate.SUMMARY, KeyRefused)


@pytest.mark.parametrize("kind", KINDS, ids=predicate.NAMES.get)
def test_another_images_evidence_is_refused(
    kind: str,
    shelf: Shelf,
    signer: LocalSigner,
    make_world: Callable[..., World],
    check: Callable[..., Verification],
) -> None:
    """Good evidence of another image, attached to this one, is about the wrong subject."""
    other = make_world(salt="other")
    other.sign(signer, formats=(shelf.form,))
    shelf.replace(kind, type(shelf)(other.layout, other.image.subject).held(kind))
    found = check()
    assert result(found, kind).error == "SubjectMismatch"
    with pytest.raises(SubjectMismatch, match="subject is"):
        require(found)


@pytest.mark.parametrize("kind", KINDS, ids=predicate.NAMES.get)
def test_another_images_referrer_is_refused(
    kind: str,
    world: World,
    signer: LocalSigner,
    make_world: Callable[..., World],
    check: Callable[..., Verification],
) -> None:
    """A referrer of another image, listed under this one, is refused before it is opened."""
    other = make_world(salt="other")
    for one in (world, other):
        one.sign(signer, formats=("bundle",))
    Bundles(world.layout, world.image.subject).remove(kind)
    borrowed = Bundles(other.layout, other.image.subject).listed(kind)
    world.layout.add_referrer(world.image.subject, borrowed)
    assert result(check(), kind).error == "SubjectMismatch"


def test_another_images_signatures_are_refused(
    world: World,
    signer: LocalSigner,
    make_world: Callable[..., World],
    check: Callable[..., Verification],
) -> None:
    """The older tags of another image, put under this one's names, prove nothing of this one."""
    other = make_world(salt="other")
    other.sign(signer, formats=("legacy",))
    for kind in (legacy.SIGNATURES, legacy.ATTESTATIONS):
        theirs = world.layout.resolve(legacy.tag(other.image.subject, kind))
        world.layout.tag({legacy.tag(world.image.subject, kind): theirs})
    assert {one.error for one in check().results} == {"SubjectMismatch"}


@pytest.mark.parametrize("kind", KINDS[1:], ids=predicate.NAMES.get)
def test_a_type_that_lies_is_refused(
    kind: str, shelf: Shelf, check: Callable[..., Verification]
) -> None:
    """A statement of one type that is listed as another proves neither."""
    other = predicate.SBOM if kind != predicate.SBOM else predicate.VULN
    shelf.replace_raw(kind, shelf.raw(other), listed_as=kind)
    assert result(check(), kind).error == "SignatureInvalid"


def test_a_listing_that_lies_is_refused(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """A referrer that is listed as one type and says another is refused before it is opened."""
    world.sign(signer, formats=("bundle",))
    shelf = Bundles(world.layout, world.image.subject)
    honest = shelf.listed(predicate.SBOM)
    lying = {**honest.annotations, referrers.PREDICATE_TYPE: predicate.VULN}
    shelf.remove(predicate.SBOM)
    world.layout.add_referrer(
        world.image.subject, msgspec.structs.replace(honest, annotations=lying)
    )
    found = check()
    assert not found.met
    assert result(found, predicate.VULN).met
    assert result(found, predicate.SBOM).error == "AttestationMissing"


def test_a_listing_without_types_is_read(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Cosign lists its bundles without annotations; then the manifests have them."""
    world.sign(signer, formats=("bundle",))
    bare = tuple(
        msgspec.structs.replace(one, annotations={})
        for one in referrers.listed(world.layout, world.image.subject)
    )
    stored = world.layout.put(index_bytes(Index(manifests=bare)), INDEX)
    world.layout.tag({"sha256-" + Digest(world.image.subject).hex: stored})
    assert check().met


def test_a_payload_type_that_lies_is_refused(
    shelf: Shelf, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """A signature over the same bytes under another payload type is not one over a statement."""
    payload = shelf.held(predicate.SBOM).payload
    signature = signer.sign(shelf.signed_bytes(predicate.SBOM, payload, "text/plain"))
    shelf.replace(predicate.SBOM, Held(payload, signature, signer.public_key().hint))
    refused(check(), predicate.SBOM, SignatureInvalid)
    honest = shelf.raw(predicate.SBOM).replace(statement.PAYLOAD_TYPE.encode(), b"text/plain")
    shelf.replace_raw(predicate.SBOM, honest)
    refused(check(), predicate.SBOM, SignatureInvalid)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"_type"', b'{"_type":"x","_type"'),
        (b'"predicateType"', b'"predicateType":"x","predicateType"'),
        (b'"bomFormat"', b'"bomFormat":"x","bomFormat"'),
        (b"in-toto.io/Statement/v1", b"in-toto.io/Statement/v2"),
        (b'"sha256"', b'"sha512"'),
    ],
)
def test_a_signed_statement_that_is_none_is_refused(
    old: bytes, new: bytes, shelf: Shelf, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """A good signature does not help keys that stand twice, or another version or digest algorithm."""
    held = shelf.held(predicate.SBOM).payload
    assert old in held
    forge(shelf, predicate.SBOM, held.replace(old, new), signer)
    error = SubjectMismatch if b"512" in new else SignatureInvalid
    refused(check(), predicate.SBOM, error)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"optional"', b'"optional":{},"optional"'),
        (b'"image":', b'"image":{},"image":'),
        (b'"identity":', b'"elsewhere":1,"identity":'),
        (b"cosign container image signature", b"atomic container signature"),
        (b"sha256:", b"sha512:"),
    ],
)
def test_a_signed_payload_that_is_none_is_refused(
    old: bytes, new: bytes, world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """The same for simple signing: repeated and unknown fields, another type or algorithm."""
    world.sign(signer, formats=("legacy",))
    shelf = Layers(world.layout, world.image.subject)
    held = shelf.held(predicate.SIGNATURE).payload
    assert old in held
    forge(shelf, predicate.SIGNATURE, held.replace(old, new), signer)
    refused(check(), predicate.SIGNATURE, SignatureInvalid)


def test_a_key_that_stands_twice_in_the_envelope_is_refused(
    shelf: Shelf, check: Callable[..., Verification]
) -> None:
    """Two payloads in one envelope are two readings."""
    data = shelf.raw(predicate.SBOM)
    shelf.replace_raw(predicate.SBOM, data.replace(b'"payload"', b'"payload":"e30=","payload"', 1))
    refused(check(), predicate.SBOM, SignatureInvalid)


@pytest.mark.parametrize("fault", ["gone", "junk", "docker", "many", "media type"])
def test_damaged_signature_images_are_refused(
    fault: str,
    world: World,
    signer: LocalSigner,
    check: Callable[..., Verification],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tags that lead nowhere, or to something else, are reasons of the requirements and no crash."""
    world.sign(signer, formats=("legacy",))
    layout, subject = world.layout, world.image.subject
    for kind in (legacy.SIGNATURES, legacy.ATTESTATIONS):
        name = legacy.tag(subject, kind)
        entry = layout.resolve(name)
        good = layout.read(entry.digest)
        if fault == "gone":
            layout.path(entry.digest).unlink()
        elif fault == "many":
            monkeypatch.setattr(legacy, "MAX_LAYERS", 0)
        else:
            bad = {
                "junk": b"junk",
                "docker": good.replace(b"vnd.oci.image.manifest.v1", b"vnd.docker.manifest.v2"),
                "media type": good.replace(b"simplesigning", b"else").replace(b".dsse.", b".else."),
            }[fault]
            layout.tag({name: layout.put(bad, MANIFEST)})
    found = check()
    error = "AttestationMissing" if fault == "gone" else "SignatureInvalid"
    assert {one.error for one in found.results} == {error}


@pytest.mark.parametrize("part", ["index", "manifest", "config", "layer"])
def test_a_changed_image_is_refused(
    part: str, world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """The image's own bytes are checked before any signature: a good one over a changed image is none."""
    world.sign(signer)
    platform = world.image.platforms[1]
    digest = {
        "index": world.image.subject,
        "manifest": platform.manifest,
        "config": platform.config,
        "layer": platform.layers[0],
    }[part]
    path = world.layout.path(digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatch):
        check()


def test_an_image_with_a_hole_is_refused(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """A missing layer is not trusted because the rest is signed."""
    world.sign(signer)
    world.layout.path(world.image.platforms[0].layers[0]).unlink()
    with pytest.raises(UsageError, match="not in the store"):
        check()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(st.sampled_from(KINDS), st.data())
def test_any_changed_bit_in_the_store_is_refused(
    shelf: Shelf, check: Callable[..., Verification], kind: str, data: st.DataObject
) -> None:
    """Whichever bit of a bundle or layer, or of its manifest, flips, verification ends with an error."""
    digest = data.draw(st.sampled_from(sorted(shelf.blobs(kind).values())))
    path = shelf.layout.path(digest)
    good = path.read_bytes()
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bad)
    try:
        with pytest.raises(DigestMismatch):
            check()
    finally:
        path.write_bytes(good)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(st.sampled_from(KINDS), st.sampled_from(["payload", "signature"]), st.data())
def test_any_changed_bit_under_a_right_digest_is_refused(
    shelf: Shelf, check: Callable[..., Verification], kind: str, part: str, data: st.DataObject
) -> None:
    """One who can write the store can make digests fit. The signature still does not."""
    good = shelf.held(kind)
    changed = bytearray(good.payload if part == "payload" else good.signature)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    payload = bytes(changed) if part == "payload" else good.payload
    signature = bytes(changed) if part == "signature" else good.signature
    shelf.replace(kind, good._replace(payload=payload, signature=signature))
    try:
        found = check()
        assert not found.met
        assert result(found, kind).error == "SignatureInvalid"
    finally:
        shelf.replace(kind, good)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(st.data())
def test_any_bytes_as_evidence_are_refused(
    shelf: Shelf, check: Callable[..., Verification], data: st.DataObject
) -> None:
    """A bundle or layer with a piece cut out or put in is never evidence, and never more than a TrustError."""
    good = shelf.raw(predicate.SIGNATURE)
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    forged = good[:start] + data.draw(st.binary(max_size=8)) + good[end:]
    if forged == good or (shelf.form == "bundle" and bundle_of(forged) == bundle_of(good)):
        return
    shelf.replace_raw(predicate.SIGNATURE, forged)
    try:
        assert not check(requirement=Signature()).met
    finally:
        shelf.replace_raw(predicate.SIGNATURE, good)


def bundle_of(data: bytes) -> bundle.Bundle | None:
    """Return what a bundle holds, if it is one."""
    try:
        return bundle.parse(data)
    except SignatureInvalid:
        return None


def test_a_verdict_for_another_environment_is_refused(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Evidence for `prod` does not open `staging`."""
    world.sign(signer)
    found = check(requirement=default_requirement("staging", world.threshold), name="staging")
    refused(found, predicate.SUMMARY, AttestationMissing)


def test_a_stricter_threshold_is_asked_again(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """After the policy became stricter an old verdict is stale."""
    world.sign(signer)
    stricter = msgspec.structs.replace(world.threshold, severity="LOW")
    found = check(requirement=default_requirement("prod", stricter))
    assert result(found, predicate.SUMMARY).error == "Stale"


def test_a_copied_store_verifies(
    world: World, signer: LocalSigner, check: Callable[..., Verification], tmp_path: Any
) -> None:
    """All evidence lies in the layout: a copy elsewhere is as good."""
    from lockgate.oci.layout import Layout

    world.sign(signer)
    shutil.copytree(world.layout.root, tmp_path / "copy")
    assert check(place=Layout.open(tmp_path / "copy")).met


def test_lines_fit_and_are_plain(world: World, now: int) -> None:
    """Foreign text in a reason cannot break the line or move the cursor."""
    wild = Result(name="vuln", met=False, detail="x\x1b[2J" * 50, error="SubjectMismatch")
    found = Verification(
        subject=world.image.subject, name="prod", met=False, results=(wild,), checked=now
    )
    shown = lines(found)
    assert all(len(one) <= WIDTH and one.isprintable() for one in shown)
    assert "SubjectMismatch" in shown[-2]
    assert shown[-1] == 'not trusted: 1 of 1 requirements of "prod" unmet'
    wild = msgspec.structs.replace(wild, detail="x" * 10_000)
    assert len(lines(msgspec.structs.replace(found, results=(wild,)))) < 12


def test_every_reason_is_told_whole(world: World, now: int) -> None:
    """Not only that of the first requirement: what does not fit into a line goes on below it."""
    why = "signed with a key that is not trusted here, or changed since; trusted: key d8:ab:1b:47 (release)"
    unmet = [Result(name=name, met=False, detail=why, error="SignatureInvalid") for name in "ab"]
    met = Result(name="any of: signature", met=True, detail=f"{why}; {why}")
    shown = lines(
        Verification(
            subject=world.image.subject,
            name="prod",
            met=False,
            results=(*unmet, met),
            checked=now,
        )
    )
    told = " ".join(" ".join(shown).split())
    assert told.count(f"refused {why} (SignatureInvalid)") == 2
    assert f"any of: signature ok {why}; {why}" in told
    assert all(len(one) <= WIDTH for one in shown)
