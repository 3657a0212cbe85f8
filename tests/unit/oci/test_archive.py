"""Archives: the same bytes every time, read in place, and nothing in them that two readers see differently."""

from __future__ import annotations

import fcntl
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.oci.images import describe, everything, noise, opener

from lockgate.base.canonical import encode
from lockgate.base.errors import (
    DigestMismatch,
    LockgateError,
    StorageError,
    TrustError,
    UsageError,
)
from lockgate.oci import transfer
from lockgate.oci.archive import Archive
from lockgate.oci.archive_target import ArchiveTarget
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, Descriptor, Index, index_bytes
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKER = b'{"imageLayoutVersion":"1.0.0"}'
EMPTY = index_bytes(Index(manifests=()))


def image(path: Path) -> Path:
    """Write an archive of an image with evidence; return its path."""
    layout = Layout.create(path / "store")
    root = everything(layout)
    with ArchiveTarget(path / "app.tar") as target:
        work = transfer.plan(LayoutStore(layout, "x"), target, root.digest, "app")
        transfer.move(work, lambda *_: None)
    return path / "app.tar"


def packed(
    path: Path, *entries: tarfile.TarInfo | tuple[str, bytes], kind: int | None = None
) -> Path:
    """Write a tar archive of these entries, with the two files that every layout has."""
    place = path / "made.tar"
    form = tarfile.USTAR_FORMAT if kind is None else kind
    with tarfile.open(place, "w", format=form) as archive:
        for entry in (("oci-layout", MARKER), ("index.json", EMPTY), *entries):
            if isinstance(entry, tuple):
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
            else:
                archive.addfile(entry)
    return place


def entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """Return an entry that is no file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    """Two archives of an image are equal, whenever and wherever they were made."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert image(tmp_path / "a").read_bytes() == image(tmp_path / "b").read_bytes()


def test_the_entries(tmp_path: Path) -> None:
    """Sorted, without time and owner, readable by everybody."""
    with tarfile.open(image(tmp_path)) as archive:
        entries = archive.getmembers()

    names = [one.name for one in entries]
    assert names == sorted(names)
    assert names[-2:] == ["index.json", "oci-layout"]
    assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in entries} == {
        (0, 0, 0, "", 0o644)
    }


def test_a_layout_by_the_book(tmp_path: Path) -> None:
    """Unpacked by tar, it is an image layout that Lockgate reads, evidence included."""
    place = image(tmp_path)
    with tarfile.open(place) as archive:
        for member in archive.getmembers():
            path = tmp_path / "unpacked" / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content := archive.extractfile(member):
                path.write_bytes(content.read())

    layout = Layout.open(tmp_path / "unpacked")

    root = layout.resolve("app").digest
    assert len(layout.verify_image(root)) == 2
    assert len(layout.referrers(root)) == 2


def test_what_it_replaces_is_replaced_at_once(tmp_path: Path) -> None:
    """An archive that cannot be finished leaves the one that was there, and nothing beside it."""
    place = image(tmp_path)
    before = place.read_bytes()
    data = noise(1000, "x")
    with ArchiveTarget(place) as target:
        target.put_blob(describe(data), opener(data[:-1], of=data))
        with pytest.raises(DigestMismatch):
            target.finish()

    assert place.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["app.tar", "store"]


def test_what_a_killed_run_left_is_written_over(tmp_path: Path) -> None:
    """The part that a killed run left has one name, and does not stay."""
    (tmp_path / ".app.tar.partial").write_bytes(b"half" * 100_000)

    place = image(tmp_path)

    with Archive(place) as archive:
        assert archive.only().size
    assert not (tmp_path / ".app.tar.partial").exists()


def test_two_writers(tmp_path: Path) -> None:
    """While one run writes an archive, another one does not."""
    with (tmp_path / ".app.tar.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another run writes"):
            image(tmp_path)


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's link under the name of the part does not lead elsewhere."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".app.tar.partial").symlink_to(tmp_path / "victim")

    with pytest.raises(StorageError):
        image(tmp_path)
    assert (tmp_path / "victim").read_text() == "precious"


def test_nothing_before_it_is_written(tmp_path: Path) -> None:
    """Until the end, nothing is there to be read."""
    data = noise(10, "x")
    with ArchiveTarget(tmp_path / "app.tar") as target:
        target.put_blob(describe(data), opener(data))
        assert not target.has(describe(data))
        assert target.resolve("app") is None
        with pytest.raises(UsageError), target.open(describe(data)):
            pass
    assert not (tmp_path / "app.tar").exists()


def test_a_blob_that_is_too_large(tmp_path: Path) -> None:
    """More than a tar header can say is refused before anything is written."""
    huge = Descriptor(media_type="x/y", digest=describe(b"x").digest, size=9 << 30)
    with ArchiveTarget(tmp_path / "app.tar") as target:
        target.put_blob(huge, opener(b"x"))
        with pytest.raises(UsageError, match="8 GiB"):
            target.finish()


def test_blobs_are_checked_when_read(tmp_path: Path) -> None:
    """A blob whose bytes were changed in the file is refused as it is read."""
    place = image(tmp_path)
    data = bytearray(place.read_bytes())
    blob = describe(noise(1000, "app base"))
    at = data.index(noise(1000, "app base"))
    data[at] ^= 1
    place.write_bytes(data)

    with Archive(place) as archive, archive.open(blob) as pieces, pytest.raises(DigestMismatch):
        list(pieces)


def test_manifests_are_checked_when_read(tmp_path: Path) -> None:
    """The same for a manifest."""
    place = image(tmp_path)
    with Archive(place) as archive:
        root = archive.only()
        manifest = archive.manifest(root.digest)
    assert manifest
    place.write_bytes(place.read_bytes().replace(manifest, manifest.replace(b"amd64", b"AMD64")))

    with Archive(place) as archive, pytest.raises(DigestMismatch):
        archive.manifest(root.digest)


REFUSED: list[tuple[str, Callable[[], tarfile.TarInfo | tuple[str, bytes]]]] = [
    ("leaves the archive", lambda: ("../escape", b"x")),
    ("leaves the archive", lambda: ("blobs/../../escape", b"x")),
    ("leaves the archive", lambda: ("/etc/passwd", b"x")),
    ("leaves the archive", lambda: entry("../folder", tarfile.DIRTYPE)),
    ("is a link", lambda: entry("blobs/sha256/a", tarfile.SYMTYPE, "/etc/passwd")),
    ("is a link", lambda: entry("blobs/sha256/a", tarfile.LNKTYPE, "index.json")),
    ("is a link", lambda: entry("device", tarfile.CHRTYPE)),
    ("is a link", lambda: entry("device", tarfile.BLKTYPE)),
    ("is a link", lambda: entry("pipe", tarfile.FIFOTYPE)),
    ("is a link", lambda: entry("long", tarfile.GNUTYPE_SPARSE)),
    ("stands in it twice", lambda: ("index.json", b"{}")),
    ("stands in it twice", lambda: ("./oci-layout", MARKER)),
]


@pytest.mark.parametrize(("words", "make"), REFUSED)
def test_what_no_layout_holds(
    words: str, make: Callable[[], tarfile.TarInfo | tuple[str, bytes]], tmp_path: Path
) -> None:
    """Ways out of the archive, links, devices and second files of a name are refused, exit code 4."""
    with pytest.raises(TrustError, match=words) as raised:
        Archive(packed(tmp_path, make()))
    assert raised.value.exit_code == 4
    assert raised.value.hint


@pytest.mark.parametrize("key", ["path", "size", "linkpath", "GNU.sparse.size"])
def test_a_header_that_changes_an_entry(key: str, tmp_path: Path) -> None:
    """Extended headers with another name or size are refused: readers differ about them."""
    info = tarfile.TarInfo("blobs/sha256/x")
    info.pax_headers = {key: "7"}
    info.size = 0
    place = packed(tmp_path, info, kind=tarfile.PAX_FORMAT)

    with pytest.raises(TrustError, match="changes the name or size"):
        Archive(place)


@pytest.mark.parametrize(
    ("magic", "end"),
    [(b"ustar  \0", b""), (bytes(8), b""), (b"ustar\x0000", b"tar\0")],
    ids=["GNU", "V7", "star"],
)
def test_a_name_that_only_some_readers_put_together(
    magic: bytes, end: bytes, tmp_path: Path
) -> None:
    """The first half of a long name is that in POSIX's form alone; elsewhere other things lie there, or nothing."""
    info = tarfile.TarInfo("index.json")
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[257:265], block[345:347] = magic, b"x/"
    block[512 - len(end) :] = end
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    place = packed(tmp_path)
    data = place.read_bytes()
    place.write_bytes(bytes(block) + data)

    with pytest.raises(TrustError, match="has a name that readers differ about"):
        Archive(place)


def test_headers_and_files_that_mean_nothing_here(tmp_path: Path) -> None:
    """Times in extended headers, folders, and docker's own files beside a layout are passed over."""
    info = tarfile.TarInfo("manifest.json")
    info.pax_headers = {"mtime": "1.5", "comment": "hello"}
    folder = entry("blobs/sha256/", tarfile.DIRTYPE)
    place = packed(tmp_path, folder, info, ("repositories", b"{}"), kind=tarfile.PAX_FORMAT)

    with Archive(place) as archive:
        assert archive.names == []


def test_names_with_a_dot_in_front(tmp_path: Path) -> None:
    """`./index.json`, as `tar -c .` writes it, is `index.json`."""
    place = tmp_path / "dotted.tar"
    with tarfile.open(place, "w") as archive:
        for name, data in (("./oci-layout", MARKER), ("./index.json", EMPTY)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

    with Archive(place) as archive:
        assert archive.names == []


@pytest.mark.parametrize("cut", [1, 511, 512, 1024, 5000])
def test_cut_off(cut: int, tmp_path: Path) -> None:
    """An archive that ends early is not read as a smaller one."""
    place = image(tmp_path)
    data = place.read_bytes()
    place.write_bytes(data[:-cut] if cut > 1024 else data[: -1024 - cut])

    with pytest.raises(UsageError, match="is not a whole tar archive"):
        Archive(place)


def test_something_after_the_end(tmp_path: Path) -> None:
    """What follows the end is seen by some readers and not by others: refused."""
    place = image(tmp_path)
    place.write_bytes(place.read_bytes() + b"x" * 512)

    with pytest.raises(UsageError, match="does not end where it should"):
        Archive(place)


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 512, b"\x1f\x8b" + b"\0" * 600, b"PK" * 600])
def test_no_archive(data: bytes, tmp_path: Path) -> None:
    """Nothing, noise, and archives of other kinds are named as what they are not."""
    (tmp_path / "x.tar").write_bytes(data)

    with pytest.raises(UsageError) as raised:
        Archive(tmp_path / "x.tar")
    assert raised.value.hint


def test_not_there(tmp_path: Path) -> None:
    """A path that is none is named."""
    with pytest.raises(UsageError, match=r"none\.tar cannot be read"):
        Archive(tmp_path / "none.tar")


@pytest.mark.parametrize(
    ("index", "words"),
    [(b"{}", "is not valid"), (b"[", "JSON"), (b" " * (5 << 20), "is larger than")],
)
def test_an_index_that_is_none(index: bytes, words: str, tmp_path: Path) -> None:
    """A list of names that cannot be read is refused."""
    place = tmp_path / "x.tar"
    with tarfile.open(place, "w") as archive:
        for name, data in (("oci-layout", MARKER), ("index.json", index)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

    with pytest.raises(UsageError, match=words):
        Archive(place)


def named(path: Path, *names: str, digests: int = 1) -> Path:
    """Write an archive whose index has these names, over so many images."""
    described = [
        Descriptor(
            media_type=INDEX,
            digest=describe(b"%d" % (number % digests)).digest,
            size=1,
            annotations={"org.opencontainers.image.ref.name": name} if name else {},
        )
        for number, name in enumerate(names)
    ]
    index = index_bytes(Index(manifests=tuple(described)))
    place = path / "named.tar"
    with tarfile.open(place, "w") as archive:
        for name, data in (("oci-layout", MARKER), ("index.json", index)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return place


@pytest.mark.parametrize("names", [("app",), ("",), ("app", "1.0"), ("app", "sha256-x.sig")])
def test_the_one_image(names: tuple[str, ...], tmp_path: Path) -> None:
    """An archive holds one image, whatever its names, and whether it has any."""
    with Archive(named(tmp_path, *names)) as archive:
        assert archive.only().digest == describe(b"0").digest


@pytest.mark.parametrize(("names", "digests"), [((), 1), (("a", "b"), 2), (("", ""), 2)])
def test_none_or_several(names: tuple[str, ...], digests: int, tmp_path: Path) -> None:
    """With none, or with several, it is not clear what is meant."""
    place = named(tmp_path, *names, digests=digests)
    with Archive(place) as archive, pytest.raises(UsageError, match="images"):
        archive.only()


def test_one_name_for_two_images(tmp_path: Path) -> None:
    """A name that stands twice shows two readers two images."""
    with pytest.raises(TrustError, match="gives one name to two images"):
        Archive(named(tmp_path, "app", "app", digests=2))


def test_another_version(tmp_path: Path) -> None:
    """A layout of a version that is not known is not read."""
    place = tmp_path / "x.tar"
    with tarfile.open(place, "w") as archive:
        data = encode({"imageLayoutVersion": "2.0.0"})
        info = tarfile.TarInfo("oci-layout")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))

    with pytest.raises(UsageError, match="another version"):
        Archive(place)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """The bytes of an archive, and the digest of its image."""
    folder = tmp_path_factory.mktemp("whole")
    data = image(folder).read_bytes()
    return data, Layout.open(folder / "store").resolve("app").digest


@settings(max_examples=60)
@given(data=st.data())
def test_any_change_is_an_error_or_harmless(
    data: st.DataObject, whole: tuple[bytes, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One changed byte anywhere: an error of the tree, or the very same image; never another one."""
    folder = tmp_path_factory.mktemp("fuzz")
    content = bytearray(whole[0])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "app.tar").write_bytes(content)
    empty = Layout.create(folder / "empty")
    try:
        with Archive(folder / "app.tar") as archive:
            work = transfer.plan(archive, LayoutStore(empty, "x"), archive.only().digest, "app")
            transfer.move(work, lambda *_: None)
    except LockgateError:
        return
    assert empty.resolve("app").digest == whole[1]
    assert len(empty.verify_image(whole[1])) == 2


def test_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive of more entries than can be meant is not read to its end."""
    from lockgate.oci import archive

    monkeypatch.setattr(archive, "_MAX_ENTRIES", 5)
    with pytest.raises(UsageError, match="too many"):
        Archive(packed(tmp_path, *[(f"file{number}", b"") for number in range(10)]))


def test_the_file_is_closed_after_an_error(tmp_path: Path) -> None:
    """A file that is refused does not stay open."""
    (tmp_path / "x.tar").write_bytes(b"x" * 600)
    before = set(os.listdir("/proc/self/fd"))

    with pytest.raises(UsageError):
        Archive(tmp_path / "x.tar")
    assert set(os.listdir("/proc/self/fd")) <= before
