"""The stacks of this repository on the machine's real mirror, and the base that they make."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import PackageGone
from lockgate.build import deb, debian
from lockgate.build.apt_sources import find_mirrors
from lockgate.build.base import Base
from lockgate.build.debs import fetch
from lockgate.build.layer import write_layer
from lockgate.build.stack import FILE, load
from lockgate.build.stack_lock import dump, open_stack, parse
from lockgate.oci.layout import Layout
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from lockgate.build.stack_lock import StackLock

ROOT = Path(__file__).parents[2]
STACKS = ("python", "python-old")
PLATFORMS = ("linux/amd64", "linux/arm64")
MAX_TAR = 45 << 20
"""Most bytes of a base, uncompressed."""

CHECK = """
import os, ssl, sqlite3, zlib, lzma, bz2, ctypes, uuid, hashlib, zoneinfo, decimal, multiprocessing
import asyncio, http.client, mimetypes, pwd, socket, sys
assert os.getuid() == 65532 and pwd.getpwuid(65532).pw_name == "nonroot"
assert len(ssl.create_default_context().get_ca_certs()) > 100
assert str(zoneinfo.ZoneInfo("Europe/Berlin").utcoffset(None)) == "None"
assert socket.getservbyname("https") == 443 and mimetypes.guess_type("a.webp")[0] == "image/webp"
assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
assert hashlib.new("sha3_256") and uuid.uuid4() and asyncio.run(asyncio.sleep(0, True))
assert ctypes.CDLL("libstdc++.so.6") and ctypes.CDLL("libc.so.6").getpid() == os.getpid()
assert sys.getfilesystemencoding() == "utf-8"
print("%d.%d" % sys.version_info[:2])
"""


def silent(done: int, total: int, name: str, /) -> None:
    """Show no progress."""


def lock_now(name: str) -> StackLock:
    """Lock a stack on the mirror as it is now."""
    data = (ROOT / "stacks" / name / FILE).read_bytes()
    found = debian.lock(
        load(data, what=name),
        find_mirrors(Path("/")),
        file=data,
        now=int(time.time()),
        progress=silent,
    )
    return parse(dump(found), what=name)


@pytest.fixture(scope="module", params=STACKS)
def fresh(request: pytest.FixtureRequest) -> tuple[str, StackLock]:
    """A stack's name and a lock of today."""
    return request.param, lock_now(request.param)


def base_of(lock: StackLock, platform: str) -> Base:
    """Return the base of a lock, downloading what is missing."""
    debs = fetch(lock, platform, find_mirrors(Path("/")), user_cache() / "debs", silent)
    return Base(lock, platform, debs)


def write(lock: StackLock, platform: str, store: Path) -> tuple[str, bytes]:
    """Write a base; return its digest and its uncompressed bytes."""
    layout = Layout.create(store)
    digest = write_layer(layout, base_of(lock, platform).entries()).descriptor.digest
    return digest, gzip.decompress(layout.path(digest).read_bytes())


@pytest.fixture(scope="module")
def built(
    fresh: tuple[str, StackLock], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, bytes]]:
    """The base of a stack by platform: digest and uncompressed bytes."""
    name, lock = fresh
    store = tmp_path_factory.mktemp(name)
    return {platform: write(lock, platform, store) for platform in PLATFORMS}


@pytest.mark.parametrize("name", STACKS)
def test_committed_lock_can_be_fetched(name: str) -> None:
    """Every locked package is still on the mirror, with the bytes that the lock names."""
    lock = open_stack(ROOT / "stacks" / name).lock
    for platform in PLATFORMS:
        try:
            found = fetch(lock, platform, find_mirrors(Path("/")), user_cache() / "debs", silent)
        except PackageGone as gone:
            pytest.skip(f"the archive moved on, run `inv build.lock`: {gone.message}")
        assert len(found) == len(lock.of(platform))


def test_twice_the_same(
    fresh: tuple[str, StackLock], built: dict[str, tuple[str, bytes]], tmp_path: Path
) -> None:
    """The same lock gives the same digest."""
    assert write(fresh[1], PLATFORMS[0], tmp_path)[0] == built[PLATFORMS[0]][0]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_base(
    fresh: tuple[str, StackLock], built: dict[str, tuple[str, bytes]], platform: str
) -> None:
    """A base is small, has no program but Python, and a record of each package."""
    _, lock = fresh
    _, data = built[platform]
    assert len(data) < MAX_TAR
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {one.name: one for one in archive}
    programs = {name.rpartition("/")[2] for name in members if name.startswith("usr/bin/")}
    assert programs == {"python3", f"python{lock.stack.python}"}
    assert not any(name.startswith("usr/sbin/") for name in members)
    for package in lock.of(platform):
        assert f"var/lib/dpkg/status.d/{package.name}" in members


def test_packages(fresh: tuple[str, StackLock]) -> None:
    """Every package has a licence or says that none is known, and few say that."""
    _, lock = fresh
    found = base_of(lock, PLATFORMS[0]).packages()
    assert len(found) == len(lock.of(PLATFORMS[0]))
    assert sum("NOASSERTION" in one.licences for one in found) <= 2
    (python,) = [one for one in found if one.name == "python3-minimal"]
    assert python.licences == ("Python-2.0",)


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_runs(
    fresh: tuple[str, StackLock], built: dict[str, tuple[str, bytes]], tmp_path: Path
) -> None:
    """Python starts in the base as its user, and the modules that services need work."""
    _, lock = fresh
    machine = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[os.uname().machine]
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(
        ["tar", "--extract", "--preserve-permissions", "--directory", str(root)],
        input=built[machine][1],
        check=True,
        timeout=120,
    )
    done = subprocess.run(
        ["/usr/sbin/chroot", "--userspec=65532:65532", str(root), "/usr/bin/python3", "-c", CHECK],
        env=dict(lock.stack.environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, lock.stack.python), done.stderr
    for shell in ("bin/sh", "usr/bin/sh", "usr/bin/bash", "usr/bin/dash", "usr/bin/env"):
        assert not os.path.lexists(root / shell)


@pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb, the oracle, is not installed"
)
def test_dpkg_reads_the_same(fresh: tuple[str, StackLock]) -> None:
    """In real packages, dpkg finds the same paths as we do."""
    _, lock = fresh
    debs = fetch(lock, PLATFORMS[1], find_mirrors(Path("/")), user_cache() / "debs", silent)
    for name in ("libc6", "base-files", "tzdata"):
        archive = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", str(debs[name])],
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            expected = [one.name.removeprefix("./") for one in members][1:]
        assert [one.path for one in deb.entries(debs[name])] == expected
