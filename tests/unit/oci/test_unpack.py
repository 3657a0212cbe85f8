"""Unpacking: what images may do to a folder, and what they may not."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import (
    DigestMismatch,
    LockgateError,
    StorageError,
    TrustError,
    UsageError,
)
from lockgate.build.layer import Entry, Layer, write_layer
from lockgate.oci.entries import Limits
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, LAYER_GZIP, MANIFEST, Descriptor, Manifest, manifest_bytes
from lockgate.oci.unpack import prune, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOT = os.geteuid() == 0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    return Layout.create(tmp_path / "store")


def image(layout: Layout, *layers: Layer, **config: Any) -> str:
    """Store an image of layers; return the manifest's digest."""
    described = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "config": config,
    }
    manifest = Manifest(
        config=layout.put(json.dumps(described).encode(), CONFIG),
        layers=tuple(layer.descriptor for layer in layers),
    )
    return layout.put(manifest_bytes(manifest), MANIFEST).digest


def packed(layout: Layout, tar: bytes) -> Layer:
    """Store any bytes as a gzip-compressed layer."""
    descriptor = layout.put(gzip.compress(tar, mtime=0), LAYER_GZIP)
    return Layer(descriptor, "sha256:" + hashlib.sha256(tar).hexdigest())


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", pax: dict[str, str] | None = None
) -> bytes:
    """Return one tar member without content, exactly as asked for."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    info.pax_headers = pax or {}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


END = b"\0" * 1024


def raw(layout: Layout, *members: bytes, below: list[Entry] | None = None) -> str:
    """Return an image whose upper layer is made of raw members."""
    lower = [write_layer(layout, below)] if below is not None else []
    return image(layout, *lower, packed(layout, b"".join(members) + END))


def tree(root: str) -> dict[str, str]:
    """Return kind and content of everything below a folder, but not the mount points that are added."""
    found = {}
    for place, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(place, name)
            if os.path.islink(path):  # noqa: PTH114
                text = "-> " + os.readlink(path)  # noqa: PTH115
            elif os.path.isdir(path):  # noqa: PTH112
                text = "/"
            else:
                with open(path, encoding="utf-8") as file:  # noqa: PTH123
                    text = file.read()
            found[os.path.relpath(path, root)] = text
    added = ("dev", "proc", "sys", "tmp", "etc", "etc/hosts", "etc/resolv.conf")
    return {name: text for name, text in found.items() if name not in added}


def file(path: str, text: str = "", mode: int = 0o644) -> Entry:
    """Return a file for a layer."""
    return Entry(path, "file", mode, text.encode())


def test_files_folders_and_links_come_out_as_they_went_in(layout: Layout, tmp_path: Path) -> None:
    """Every kind of entry appears with its content."""
    layer = write_layer(
        layout,
        [
            file("usr/bin/tool", "#!", 0o755),
            Entry("bin", "symlink", 0o777, link="usr/bin"),
            Entry("usr/bin/same", "hardlink", 0o755, link="usr/bin/tool"),
            Entry("empty", "dir", 0o755),
        ],
    )
    root = unpack(layout, image(layout, layer), tmp_path / "into").root
    assert tree(root) == {
        "usr": "/",
        "usr/bin": "/",
        "usr/bin/tool": "#!",
        "usr/bin/same": "#!",
        "bin": "-> usr/bin",
        "empty": "/",
    }
    assert os.path.samefile(f"{root}/usr/bin/tool", f"{root}/usr/bin/same")  # noqa: PTH121


def test_modes_are_kept_but_not_the_dangerous_bits(layout: Layout, tmp_path: Path) -> None:
    """Set-user-id and set-group-id are dropped, from folders too; the umask has no say."""
    layer = write_layer(
        layout,
        [
            Entry("folder", "dir", 0o2775),
            Entry("sticky", "dir", 0o1777),
            file("su", mode=0o4755),
            file("wide", mode=0o666),
        ],
    )
    before = os.umask(0o077)
    try:
        root = unpack(layout, image(layout, layer), tmp_path / "into").root
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE(os.stat(f"{root}/{name}").st_mode) for name in os.listdir(root)}  # noqa: PTH116
    assert {name: oct(modes[name]) for name in ("folder", "sticky", "su", "wide", "tmp")} == {
        "folder": "0o775",
        "sticky": "0o1777",
        "su": "0o755",
        "wide": "0o666",
        "tmp": "0o755",
    }


def test_times_are_those_of_the_image(layout: Layout, tmp_path: Path) -> None:
    """Compiled Python files are valid only when their sources have the time that the builder saw."""
    layer = write_layer(layout, [file("srv/app.py", "x"), Entry("srv/a", "symlink", 0, link="b")])
    root = unpack(layout, image(layout, layer), tmp_path / "into").root
    times = [os.lstat(f"{root}/{name}").st_mtime for name in ("srv", "srv/app.py", "srv/a")]
    assert times == [0, 0, 0]


def test_a_path_of_any_length_and_bytes_survives(layout: Layout, tmp_path: Path) -> None:
    """Names that need pax headers, and names that are not UTF-8, are the same on disk."""
    long, strange = "d" * 120 + "/" + "f" * 200, "caf\udce9"
    layer = write_layer(layout, [file(long, "long"), file(strange, "strange")])
    root = unpack(layout, image(layout, layer), tmp_path / "into").root
    assert tree(root) == {"d" * 120: "/", long: "long", strange: "strange"}


def test_gnu_long_names_are_read(layout: Layout, tmp_path: Path) -> None:
    """Layers by other tools carry long names in GNU's way."""
    info = tarfile.TarInfo("n" * 150)
    layer = packed(layout, info.tobuf(tarfile.GNU_FORMAT) + END)
    root = unpack(layout, image(layout, layer), tmp_path / "into").root
    assert tree(root) == {"n" * 150: ""}


def test_a_whiteout_removes_what_is_below(layout: Layout, tmp_path: Path) -> None:
    """layer.md, "Whiteouts": a file or a whole folder of lower layers is hidden."""
    below = write_layer(layout, [file("a/x"), file("a/y"), file("b/z"), file("keep")])
    above = write_layer(layout, [file("a/.wh.x"), file(".wh.b")])
    root = unpack(layout, image(layout, below, above), tmp_path / "into").root
    assert tree(root) == {"a": "/", "a/y": "", "keep": ""}


def test_an_opaque_whiteout_spares_its_own_layer(layout: Layout, tmp_path: Path) -> None:
    """layer.md, "Opaque Whiteout": only lower layers are hidden, wherever in the layer it stands."""
    below = write_layer(layout, [file("a/old"), file("a/sub/old"), file("a/gone/deep")])
    above = write_layer(layout, [file("a/new"), file("a/sub/new"), file("a/.wh..wh..opq")])
    root = unpack(layout, image(layout, below, above), tmp_path / "into").root
    assert tree(root) == {"a": "/", "a/new": "", "a/sub": "/", "a/sub/new": ""}


def test_a_whiteout_does_not_hide_its_own_layer(layout: Layout, tmp_path: Path) -> None:
    """layer.md: whiteouts apply to lower layers only."""
    below = write_layer(layout, [file("x", "old"), file("d/old")])
    above = write_layer(layout, [file("x", "new"), file(".wh.x"), file("d/new"), file(".wh.d")])
    root = unpack(layout, image(layout, below, above), tmp_path / "into").root
    assert tree(root) == {"x": "new", "d": "/", "d/new": ""}


@pytest.mark.parametrize(
    ("below", "above"),
    [
        (file("p", "old"), Entry("p", "dir", 0o755)),
        (Entry("p", "dir", 0o755), file("p", "new")),
        (Entry("p", "symlink", 0, link="elsewhere"), file("p", "new")),
        (file("p", "old"), Entry("p", "symlink", 0, link="elsewhere")),
        (Entry("p", "symlink", 0, link="elsewhere"), Entry("p", "dir", 0o755)),
    ],
)
def test_an_upper_entry_replaces_any_kind(
    layout: Layout, tmp_path: Path, below: Entry, above: Entry
) -> None:
    """layer.md, "Modifications": the upper layer's entry takes the place of the lower one."""
    layers = [write_layer(layout, [entry]) for entry in (below, above)]
    root = unpack(layout, image(layout, *layers), tmp_path / "into").root
    wanted = {"dir": "/", "file": "new", "symlink": "-> elsewhere"}[above.kind]
    assert tree(root) == {"p": wanted}


def test_a_folder_that_came_and_went_leaves_no_trace(layout: Layout, tmp_path: Path) -> None:
    """A mode that a lower layer gave to a removed folder makes no folder again."""
    below = write_layer(layout, [Entry("a/b", "dir", 0o700)])
    above = write_layer(layout, [file("a", "file now")])
    root = unpack(layout, image(layout, below, above), tmp_path / "into").root
    assert tree(root) == {"a": "file now"}


def test_missing_mount_points_are_made(layout: Layout, tmp_path: Path) -> None:
    """A runtime finds the folders and files that it mounts over, in an image that has none."""
    root = unpack(layout, image(layout), tmp_path / "into").root
    assert sorted(os.listdir(root)) == ["dev", "etc", "proc", "sys", "tmp"]
    assert sorted(os.listdir(f"{root}/etc")) == ["hosts", "resolv.conf"]


ESCAPES: list[Callable[[Layout], str]] = [
    lambda it: raw(it, member("../out")),
    lambda it: raw(it, member("a/../../out")),
    lambda it: raw(it, member("/out")),
    lambda it: raw(it, member("..", tarfile.DIRTYPE)),
    lambda it: raw(it, member("a", pax={"path": "../out"})),
    lambda it: raw(it, member("a\0b", pax={"path": "a\0b"})),
    lambda it: raw(it, member("l", tarfile.SYMTYPE, link="/"), member("l/out")),
    lambda it: raw(it, member("l", tarfile.SYMTYPE, link=".."), member("l/out")),
    lambda it: raw(it, member("l", tarfile.SYMTYPE, link="../.."), member("l/x", tarfile.DIRTYPE)),
    lambda it: raw(it, member("l/out"), below=[Entry("l", "symlink", 0, link="../../..")]),
    lambda it: raw(it, member("l/.wh.out"), below=[Entry("l", "symlink", 0, link="../..")]),
    lambda it: raw(it, member("l/.wh..wh..opq"), below=[Entry("l", "symlink", 0, link="/")]),
    lambda it: raw(it, member(".wh...")),
    lambda it: raw(it, member(".wh..")),
    lambda it: raw(it, member(".wh.")),
    lambda it: raw(it, member(".wh..wh.plnk")),
    lambda it: raw(it, member(".wh.a/b")),
    lambda it: raw(it, member(".wh.a", tarfile.DIRTYPE)),
    lambda it: raw(it, member("h", tarfile.LNKTYPE, link="../store/oci-layout")),
    lambda it: raw(it, member("h", tarfile.LNKTYPE, link="/etc/passwd")),
    lambda it: raw(
        it,
        member("l", tarfile.SYMTYPE, link="/etc"),
        member("h", tarfile.LNKTYPE, link="l/passwd"),
    ),
    lambda it: raw(it, member("h", tarfile.LNKTYPE, link="h")),
    lambda it: raw(it, member("h", tarfile.LNKTYPE, link="missing")),
    lambda it: raw(it, member("d", tarfile.DIRTYPE), member("h", tarfile.LNKTYPE, link="d")),
    lambda it: raw(it, member("c", tarfile.CHRTYPE)),
    lambda it: raw(it, member("b", tarfile.BLKTYPE)),
    lambda it: raw(it, member("p", tarfile.FIFOTYPE)),
    lambda it: raw(it, member("s", tarfile.GNUTYPE_SPARSE)),
    lambda it: raw(it, member("s", pax={"GNU.sparse.major": "1"})),
    lambda it: raw(it, member("s", tarfile.SYMTYPE, link="")),
    lambda it: raw(it, member("d", pax={"path": "d/" * 300 + "x"})),
    lambda it: raw(it, member("n", pax={"path": "n" * 300})),
    lambda it: raw(it, member("./")),
]


@pytest.mark.parametrize("number", range(len(ESCAPES)))
def test_what_would_leave_the_root_is_refused(layout: Layout, tmp_path: Path, number: int) -> None:
    """Traversal, links as parents, hard links outside, devices: nothing is left behind and nothing touched."""
    outside = sorted(os.listdir(tmp_path))
    digest = ESCAPES[number](layout)
    with pytest.raises(TrustError, match="is refused") as caught:
        unpack(layout, digest, tmp_path / "into")
    assert caught.value.hint
    assert os.listdir(tmp_path / "into") == [".lock"]
    assert sorted(os.listdir(tmp_path)) == sorted([*outside, "into"])


def test_a_global_header_cannot_rename_entries(layout: Layout, tmp_path: Path) -> None:
    """By tar global headers are applied, by container runtimes not: two readers would see two images."""
    header = tarfile.TarInfo.create_pax_global_header({"path": "renamed"})
    with pytest.raises(TrustError, match="changes the names"):
        unpack(layout, raw(layout, header, member("a")), tmp_path / "into")


def test_a_global_comment_is_harmless(layout: Layout, tmp_path: Path) -> None:
    """What `git archive` writes in front is passed over."""
    header = tarfile.TarInfo.create_pax_global_header({"comment": "commit"})
    root = unpack(layout, raw(layout, header, member("a")), tmp_path / "into").root
    assert tree(root) == {"a": ""}


def test_an_absolute_link_is_kept_as_text(layout: Layout, tmp_path: Path) -> None:
    """Inside the sandbox `/etc/x` means the image's; only following it here would be wrong."""
    layer = write_layer(layout, [Entry("link", "symlink", 0, link="/etc/passwd")])
    root = unpack(layout, image(layout, layer), tmp_path / "into").root
    assert tree(root) == {"link": "-> /etc/passwd"}


def test_a_file_never_writes_through_a_link_of_its_name(layout: Layout, tmp_path: Path) -> None:
    """A link to a file outside, then a file of that name: the outside file stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("safe")
    below = write_layer(layout, [Entry("x", "symlink", 0, link=str(victim))])
    above = write_layer(layout, [file("x", "changed")])
    root = unpack(layout, image(layout, below, above), tmp_path / "into").root
    assert victim.read_text() == "safe"
    assert tree(root) == {"x": "changed"}


def test_a_changed_layer_is_a_wrong_digest(layout: Layout, tmp_path: Path) -> None:
    """One flipped bit, wherever it makes the archive unreadable or not, is told as what it is."""
    layer = write_layer(layout, [file("a", "hello" * 100), file("b", "there" * 100)])
    digest = image(layout, layer)
    path = layout.path(layer.descriptor.digest)
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(DigestMismatch):
            unpack(layout, digest, tmp_path / "into")
    assert os.listdir(tmp_path / "into") == [".lock"]


@pytest.mark.parametrize("change", [lambda it: it[:-1], lambda it: it + b"\0", lambda it: it[:0]])
def test_a_layer_of_another_length_is_a_wrong_digest(
    layout: Layout, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """A blob that is cut off, longer, or empty is refused."""
    layer = write_layer(layout, [file("a")])
    digest = image(layout, layer)
    path = layout.path(layer.descriptor.digest)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DigestMismatch):
        unpack(layout, digest, tmp_path / "into")


def test_a_layer_must_unpack_to_its_diff_id(layout: Layout, tmp_path: Path) -> None:
    """A configuration that belongs to other layers is refused, though every blob is whole."""
    layer = write_layer(layout, [file("a")])
    digest = image(layout, layer._replace(diff_id="sha256:" + "0" * 64))
    with pytest.raises(DigestMismatch, match="unpacks to"):
        unpack(layout, digest, tmp_path / "into")


def test_a_layer_must_have_its_size(layout: Layout, tmp_path: Path) -> None:
    """The size in the manifest counts as much as the digest."""
    layer = write_layer(layout, [file("a")])
    wrong = Descriptor(
        media_type=LAYER_GZIP,
        digest=layer.descriptor.digest,
        size=layer.descriptor.size + 1,
    )
    with pytest.raises(DigestMismatch):
        unpack(layout, image(layout, layer._replace(descriptor=wrong)), tmp_path / "into")


def test_an_absent_layer_is_named(layout: Layout, tmp_path: Path) -> None:
    """A store that lost a blob says so, with a command that brings it back."""
    layer = write_layer(layout, [file("a")])
    digest = image(layout, layer)
    layout.path(layer.descriptor.digest).unlink()
    with pytest.raises(UsageError, match="not in the store") as caught:
        unpack(layout, digest, tmp_path / "into")
    assert "inv build" in caught.value.hint


def test_a_configuration_with_other_layers_is_refused(layout: Layout, tmp_path: Path) -> None:
    """The number of diff_ids is that of the layers."""
    layer = write_layer(layout, [file("a")])
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}}
    manifest = Manifest(
        config=layout.put(json.dumps(config).encode(), CONFIG), layers=(layer.descriptor,)
    )
    digest = layout.put(manifest_bytes(manifest), MANIFEST).digest
    with pytest.raises(UsageError, match="1 layers, its configuration 0"):
        unpack(layout, digest, tmp_path / "into")


@pytest.mark.parametrize("data", [b"", b"\0" * 512, b"no archive" * 200, member("a"), END + b"x"])
def test_what_is_no_archive_is_named(layout: Layout, tmp_path: Path, data: bytes) -> None:
    """Bytes with the right digest that are no whole tar archive are refused, not skipped."""
    with pytest.raises(UsageError, match="not a readable archive"):
        unpack(layout, image(layout, packed(layout, data)), tmp_path / "into")


def test_an_unknown_kind_of_layer_is_named(layout: Layout, tmp_path: Path) -> None:
    """A layer type that is not read is an error, never an empty layer."""
    layer = write_layer(layout, [file("a")])
    other = Descriptor(
        media_type="application/vnd.oci.image.layer.v1.tar+zstd",
        digest=layer.descriptor.digest,
        size=layer.descriptor.size,
    )
    with pytest.raises(UsageError, match="tar\\+zstd"):
        unpack(layout, image(layout, layer._replace(descriptor=other)), tmp_path / "into")


def test_a_layer_in_several_gzip_members_is_read(layout: Layout, tmp_path: Path) -> None:
    """RFC 1952 lets a stream consist of several members; parallel compressors write such."""
    tar = member("a") + END
    blob = b"".join(gzip.compress(tar[n : n + 300], mtime=0) for n in range(0, len(tar), 300))
    descriptor = layout.put(blob, LAYER_GZIP)
    layer = Layer(descriptor, "sha256:" + hashlib.sha256(tar).hexdigest())
    assert tree(unpack(layout, image(layout, layer), tmp_path / "into").root) == {"a": ""}


def zeros(size: int) -> Iterator[bytes]:
    """Yield that many zero bytes."""
    piece = bytes(1 << 20)
    for _ in range(size >> 20):
        yield piece


def test_a_bomb_is_refused_by_its_ratio(layout: Layout, tmp_path: Path) -> None:
    """A layer that unpacks to a thousand times its size is refused before it is all written."""
    size = 80 << 20
    layer = write_layer(layout, [Entry("big", "file", 0o644, lambda: zeros(size), size)])
    with pytest.raises(TrustError, match="200 times"):
        unpack(layout, image(layout, layer), tmp_path / "into")
    assert os.listdir(tmp_path / "into") == [".lock"]


def test_a_bomb_is_refused_by_its_size(layout: Layout, tmp_path: Path) -> None:
    """The limit holds for all layers together."""
    layers = [write_layer(layout, [file(name, name * 6000)]) for name in "ab"]
    unpack(layout, image(layout, layers[0]), tmp_path / "one", limits=Limits(size=10_000))
    with pytest.raises(TrustError, match="10000 bytes"):
        unpack(layout, image(layout, *layers), tmp_path / "two", limits=Limits(size=10_000))


def test_a_bomb_is_refused_by_its_entries(layout: Layout, tmp_path: Path) -> None:
    """The limit of entries holds for all layers together, and headers count."""
    layers = [write_layer(layout, [file(f"{name}{n}") for n in range(5)]) for name in "ab"]
    with pytest.raises(TrustError, match="entry 9, too many"):
        unpack(layout, image(layout, *layers), tmp_path / "into", limits=Limits(entries=8))


def test_a_huge_header_is_not_loaded(layout: Layout, tmp_path: Path) -> None:
    """An extended header that claims gigabytes is refused by its claim."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 4 << 30
    digest = raw(layout, header.tobuf(tarfile.USTAR_FORMAT), b"1" * 4096)
    with pytest.raises(TrustError, match="extended header of 4294967296"):
        unpack(layout, digest, tmp_path / "into")


def test_memory_does_not_grow_with_the_layer(layout: Layout, tmp_path: Path) -> None:
    """A file of 48 MB goes through a few megabytes of memory."""
    size = 48 << 20
    noise = hashlib.sha256(b"").digest() * (1 << 15)
    pieces = [noise] * (size >> 20)
    layer = write_layer(layout, [Entry("big", "file", 0o644, lambda: iter(pieces), size)])
    digest = image(layout, layer)
    tracemalloc.start()
    try:
        unpack(layout, digest, tmp_path / "into")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_second_call_finds_the_first_ones_work(layout: Layout, tmp_path: Path) -> None:
    """The same manifest is unpacked once."""
    digest = image(layout, write_layer(layout, [file("a", "x")]))
    first = unpack(layout, digest, tmp_path / "into")
    second = unpack(layout, digest, tmp_path / "into")
    assert (first.reused, second.reused) == (False, True)
    assert first.root == second.root


def rewrite_unseen(root: Path) -> None:
    """Change a file's content, keep its size, and set its time back."""
    (root / "a").write_text("y")
    os.utime(root / "a", (0, 0))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda root: (root / "a").write_text("y"),
        lambda root: (root / "a").chmod(0o755),
        lambda root: (root / "a").unlink(),
        lambda root: (root / "new").touch(),
        lambda root: (root / "d" / "new").symlink_to("/"),
        lambda root: (root.parent / "seal").unlink(),
        lambda root: (root / "a").rename(root / "b"),
        rewrite_unseen,
    ],
)
def test_what_was_changed_since_is_unpacked_again(
    layout: Layout, tmp_path: Path, tamper: Callable[[Path], object]
) -> None:
    """A file that someone wrote to, added or removed is never run, even with its time set back."""
    digest = image(layout, write_layer(layout, [file("a", "x"), Entry("d", "dir", 0o755)]))
    first = unpack(layout, digest, tmp_path / "into")
    tamper(tmp_path / "into" / digest.removeprefix("sha256:") / "root")
    second = unpack(layout, digest, tmp_path / "into")
    assert not second.reused
    assert tree(first.root) == {"a": "x", "d": "/"}


def test_half_an_image_is_never_found(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends in the middle leaves nothing under the image's name, and the next one tidies."""
    into, digest = tmp_path / "into", image(layout, write_layer(layout, [file("a")]))

    def killed(*_: object) -> str:
        partial = [name for name in os.listdir(into) if name.startswith(".partial-")]
        assert len(partial) == 1
        os.rename(into / partial[0], tmp_path / "kept")  # noqa: PTH104 - what a kill would leave
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lockgate.oci.unpack._seal", killed)
        with pytest.raises(KeyboardInterrupt):
            unpack(layout, digest, into)
    (tmp_path / "kept").rename(into / ".partial-of-the-dead")
    assert not (into / digest.removeprefix("sha256:")).exists()
    assert not unpack(layout, digest, into).reused
    assert not list(into.glob(".partial-*"))


def test_a_full_disk_is_said(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is about the disk, and nothing half written stays."""
    digest = image(layout, write_layer(layout, [file("a", "x")]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lockgate.oci.tree.os.fchmod", full)
    with pytest.raises(StorageError, match="disk is full"):
        unpack(layout, digest, tmp_path / "into")
    assert os.listdir(tmp_path / "into") == [".lock"]


def test_prune_keeps_what_is_asked_for(layout: Layout, tmp_path: Path) -> None:
    """Images that nobody names are removed, the others stay whole."""
    into = tmp_path / "into"
    digests = [image(layout, write_layer(layout, [file(name)])) for name in "abc"]
    for digest in digests:
        unpack(layout, digest, into)
    (into / ".partial-left").mkdir()
    prune(into, lambda: digests[1:2])
    assert sorted(os.listdir(into)) == sorted([".lock", digests[1].removeprefix("sha256:")])
    assert unpack(layout, digests[1], into).reused


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_root_keeps_the_owners_of_the_image(layout: Layout, tmp_path: Path) -> None:
    """A file of another user is readable to exactly that user in the sandbox."""
    info = tarfile.TarInfo("theirs")
    info.uid, info.gid, info.mode = 12345, 54321, 0o640
    layer = packed(layout, info.tobuf(tarfile.PAX_FORMAT) + END)
    root = unpack(layout, image(layout, layer), tmp_path / "into").root
    found = os.stat(f"{root}/theirs")  # noqa: PTH116
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 54321, 0o640)


NAMES = st.lists(
    st.sampled_from(["a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh...", "l"]),
    min_size=1,
    max_size=4,
).map("/".join)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)
LINKS = st.sampled_from(["..", "/", "../..", "a", "b/l", "l", ".", "../outside"])


@given(st.lists(st.lists(st.tuples(NAMES, KINDS, LINKS), max_size=6), min_size=1, max_size=3))
def test_no_sequence_of_entries_touches_anything_outside(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[tuple[str, bytes, str]]]
) -> None:
    """Whatever layers say, the outside is as before, and failure is one of our errors."""
    base = tmp_path_factory.mktemp("any")
    layout = Layout.create(base / "store")
    (base / "outside").mkdir()
    (base / "outside" / "a").write_text("safe")
    made = [
        packed(
            layout, b"".join(member(name, kind, link=link) for name, kind, link in entries) + END
        )
        for entries in layers
    ]
    before = tree(str(base / "outside"))
    digest = image(layout, *made)
    try:
        root = unpack(layout, digest, base / "into").root
    except LockgateError:
        assert os.listdir(base / "into") == [".lock"]
    else:
        assert os.path.commonpath([root, str(base / "into")]) == str(base / "into")
    assert sorted(os.listdir(base)) == ["into", "outside", "store"]
    assert tree(str(base / "outside")) == before


def test_what_tar_reads_is_what_is_unpacked(layout: Layout, tmp_path: Path) -> None:
    """An oracle: Python's own reader finds the same tree in the same layer."""
    layer = write_layer(
        layout,
        [
            *(file(f"f{n}", "x" * n) for n in (0, 1, 511, 512, 513, 70_000)),
            Entry("deep/er/link", "symlink", 0, link="../../f1"),
            Entry("hard", "hardlink", 0o644, link="f513"),
            file("ü" * 90 + "/" + "é" * 90, "unicode"),
        ],
    )
    blob = layout.path(layer.descriptor.digest).read_bytes()
    told = {}
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() or entry.islnk() else None
            text = "/" if content is None else content.read().decode()
            told[entry.name] = f"-> {entry.linkname}" if entry.issym() else text
    root = unpack(layout, image(layout, layer), tmp_path / "into").root
    assert tree(root) == told
