"""cosign reads what Lockgate signs: signatures and every attestation, in both forms, with every kind of key."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.cosign.conftest import BUNDLE, FORMS, LEGACY, Cosign, Registry
from tests.integration.cosign.keys import KINDS, Pair, pair
from tests.unit.sign.world import World, make_checks, make_world

from lockgate.oci.digest import Digest
from lockgate.scan.model import Finding
from lockgate.sign import checks, predicate

if TYPE_CHECKING:
    from pathlib import Path

TYPES = {
    predicate.SBOM: "cyclonedx",
    predicate.VULN: "vuln",
    predicate.PROVENANCE: "slsaprovenance1",
    predicate.SUMMARY: predicate.SUMMARY,
    checks.TESTS: checks.TESTS,
    checks.LICENCES: checks.LICENCES,
}
"""What `cosign verify-attestation --type` calls each attestation."""


class Pushed:
    """An image that Lockgate signed, in a registry."""

    def __init__(self, world: World, pair: Pair, registry: Registry, repository: str) -> None:
        self.world, self.pair = world, pair
        self.image = f"{registry.push(world.layout, repository)}@{world.image.subject}"


def pushed(
    tmp_path: Path, registry: Registry, *, kind: str = "P-256", form: str = "", **more: Any
) -> Pushed:
    """Sign an image in one form, or in both, and push it."""
    keys = pair(kind, tmp_path, "release")
    world = make_world(tmp_path, salt=str(tmp_path))
    formats = {"formats": (form,)} if form else {}
    world.sign(keys.signer, checks=make_checks(world.image), **formats, **more)
    repository = Digest.of(str(tmp_path).encode()).hex[:12]
    return Pushed(world, keys, registry, repository)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_cosign_verifies_our_signature(
    kind: str, form: str, cosign: Cosign, registry: Registry, tmp_path: Path
) -> None:
    """`cosign verify` accepts the image, sees the annotations, and refuses them when they are others."""
    ours = pushed(tmp_path, registry, kind=kind, form=form)
    public, flags = str(ours.pair.public), ours.pair.flags
    done = cosign.verify(ours.image, public, form, *flags, "-a", "environment=prod")
    (found,) = json.loads(done.stdout)
    assert found["critical"]["image"]["docker-manifest-digest"] == ours.world.image.subject
    assert found["optional"] == {
        "builder": "lockgate/native",
        "stack": "python",
        "commit": ours.world.image.source.revision,
        "environment": "prod",
    }
    if form == LEGACY:
        wrong = (*flags, "-a", "environment=dev")
        cosign.verify(ours.image, public, form, *wrong, code=None)


@pytest.mark.parametrize("form", FORMS)
def test_cosign_takes_no_refusal_for_a_signature(
    form: str, cosign: Cosign, registry: Registry, tmp_path: Path
) -> None:
    """An image of which a closed gate's refusal is signed does not pass `cosign verify`.

    By default it passes in no way; where bundles alone are asked for, `-a environment=…` is what refuses it.
    """
    keys = pair("P-256", tmp_path, "release")
    found = Finding(
        kind="vuln", id="CVE-2026-1234", severity="HIGH", title="", package="libexpat1", version="1", fixed="2",
        target="debian", path="", purl="", aliases=(), platforms=("linux/amd64",), layer="",
    )  # fmt: skip
    world = make_world(tmp_path, salt="refused", findings=(found,))
    assert not world.decision.allowed
    world.sign(keys.signer, allow_failed_summary=True)
    refused = Pushed(world, keys, registry, "refused-" + form)
    cosign.verify(refused.image, str(keys.public), form, code=None)
    world.sign(keys.signer, formats=(form,), allow_failed_summary=True)
    refused = Pushed(world, keys, registry, "refused-again-" + form)
    cosign.verify(refused.image, str(keys.public), form, "-a", "environment=prod", code=None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "kind", list(TYPES), ids=lambda kind: predicate.NAMES.get(kind, kind[-12:])
)
def test_cosign_verifies_our_attestations(
    kind: str, form: str, cosign: Cosign, registry: Registry, tmp_path: Path
) -> None:
    """`cosign verify-attestation` accepts each type, and hands out the very bytes that were signed."""
    ours = pushed(tmp_path, registry, form=form)
    public = str(ours.pair.public)
    done = cosign.verify_attestation(ours.image, public, form, TYPES[kind])
    found = json.loads(base64.b64decode(json.loads(done.stdout)["payload"]))
    assert found["predicateType"] == kind
    assert found["subject"][0]["digest"]["sha256"] == Digest(ours.world.image.subject).hex
    if kind == predicate.SBOM:
        assert ours.world.sbom in base64.b64decode(json.loads(done.stdout)["payload"])


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("form", FORMS)
def test_cosign_verifies_attestations_of_every_key(
    form: str, kind: str, cosign: Cosign, registry: Registry, tmp_path: Path
) -> None:
    """Envelopes too are signed by the algorithm that cosign takes for the key."""
    ours = pushed(tmp_path, registry, kind=kind, form=form)
    cosign.verify_attestation(
        ours.image, str(ours.pair.public), form, "cyclonedx", *ours.pair.flags
    )


@pytest.mark.parametrize("form", FORMS)
def test_cosign_refuses_another_key(
    form: str, cosign: Cosign, registry: Registry, tmp_path: Path
) -> None:
    """What verifies does so because of the key."""
    ours = pushed(tmp_path, registry, form=form)
    other = str(pair("P-256", tmp_path, "other").public)
    cosign.verify(ours.image, other, form, code=None)
    cosign.verify_attestation(ours.image, other, form, "cyclonedx", code=None)


def test_bundles_are_not_the_older_form(cosign: Cosign, registry: Registry, tmp_path: Path) -> None:
    """With bundles alone a reader of the older form finds nothing: the tests above read what they say."""
    ours = pushed(tmp_path, registry, form=BUNDLE)
    cosign.verify(ours.image, str(ours.pair.public), LEGACY, code=None)
    cosign.verify_attestation(ours.image, str(ours.pair.public), LEGACY, "vuln", code=None)


@pytest.mark.parametrize("form", FORMS)
def test_cosign_adds_to_what_we_wrote(
    form: str, cosign: Cosign, registry: Registry, tmp_path: Path
) -> None:
    """A second signature by cosign stands beside ours, and both verify."""
    ours = pushed(tmp_path, registry)
    second = pair("P-256", tmp_path, "second")
    cosign.sign(ours.image, str(second.private), form)
    for keys in (ours.pair, second):
        cosign.verify(ours.image, str(keys.public), form)
