"""The store: blobs whole or absent, names never lost, bytes checked against their digest."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch, StorageError, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.layout import CHUNK, Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    REF_NAME,
    Descriptor,
    Index,
    Manifest,
    Platform,
    index_bytes,
    manifest_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    return Layout.create(tmp_path / "store")


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def blobs(layout: Layout) -> list[str]:
    """Every file in the folder of blobs, hidden ones too."""
    return sorted(one.name for one in (layout.root / "blobs/sha256").iterdir())


def image(layout: Layout, *contents: bytes) -> Descriptor:
    """Store a manifest with layers of these bytes."""
    manifest = Manifest(
        config=layout.put(b'{"a":1}', CONFIG),
        layers=tuple(layout.put(one, LAYER_GZIP) for one in contents),
    )
    return layout.put(manifest_bytes(manifest), MANIFEST)


def listing(layout: Layout, *manifests: Descriptor) -> Descriptor:
    """Store an index."""
    return layout.put(index_bytes(Index(manifests=manifests)), INDEX)


def artifact(layout: Layout, subject: Descriptor, kind: str, content: bytes) -> Descriptor:
    """Store a manifest that refers to another."""
    manifest = Manifest(
        config=layout.put(b"{}", CONFIG),
        layers=(layout.put(content, kind),),
        subject=subject,
        artifact_type=kind,
    )
    stored = layout.put(manifest_bytes(manifest), MANIFEST)
    return Descriptor(
        media_type=MANIFEST, digest=stored.digest, size=stored.size, artifact_type=kind
    )


def stream(layout: Layout, pieces: Iterable[bytes]) -> str:
    """Write pieces through a writer; return the blob's digest."""
    with layout.writer() as blob:
        for piece in pieces:
            blob.write(piece)
    return blob.digest


def python(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a few lines of Python that use the store."""
    head = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom lockgate.oci.layout import Layout\n"
    )
    return subprocess.Popen([sys.executable, "-c", head + code, *map(str, arguments)])


def test_a_new_store_is_an_image_layout(layout: Layout) -> None:
    """The files that image-layout.md asks for are there."""
    assert json.loads((layout.root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout.root / "index.json").read_bytes())
    assert index == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    assert (layout.root / "blobs/sha256").is_dir()


def test_making_it_again_keeps_what_is_there(layout: Layout) -> None:
    """`create` on a store changes nothing."""
    layout.tag({"app": image(layout, b"x")})
    before = (layout.root / "index.json").read_bytes()
    Layout.create(layout.root)
    assert (layout.root / "index.json").read_bytes() == before


def test_opening_what_is_no_store_is_refused(tmp_path: Path) -> None:
    """A folder is a store only when it says so."""
    with pytest.raises(UsageError, match="is not an image layout") as caught:
        Layout.open(tmp_path)
    assert caught.value.hint
    assert Layout.open(Layout.create(tmp_path / "s").root).tags() == {}


def test_a_store_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    """A place that cannot be a folder is told."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        Layout.create(tmp_path / "file/store")


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * (CHUNK + 1)])
def test_what_is_put_is_read(layout: Layout, data: bytes) -> None:
    """Bytes come back as they were, under the digest in the descriptor."""
    found = layout.put(data, "text/plain")
    assert (found.digest, found.size, found.media_type) == (
        Digest.of(data),
        len(data),
        "text/plain",
    )
    assert layout.read(found.digest) == data
    assert layout.verify(found.digest) == len(data)
    with layout.stream(found.digest) as file:
        assert file.read() == data


def test_putting_twice_changes_nothing(layout: Layout) -> None:
    """The same bytes are one blob, written once."""
    path = layout.path(layout.put(b"x", "a").digest)
    before = path.stat()
    layout.put(b"x", "b")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(blobs(layout)) == 1


def test_blobs_lie_under_their_digest(layout: Layout) -> None:
    """The file's name is the digest of its bytes, and others may read it."""
    before = os.umask(0o077)
    try:
        path = layout.path(layout.put(b"x", "a").digest)
        with layout.writer() as blob:
            blob.write(b"y")
    finally:
        os.umask(before)
    for one, data in ((path, b"x"), (layout.path(blob.digest), b"y")):
        assert one == layout.root / "blobs/sha256" / hashlib.sha256(data).hexdigest()
        assert one.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["../../etc/passwd", "latest", "sha256:../x", ""])
def test_only_digests_name_blobs(layout: Layout, name: str) -> None:
    """No other text becomes a path."""
    for use in (layout.path, layout.has, layout.read, layout.verify):
        with pytest.raises(UsageError, match="is not a digest"):
            use(name)


def test_an_absent_blob_is_a_usage_error(layout: Layout) -> None:
    """Reading, streaming and checking say that it is not there."""
    absent = Digest.of(b"nothing")
    assert not layout.has(absent)
    for use in (layout.read, layout.verify, lambda one: layout.stream(one).__enter__()):
        with pytest.raises(UsageError, match="is not in the store") as caught:
            use(absent)
        assert caught.value.hint


@pytest.mark.parametrize("put", [Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_file_cannot_be_read(layout: Layout, put: Callable[[Path], object]) -> None:
    """A folder, or a link that leads to itself, in the place of a blob is an error with a name."""
    digest = layout.put(b"some bytes", "a").digest
    layout.path(digest).unlink()
    put(layout.path(digest))
    for use in (layout.read, layout.verify, lambda one: layout.stream(one).__enter__()):
        with pytest.raises(StorageError, match="could not be used"):
            use(digest)


def test_a_changed_byte_is_refused(layout: Layout) -> None:
    """One bit in a blob: neither `read` nor `verify` lets it pass, and the file is named."""
    digest = layout.put(b"some bytes", "a").digest
    flip(layout.path(digest))
    with pytest.raises(DigestMismatch) as caught:
        layout.read(digest)
    assert str(layout.path(digest)) in caught.value.message
    with pytest.raises(DigestMismatch) as caught:
        layout.verify(digest)
    assert str(layout.path(digest)) in caught.value.hint


@pytest.mark.parametrize("change", [b"", b"some byte", b"some bytes and more"])
def test_a_cut_or_grown_blob_is_refused(layout: Layout, change: bytes) -> None:
    """Missing and additional bytes are changed bytes."""
    digest = layout.put(b"some bytes", "a").digest
    layout.path(digest).write_bytes(change)
    for use in (layout.read, layout.verify):
        with pytest.raises(DigestMismatch):
            use(digest)


def test_a_blob_beyond_the_limit_is_not_read(layout: Layout) -> None:
    """`read` is for small blobs: the limit itself passes, one byte more does not."""
    digest = layout.put(b"x" * 100, "a").digest
    assert layout.read(digest, limit=100)
    with pytest.raises(UsageError, match="larger than 99 bytes"):
        layout.read(digest, limit=99)


def test_a_streamed_blob_is_there_when_the_block_ends(layout: Layout) -> None:
    """Before, nobody sees it; after, it has the digest of its bytes."""
    with layout.writer() as blob:
        for _ in range(3):
            blob.write(b"x" * CHUNK)
        assert not layout.has(blob.digest)
    assert blob.size == 3 * CHUNK
    assert layout.verify(blob.digest) == 3 * CHUNK
    assert blobs(layout) == [blob.digest.hex]


def test_an_error_in_the_block_leaves_nothing(layout: Layout) -> None:
    """The block's own error passes unchanged and no file stays."""
    with pytest.raises(ZeroDivisionError):
        stream(layout, (b"x" * (1 // number) for number in (1, 0)))
    assert blobs(layout) == []


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_store(layout: Layout) -> None:
    """An OSError of the block is the block's: the store has nothing to say about it."""
    with pytest.raises(FileNotFoundError):
        stream(layout, ((layout.root / name).read_bytes() for name in ("oci-layout", "nothing")))
    assert blobs(layout) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_at_the_end_leaves_nothing(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """When the last step fails, the error says why and the blob is not there."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match="the disk is full"), layout.writer() as blob:
        blob.write(b"x")
    assert blobs(layout) == []


def test_a_full_disk_in_the_middle_leaves_nothing(layout: Layout) -> None:
    """The kernel takes no more bytes: a StorageError, and no part of a blob."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
    try:
        with pytest.raises(StorageError, match="File too large"):
            stream(layout, [b"x" * 1000] * 4000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert blobs(layout) == []


def test_a_folder_of_blobs_that_is_gone_is_made(layout: Layout) -> None:
    """Someone removed the blobs: writing makes the folder, a file in its place is told."""
    (layout.root / "blobs/sha256").rmdir()
    with layout.writer() as blob:
        blob.write(b"x")
    assert layout.has(blob.digest)
    other = Layout(layout.root / "oci-layout")
    with pytest.raises(StorageError), other.writer():
        pytest.fail("opened a writer below a file")


def test_a_killed_writer_leaves_no_blob(layout: Layout) -> None:
    """SIGKILL in the middle: no blob, the store works on, and what is left behind is no name."""
    child = python(
        "with Layout.open(Path(sys.argv[1])).writer() as blob:\n"
        "    blob.write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        layout.root,
    )
    assert child.wait(timeout=120) == -9
    assert [one for one in blobs(layout) if not one.startswith(".partial-")] == []
    with layout.writer() as blob:
        blob.write(b"half")
    assert layout.read(blob.digest) == b"half"


def test_the_next_writer_removes_what_a_killed_one_left(layout: Layout) -> None:
    """Half a blob would lie there for ever; nobody holds its lock, so it is nobody's any more."""
    child = python(
        "with Layout.open(Path(sys.argv[1])).writer() as blob:\n"
        "    blob.write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        layout.root,
    )
    assert child.wait(timeout=120) == -9
    assert len(blobs(layout)) == 1

    with Layout.open(layout.root).writer() as blob:
        blob.write(b"x")

    assert blobs(layout) == [Digest(blob.digest).hex]


def test_a_writer_leaves_what_others_write(layout: Layout) -> None:
    """A writer at work keeps its half blob, whoever begins and ends meanwhile, in this process or another."""
    with layout.writer() as slow:
        slow.write(b"slow")
        with Layout.open(layout.root).writer() as quick:
            quick.write(b"quick")
        child = python(
            "with Layout.open(Path(sys.argv[1])).writer() as blob:\n    blob.write(b'other')\n",
            layout.root,
        )
        assert child.wait(timeout=120) == 0
    assert layout.read(slow.digest) == b"slow"
    assert len(blobs(layout)) == 3


def test_without_locks_what_is_old_is_removed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without locks nobody knows whether a writer lives: its file is left alone for a day."""

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    folder = layout.root / "blobs" / "sha256"
    old, new = folder / ".partial-old", folder / ".partial-new"
    for one in (old, new):
        one.touch()
    os.utime(old, (1, 1))

    with Layout.open(layout.root).writer() as blob:
        blob.write(b"x")

    assert not old.exists()
    assert new.exists()
    assert layout.has(blob.digest)


@pytest.mark.parametrize("name", [".0123.abcdef", ".partial-x"])
def test_what_is_no_blob_is_removed_after_a_day(name: str, layout: Layout) -> None:
    """Small blobs are written beside their place, too, without a lock."""
    left = layout.root / "blobs" / "sha256" / name
    left.touch()
    os.utime(left, (1, 1))

    with Layout.open(layout.root).writer() as blob:
        blob.write(b"x")

    assert not left.exists()


def test_a_partial_blob_that_cannot_be_removed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason that is told is why it could not be written, and not why it could not be removed."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StorageError, match="the disk is full"), layout.writer() as blob:
        blob.write(b"x")


def test_a_failing_source_is_told_though_nothing_can_be_removed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's own error comes through."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(ZeroDivisionError), layout.writer() as blob:
        blob.write(b"x" * (1 // 0))


def test_two_writers_of_one_blob_do_not_disturb_each_other(layout: Layout) -> None:
    """Interleaved in one process, the blob is whole and there once."""
    with layout.writer() as one, layout.writer() as other:
        for _ in range(3):
            one.write(b"same")
            other.write(b"same")
    assert one.digest == other.digest
    assert layout.verify(one.digest) == 12
    assert blobs(layout) == [one.digest.hex]


def test_names_point_at_what_was_tagged(layout: Layout) -> None:
    """Names are sorted, resolve to the descriptor, and move when they are tagged again."""
    first, second = image(layout, b"1"), image(layout, b"2")
    layout.tag({"web": first, "app": first})
    layout.tag({"app": second})
    assert {name: one.digest for name, one in layout.tags().items()} == {
        "app": second.digest,
        "web": first.digest,
    }
    assert list(layout.tags()) == ["app", "web"]
    assert layout.resolve("app").size == second.size


def test_an_unknown_name_is_a_usage_error(layout: Layout) -> None:
    """The hint is the command that makes it."""
    with pytest.raises(UsageError, match="'app' is not in the store") as caught:
        layout.resolve("app")
    assert caught.value.hint == "`inv build -c app` makes it"


def test_platform_and_annotations_stay_with_a_name(layout: Layout) -> None:
    """Tagging adds the name to a descriptor and takes nothing away."""
    stored = image(layout, b"1")
    described = Descriptor(
        media_type=stored.media_type,
        digest=stored.digest,
        size=stored.size,
        platform=Platform(os="linux", architecture="arm64"),
        annotations={"a": "b"},
        artifact_type="t",
    )
    layout.tag({"app": described})
    found = layout.resolve("app")
    assert (found.platform, found.artifact_type) == (described.platform, "t")
    assert found.annotations == {"a": "b", REF_NAME: "app"}


def test_tagging_keeps_what_others_wrote(layout: Layout) -> None:
    """Entries without a name and annotations of the index itself survive."""
    stored = image(layout, b"1")
    foreign = Index(manifests=(stored,), annotations={"by": "other"})
    (layout.root / "index.json").write_bytes(index_bytes(foreign))
    layout.tag({"app": stored})
    found = Index.parse((layout.root / "index.json").read_bytes())
    assert found.annotations == {"by": "other"}
    assert stored in found.manifests
    assert len(found.manifests) == 2


def test_the_index_does_not_depend_on_the_order_of_tagging(tmp_path: Path) -> None:
    """The same names give the same bytes."""
    seen = set()
    for order in (["a", "b", "c"], ["c", "a", "b"]):
        layout = Layout.create(tmp_path / order[0])
        for name in order:
            layout.tag({name: image(layout, name.encode())})
        seen.add((layout.root / "index.json").read_bytes())
    assert len(seen) == 1


def test_two_taggers_at_once_lose_nothing(layout: Layout) -> None:
    """Two processes set fifty names each, and a reader between them always reads a whole index."""
    stored = image(layout, b"1")
    code = (
        "layout = Layout.open(Path(sys.argv[1]))\n"
        "stored = layout.resolve('start')\n"
        "for number in range(50):\n"
        "    layout.tag({f'{sys.argv[2]}-{number}': stored})\n"
    )
    layout.tag({"start": stored})
    children = [python(code, layout.root, name) for name in ("a", "b")]
    reads = 0
    while any(child.poll() is None for child in children):
        assert "start" in layout.tags()
        reads += 1
    assert [child.returncode for child in children] == [0, 0]
    assert reads
    assert len(layout.tags()) == 101


def test_two_referrers_at_once_lose_nothing(layout: Layout) -> None:
    """Two processes attach ten artifacts each to one image; all twenty are listed."""
    subject = image(layout, b"1")
    layout.tag({"app": subject})
    for name in ("a", "b"):
        layout.tag(
            {
                f"{name}-{n}": artifact(layout, subject, "t", f"{name}{n}".encode())
                for n in range(10)
            }
        )
    code = (
        "layout = Layout.open(Path(sys.argv[1]))\n"
        "subject = layout.resolve('app').digest\n"
        "for number in range(10):\n"
        "    layout.add_referrer(subject, layout.resolve(f'{sys.argv[2]}-{number}'))\n"
    )
    children = [python(code, layout.root, name) for name in ("a", "b")]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    assert len(layout.referrers(subject.digest)) == 20


def test_a_kill_while_tagging_leaves_the_old_names(layout: Layout) -> None:
    """SIGKILL before the rename: the index is the old one, and the lock is free."""
    layout.tag({"app": image(layout, b"1")})
    child = python(
        "layout = Layout.open(Path(sys.argv[1]))\n"
        "stored = layout.resolve('app')\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "layout.tag({'web': stored})\n",
        layout.root,
    )
    assert child.wait(timeout=120) == -9
    assert list(layout.tags()) == ["app"]
    layout.tag({"web": layout.resolve("app")})
    assert list(layout.tags()) == ["app", "web"]


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"schemaVersion":2}'])
def test_a_broken_index_is_an_error_and_not_an_empty_store(layout: Layout, garbage: bytes) -> None:
    """A damaged `index.json` is never taken for a store without names, nor overwritten."""
    (layout.root / "index.json").write_bytes(garbage)
    for use in (layout.tags, lambda: layout.tag({"app": Descriptor.of("t", b"")})):
        with pytest.raises(UsageError):
            use()
    assert (layout.root / "index.json").read_bytes() == garbage


def test_a_missing_index_is_an_error(layout: Layout) -> None:
    """A store whose index was removed says that it is none."""
    (layout.root / "index.json").unlink()
    with pytest.raises(UsageError, match="is not an image layout"):
        layout.tags()


def test_referrers_are_found_by_subject_and_type(layout: Layout) -> None:
    """Listed under `sha256-<hex>`, filtered by artifact type, none for an image without any."""
    subject, other = image(layout, b"1"), image(layout, b"2")
    sbom = artifact(layout, subject, "sbom", b"s")
    report = artifact(layout, subject, "report", b"r")
    for one in (sbom, report):
        layout.add_referrer(subject.digest, one)
    assert layout.referrers(subject.digest) == (report, sbom)
    assert layout.referrers(subject.digest, "sbom") == (sbom,)
    assert layout.referrers(subject.digest, "none") == ()
    assert layout.referrers(other.digest) == ()
    assert f"sha256-{Digest(subject.digest).hex}" in layout.tags()


def test_adding_a_referrer_twice_changes_nothing(layout: Layout) -> None:
    """The second time is no change, so signing again is none."""
    subject = image(layout, b"1")
    sbom = artifact(layout, subject, "sbom", b"s")
    layout.add_referrer(subject.digest, sbom)
    before = (layout.root / "index.json").read_bytes()
    layout.add_referrer(subject.digest, sbom)
    assert (layout.root / "index.json").read_bytes() == before


def test_a_changed_list_of_referrers_is_refused(layout: Layout) -> None:
    """The list itself is a blob and is checked: evidence cannot be hidden by editing it."""
    subject = image(layout, b"1")
    layout.add_referrer(subject.digest, artifact(layout, subject, "sbom", b"s"))
    flip(layout.path(layout.resolve(f"sha256-{Digest(subject.digest).hex}").digest))
    with pytest.raises(DigestMismatch):
        layout.referrers(subject.digest)


def test_manifests_of_an_index_and_of_a_manifest(layout: Layout) -> None:
    """An index gives its platforms in order, a manifest gives itself."""
    one, two = image(layout, b"1"), image(layout, b"2")
    assert layout.manifests(listing(layout, two, one).digest) == (two, one)
    assert layout.manifests(one.digest) == (one,)


@pytest.mark.parametrize("content", [b"not json", b"[]", b"{}", b'{"manifests":5}'])
def test_what_is_no_image_has_no_manifests(layout: Layout, content: bytes) -> None:
    """Any other blob is refused."""
    with pytest.raises(UsageError):
        layout.manifests(layout.put(content, INDEX).digest)


def test_an_index_of_nothing_is_refused(layout: Layout) -> None:
    """Checking "every platform" of no platform would be a pass about nothing."""
    digest = listing(layout).digest
    for use in (layout.manifests, layout.verify_image):
        with pytest.raises(UsageError, match="lists no manifest"):
            use(digest)


def test_a_whole_image_is_verified(layout: Layout) -> None:
    """Every blob below is right: the platforms come back."""
    one, two = image(layout, b"1", b"2"), image(layout, b"3")
    assert layout.verify_image(listing(layout, one, two).digest) == (one, two)
    assert layout.verify_image(one.digest) == (one,)


@pytest.mark.parametrize("which", ["index", "manifest", "config", "first layer", "last layer"])
@pytest.mark.parametrize("damage", [flip, lambda path: path.unlink()], ids=["flip", "remove"])
def test_damage_anywhere_in_an_image_is_found(
    layout: Layout, which: str, damage: Callable[[Path], None]
) -> None:
    """One bit, or one blob, at any place: the image does not verify."""
    manifest = image(layout, b"first", b"last")
    index = listing(layout, image(layout, b"other"), manifest)
    parts = Manifest.parse(layout.read(manifest.digest))
    digest = {
        "index": index.digest,
        "manifest": manifest.digest,
        "config": parts.config.digest,
        "first layer": parts.layers[0].digest,
        "last layer": parts.layers[1].digest,
    }[which]
    damage(layout.path(digest))
    with pytest.raises((DigestMismatch, UsageError)):
        layout.verify_image(index.digest)


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_a_size_that_is_not_the_blobs_is_refused(layout: Layout, which: str) -> None:
    """A descriptor's size must be the blob's, in the index too."""
    config, layer = layout.put(b"{}", CONFIG), layout.put(b"x", LAYER_GZIP)

    def sized(one: Descriptor, name: str) -> Descriptor:
        size = one.size + (name == which)
        return Descriptor(media_type=one.media_type, digest=one.digest, size=size)

    parts = Manifest(config=sized(config, "config"), layers=(sized(layer, "layer"),))
    manifest = layout.put(manifest_bytes(parts), MANIFEST)
    index = listing(layout, sized(manifest, "manifest"))
    with pytest.raises(DigestMismatch, match="bytes long"):
        layout.verify_image(index.digest)
