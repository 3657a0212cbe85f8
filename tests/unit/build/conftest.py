"""A miniature Debian: packages of a few bytes, and an archive of them signed with a key of the test's own."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import zstandard

from lockgate.build.apt_sources import Mirrors
from lockgate.build.stack import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pysequoia import Tsk

    from lockgate.build.stack import Stack

NOW = 1_790_000_000
"""A moment in September 2026."""
DATE = "Sat, 12 Sep 2026 07:55:41 UTC"


@dataclass(frozen=True)
class Item:
    """One member of a miniature package."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    type: bytes = tarfile.REGTYPE
    link: str = ""


def ar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return an ar archive."""
    found = b"!<arch>\n"
    for name, data in members:
        found += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        found += data + b"\n" * (len(data) % 2)
    return found


def tar(items: Iterable[Item]) -> bytes:
    """Return a tar archive as dpkg writes one."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for item in items:
            info = tarfile.TarInfo(item.path)
            info.size, info.mode, info.type, info.linkname = (
                len(item.data),
                item.mode,
                item.type,
                item.link,
            )
            archive.addfile(info, io.BytesIO(item.data))
    return file.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".gz": lambda data: gzip.compress(data, 1),
    ".zst": zstandard.ZstdCompressor(1).compress,
    "": bytes,
}


def control_text(name: str, version: str, architecture: str, **more: str) -> str:
    """Return a control paragraph; `pre_depends` stands for `Pre-Depends`."""
    fields = {"Package": name, "Version": version, "Architecture": architecture}
    fields |= {key.replace("_", "-").title(): value for key, value in more.items()}
    return "".join(f"{key}: {value}\n" for key, value in fields.items())


def make_deb(
    name: str = "tiny",
    items: Iterable[Item] = (),
    *,
    version: str = "1.0-1",
    architecture: str = "amd64",
    packing: str = ".xz",
    **more: str,
) -> bytes:
    """Return a `.deb`; keyword arguments become further fields of its control file."""
    items = list(items)
    control = control_text(name, version, architecture, **more).encode()
    sums = "".join(
        f"{hashlib.md5(one.data).hexdigest()}  {one.path.removeprefix('./')}\n"  # noqa: S324
        for one in items
        if one.type == tarfile.REGTYPE
    ).encode()
    pack = PACKERS[packing]
    inside = [Item("./", type=tarfile.DIRTYPE, mode=0o755), Item("./control", control)]
    if sums:
        inside.append(Item("./md5sums", sums))
    return ar(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{packing}", pack(tar(inside))),
            (f"data.tar{packing}", pack(tar(items))),
        ]
    )


@dataclass
class Archive:
    """A mirror in a folder: `add` packages, `publish` suites."""

    root: Path
    key: Tsk
    paragraphs: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def mirrors(self) -> Mirrors:
        """Addresses of the main and the security mirror."""
        return Mirrors(main=f"file://{self.root}/main", security=f"file://{self.root}/security")

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The certificate that the archive signs with."""
        return (str(self.key.extract_certificate()).encode(),)

    def side(self, suite: str) -> Path:
        """Return the mirror's folder that has a suite."""
        return self.root / ("security" if suite.endswith("-security") else "main")

    def add(
        self,
        name: str,
        items: Iterable[Item] = (),
        *,
        suite: str = "trixie",
        version: str = "1.0-1",
        architectures: Iterable[str] = ("amd64", "arm64"),
        **more: str,
    ) -> None:
        """Put a package into the pool and into the indexes of a suite."""
        for architecture in architectures:
            data = make_deb(name, items, version=version, architecture=architecture, **more)
            plain = version.rpartition(":")[2]
            path = f"pool/main/{name[0]}/{name}/{name}_{plain}_{architecture}.deb"
            place = self.side(suite) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            text = control_text(name, version, architecture, **more) + (
                f"Filename: {path}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
            )
            self.paragraphs.setdefault((suite, architecture), []).append(text)

    def publish(
        self,
        suite: str = "trixie",
        *,
        by_hash: bool = True,
        key: Tsk | None = None,
        pack: Callable[[bytes], bytes] = PACKERS[".xz"],
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Write the indexes of a suite and sign its `InRelease`; `fields` replace the usual ones."""
        from pysequoia import SignatureMode, sign

        folder = self.side(suite) / "dists" / suite
        listed = []
        for architecture in ("amd64", "arm64"):
            text = "\n".join(self.paragraphs.get((suite, architecture), []))
            data = pack(text.encode())
            path = folder / f"main/binary-{architecture}/Packages.xz"
            digest = hashlib.sha256(data).hexdigest()
            for name in (path, path.parent / "by-hash" / "SHA256" / digest):
                if name is path or by_hash:
                    name.parent.mkdir(parents=True, exist_ok=True)
                    name.write_bytes(data)
            listed.append(f" {digest} {len(data)} {path.relative_to(folder)}")
        said = {
            "Origin": "Debian",
            "Codename": suite,
            "Version": "13.7",
            "Date": DATE,
            "Acquire-By-Hash": "yes" if by_hash else "no",
            **(fields or {}),
            "SHA256": "\n" + "\n".join(listed),
        }
        text = "".join(f"{name}: {value}\n" for name, value in said.items())
        signer = (key or self.key).signer()
        (folder / "InRelease").write_bytes(sign(signer, text.encode(), mode=SignatureMode.CLEAR))


STACK = """\
suites: [trixie]
packages: [tiny]
python: "3.13"
"""


def make_stack(text: str = STACK) -> Stack:
    """Return the stack that a `stack.yaml` describes."""
    return load(text.encode(), what="`stack.yaml`")


@dataclass
class Progressed:
    """Remembers what a progress callback was told."""

    calls: list[tuple[int, int, str]] = field(default_factory=list)

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """Remember one call."""
        self.calls.append((done, total, name))


@pytest.fixture(scope="session")
def archive_key() -> Tsk:
    """The key of the miniature archive."""
    from pysequoia import Tsk

    return Tsk.generate(user_id="Miniature archive <archive@example.org>")


@pytest.fixture(scope="session")
def other_key() -> Tsk:
    """A key that nobody trusts."""
    from pysequoia import Tsk

    return Tsk.generate(user_id="Somebody <somebody@example.org>")


@pytest.fixture
def archive(tmp_path: Path, archive_key: Tsk) -> Archive:
    """An archive without packages."""
    return Archive(tmp_path / "mirror", archive_key)


@pytest.fixture
def progressed() -> Progressed:
    """A progress callback that remembers."""
    return Progressed()
