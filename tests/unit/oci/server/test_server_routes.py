"""Who is let in, what there is, and what there is not."""

from __future__ import annotations

import base64
import errno
import os
from typing import TYPE_CHECKING

import pytest

from lockgate.oci.server_routes import Rules
from lockgate.oci.server_users import Users

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.oci.server.conftest import Client

    from lockgate.oci.layout import Layout

ZERO = "sha256:" + "0" * 64
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""Of nothing."""


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/?ns=docker.io"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_registry_says_that_it_is_one(client: Client, path: str, method: str) -> None:
    """spec.md, end-1."""
    done = client(method, path)
    assert done.status == 200
    assert done.headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize(
    "path", ["/", "/v1/", "/v2/a", "/v2//", "/v2/a/", "/v2/a/blobs/", "/v2/a/tags", "/v2/a/x/y"]
)
def test_there_is_nothing_at_other_addresses(client: Client, path: str) -> None:
    """404 with a body that says so."""
    assert (client("GET", path).status, client("GET", path).code) == (404, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("PUT", "/v2/a/blobs/" + ZERO, "GET, HEAD, DELETE"),
        ("PATCH", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
        ("DELETE", "/v2/a/tags/list", "GET, HEAD"),
        ("POST", "/v2/a/referrers/" + ZERO, "GET, HEAD"),
    ],
)
def test_other_methods_are_405(client: Client, method: str, path: str, allowed: str) -> None:
    """The answer names those that there are (RFC 9110 section 15.5.6)."""
    done = client(method, path)
    assert (done.status, done.code, done.headers["allow"]) == (405, "UNSUPPORTED", allowed)


@pytest.mark.parametrize(
    "name", ["UPPER", "a..b", "-a", "a/", "a//b", "a b", "ä", "a" * 256, "sha256-" + "0" * 64]
)
def test_names_have_a_grammar(client: Client, name: str) -> None:
    """Not found for a reader, refused for a writer."""
    found = client("GET", f"/v2/{name}/manifests/latest")
    assert (found.status, found.code) == (404, "NAME_INVALID")
    done = client("POST", f"/v2/{name}/blobs/uploads/")
    assert (done.status, done.code) == (400, "NAME_INVALID")


def test_a_page_in_a_browser_changes_nothing(client: Client) -> None:
    """What a form of another site can send begins no upload and stores no blob; reading stays possible."""
    for path in ("/v2/a/blobs/uploads/", f"/v2/a/blobs/uploads/?digest={EMPTY}"):
        done = client("POST", path, headers={"Origin": "https://evil.example"})
        assert (done.status, done.code) == (403, "DENIED")
    assert client("GET", "/v2/", headers={"Origin": "https://evil.example"}).status == 200
    assert client("POST", "/v2/a/blobs/uploads/").status == 202


@pytest.mark.parametrize("name", ["../x", "a/../../x", "_blobs", "a/_uploads", ".lock"])
def test_a_name_never_leads_out_of_its_folder(client: Client, name: str) -> None:
    """Nor to the files that the registry keeps for itself."""
    before = sorted(client.layout.root.parent.rglob("*"))
    assert client("POST", f"/v2/{name}/blobs/uploads/").code == "NAME_INVALID"
    assert client("POST", f"/v2/{name.replace('/', '%2F')}/blobs/uploads/").status == 400
    assert sorted(client.layout.root.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["blobs", "a/manifests", "blobs/uploads", "tags/list", "v2"])
def test_parts_of_a_name_may_be_called_like_endpoints(client: Client, name: str) -> None:
    """The last of them counts."""
    digest = client.image(name, "x", b"layer")
    assert client("GET", f"/v2/{name}/manifests/x").headers["docker-content-digest"] == digest
    assert client("GET", f"/v2/{name}/tags/list").json["tags"] == ["x"]


def test_without_name_and_password_nobody_comes_in(make: Callable[[Rules], Client]) -> None:
    """401 everywhere, with the scheme; nothing is told about what is there, nothing is done."""
    client = make(Rules(users=Users.single("ann:s3cret", "VARIABLE")))
    for method, path in (
        ("GET", "/v2/"),
        ("GET", "/v2/a/manifests/x"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("GET", "/nothing"),
    ):
        done = client(method, path)
        assert (done.status, done.code) == (401, "UNAUTHORIZED")
        assert done.headers["www-authenticate"].startswith('Basic realm="lockgate"')
    assert not (client.layout.root / "repositories").exists()
    header = {"Authorization": "Basic " + base64.b64encode(b"ann:s3cret").decode()}
    assert client("GET", "/v2/", headers=header).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5000", 200),
        ("127.0.0.1", 200),
        ("[::1]:5000", 200),
        ("LOCALHOST:5000", 200),
        ("registry.localhost:5000", 200),
        ("registry.localhost.:5000", 200),
        ("evil.example", 421),
        ("localhost.evil.example:5000", 421),
        ("evillocalhost", 421),
        ("127.0.0.1.evil.example", 421),
        ("127.0.0.1:5000:6000", 421),
        ("", 421),
    ],
)
def test_a_registry_on_loopback_has_its_names(
    make: Callable[[Rules], Client], host: str, status: int
) -> None:
    """A page in a browser cannot reach it by a name of its own that leads to loopback."""
    client = make(Rules(names=("127.0.0.1", "[::1]", "localhost", ".localhost")))
    assert client("GET", "/v2/", headers={"Host": host}).status == status


def test_read_only_writes_nothing(client: Client, layout: Layout) -> None:
    """Every change is 405; reading leaves no lock, no mark and no file."""
    digest = client.image("a", "x", b"layer")
    place = client.start("a")
    before = {one: one.stat().st_mtime_ns for one in layout.root.rglob("*")}
    client.rules = Rules(read_only=True)
    client.restart()
    for method, path in (
        ("POST", "/v2/a/blobs/uploads/"),
        ("PATCH", place),
        ("PUT", place),
        ("DELETE", place),
        ("PUT", "/v2/a/manifests/y"),
        ("DELETE", "/v2/a/manifests/x"),
        ("DELETE", f"/v2/a/manifests/{digest}"),
        ("DELETE", f"/v2/a/blobs/{digest}"),
    ):
        done = client(method, path, b"{}")
        assert (done.status, done.code) == (405, "UNSUPPORTED")
    assert client("GET", "/v2/a/manifests/x").status == 200
    assert client("GET", "/v2/a/tags/list").json["tags"] == ["x"]
    assert client.referrers("a", digest) == []
    assert client("GET", "/v2/_catalog").json == {"repositories": ["a"]}
    assert {one: one.stat().st_mtime_ns for one in layout.root.rglob("*")} == before


def test_a_full_disk_is_the_server_s_fault(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """500; the path is for the log and not for the client."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    done = client("POST", f"/v2/a/blobs/uploads/?digest={client.digest(b'x')}", b"x")
    assert (done.status, done.code) == (500, "UNKNOWN")
    assert str(client.layout.root).encode() not in done.body
    assert "the disk is full" in done.done
    monkeypatch.undo()
    assert client.bytes_kept() == set()
    client.blob("a", b"x")


def test_repositories_are_listed_in_pages(client: Client) -> None:
    """Those with a manifest, sorted, as clients ask for them."""
    for name in ("b", "a/c", "a", "a-b"):
        client.image(name, "x")
    client.blob("z", b"only a blob")
    assert client("GET", "/v2/_catalog").json == {"repositories": ["a", "a-b", "a/c", "b"]}
    first = client("GET", "/v2/_catalog?n=3")
    assert first.json == {"repositories": ["a", "a-b", "a/c"]}
    assert first.headers["link"] == '</v2/_catalog?n=3&last=a%2Fc>; rel="next"'
    assert client("GET", "/v2/_catalog?n=3&last=a%2Fc").json == {"repositories": ["b"]}
