"""Verify: what an image's referrers prove, and every way in which they do not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
from lockgate.oci.manifest import INDEX, Index, Manifest, index_bytes
from lockgate.sign import bundle, dsse, predicate, referrers, statement
from lockgate.sign.model import Result, Verification
from lockgate.sign.public_key import PublicKey
from lockgate.sign.requirement import AllOf, AnyOf, Signature, default_requirement
from lockgate.sign.verify import WIDTH, lines, require, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.conftest import World

    from lockgate.oci.manifest import Descriptor
    from lockgate.sign.keys import LocalSigner

KINDS = list(predicate.NAMES)


@pytest.fixture
def check(world: World, signer: LocalSigner, now: int) -> Callable[..., Verification]:
    """Verify the world's image as `prod` does, with other arguments where a test wants them."""

    def check(**changes: Any) -> Verification:
        arguments: dict[str, Any] = {
            "layout": world.layout,
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


def of(world: World, kind: str) -> Descriptor:
    """Return the listed referrer of one type."""
    return next(
        one
        for one in referrers.listed(world.layout, world.image.subject)
        if one.annotations[referrers.PREDICATE_TYPE] == kind
    )


def payload(world: World, kind: str) -> bytes:
    """Return a signed statement's bytes."""
    data = referrers.load(world.layout, world.image.subject, of(world, kind))
    return bundle.parse(data).payload


def replace(world: World, kind: str, data: bytes, *, listed_as: str = "") -> None:
    """Put another bundle in the place of the one of this type."""
    kept = referrers.listed(world.layout, world.image.subject)
    listing = Index(manifests=tuple(one for one in kept if one != of(world, kind)))
    stored = world.layout.put(index_bytes(listing), INDEX)
    world.layout.tag({"sha256-" + Digest(world.image.subject).hex: stored})
    if data:
        referrers.attach(world.layout, world.image.subject, data, listed_as or kind)


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
    kind: str, world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Taking any one away leaves the image untrusted."""
    world.sign(signer)
    replace(world, kind, b"")
    found = check()
    assert not found.met
    assert result(found, kind).error == "AttestationMissing"
    with pytest.raises(AttestationMissing):
        require(found)


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


def test_a_verification_of_nothing_is_refused(world: World, now: int) -> None:
    """A record that claims to be met without any result is not believed when it has none to show."""
    blank = Verification(
        subject=world.image.subject, name="prod", met=False, results=(), checked=now
    )
    with pytest.raises(AttestationMissing, match="nothing was checked"):
        require(blank)


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
    world: World, signer: LocalSigner, stranger: LocalSigner, check: Callable[..., Verification]
) -> None:
    """The hint says which key to try. It does not make another key's signature good."""
    world.sign(signer)
    for kind in KINDS:
        held = payload(world, kind)
        forged = bundle.build(held, stranger.sign(dsse.pae(held)), signer.public_key().hint)
        replace(world, kind, forged)
    assert {one.error for one in check().results} == {"SignatureInvalid"}


def test_junk_beside_good_evidence_does_no_harm(
    world: World, signer: LocalSigner, stranger: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Whoever can add referrers cannot take trust away: what a trusted key signed still counts."""
    world.sign(signer)
    world.sign(stranger)
    referrers.attach(world.layout, world.image.subject, b"junk", predicate.SBOM)
    assert check().met


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
    world: World,
    signer: LocalSigner,
    make_world: Callable[..., World],
    check: Callable[..., Verification],
) -> None:
    """A good bundle of another image, attached to this one, is about the wrong subject."""
    other = make_world(salt="other")
    world.sign(signer)
    other.sign(signer)
    data = referrers.load(other.layout, other.image.subject, of(other, kind))
    replace(world, kind, data)
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
    world.sign(signer)
    other.sign(signer)
    replace(world, kind, b"")
    world.layout.add_referrer(world.image.subject, of(other, kind))
    assert result(check(), kind).error == "SubjectMismatch"


@pytest.mark.parametrize("kind", KINDS, ids=predicate.NAMES.get)
def test_a_type_that_lies_is_refused(
    kind: str, world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """A statement of one type that is listed as another proves neither."""
    world.sign(signer)
    other = KINDS[KINDS.index(kind) - 1]
    data = referrers.load(world.layout, world.image.subject, of(world, other))
    replace(world, kind, data, listed_as=kind)
    assert result(check(), kind).error == "SignatureInvalid"


def test_a_payload_type_that_lies_is_refused(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """A signature over the same bytes under another payload type is not one over a statement."""
    world.sign(signer)
    held = payload(world, predicate.SBOM)
    for kind in ("text/plain", statement.PAYLOAD_TYPE):
        signature = signer.sign(dsse.pae(held, "text/plain"))
        data = bundle.build(held, signature, signer.public_key().hint)
        data = data.replace(statement.PAYLOAD_TYPE.encode(), kind.encode())
        replace(world, predicate.SBOM, data)
        refused(check(), predicate.SBOM, SignatureInvalid)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"_type"', b'{"_type":"x","_type"'),
        (b'"predicateType"', b'"predicateType":"x","predicateType"'),
        (b'"bomFormat"', b'"bomFormat":"x","bomFormat"'),
        (b"in-toto.io/Statement/v1", b"in-toto.io/Statement/v0.1"),
        (b'"sha256"', b'"sha512"'),
    ],
)
def test_a_signed_statement_that_is_none_is_refused(
    old: bytes, new: bytes, world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """A good signature does not help keys that stand twice, or another version or digest algorithm."""
    world.sign(signer)
    held = payload(world, predicate.SBOM)
    assert old in held
    changed = held.replace(old, new)
    data = bundle.build(changed, signer.sign(dsse.pae(changed)), signer.public_key().hint)
    replace(world, predicate.SBOM, data)
    error = SubjectMismatch if b"512" in new else SignatureInvalid
    refused(check(), predicate.SBOM, error)


def test_a_key_that_stands_twice_in_the_bundle_is_refused(
    world: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Two payloads in one envelope are two readings."""
    world.sign(signer)
    data = referrers.load(world.layout, world.image.subject, of(world, predicate.SBOM))
    replace(world, predicate.SBOM, data.replace(b'"payload"', b'"payload":"e30=","payload"', 1))
    refused(check(), predicate.SBOM, SignatureInvalid)


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
@given(st.sampled_from(KINDS), st.booleans(), st.data())
def test_any_changed_bit_in_the_store_is_refused(
    world: World,
    signer: LocalSigner,
    check: Callable[..., Verification],
    kind: str,
    in_manifest: bool,
    data: st.DataObject,
) -> None:
    """Whichever bit of a bundle or its manifest flips, verification ends with an error."""
    world.sign(signer)
    digest = of(world, kind).digest
    if not in_manifest:
        digest = Manifest.parse(world.layout.read(digest)).layers[0].digest
    path = world.layout.path(digest)
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
    world: World,
    signer: LocalSigner,
    check: Callable[..., Verification],
    kind: str,
    part: str,
    data: st.DataObject,
) -> None:
    """One who can write the store can make digests fit. The signature still does not."""
    world.sign(signer)
    subject = world.image.subject
    good = referrers.load(world.layout, subject, of(world, kind))
    held = bundle.parse(good)
    changed = bytearray(held.payload if part == "payload" else held.signature)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    forged = bundle.build(
        bytes(changed) if part == "payload" else held.payload,
        bytes(changed) if part == "signature" else held.signature,
        held.hint,
    )
    replace(world, kind, forged)
    try:
        found = check()
        assert not found.met
        assert result(found, kind).error == "SignatureInvalid"
    finally:
        replace(world, kind, good)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(st.data())
def test_any_bytes_as_a_bundle_are_refused(
    world: World, signer: LocalSigner, check: Callable[..., Verification], data: st.DataObject
) -> None:
    """A bundle with a piece cut out or put in is never evidence, and never more than a TrustError."""
    world.sign(signer)
    good = referrers.load(world.layout, world.image.subject, of(world, predicate.SIGNATURE))
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    forged = good[:start] + data.draw(st.binary(max_size=8)) + good[end:]
    if bundle_of(forged) == bundle_of(good):
        return
    replace(world, predicate.SIGNATURE, forged)
    try:
        assert not check(requirement=Signature()).met
    finally:
        replace(world, predicate.SIGNATURE, good)


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
    assert check(layout=Layout.open(tmp_path / "copy")).met


def test_lines_fit_and_are_plain(world: World, now: int) -> None:
    """Foreign text in a reason cannot break the line or move the cursor."""
    wild = Result(name="vuln", met=False, detail="x\x1b[2J" * 50, error="SubjectMismatch")
    shown = lines(
        Verification(
            subject=world.image.subject, name="prod", met=False, results=(wild,), checked=now
        )
    )
    assert len(shown[0]) <= WIDTH
    assert shown[0].isprintable()
    assert shown[0].endswith("…   (SubjectMismatch)")
    assert shown[1] == 'not trusted: 1 of 1 requirements of "prod" unmet'
