"""Locks of stacks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.build.conftest import STACK, make_stack

from lockgate.base.errors import UsageError
from lockgate.build.stack_lock import (
    LockedPackage,
    LockedSuite,
    StackLock,
    debian_architecture,
    dump,
    open_stack,
    parse,
    utc,
)
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
STACKS = sorted(path.parent.name for path in (ROOT / "stacks").glob("*/stack.yaml"))


def package(name: str = "tiny", **more: Any) -> LockedPackage:
    """Return a locked package."""
    fields = {
        "name": name,
        "version": "1.0-1",
        "architecture": "amd64",
        "source": name,
        "archive": "main",
        "path": f"pool/main/t/{name}/{name}_1.0-1_amd64.deb",
        "size": 10,
        "sha256": "ab" * 32,
    }
    return LockedPackage(**{**fields, **more})


def lock(text: str = STACK + "architectures: [amd64]\n", *packages: LockedPackage) -> StackLock:
    """Return a lock of a stack."""
    suite = LockedSuite(
        suite="trixie",
        archive="main",
        version="13.7",
        date="2026-09-12T07:55:41Z",
        inrelease=str(Digest.of(b"")),
    )
    return StackLock(
        format=1,
        file=str(Digest.of(text.encode())),
        stack=make_stack(text),
        suites=(suite,),
        packages={"amd64": packages or (package("libc6", version="2.41-12+deb13u4"), package())},
    )


def test_round_trip() -> None:
    """A lock is read as it was written, and written the same every time."""
    assert parse(dump(lock()), what="x") == lock()
    assert dump(parse(dump(lock()), what="x")) == dump(lock())


def test_one_package_a_line() -> None:
    """A package's new version changes one line of the file."""
    newer = lock(STACK + "architectures: [amd64]\n", package("libc6"), package(version="1.1-1"))
    older = lock(STACK + "architectures: [amd64]\n", package("libc6"), package())
    lines = zip(dump(older).splitlines(), dump(newer).splitlines(), strict=True)
    assert sum(old != new for old, new in lines) == 1


def test_facts() -> None:
    """The lock says what the build and the wheels need to know."""
    found = lock()
    assert (found.release, found.date, utc(found.date)) == (
        "13.7",
        1_789_199_741,
        "2026-09-12T07:55:41Z",
    )
    assert found.glibc("linux/amd64") == "2.41"
    assert [one.name for one in found.of("linux/amd64")] == ["libc6", "tiny"]


def test_platforms() -> None:
    """Image platforms have Debian architectures; others are refused."""
    assert debian_architecture("linux/arm64") == debian_architecture("linux/arm64/v8") == "arm64"
    with pytest.raises(UsageError, match="linux/riscv64 cannot be built"):
        debian_architecture("linux/riscv64")
    with pytest.raises(UsageError, match="locked for amd64, not for linux/arm64"):
        lock().of("linux/arm64")


def test_no_glibc() -> None:
    """A stack without a C library has no wheels to choose."""
    with pytest.raises(UsageError, match="no `libc6`"):
        lock(STACK + "architectures: [amd64]\n", package()).glibc("linux/amd64")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "pool/../../etc/x.deb"},
        {"path": "/pool/main/x.deb"},
        {"path": "pool/main/t/x.txt"},
        {"path": "https://mirror.example/pool/x.deb"},
        {"sha256": "AB" * 32},
        {"sha256": "ab" * 31},
        {"size": 0},
        {"name": "../tiny"},
        {"version": "1.0 1"},
        {"architecture": "arm64"},
        {"source": ""},
    ],
    ids=str,
)
def test_unsound_package(change: dict[str, Any]) -> None:
    """A package entry that could point elsewhere is refused."""
    bad = lock(STACK + "architectures: [amd64]\n", package(**change))
    with pytest.raises(UsageError, match="is not a package's") as caught:
        parse(dump(bad), what="x")
    assert "inv build.lock" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b" ",
        lambda data: data.replace(b'"size": 10', b'"size":10'),
        lambda data: data.replace(b'"format": 1', b'"format": 2'),
        lambda data: data.replace(b'"format": 1', b'"format": 1, "format": 1'),
        lambda data: data.replace(b'"format": 1', b'"more": 1, "format": 1'),
        lambda data: data.replace(b'"suite": "trixie"', b'"suite": "sid"'),
        lambda data: data.replace(b"07:55:41Z", b"07:55:41"),
        lambda data: data.replace(b'"amd64": [', b'"arm64": ['),
        lambda data: data.replace(b'"archive": "main"', b'"archive": "other"'),
        lambda data: data[:-20],
        lambda _: b"{}",
        lambda _: b"",
    ],
)
def test_changed_by_hand(change: Callable[[bytes], bytes]) -> None:
    """A lock that is not as it was written is refused, with the command that writes it."""
    with pytest.raises(UsageError) as caught:
        parse(change(dump(lock())), what="x")
    assert caught.value.hint == "run `inv build.lock`"


def test_unsorted() -> None:
    """Packages out of order, twice, or none are refused."""
    for packages in ([package("b"), package("a")], [package(), package()]):
        bad = lock(STACK + "architectures: [amd64]\n", *packages)
        with pytest.raises(UsageError, match="not sorted"):
            parse(dump(bad), what="x")
    empty = msgspec.structs.replace(lock(), packages={"amd64": ()})
    with pytest.raises(UsageError):
        parse(dump(empty), what="x")


def test_open(tmp_path: Path) -> None:
    """A lock that fits is returned with the digest of its bytes."""
    text = STACK + "architectures: [amd64]\n"
    (tmp_path / "stack.yaml").write_text(text)
    (tmp_path / "stack.lock").write_bytes(dump(lock(text)))
    found = open_stack(tmp_path)
    assert found.lock == lock(text)
    assert found.digest == Digest.of(dump(lock(text)))


@pytest.mark.parametrize(
    ("addition", "changed"),
    [
        ("# only a comment\n", ""),
        ("exclude: [usr/share/man]\n", "exclude"),
        ("user: 1000\n", "user"),
    ],
)
def test_stack_changed_after_the_lock(tmp_path: Path, addition: str, changed: str) -> None:
    """A comment is no change; a field is one, and is named."""
    text = STACK + "architectures: [amd64]\n"
    (tmp_path / "stack.yaml").write_text(text + addition)
    (tmp_path / "stack.lock").write_bytes(dump(lock(text)))
    if not changed:
        assert open_stack(tmp_path).lock == lock(text)
        return
    with pytest.raises(UsageError, match=f"made before `{changed}` changed") as caught:
        open_stack(tmp_path)
    assert caught.value.hint == "run `inv build.lock`"


def test_packages_changed_after_the_lock(tmp_path: Path) -> None:
    """Another list of packages asks for a new lock."""
    text = STACK + "architectures: [amd64]\n"
    (tmp_path / "stack.yaml").write_text(text.replace("[tiny]", "[tiny, more]"))
    (tmp_path / "stack.lock").write_bytes(dump(lock(text)))
    with pytest.raises(UsageError, match="made before `packages` changed"):
        open_stack(tmp_path)


def test_missing(tmp_path: Path) -> None:
    """A stack without a lock says how to make one."""
    (tmp_path / "stack.yaml").write_text(STACK)
    with pytest.raises(UsageError, match=r"has no `stack\.lock`") as caught:
        open_stack(tmp_path)
    assert caught.value.hint == "run `inv build.lock`"


@pytest.mark.parametrize("name", STACKS)
def test_committed(name: str) -> None:
    """The locks of this repository belong to their stacks, for both platforms, and name no host."""
    found = open_stack(ROOT / "stacks" / name)
    for platform in ("linux/amd64", "linux/arm64"):
        names = {one.name for one in found.lock.of(platform)}
        assert "base-files" in names
        assert ("python3-minimal" in names) == bool(found.lock.stack.python)
    assert re.search(rb"[a-z]+://", (ROOT / "stacks" / name / "stack.lock").read_bytes()) is None
