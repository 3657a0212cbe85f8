"""The referrers of an image: by the API, or by the tag where there is none."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING

import pytest
from tests.unit.oci.dictregistry import DictRegistry, digest_of
from tests.unit.oci.images import KIND, build, opener, refer
from tests.unit.oci.mishaps import answer, error, lost, replies, status

from lockgate.base.errors import DigestMismatch, RegistryError, TrustError
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, Descriptor
from lockgate.oci.referrers import fallback_tag, next_page

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2
    from tests.unit.oci.mishaps import Serve

    from lockgate.oci.registry import Registry


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty layout."""
    return Layout.create(tmp_path / "store")


def pushed(registry: DictRegistry, layout: Layout) -> Descriptor:
    """Store an image without evidence; return it."""
    root = build(layout)
    held = registry["team/app"]
    for one in (*layout.manifests(root.digest), root):
        held.manifests[one.digest] = (one.media_type, layout.read(one.digest))
    return root


def attach(client: Registry, layout: Layout, root: Descriptor, content: bytes) -> Descriptor:
    """Put a referrer with its blobs."""
    listed = refer(layout, root, content)
    for part in json.loads(layout.read(listed.digest))["layers"]:
        _put(client, layout, part["digest"])
    _put(client, layout, digest_of(b"{}"))
    client.put_manifest(listed, layout.read(listed.digest))
    return listed


def _put(client: Registry, layout: Layout, digest: str) -> None:
    data = layout.read(digest)
    client.put_blob(Descriptor(media_type="x/y", digest=digest, size=len(data)), opener(data))


@pytest.mark.parametrize("api", [True, False])
def test_what_was_put_is_listed(api: bool, layout: Layout) -> None:
    """Referrers are listed with type and annotations, with the API and without, in one way."""
    registry = DictRegistry(referrers_api=api, pages=2)
    root, client = pushed(registry, layout), registry.open()

    put = [attach(client, layout, root, b"%d" % number) for number in range(5)]

    found = client.referrers(root.digest)
    assert sorted(found, key=lambda one: one.digest) == sorted(put, key=lambda one: one.digest)
    assert {one.artifact_type for one in found} == {KIND}
    assert found[0].annotations == {"about": "a test"}
    assert (fallback_tag(root.digest) in registry["team/app"].tags) is not api


def test_the_fallback_is_that_of_a_layout(layout: Layout) -> None:
    """The index under the tag is byte for byte the one that a layout keeps."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()

    for number in range(3):
        attach(client, layout, root, b"%d" % number)

    tag = fallback_tag(root.digest)
    assert registry["team/app"].tags[tag] == layout.tags()[tag].digest


def test_nothing_refers() -> None:
    """No referrers is an answer, with the API and without."""
    for api in (True, False):
        assert DictRegistry(referrers_api=api).open().referrers(digest_of(b"x")) == ()


def test_a_registry_with_the_api_that_does_not_say_so(layout: Layout) -> None:
    """Without OCI-Subject in the answer it is looked for, and what is listed already is not listed twice."""
    registry = DictRegistry(says_subject=False)
    root, client = pushed(registry, layout), registry.open()

    attach(client, layout, root, b"1")

    assert fallback_tag(root.digest) not in registry["team/app"].tags


def test_a_lost_answer(layout: Layout) -> None:
    """When the answer that says OCI-Subject is lost, the referrer is listed all the same."""
    for api in (True, False):
        registry = DictRegistry(referrers_api=api)
        root, client = pushed(registry, layout), registry.open()
        registry.fail("PUT", "/manifests/sha256:", lost)

        put = attach(client, layout, root, b"1")

        assert [one.digest for one in client.referrers(root.digest)] == [put.digest]


def test_a_subject_that_is_not_ours(layout: Layout) -> None:
    """A registry that says another subject than the manifest's did not list it."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    original = registry._put_manifest  # what follows adds a header to its answer

    def lying(request: httpx2.Request, held: object, reference: str) -> httpx2.Response:
        found = original(request, held, reference)  # type: ignore[arg-type]
        found.headers["OCI-Subject"] = digest_of(b"other")
        return found

    registry._put_manifest = lying  # type: ignore[method-assign]

    put = attach(client, layout, root, b"1")

    assert [one.digest for one in client.referrers(root.digest)] == [put.digest]


def test_what_others_wrote_is_kept(layout: Layout) -> None:
    """Entries of other tools in the tag's index stay, with fields that are unknown here."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    other = {
        "mediaType": INDEX,
        "digest": root.digest,
        "size": root.size,
        "data": "x",
        "urls": ["y"],
    }
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [other],
        "annotations": {"a": "b"},
    }
    data = json.dumps(index).encode()
    tag, held = fallback_tag(root.digest), registry["team/app"]
    held.manifests[digest_of(data)], held.tags[tag] = (INDEX, data), digest_of(data)

    put = attach(client, layout, root, b"1")

    found = json.loads(held.manifests[held.tags[tag]][1])
    assert other in found["manifests"]
    assert found["annotations"] == {"a": "b"}
    assert {one["digest"] for one in found["manifests"]} == {root.digest, put.digest}


def test_two_at_once(layout: Layout) -> None:
    """When somebody else writes the tag over ours, having read it before us, both are listed in the end."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    held, tag = registry["team/app"], fallback_tag(root.digest)
    theirs = attach(registry.open(), layout, root, b"theirs")
    without_ours = held.tags.pop(tag)

    def overwrite(_: httpx2.Request, serve: Serve) -> httpx2.Response:
        found = serve()
        held.tags[tag] = without_ours
        return found

    registry.fail("PUT", f"/manifests/{tag}", overwrite)
    ours = attach(client, layout, root, b"ours")

    found = {one.digest for one in client.referrers(root.digest)}
    assert found == {ours.digest, theirs.digest}


def misread(_: httpx2.Request, __: Serve) -> httpx2.Response:
    """Answer as docker-registry does while another client writes."""
    return error(400, "DIGEST_INVALID")


def test_a_list_that_is_lost_is_not_misread(layout: Layout) -> None:
    """Entries that others took away do not count when the registry misreads what it is sent."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    held, tag = registry["team/app"], fallback_tag(root.digest)

    def take_away(_: httpx2.Request, serve: Serve) -> httpx2.Response:
        found = serve()
        del held.tags[tag]
        return found

    registry.fail("PUT", f"/manifests/{tag}", take_away, times=2)
    registry.fail("PUT", f"/manifests/{tag}", misread, times=2)

    put = attach(client, layout, root, b"1")

    assert [one.digest for one in client.referrers(root.digest)] == [put.digest]


def test_a_failure_is_no_misreading(layout: Layout) -> None:
    """The same for a manifest of its own: a registry that was busy before has misread nothing yet."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    registry.fail("PUT", "/manifests/sha256:", status(503), times=2)
    registry.fail("PUT", "/manifests/sha256:", misread, times=2)

    put = attach(client, layout, root, b"1")

    assert [one.digest for one in client.referrers(root.digest)] == [put.digest]


@pytest.mark.parametrize(("lost_before", "misread_then"), [(0, 3), (1, 3), (4, 1)])
def test_a_registry_that_keeps_misreading(
    lost_before: int, misread_then: int, layout: Layout
) -> None:
    """After three misreadings, or with the last attempt, the error is that the bytes differ."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    tag = fallback_tag(root.digest)
    registry.fail("PUT", f"/manifests/{tag}", replies(201), times=lost_before)
    registry.fail("PUT", f"/manifests/{tag}", misread, times=99)

    with pytest.raises(DigestMismatch, match="other bytes"):
        attach(client, layout, root, b"1")

    assert registry.count("PUT", f"/manifests/{tag}") == lost_before + misread_then


def test_a_tag_that_others_write_all_the_time(layout: Layout) -> None:
    """When it is always overwritten, that is an error: the referrer would be lost."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    tag = fallback_tag(root.digest)
    registry.fail("GET", f"/manifests/{tag}", replies(404), times=99)

    with pytest.raises(RegistryError, match="is changed by others"):
        attach(client, layout, root, b"1")


def test_a_tag_that_is_immutable(layout: Layout) -> None:
    """A registry that freezes the tags of referrers is told apart from one that freezes a version."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    attach(client, layout, root, b"1")
    registry.immutable = True

    with pytest.raises(RegistryError, match="immutable") as raised:
        attach(client, layout, root, b"2")
    assert "`sha256-`" in raised.value.hint


@pytest.mark.parametrize("code", [400, 404, 405, 406, 501])
def test_answers_that_mean_that_there_is_no_api(code: int, layout: Layout) -> None:
    """However a registry says that it does not know the API, the tag is read."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    put = attach(client, layout, root, b"1")
    registry.fail("GET", "/referrers/", status(code))

    assert [one.digest for one in client.referrers(root.digest)] == [put.digest]


def test_a_page_for_people_is_no_api(layout: Layout) -> None:
    """A registry that answers 200 with something else has no API."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    put = attach(client, layout, root, b"1")
    registry.fail("GET", "/referrers/", replies(200, b"<html>", {"Content-Type": "text/html"}))

    assert [one.digest for one in client.referrers(root.digest)] == [put.digest]


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
def test_no_answer_is_not_no_referrers(code: int, layout: Layout) -> None:
    """A registry that cannot answer is an error: an image would look as if nobody had signed it."""
    registry = DictRegistry(referrers_api=False)
    root, client = pushed(registry, layout), registry.open()
    registry.fail("GET", "/referrers/", status(code), times=99)

    with pytest.raises(RegistryError):
        client.referrers(root.digest)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"schemaVersion":2,"manifests":[{"digest":"x"}]}', b'{"manifests":3}']
)
def test_a_list_that_cannot_be_read(body: bytes) -> None:
    """A list that is none is an error, and the registry's: exit code 5."""
    registry = DictRegistry()
    registry.fail("GET", "/referrers/", replies(200, body, {"Content-Type": INDEX}))

    with pytest.raises(RegistryError, match="is not readable"):
        registry.open().referrers(digest_of(b"x"))


def test_a_list_without_end() -> None:
    """A list whose next page is itself ends as an error."""
    registry = DictRegistry()
    digest = digest_of(b"x")
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    link = {"Content-Type": INDEX, "Link": f'</v2/team/app/referrers/{digest}>; rel="next"'}
    registry.fail("GET", "/referrers/", replies(200, body, link), times=99)

    with pytest.raises(RegistryError, match="has no end"):
        registry.open().referrers(digest)


@pytest.mark.parametrize("code", [404, 501])
def test_a_list_that_breaks_off(code: int, layout: Layout) -> None:
    """A next page that is not there is an error: what the first one lists is not lost in silence."""
    registry = DictRegistry(pages=1)
    root, client = pushed(registry, layout), registry.open()
    for number in range(2):
        attach(client, layout, root, b"%d" % number)
    pages = itertools.count()

    def second(_: httpx2.Request, serve: Serve) -> httpx2.Response:
        return serve() if not next(pages) else answer(code)

    registry.fail("GET", "/referrers/", second, times=99)

    with pytest.raises(RegistryError, match="breaks off"):
        registry.open().referrers(root.digest)


def test_a_list_that_nobody_would_read() -> None:
    """Pages with ever more referrers end before they fill the memory."""
    registry, number = DictRegistry(), itertools.count()
    entry = {"mediaType": INDEX, "size": 1}
    digest = digest_of(b"x")

    def page(_: httpx2.Request, serve: Serve) -> httpx2.Response:
        listed = [{**entry, "digest": digest_of(b"%d" % next(number))} for _ in range(1000)]
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        link = f'</v2/team/app/referrers/{digest}?page={next(number)}>; rel="next"'
        return answer(200, body, {"Content-Type": INDEX, "Link": link})

    registry.fail("GET", "/referrers/", page, times=99)

    with pytest.raises(TrustError, match="more than 4096 referrers"):
        registry.open().referrers(digest)
    assert registry.count("GET", "/referrers/") == 5


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ('</v2/x?n=2&last=b>; rel="next"', "/v2/x?n=2&last=b"),
        ("</v2/x>; rel=next", "/v2/x"),
        ('</a>; rel="prev", </b>; rel="next"', "/b"),
        ('</a>; rel="prev"', ""),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_the_next_page(link: str, url: str) -> None:
    """The Link header's next address (RFC 8288), among others and with or without quotes."""
    assert next_page(link) == url


def test_a_header_of_many_links_is_read_at_once() -> None:
    """A registry chooses what stands there; 100 kB of it may not take minutes."""
    started = time.process_time()
    assert next_page("<a>;" * 50_000) == ""
    assert next_page("<a>;" * 50_000 + '</b>; rel="next"') == "/b"
    assert time.process_time() - started < 30


def test_an_api_that_is_absent_is_asked_for_once() -> None:
    """A registry that knows no such API does not learn it while one run lasts."""
    registry = DictRegistry(referrers_api=False)
    with registry.open() as repository:
        for digit in "123":
            assert repository.referrers("sha256:" + digit * 64) == ()

    assert registry.count("GET", "/referrers/") == 1
