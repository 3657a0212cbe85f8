"""Bundles in a layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from lockgate.base.errors import (
    AttestationMissing,
    DigestMismatch,
    SignatureInvalid,
    SubjectMismatch,
)
from lockgate.oci.manifest import EMPTY, INDEX, MANIFEST, Manifest, manifest_bytes
from lockgate.sign import bundle, referrers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.world import World

DATA = bundle.build(b"{}", b"s", "hint")
KIND = "https://example.org/v1"


def test_the_manifest_is_that_of_cosign(world: World) -> None:
    """As cosign v3, pkg/oci/remote/write.go: artifact type, empty config, one layer, subject, annotations."""
    stored = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    found = json.loads(world.layout.read(stored.digest))
    index = world.layout.read(world.image.subject)
    assert found["schemaVersion"] == 2
    assert found["mediaType"] == MANIFEST
    assert found["artifactType"] == bundle.MEDIA_TYPE
    assert (found["config"]["mediaType"], found["config"]["size"]) == (EMPTY, 2)
    assert [one["mediaType"] for one in found["layers"]] == [bundle.MEDIA_TYPE]
    assert found["subject"] == {
        "mediaType": INDEX,
        "digest": world.image.subject,
        "size": len(index),
    }
    assert found["annotations"] == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": KIND,
    }


def test_a_stored_bundle_is_listed_and_loaded(world: World) -> None:
    """The listing has type and annotations; the bytes come back."""
    stored = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    assert referrers.listed(world.layout, world.image.subject) == (stored,)
    assert stored.artifact_type == bundle.MEDIA_TYPE
    assert stored.annotations[referrers.PREDICATE_TYPE] == KIND
    assert referrers.load(world.layout, world.image.subject, stored) == (DATA, KIND)


def test_a_listing_may_have_no_type(world: World) -> None:
    """Cosign lists bundles without annotations; the manifest says what they are."""
    stored = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    bare = msgspec.structs.replace(stored, annotations={})
    assert referrers.load(world.layout, world.image.subject, bare).predicate_type == KIND


def test_a_listing_that_contradicts_is_refused(world: World) -> None:
    """Listed as one type and said to be another inside: neither is believed."""
    stored = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    lying = msgspec.structs.replace(stored, annotations={referrers.PREDICATE_TYPE: "other"})
    with pytest.raises(SignatureInvalid, match="listed as 'other'"):
        referrers.load(world.layout, world.image.subject, lying)


def test_a_bundle_that_is_too_large_is_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store cannot make a reader fill its memory."""
    stored = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    monkeypatch.setattr(referrers, "MAX_BUNDLE", len(DATA) - 1)
    with pytest.raises(SignatureInvalid, match="larger than"):
        referrers.load(world.layout, world.image.subject, stored)


def test_storing_it_again_changes_nothing(world: World) -> None:
    """No time of writing: the same bundle gives the same manifest and one entry."""
    first = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    index = (world.layout.root / "index.json").read_bytes()
    assert referrers.attach(world.layout, world.image.subject, DATA, KIND) == first
    assert (world.layout.root / "index.json").read_bytes() == index


def test_a_platform_manifest_can_be_a_subject(world: World) -> None:
    """The subject's own media type is written."""
    manifest = world.image.platforms[0].manifest
    stored = referrers.attach(world.layout, manifest, DATA, KIND)
    assert json.loads(world.layout.read(stored.digest))["subject"]["mediaType"] == MANIFEST


def test_a_changed_byte_is_a_mismatch(world: World) -> None:
    """Manifest or bundle: bytes that are not their digest are refused."""
    stored = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    manifest = Manifest.parse(world.layout.read(stored.digest))
    for digest in (manifest.layers[0].digest, stored.digest):
        path = world.layout.path(digest)
        path.write_bytes(path.read_bytes().replace(b"e", b"f", 1))
        with pytest.raises(DigestMismatch):
            referrers.load(world.layout, world.image.subject, stored)


def test_a_missing_blob_is_missing_evidence(world: World) -> None:
    """A listing that points at nothing is not evidence."""
    stored = referrers.attach(world.layout, world.image.subject, DATA, KIND)
    world.layout.path(stored.digest).unlink()
    with pytest.raises(AttestationMissing):
        referrers.load(world.layout, world.image.subject, stored)


def test_a_referrer_of_another_image_is_a_mismatch(
    world: World, make_world: Callable[..., World]
) -> None:
    """A referrer that is listed under an image it does not belong to is refused."""
    other = make_world(salt="other")
    stored = referrers.attach(world.layout, other.image.subject, DATA, KIND)
    world.layout.add_referrer(world.image.subject, stored)
    with pytest.raises(SubjectMismatch, match="belongs to"):
        referrers.load(world.layout, world.image.subject, stored)


@pytest.mark.parametrize("change", ["no layer", "two layers", "other type", "no subject", "size"])
def test_another_manifest_is_no_bundle(change: str, world: World) -> None:
    """What is not one bundle with a subject is refused."""
    layout = world.layout
    stored = referrers.attach(layout, world.image.subject, DATA, KIND)
    manifest = Manifest.parse(layout.read(stored.digest))
    (layer,) = manifest.layers
    changed = {
        "no layer": msgspec.structs.replace(manifest, layers=()),
        "two layers": msgspec.structs.replace(manifest, layers=(layer, layer)),
        "other type": msgspec.structs.replace(
            manifest, layers=(msgspec.structs.replace(layer, media_type="text/plain"),)
        ),
        "no subject": msgspec.structs.replace(manifest, subject=None),
        "size": msgspec.structs.replace(
            manifest, layers=(msgspec.structs.replace(layer, size=layer.size + 1),)
        ),
    }[change]
    bad = layout.put(manifest_bytes(changed), MANIFEST)
    with pytest.raises((SignatureInvalid, SubjectMismatch)):
        referrers.load(layout, world.image.subject, bad)


def test_a_blob_that_is_no_manifest_is_refused(world: World) -> None:
    """A listing may point at anything; only a manifest is read."""
    bad = world.layout.put(b"[]", MANIFEST)
    with pytest.raises(SignatureInvalid):
        referrers.load(world.layout, world.image.subject, bad)
