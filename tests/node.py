"""A single-node Kubernetes for tests, in a container of testcontainers on the engine of `tests.engine`.

What makes a container a node is asked of Lockgate: the image of `inv cluster.up`, the options and the files that
`lockgate.deploy.node` computes. It comes with DNS and a registry, everything built here: the first time, every
program of it is compiled. `inv cluster.up` itself is what `tests.cluster.node.test_lifecycle` is about.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
from testcontainers.core.wait_strategies import LogMessageWaitStrategy
from tests.apiserver import run_kubectl

from lockgate.deploy.node import cluster as node
from lockgate.deploy.node import configuration, machine, pki
from lockgate.deploy.node.capabilities import given
from lockgate.deploy.node.container import API_PORT, DATA
from lockgate.deploy.node.model import Machine, NodeImage, Ports
from lockgate.deploy.node.powers import powers
from lockgate.deploy.ports import claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import WaitStrategyTarget
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

LABEL = "lockgate.tests.node"
"""Label with a short name of the checkout whose tests made the container."""

READY = r'^\{"part": *"node", *"state": *"ready"'
"""The last thing that a node says when it starts: `lockgate.deploy.node.inside.supervise`."""

_MINUTE = 60.0
INV_SECONDS = 30 * _MINUTE
"""For `cluster.up`, with all that may have to be compiled."""


@dataclass
class Cluster:
    """A cluster, and the repository that works with it."""

    root: Path
    """Folder of the repository with its `lockgate.yaml`."""
    engine: Engine
    name: str
    kubeconfig: Path = Path()
    context: str = ""
    """Name of the context in the kubeconfig."""
    registry: str = ""
    """Host and port of its registry, here and in pods: `registry.localhost:5000`."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the node's programs."""
    kernel: dict[str, str] = field(default_factory=dict)
    """`KERNEL` before the cluster was made."""

    @property
    def address(self) -> str:
        """Address of the node, where this machine reaches NodePorts."""
        (found,) = self.get("nodes")["items"]
        addresses = {one["type"]: one["address"] for one in found["status"]["addresses"]}
        return str(addresses["InternalIP"])

    @property
    def environment(self) -> dict[str, str]:
        """Environment of programs that work with the cluster."""
        return {**os.environ, **self.engine.environment, "LOCKGATE_QUIET": ""}

    def inv(
        self,
        *arguments: str,
        code: int | None = 0,
        seconds: float = INV_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run `inv` in the repository; fail the test when the exit code is another than `code`.

        Args:
            arguments: task and flags.
            code: None for any.
            seconds: time limit.
        """
        done = subprocess.run(
            [*INV, *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def kubectl(
        self, *arguments: str, stdin: str | None = None, code: int | None = 0, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the cluster's administrator."""
        done = run_kubectl(
            [kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments], stdin=stdin, seconds=seconds
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


@functools.cache
def kubectl() -> str:
    """Return the path of kubectl: an accepted one on PATH, else the one that is built."""
    from lockgate.build import gotools
    from lockgate.tasks.session import user_cache

    return str(gotools.binary("kubectl", root=ROOT, cache=user_cache()))


def until(holds: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Wait until something holds; fail the test when it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


def kernel() -> dict[str, str]:
    """Return the settings of `KERNEL` as they are on this machine."""
    return {name: Path("/proc/sys", name).read_text().strip() for name in KERNEL}


class Ready(LogMessageWaitStrategy):
    """Waits until every part of the node is ready; a node that ends instead is shown with what it said."""

    def __init__(self) -> None:
        super().__init__(READY)
        self.with_startup_timeout(round(node.SECONDS)).with_poll_interval(0.2)

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        """Wait; raise RuntimeError when the container ends, TimeoutError when it never gets ready."""
        try:
            super().wait_until_ready(container)
        except RuntimeError as error:
            # testcontainers removes the container, and its log with it.
            error.add_note(container.get_logs()[0].decode("utf-8", "replace"))
            raise


class Parts(NamedTuple):
    """What a node is made of on an engine."""

    image: NodeImage
    loaded: str
    """The engine's id of the image."""
    about: Machine


def parts(engine: Engine, repository: Path) -> Parts:
    """Return what a node is made of, its image built and loaded unless it is there."""
    from lockgate.deploy.engine import Engine as Client
    from lockgate.tasks import noding
    from lockgate.tasks.session import Session

    client = Client("docker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        about = machine.look(client)
        machine.require(about)
        image, loaded = noding.image(Session(repository), client)
    return Parts(image, loaded, about)


def container(
    engine: Engine, made_of: Parts, *, name: str, ports: Ports, files: dict[str, pki.File]
) -> DockerContainer:
    """Return a container of testcontainers that is a node once it is started.

    Args:
        engine: where it runs.
        made_of: its image, and what the engine may give it.
        name: name of the node.
        ports: free ports of loopback.
        files: what `lockgate.deploy.node.cluster.contents` says that it holds.
    """
    from docker.types import services

    mount: Any = services.Mount
    options = powers(made_of.about, given(made_of.about.capabilities))
    made = engine.container(
        made_of.loaded,
        hostname=name,
        labels={LABEL: checkout()},
        user=options.user,
        cap_add=list(options.cap_add),
        cap_drop=list(options.cap_drop),
        security_opt=list(options.security_opt),
        cgroupns=options.cgroupns,
        device_cgroup_rules=list(options.device_cgroup_rules),
        devices=[f"{one}:{one}" for one in options.devices],
        # A volume without a name goes with its container.
        mounts=[mount(DATA, None)],
    )
    for folder in options.tmpfs:
        made.with_tmpfs_mount(folder, options.tmpfs_options)
    for path, file in files.items():
        made.with_copy_into_container(file.data, path.lstrip("/"), file.mode)
    # testcontainers has no word for an address of this machine.
    made.ports = {
        f"{API_PORT}/tcp": cast("int", ("127.0.0.1", ports.api)),
        f"{ports.registry}/tcp": cast("int", ("127.0.0.1", ports.registry)),
    }
    return made.waiting_for(Ready())


def checkout() -> str:
    """Return a short name of this checkout: two of them on one engine do not meet."""
    return hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]


@pytest.fixture(scope="session")
def repository() -> Iterator[Path]:
    """A repository with settings of its own, and this one's stacks, tools and components.

    It lies at one place and belongs to one test run at a time, so that what a killed run left is found and
    removed by the next one.
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
def node_parts(engine: Engine, repository: Path, request: pytest.FixtureRequest) -> Parts:
    """What nodes are made of; what a killed run left is removed."""
    with contextlib.closing(engine.client()) as client:
        left = {"label": f"{LABEL}={checkout()}"}
        for one in client.containers.list(all=True, filters=left):
            one.remove(force=True, v=True)
    # Minutes may pass while programs are compiled: what goes on, and how long it took, is shown as it happens.
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        print(file=sys.stderr)
        return parts(engine, repository)


@pytest.fixture(scope="session")
def cluster(
    engine: Engine,
    repository: Path,
    node_parts: Parts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """A single-node Kubernetes cluster with DNS and a registry, for the whole session."""
    name, context = "tests", "tests"
    ports = Ports(claim(0), claim(0))
    files = node.contents(
        name,
        node_parts.image,
        context=context,
        ports=ports,
        capabilities=given(node_parts.about.capabilities),
        now=int(time.time()),
    )
    kubeconfig = tmp_path_factory.mktemp("cluster") / "kubeconfig"
    kubeconfig.touch(0o600)
    kubeconfig.write_bytes(files[pki.KUBECONFIG].data)
    before = kernel()
    with container(engine, node_parts, name=name, ports=ports, files=files):
        yield Cluster(
            repository,
            engine,
            name,
            kubeconfig=kubeconfig,
            context=context,
            registry=f"{configuration.REGISTRY_HOST}:{ports.registry}",
            versions=node_parts.image.versions,
            kernel=before,
        )


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test; deleted after it."""
    name = f"t-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    # A controller makes it, and no pod comes in before.
    account = ("get", "serviceaccount", "default", f"--namespace={name}")
    until(
        lambda: cluster.kubectl(*account, code=None).returncode == 0, "the default ServiceAccount"
    )
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
