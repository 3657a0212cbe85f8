"""The registry and the layout are two views of one thing: what one writes, the other reads.

And what the layout has of its own, a client of the registry can neither move nor remove.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import pytest

from lockgate.oci.digest import Digest
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    REF_NAME,
    Descriptor,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.oci.server.conftest import Client

    from lockgate.oci.layout import Layout


def image(layout: Layout, content: bytes, subject: Descriptor | None = None) -> Descriptor:
    """Store an image, or what refers to one."""
    parts = Manifest(
        config=layout.put(b"{}", CONFIG),
        layers=(layout.put(content, LAYER_GZIP),),
        subject=subject,
        artifact_type="t" if subject else "",
    )
    found = layout.put(manifest_bytes(parts), MANIFEST)
    return msgspec.structs.replace(found, artifact_type="t") if subject else found


def built(layout: Layout, name: str = "app") -> Descriptor:
    """Name an index of two images, as `inv build` does, with one referrer of the index."""
    platforms = tuple(image(layout, name.encode() + one) for one in (b"1", b"2"))
    index = layout.put(index_bytes(Index(manifests=platforms)), INDEX)
    layout.tag({name: index, f"{name}-linux-amd64": platforms[0]})
    layout.add_referrer(index.digest, image(layout, b"evidence of " + name.encode(), index))
    return index


def test_what_was_built_is_a_repository(client: Client, layout: Layout) -> None:
    """By the component's name, under `latest`, with all that it needs."""
    index = built(layout)
    assert client("GET", "/v2/_catalog").json == {"repositories": ["app", "app-linux-amd64"]}
    assert client("GET", "/v2/app/tags/list").json == {"name": "app", "tags": ["latest"]}
    found = client("GET", "/v2/app/manifests/latest")
    assert found.headers["docker-content-digest"] == index.digest
    assert found.body == layout.read(index.digest)
    for one in layout.manifests(index.digest):
        assert client("GET", f"/v2/app/manifests/{one.digest}").status == 200
        for part in Manifest.parse(layout.read(one.digest)).layers:
            assert client("GET", f"/v2/app/blobs/{part.digest}").status == 200
    assert client("GET", "/v2/app-linux-amd64/manifests/latest").status == 200


def test_what_was_built_again_is_served_at_once(client: Client, layout: Layout) -> None:
    """The names are read anew whenever they changed."""
    built(layout)
    assert client("GET", "/v2/app/manifests/latest").status == 200
    newer = image(layout, b"newer")
    layout.tag({"app": newer, "web": newer})
    found = client("GET", "/v2/app/manifests/latest")
    assert found.headers["docker-content-digest"] == newer.digest
    assert client("GET", "/v2/web/tags/list").json["tags"] == ["latest"]


def test_evidence_of_the_layout_is_listed(client: Client, layout: Layout) -> None:
    """What `Layout.add_referrer` wrote, and what refers to that in turn; each can be fetched."""
    index = built(layout)
    (first,) = layout.referrers(index.digest)
    second = image(layout, b"about the evidence", first)
    layout.add_referrer(first.digest, second)
    assert [one["digest"] for one in client.referrers("app", index.digest)] == [first.digest]
    assert [one["digest"] for one in client.referrers("app", first.digest)] == [second.digest]
    for one in (first, second):
        assert client("GET", f"/v2/app/manifests/{one.digest}").status == 200
    assert client.referrers("app-linux-amd64", index.digest) == []


def test_tags_about_a_digest_belong_to_its_repository(client: Client, layout: Layout) -> None:
    """A signature in cosign's older form lies under a tag; only where the image is."""
    index = built(layout)
    built(layout, "web")
    name = f"sha256-{Digest(index.digest).hex}.sig"
    layout.tag({name: image(layout, b"signature")})
    assert client("GET", "/v2/app/tags/list").json["tags"] == ["latest", name]
    assert client("GET", f"/v2/app/manifests/{name}").status == 200
    assert client("GET", "/v2/web/tags/list").json["tags"] == ["latest"]
    assert client("GET", f"/v2/web/manifests/{name}").status == 404


def test_what_was_pushed_is_in_the_layout(client: Client, layout: Layout) -> None:
    """As `repository:tag`, complete, by digest and in the list of referrers."""
    digest = client.image("team/app", "1.4", b"layer")
    assert layout.resolve("team/app:1.4").digest == digest
    assert layout.verify_image(digest)
    sign = client.image("team/app", "", b"signature", subject={**vars_of(layout, digest)})
    (found,) = layout.referrers(Digest(digest))
    assert (found.digest, found.artifact_type) == (sign, CONFIG)


def vars_of(layout: Layout, digest: str) -> dict[str, object]:
    """Return a descriptor as a manifest holds it."""
    return {"mediaType": MANIFEST, "digest": digest, "size": layout.path(digest).stat().st_size}


def test_evidence_of_several_origins_is_listed_once(client: Client, layout: Layout) -> None:
    """The layout gives what was added and what was pushed anywhere; a repository gives its own."""
    index = built(layout)
    (added,) = layout.referrers(index.digest)
    subject = {"mediaType": INDEX, "digest": index.digest, "size": index.size}
    first = client.image("a", "", b"1", subject=subject)
    second = client.image("b", "", b"2", subject=subject)
    client.image("app", "", b"1", subject=subject)
    own = client.image("app", "", b"own", subject=subject)
    assert {one.digest for one in layout.referrers(index.digest)} > {added.digest, first, second}
    assert len({one.digest for one in layout.referrers(index.digest)}) == len(
        layout.referrers(index.digest)
    )
    assert [one["digest"] for one in client.referrers("a", index.digest)] == [first]
    assert [one["digest"] for one in client.referrers("b", index.digest)] == [second]
    assert {own, added.digest} <= {one["digest"] for one in client.referrers("app", index.digest)}
    assert second not in {one["digest"] for one in client.referrers("app", index.digest)}


def test_a_local_name_cannot_be_moved(client: Client, layout: Layout) -> None:
    """403: another image is not pushed to it. The same one is, and changes nothing; other tags are free."""
    index = built(layout)
    before = layout.tags()
    data = layout.read(index.digest)
    other = layout.read(layout.manifests(index.digest)[0].digest)
    done = client.put("app", "latest", other)
    assert (done.status, done.code) == (403, "DENIED")
    assert layout.tags() == before
    assert client.put("app", "latest", data, INDEX).status == 201
    assert layout.tags() == before
    assert client.put("app", "1.0", data, INDEX).status == 201
    assert client("GET", "/v2/app/tags/list").json["tags"] == ["1.0", "latest"]
    assert layout.resolve("app").digest == layout.resolve("app:1.0").digest == index.digest


def test_nothing_local_can_be_removed(client: Client, layout: Layout) -> None:
    """405 for the name, the image, its parts, its evidence and the tags about it; after pushing them too."""
    index = built(layout)
    (added,) = layout.referrers(index.digest)
    name = f"sha256-{Digest(index.digest).hex}.sig"
    layout.tag({name: image(layout, b"signature")})
    client.put("app", "1.0", layout.read(index.digest), INDEX)
    client.put("app", added.digest, layout.read(added.digest))
    before = client.bytes_kept()
    platform = layout.manifests(index.digest)[0]
    layer = Manifest.parse(layout.read(platform.digest)).layers[0]
    for path in (
        "manifests/latest",
        f"manifests/{name}",
        f"manifests/{index.digest}",
        f"manifests/{platform.digest}",
        f"manifests/{added.digest}",
        f"blobs/{layer.digest}",
    ):
        done = client("DELETE", f"/v2/app/{path}")
        assert (done.status, done.code) == (405, "UNSUPPORTED"), path
    assert client.bytes_kept() == before
    assert layout.verify_image(index.digest)


def test_removing_a_copy_leaves_the_local_image(client: Client, layout: Layout) -> None:
    """What another repository removes stays as long as a local name needs it."""
    index = built(layout)
    client("POST", f"/v2/copy/blobs/uploads/?mount={Digest.of(b'{}')}&from=app")
    for one in layout.manifests(index.digest):
        for part in Manifest.parse(layout.read(one.digest)).layers:
            client("POST", f"/v2/copy/blobs/uploads/?mount={part.digest}&from=app")
        client.put("copy", one.digest, layout.read(one.digest))
    client.put("copy", "x", layout.read(index.digest), INDEX)
    (added,) = layout.referrers(index.digest)
    client.blob("copy", b"evidence of app")
    client.put("copy", added.digest, layout.read(added.digest))
    for digest in (added.digest, index.digest, *(o.digest for o in layout.manifests(index.digest))):
        assert client("DELETE", f"/v2/copy/manifests/{digest}").status == 202
    assert client("DELETE", f"/v2/copy/blobs/{Digest.of(b'{}')}").status == 202
    assert layout.verify_image(index.digest)
    assert layout.referrers(index.digest) == (added,)
    assert client("GET", f"/v2/app/manifests/{added.digest}").status == 200


def test_names_that_others_wrote_are_served(client: Client, layout: Layout) -> None:
    """A `repository:tag` that another tool copied in has no marks, and is there all the same."""
    digest = image(layout, b"copied").digest
    layout.tag({"other/app:3": layout.put(layout.read(digest), MANIFEST)})
    assert client("GET", "/v2/other/app/manifests/3").headers["docker-content-digest"] == digest
    assert client("GET", f"/v2/other/app/blobs/{Digest.of(b'copied')}").body == b"copied"
    assert client("DELETE", "/v2/other/app/manifests/3").status == 202
    assert client("GET", "/v2/other/app/tags/list").status == 404


def test_entries_without_a_name_are_kept(client: Client, layout: Layout) -> None:
    """Bytes that only such an entry needs are not removed with a pushed copy."""
    found = image(layout, b"nameless")
    (layout.root / "index.json").write_bytes(index_bytes(Index(manifests=(found,))))
    client.blob("a", b"nameless")
    assert client("DELETE", f"/v2/a/blobs/{Digest.of(b'nameless')}").status == 202
    assert layout.verify_image(found.digest)


def test_a_hole_in_a_local_image_is_404_and_heals(client: Client, layout: Layout) -> None:
    """What is missing is not served; once it is there, it is, though no name changed."""
    index = built(layout)
    platform = layout.manifests(index.digest)[0]
    data = layout.read(platform.digest)
    layout.path(platform.digest).unlink()
    assert client("GET", f"/v2/app/manifests/{platform.digest}").status == 404
    assert client("GET", "/v2/app/manifests/latest").status == 200
    layout.put(data, MANIFEST)
    assert client("GET", f"/v2/app/manifests/{platform.digest}").status == 200


def test_a_damaged_index_is_an_error_and_not_an_empty_registry(
    client: Client, layout: Layout
) -> None:
    """500 for reading and for writing; the file is not overwritten."""
    data = json.dumps({"schemaVersion": 2}).encode()
    (layout.root / "index.json").write_bytes(data)
    for method, path in (("GET", "/v2/a/tags/list"), ("DELETE", "/v2/a/manifests/x")):
        assert client(method, path).status == 500
    assert (layout.root / "index.json").read_bytes() == data


def test_many_clients_at_once_lose_nothing(client: Client, layout: Layout) -> None:
    """Eight threads push images, signatures and tags of the same layers, and delete others of their own."""

    def push(number: int) -> str:
        repository = f"r{number % 2}"
        gone = client.image(repository, f"gone{number}", b"shared", b"gone%d" % number)
        kept = client.image(repository, f"kept{number}", b"shared", b"kept%d" % number)
        client.image(repository, "", b"s%d" % number, subject=vars_of(layout, kept))
        assert client("DELETE", f"/v2/{repository}/manifests/{gone}").status == 202
        blob = client.digest(b"gone%d" % number)
        assert client("DELETE", f"/v2/{repository}/blobs/{blob}").status == 202
        return kept

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(push, range(24)))
    client.bytes_kept()
    for number, digest in enumerate(kept):
        assert layout.resolve(f"r{number % 2}:kept{number}").digest == digest
        assert layout.verify_image(digest)
        assert len(layout.referrers(Digest(digest))) == 1
    assert len([one for one in layout.tags() if ":" in one and "@" not in one]) == 24


KILLED = """\
import io, json, os, signal, sys
from pathlib import Path
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, MANIFEST
from lockgate.oci.server_protocol import ContentDigest, Request
from lockgate.oci.server_routes import Registry

os.fsync = lambda _: None  # a kill takes nothing from the disk's cache
root = Path(sys.argv[1])
Layout.create(root)
WATCHED = ("server_changes.py", "names.py", "layout.py")


def ask(method, target, body=b""):
    kind = {"Content-Type": MANIFEST}
    request = Request.of(method, target, kind, io.BytesIO(body), len(body))
    return Registry(Layout.open(root)).answer(request)


def part(data, kind):
    return {"mediaType": kind, "digest": ContentDigest.of(data), "size": len(data)}


def document(**more):
    found = {"schemaVersion": 2, "mediaType": MANIFEST, "config": part(b"{}", CONFIG), "layers": []}
    return json.dumps(found | more).encode()


def watch(limit):
    left = [limit]
    def trace(frame, event, _):
        if not frame.f_code.co_filename.endswith(WATCHED):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)


def consistent():
    layout = Layout.open(root)
    for one in layout.tags().values():
        layout.verify(one.digest)
    for one in layout.referrers(ContentDigest.of(image)):
        assert ask("GET", f"/v2/a/manifests/{one.digest}").status == 200, one
    for one in (root / "repositories").glob("a/_*s/*/*"):
        if one.parent.parent.name != "_uploads":
            layout.verify(f"{one.parent.name}:{one.name}")
    assert ask("GET", "/v2/a/tags/list").status == 200
    assert ask("GET", "/v2/a/manifests/x").status == 200


image = document()
sent = document(subject=part(image, MANIFEST))
digest = ContentDigest.of(sent)
ask("POST", f"/v2/a/blobs/uploads/?digest={ContentDigest.of(b'{}')}", b"{}")
assert ask("PUT", "/v2/a/manifests/x", image).status == 201
other = document(subject=part(image, MANIFEST), annotations={"a": "b"})
assert ask("PUT", "/v2/a/manifests/other", other).status == 201

STEPS = {
    "push": (lambda: ask("PUT", "/v2/a/manifests/y", sent), 201),
    "delete": (lambda: ask("DELETE", f"/v2/a/manifests/{digest}"), 202),
}
for name, (step, status) in STEPS.items():
    limit = 0
    while True:
        if name == "delete":
            assert ask("PUT", "/v2/a/manifests/y", sent).status == 201
        child = os.fork()
        if not child:
            watch(limit)
            os._exit(0 if step().status == status else 1)
        _, ended = os.waitpid(child, 0)
        consistent()
        if ended == 0:
            break
        assert ended == signal.SIGKILL, (name, limit, ended)
        limit += 1
    print(name, limit)
# After all those kills one more push and one more deletion do what they should.
assert ask("PUT", "/v2/a/manifests/y", sent).status == 201
assert ask("DELETE", f"/v2/a/manifests/{digest}").status == 202
assert [one.digest for one in Layout.open(root).referrers(ContentDigest.of(image))] == [
    ContentDigest.of(other)
]
"""


def test_a_kill_at_any_line_leaves_nothing_false(tmp_path: Path) -> None:
    """A push and a deletion of a referrer with a tag, killed before each line of what writes.

    Whatever is named, marked or listed is there, and a new server does the rest.
    """
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines())
    assert all(int(one) > 40 for one in counts.values()), counts


@pytest.mark.parametrize("name", ["a:b:c", "@", "a@", "sha256-", ":x"])
def test_odd_names_do_no_harm(client: Client, layout: Layout, name: str) -> None:
    """A layout may have any name; the registry goes on."""
    found = msgspec.structs.replace(image(layout, b"x"), annotations={REF_NAME: name})
    (layout.root / "index.json").write_bytes(index_bytes(Index(manifests=(found,))))
    assert client("GET", "/v2/_catalog").status == 200
    assert client("GET", "/v2/a/tags/list").status in (200, 404)
