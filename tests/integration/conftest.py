"""Real tools and real downloads. What is downloaded is kept between runs in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from tests.integration import registries

from lockgate.build import go_build
from lockgate.oci.layout import Layout
from tests import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.engine import Engine
    from tests.integration.registries import Running

ROOT = Path(__file__).parents[2]

INV = (sys.executable, "-m", "lockgate.tasks.program")

SETTLED = """
scan:
  database: embedded
environments:
  dev: {severity: MEDIUM, blocks: false, embedded_advisories: true, database_max_age_days: 36500,
        development_key: true, dirty: true, unsandboxed_scanner: true, port: 0}
  staging: {embedded_advisories: true, database_max_age_days: 36500, development_key: true,
            unsandboxed_scanner: true, port: 0}
  prod: {database_max_age_days: 36500, unsandboxed_scanner: true, port: 0}
"""
"""What tests settle: any free port, the advisories of the repository however old they have become."""


def scanner(folder: Path, version: str, body: str) -> dict[str, str]:
    """Put a `trivy` there that says a version, and else runs a shell script; return the PATH that it is first on."""
    folder.mkdir()
    path = folder / "trivy"
    path.write_text(
        f'#!/bin/sh\nfor word; do if [ "$word" = --version ]; then echo "Version: {version}"; '
        f"exit 0; fi; done\n{body}\n"
    )
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


class Repository:
    """A copy of this repository's app, stacks and settings in a git repository of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def inv(
        self, *arguments: str, env: Mapping[str, str | None] | None = None, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run `inv` there; fail the test when the exit code is another than `code`.

        A variable that is None in `env` is not set.
        """
        variables = {**os.environ, "LOCKGATE_QUIET": "", **(env or {})}
        done = subprocess.run(
            [*INV, *arguments],
            cwd=self.path,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=go_build.SECONDS,  # a fresh machine compiles a registry in it
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def git(self, *arguments: str) -> str:
        """Run git there, with an identity and times of the test's own."""
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_DATE": "2026-11-21T12:00:00Z",
            "GIT_COMMITTER_DATE": "2026-11-21T12:00:00Z",
        }
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def commit(self, message: str = "change") -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def settle(self) -> None:
        """Add what tests settle to `lockgate.yaml`, and commit it."""
        path = self.path / "lockgate.yaml"
        # The environments stand last in the file, and what the tests say of them takes their place.
        path.write_text(path.read_text().partition("\nenvironments:")[0] + SETTLED)
        self.commit("settle")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file; it must be there."""
        path = self.path / file
        text = path.read_text()
        assert old in text, f"{file} holds no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def record(self, name: str, component: str = "app") -> Any:
        """Return the record that a stage left."""
        return json.loads(
            (self.path / ".lockgate" / "records" / component / f"{name}.json").read_bytes()
        )

    @property
    def subject(self) -> str:
        """Digest of the image that was built last."""
        return str(self.record("image")["subject"])

    @property
    def store(self) -> Path:
        """The image layout."""
        return self.path / ".lockgate" / "store"

    def blob(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self.store / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def damaged(self) -> list[str]:
        """Return what is wrong with the store: blobs that are not what their name says, a broken index.

        Files that begin with a dot are being written, or were when their writer was killed: no reader of a
        layout looks at them.
        """
        wrong = [
            path.name
            for path in (self.store / "blobs" / "sha256").glob("[!.]*")
            if hashlib.sha256(path.read_bytes()).hexdigest() != path.name
        ]
        index = self.store / "index.json"
        if index.exists():
            named = [entry["digest"] for entry in json.loads(index.read_bytes())["manifests"]]
            wrong += [
                f"{one} is named and not there" for one in named if not self.blob(one).exists()
            ]
        return wrong


def copy_project(into: Path) -> Repository:
    """Copy what the flow needs of this repository and commit it."""
    skip = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
    into.mkdir(parents=True)
    for name in ("app", "stacks", "advisories", "policies", "images", "tools"):
        shutil.copytree(ROOT / name, into / name, ignore=skip)
    for name in ("lockgate.yaml", "tasks.py", ".gitignore"):
        shutil.copy(ROOT / name, into / name)
    repository = Repository(into)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit("start")
    return repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A fresh copy of the project, committed."""
    return copy_project(tmp_path / "repository")


@pytest.fixture(scope="session")
def make_repository(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Repository]:
    """Call with a name for another fresh copy."""

    def make(name: str) -> Repository:
        return copy_project(tmp_path_factory.mktemp(name) / "repository")

    return make


SELF = """
project: lockgate
components:
  lockgate:
    path: .
    requirements: requirements/inv.txt
    entrypoint: [python3, -m, lockgate.tasks.program, registry.serve,
                 --host, 0.0.0.0, --port, "5000", --store, /tmp/store]
    environment: {PYTHONPATH: /app/src}
    exclude: [stacks, requirements]
    platforms: [PLATFORM]
    port: 5000
"""
"""Lockgate as a component of a repository, with its own registry as the service."""


def copy_self(into: Path) -> Repository:
    """Copy what makes Lockgate itself an image, and commit it."""
    skip = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
    for name in ("src", "stacks", "requirements"):
        shutil.copytree(ROOT / name, into / name, ignore=skip)
    for name in ("tasks.py", ".gitignore"):
        shutil.copy(ROOT / name, into / name)
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    (into / "lockgate.yaml").write_text(SELF.replace("PLATFORM", f"linux/{arch}"))
    repository = Repository(into)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit("start")
    return repository


@pytest.fixture(scope="session")
def registry_images(
    engine: Engine,
    make_repository: Callable[[str], Repository],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The images of the registries, built here and loaded; their references by kind of registry."""
    others = make_repository("registries")
    own = copy_self(tmp_path_factory.mktemp("lockgate") / "repository")
    found = {}
    for kind, made, component in (
        ("distribution", others, "registry"),
        ("docker-registry", others, "docker-registry"),
        ("lockgate", own, "lockgate"),
    ):
        made.inv("build", "-c", component)
        subject = made.record("image", component)["subject"]
        reference = f"lockgate-test/{component}:{subject[-12:]}"
        engine.load(Layout(made.store), subject, reference)
        found[kind] = reference
    return found


class Serve(Protocol):
    """Runs an empty registry of a kind."""

    def __call__(self, kind: str, home: Path) -> AbstractContextManager[Running]:
        """Return it, not started yet."""


@pytest.fixture(scope="session")
def real_registry(request: pytest.FixtureRequest) -> Serve:
    """Runs registries in containers, Lockgate's own among them; crane's is a process.

    On a machine without an engine those in containers are processes; where one is required that is a failure.
    """

    def run(kind: str, home: Path) -> AbstractContextManager[Running]:
        if kind == "crane":
            return registries.serve(kind, home)
        try:
            images = request.getfixturevalue("registry_images")
        except pytest.skip.Exception as error:
            machine.say(f"run {kind} as a process and not in a container: {error.msg}")
            return registries.serve(kind, home)
        return registries.contained(kind, request.getfixturevalue("engine"), images[kind])

    return run


@pytest.fixture
def settled(tmp_path: Path) -> Repository:
    """A fresh copy with settings that suit a test; nothing was built."""
    made = copy_project(tmp_path / "repository")
    made.settle()
    return made


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy in which the app is built, scanned and signed. Tests that change it take `work`."""
    made = copy_project(tmp_path_factory.mktemp("finished") / "repository")
    made.settle()
    made.inv("build", "scan", "sign")
    return made


@pytest.fixture
def work(finished: Repository, tmp_path: Path) -> Iterator[Repository]:
    """A copy of `finished` of the test's own; what it deploys is stopped at the end."""
    place = tmp_path / "work"
    shutil.copytree(finished.path, place, symlinks=True)
    made = Repository(place)
    yield made
    made.inv("deploy.stop")


@pytest.fixture(scope="session")
def downloads(finished: Repository) -> Path:
    """The folder of downloads, in which everything is that the app's image is made of."""
    assert finished.subject
    named = os.environ.get("LOCKGATE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "lockgate"
