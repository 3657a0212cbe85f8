"""A repository in miniature: two packages of a few bytes, a Trivy that knows one CVE, the real tasks.

Everything between the command line and the exit code is the real thing. Only what would need a network or
seconds is small: the mirror is a folder, the stack has two packages, Trivy is a script that reads the image
it is given and reports on that very image.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest
from invoke.program import Program

from lockgate.build import stack, stack_lock
from lockgate.build.stack_lock import LockedPackage, LockedSuite, StackLock
from lockgate.oci.digest import Digest
from lockgate.tasks import namespace
from lockgate.tasks.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TASKS = "from lockgate.tasks import namespace\n\nns = namespace()\n"

SETTINGS = """\
project: mini
components:
  web:
    path: web
    stack: mini
    entrypoint: [python3, wsgi.py]
  worker:
    path: worker
    stack: mini
    entrypoint: [python3, work.py]
build:
  mirror: {mirror}
  security_mirror: {mirror}
scan:
  database: embedded
environments:
  dev: {{severity: MEDIUM, blocks: false, embedded_advisories: true, development_key: true, dirty: true,
        unsandboxed_scanner: true, database_max_age_days: 36500, port: 0}}
  staging: {{embedded_advisories: true, development_key: true, unsandboxed_scanner: true,
            database_max_age_days: 36500, port: 0}}
  prod: {{database_max_age_days: 36500, unsandboxed_scanner: true, port: 0}}
"""

STACK = """\
suites: [trixie]
packages: [base-files, libc6]
python: "3.13"
"""

ADVISORIES = """\
{"date":"2026-11-20","kind":"debian","licence":"Apache-2.0","name":"Miniature 13","notes":"","packages":
{"glibc":{"fixed":{},"version":"2.41-12"}},"release":"13","source":"a test"}
"""

TRIVY = """\
#!{python} -I
import json, pathlib, sys
if "--version" in sys.argv:
    sys.exit(print("Version: 0.76.0"))
def blob(descriptor):
    return (pathlib.Path("image/blobs") / descriptor["digest"].replace(":", "/")).read_bytes()
(one,) = json.loads(pathlib.Path("image/index.json").read_bytes())["manifests"]
bad = {{
    "VulnerabilityID": "CVE-2026-0001", "PkgName": "libc6", "InstalledVersion": "2.41-12",
    "FixedVersion": "2.41-13", "Severity": "HIGH", "Title": "libc reads too far",
}}
packages = [{{"Name": "base-files"}}, {{"Name": "libc6"}}]
debian = {{"Class": "os-pkgs", "Type": "debian", "Packages": packages, "Vulnerabilities": [bad]}}
found = {{
    "SchemaVersion": 2, "ArtifactName": "image", "Results": [debian],
    "Metadata": {{
        "ImageID": json.loads(blob(one))["config"]["digest"], "OS": {{"Family": "debian", "Name": "13.7"}}
    }},
}}
pathlib.Path("report.json").write_text(json.dumps(found))
"""


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of plain files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def deb(name: str, version: str, files: Mapping[str, bytes]) -> bytes:
    """Return a Debian package (deb(5)), not compressed."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\n".encode()
    found = b"!<arch>\n"
    for member, data in (
        ("debian-binary", b"2.0\n"),
        ("control.tar", tar({"control": control})),
        ("data.tar", tar(files)),
    ):
        found += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        found += data + b"\n" * (len(data) % 2)
    return found


DEBS = {
    "base-files": (
        "13.8",
        "base-files",
        {
            "etc/os-release": b'ID=debian\nVERSION_ID="13"\n',
            "usr/share/doc/base-files/copyright": b"GPL",
        },
    ),
    "libc6": ("2.41-12", "glibc", {"usr/lib/libc.so.6": b"not really\n"}),
}
"""Version, source package and files by name."""


class Mini:
    """One copy of the miniature; `inv` runs a command there through Invoke's own program."""

    def __init__(self, path: Path, captured: pytest.CaptureFixture[str], search: str) -> None:
        self.path = path
        self._captured = captured
        self._search = search

    def inv(self, *arguments: str) -> Answer:
        """Run `inv` in this process, in the current folder, and return what it printed."""
        open_session.cache_clear()
        self._captured.readouterr()
        program = Program(
            namespace=namespace(), name="Invoke", binary="inv[oke]", binary_names=["invoke", "inv"]
        )
        try:
            program.run(["inv", *arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        out, err = self._captured.readouterr()
        return Answer(code, out, err)

    def spawn(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `inv` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "lockgate.tasks.program", *arguments],
            cwd=self.path,
            env=self.environment | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment for child processes."""
        return {**os.environ, "PATH": self._search}

    def settings(self, old: str, new: str) -> None:
        """Change `lockgate.yaml`; the text that is replaced must be there."""
        path = self.path / "lockgate.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Nothing of the person's or the CI's environment changes what a task does."""
    for name in os.environ:
        if name.startswith(("LOCKGATE_", "GIT_", "PIP_", "UV_", "INVOKE_")) or name in (
            "CI",
            "NO_COLOR",
            "SOURCE_DATE_EPOCH",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOCKGATE_CACHE", str(cache))
    # Invoke sets it for good.
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of downloads for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature as it is committed; `repository` is the work tree."""
    place = tmp_path_factory.mktemp("template")
    mirror, root = place / "mirror", place / "repository"
    packages = []
    for name, (version, source, files) in DEBS.items():
        data = deb(name, version, files)
        path = f"pool/main/{name[0]}/{name}/{name}_{version}_all.deb"
        target = mirror / path
        target.parent.mkdir(parents=True)
        target.write_bytes(data)
        packages.append(
            LockedPackage(
                name=name,
                version=version,
                architecture="all",
                source=source,
                archive="main",
                path=path,
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )
    lock = StackLock(
        format=1,
        file=str(Digest.of(STACK.encode())),
        stack=stack.load(STACK.encode(), what="`stack.yaml`"),
        suites=(
            LockedSuite(
                suite="trixie",
                archive="main",
                version="13.7",
                date="2026-09-12T07:55:41Z",
                inrelease=str(Digest.of(b"")),
            ),
        ),
        packages={"amd64": tuple(packages), "arm64": tuple(packages)},
    )
    contents = {
        "tasks.py": TASKS,
        "lockgate.yaml": SETTINGS.format(mirror=mirror.as_uri()),
        ".gitignore": "/.lockgate/\n/out/\n",
        "stacks/mini/stack.yaml": STACK,
        "stacks/mini/stack.lock": stack_lock.dump(lock).decode(),
        "advisories/debian-13.json": ADVISORIES,
        "policies/waivers.yaml": "waivers: []\n",
        "web/wsgi.py": "print('web')\n",
        "web/requirements.txt": "# none\n",
        "worker/work.py": "print('work')\n",
        "worker/requirements.txt": "# none\n",
    }
    for file, text in contents.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    (place / "bin").mkdir()
    trivy = place / "bin" / "trivy"
    trivy.write_text(TRIVY.format(python=sys.executable))
    trivy.chmod(0o755)
    _git(root, "init", "--quiet", "--initial-branch=main")
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", "start")
    return place


def _git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(
        ["git", *identity, *arguments],
        cwd=root,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        timeout=300,
        check=True,
    )


@pytest.fixture(scope="session")
def built(template: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature after `inv build scan sign`."""
    place = tmp_path_factory.mktemp("built") / "repository"
    shutil.copytree(template / "repository", place)
    search = f"{template / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "lockgate.tasks.program", "build", "scan", "sign"],
        cwd=place,
        env={**os.environ, "PATH": search, "LOCKGATE_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def make_mini(
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Path], Mini]:
    """Call with a folder for a copy of it, which becomes the current folder."""

    def make(source: Path) -> Mini:
        place = tmp_path / "mini"
        shutil.copytree(source, place)
        monkeypatch.chdir(place)
        search = f"{template / 'bin'}:{os.environ['PATH']}"
        monkeypatch.setenv("PATH", search)
        return Mini(place, capsys, search)

    return make


@pytest.fixture
def mini(make_mini: Callable[[Path], Mini], template: Path) -> Mini:
    """A fresh copy, in which nothing was built yet."""
    return make_mini(template / "repository")


@pytest.fixture
def built_mini(make_mini: Callable[[Path], Mini], built: Path) -> Mini:
    """A copy in which both components are built, scanned and signed."""
    return make_mini(built)
