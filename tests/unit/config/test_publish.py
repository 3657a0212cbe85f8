"""An artifact is signed when each of its images is trusted where it is to run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.config.test_package import ONE, SOURCE, TWO, pod
from tests.unit.sign.world import make_signer

from lockgate.base.errors import AttestationMissing, KeyRefused, SubjectMismatch
from lockgate.config import package, publish
from lockgate.config.model import Built
from lockgate.oci.layout import Layout
from lockgate.oci.reference import PinnedRef
from lockgate.sign.model import Result, Signed, Verification
from lockgate.sign.public_key import MARK
from lockgate.sign.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lockgate.sign.local import LocalSigner

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def signer() -> LocalSigner:
    """The key of the release."""
    return make_signer("release")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    return Layout.create(tmp_path / "store")


@pytest.fixture
def built(layout: Layout) -> Built:
    """An artifact of two images, made for prod."""
    artifact = package.package(
        [pod("a", ONE), pod("b", TWO)], name="config-prod", source=SOURCE, layout=layout
    )
    return Built(
        artifact=artifact,
        environment="prod",
        source=SOURCE,
        renderer="kustomize v5.8.1",
        inputs={"COMMIT": SOURCE.revision},
    )


def trusted(image: str, *, environment: str = "prod", met: bool = True) -> Verification:
    """Return what `verify` says of an image."""
    return Verification(
        subject=PinnedRef.parse(image).digest,
        name=environment,
        met=met,
        results=(Result(name="signature", met=met, detail=""),),
        checked=NOW,
    )


BOTH = (trusted(ONE), trusted(TWO))


def sign(
    built: Built,
    layout: Layout,
    signer: LocalSigner,
    verifications: Sequence[Verification] = BOTH,
    **more: Any,
) -> Signed:
    """Publish."""
    arguments = {"signer": signer, "layout": layout, "development_key_allowed": False, **more}
    return publish.publish(built, verifications, **arguments)


def check(
    built: Built, layout: Layout, signer: LocalSigner, environment: str = "prod"
) -> Verification:
    """Verify an artifact."""
    return verify(
        layout,
        built.artifact.subject,
        publish.requirement(environment),
        [signer.public_key()],
        name=environment,
        now=NOW,
        development_key_allowed=False,
    )


def test_a_signed_artifact_meets_its_requirement(
    built: Built, layout: Layout, signer: LocalSigner
) -> None:
    """Signature and provenance, verified as those of an image are."""
    signed = sign(built, layout, signer)
    assert signed.subject == built.artifact.subject
    found = check(built, layout, signer)
    assert found.met
    assert [one.name for one in found.results] == ["signature", "provenance"]
    assert "lockgate/config" in found.results[1].detail


def test_an_unsigned_artifact_does_not(built: Built, layout: Layout, signer: LocalSigner) -> None:
    """Nothing is proven."""
    assert not check(built, layout, signer).met


def test_a_signature_for_one_environment_is_none_for_another(
    built: Built, layout: Layout, signer: LocalSigner
) -> None:
    """Its images were verified for prod alone."""
    sign(built, layout, signer)
    assert not check(built, layout, signer, "staging").met


def test_signing_twice_changes_nothing(built: Built, layout: Layout, signer: LocalSigner) -> None:
    """What was signed is recognised."""
    first = sign(built, layout, signer)
    second = sign(built, layout, signer)
    assert all(one.new for one in first.statements)
    assert not any(one.new for one in second.statements)


@pytest.mark.parametrize(
    "verifications",
    [
        (),
        (trusted(ONE),),
        (trusted(ONE), trusted(TWO, met=False)),
        (trusted(ONE), trusted(TWO, environment="dev")),
        (trusted(ONE), msgspec.structs.replace(trusted(TWO), results=())),
    ],
    ids=["none", "one missing", "not met", "another environment", "nothing checked"],
)
def test_an_image_that_is_not_trusted_there_stops_the_signature(
    verifications: tuple[Verification, ...], built: Built, layout: Layout, signer: LocalSigner
) -> None:
    """Every image needs a verification that holds, for this environment."""
    with pytest.raises(AttestationMissing, match="is not trusted in prod") as caught:
        sign(built, layout, signer, verifications)
    assert "inv verify -e prod" in caught.value.hint
    assert layout.referrers(built.artifact.subject) == ()


def test_a_record_that_says_something_else_is_refused(
    built: Built, layout: Layout, signer: LocalSigner
) -> None:
    """Whoever can write the record could leave an image out."""
    fewer = msgspec.structs.replace(built.artifact, images=(ONE,))
    with pytest.raises(SubjectMismatch, match="is not what its record says"):
        sign(msgspec.structs.replace(built, artifact=fewer), layout, signer)


def test_a_development_key_is_refused_where_none_is_taken(built: Built, layout: Layout) -> None:
    """And taken where it is."""
    developer = make_signer("development", MARK)
    with pytest.raises(KeyRefused, match="does not take the development key"):
        sign(built, layout, developer)
    assert sign(built, layout, developer, development_key_allowed=True).development


def test_the_provenance_names_commit_and_images(built: Built) -> None:
    """Each by its digest, with the builder that is not the one of images."""
    content = json.loads(publish.provenance(built))
    definition = content["buildDefinition"]
    found = {one["name"]: one["digest"] for one in definition["resolvedDependencies"]}
    assert found["source"] == {"gitCommit": "3" * 40}
    assert found["r.example/app"] == {"sha256": "1" * 64}
    assert found["redis"] == {"sha256": "2" * 64}
    assert content["runDetails"]["builder"]["id"] == "urn:lockgate:builder:lockgate/config"
    assert content["runDetails"]["builder"]["version"]["kustomize"] == "v5.8.1"


def test_a_dirty_tree_is_said(built: Built) -> None:
    """In the provenance and in what the signer says."""
    source = msgspec.structs.replace(SOURCE, changes=("k8s/a.yaml",))
    artifact = msgspec.structs.replace(built.artifact, revision="3" * 40 + "-dirty")
    dirty = msgspec.structs.replace(built, source=source, artifact=artifact)
    listed = json.loads(publish.provenance(dirty))["buildDefinition"]["resolvedDependencies"]
    assert any(one.get("annotations", {}).get("dirty") for one in listed)
    assert publish.signer_says(dirty)["commit"].endswith("-dirty")
