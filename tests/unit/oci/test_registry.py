"""Manifests, tags and deletion: what a registry says is believed only as far as it can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.oci.dictregistry import DictRegistry, digest_of
from tests.unit.oci.images import build, describe, noise, opener
from tests.unit.oci.mishaps import broken, changed, error, lost, replies, status

from lockgate.base.errors import DigestMismatch, RegistryError, TrustError
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, MANIFEST, MAX_JSON, Descriptor

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2
    from tests.unit.oci.mishaps import Action, Serve

EMPTY_INDEX = b'{"schemaVersion": 2,\n  "mediaType": "' + INDEX.encode() + b'", "manifests": []}'
"""Written by hand: its bytes are not those that Lockgate would write."""

ROOT = Descriptor.of(INDEX, EMPTY_INDEX)


def holding(data: bytes = EMPTY_INDEX, kind: str = INDEX, tag: str = "1") -> DictRegistry:
    """Return a registry with one tagged manifest."""
    registry = DictRegistry()
    registry["team/app"].manifests[digest_of(data)] = (kind, data)
    registry["team/app"].tags[tag] = digest_of(data)
    return registry


def test_a_tag_becomes_a_digest() -> None:
    """A tag is resolved to the descriptor of the very bytes that were served."""
    assert holding().open().resolve("1") == ROOT


def test_bytes_are_kept_as_served() -> None:
    """White space and the order of keys are part of a manifest: its digest is of them."""
    assert holding().open().manifest(ROOT.digest) == EMPTY_INDEX


def test_what_is_not_there_is_a_value() -> None:
    """An absent tag, manifest or blob is an answer, not an error."""
    client = DictRegistry().open()

    assert client.resolve("1") is None
    assert client.manifest(ROOT.digest) is None
    assert not client.has(describe(b"x"))


@pytest.mark.parametrize("length", [0, 2, 999])
def test_a_blob_of_another_length_is_not_there(length: int) -> None:
    """A registry that says another size for a blob does not have it."""
    registry = DictRegistry()
    registry.fail("HEAD", "", replies(200, headers={"Content-Length": str(length)}))

    assert not registry.open().has(describe(b"x"))


@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_a_manifest_with_other_bytes(reference: str) -> None:
    """A manifest that is not what its digest, or the registry, says is refused."""
    registry = holding()
    registry.fail("GET", "/manifests/", changed)
    client = registry.open()

    with pytest.raises(DigestMismatch, match="other bytes"):
        client.resolve("1") if reference == "tag" else client.manifest(ROOT.digest)


def test_a_registry_that_names_no_digest() -> None:
    """Without a header that says the digest, it is computed; for a tag nothing more can be known."""
    registry = holding()
    registry.fail("GET", "/manifests/", replies(200, EMPTY_INDEX, {"Content-Type": INDEX}))

    assert registry.open().resolve("1") == ROOT


def test_another_algorithm_in_the_header() -> None:
    """A digest of an algorithm that is not spoken here is passed over, not compared and refused."""
    registry = holding()
    marks = {"Content-Type": INDEX, "Docker-Content-Digest": "sha512:" + "0" * 128}
    registry.fail("GET", "/manifests/", replies(200, EMPTY_INDEX, marks))

    assert registry.open().resolve("1") == ROOT


DOCKER = "application/vnd.docker.distribution.manifest"

FOREIGN = [
    (b'{"schemaVersion":1,"fsLayers":[],"history":[]}', f"{DOCKER}.v1+prettyjws", "schema 1"),
    (b'{"schemaVersion":1,"fsLayers":[]}', "application/json", "schema 1"),
    (
        b'{"schemaVersion":2,"mediaType":"%s.v2+json"}' % DOCKER.encode(),
        f"{DOCKER}.v2+json",
        "Docker",
    ),
    (b'{"schemaVersion":2,"manifests":[]}', f"{DOCKER}.list.v2+json", "Docker"),
    (b'{"schemaVersion":2}', "application/vnd.example+json", "not readable"),
    (b"<html>", "text/html", "not readable"),
    (b"[]", MANIFEST, "not readable"),
    (b'{"schemaVersion":2,"manifests":[],"layers":[]}', INDEX, "not readable"),
    (b'{"schemaVersion":2,"manifests":[],"manifests":[]}', INDEX, "twice"),
]


@pytest.mark.parametrize(("data", "kind", "words"), FOREIGN)
def test_a_type_that_is_not_read(data: bytes, kind: str, words: str) -> None:
    """Docker's types, schema 1 and what is no manifest at all are named, with what would help."""
    registry = holding(data, kind)

    with pytest.raises(RegistryError, match=words) as raised:
        registry.open().resolve("1")
    assert raised.value.hint
    assert raised.value.exit_code == 5


def test_one_type_inside_and_another_outside() -> None:
    """A manifest that is served as something else is refused: two readers would see two things."""
    with pytest.raises(TrustError, match="is served as"):
        holding(EMPTY_INDEX, MANIFEST).open().resolve("1")


def test_docker_types_are_asked_for() -> None:
    """They stand in Accept, so that the registry neither hides nor converts what it has."""
    registry, accepted = holding(), []

    def note(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        accepted.append(request.headers["accept"])
        return serve()

    registry.fail("GET", "/manifests/", note)
    registry.open().resolve("1")

    assert INDEX in accepted[0]
    assert f"{DOCKER}.v2+json" in accepted[0]


def test_a_manifest_without_end() -> None:
    """A manifest over the limit is not read to its end."""
    registry = holding(b" " * (MAX_JSON + 1))

    with pytest.raises(RegistryError, match="is larger than"):
        registry.open().resolve("1")


def put(registry: DictRegistry, layout: Layout) -> tuple[Descriptor, bytes]:
    """Store an image's parts; return the root, which is still to be stored."""
    root = build(layout)
    client = registry.open()
    for one in layout.manifests(root.digest):
        held = registry["team/app"]
        held.manifests[one.digest] = (one.media_type, layout.read(one.digest))
    assert client.manifest(layout.manifests(root.digest)[0].digest)
    return root, layout.read(root.digest)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty layout."""
    return Layout.create(tmp_path / "store")


def test_put_and_tag(layout: Layout) -> None:
    """A manifest is stored by digest, then the tag is pointed at it."""
    registry = DictRegistry()
    root, data = put(registry, layout)
    client = registry.open()

    client.put_manifest(root, data)
    client.tag("1.0", root, data)

    assert registry["team/app"].manifests[root.digest] == (INDEX, data)
    assert registry["team/app"].tags == {"1.0": root.digest}


def test_a_tag_that_is_right_is_not_written(layout: Layout) -> None:
    """Pointing a tag where it points already sends nothing: an immutable tag allows it."""
    registry = DictRegistry(immutable=True)
    root, data = put(registry, layout)
    client = registry.open()
    client.put_manifest(root, data)
    client.tag("1.0", root, data)
    before = registry.count("PUT")

    client.tag("1.0", root, data)

    assert registry.count("PUT") == before


def test_an_immutable_tag(layout: Layout) -> None:
    """A tag that the registry does not move is one clear sentence (row C16)."""
    registry = holding(tag="1.0")
    registry.immutable = True
    root, data = put(registry, layout)

    with pytest.raises(
        RegistryError, match=r"tag 1\.0 already exists at registry\.example/team/app"
    ):
        registry.open().tag("1.0", root, data)


@pytest.mark.parametrize(
    "trouble", [lost, broken(), status(500), status(503, {"Retry-After": "1"})]
)
def test_a_lost_answer_is_harmless(trouble: Action, layout: Layout) -> None:
    """Whether the manifest was stored or not when the connection broke: it is, in the end, once."""
    registry = DictRegistry(immutable=True)
    root, data = put(registry, layout)
    registry.fail("PUT", "/manifests/", trouble)
    client = registry.open()

    client.tag("1.0", root, data)

    assert registry["team/app"].tags == {"1.0": root.digest}
    assert registry.count("PUT") == (1 if trouble is lost else 2)


def test_trouble_without_end_ends(layout: Layout) -> None:
    """A registry that always fails is given up."""
    registry = DictRegistry()
    root, data = put(registry, layout)
    registry.fail("PUT", "/manifests/", status(500), times=99)

    with pytest.raises(RegistryError, match="500"):
        registry.open().put_manifest(root, data)
    assert registry.count("PUT") == 5


def test_a_registry_that_stores_something_else(layout: Layout) -> None:
    """A registry that says another digest for what it was given is not to be used."""
    registry = DictRegistry()
    root, data = put(registry, layout)
    registry.fail("PUT", "", replies(201, headers={"Docker-Content-Digest": digest_of(b"other")}))

    with pytest.raises(DigestMismatch, match="other bytes than it was given"):
        registry.open().put_manifest(root, data)


@pytest.mark.parametrize("times", [1, 2, 99])
def test_a_registry_that_got_something_else(times: int, layout: Layout) -> None:
    """A registry that says so while another client writes the same is tried again, and not for ever."""
    registry = DictRegistry()
    root, data = put(registry, layout)
    registry.fail("PUT", "", wrong, times=times)
    client = registry.open()

    if times == 99:
        with pytest.raises(DigestMismatch, match="with other bytes"):
            client.put_manifest(root, data)
        assert registry.count("PUT") == 3
    else:
        client.put_manifest(root, data)
        assert registry["team/app"].manifests[root.digest] == (INDEX, data)


def wrong(request: httpx2.Request, serve: Serve) -> httpx2.Response:
    """Say that other bytes came."""
    return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")


def test_a_stale_tag(layout: Layout) -> None:
    """A tag that points elsewhere after it was set (a cache, another pusher) is no success."""
    registry = holding(tag="1.0")
    root, data = put(registry, layout)
    registry.fail("PUT", "/manifests/1.0", replies(201))

    with pytest.raises(RegistryError, match="does not point at what was pushed"):
        registry.open().tag("1.0", root, data)


def test_a_registry_whose_head_says_nothing(layout: Layout) -> None:
    """Where HEAD does not say the digest, the manifest is asked for."""
    registry = DictRegistry()
    root, data = put(registry, layout)
    registry.fail("HEAD", "/manifests/", replies(200), times=9)
    registry.fail("GET", "/manifests/1", replies(404))

    registry.open().tag("1", root, data)

    assert registry["team/app"].tags == {"1": root.digest}


def test_missing_parts_are_the_registry_s_to_refuse(layout: Layout) -> None:
    """A manifest whose parts are not there is refused, with the registry's words."""
    registry = DictRegistry()
    root = build(layout)
    part = layout.manifests(root.digest)[0]

    with pytest.raises(RegistryError, match="blob unknown"):
        registry.open().put_manifest(part, layout.read(part.digest))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_tags_come_in_pages(count: int) -> None:
    """All tags are listed, whatever fits on a page."""
    registry = DictRegistry(pages=2)
    names = [f"v{number}" for number in range(count)]
    registry["team/app"].tags = dict.fromkeys(names, ROOT.digest)

    assert list(registry.open().tags()) == names
    assert registry.count("GET") == max(1, -(-count // 2))


def test_tags_of_nothing() -> None:
    """A repository that is not there has no list of tags."""
    with pytest.raises(RegistryError, match="the list of tags is not at"):
        list(DictRegistry().open().tags())


@pytest.mark.parametrize("body", [b'{"name":"x","tags":null}', b'{"name":"x"}'])
def test_no_tags(body: bytes) -> None:
    """Some registries write `null` for none."""
    registry = DictRegistry()
    registry.fail("GET", "/tags/", replies(200, body))

    assert list(registry.open().tags()) == []


@pytest.mark.parametrize("tag", ["a b", "1.0\\n", "\\u001b[2J", "", "a" * 129])
def test_a_tag_that_cannot_be_one(tag: str) -> None:
    """What is listed is printed, and typed again: it is believed only when it has a tag's form."""
    registry = DictRegistry()
    registry.fail("GET", "/tags/", replies(200, f'{{"tags":["1.0","{tag}"]}}'.encode()))

    with pytest.raises(RegistryError, match="which can be no tag"):
        list(registry.open().tags())


def test_tags_without_end() -> None:
    """A list whose next page is itself ends as an error."""
    registry = DictRegistry()
    around = replies(200, b'{"tags":["a"]}', {"Link": '</v2/team/app/tags/list>; rel="next"'})
    registry.fail("GET", "/tags/", around, times=99)

    with pytest.raises(RegistryError, match="has no end"):
        list(registry.open().tags())


@pytest.mark.parametrize("body", [b"<html>", b'{"tags":[1]}', b'{"tags":"a"}'])
def test_tags_that_are_none(body: bytes) -> None:
    """A list that cannot be read is the registry's fault: exit code 5."""
    registry = DictRegistry()
    registry.fail("GET", "/tags/", replies(200, body))

    with pytest.raises(RegistryError, match="is not readable"):
        list(registry.open().tags())


def test_delete() -> None:
    """Tags, manifests and blobs are deleted, and deleting twice is no error."""
    registry = holding()
    blob = describe(noise(10, "x"))
    client = registry.open()
    client.put_blob(blob, opener(noise(10, "x")))

    for _ in range(2):
        client.delete_manifest("1")
        client.delete_manifest(ROOT.digest)
        client.delete_blob(blob.digest)

    held = registry["team/app"]
    assert (held.tags, held.manifests, held.blobs) == ({}, {}, {})


def test_delete_that_is_not_offered() -> None:
    """A registry with deletion switched off says so."""
    registry = holding()
    registry.fail("DELETE", "", status(405))

    with pytest.raises(RegistryError, match="does not offer this"):
        registry.open().delete_manifest("1")
