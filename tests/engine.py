"""A docker engine for tests: the user's own when it answers, else a private one that ends with the tests.

As root on Debian the distribution's `docker.io` is installed when there is no dockerd. The private engine has
its socket, data and bridge to itself (`engine_keeper`). Its containers reach each other and this machine, and
nothing beyond. Where there can be no engine the tests that want one are skipped, and say why; with
`LOCKGATE_TEST_ENGINE=required`, as CI sets it, they fail instead.

Nothing of this process's environment is changed: whoever needs `DOCKER_HOST` takes `Engine.environment`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.engine_keeper import START_SECONDS, STOP_SECONDS, answers

from tests import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.client import DockerClient
    from testcontainers.core.container import DockerContainer

    from lockgate.oci.layout import Layout

VARIABLE = "LOCKGATE_TEST_ENGINE"
"""`required`: no engine is a failure. `never`: as if there were none."""

_DEFAULT = "/var/run/docker.sock"
_KEEPER = Path(__file__).with_name("engine_keeper.py")


@dataclass
class Engine:
    """An engine that answers on this machine."""

    socket: str
    """Path of its Unix socket."""
    private: bool
    """True for one that runs for these tests alone."""
    loaded: list[str] = field(default_factory=list)
    """References of the images that tests loaded."""

    @property
    def host(self) -> str:
        """What DOCKER_HOST is for this engine."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which docker's clients find it."""
        return {"DOCKER_HOST": self.host}

    def client(self) -> DockerClient:
        """Return a client of docker's own library; close it."""
        import docker.client

        make: Any = docker.client.DockerClient
        return cast("DockerClient", make(base_url=self.host, timeout=120))

    def load(self, layout: Layout, digest: str, reference: str) -> str:
        """Load an image from a layout, this machine's platform of it; return the engine's id of it.

        It goes in as a docker archive, the one form that every engine takes.
        """
        from lockgate.deploy.archive import write_archive
        from lockgate.oci.unpack import read_config

        manifest = platform_manifest(layout, digest)
        layout.verify_image(manifest)
        with tempfile.TemporaryFile() as archive, contextlib.closing(self.client()) as client:
            write_archive(layout, manifest, reference, archive)
            archive.seek(0)
            (image,) = client.images.load(archive)
            self.loaded.append(reference)
            layers = tuple(image.attrs["RootFS"]["Layers"])
            assert layers == read_config(layout, manifest)[1].rootfs.diff_ids
            return str(image.id)

    def container(self, image: str, **more: Any) -> DockerContainer:
        """Return a container of testcontainers on this engine; it is started by `with`.

        Ports that it publishes by testcontainers' words are open to other machines; see `published`.
        """
        _settle()
        from testcontainers.core.container import DockerContainer

        kept = {"environment": self.environment, "timeout": 120}
        return DockerContainer(image, docker_client_kw=kept, **more)

    @contextlib.contextmanager
    def published(self, image: str, port: int, *, memory: str = "", **more: Any) -> Iterator[int]:
        """Run a container with one of its ports on a free port of loopback; give that.

        Args:
            image: its reference.
            port: where it listens.
            memory: a folder of it that lies in memory.
            more: what testcontainers takes.
        """
        container = self.container(image, **more)
        if memory:
            container.with_tmpfs_mount(memory, "mode=1777")
        # testcontainers has no word for an address without a port.
        container.ports[f"{port}/tcp"] = cast("int", ("127.0.0.1", None))
        with container:
            yield int(container.get_exposed_port(port))

    def sweep(self) -> None:
        """Remove what these tests left: containers, networks and volumes by their label, and images."""
        _settle()
        from docker.errors import DockerException
        from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

        wanted = {"label": f"{LABEL_SESSION_ID}={SESSION_ID}"}
        with contextlib.suppress(DockerException), contextlib.closing(self.client()) as client:
            for container in client.containers.list(all=True, filters=wanted):
                with contextlib.suppress(DockerException):
                    container.remove(force=True, v=True)
            for network in client.networks.list(filters=wanted):
                with contextlib.suppress(DockerException):
                    network.remove()
            for reference in self.loaded:
                with contextlib.suppress(DockerException):
                    client.images.remove(reference, force=True)


def platform_manifest(layout: Layout, digest: str) -> str:
    """Return the manifest of an image for this machine's processor."""
    machine_name = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    found = layout.manifests(digest)
    fitting = [one for one in found if one.platform and one.platform.architecture == machine_name]
    return (fitting or list(found))[0].digest


def _settle() -> None:
    """Set what testcontainers takes from the environment: no image is pulled, ports are this machine's."""
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    # Its reaper is an image from a public registry; `Engine.sweep` does its work.
    testcontainers_config.ryuk_disabled = True
    testcontainers_config.connection_mode_override = ConnectionMode.docker_host
    testcontainers_config.tc_host_override = "127.0.0.1"


def _present() -> str:
    """Return the socket of the user's own engine; nothing when none answers, or it is elsewhere."""
    named = os.environ.get("DOCKER_HOST", f"unix://{_DEFAULT}")
    path = named.removeprefix("unix://")
    return path if named.startswith("unix://") and answers(path) else ""


def _free_subnet() -> str:
    """Return the beginning of a /24 that no route of this machine leads to.

    198.18.0.0/15 is set apart for tests (RFC 2544), so hardly anything else uses it.
    """
    lines = Path("/proc/net/route").read_text().splitlines()[1:]
    used = {bytes.fromhex(line.split()[1])[::-1] for line in lines}
    return next(f"198.18.{n}" for n in range(1, 255) if bytes((198, 18, n, 0)) not in used)


def _prepare() -> str:
    """See to it that dockerd is here; return why it is not, or nothing."""
    if os.geteuid() != 0:
        return "no docker engine answers, and only root can run a private one"
    if shutil.which("dockerd") and shutil.which("ip") and shutil.which("docker"):
        return ""
    problem = machine.install("docker.io", "iproute2", optional=("docker-cli",))
    if problem:
        return f"no docker engine answers, and none can be installed: {problem}"
    return "" if shutil.which("dockerd") else "docker.io brought no dockerd"


@contextlib.contextmanager
def _private() -> Iterator[Engine | str]:
    """Run a private engine; give it, or why it does not run."""
    folder = Path(tempfile.mkdtemp(prefix="lockgate-engine-"))
    keeper = subprocess.Popen(
        [sys.executable, "-I", str(_KEEPER), str(folder), _free_subnet()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        # It has a time limit of its own.
        said = keeper.stdout.readline().strip()
        yield Engine(f"{folder}/docker.sock", private=True) if said == "ready" else said or "ended"
    finally:
        keeper.stdin.close()
        try:
            keeper.wait(START_SECONDS + STOP_SECONDS)
        finally:
            keeper.stdout.close()


def _without(reason: str) -> None:
    """End the test that wanted an engine."""
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(f"{VARIABLE}=required, and there is no engine: {reason}")
    pytest.skip(f"{reason}; {VARIABLE}=required makes this a failure")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A docker engine on this machine, for the whole session; what tests left on it is removed."""
    if os.environ.get(VARIABLE) == "never":
        _without(f"{VARIABLE}=never")
    with contextlib.ExitStack() as stack:
        present = _present()
        if present:
            found = Engine(present, private=False)
        else:
            reason = _prepare()
            started = reason or stack.enter_context(_private())
            if isinstance(started, str):
                _without(started)
                raise AssertionError(started)
            machine.say("runs a private dockerd, which ends with them")
            found = started
        stack.callback(found.sweep)
        yield found
