"""Layers: the same entries give the same bytes, readable by everyone, and nothing leaves the root."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.base.errors import StorageError, UsageError
from lockgate.build.layer import Entry, tar_stream, write_layer, zlib_is_reference
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import LAYER_GZIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

ENTRIES = (
    Entry("etc", "dir", 0o755),
    Entry("etc/hosts", "file", 0o644, b"127.0.0.1 localhost\n"),
    Entry("usr/bin/tool", "file", 0o4755, b"#!/bin/false\n"),
    Entry("usr/bin/alias", "hardlink", 0o644, link="usr/bin/tool"),
    Entry("bin", "symlink", 0o777, link="usr/bin"),
    Entry("tmp", "dir", 0o1777),
    Entry("empty", "file", 0o600),
    Entry("a/" * 60 + "deep", "file", 0o644, b"x" * 513),
    Entry("name-ä-☃", "file", 0o644, b"y" * 512),
    Entry("link-ä", "symlink", 0o777, link="é" * 120),
)

TAR = "71389f8efc571186da385f82ba83f43835eea7ce533ba2944fcea317dbeee155"
"""sha256 of the archive of ENTRIES."""

GZIP = "92c7bf3a9817fc1d965a697d2102092116b41742cc93b51df5386abe65179ed2"
"""sha256 of the same, compressed by the reference zlib."""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    return Layout.create(tmp_path / "store")


def archive(entries: Iterable[Entry]) -> bytes:
    """The whole archive."""
    return b"".join(tar_stream(entries))


def members(data: bytes) -> list[tarfile.TarInfo]:
    """What the library's reader finds in an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()


def contents(data: bytes) -> dict[str, bytes]:
    """The content of files in an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {one.name: tar.extractfile(one) for one in tar if one.isreg()}
        return {name: file.read() for name, file in found.items() if file is not None}


def refused(*entries: Entry) -> UsageError:
    """The error for entries that must not become a layer."""
    with pytest.raises(UsageError) as caught:
        archive(entries)
    assert caught.value.hint
    return caught.value


def test_the_bytes_are_the_ones_they_always_were() -> None:
    """No version of Lockgate or Python changes the archive: every digest would change with it."""
    assert hashlib.sha256(archive(ENTRIES)).hexdigest() == TAR


def test_the_compressed_bytes_are_the_ones_they_always_were(layout: Layout) -> None:
    """With the reference zlib the blob's digest is fixed too; another zlib says that it is another."""
    found = write_layer(layout, ENTRIES)
    assert found.diff_id == f"sha256:{TAR}"
    assert (found.descriptor.digest == f"sha256:{GZIP}") is zlib_is_reference()


def test_the_layer_is_described_as_it_lies_in_the_store(layout: Layout) -> None:
    """Media type, digest and size are those of the blob, diff_id is that of the archive in it."""
    found = write_layer(layout, ENTRIES)
    blob = layout.read(found.descriptor.digest)
    assert found.descriptor.media_type == LAYER_GZIP
    assert found.descriptor.size == len(blob)
    assert gzip.decompress(blob) == archive(ENTRIES)
    assert found.diff_id == "sha256:" + hashlib.sha256(gzip.decompress(blob)).hexdigest()


def test_the_gzip_frame_is_ours(layout: Layout) -> None:
    """No time, no name, no operating system in the head; checksum and length at the end."""
    blob = layout.read(write_layer(layout, ENTRIES).descriptor.digest)
    plain = archive(ENTRIES)
    assert blob[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert blob[-8:] == zlib.crc32(plain).to_bytes(4, "little") + len(plain).to_bytes(4, "little")
    unpack = zlib.decompressobj(wbits=31)
    assert unpack.decompress(blob) == plain
    assert unpack.eof
    assert unpack.unused_data == b""


def test_the_archive_is_read_by_others() -> None:
    """Names, kinds, modes, targets and contents are what was asked for, in the order given."""
    found = {one.name: one for one in members(archive(ENTRIES))}
    assert found["etc/hosts"].mode == 0o644
    assert found["usr/bin/tool"].mode == 0o4755
    assert found["tmp"].mode == 0o1777
    assert found["tmp"].isdir()
    assert (found["usr/bin/alias"].islnk(), found["usr/bin/alias"].linkname) == (
        True,
        "usr/bin/tool",
    )
    assert (found["bin"].issym(), found["bin"].linkname) == (True, "usr/bin")
    assert found["link-ä"].linkname == "é" * 120
    read = contents(archive(ENTRIES))
    assert {one.path: one.data for one in ENTRIES if one.kind == "file"} == read
    assert [one.name for one in members(archive(ENTRIES)) if "a/" not in one.name][:3] == [
        "etc",
        "etc/hosts",
        "usr",
    ]


def test_nothing_of_this_machine_is_in_the_archive() -> None:
    """Times and owners are zero, names of owners empty."""
    for one in members(archive(ENTRIES)):
        assert (one.mtime, one.uid, one.gid, one.uname, one.gname) == (0, 0, 0, "", "")


def test_missing_folders_come_before_their_first_child() -> None:
    """Each parent stands once, with mode 0755, in front."""
    found = members(archive([Entry("a/b/c", "file", 0o600), Entry("a/b/d", "file", 0o600)]))
    assert [(one.name, one.mode) for one in found] == [
        ("a", 0o755),
        ("a/b", 0o755),
        ("a/b/c", 0o600),
        ("a/b/d", 0o600),
    ]


def test_a_folder_may_stand_twice_and_the_first_counts() -> None:
    """Many packages name `/usr`: once in the archive is enough."""
    found = members(archive([Entry("a", "dir", 0o700), Entry("a", "dir", 0o755)]))
    assert [(one.name, one.mode) for one in found] == [("a", 0o700)]


def test_the_order_is_the_callers() -> None:
    """Entries are not sorted: whoever gives them in one order gets one digest."""
    one, two = Entry("b", "file", 0o644, b"1"), Entry("a", "file", 0o644, b"2")
    assert [found.name for found in members(archive([one, two]))] == ["b", "a"]
    assert archive([one, two]) != archive([two, one])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../x",
        "a/..",
        ".",
        "./a",
        "a/.",
        "a//b",
        "a/",
        "a\0b",
    ],
)
@pytest.mark.parametrize("kind", ["file", "dir", "symlink", "hardlink"])
def test_a_path_that_leaves_the_root_is_refused(path: str, kind: str) -> None:
    """Absolute paths, `.`, `..`, empty parts and NUL are no paths in an image, whatever lies there."""
    error = refused(Entry(path, kind, 0o644, link="x"))  # type: ignore[arg-type]
    assert repr(path) in error.message


@pytest.mark.parametrize("first", ["file", "symlink", "dir"])
@pytest.mark.parametrize("second", ["file", "symlink"])
def test_a_path_that_stands_twice_is_refused(first: str, second: str) -> None:
    """Two readers would keep different ones."""
    twice = [Entry("a/b", kind, 0o644, link="x") for kind in (first, second)]  # type: ignore[arg-type]
    assert "stands twice" in refused(*twice).message


def test_a_folder_in_place_of_a_file_is_refused() -> None:
    """A folder is tolerated twice, but not where a file is."""
    refused(Entry("a", "file", 0o644), Entry("a", "dir", 0o755))


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_nothing_lies_below_what_is_no_folder(kind: str) -> None:
    """Below a file is nowhere; below a link is somewhere else, perhaps outside."""
    above = Entry("a", kind, 0o644, link="/etc")  # type: ignore[arg-type]
    assert "which is no folder" in refused(above, Entry("a/passwd", "file", 0o644)).message


@pytest.mark.parametrize("target", ["", "b", "../a", "/a", "dir", "link"])
def test_a_hardlink_points_at_a_file_before_it(target: str) -> None:
    """Outside, absent, later, a folder, a link: no target."""
    before = (
        Entry("a", "file", 0o644),
        Entry("dir", "dir", 0o755),
        Entry("link", "symlink", 0o777, link="a"),
    )
    hard = Entry("hard", "hardlink", 0o644, link=target)
    assert "is a hardlink to" in refused(*before, hard, Entry("b", "file", 0o644)).message


@pytest.mark.parametrize("announced", [0, 2, 4, 1000])
def test_another_size_than_announced_is_refused(layout: Layout, announced: int) -> None:
    """A file that grew or shrank while it was read makes no layer."""
    entry = Entry("a", "file", 0o644, lambda: [b"x", b"yz"], announced)
    with pytest.raises(UsageError, match=f"has 3 bytes, {announced} were announced"):
        write_layer(layout, [entry])
    assert list((layout.root / "blobs/sha256").iterdir()) == []


def test_an_error_of_the_entries_leaves_nothing(layout: Layout) -> None:
    """An error while entries are made passes unchanged, and no blob stays."""

    def entries() -> Iterator[Entry]:
        yield Entry("a", "file", 0o644, b"x")
        raise StorageError("mine")

    with pytest.raises(StorageError, match="mine"):
        write_layer(layout, entries())
    assert list((layout.root / "blobs/sha256").iterdir()) == []


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=130
).filter(lambda text: text not in (".", ".."))


@given(
    st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=2000), max_size=5
    )
)
def test_any_names_and_contents_are_read_back(files: dict[str, bytes]) -> None:
    """Long names, blanks, line feeds and all of Unicode survive."""
    paths = [path for path in files if not any(other.startswith(path + "/") for other in files)]
    found = contents(archive(Entry(path, "file", 0o644, files[path]) for path in paths))
    assert found == {path: files[path] for path in paths}


def test_a_name_that_is_not_utf8_is_kept() -> None:
    """A file name of any bytes comes back as the same bytes."""
    name = os.fsdecode(b"caf\xe9")
    assert [one.name for one in members(archive([Entry(name, "file", 0o644)]))] == [name]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.lists(st.integers(1, 400_000), max_size=8))
def test_the_pieces_do_not_count(layout: Layout, cuts: Sequence[int]) -> None:
    """However a file's bytes are cut when they are read, archive and blob are the same."""
    data = hashlib.shake_256(b"seed").digest(700_000) + b"zero" * 50_000

    def pieces() -> Iterator[bytes]:
        rest = data
        for cut in cuts:
            yield rest[:cut]
            rest = rest[cut:]
        yield rest

    whole = write_layer(layout, [Entry("a", "file", 0o644, data)])
    assert write_layer(layout, [Entry("a", "file", 0o644, pieces, len(data))]) == whole


VARIATION = """
import json, os, sys
os.umask(int(sys.argv[2], 8))
from pathlib import Path
from lockgate.build.layer import Entry, write_layer
from lockgate.oci.layout import Layout
entries = [Entry(*one[:3], one[3].encode(), 0, one[4]) for one in json.load(sys.stdin)]
print(write_layer(Layout.create(Path(sys.argv[1])), entries))
"""


@pytest.mark.parametrize(
    ("umask", "variables"),
    [
        ("077", {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1", "LC_ALL": "C"}),
        ("000", {"TZ": "America/St_Johns", "PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8"}),
    ],
)
def test_the_surroundings_do_not_count(
    tmp_path: Path, layout: Layout, umask: str, variables: dict[str, str]
) -> None:
    """Another process with another umask, time zone, locale, folder and hash seed: the same layer."""
    plain = [(*one[:3], bytes(one.data).decode(), one.link) for one in ENTRIES if one.data != b""]  # type: ignore[arg-type]
    here = [
        Entry(path, kind, mode, data.encode(), 0, link) for path, kind, mode, data, link in plain
    ]
    done = subprocess.run(
        [sys.executable, "-c", VARIATION, "other", umask],
        input=json.dumps(plain),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == str(write_layer(layout, here))


def zeros(total: int) -> Callable[[], Iterator[bytes]]:
    """Yield zeros in pieces of 1 MiB."""
    piece = bytes(1 << 20)

    def pieces() -> Iterator[bytes]:
        for _ in range(total >> 20):
            yield piece

    return pieces


def test_memory_does_not_grow_with_the_layer(layout: Layout) -> None:
    """A file of 300 MiB passes through less than 20 MB."""
    size = 300 << 20
    tracemalloc.start()
    try:
        found = write_layer(layout, [Entry("big", "file", 0o644, zeros(size), size)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert found.descriptor.size < 1_000_000


def test_a_file_beyond_8_gib_has_its_size() -> None:
    """Where the old header cannot hold the size, an extended one does."""
    head = next(
        piece for piece in tar_stream([Entry("big", "file", 0o644, list, 9 << 30)]) if piece
    )
    assert tarfile.TarInfo.frombuf(head[:512], "utf-8", "strict").type == tarfile.XHDTYPE
    assert b"size=9663676416\n" in head


def test_the_zlib_is_known() -> None:
    """The reference implementation is recognized by what it writes."""
    if zlib.ZLIB_RUNTIME_VERSION.endswith("zlib-ng"):
        assert not zlib_is_reference()
    else:
        assert zlib_is_reference(), zlib.ZLIB_RUNTIME_VERSION


def test_another_zlib_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid output with other bytes is not the reference's."""
    real = zlib.compress
    monkeypatch.setattr(zlib, "compress", lambda data, level: real(data, level + 1))
    assert not zlib_is_reference()
