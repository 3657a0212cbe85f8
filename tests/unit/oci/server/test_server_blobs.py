"""Blobs: served whole or in part, only where they were pushed or mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.oci.server.conftest import Client

DATA = bytes(range(200))


def test_a_blob_is_served_as_it_was_pushed(client: Client) -> None:
    """With its digest and size; HEAD says the same without the bytes."""
    for algorithm in ("sha256", "sha512"):
        digest = client.blob("a/b", DATA, algorithm)
        got, head = (client(one, f"/v2/a/b/blobs/{digest}") for one in ("GET", "HEAD"))
        assert (got.status, got.body, head.body) == (200, DATA, b"")
        assert got.headers == head.headers
        assert got.headers["docker-content-digest"] == digest
        assert got.headers["content-length"] == str(len(DATA))
        assert got.headers["accept-ranges"] == "bytes"


def test_the_empty_blob_is_a_blob(client: Client) -> None:
    """Zero bytes have a digest too."""
    digest = client.blob("a", b"")
    assert client("GET", f"/v2/a/blobs/{digest}").body == b""
    assert client("HEAD", f"/v2/a/blobs/{digest}").headers["content-length"] == "0"


def test_a_part_of_a_blob(client: Client) -> None:
    """206 with the range; one that is no part of it is 416 with the size."""
    path = f"/v2/a/blobs/{client.blob('a', DATA)}"
    part = client("GET", path, headers={"Range": "bytes=50-149"})
    assert (part.status, part.body) == (206, DATA[50:150])
    assert part.headers["content-range"] == "bytes 50-149/200"
    assert part.headers["content-length"] == "100"
    none = client("GET", path, headers={"Range": "bytes=200-"})
    assert (none.status, none.headers["content-range"]) == (416, "bytes */200")


def test_a_blob_that_is_not_there_is_404(client: Client) -> None:
    """In an unknown repository and in a known one."""
    client.blob("a", b"other")
    for repository in ("a", "b"):
        for method in ("GET", "DELETE"):
            done = client(method, f"/v2/{repository}/blobs/{client.digest(DATA)}")
            assert (done.status, done.code) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("digest", ["sha256:x", "latest", "md5:" + "a" * 32])
def test_what_is_no_digest_is_400(client: Client, digest: str) -> None:
    """It cannot be asked for."""
    for method in ("GET", "DELETE"):
        done = client(method, f"/v2/a/blobs/{digest}")
        assert (done.status, done.code) == (400, "DIGEST_INVALID")


def test_a_blob_belongs_to_its_repository(client: Client) -> None:
    """Another repository, also below it, does not have it until it is pushed there."""
    digest = client.blob("a", DATA)
    for other in ("b", "a/b"):
        assert client("HEAD", f"/v2/{other}/blobs/{digest}").status == 404
        client.blob(other, DATA)
        assert client("HEAD", f"/v2/{other}/blobs/{digest}").status == 200


def test_a_manifest_is_no_blob(client: Client) -> None:
    """It is pushed and served at its own endpoint."""
    digest = client.image("a", "x")
    assert client("HEAD", f"/v2/a/blobs/{digest}").status == 404
    assert client("HEAD", f"/v2/a/manifests/{client.blob('a', DATA)}").status == 404


def test_a_blob_is_mounted_from_another_repository(client: Client) -> None:
    """201 without an upload; without a source from wherever it is."""
    digest = client.blob("a", DATA)
    for target, query in (("b", "&from=a"), ("c", "")):
        done = client("POST", f"/v2/{target}/blobs/uploads/?mount={digest}{query}")
        assert (done.status, done.headers["docker-content-digest"]) == (201, digest)
        assert done.headers["location"] == f"/v2/{target}/blobs/{digest}"
        assert client("GET", done.headers["location"]).body == DATA


@pytest.mark.parametrize("source", ["&from=b", "&from=nowhere", "&from=../a", "&from=", ""])
def test_what_cannot_be_mounted_is_uploaded(client: Client, source: str) -> None:
    """202 with a place: the source does not have it, is unknown, or is no name."""
    client.blob("b", b"other")
    if source:
        client.blob("a", DATA)
    done = client("POST", f"/v2/c/blobs/uploads/?mount={client.digest(DATA)}{source}")
    assert done.status == 202
    put = client("PUT", f"{done.headers['location']}?digest={client.digest(DATA)}", DATA)
    assert put.status == 201


def test_a_mount_of_no_digest_is_400(client: Client) -> None:
    """It would never succeed."""
    assert client("POST", "/v2/c/blobs/uploads/?mount=x&from=a").code == "DIGEST_INVALID"


def test_pushing_heals_a_blob_whose_bytes_were_changed(client: Client) -> None:
    """The bytes of the push replace those on disk."""
    digest = client.blob("a", DATA)
    path = client.layout.path(digest)
    path.write_bytes(b"x" * len(DATA))
    client.blob("a", DATA)
    assert client("GET", f"/v2/a/blobs/{digest}").body == DATA


def test_a_blob_is_deleted_where_it_is_deleted(client: Client) -> None:
    """202 and 404 after it; the bytes go when no repository has it any more."""
    digest = client.blob("a", DATA)
    client.blob("b", DATA)
    done = client("DELETE", f"/v2/a/blobs/{digest}")
    assert (done.status, done.done) == (202, f"deleted a blob {digest}")
    assert client("GET", f"/v2/a/blobs/{digest}").status == 404
    assert client("GET", f"/v2/b/blobs/{digest}").body == DATA
    assert client("DELETE", f"/v2/b/blobs/{digest}").status == 202
    assert client.bytes_kept() == set()


def test_a_blob_that_a_manifest_needs_is_not_deleted(client: Client) -> None:
    """405 names the manifest; without it the blob can go."""
    image, digest = client.image("a", "x", DATA), client.digest(DATA)
    done = client("DELETE", f"/v2/a/blobs/{digest}")
    assert (done.status, done.code) == (405, "UNSUPPORTED")
    assert image.encode() in done.body
    client("DELETE", f"/v2/a/manifests/{image}")
    assert client("DELETE", f"/v2/a/blobs/{digest}").status == 202
