"""Moving images: everything arrives, in an order in which nothing half is visible, whatever goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.oci.dictregistry import DictRegistry
from tests.unit.oci.images import build, everything, refer, sign_the_old_way
from tests.unit.oci.mishaps import broken, changed, cut, lost, status

from lockgate.base.errors import DigestMismatch, LockgateError, RegistryError, TrustError
from lockgate.oci import transfer
from lockgate.oci.archive import Archive
from lockgate.oci.archive_target import ArchiveTarget
from lockgate.oci.layout import Layout
from lockgate.oci.store import LayoutStore, Source, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.oci.mishaps import Action, Serve

    from lockgate.oci.transfer import Moved

NOTHING: Callable[[int, int, str], None] = lambda done, total, name: None  # noqa: E731, ARG005


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A layout with one image and all kinds of evidence, named `app`."""
    found = Layout.create(tmp_path / "store")
    everything(found)
    return found


@pytest.fixture
def empty(tmp_path: Path) -> Layout:
    """An empty layout."""
    return Layout.create(tmp_path / "empty")


def move(source: Source, target: Target, digest: str, name: str) -> Moved:
    """Move an image."""
    return transfer.move(transfer.plan(source, target, digest, name), NOTHING)


def push(layout: Layout, registry: DictRegistry, name: str = "app") -> Moved:
    """Move the image of a layout to a registry."""
    digest = layout.resolve(name).digest
    return move(LayoutStore(layout, "the store"), registry.open(), digest, "1.0")


def state(registry: DictRegistry) -> object:
    """Return what a registry holds, to be compared."""
    return registry.repositories


def contents(layout: Layout) -> dict[str, bytes]:
    """Return every file of a layout that its names lead to."""
    root = layout.resolve("app").digest
    whole = transfer.plan(LayoutStore(layout, "x"), LayoutStore(layout, "x"), root, "app").closure
    digests = [one.digest for one in whole.blobs] + [one.descriptor.digest for one in whole.nodes]
    lists = {name: one.digest.encode() for name, one in layout.tags().items()}
    return lists | {digest: layout.path(digest).read_bytes() for digest in digests}


@pytest.mark.parametrize("api", [True, False])
def test_there_and_back(api: bool, layout: Layout, empty: Layout) -> None:
    """Store to registry to an empty store: names, lists and bytes are the same."""
    registry = DictRegistry(referrers_api=api, bearer=True)

    push(layout, registry)
    move(registry.open(push=False), LayoutStore(empty, "x"), layout.resolve("app").digest, "app")

    assert contents(empty) == contents(layout)


def test_through_a_file(layout: Layout, empty: Layout, tmp_path: Path) -> None:
    """Store to archive to an empty store, the same."""
    root = layout.resolve("app")
    with ArchiveTarget(tmp_path / "app.tar") as target:
        move(LayoutStore(layout, "x"), target, root.digest, "app")
    with Archive(tmp_path / "app.tar") as archive:
        assert archive.only().digest == root.digest
        move(archive, LayoutStore(empty, "x"), root.digest, "app")

    assert contents(empty) == contents(layout)


def test_an_archive_is_the_same_from_everywhere(layout: Layout, tmp_path: Path) -> None:
    """From a store or from registries with and without the API: the same bytes."""
    found = set()
    root = layout.resolve("app").digest
    sources: list[Source] = [LayoutStore(layout, "x")]
    for api in (True, False):
        registry = DictRegistry(referrers_api=api)
        push(layout, registry)
        sources.append(registry.open(push=False))
    for number, source in enumerate(sources):
        with ArchiveTarget(tmp_path / f"{number}.tar") as target:
            move(source, target, root, "app")
        found.add((tmp_path / f"{number}.tar").read_bytes())

    assert len(found) == 1


def test_the_record_says_what_was_moved(layout: Layout) -> None:
    """Digest, places, platforms, evidence, blobs, manifests and names."""
    moved = push(layout, DictRegistry())

    assert moved.digest == layout.resolve("app").digest
    assert (moved.source, moved.target) == ("the store", "registry.example/team/app")
    assert (moved.name, moved.platforms, len(moved.evidence)) == ("1.0", 2, 6)
    assert len(moved.manifests) == 3 + 6
    hexed = moved.digest.replace(":", "-")
    assert moved.tags == (f"{hexed}.att", f"{hexed}.sig", "1.0")


def test_a_second_time_moves_nothing(layout: Layout) -> None:
    """What is there is not sent again, not even a tag."""
    registry = DictRegistry()
    push(layout, registry)
    before = {one: registry.count(one) for one in ("PUT", "POST", "PATCH")}

    moved = push(layout, registry)

    assert (moved.blobs, moved.manifests, moved.tags) == ((), (), ())
    assert {one: registry.count(one) for one in before} == before


def test_only_what_is_missing_is_moved(layout: Layout) -> None:
    """A blob that the target lost is moved again, and nothing else."""
    registry = DictRegistry()
    first = push(layout, registry)
    del registry["team/app"].blobs[first.blobs[0].digest]

    moved = push(layout, registry)

    assert [one.digest for one in moved.blobs] == [first.blobs[0].digest]
    assert moved.manifests == ()


def test_a_referrer_that_is_not_listed_is_listed(layout: Layout) -> None:
    """A run that ended between storing a referrer and listing it is made good."""
    registry = DictRegistry(referrers_api=False)
    push(layout, registry)
    root = layout.resolve("app").digest
    del registry["team/app"].tags[root.replace(":", "-")]

    moved = push(layout, registry)

    assert len(moved.manifests) == 2
    assert len(registry.open().referrers(root)) == 2


def test_a_plan_writes_nothing(layout: Layout) -> None:
    """Planning asks, and sends nothing; the plan is what is then done."""
    registry = DictRegistry()
    source, root = LayoutStore(layout, "the store"), layout.resolve("app").digest

    work = transfer.plan(source, registry.open(), root, "1.0")

    assert {one.method for one in registry.asked} == {"GET", "HEAD"}
    assert work.record() == push(layout, registry)


def test_bytes_and_names_are_told(layout: Layout) -> None:
    """Progress goes from nothing to all of it, and is taken back when a blob is read again."""
    registry, seen = DictRegistry(), []
    registry.fail("PUT", "/uploads/", broken(httpx2.WriteError))
    work = transfer.plan(
        LayoutStore(layout, "x"), registry.open(), layout.resolve("app").digest, "1"
    )

    transfer.move(work, lambda *told: seen.append(told))

    assert seen[-1][:2] == (work.size, work.size)
    assert max(done for done, _, _ in seen) == work.size
    assert {name for _, _, name in seen} <= {
        one.digest[:15] + "…" + one.digest[-4:] for one in work.blobs
    }


def blobs(layout: Layout) -> list[str]:
    """Return the digests of all blobs of the image."""
    source = LayoutStore(layout, "x")
    root = layout.resolve("app").digest
    return [one.digest for one in transfer.plan(source, source, root, "app").closure.blobs]


def test_a_hole_is_refused_before_anything_is_written(layout: Layout) -> None:
    """Whichever blob is missing: it is named, and the target is not touched."""
    for digest in blobs(layout):
        registry, path = DictRegistry(), layout.path(digest)
        data = path.read_bytes()
        path.unlink()

        with pytest.raises(TrustError, match=f"{digest} is missing; nothing was moved"):
            push(layout, registry)

        assert {one.method for one in registry.asked} <= {"GET", "HEAD"}
        path.write_bytes(data)


def test_a_hole_in_a_registry(layout: Layout, empty: Layout) -> None:
    """The same when the source is a registry; nothing of the image is in the store then."""
    registry = DictRegistry()
    moved = push(layout, registry)
    del registry["team/app"].blobs[moved.blobs[0].digest]

    with pytest.raises(TrustError, match=moved.blobs[0].digest):
        move(registry.open(), LayoutStore(empty, "x"), moved.digest, "app")
    assert not list((empty.root / "blobs" / "sha256").iterdir())
    assert empty.tags() == {}


def test_a_blob_that_lies(layout: Layout) -> None:
    """Whichever blob has other bytes: refused, and no name leads to it."""
    for digest in blobs(layout):
        registry, path = DictRegistry(), layout.path(digest)
        data = path.read_bytes()
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])

        with pytest.raises(DigestMismatch):
            push(layout, registry)

        assert registry["team/app"].tags == {}
        assert digest not in registry["team/app"].blobs
        path.write_bytes(data)


def test_a_registry_that_lies(layout: Layout, empty: Layout) -> None:
    """A blob that a registry serves with other bytes is not in the store, under any name."""
    registry = DictRegistry()
    moved = push(layout, registry)
    registry.fail("GET", f"/blobs/{moved.blobs[0].digest}", changed)

    with pytest.raises(DigestMismatch):
        move(registry.open(), LayoutStore(empty, "x"), moved.digest, "app")
    assert not empty.has(moved.blobs[0].digest)
    assert empty.tags() == {}


def test_half_a_manifest_is_sent_again(layout: Layout) -> None:
    """Whichever manifest a registry has kept half of, when a push was killed: the next push mends it."""
    whole = DictRegistry()
    manifests = [one.digest for one in push(layout, whole).manifests]
    for digest in manifests:
        registry = DictRegistry()
        push(layout, registry)
        held = registry["team/app"].manifests
        kind, data = held[digest]
        held[digest] = kind, data[: len(data) // 2]

        moved = push(layout, registry)

        assert [one.digest for one in moved.manifests] == [digest]
        assert state(registry) == state(whole)


def test_a_manifest_that_stays_wrong_is_noticed(layout: Layout) -> None:
    """A registry that serves other bytes whatever it is sent is named, with the manifest."""
    registry = DictRegistry()
    digest = push(layout, registry).manifests[0].digest
    registry.fail("GET", f"/manifests/{digest}", changed, times=1000)

    with pytest.raises(TrustError, match=f"does not hold {digest}"):
        push(layout, registry)


def test_a_changed_manifest_of_a_layout_is_refused(layout: Layout, empty: Layout) -> None:
    """On disk it was not a killed push: files appear whole there. It is named and left as it is."""
    registry = DictRegistry()
    moved = push(layout, registry)
    path = empty.path(moved.manifests[0].digest)
    path.write_bytes(b"{}")

    with pytest.raises(DigestMismatch, match=str(path)):
        move(registry.open(), LayoutStore(empty, "x"), moved.digest, "app")
    assert path.read_bytes() == b"{}"
    assert empty.tags() == {}


def test_what_does_not_arrive_is_noticed(layout: Layout) -> None:
    """A target that says yes and keeps nothing is found out at the end."""
    registry = DictRegistry()
    victim = blobs(layout)[0]

    def forget(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        found = serve()
        registry["team/app"].blobs.pop(victim)
        return found

    registry.fail("PUT", "/manifests/1.0", forget)

    with pytest.raises(TrustError, match=victim):
        push(layout, registry)


class Killed(BaseException):
    """What SIGKILL is to a process: nothing after it runs."""


def dying(number: int) -> DictRegistry:
    """Return a registry at whose request of that number the client is killed."""
    registry = DictRegistry(referrers_api=False)
    serve = registry._serve

    def count(request: httpx2.Request) -> httpx2.Response:
        if len(registry.asked) == number:
            raise Killed
        return serve(request)

    registry._serve = count  # type: ignore[method-assign]
    return registry


def is_whole(registry: DictRegistry) -> bool:
    """True when whatever a tag leads to is there, with everything below it."""
    held = registry["team/app"]
    waiting = list(held.tags.values())
    while waiting:
        digest = waiting.pop()
        if digest not in held.manifests:
            return False
        document = json.loads(held.manifests[digest][1])
        waiting += [one["digest"] for one in document.get("manifests", [])]
        parts = [document["config"], *document["layers"]] if "config" in document else []
        if any(one["digest"] not in held.blobs for one in parts):
            return False
    return True


def test_killed_at_every_step(empty: Layout) -> None:
    """Wherever a push is killed, what is visible is whole, and the next run ends in the same state."""
    layout = empty
    refer(layout, build(layout, layers=1))
    sign_the_old_way(layout, layout.resolve("app"))
    undisturbed = DictRegistry(referrers_api=False)
    push(layout, undisturbed)
    root, at = layout.resolve("app").digest, 0
    while True:
        at += 1
        registry = dying(at)
        try:
            push(layout, registry)
        except Killed:
            assert is_whole(registry)
            tags = registry["team/app"].tags
            assert "1.0" not in tags or len(tags) == len(undisturbed["team/app"].tags)
            assert push(layout, registry).digest == root
            assert state(registry) == state(undisturbed)
        else:
            break
    assert at > 40


TROUBLE = [
    status(500), status(429, {"Retry-After": "1"}), broken(), broken(httpx2.ReadTimeout),
    lost, cut(0),
]  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_trouble_that_passes(method: str, trouble: Action, layout: Layout, empty: Layout) -> None:
    """Three failures in a row at any kind of request, on the way there and on the way back."""
    registry = DictRegistry()
    registry.fail(method, "", trouble, times=3)
    push(layout, registry)
    registry.fail(method, "", trouble, times=3)
    root = layout.resolve("app").digest

    move(registry.open(push=False), LayoutStore(empty, "x"), root, "app")

    assert contents(empty) == contents(layout)


def test_one_failure_ends_the_others(layout: Layout) -> None:
    """When one blob cannot be moved, those that wait are not begun, and the error is that blob's."""
    registry = DictRegistry()
    registry.fail("POST", "", status(403, words="quota exceeded"), times=1)

    with pytest.raises(RegistryError, match="quota exceeded"):
        push(layout, registry)
    assert registry.count("PUT", "/manifests/") == 0


def test_a_tag_is_moved(layout: Layout) -> None:
    """A tag that points at an older image points at the new one afterwards."""
    registry = DictRegistry()
    push(layout, registry)
    build(layout, "newer")

    moved = push(layout, registry, "newer")

    assert registry["team/app"].tags["1.0"] == moved.digest
    assert moved.tags == ("1.0",)


def test_without_a_name(layout: Layout) -> None:
    """An image can be moved by digest alone."""
    registry = DictRegistry()
    root = layout.resolve("app").digest

    move(LayoutStore(layout, "x"), registry.open(), root, "")

    assert root in registry["team/app"].manifests
    assert all(name.startswith("sha256-") for name in registry["team/app"].tags)


def test_between_repositories_of_one_registry(layout: Layout) -> None:
    """Blobs are mounted: nothing is downloaded or uploaded."""
    registry = DictRegistry(bearer=True)
    root = push(layout, registry).digest
    before = registry.count("GET", "/blobs/")

    target = registry.open("team/copy", mount_from="team/app")
    move(registry.open(push=False), target, root, "1.0")

    assert registry["team/copy"].blobs == registry["team/app"].blobs
    assert registry.count("GET", "/blobs/") == before


def test_two_pushers_at_once(layout: Layout) -> None:
    """A second push that runs in the middle of the first one changes nothing about the outcome."""
    alone, registry = DictRegistry(referrers_api=False), DictRegistry(referrers_api=False)
    push(layout, alone)
    begun: list[int] = []

    def another(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        begun.append(1)
        push(layout, registry)
        return serve()

    registry.fail("PUT", "/manifests/sha256:", another)
    push(layout, registry)

    assert begun
    assert registry["team/app"].tags == alone["team/app"].tags
    assert state(registry) == state(alone)


def test_a_large_image_between_registries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one registry to another, with breaks on both sides: the same image."""
    from lockgate.oci import upload

    monkeypatch.setattr(upload, "CHUNK", 1 << 20)
    layout = Layout.create(tmp_path / "large")
    build(layout, size=(2 << 20) + 17)
    first, second = DictRegistry(), DictRegistry()
    push(layout, first)
    first.fail("GET", "/blobs/", cut(1 << 20), times=2)
    second.fail("PATCH", "", broken(httpx2.WriteError), times=2)

    move(first.open(push=False), second.open(), layout.resolve("app").digest, "1.0")

    assert state(second) == state(first)


def test_the_layout_is_full(layout: Layout, empty: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while a blob is written leaves no name and no part of a blob."""
    registry = DictRegistry()
    root = push(layout, registry).digest
    from lockgate.base.errors import StorageError
    from lockgate.oci.partial import BlobWriter

    def full(_: BlobWriter, data: bytes) -> int:
        raise StorageError(f"no room for {len(data)} bytes")

    monkeypatch.setattr(BlobWriter, "write", full)

    with pytest.raises(LockgateError):
        move(registry.open(), LayoutStore(empty, "x"), root, "app")
    assert not list((empty.root / "blobs" / "sha256").iterdir())
    assert empty.tags() == {}
