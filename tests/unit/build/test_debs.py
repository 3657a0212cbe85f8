"""Locked packages in the cache."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tests.unit.build.conftest import NOW, STACK, Archive, Item, Progressed, make_stack

from lockgate.base.errors import DigestMismatch, MirrorError, PackageGone, UsageError
from lockgate.build import debian
from lockgate.build.apt_sources import Mirrors
from lockgate.build.debs import fetch, path_of, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.stack_lock import StackLock

COUNT = 12
"""More packages than there are downloads at a time."""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def locked(archive: Archive) -> StackLock:
    """A lock of a dozen packages."""
    names = [f"tiny{number}" for number in range(COUNT)]
    for name in names:
        archive.add(name, [Item(f"./usr/{name}", name.encode() * 5000)])
    archive.publish()
    text = STACK.replace("[tiny]", f"[{', '.join(names)}]")
    return debian.lock(
        make_stack(text),
        archive.mirrors,
        file=text.encode(),
        now=NOW,
        progress=Progressed(),
        keys=archive.keys,
    )


def pool(archive: Archive, lock: StackLock, name: str) -> Path:
    """Return where the mirror has a package."""
    (found,) = [one for one in lock.of("linux/amd64") if one.name == name]
    return archive.root / "main" / found.path


def names_in(cache: Path) -> set[str]:
    """Return the names of files in the cache."""
    return {path.name for path in cache.iterdir()} - {".lock"}


def test_fetch(archive: Archive, locked: StackLock, cache: Path, progressed: Progressed) -> None:
    """Every package lies under its digest, and the bytes are told up to their sum."""
    found = fetch(locked, "linux/amd64", archive.mirrors, cache, progressed)
    packages = locked.of("linux/amd64")
    assert sorted(found) == [one.name for one in packages]
    for one in packages:
        assert found[one.name] == path_of(one, cache)
        assert sha256_of(found[one.name]) == one.sha256
    done = [call[0] for call in progressed.calls]
    assert done == sorted(done)
    assert {call[1] for call in progressed.calls} == {sum(one.size for one in packages)}
    assert done[-1] == progressed.calls[-1][1]


def test_cached(archive: Archive, locked: StackLock, cache: Path, progressed: Progressed) -> None:
    """With everything in the cache no mirror is needed, and none is asked."""
    first = fetch(locked, "linux/amd64", archive.mirrors, cache, Progressed())
    assert fetch(locked, "linux/amd64", Mirrors(), cache, progressed) == first
    assert progressed.calls == []


def test_nothing_cached_and_no_mirror(locked: StackLock, cache: Path) -> None:
    """Without a mirror a missing package is an error that names the setting."""
    with pytest.raises(UsageError) as caught:
        fetch(locked, "linux/amd64", Mirrors(), cache, Progressed())
    assert "build.mirror" in caught.value.hint


@pytest.mark.parametrize("change", [b"", b"changed"], ids=["empty", "other bytes"])
def test_changed_in_the_cache(
    archive: Archive, locked: StackLock, cache: Path, progressed: Progressed, change: bytes
) -> None:
    """A cached file whose bytes changed is downloaded again, and only that one."""
    found = fetch(locked, "linux/amd64", archive.mirrors, cache, Progressed())
    found["tiny3"].write_bytes(change)
    again = fetch(locked, "linux/amd64", archive.mirrors, cache, progressed)
    assert sha256_of(again["tiny3"]) == found["tiny3"].stem
    assert {call[2] for call in progressed.calls} == {"tiny3"}


def test_gone(archive: Archive, locked: StackLock, cache: Path) -> None:
    """A package that is gone is named with its version and the command that helps."""
    pool(archive, locked, "tiny5").unlink()
    with pytest.raises(PackageGone, match=r"tiny5 1\.0-1 is locked, but no longer") as caught:
        fetch(locked, "linux/amd64", archive.mirrors, cache, Progressed())
    assert caught.value.hint == "run `inv build.lock`"
    assert not any(name.startswith(".partial") for name in names_in(cache))


def test_wrong_bytes(archive: Archive, locked: StackLock, cache: Path) -> None:
    """A package with other bytes is named, and never lies under the digest that it does not have."""
    path = pool(archive, locked, "tiny5")
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(DigestMismatch, match=r"tiny5 1\.0-1"):
        fetch(locked, "linux/amd64", archive.mirrors, cache, Progressed())
    for name in names_in(cache):
        assert sha256_of(cache / name) == name.removesuffix(".deb")


def test_truncated(
    archive: Archive, locked: StackLock, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that ends early every time is an error; what was finished is kept."""
    monkeypatch.setattr("lockgate.build.mirror.PAUSES", (0, 0, 0))
    path = pool(archive, locked, "tiny5")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MirrorError, match=r"tiny5 1\.0-1 ended after"):
        fetch(locked, "linux/amd64", archive.mirrors, cache, Progressed())
    for name in names_in(cache):
        assert sha256_of(cache / name) == name.removesuffix(".deb")


def test_interrupted(archive: Archive, locked: StackLock, cache: Path) -> None:
    """Ctrl-C ends all downloads, leaves no part of a file, and the next run continues."""

    def interrupt(done: int, total: int, _: str, /) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(locked, "linux/amd64", archive.mirrors, cache, interrupt)
    kept = names_in(cache)
    assert len(kept) < COUNT
    for name in kept:
        assert sha256_of(cache / name) == name.removesuffix(".deb")
    told = Progressed()
    assert len(fetch(locked, "linux/amd64", archive.mirrors, cache, told)) == COUNT
    assert len({call[2] for call in told.calls}) == COUNT - len(kept)


def test_left_by_a_killed_run(archive: Archive, locked: StackLock, cache: Path) -> None:
    """What a killed run left half-done is cleared away by the next one."""
    (cache / ".partial-abc").write_bytes(b"half")
    fetch(locked, "linux/amd64", archive.mirrors, cache, Progressed())
    assert ".partial-abc" not in names_in(cache)


def test_two_runs_at_once(archive: Archive, locked: StackLock, cache: Path) -> None:
    """Two runs on one cache both succeed, and each package is downloaded once."""
    told = [Progressed(), Progressed()]
    failed: list[BaseException] = []

    def run(progress: Progressed) -> None:
        try:
            fetch(locked, "linux/amd64", archive.mirrors, cache, progress)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failed == []
    assert len(names_in(cache)) == COUNT
    assert sum(len({call[2] for call in one.calls}) for one in told) == COUNT
