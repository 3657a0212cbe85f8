"""Tags to which several signers add: neither a push nor a pull takes somebody's signature away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.oci.dictregistry import DictRegistry
from tests.unit.oci.images import KIND, build, everything
from tests.unit.oci.mishaps import first

from lockgate.base.canonical import encode
from lockgate.base.errors import TrustError
from lockgate.oci import older, transfer
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, MANIFEST, Descriptor, Manifest, manifest_bytes
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from lockgate.oci.store import Source, Target


def signed(folder: Path, *signers: str) -> tuple[Layout, Descriptor]:
    """Return a layout with an image, always the same, and one `.sig` tag with a layer for each signer."""
    layout = Layout.create(folder)
    root = build(layout)
    sign(layout, root, *signers)
    return layout, root


def tag_of(root: Descriptor, end: str = ".sig") -> str:
    """Return the tag."""
    return root.digest.replace(":", "-") + end


def sign(layout: Layout, root: Descriptor, *signers: str, end: str = ".sig") -> None:
    """Point the tag at an image with a layer for each signer."""
    layers = tuple(layout.put(b"signature of " + one.encode(), KIND) for one in signers)
    config = layout.put(older.config(layers), CONFIG)
    found = layout.put(manifest_bytes(Manifest(config=config, layers=layers)), MANIFEST)
    layout.tag({tag_of(root, end): found})


def move(source: Source, target: Target, digest: str, name: str = "1.0") -> transfer.Moved:
    """Move an image."""
    return transfer.move(transfer.plan(source, target, digest, name), lambda *_: None)


def signers(place: Source, root: Descriptor, end: str = ".sig") -> list[str]:
    """Return whose signatures lie behind the tag, in order; their blobs are there too."""
    found = place.resolve(tag_of(root, end))
    assert found is not None
    data = place.manifest(found.digest)
    assert data is not None
    said = []
    for one in Manifest.parse(data).layers:
        with place.open(one) as pieces:
            said.append(b"".join(pieces).decode().removeprefix("signature of "))
    return said


@pytest.mark.parametrize("end", [".sig", ".att"])
def test_two_signers_push(end: str, tmp_path: Path) -> None:
    """Who pushes second adds to what is there, and the first finds both; nothing is left to move after."""
    registry = DictRegistry()
    places = [LayoutStore(signed(tmp_path / name)[0], name) for name in ("ann", "ben")]
    root = places[0].layout.resolve("app")
    for place in places:
        sign(place.layout, root, place.label, end=end)
        move(place, registry.open(), root.digest)

    assert signers(registry.open(), root, end) == ["ann", "ben"]
    again = move(places[0], registry.open(), root.digest)
    assert (again.blobs, again.manifests, again.tags) == ((), (), ())
    move(registry.open(), places[0], root.digest, "app")
    assert signers(places[0], root, end) == ["ann", "ben"]


def test_a_pull_keeps_the_store_s_own(tmp_path: Path) -> None:
    """A signature that was made here and never pushed survives a pull of another one."""
    ann, root = signed(tmp_path / "ann", "ann")
    ben, _ = signed(tmp_path / "ben", "ben")
    registry = DictRegistry()
    move(LayoutStore(ann, "x"), registry.open(), root.digest)

    move(registry.open(), LayoutStore(ben, "y"), root.digest, "app")

    assert signers(LayoutStore(ben, "y"), root) == ["ben", "ann"]
    assert signers(registry.open(), root) == ["ann"]


def test_a_signature_that_is_made_during_a_pull(tmp_path: Path) -> None:
    """Who signs in the store between a pull's look at the tag and its change of it is not overwritten."""
    ann, root = signed(tmp_path / "ann", "ann")
    ben, _ = signed(tmp_path / "ben", "ben")

    before = ben.resolve(tag_of(root)).digest

    class Busy(LayoutStore):
        """A store in which somebody signs as soon as the tag was looked at."""

        def manifest(self, digest: str) -> bytes | None:
            found = super().manifest(digest)
            if digest == before:
                sign(self.layout, root, "ben", "cleo")
            return found

    move(LayoutStore(ann, "x"), Busy(ben, "y"), root.digest, "app")

    assert sorted(signers(LayoutStore(ben, "y"), root)) == ["ann", "ben", "cleo"]


def test_more_replaces_less(tmp_path: Path) -> None:
    """Who has all that is there, and more, needs no third image: the tag is the same in both places."""
    ann, root = signed(tmp_path / "ann", "ann")
    both, _ = signed(tmp_path / "both", "ann", "ben")
    registry = DictRegistry()
    move(LayoutStore(ann, "x"), registry.open(), root.digest)

    move(LayoutStore(both, "y"), registry.open(), root.digest)

    assert registry["team/app"].tags[tag_of(root)] == both.resolve(tag_of(root)).digest


def test_other_tags_are_replaced(tmp_path: Path) -> None:
    """A bill of materials is one document: the new one takes the place of the old one."""
    layout, root = signed(tmp_path / "ann", "ann")
    other, _ = signed(tmp_path / "ben", "ben")
    sign(layout, root, "ann", end=".sbom")
    sign(other, root, "ben", end=".sbom")
    registry = DictRegistry()
    for one in (layout, other):
        move(LayoutStore(one, "x"), registry.open(), root.digest)

    assert signers(registry.open(), root, ".sbom") == ["ben"]


def test_what_is_no_list_of_signatures_is_not_replaced(tmp_path: Path) -> None:
    """When the tag holds something else, nobody knows whose it is; the name of the image is not set."""
    layout, root = signed(tmp_path / "ann", "ann")
    registry = DictRegistry()
    target = LayoutStore(Layout.create(tmp_path / "other"), "other")
    target.layout.tag({tag_of(root): build(target.layout, "strange")})

    with pytest.raises(TrustError, match="holds no signatures") as raised:
        move(LayoutStore(layout, "x"), target, root.digest, "app")

    assert "remove that tag" in raised.value.hint
    assert "app" not in target.layout.tags()
    assert registry.asked == []


def test_too_many_signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than readers take would make all of them unreadable."""
    monkeypatch.setattr(older, "MAX_LAYERS", 2)
    registry = DictRegistry()
    layouts = [signed(tmp_path / name, name) for name in ("ann", "ben", "cleo")]
    root = layouts[0][1]
    for layout, _ in layouts[:2]:
        move(LayoutStore(layout, "x"), registry.open(), root.digest)

    with pytest.raises(TrustError, match="would hold 3 signatures"):
        move(LayoutStore(layouts[2][0], "x"), registry.open(), root.digest)

    assert signers(registry.open(), root) == ["ann", "ben"]


def test_a_tag_that_another_writes_at_the_same_time(tmp_path: Path) -> None:
    """Who read the tag before us and writes it after us takes our signature away; it is put back."""
    ann, root = signed(tmp_path / "ann", "ann")
    ben, _ = signed(tmp_path / "ben", "ben")
    registry = DictRegistry()
    held: dict[str, str] = {}
    move(LayoutStore(ben, "y"), registry.open(), root.digest)
    held.update(registry["team/app"].tags)
    del registry["team/app"].tags[tag_of(root)]

    def write_over() -> None:
        registry["team/app"].tags.update(held)
        held.clear()

    registry.meanwhile = write_over
    move(LayoutStore(ann, "x"), registry.open(), root.digest)

    assert signers(registry.open(), root) == ["ben", "ann"]


def test_the_list_of_referrers_too(tmp_path: Path) -> None:
    """The tag that lists referrers where there is no API: who writes it after us is found out at the end."""
    layout = Layout.create(tmp_path / "store")
    root = everything(layout)
    registry = DictRegistry(referrers_api=False)
    tag = root.digest.replace(":", "-")
    done: list[str] = []

    def write_over() -> None:
        if not done:
            done.append(registry["team/app"].tags.pop(tag))

    registry.meanwhile = write_over
    move(LayoutStore(layout, "x"), registry.open(), root.digest)

    assert done
    listed = registry.open().referrers(root.digest)
    assert {one.digest for one in listed} == {one.digest for one in layout.referrers(root.digest)}


def test_somebody_who_always_writes_over_it(tmp_path: Path) -> None:
    """When the signature never stays, that is an error, and not a push that is done."""
    layout, root = signed(tmp_path / "ann", "ann")
    registry = DictRegistry()
    registry.meanwhile = lambda: registry["team/app"].tags.pop(tag_of(root), None)

    with pytest.raises(TrustError, match=rf"does not hold {tag_of(root)}"):
        move(LayoutStore(layout, "x"), registry.open(), root.digest)
    assert len(registry.slept) == transfer.ROUNDS


def test_nothing_is_waited_for_without_a_shared_list(tmp_path: Path) -> None:
    """A push that writes no list that others write too does not wait, nor does one that finds all there."""
    layout = Layout.create(tmp_path / "store")
    root = build(layout)
    registry = DictRegistry()
    move(LayoutStore(layout, "x"), registry.open(), root.digest)
    assert registry.slept == []

    sign(layout, root, "ann")
    move(LayoutStore(layout, "x"), registry.open(), root.digest)
    assert len(registry.slept) == 1
    move(LayoutStore(layout, "x"), registry.open(), root.digest)
    assert len(registry.slept) == 1


def test_the_wait_is_longer_than_others_take(tmp_path: Path) -> None:
    """How long is waited depends on how long the change took, within limits."""
    layout, root = signed(tmp_path / "ann", "ann")
    registry = DictRegistry()

    def slow(_: httpx2.Request) -> None:
        registry.now += 0.5

    registry.fail("PUT", f"/manifests/{tag_of(root)}", first(slow))
    move(LayoutStore(layout, "x"), registry.open(), root.digest)

    assert registry.slept == [4.0]


def test_the_configuration_is_that_of_cosign() -> None:
    """No platform, no time, and the layers as they are."""
    layer = Descriptor.of(KIND, b"x")

    assert older.config((layer,)) == encode(
        {
            "architecture": "",
            "config": {},
            "created": "0001-01-01T00:00:00Z",
            "history": [{"created": "0001-01-01T00:00:00Z"}],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }
    )
