"""Locks from a signed archive; the archive is a folder with packages of a few bytes."""

from __future__ import annotations

import lzma
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.unit.build.conftest import NOW, STACK, Archive, Progressed, make_stack

from lockgate.base.errors import (
    DigestMismatch,
    MirrorError,
    SignatureInvalid,
    Stale,
    UsageError,
)
from lockgate.build import debian
from lockgate.build.apt_sources import Mirrors
from lockgate.build.stack_lock import dump
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from pysequoia import Tsk

    from lockgate.build.stack_lock import StackLock


def lock(
    archive: Archive,
    text: str = STACK,
    *,
    mirrors: Mirrors | None = None,
    progress: debian.Progress | None = None,
    previous: StackLock | None = None,
    keys: tuple[bytes, ...] | None = None,
) -> StackLock:
    """Lock a stack on the miniature archive."""
    return debian.lock(
        make_stack(text),
        mirrors or archive.mirrors,
        file=text.encode(),
        now=NOW,
        progress=progress or Progressed(),
        previous=previous,
        keys=archive.keys if keys is None else keys,
    )


@pytest.fixture
def small(archive: Archive) -> Archive:
    """An archive where `tiny` needs `libtiny`, of another source, on both architectures."""
    archive.add("tiny", depends="libtiny (>= 1.0)")
    archive.add("libtiny", version="1:1.2-3", source="tiny-libs (1.2)")
    archive.publish()
    return archive


def test_lock(small: Archive) -> None:
    """Every package of the closure is there, for each architecture, with what a download needs."""
    found = lock(small)
    assert [one.name for one in found.of("linux/arm64")] == ["libtiny", "tiny"]
    library = found.of("linux/amd64")[0]
    data = (small.root / "main" / library.path).read_bytes()
    assert Digest.of(data) == f"sha256:{library.sha256}"
    assert (library.version, library.source, library.size) == ("1:1.2-3", "tiny-libs", len(data))
    signed = (small.root / "main/dists/trixie/InRelease").read_bytes()
    assert found.suites[0].inrelease == Digest.of(signed)
    assert (found.release, found.suites[0].date) == ("13.7", "2026-09-12T07:55:41Z")


def test_same_archive_same_bytes(small: Archive) -> None:
    """The same archive gives the same lock, which names no mirror."""
    first = dump(lock(small))
    assert dump(lock(small)) == first
    assert str(small.root).encode() not in first


def test_progress(small: Archive) -> None:
    """Bytes of indexes are told up to their total."""
    told = Progressed()
    lock(small, progress=told)
    assert [name for _, _, name in told.calls] == ["trixie amd64", "trixie arm64"]
    assert told.calls[-1][0] == told.calls[-1][1] > told.calls[0][0]


def test_security(small: Archive) -> None:
    """The security suite comes from its own mirror, and its newer package is taken."""
    small.add("libtiny", suite="trixie-security", version="1:1.2-3+deb13u1")
    small.publish("trixie-security")
    found = lock(small, STACK.replace("[trixie]", "[trixie, trixie-security]"))
    library, tiny = found.of("linux/amd64")
    assert (library.version, library.archive) == ("1:1.2-3+deb13u1", "security")
    assert tiny.archive == "main"


def test_without_by_hash(small: Archive) -> None:
    """An archive that keeps no files by hash is read by name."""
    for path in (small.root / "main/dists/trixie/main").glob("*/by-hash/SHA256/*"):
        path.unlink()
    assert lock(small).of("linux/amd64")
    small.publish(by_hash=False)
    assert lock(small).of("linux/amd64")


def test_other_key(small: Archive, other_key: Tsk) -> None:
    """An index that no trusted key signed is refused."""
    small.publish(key=other_key)
    with pytest.raises(SignatureInvalid):
        lock(small)


def test_pinned_keys_are_the_default(small: Archive) -> None:
    """Without keys given, only the archive's own are trusted."""
    with pytest.raises(SignatureInvalid):
        lock(small, keys=())


def test_changed_index(small: Archive) -> None:
    """An index that is not the one that `InRelease` names is refused, though it can be unpacked."""
    text = lzma.compress(b"Package: evil\n", preset=0)
    for path in (small.root / "main/dists/trixie/main").rglob("*"):
        if path.is_file():
            path.write_bytes(text.ljust(path.stat().st_size, b"\0")[: path.stat().st_size])
    with pytest.raises(DigestMismatch, match="is not the file that `InRelease` names"):
        lock(small)


def test_index_is_gone(small: Archive) -> None:
    """A mirror without the index that it announces is an error."""
    for path in (small.root / "main/dists/trixie/main").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(MirrorError, match=r"Packages\.xz does not exist"):
        lock(small)


def test_index_that_cannot_be_unpacked(small: Archive) -> None:
    """An index that is what was signed and is still no index is an error."""
    small.publish(pack=bytes)
    with pytest.raises(MirrorError, match="cannot be unpacked"):
        lock(small)


def test_bomb(small: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that unpacks to more than the limit is given up."""
    monkeypatch.setattr(debian, "MAX_INDEX_TEXT", 100)
    with pytest.raises(MirrorError, match="larger than 100 bytes"):
        lock(small)


def test_no_such_suite(small: Archive) -> None:
    """A suite that the mirror does not have is an error that says where it was looked for."""
    with pytest.raises(MirrorError, match="no Debian suite `sid`"):
        lock(small, STACK.replace("[trixie]", "[sid]"))


def test_another_suite_in_its_place(small: Archive) -> None:
    """A mirror cannot serve bookworm as trixie, although the archive signed it."""
    small.publish(fields={"Codename": "bookworm"})
    with pytest.raises(MirrorError, match="of Debian `bookworm`, Debian `trixie` was asked for"):
        lock(small)


def test_too_old(small: Archive) -> None:
    """An index whose time is over is refused."""
    small.publish(fields={"Valid-Until": "Sat, 19 Sep 2026 07:55:41 UTC"})
    with pytest.raises(Stale, match="was valid until"):
        lock(small)


def test_older_than_the_lock(small: Archive) -> None:
    """A mirror that serves an older state than the one already locked is refused."""
    previous = lock(small)
    small.publish(fields={"Date": "Fri, 11 Sep 2026 07:55:41 UTC"})
    with pytest.raises(
        Stale, match="`trixie` is of 2026-09-11T07:55:41Z, the lock is of 2026-09-12"
    ):
        lock(small, previous=previous)
    other = msgspec.structs.replace(previous.suites[0], suite="bookworm")
    known = msgspec.structs.replace(previous, suites=(other,))
    assert lock(small, previous=known).suites[0].date == "2026-09-11T07:55:41Z"


def test_architecture_without_index(small: Archive) -> None:
    """A release that lists no index for an architecture is an error that names it."""
    release = small.root / "main/dists/trixie/InRelease"
    small.publish()
    from pysequoia import SignatureMode, sign

    text = "Origin: Debian\nCodename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:\n"
    release.write_bytes(sign(small.key.signer(), text.encode(), mode=SignatureMode.CLEAR))
    with pytest.raises(MirrorError, match="no usable index for amd64"):
        lock(small)


def test_no_mirror(small: Archive) -> None:
    """Without a known mirror the error names the setting."""
    with pytest.raises(UsageError) as caught:
        lock(small, mirrors=Mirrors())
    assert "build.mirror" in caught.value.hint


def test_omit(small: Archive) -> None:
    """An omitted package stays out; an omission that nothing needs is an error, since it hides nothing."""
    text = STACK + "omit: [{package: libtiny, reason: not needed}]\n"
    assert [one.name for one in lock(small, text).of("linux/amd64")] == ["tiny"]
    with pytest.raises(UsageError, match="`omit` names `perl`, which nothing in the stack needs"):
        lock(small, STACK + "omit: [{package: perl, reason: not needed}]\n")


def test_unmet_dependency(archive: Archive) -> None:
    """A dependency that cannot be met says who needs it, and where."""
    archive.add("tiny", depends="gone")
    archive.publish()
    with pytest.raises(UsageError, match=r"`tiny` 1\.0-1 needs `gone`, .* for amd64"):
        lock(archive)
