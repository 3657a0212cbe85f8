"""Everything that belongs to an image is found, in an order in which it can be written, or it is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.oci.images import KIND, build, everything, refer, sign_the_old_way

from lockgate.base.errors import (
    DigestMismatch,
    LockgateError,
    SubjectMismatch,
    TrustError,
    UsageError,
)
from lockgate.oci import closure
from lockgate.oci.closure import Closure, walk
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty layout."""
    return Layout.create(tmp_path / "store")


def found(layout: Layout, digest: str) -> Closure:
    """Walk an image of a layout."""
    with ThreadPoolExecutor(2) as pool:
        return walk(LayoutStore(layout, "a store"), digest, pool)


def test_an_image_alone(layout: Layout) -> None:
    """An index with its platforms, their configurations and each layer once."""
    root = build(layout, layers=3)

    whole = found(layout, root.digest)

    assert whole.root.digest == root.digest
    assert [one.descriptor.media_type for one in whole.nodes] == [MANIFEST, MANIFEST, INDEX]
    assert len(whole.blobs) == 2 + 1 + 2 * 2  # configurations, the shared layer, the others
    assert whole.evidence == frozenset()
    assert whole.tags == ()
    assert whole.data == layout.read(root.digest)


def test_one_platform(layout: Layout) -> None:
    """A manifest without an index is an image as well."""
    root = build(layout)
    one = layout.manifests(root.digest)[0]

    whole = found(layout, one.digest)

    assert [node.descriptor.digest for node in whole.nodes] == [one.digest]


def test_all_the_evidence(layout: Layout) -> None:
    """Referrers of the index, of a platform and of a referrer, and what older tags name."""
    root = everything(layout)

    whole = found(layout, root.digest)

    assert len(whole.evidence) == 6
    hexed = root.digest.replace(":", "-")
    assert [name for name, _ in whole.tags] == [f"{hexed}.att", f"{hexed}.sig"]


def test_older_tags_of_evidence(layout: Layout) -> None:
    """A signature of an SBOM, which is itself under an older tag, belongs to the image."""
    root = build(layout)
    sbom = sign_the_old_way(layout, root, ".sbom")
    signature = sign_the_old_way(layout, sbom)

    whole = found(layout, root.digest)

    assert whole.evidence == {sbom.digest, signature.digest}
    assert len(whole.tags) == 2


def test_the_evidence_of_another_image_stays(layout: Layout) -> None:
    """What belongs to another image of the same store is not taken along."""
    root = build(layout)
    everything(layout, "other")

    assert found(layout, root.digest).evidence == frozenset()


def test_parts_stand_before_the_whole(layout: Layout) -> None:
    """A manifest comes after what it lists and after what it refers to."""
    root = everything(layout)

    whole = found(layout, root.digest)

    seen: set[str] = set()
    for node in whole.nodes:
        assert {one.digest for one in node.children} <= seen
        assert not node.subject or node.subject in seen
        seen.add(node.descriptor.digest)


def test_an_index_as_evidence(layout: Layout) -> None:
    """A referrer that is an index brings its own parts, before itself."""
    root = build(layout)
    part = layout.manifests(build(layout, "evidence").digest)[0]
    subject = msgspec.structs.replace(root, annotations={})
    data = index_bytes(Index(manifests=(part,), artifact_type=KIND, subject=subject))
    listed = layout.put(data, INDEX)
    layout.add_referrer(root.digest, listed)

    whole = found(layout, root.digest)

    order = [one.descriptor.digest for one in whole.nodes]
    assert order.index(part.digest) < order.index(listed.digest)
    assert whole.evidence == {part.digest, listed.digest}


def test_the_same_every_time(layout: Layout) -> None:
    """Walking twice gives the same order, whatever thread was faster."""
    root = everything(layout)

    assert len({str(found(layout, root.digest)) for _ in range(5)}) == 1


def test_not_there(layout: Layout) -> None:
    """An image that is not there is the source's error."""
    with pytest.raises(UsageError, match="is not in a store"):
        found(layout, "sha256:" + "0" * 64)


def every_manifest(layout: Layout, root: Descriptor) -> list[str]:
    """Return the digests of all manifests but the root."""
    nodes = found(layout, root.digest).nodes
    return [one.descriptor.digest for one in nodes if one.descriptor.digest != root.digest]


def test_a_hole_is_named(layout: Layout) -> None:
    """Whichever manifest is missing, of the image or of its evidence: refused, and named."""
    root = everything(layout)
    for digest in every_manifest(layout, root):
        data = layout.read(digest)
        layout.path(digest).unlink()

        with pytest.raises(TrustError, match=f"{digest} is missing; nothing was moved") as raised:
            found(layout, root.digest)

        assert raised.value.exit_code == 4
        layout.put(data, MANIFEST)


def test_other_bytes_are_refused(layout: Layout) -> None:
    """A manifest that was changed, of the image or of its evidence, ends the walk."""
    root = everything(layout)
    for digest in every_manifest(layout, root):
        path = layout.path(digest)
        data = path.read_bytes()
        path.write_bytes(data + b" ")

        with pytest.raises(DigestMismatch):
            found(layout, root.digest)

        path.write_bytes(data)


def test_a_size_that_is_not_true(layout: Layout) -> None:
    """An index that says another size for a manifest than it has is refused."""
    part = layout.manifests(build(layout).digest)[0]
    liar = msgspec.structs.replace(part, size=part.size + 1)
    root = layout.put(index_bytes(Index(manifests=(liar,))), INDEX)

    with pytest.raises(DigestMismatch, match="bytes long"):
        found(layout, root.digest)


def test_a_referrer_of_something_else(layout: Layout) -> None:
    """A list that names the signature of another image is refused: it is not this image's."""
    root, other = build(layout), build(layout, "other")
    layout.add_referrer(root.digest, refer(layout, other))

    with pytest.raises(SubjectMismatch, match="belongs to something else"):
        found(layout, root.digest)


def test_a_list_that_names_the_image_itself(layout: Layout) -> None:
    """The same for the image in its own list."""
    root = build(layout)
    layout.add_referrer(root.digest, root)

    with pytest.raises(SubjectMismatch):
        found(layout, root.digest)


def test_an_older_tag_that_names_the_image_itself(layout: Layout) -> None:
    """An older tag may point anywhere: it is moved along, and leads nowhere twice."""
    root = build(layout)
    layout.tag({root.digest.replace(":", "-") + ".sig": root})

    whole = found(layout, root.digest)

    assert whole.evidence == frozenset()
    assert len(whole.nodes) == 3


def test_what_is_no_image(layout: Layout) -> None:
    """A blob that is neither index nor manifest is no image, and neither is an index of blobs."""
    blob = layout.put(b"{}", CONFIG)
    index = layout.put(index_bytes(Index(manifests=(blob,))), INDEX)

    for digest in (blob.digest, index.digest):
        with pytest.raises(UsageError):
            found(layout, digest)


def nested(layout: Layout, depth: int) -> Descriptor:
    """Store indexes within indexes."""
    inner = layout.manifests(build(layout).digest)[0]
    for _ in range(depth):
        inner = layout.put(index_bytes(Index(manifests=(inner,))), INDEX)
    return inner


def test_indexes_within_indexes(layout: Layout) -> None:
    """Some depth is read; what looks like an attack is not."""
    assert len(found(layout, nested(layout, closure.MAX_DEPTH).digest).nodes) == 9
    with pytest.raises(TrustError, match="deep"):
        found(layout, nested(layout, closure.MAX_DEPTH + 1).digest)


@pytest.mark.parametrize("limit", ["MAX_MANIFESTS", "MAX_BYTES"])
def test_too_much(limit: str, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image with more manifests than can be meant is refused instead of fetched."""
    root = everything(layout)
    monkeypatch.setattr(closure, limit, 5)

    with pytest.raises(TrustError, match="more than"):
        found(layout, root.digest)


class Wild:
    """A source whose manifests are whatever a test says, and whose lists are anything."""

    label = "a wild place"

    def __init__(
        self, manifests: dict[str, bytes], lists: dict[str, tuple[Descriptor, ...]]
    ) -> None:
        self.manifests, self.lists = manifests, lists

    def absent(self, what: str) -> UsageError:
        """Return the error."""
        return UsageError(what)

    def resolve(self, name: str) -> Descriptor | None:
        """Nothing has a name."""

    def manifest(self, digest: str) -> bytes | None:
        """Return what is there."""
        return self.manifests.get(digest)

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return what is listed."""
        return self.lists.get(digest, ())


@given(st.data())
def test_any_lists(data: st.DataObject) -> None:
    """Whatever is listed as referring to whatever: the walk ends, with an image in order or an error."""
    config = Descriptor.of(CONFIG, b"{}")
    documents: list[bytes] = []
    for number in range(data.draw(st.integers(1, 6))):
        known = [Descriptor.of(MANIFEST, one) for one in documents]
        subject = data.draw(st.sampled_from([None, *known]))
        layer = Descriptor.of("x/y", b"%d" % number)
        documents.append(manifest_bytes(Manifest(config=config, layers=(layer,), subject=subject)))
    described = [Descriptor.of(MANIFEST, one) for one in documents]
    lists = {
        one.digest: tuple(data.draw(st.lists(st.sampled_from(described), max_size=3)))
        for one in described
    }
    manifests = {
        one.digest: document
        for one, document in zip(described, documents, strict=True)
        if data.draw(st.integers(0, 9))
    }
    with ThreadPoolExecutor(2) as pool:
        try:
            whole = walk(Wild(manifests, lists), described[0].digest, pool)  # type: ignore[arg-type]
        except LockgateError:
            return
    seen: set[str] = set()
    for node in whole.nodes:
        assert not node.subject or node.subject in seen
        seen.add(node.descriptor.digest)
