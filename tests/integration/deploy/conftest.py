"""Images for the sandbox, made of the Python that runs the tests: no download, no package, no engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lockgate.build.layer import Entry, Layer, write_layer
from lockgate.deploy.local import stop
from lockgate.deploy.model import Service, Waits
from lockgate.deploy.ready import ask
from lockgate.deploy.runner import NAMESPACES, Runner, runner
from lockgate.deploy.world import World
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODULES = "http.server, json, os, signal, socket, threading, traceback, encodings.ascii, encodings.idna"
REVISION = "3f2a9c1d" * 5
COMPONENT = "facts"


class Passed(NamedTuple):
    """A verification that passed."""

    subject: str


def python_entries() -> Iterator[Entry]:
    """Yield this machine's Python with the modules that the service needs, in a fixed place."""
    program = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    listing = (
        f"import sys, {MODULES}\n"
        "print('\\n'.join(getattr(m, '__file__', None) or '' for m in list(sys.modules.values())))"
    )
    ran = subprocess.run(
        [program, "-I", "-S", "-c", listing], capture_output=True, text=True, check=True, timeout=30
    )
    files = [Path(line) for line in ran.stdout.split("\n") if line]
    home = Path(json.__file__).parent.parent
    native = [program, *(file for file in files if file.suffix == ".so")]
    linked = subprocess.run(
        ["ldd", *native], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    libraries = dict(re.findall(r"^\s*(\S+) => (/\S+) \(", linked, re.MULTILINE))
    loaders = set(re.findall(r"^\s*(/\S+) \(", linked, re.MULTILINE))
    found = {"usr/bin/python3": (program, 0o755)}
    for name, path in libraries.items():
        found[f"usr/lib/host/{name}"] = (Path(path), 0o644)
    for loader in loaders:
        found[loader.lstrip("/")] = (Path(loader), 0o755)
    place = f"usr/lib/python3.{sys.version_info.minor}"
    for file in files:
        if file.is_relative_to(home):
            found[f"{place}/{file.relative_to(home)}"] = (file, 0o644)
    for name, (path, mode) in sorted(found.items()):
        yield Entry(name, "file", mode, path.read_bytes())


class Images:
    """Makes images of the service that differ in what it does."""

    def __init__(self, layout: Layout, base: Layer) -> None:
        self.layout = layout
        self._base = base

    def make(self, version: str, *, config: dict[str, Any] | None = None, **settings: Any) -> Passed:
        """Store an image index and return its verification.

        Args:
            version: what the service calls itself.
            config: overrides of the image's `config`.
            settings: what the service does; `service.py` knows the words.
        """
        told = json.dumps({"version": version, **settings}).encode()
        code = Path(__file__).with_name("service.py").read_bytes()
        top = write_layer(
            self.layout,
            [
                Entry("srv/service.py", "file", 0o644, code),
                Entry("srv/settings.json", "file", 0o644, told),
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
    return Images(layout, write_layer(layout, python_entries()))


@pytest.fixture
def service() -> Service:
    """The settings of the component."""
    return Service(component=COMPONENT, port=8080, ready="/readyz", smoke="/smoke")


def only_namespaces(name: str) -> Runner:
    """Choose the sandbox, whether or not an engine answers."""
    return runner(name or NAMESPACES)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A folder to run things in; whatever runs there at the end of the test is ended."""
    made = World(run=tmp_path / "run", runners=only_namespaces, waits=Waits(ready=10.0, stop=2.0))
    yield made
    stop(COMPONENT, made)


@pytest.fixture
def facts() -> Callable[[str], dict[str, Any]]:
    """Ask a running service what it sees."""

    def get(url: str) -> dict[str, Any]:
        import urllib.request

        with urllib.request.urlopen(f"{url}/facts", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    return get
