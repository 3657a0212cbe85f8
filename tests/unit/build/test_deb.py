"""Debian packages as streams of entries."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.build.conftest import PACKERS, Item, ar, make_deb, tar

from lockgate.base.errors import StorageError, UsageError
from lockgate.build.deb import control, control_files, entries

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.layer import Entry

ITEMS = [
    Item("./", type=tarfile.DIRTYPE, mode=0o755),
    Item("./usr/", type=tarfile.DIRTYPE, mode=0o755),
    Item("./usr/x", b"content", mode=0o4755),
    Item("./usr/link", type=tarfile.SYMTYPE, link="../etc/x"),
    Item("./usr/hard", type=tarfile.LNKTYPE, link="./usr/x"),
    Item("./tmp/", type=tarfile.DIRTYPE, mode=0o3777),
    Item("./" + "long/" * 40 + "name", b"deep"),
]


def write(path: Path, data: bytes) -> Path:
    """Write a package and return its path."""
    path.write_bytes(data)
    return path


def read(path: Path) -> list[Entry]:
    """Return all entries with their content read."""
    found = []
    for entry in entries(path):
        data = entry.data if isinstance(entry.data, bytes) else b"".join(entry.data())
        found.append(entry._replace(data=data))
    return found


@pytest.mark.parametrize("packing", PACKERS)
def test_entries(tmp_path: Path, packing: str) -> None:
    """Files, folders and links come in the package's order, however it is packed."""
    found = read(write(tmp_path / "x.deb", make_deb(items=ITEMS, packing=packing)))
    assert [(one.kind, one.path, one.link) for one in found] == [
        ("dir", "usr", ""),
        ("file", "usr/x", ""),
        ("symlink", "usr/link", "../etc/x"),
        ("hardlink", "usr/hard", "usr/x"),
        ("dir", "tmp", ""),
        ("file", "long/" * 40 + "name", ""),
    ]
    assert found[1].data == b"content"


def test_setuid_is_dropped(tmp_path: Path) -> None:
    """Setuid and setgid go, since everything belongs to root; the sticky bit of a folder stays."""
    found = read(write(tmp_path / "x.deb", make_deb(items=ITEMS)))
    assert {one.path: one.mode for one in found if one.kind in ("file", "dir")} == {
        "usr": 0o755,
        "usr/x": 0o755,
        "tmp": 0o1777,
        "long/" * 40 + "name": 0o644,
    }


@pytest.mark.parametrize("name", ["../x", "./usr/../../x", "/etc/x", "./usr//x", "usr/.."])
def test_paths_that_leave(tmp_path: Path, name: str) -> None:
    """A path that could leave the root is refused."""
    path = write(tmp_path / "x.deb", make_deb(items=[Item(name, b"x")]))
    with pytest.raises(UsageError, match="leaves the image's root"):
        read(path)


def test_hard_link_that_leaves(tmp_path: Path) -> None:
    """So is the target of a hard link."""
    items = [Item("./x", type=tarfile.LNKTYPE, link="../etc/shadow")]
    with pytest.raises(UsageError, match="leaves the image's root"):
        read(write(tmp_path / "x.deb", make_deb(items=items)))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(tmp_path: Path, kind: bytes) -> None:
    """Devices and pipes are refused."""
    path = write(tmp_path / "x.deb", make_deb(items=[Item("./dev/x", type=kind)]))
    with pytest.raises(UsageError, match="`dev/x` is a device or a pipe"):
        read(path)


def test_large_files_stream(tmp_path: Path) -> None:
    """A file of 48 MB passes through in a few megabytes of memory."""
    path = write(tmp_path / "x.deb", make_deb(items=[Item("./big", bytes(48 << 20))]))
    tracemalloc.start()
    try:
        (entry,) = entries(path)
        assert callable(entry.data)
        for entry in entries(path):
            assert callable(entry.data)
            assert sum(map(len, entry.data())) == entry.size == 48 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_content_that_is_not_read(tmp_path: Path) -> None:
    """An entry whose content nobody reads does not disturb the next one."""
    items = [Item("./big", bytes(3 << 20)), Item("./small", b"x")]
    path = write(tmp_path / "x.deb", make_deb(items=items))
    assert [one.path for one in entries(path)] == ["big", "small"]


def test_control(tmp_path: Path) -> None:
    """The control file's fields are found by lower-case name."""
    path = write(tmp_path / "x.deb", make_deb("tiny", [Item("./a", b"1")], depends="libc6"))
    assert control(path) == {
        "package": "tiny",
        "version": "1.0-1",
        "architecture": "amd64",
        "depends": "libc6",
    }
    assert control_files(path)["md5sums"].endswith(b"  a\n")


def test_no_control(tmp_path: Path) -> None:
    """A package without a control file is refused."""
    members = [("debian-binary", b"2.0\n"), ("control.tar", tar([Item("./other", b"x")]))]
    with pytest.raises(UsageError, match="has no control file"):
        control(write(tmp_path / "x.deb", ar(members)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an archive",
        ar([]),
        ar([("debian-binary", b"2.0\n")]),
        ar([("data.tar.lzma", b"")]),
        ar([("data.tar.xz", b"not xz")]),
        ar([("data.tar.gz", b"not gzip")]),
        ar([("data.tar.zst", b"not zstd")]),
        ar([("data.tar.xz", PACKERS[".xz"](b"not tar" * 100))]),
        b"!<arch>\n" + b"x" * 30,
        make_deb(items=ITEMS)[:-40],
    ],
)
def test_damaged(tmp_path: Path, data: bytes) -> None:
    """What is not a package is refused with its name and what to do."""
    with pytest.raises(UsageError, match=r"x\.deb is not a readable Debian package") as caught:
        read(write(tmp_path / "x.deb", data))
    assert "remove" in caught.value.hint


def test_absent(tmp_path: Path) -> None:
    """A file that is not there is a storage error."""
    with pytest.raises(StorageError, match="No such file"):
        read(tmp_path / "gone.deb")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(packing=st.sampled_from(sorted(PACKERS)), data=st.data())
def test_any_changed_byte(tmp_path: Path, packing: str, data: st.DataObject) -> None:
    """Whatever byte changes, the package is read or refused; nothing else happens."""
    changed = bytearray(make_deb(items=ITEMS, packing=packing))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    path = write(tmp_path / "x.deb", bytes(changed))
    for action in (read, control):
        with contextlib.suppress(UsageError):
            action(path)


@pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb, the oracle, is not installed"
)
def test_dpkg_reads_the_miniature(tmp_path: Path) -> None:
    """The miniature packages of these tests are packages to dpkg too."""
    path = write(tmp_path / "x.deb", make_deb("tiny", ITEMS[:4]))
    command = ["dpkg-deb", "--show", "--showformat", "${Package} ${Version}", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=20)
    assert done.stdout == b"tiny 1.0-1"
