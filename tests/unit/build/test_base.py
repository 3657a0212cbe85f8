"""The base layer of a miniature stack."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from tests.unit.build.conftest import NOW, STACK, Archive, Item, Progressed, make_stack

from lockgate.base.errors import DigestMismatch, UsageError
from lockgate.build import debian
from lockgate.build.base import BUNDLE, Base
from lockgate.build.debs import fetch
from lockgate.build.layer import write_layer
from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.stack_lock import StackLock

PLATFORM = "linux/amd64"
COPYRIGHT = (
    b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: Expat\n"
)

TINY = [
    Item("./", type=tarfile.DIRTYPE, mode=0o755),
    Item("./bin/", type=tarfile.DIRTYPE, mode=0o755),
    Item("./bin/sh", b"shell", mode=0o4755),
    Item("./lib/", type=tarfile.DIRTYPE, mode=0o755),
    Item("./lib/libtiny.so.1", b"library" * 10),
    Item("./lib64/ld.so", type=tarfile.SYMTYPE, link="/lib/libtiny.so.1"),
    Item("./tmp/", type=tarfile.DIRTYPE, mode=0o755),
    Item("./usr/bin/tiny", b"program", mode=0o755),
    Item("./usr/share/ca-certificates/mozilla/B.crt", b"-B-\n\n"),
    Item("./usr/share/ca-certificates/mozilla/A.crt", b"-A-"),
    Item("./usr/share/doc/tiny/copyright", COPYRIGHT),
    Item("./usr/share/doc/tiny/changelog.gz", b"long"),
    Item("./usr/share/man/man1/tiny.1.gz", b"manual"),
]
LIBTINY = [
    Item("./usr/lib/big.so", b"big" * (1 << 20)),
    Item("./usr/share/doc/libtiny", type=tarfile.SYMTYPE, link="tiny"),
]
RULES = """\
architectures: [amd64]
exclude: [usr/bin/*, usr/share/man, usr/share/ca-certificates, usr/share/doc/*/*]
keep: [usr/bin/tiny, usr/share/doc/*/copyright]
links: {usr/bin/python3: tiny}
"""


def locked(archive: Archive, text: str, cache: Path) -> tuple[StackLock, dict[str, Path]]:
    """Publish the archive, lock a stack on it, download its packages."""
    archive.publish()
    lock = debian.lock(
        make_stack(text),
        archive.mirrors,
        file=text.encode(),
        now=NOW,
        progress=Progressed(),
        keys=archive.keys,
    )
    return lock, fetch(lock, PLATFORM, archive.mirrors, cache, Progressed())


@pytest.fixture
def base(archive: Archive, tmp_path: Path) -> Base:
    """The base of two packages."""
    archive.add("tiny", TINY, depends="libtiny", version="1:1.0-1")
    archive.add("libtiny", LIBTINY, source="tiny")
    return Base(*made(archive, tmp_path))


def made(archive: Archive, tmp_path: Path) -> tuple[StackLock, str, dict[str, Path]]:
    """Return the arguments of `Base`."""
    lock, debs = locked(archive, STACK + RULES, tmp_path / "cache")
    return lock, PLATFORM, debs


def layer(base: Base, store: Path) -> tuple[str, dict[str, tarfile.TarInfo], dict[str, bytes]]:
    """Write the layer; return its digest, its members and the content of its files."""
    layout = Layout.create(store)
    descriptor = write_layer(layout, base.entries()).descriptor
    data = gzip.decompress(layout.path(descriptor.digest).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {one.name: one for one in archive}
        content = {
            name: file.read()
            for name, one in members.items()
            if one.isreg() and (file := archive.extractfile(one)) is not None
        }
    return descriptor.digest, members, content


def test_files(base: Base, tmp_path: Path) -> None:
    """Files lie in the merged `/usr`; what is excluded is absent, what is kept is there."""
    _, members, content = layer(base, tmp_path / "store")
    assert content["usr/lib/libtiny.so.1"] == b"library" * 10
    assert content["usr/lib/big.so"] == b"big" * (1 << 20)
    assert content["usr/bin/tiny"] == b"program"
    for name in ("usr/bin/sh", "bin/sh", "usr/share/man", "usr/share/doc/tiny/changelog.gz"):
        assert name not in members
    assert members["usr/lib64/ld.so"].linkname == "/lib/libtiny.so.1"
    assert members["tmp"].mode == 0o1777


def test_merged_usr(base: Base, tmp_path: Path) -> None:
    """The old folders are links into `/usr`, each where `/usr` has it."""
    _, members, _ = layer(base, tmp_path / "store")
    for name in ("bin", "lib", "lib64", "sbin"):
        assert members[name].issym()
        assert members[name].linkname == f"usr/{name}"
        assert members[f"usr/{name}"].isdir()


def test_no_lib64_without_need(archive: Archive, tmp_path: Path) -> None:
    """An architecture without `/lib64` gets no link to nowhere."""
    archive.add("tiny", [Item("./lib64", type=tarfile.SYMTYPE, link="usr/lib64"), *TINY[:4]])
    _, members, _ = layer(Base(*made(archive, tmp_path)), tmp_path / "store")
    assert "lib64" not in members
    assert "lib" in members


def test_users(base: Base, tmp_path: Path) -> None:
    """There is root and the user of the stack, and names are looked up in files and DNS."""
    _, _, content = layer(base, tmp_path / "store")
    names = [line.split(":")[0:3:2] for line in content["etc/passwd"].decode().splitlines()]
    assert names == [["root", "0"], ["nonroot", "65532"]]
    assert content["etc/group"] == b"root:x:0:\nnonroot:x:65532:\n"
    assert content["etc/nsswitch.conf"] == b"hosts: files dns\n"


def test_certificates(base: Base, tmp_path: Path) -> None:
    """Authorities are joined in the order of their names, each ending in one line break."""
    _, members, content = layer(base, tmp_path / "store")
    assert content[BUNDLE] == b"-A-\n-B-\n"
    assert "usr/share/ca-certificates" not in members


def test_links(base: Base, tmp_path: Path) -> None:
    """Links of the stack are made."""
    _, members, _ = layer(base, tmp_path / "store")
    assert members["usr/bin/python3"].linkname == "tiny"


def test_status(base: Base, tmp_path: Path) -> None:
    """Scanners find each package's control paragraph, and the sums of the files that are there."""
    _, members, content = layer(base, tmp_path / "store")
    folder = "var/lib/dpkg/status.d/"
    assert {name for name in members if name.startswith(folder)} == {
        f"{folder}tiny",
        f"{folder}tiny.md5sums",
        f"{folder}libtiny",
        f"{folder}libtiny.md5sums",
    }
    assert content[f"{folder}tiny"].startswith(b"Package: tiny\nVersion: 1:1.0-1\n")
    listed = [line.split()[1] for line in content[f"{folder}tiny.md5sums"].splitlines()]
    assert listed == [b"usr/lib/libtiny.so.1", b"usr/bin/tiny", b"usr/share/doc/tiny/copyright"]


def test_owners_and_times(base: Base, tmp_path: Path) -> None:
    """Everything belongs to root and has no time; nothing is setuid."""
    _, members, _ = layer(base, tmp_path / "store")
    assert {(one.uid, one.gid, one.mtime) for one in members.values()} == {(0, 0, 0)}
    assert not any(one.mode & 0o6000 for one in members.values())


def test_twice_the_same(archive: Archive, tmp_path: Path, base: Base) -> None:
    """The same lock gives the same bytes, from another cache folder too."""
    first, _, _ = layer(base, tmp_path / "one")
    lock, _ = locked(archive, STACK + RULES, tmp_path / "cache")
    debs = fetch(lock, PLATFORM, archive.mirrors, tmp_path / "other cache", Progressed())
    assert layer(Base(lock, PLATFORM, debs), tmp_path / "two")[0] == first


def test_packages(base: Base, tmp_path: Path) -> None:
    """Packages are described with licences, those of a shared document too, before or after the files."""
    before = base.packages()
    assert [one.name for one in before] == ["libtiny", "tiny"]
    assert {one.licences for one in before} == {("MIT",)}
    assert before[1].purl == "pkg:deb/debian/tiny@1:1.0-1?arch=amd64&distro=debian-13"
    assert (before[0].kind, before[0].source, before[0].architecture) == ("deb", "tiny", "amd64")
    layer(base, tmp_path / "store")
    assert base.packages() == before


def test_without_copyright(archive: Archive, tmp_path: Path) -> None:
    """A package without a copyright file has no asserted licence."""
    archive.add("tiny")
    assert Base(*made(archive, tmp_path)).packages()[0].licences == ("NOASSERTION",)


def test_conflict(archive: Archive, tmp_path: Path) -> None:
    """Two packages with different files at one path, one by its old name, are an error naming both."""
    archive.add("tiny", [Item("./lib/x", b"one")], depends="libtiny")
    archive.add("libtiny", [Item("./usr/lib/x", b"other")])
    base = Base(*made(archive, tmp_path))
    with pytest.raises(UsageError, match="`usr/lib/x` is in libtiny and in tiny"):
        base.packages()


def test_own_files_are_not_replaced(archive: Archive, tmp_path: Path) -> None:
    """A package cannot bring the image's users."""
    archive.add("tiny", [Item("./etc/passwd", b"root::0:0::/:/bin/sh\n")])
    base = Base(*made(archive, tmp_path))
    with pytest.raises(UsageError, match="`etc/passwd` is in tiny and in the image"):
        base.packages()


def test_changed_package(base: Base, archive: Archive, tmp_path: Path) -> None:
    """A package whose bytes changed since it was fetched is refused by name when it is used."""
    lock, platform, debs = made(archive, tmp_path)
    debs["tiny"].write_bytes(debs["tiny"].read_bytes() + b"x")
    with pytest.raises(DigestMismatch, match=r"tiny 1:1\.0-1 in the cache"):
        Base(lock, platform, debs).packages()
