"""Images and evidence read from a registry: each thing once, by digest, and nothing that is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.unit.oci.dictregistry import DictRegistry
from tests.unit.oci.images import KIND, build, everything
from tests.unit.oci.mishaps import answer

from lockgate.base.errors import DigestMismatch, RegistryError, TrustError, UsageError
from lockgate.oci import closure, readable, transfer
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, MANIFEST, Index, Manifest, index_bytes, manifest_bytes
from lockgate.oci.readable import Elsewhere
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.oci.manifest import Descriptor


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty layout."""
    return Layout.create(tmp_path / "store")


@pytest.fixture
def root(layout: Layout) -> Descriptor:
    """An image with every kind of evidence."""
    return everything(layout)


@pytest.fixture
def registry(layout: Layout, root: Descriptor) -> DictRegistry:
    """A registry that the image was pushed to; what was asked before is forgotten."""
    found = DictRegistry()
    with found.open() as target:
        work = transfer.plan(LayoutStore(layout, "a store"), target, root.digest, "1.0")
        transfer.move(work, lambda _done, _total, _name: None)
    found.asked.clear()
    return found


def blob(registry: DictRegistry, digest: str, data: bytes) -> None:
    """Serve other bytes for a digest."""
    repository = registry["team/app"]
    if digest in repository.manifests:
        repository.manifests[digest] = (repository.manifests[digest][0], data)
    else:
        repository.blobs[digest] = data


def parts(layout: Layout, root: Descriptor) -> dict[str, Descriptor]:
    """Return one of each kind of part of an image."""
    listed = layout.manifests(root.digest)[1]
    manifest = Manifest.parse(layout.read(listed.digest))
    return {"manifest": listed, "config": manifest.config, "layer": manifest.layers[-1]}


def test_an_image_without_its_layers(
    layout: Layout, root: Descriptor, registry: DictRegistry
) -> None:
    """Index, manifests and configurations are read, each once; the layers are named, and not read."""
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        left = place.check(root.digest)

    layers = {
        one.digest
        for each in layout.manifests(root.digest)
        for one in Manifest.parse(layout.read(each.digest)).layers
    }
    assert {one.digest for one in left} == layers
    asked = [one.path for one in registry.asked]
    assert len(asked) == len(set(asked)) == 1 + 2 + 2
    assert not any(one in path for one in layers for path in asked)


def test_an_image_with_its_layers(root: Descriptor, registry: DictRegistry) -> None:
    """Each layer is read once, though two platforms share one."""
    with registry.open(push=False) as source, Elsewhere(source, layers=True) as place:
        assert place.check(root.digest) == ()

    assert registry.count("GET", "/blobs/") == 2 + 3


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_changed_bytes(part: str, layout: Layout, root: Descriptor, registry: DictRegistry) -> None:
    """What is read is hashed, whatever it is."""
    found = parts(layout, root)[part]
    data = layout.path(found.digest).read_bytes()
    blob(registry, found.digest, bytes([data[0] ^ 1]) + data[1:])

    with (
        registry.open(push=False) as source,
        Elsewhere(source, layers=True) as place,
        pytest.raises(DigestMismatch),
    ):
        place.check(root.digest)


def test_a_layer_of_two_sizes(layout: Layout, root: Descriptor, registry: DictRegistry) -> None:
    """A manifest that gives one layer two sizes says something false, wherever it is read from."""
    listed = layout.manifests(root.digest)[1]
    manifest = Manifest.parse(layout.read(listed.digest))
    layer = manifest.layers[-1]
    layers = (msgspec.structs.replace(layer, size=layer.size - 1), layer)
    put = layout.put(manifest_bytes(msgspec.structs.replace(manifest, layers=layers)), MANIFEST)
    registry["team/app"].manifests[put.digest] = (MANIFEST, layout.read(put.digest))

    with pytest.raises(DigestMismatch):
        layout.check(put.digest)
    with (
        registry.open(push=False) as source,
        Elsewhere(source, layers=True) as place,
        pytest.raises(DigestMismatch),
    ):
        place.check(put.digest)


@pytest.mark.parametrize("part", ["manifest", "config"])
def test_a_hole(part: str, layout: Layout, root: Descriptor, registry: DictRegistry) -> None:
    """An image of which something is missing is refused, and the digest is named."""
    found = parts(layout, root)[part]
    repository = registry["team/app"]
    repository.manifests.pop(found.digest, None)
    repository.blobs.pop(found.digest, None)

    with (
        registry.open(push=False) as source,
        Elsewhere(source, layers=False) as place,
        pytest.raises(TrustError) as raised,
    ):
        place.check(root.digest)

    assert found.digest in raised.value.message


def test_an_index_of_nothing(layout: Layout, registry: DictRegistry) -> None:
    """Nothing to check is no success."""
    empty = layout.put(index_bytes(Index(manifests=())), INDEX)
    data = layout.read(empty.digest)
    registry["team/app"].manifests[empty.digest] = (INDEX, data)

    with (
        registry.open(push=False) as source,
        Elsewhere(source, layers=False) as place,
        pytest.raises(UsageError, match="lists no manifest"),
    ):
        place.check(empty.digest)


def test_what_is_not_there(layout: Layout, registry: DictRegistry) -> None:
    """A digest that the registry does not have is not an image without layers."""
    other = build(layout, "other")

    with (
        registry.open(push=False) as source,
        Elsewhere(source, layers=False) as place,
        pytest.raises(RegistryError),
    ):
        place.check(other.digest)


def test_evidence_is_the_same_as_in_a_layout(
    layout: Layout, root: Descriptor, registry: DictRegistry
) -> None:
    """Referrers of a type, tags, and the bytes of both; and what was got is not asked for again."""
    tag = root.digest.replace(":", "-") + ".sig"
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        place.check(root.digest)
        listed = place.referrers(root.digest, KIND)
        assert [one.digest for one in listed] == [
            one.digest for one in layout.referrers(root.digest, KIND)
        ]
        assert [one.digest for one in place.named(tag)] == [layout.tags()[tag].digest]
        assert place.named("sha256-0.sig") == ()
        before = len(registry.asked)
        for one in (*listed, *place.named(tag)):
            manifest = place.fetch(one)
            assert manifest == layout.read(one.digest)
            assert place.fetch(Manifest.parse(manifest).layers[0]) is not None
    # Naming the tag once more is the one thing that has to be asked.
    assert len(registry.asked) == before + 1


def test_evidence_that_is_not_there(
    layout: Layout, root: Descriptor, registry: DictRegistry
) -> None:
    """A listed referrer that the registry does not have is nothing, which is no evidence."""
    listed = layout.referrers(root.digest, KIND)
    del registry["team/app"].manifests[listed[0].digest]

    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        place.referrers(root.digest, KIND)
        assert place.fetch(listed[0]) is None
        assert place.fetch(listed[1]) is not None


def test_evidence_beyond_the_limit(root: Descriptor, registry: DictRegistry) -> None:
    """A blob that says to be larger is not fetched."""
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        listed = place.referrers(root.digest, KIND)[0]
        layer = Manifest.parse(place.fetch(listed) or b"").layers[0]
        fresh = Elsewhere(source, layers=False)
        with fresh, pytest.raises(UsageError, match="larger than 1 bytes"):
            fresh.fetch(layer, limit=1)


def test_more_referrers_than_anybody_writes(
    layout: Layout, root: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who adds referrers makes the image refused, and not this process swell; also where no API counts."""
    monkeypatch.setattr(closure, "MAX_MANIFESTS", 1)

    with (
        Elsewhere(LayoutStore(layout, "a store"), layers=False) as place,
        pytest.raises(TrustError, match="more than 1 referrers"),
    ):
        place.referrers(root.digest)


def test_memory_is_bounded(
    root: Descriptor, registry: DictRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is not kept, and asked for again when it is needed."""
    monkeypatch.setattr(readable, "MAX_KEPT", 10)

    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        listed = place.referrers(root.digest, KIND)[0]
        before = len(registry.asked)
        assert place.fetch(listed) == place.fetch(listed)

    assert len(registry.asked) == before + 2


def test_a_registry_that_is_down_is_no_missing_evidence(
    root: Descriptor, registry: DictRegistry
) -> None:
    """Could not look is an error of its own, and not an image that nobody signed."""
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        place.check(root.digest)
        registry.fail("GET", "/referrers/", lambda _request, _serve: answer(500), times=99)
        with pytest.raises(RegistryError) as raised:
            place.referrers(root.digest, KIND)
    assert raised.value.retryable


def test_what_is_known_is_not_asked_for(root: Descriptor, registry: DictRegistry) -> None:
    """Bytes that somebody offers stand in for a blob when they have its digest, and only then."""
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        listed = place.referrers(root.digest, KIND)[0]
        layer = Manifest.parse(place.fetch(listed) or b"").layers[0]
        data = place.fetch(layer) or b""
    registry.asked.clear()
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        place.offer(data)
        place.offer(b"something else")
        assert place.fetch(layer) == data
    assert registry.asked == []


def test_questions_are_asked_ahead(
    layout: Layout, root: Descriptor, registry: DictRegistry
) -> None:
    """The list of referrers and the tags come while the image is looked at, each asked for once."""
    tag = root.digest.replace(":", "-") + ".sig"
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        place.begin(root.digest, (tag,))
        place.check(root.digest)
        assert [one.digest for one in place.named(tag)] == [layout.tags()[tag].digest]
        assert len(place.referrers(root.digest, KIND)) == 2

    assert registry.count("GET", f"/manifests/{tag}") == 1
    assert registry.count("GET", f"/referrers/{root.digest}") == 1


def test_what_was_asked_ahead_fails_where_it_is_needed(
    root: Descriptor, registry: DictRegistry
) -> None:
    """A list that could not be got is an error for whoever wants it, and none before."""
    registry.fail("GET", "/referrers/", lambda _request, _serve: answer(500), times=99)
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        place.begin(root.digest, ())
        place.check(root.digest)
        with pytest.raises(RegistryError):
            place.referrers(root.digest, KIND)


def test_one_place_for_many_images(
    root: Descriptor, registry: DictRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is bounded over all of them, the oldest goes first, and nothing is wrong without it."""
    monkeypatch.setattr(readable, "MAX_KEPT", 1000)
    with registry.open(push=False) as source, Elsewhere(source, layers=False) as place:
        for _ in range(3):
            place.check(root.digest)
            assert len(place.referrers(root.digest, KIND)) == 2
        assert sum(map(len, place._kept.values())) == place._size <= 1000
