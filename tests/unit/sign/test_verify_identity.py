"""Verify an image whose evidence is signed by a certificate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.sign.keyless.conftest import RELEASE, parsed
from tests.unit.sign.keyless.instance import Instance, Made
from tests.unit.sign.world import NOW

from lockgate.base.errors import KeyRefused, SignatureInvalid
from lockgate.sign import predicate, referrers, statement
from lockgate.sign.combine import AllOf, Signers
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.requirement import Sbom, Signature
from lockgate.sign.verify import require, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.world import World

    from lockgate.sign.local import LocalSigner
    from lockgate.sign.model import Verification

INSTANCE = Instance()


def attach(world: World, kind: str, content: bytes, entry: str = "dsse 0.0.1") -> None:
    """Store a statement about the image that the instance vouches for."""
    payload = statement.build(
        name="app", digest=world.image.subject, predicate_type=kind, predicate=content
    )
    made = Made(INSTANCE, payload, kind=entry)
    referrers.attach(world.layout, world.image.subject, made.data(), kind)


@pytest.fixture
def check(world: World) -> Callable[..., Verification]:
    """Verify signature and SBOM as an environment does that trusts one identity."""

    def check(**changes: Any) -> Verification:
        arguments: dict[str, Any] = {
            "place": world.layout,
            "digest": world.image.subject,
            "requirement": AllOf(parts=(Signature(), Sbom())),
            "keys": [],
            "identities": [RELEASE],
            "trusted_root": parsed(INSTANCE.root()),
            "name": "prod",
            "now": NOW,
            "development_key_allowed": False,
            **changes,
        }
        return verify(**arguments)

    return check


@pytest.fixture
def signed(world: World) -> World:
    """The world's image, signed by a certificate in both kinds of log."""
    attach(world, predicate.SIGNATURE, predicate.signature())
    attach(world, predicate.SBOM, world.sbom, "hashedrekord 0.0.2")
    return world


def test_an_identity_is_evidence(signed: World, check: Callable[..., Verification]) -> None:
    """The line says who it was."""
    found = check()
    require(found)
    assert found.results[0].detail == RELEASE.label


def test_only_who_is_trusted_counts(
    signed: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Another identity, or only a key, is not enough."""
    other = Identity(RELEASE.subject + "x", RELEASE.issuer)
    for changes in (
        {"identities": [other]},
        {"identities": [], "trusted_root": None, "keys": [signer.public_key()]},
    ):
        found = check(**changes)
        assert {one.error for one in found.results} == {"SignatureInvalid"}
        with pytest.raises(SignatureInvalid):
            require(found)


def test_without_a_root_nothing_is_proven(
    signed: World, check: Callable[..., Verification]
) -> None:
    """Identities that nothing can prove are an error of the settings, and no unsigned image."""
    with pytest.raises(KeyRefused, match="no trusted root") as caught:
        check(trusted_root=None)
    assert caught.value.hint
    content = INSTANCE.root() | {"tlogs": []}
    assert {one.error for one in check(trusted_root=parsed(content)).results} == {
        "SignatureInvalid"
    }


def test_a_quorum_of_a_key_and_an_identity(
    signed: World, signer: LocalSigner, check: Callable[..., Verification]
) -> None:
    """Two different signers, whatever they sign with; the same one twice is one."""
    two = Signature(by=Signers(quorum=2))
    attach(signed, predicate.SIGNATURE, predicate.signature(), "hashedrekord 0.0.2")
    assert not check(requirement=two, keys=[signer.public_key()]).met
    signed.sign(signer)
    found = check(requirement=two, keys=[signer.public_key()])
    assert found.met
    assert RELEASE.label in found.results[0].detail
    assert signer.public_key().label in found.results[0].detail
    certain = Signature(by=Signers(keys=frozenset({RELEASE.fingerprint})))
    assert check(requirement=certain, keys=[signer.public_key()]).met


def test_a_statement_about_another_image_is_refused(
    world: World, make_world: Callable[..., World], check: Callable[..., Verification]
) -> None:
    """Who signed is not all: it must be about this image, and be what it is listed as."""
    other = make_world(salt="other")
    payload = statement.build(
        name="app",
        digest=other.image.subject,
        predicate_type=predicate.SBOM,
        predicate=world.sbom,
    )
    data = Made(INSTANCE, payload).data()
    referrers.attach(world.layout, world.image.subject, data, predicate.SBOM)
    attach(world, predicate.SIGNATURE, predicate.signature())
    assert check().results[1].error == "SubjectMismatch"
    listed = json.dumps(Made(INSTANCE, payload).bundle).encode()
    referrers.attach(other.layout, other.image.subject, listed, predicate.SIGNATURE)
    found = check(digest=other.image.subject, requirement=Signature())
    assert found.results[0].error == "SignatureInvalid"
