"""Images for the sandbox, made of the Python that runs the tests: no download, no package, no engine."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

from lockgate.build.layer import Entry, Layer, write_layer
from lockgate.deploy.choose import runner
from lockgate.deploy.local import deploy, stop
from lockgate.deploy.model import Deployment, Service, Waits
from lockgate.deploy.runner import NAMESPACES, Runner
from lockgate.deploy.world import World
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    MANIFEST,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODULES = "__future__, http.server, json, os, signal, socket, time, traceback, pathlib, select, typing, encodings.ascii, encodings.idna"
REVISION = "3f2a9c1d" * 5
COMPONENT = "facts"


class Passed(NamedTuple):
    """A verification that passed."""

    subject: str


def python_entries(scratch: Path) -> Iterator[Entry]:
    """Yield this machine's Python with the modules that the service needs, in a fixed place."""
    program = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    listing = (
        f"import sys, {MODULES}\n"
        "print('\\n'.join(getattr(m, '__file__', None) or '' for m in list(sys.modules.values())))"
    )
    files = [Path(line) for line in output(program, "-I", "-S", "-c", listing).split("\n") if line]
    home = Path(json.__file__).parent.parent
    # Whole packages: some modules stand in for others that are then not listed.
    packages = {file.parent for file in files if file.is_relative_to(home)} - {home}
    files += [file for package in packages for file in package.glob("*.py") if file not in files]
    extensions = [file for file in files if file.suffix == ".so"]
    linked = output("ldd", program, *extensions)
    found = {"usr/bin/python3": stripped(program, scratch)}
    for name, path in re.findall(r"^\s*(\S+) => (/\S+) \(", linked, re.MULTILINE):
        found[f"usr/lib/host/{name}"] = stripped(Path(path), scratch)
    for loader in re.findall(r"^\s*(/\S+) \(", linked, re.MULTILINE):
        found[loader.lstrip("/")] = Path(loader)
    place = f"usr/lib/python3.{sys.version_info.minor}"
    for file in files:
        if file.is_relative_to(home):
            name = f"{place}/{file.relative_to(home)}"
            if file.suffix == ".py":
                found[f"{name}c"] = compiled(file, scratch)
            else:
                found[name] = file
    for name, path in sorted(found.items()):
        yield Entry(name, "file", 0o755, path.read_bytes())


def output(*argv: str | Path) -> str:
    """Return what a program prints."""
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    return ran.stdout


def stripped(program: Path, scratch: Path) -> Path:
    """Return a program without its symbols, where the machine has the tool for it: it is far smaller."""
    if shutil.which("strip") is None:
        return program
    small = scratch / program.name
    output("strip", "--strip-unneeded", "-o", small, program)
    return small


def compiled(source: Path, scratch: Path) -> Path:
    """Return the compiled form of a module, which alone starts faster than its source."""
    cached = Path(importlib.util.cache_from_source(source))
    if cached.exists():
        return cached
    made = scratch / f"{len(list(scratch.iterdir()))}.pyc"
    return Path(py_compile.compile(str(source), str(made), doraise=True) or made)


class Images:
    """Makes images of the service that differ in what it does."""

    def __init__(self, layout: Layout, base: Layer) -> None:
        self.layout = layout
        self.token = f"lockgate-test-{os.getpid()}"
        """Argument of every service of this run, by which its processes are found."""
        self._base = base

    def processes(self) -> int:
        """Return how many services of this run there are on this machine, in whatever sandbox."""
        found = 0
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    found += self.token.encode() in (folder / "cmdline").read_bytes().split(b"\0")
        return found

    def make(
        self,
        version: str,
        *,
        config: dict[str, Any] | None = None,
        links: dict[str, str] | None = None,
        **settings: Any,
    ) -> Passed:
        """Store an image index and return its verification.

        Args:
            version: what the service calls itself.
            config: overrides of the image's `config`.
            links: symbolic links in the root, and where they point.
            settings: what the service does; `service.py` knows the words.
        """
        told = json.dumps({"version": version, **settings}).encode()
        code = Path(__file__).with_name("service.py").read_bytes()
        top = write_layer(
            self.layout,
            [
                Entry("srv/service.py", "file", 0o644, code),
                Entry("srv/settings.json", "file", 0o644, told),
                *(Entry(name, "symlink", 0o777, link=to) for name, to in (links or {}).items()),
            ],
        )
        architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
        described = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [self._base.diff_id, top.diff_id]},
            "config": {
                "User": "65532:65532",
                "Env": [
                    "PATH=/usr/bin",
                    "PYTHONHOME=/usr",
                    "LD_LIBRARY_PATH=/usr/lib/host",
                    "COLOUR=blue",
                ],
                "Entrypoint": ["python3", "/srv/service.py"],
                "Cmd": [self.token],
                "WorkingDir": "/srv",
                "Labels": {"org.opencontainers.image.revision": REVISION},
                **(config or {}),
            },
        }
        layers = (self._base.descriptor, top.descriptor)
        manifest = Manifest(
            config=self.layout.put(json.dumps(described).encode(), CONFIG), layers=layers
        )
        stored = self.layout.put(manifest_bytes(manifest), MANIFEST)
        index = self.layout.put(index_bytes(Index(manifests=(stored,))), INDEX)
        return Passed(index.digest)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """A store with the Python layer, and a maker of images on it."""
    layout = Layout.create(tmp_path_factory.mktemp("store"))
    scratch = tmp_path_factory.mktemp("scratch")
    return Images(layout, write_layer(layout, python_entries(scratch)))


@pytest.fixture
def service() -> Service:
    """The settings of the component."""
    return Service(component=COMPONENT, port=8080, ready="/readyz", smoke="/smoke")


def only_namespaces(name: str) -> Runner:
    """Choose the sandbox, whether or not an engine answers."""
    return runner(name or NAMESPACES)


@pytest.fixture(autouse=True)
def _no_orphans(images: Images) -> Iterator[None]:
    """After every test nothing is left of what it started."""
    yield
    assert images.processes() == 0


@pytest.fixture
def world(tmp_path: Path, _no_orphans: None) -> Iterator[World]:
    """A folder to run things in; whatever runs there at the end of the test is ended."""
    patient = Waits(ready=60.0, stop=2.0, answer=60.0)
    made = World(run=tmp_path / "run", runners=only_namespaces, waits=patient)
    yield made
    stop(COMPONENT, made)


def get(url: str) -> Any:
    """Ask a running service, and read its answer as JSON."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


class Put(Protocol):
    """Deploys a verified image."""

    def __call__(self, passed: Passed, port: int = 0) -> Deployment:
        """Deploy on a port of the machine."""


@pytest.fixture
def put(world: World, images: Images, service: Service) -> Put:
    """Deploy in the test's world."""

    def run(passed: Passed, port: int = 0) -> Deployment:
        return deploy(passed, service, world, layout=images.layout, port=port, now=1_795_000_000)

    return run


@pytest.fixture
def ask() -> Callable[[str], Any]:
    """Ask a running service, and read its answer as JSON."""
    return get
