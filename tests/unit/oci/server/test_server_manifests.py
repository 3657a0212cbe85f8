"""Manifests, tags and referrers: stored as sent, complete, listed where they were pushed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.oci.digest import Digest
from lockgate.oci.manifest import CONFIG, EMPTY, INDEX, LAYER_GZIP, MANIFEST, MAX_JSON
from lockgate.oci.server_documents import DOCKER_LIST, DOCKER_MANIFEST
from lockgate.oci.server_routes import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.oci.server.conftest import Client

ZERO = "sha256:" + "0" * 64


def document(client: Client, repository: str = "a", **more: Any) -> dict[str, Any]:
    """Return a manifest whose config was pushed."""
    config = client.blob(repository, b"{}")
    part = {"mediaType": CONFIG, "digest": config, "size": 2}
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": part, "layers": [], **more}


def subject(digest: str = ZERO) -> dict[str, Any]:
    """Return a descriptor of what may or may not be there."""
    return {"mediaType": MANIFEST, "digest": digest, "size": 7}


def test_a_manifest_is_served_byte_for_byte(client: Client) -> None:
    """White space and all, by tag and by digest; HEAD says the same without the bytes."""
    data = b"\n " + json.dumps(document(client, more={"a": [1]}), indent=3).encode() + b"\n"
    done = client.put("a", "v1", data)
    digest = client.digest(data)
    assert (done.status, done.headers["docker-content-digest"]) == (201, digest)
    assert done.headers["location"] == f"/v2/a/manifests/{digest}"
    assert done.done == f"pushed a:v1  {digest}"
    for reference in ("v1", digest):
        got, head = (client(one, f"/v2/a/manifests/{reference}") for one in ("GET", "HEAD"))
        assert (got.status, got.body, head.body) == (200, data, b"")
        assert got.headers == head.headers
        assert got.headers["content-type"] == MANIFEST
        assert got.headers["docker-content-digest"] == digest


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, MANIFEST),
        ({"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
        ({"mediaType": INDEX, "manifests": [], "config": None, "layers": None}, INDEX),
        ({"mediaType": DOCKER_LIST, "manifests": [], "config": None, "layers": None}, DOCKER_LIST),
        ({"mediaType": None}, MANIFEST),
    ],
)
def test_a_manifest_keeps_its_media_type(client: Client, fields: dict[str, Any], kind: str) -> None:
    """What was pushed as one kind is served as that kind."""
    whole = document(client) | fields
    sent = {name: value for name, value in whole.items() if value is not None}
    assert client.put("a", "x", sent, kind).status == 201
    assert client("GET", "/v2/a/manifests/x").headers["content-type"] == kind


def test_a_manifest_is_pushed_by_digest(client: Client) -> None:
    """Of either algorithm; it has no tag then."""
    data = json.dumps(document(client)).encode()
    for algorithm in ("sha256", "sha512"):
        digest = client.digest(data, algorithm)
        done = client.put("a", digest, data)
        assert (done.status, done.headers["docker-content-digest"]) == (201, digest)
        assert client("GET", f"/v2/a/manifests/{digest}").body == data
    assert client("GET", "/v2/a/tags/list").json["tags"] == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_push_by_digest_may_name_tags(client: Client, algorithm: str) -> None:
    """spec.md, end-7b: each is confirmed, and leads to the digest that was pushed."""
    data = json.dumps(document(client)).encode()
    digest = client.digest(data, algorithm)
    done = client.put("a", f"{digest}?tag=1&tag=1.2&tag=1", data)
    assert done.status == 201
    assert client("GET", "/v2/a/tags/list").json["tags"] == ["1", "1.2"]
    for tag in ("1", "1.2"):
        assert client("GET", f"/v2/a/manifests/{tag}").headers["docker-content-digest"] == digest
    assert client.layout.resolve("a:1").digest == client.digest(data)
    assert client.put("a", "x?tag=y", data).status == 400
    assert client.put("a", f"{digest}?tag=-x", data).status == 400


@pytest.mark.parametrize(
    ("reference", "data", "code"),
    [
        (ZERO, b"", "DIGEST_INVALID"),
        ("sha256:baddigeststring", b"", "DIGEST_INVALID"),
        ("md5:" + "a" * 32, b"", "DIGEST_INVALID"),
        ("-x", b"", "MANIFEST_INVALID"),
        ("a" * 129, b"", "MANIFEST_INVALID"),
        ("x", b"blablabla", "MANIFEST_INVALID"),
        ("x", b"{}", "MANIFEST_INVALID"),
        ("x", b'{"schemaVersion":1,"fsLayers":[]}', "MANIFEST_INVALID"),
    ],
)
def test_what_is_no_manifest_is_refused(
    client: Client, reference: str, data: bytes, code: str
) -> None:
    """400, and neither bytes nor a tag."""
    sent = data or json.dumps(document(client)).encode()
    before = client.bytes_kept()
    done = client.put("a", reference, sent)
    assert (done.status, done.code) == (400, code)
    assert client.bytes_kept() == before
    assert client.layout.tags() == {}


def test_another_media_type_than_its_own_is_refused(client: Client) -> None:
    """The type that two readers see must be one."""
    assert client.put("a", "x", document(client), INDEX).code == "MANIFEST_INVALID"
    assert client.put("a", "x", document(client), "text/plain").code == "MANIFEST_INVALID"


@pytest.mark.parametrize("kind", ["config", "layer", "manifest"])
def test_a_manifest_with_a_hole_is_refused(client: Client, kind: str) -> None:
    """400 MANIFEST_BLOB_UNKNOWN: what it needs is nowhere, or only in another repository."""
    sent = document(client)
    if kind == "config":
        sent["config"] = sent["config"] | {"digest": ZERO}
    elif kind == "layer":
        elsewhere = client.blob("b", b"layer")
        sent["layers"] = [{"mediaType": LAYER_GZIP, "digest": elsewhere, "size": 5}]
    else:
        sent = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [subject()]}
    done = client.put("a", "x", sent, sent["mediaType"])
    assert (done.status, done.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert client("GET", "/v2/a/manifests/x").status == 404


def test_a_size_that_is_not_the_part_s_is_refused(client: Client) -> None:
    """A reader would refuse the image later, so it is not taken now."""
    sent = document(client)
    sent["config"]["size"] = 3
    assert client.put("a", "x", sent).code == "MANIFEST_INVALID"


def test_layers_from_elsewhere_need_not_be_pushed(client: Client) -> None:
    """Only those of the types that say so."""
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    part = {"mediaType": kind, "digest": ZERO, "size": 9, "urls": ["https://example.org/x"]}
    assert client.put("a", "x", document(client, layers=[part])).status == 201


def test_an_index_may_list_blobs(client: Client) -> None:
    """Some build caches are such indexes."""
    digest = client.blob("a", b"layer")
    part = {"mediaType": LAYER_GZIP, "digest": digest, "size": 5}
    sent = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [part]}
    assert client.put("a", "cache", sent, INDEX).status == 201


def test_a_manifest_has_a_largest_size(client: Client) -> None:
    """4 MiB are taken, one byte more is 413, whether its length is known or not."""
    sent = document(client, annotations={"a": ""})
    sent["annotations"]["a"] = "x" * (MAX_JSON - len(json.dumps(sent).encode()))
    data = json.dumps(sent).encode()
    assert len(data) == MAX_JSON
    assert client.put("a", "x", data).status == 201
    assert client("GET", "/v2/a/manifests/x").body == data
    for length in (len(data) + 1, None):
        done = client("PUT", "/v2/a/manifests/y", data + b" ", length=length)
        assert (done.status, done.code) == (413, "SIZE_INVALID")


def test_what_is_not_there_is_404(client: Client) -> None:
    """An unknown repository, tag or digest, and a text that is no tag at all."""
    assert client("GET", "/v2/a/manifests/x").code == "NAME_UNKNOWN"
    client.image("a", "v1")
    client.image("b", "v2")
    for reference in ("x", "v2", ZERO, ".INVALID_MANIFEST_NAME"):
        for method in ("GET", "DELETE"):
            done = client(method, f"/v2/a/manifests/{reference}")
            assert (done.status, done.code) == (404, "MANIFEST_UNKNOWN")


def test_changed_bytes_are_never_served(client: Client) -> None:
    """A manifest is checked each time: 500, and the log says which."""
    digest = client.image("a", "x")
    path = client.layout.path(digest)
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    client.restart()
    done = client("GET", "/v2/a/manifests/x")
    assert (done.status, done.code) == (500, "UNKNOWN")
    assert digest in done.done


def test_a_tag_moves_and_the_old_image_stays(client: Client) -> None:
    """By its digest it can still be had."""
    old = client.image("a", "x", b"1")
    new = client.image("a", "x", b"2")
    assert client("GET", "/v2/a/manifests/x").headers["docker-content-digest"] == new
    assert client("GET", f"/v2/a/manifests/{old}").status == 200


def test_tags_are_listed_in_pages(client: Client) -> None:
    """Sorted by their bytes; `n` and `last`, with a link while there is more."""
    for tag in ("b", "a", "C", "1.10", "1.9", "_x"):
        client.image("r", tag)
    everything = ["1.10", "1.9", "C", "_x", "a", "b"]
    assert client("GET", "/v2/r/tags/list").json == {"name": "r", "tags": everything}
    path, seen = "/v2/r/tags/list?n=4", []
    while path:
        page = client("GET", path)
        seen += page.json["tags"]
        path = page.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == everything
    assert client("GET", "/v2/r/tags/list?last=C").json["tags"] == ["_x", "a", "b"]
    assert client("GET", "/v2/r/tags/list?last=D&n=1").json["tags"] == ["_x"]
    none = client("GET", "/v2/r/tags/list?n=0")
    assert (none.json["tags"], "link" in none.headers) == ([], False)
    assert client("GET", "/v2/r/tags/list?n=x").status == 400
    assert client("GET", "/v2/unknown/tags/list").code == "NAME_UNKNOWN"
    assert client("GET", "/v2/r/x/tags/list").code == "NAME_UNKNOWN"


def test_a_tag_is_removed_alone(client: Client) -> None:
    """The manifest and its other tags stay."""
    digest = client.image("a", "x")
    client.put("a", "y", client("GET", "/v2/a/manifests/x").body)
    done = client("DELETE", "/v2/a/manifests/x")
    assert (done.status, done.done) == (202, "deleted a:x")
    assert client("GET", "/v2/a/manifests/x").status == 404
    assert client("GET", f"/v2/a/manifests/{digest}").status == 200
    assert client("GET", "/v2/a/tags/list").json["tags"] == ["y"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_is_removed_with_its_tags(client: Client, algorithm: str) -> None:
    """All of them, whichever digest it is called by; another repository keeps it."""
    for repository in ("a", "b"):
        client.put(repository, "x", document(client, repository))
    data = client("GET", "/v2/a/manifests/x").body
    digest = client.digest(data, algorithm)
    client.put("a", f"{digest}?tag=y", data)
    assert client("DELETE", f"/v2/a/manifests/{digest}").status == 202
    for reference in ("x", "y", client.digest(data), digest):
        assert client("GET", f"/v2/a/manifests/{reference}").status == 404
    assert client("GET", "/v2/a/tags/list").json["tags"] == []
    assert client("GET", "/v2/b/manifests/x").body == data


def test_a_manifest_that_an_index_needs_is_not_removed(client: Client) -> None:
    """405 names the index; without that it can go."""
    image = client.image("a", "", b"1")
    index = client.index("a", "x", image)
    done = client("DELETE", f"/v2/a/manifests/{image}")
    assert (done.status, done.code) == (405, "UNSUPPORTED")
    assert index.encode() in done.body
    assert client("DELETE", f"/v2/a/manifests/{index}").status == 202
    assert client("DELETE", f"/v2/a/manifests/{image}").status == 202


def test_what_was_removed_takes_no_room(client: Client) -> None:
    """Manifests, lists of referrers and blobs: their bytes go with the last that needs them."""
    image = client.image("a", "x", b"layer")
    sign = client.image("a", "", b"signature", subject=subject(image))
    report = client.image("a", "y", b"report", subject=subject(image))
    for one in (sign, report, image):
        assert client("DELETE", f"/v2/a/manifests/{one}").status == 202
    assert client.layout.tags() == {}
    for data in (b"layer", b"signature", b"report", b'{"of":"a"}'):
        assert client("DELETE", f"/v2/a/blobs/{client.digest(data)}").status == 202
    assert client.bytes_kept() == set()


def test_a_referrer_is_listed_with_its_subject(client: Client) -> None:
    """With type and annotations; the push is told that the list was kept (`OCI-Subject`)."""
    image = client.image("a", "x")
    sent = document(client, subject=subject(image), annotations={"k": "v"})
    done = client.put("a", "sig", sent | {"artifactType": "a/b"})
    assert done.headers["oci-subject"] == image
    (listed,) = client.referrers("a", image)
    assert listed == {
        "mediaType": MANIFEST,
        "digest": done.headers["docker-content-digest"],
        "size": len(client("GET", "/v2/a/manifests/sig").body),
        "artifactType": "a/b",
        "annotations": {"k": "v"},
    }


def test_a_referrer_without_a_type_has_that_of_its_config(client: Client) -> None:
    """spec.md, "Listing Referrers"; an index without one has none."""
    sent = document(client, subject=subject())
    sent["config"]["mediaType"] = EMPTY
    client.put("a", "x", sent)
    client.put(
        "a",
        "y",
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": subject()},
        INDEX,
    )
    assert {(one["mediaType"], one.get("artifactType")) for one in client.referrers("a", ZERO)} == {
        (MANIFEST, EMPTY),
        (INDEX, None),
    }


def test_a_subject_may_come_later_or_never(client: Client) -> None:
    """Its referrers are listed all the same."""
    done = client.put("a", "x", document(client, subject=subject()))
    assert (done.status, done.headers["oci-subject"]) == (201, ZERO)
    assert len(client.referrers("a", ZERO)) == 1


@pytest.mark.parametrize("digest", [ZERO, "sha512:" + "0" * 128])
def test_of_no_referrers_there_is_an_empty_list(client: Client, digest: str) -> None:
    """Never 404: a client would go and look for a tag."""
    assert client.referrers("unknown", digest) == []
    client.image("a", "x")
    assert client.referrers("a", digest) == []


def test_a_subject_of_the_other_algorithm_is_listed(client: Client) -> None:
    """Under the digest that the referrer names."""
    other = "sha512:" + "0" * 128
    assert client.put("a", "x", document(client, subject=subject(other))).status == 201
    assert len(client.referrers("a", other)) == 1


def test_referrers_of_no_digest_are_400(client: Client) -> None:
    """spec.md, "Listing Referrers"."""
    assert client("GET", "/v2/a/referrers/latest").code == "DIGEST_INVALID"


def test_referrers_are_filtered_by_type(client: Client) -> None:
    """The answer says that they were."""
    for kind in ("a/b", "c/d+e"):
        client.put("a", kind[0], document(client, subject=subject(), artifactType=kind))
    found = client("GET", f"/v2/a/referrers/{ZERO}?artifactType=c%2Fd%2Be")
    assert found.headers["oci-filters-applied"] == "artifactType"
    assert [one["artifactType"] for one in found.json["manifests"]] == ["c/d+e"]
    assert client.referrers("a", ZERO, "?artifactType=x") == []
    assert "oci-filters-applied" not in client("GET", f"/v2/a/referrers/{ZERO}").headers


@pytest.mark.parametrize("kind", ["", "artifactType=a%2Fb"])
def test_many_referrers_come_in_pages(make: Callable[[Rules], Client], kind: str) -> None:
    """Each once, with a link while there is more, also when they are filtered."""
    client = make(Rules(page=1500))
    digests = set()
    for number in range(12):
        more: dict[str, Any] = {"artifactType": "a/b"}
        more["annotations"] = {"number": "x" * 100 + str(number)}
        done = client.put("a", f"t{number}", document(client, subject=subject(), **more))
        digests.add(done.headers["docker-content-digest"])
    client.put("a", "other", document(client, subject=subject(), artifactType="0/0"))
    path, seen, pages = f"/v2/a/referrers/{ZERO}?{kind}", [], 0
    while path:
        page = client("GET", path)
        assert len(page.body) <= 1500
        seen += [one["digest"] for one in page.json["manifests"]]
        path = page.headers.get("link", "").partition(">")[0].removeprefix("<")
        pages += 1
    assert pages > 2
    assert len(seen) == len(set(seen)) == (12 if kind else 13)
    assert digests <= set(seen)


def test_a_large_referrer_has_a_page_of_its_own(make: Callable[[Rules], Client]) -> None:
    """One that is larger than a page is sent, not skipped."""
    client = make(Rules(page=300))
    for number in range(3):
        more: dict[str, Any] = {"annotations": {"number": "x" * 1000 + str(number)}}
        client.put("a", f"t{number}", document(client, subject=subject(), **more))
    page = client("GET", f"/v2/a/referrers/{ZERO}")
    assert len(page.json["manifests"]) == 1
    assert "link" in page.headers


def test_a_list_of_referrers_has_an_end(client: Client) -> None:
    """One that readers could not read whole is not written: 413, and nothing changed."""
    more: dict[str, Any] = {"annotations": {"a": "x" * (MAX_JSON // 2)}}
    assert client.put("a", "x", document(client, subject=subject(), **more)).status == 201
    done = client.put("a", "y", document(client, subject=subject(), **more, n=1))
    assert (done.status, done.code) == (413, "MANIFEST_INVALID")
    assert len(client.referrers("a", ZERO)) == 1
    assert client("GET", "/v2/a/manifests/y").status == 404


def test_a_removed_referrer_is_listed_no_more(client: Client) -> None:
    """Nor is it in the layout's list; one that only lost its tag still is."""
    image = client.image("a", "x")
    one = client.image("a", "y", b"1", subject=subject(image))
    other = client.image("a", "z", b"2", subject=subject(image))
    client("DELETE", "/v2/a/manifests/z")
    assert {found["digest"] for found in client.referrers("a", image)} == {one, other}
    client("DELETE", f"/v2/a/manifests/{one}")
    assert [found["digest"] for found in client.referrers("a", image)] == [other]
    assert [found.digest for found in client.layout.referrers(Digest(image))] == [other]
    client("DELETE", f"/v2/a/manifests/{other}")
    assert client.layout.referrers(Digest(image)) == ()


def test_pushing_again_changes_nothing(client: Client) -> None:
    """The same manifest twice: the same answer, one entry in each list."""
    sent = document(client, subject=subject())
    first, second = client.put("a", "x", sent), client.put("a", "x", sent)
    assert first == second
    assert len(client.referrers("a", ZERO)) == 1
