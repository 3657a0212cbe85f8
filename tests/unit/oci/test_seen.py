"""What was hashed once in a run is not hashed again, unless it may have been touched."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch
from lockgate.oci import layout as module
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import LAYER_GZIP
from lockgate.oci.seen import TICK, Seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATER = 1 << 62
"""Nanoseconds, long after any file here was written."""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A store in which every file counts as written long ago."""
    found = Layout.create(tmp_path / "store")
    found.seen = Seen(now=lambda: LATER)
    return found


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each blob that is hashed from its file."""
    found: list[int] = []

    def counted() -> object:
        found.append(1)
        return hashlib.sha256()

    monkeypatch.setattr(module, "hashlib", SimpleNamespace(sha256=counted))
    return found


def test_each_digest_once(layout: Layout, hashed: list[int]) -> None:
    """The second look at the same file costs no read."""
    digest = layout.put(b"layer", LAYER_GZIP).digest

    assert [layout.verify(digest) for _ in range(3)] == [5, 5, 5]

    assert len(hashed) == 1


def overwritten(path: Path) -> None:
    """Write other bytes of the same length in place, and set the times back."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"LAYER")
    # Kernels before 6.13 stamp with a clock of milliseconds, and both writes may fall into one tick.
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    """Put another file in its place, with the same size and times."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"LAYER")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("touch", [overwritten, replaced])
def test_a_touched_file_is_hashed_again(layout: Layout, touch: Callable[[Path], None]) -> None:
    """However well the change is hidden, it is found."""
    digest = layout.put(b"layer", LAYER_GZIP).digest
    layout.verify(digest)

    touch(layout.path(digest))

    with pytest.raises(DigestMismatch):
        layout.verify(digest)


def test_what_is_wrong_is_not_remembered(layout: Layout) -> None:
    """Wrong bytes are refused each time."""
    digest = layout.put(b"layer", LAYER_GZIP).digest
    overwritten(layout.path(digest))

    for _ in range(2):
        with pytest.raises(DigestMismatch):
            layout.verify(digest)


def test_what_is_new_is_hashed_again(tmp_path: Path) -> None:
    """A change in the same tick of the clock would not be seen, so a file of a moment ago is not relied on."""
    path = tmp_path / "file"
    path.write_bytes(b"layer")
    found = path.stat()
    for age, kept in ((TICK - 1, False), (TICK, False), (TICK + 1, True)):
        seen = Seen(now=lambda age=age: found.st_ctime_ns + age)  # type: ignore[misc]
        seen.add("sha256:1", found, found)
        assert seen.holds("sha256:1", found) is kept


def test_a_file_that_changed_while_it_was_hashed(tmp_path: Path) -> None:
    """Nobody knows which of its bytes were hashed."""
    path = tmp_path / "file"
    path.write_bytes(b"layer")
    before = path.stat()
    path.write_bytes(b"layer, longer")
    seen = Seen(now=lambda: LATER)

    seen.add("sha256:1", before, path.stat())

    assert not seen.holds("sha256:1", path.stat())
