"""A Kubernetes node of our own for tests, made by `inv cluster.up` on the engine of `tests.engine`.

It comes with DNS and a registry, everything built here: the first time, every program of it is compiled.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine import Engine

ROOT = Path(__file__).parents[1]
INV = (sys.executable, "-m", "lockgate.tasks.program")

KERNEL = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
"""Settings of the machine that kubelet would change."""

SETTINGS = """\
project: tests
components:
  probe:
    path: tests/components/probe
    entrypoint: [python3, app.py]
    exclude: [README.md, requirements.txt]
build:
  platforms: [linux/{architecture}]
cluster:
  provider: node
  name: test
  registry_port: 0
"""

_MINUTE = 60.0
UP_SECONDS = 30 * _MINUTE
"""For `cluster.up`, with all that may have to be compiled."""


@dataclass
class Cluster:
    """A cluster by name, and the repository that makes it."""

    root: Path
    """Folder of the repository with its `lockgate.yaml`."""
    engine: Engine
    name: str
    status: dict[str, Any] = field(default_factory=dict)
    """What `inv cluster.up --json` said."""
    kernel: dict[str, str] = field(default_factory=dict)
    """`KERNEL` before the cluster was made."""

    @property
    def kubeconfig(self) -> Path:
        """Path of its kubeconfig."""
        return Path(self.status["kubeconfig"])

    @property
    def context(self) -> str:
        """Name of the context in the kubeconfig."""
        return str(self.status["context"])

    @property
    def registry(self) -> str:
        """Host and port of its registry, here and in pods: `registry.localhost:5000`."""
        return str(self.status["registry"])

    @property
    def address(self) -> str:
        """Address of the node, where this machine reaches NodePorts."""
        return str(self.status["nodes"][0]["address"])

    @property
    def environment(self) -> dict[str, str]:
        """Environment of programs that work with the cluster."""
        return {**os.environ, **self.engine.environment, "LOCKGATE_QUIET": ""}

    def inv(
        self,
        *arguments: str,
        code: int | None = 0,
        seconds: float = UP_SECONDS,
        shown: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `inv` in the repository; fail the test when the exit code is another than `code`.

        Args:
            arguments: task and flags.
            code: None for any.
            seconds: time limit.
            shown: let its progress go where this process's own goes, instead of keeping it.
        """
        done = subprocess.run(
            [*INV, *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            text=True,
            timeout=seconds,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def look(self) -> dict[str, Any]:
        """Return what `inv cluster.status --json` says now."""
        answer = self.inv("cluster.status", "--json", "--name", self.name, code=None, seconds=60)
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def up(self, *, shown: bool = False) -> str:
        """Have the cluster, and remember its status; return what was said on the way."""
        answer = self.inv("cluster.up", "--json", "--name", self.name, shown=shown)
        self.status = json.loads(answer.stdout)
        return answer.stderr or ""

    def down(self) -> str:
        """Remove the cluster; return what was said."""
        return self.inv("cluster.down", "--name", self.name, seconds=300).stderr

    def kubectl(
        self, *arguments: str, stdin: str | None = None, code: int | None = 0, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the cluster's administrator."""
        done = subprocess.run(
            [kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return an object as the API server has it."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json").stdout)
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects, server-side."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(listed))

    def call_engine(self, *arguments: str) -> str:
        """Run the engine's client and return what it prints."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def containers(self) -> list[str]:
        """Return the ids of the cluster's containers, running or not."""
        label = f"--filter=label=lockgate.cluster={self.name}"
        return self.call_engine("ps", "--all", "--quiet", "--no-trunc", label).split()

    def volumes(self) -> list[str]:
        """Return the names of the cluster's volumes."""
        label = f"--filter=label=lockgate.cluster={self.name}"
        return self.call_engine("volume", "ls", "--quiet", label).split()


@functools.cache
def kubectl() -> str:
    """Return the path of kubectl: an accepted one on PATH, else the one that is built."""
    from lockgate.build import gotools
    from lockgate.tasks.session import user_cache

    return str(gotools.binary("kubectl", root=ROOT, cache=user_cache()))


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until something holds; fail the test when it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


def kernel() -> dict[str, str]:
    """Return the settings of `KERNEL` as they are on this machine."""
    return {name: Path("/proc/sys", name).read_text().strip() for name in KERNEL}


@contextlib.contextmanager
def repository() -> Iterator[Path]:
    """Give a repository with settings of its own, and this one's stacks, tools and components.

    It lies at one place, so that a cluster which a killed run left is found and removed by the next one.
    """
    place = ROOT / ".lockgate" / "tests" / "cluster"
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".in-use").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
        (place / "lockgate.yaml").write_text(SETTINGS.format(architecture=architecture))
        for name in ("stacks", "tools", "tests"):
            link = place / name
            if not link.is_symlink():
                link.symlink_to(ROOT / name)
        (place / "tasks.py").write_text((ROOT / "tasks.py").read_text())
        yield place


@pytest.fixture(scope="session")
def cluster(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A single-node Kubernetes cluster with DNS and a registry, for the whole session."""
    # Minutes may pass while programs are compiled: what goes on, and how long it took, is shown as it happens.
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with repository() as place:
        made = Cluster(place, engine, "test", kernel=kernel())
        made.down()
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            print(file=sys.stderr)
            made.up(shown=True)
        try:
            yield made
        finally:
            made.down()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test; deleted after it."""
    name = f"t-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def probe(cluster: Cluster) -> str:
    """The image of `tests/components/probe`, built by Lockgate, in the cluster's registry; by digest."""
    cluster.inv("build", "-c", "probe")
    place = f"{cluster.registry}/probe"
    cluster.inv("copy", "--origin", "probe", "--to", f"{place}:test")
    record = cluster.root / ".lockgate" / "records" / "probe" / "image.json"
    return f"{place}@{json.loads(record.read_text())['subject']}"
