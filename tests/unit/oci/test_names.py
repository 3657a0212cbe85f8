"""Names change together or not at all, and a change that is none writes nothing."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from lockgate.oci import names as module
from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, MANIFEST, REF_NAME, Descriptor, Index, index_bytes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A store with two names."""
    layout = Layout.create(tmp_path / "store")
    layout.tag({"a": described(b"1"), "b": described(b"2")})
    return layout


def described(data: bytes) -> Descriptor:
    """Return a descriptor; its bytes need not be there."""
    return Descriptor.of(MANIFEST, data)


def written(layout: Layout) -> tuple[int, int]:
    """Return what tells one writing of the index from the next."""
    found = (layout.root / "index.json").stat()
    return found.st_ino, found.st_mtime_ns


def test_names_are_set_and_removed_at_once(layout: Layout) -> None:
    """One change moves one name, removes another and adds a third."""
    with layout.change() as names:
        names["a"] = described(b"3")
        del names["b"]
        names["c"] = names["a"]
    assert {name: one.digest for name, one in layout.tags().items()} == {
        "a": described(b"3").digest,
        "c": described(b"3").digest,
    }
    assert layout.resolve("c").annotations == {REF_NAME: "c"}


def test_a_change_that_fails_changes_nothing(layout: Layout) -> None:
    """And the lock is free after it."""
    before = layout.tags()

    def fail() -> None:
        with layout.change() as names:
            names.clear()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert layout.tags() == before
    with layout.change() as names:
        assert names == before


def test_no_change_writes_nothing(layout: Layout) -> None:
    """Neither an empty one, nor the same names again."""
    before = written(layout)
    with layout.change():
        pass
    layout.tag({"a": described(b"1")})
    assert written(layout) == before


def test_what_is_not_touched_stays_as_others_wrote_it(layout: Layout) -> None:
    """Entries without a name, and two under one name, as writers of several platforms make them."""
    entries = [
        Descriptor(media_type=MANIFEST, digest=described(data).digest, size=1, annotations=marks)
        for data, marks in (
            (b"1", {REF_NAME: "twice"}),
            (b"2", {REF_NAME: "twice"}),
            (b"3", {"x": "y"}),
        )
    ]
    (layout.root / "index.json").write_bytes(index_bytes(Index(manifests=tuple(entries))))
    layout.tag({"a": described(b"4")})
    found = Index.parse((layout.root / "index.json").read_bytes()).manifests
    assert {one.digest for one in entries} < {one.digest for one in found}
    assert len(found) == 4
    with layout.change() as names:
        del names["twice"]
    found = Index.parse((layout.root / "index.json").read_bytes()).manifests
    assert {one.digest for one in found} == {described(b"3").digest, described(b"4").digest}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each reading of `index.json`, in a world where every file was written long ago."""
    found: list[int] = []
    real = Index.parse

    def counted(data: bytes) -> Index:
        found.append(1)
        return real(data)

    monkeypatch.setattr(module, "Index", SimpleNamespace(parse=counted))
    monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=lambda: 1 << 62))
    return found


def test_names_are_read_once(layout: Layout, parsed: list[int]) -> None:
    """As long as nobody writes the file, it is not parsed again."""
    layout.tag({"app": layout.put(b"{}", INDEX)})
    del parsed[:]

    assert layout.tags() == layout.tags()
    assert layout.resolve("app").digest == layout.named("app")[0].digest

    assert len(parsed) == 1


def test_what_others_write_is_seen(layout: Layout, parsed: list[int]) -> None:
    """Another process's change is there at once, however well its times are hidden."""
    layout.tag({"app": layout.put(b"{}", INDEX)})
    assert layout.resolve("app").digest == Digest.of(b"{}")
    path = layout.root / "index.json"
    before = path.stat()
    path.write_bytes(
        path.read_bytes().replace(Digest.of(b"{}").encode(), Digest.of(b"[]").encode())
    )
    # Kernels before 6.13 stamp with a clock of milliseconds, and both writes may fall into one tick.
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert layout.resolve("app").digest == Digest.of(b"[]")

    Layout.open(layout.root).tag({"app": layout.put(b"{ }", INDEX)})

    assert layout.resolve("app").digest == Digest.of(b"{ }")
    assert parsed


def test_names_of_a_repository_are_found_by_their_tag(layout: Layout) -> None:
    """A registry over the store keeps `repository:tag`; each digest is given once, whoever names it."""
    one, two = layout.put(b"{}", INDEX), layout.put(b"[]", INDEX)
    layout.tag({"1.0": one, "team/app:1.0": one, "team/web:1.0": two, "team/web:2.0": one})

    assert {each.digest for each in layout.named("1.0")} == {one.digest, two.digest}
    assert len(layout.named("1.0")) == 2
    assert layout.named("3.0") == ()
