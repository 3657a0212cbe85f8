"""Real registries on loopback: crane's, Debian's docker-registry, distribution, and Lockgate's own.

What is not on the machine is fetched once into the user's cache: programs in Go from their modules, Debian's
from its package. `LOCKGATE_TEST_COSIGN`, `LOCKGATE_TEST_CRANE` and `LOCKGATE_TEST_DISTRIBUTION` name programs
that are there already. What can neither be found nor fetched fails the test that needs it, and says so.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lockgate.oci.layout import Layout
from lockgate.oci.server import Server
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COSIGN = ("LOCKGATE_TEST_COSIGN", "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3")
CRANE = ("LOCKGATE_TEST_CRANE", "github.com/google/go-containerregistry/cmd/crane@v0.22.1")
DISTRIBUTION = (
    "LOCKGATE_TEST_DISTRIBUTION",
    "github.com/distribution/distribution/v3/cmd/registry@v3.1.2",
)

KINDS = ("crane", "docker-registry", "distribution", "lockgate")

_BUILD_SECONDS = 900


class Running(NamedTuple):
    """A registry that answers."""

    kind: str
    port: int
    pid: int
    """0 for the one that runs in this process."""

    @property
    def host(self) -> str:
        """Host and port, by a name that only this machine answers to."""
        return f"registry.localhost:{self.port}"


def go_program(variable: str, module: str) -> str:
    """Return a program from a Go module; built on first use."""
    named = os.environ.get(variable)
    if named:
        return named
    name = module.rpartition("@")[0].rpartition("/")[2]
    folder = user_cache() / "test-tools" / module.replace("/", "_")
    if not (folder / name).exists():
        go = shutil.which("go")
        if go is None:
            pytest.fail(
                f"{name} is not here, and without Go it cannot be built: name it in {variable}"
            )
        done = subprocess.run(
            [go, "install", "-trimpath", "-ldflags=-s -w", module],
            env={**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{module} could not be built: {done.stderr[-500:]}")
    return str(folder / name)


def debian_program(package: str) -> str:
    """Return a program of a Debian package; the package is unpacked into the cache, and not installed."""
    found = shutil.which(package)
    if found is not None:
        return found
    folder = user_cache() / "test-tools" / package
    program = folder / "usr" / "bin" / package
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["apt-get", "download", package], cwd=folder, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        files = sorted(folder.glob(f"{package}_*.deb"))
        if done.returncode or not files:
            pytest.fail(f"`apt-get install {package}`: it is needed here. {done.stderr[-300:]}")
        subprocess.run(["dpkg-deb", "-x", files[-1], folder], timeout=60, check=True)
    return str(program)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serve(
    kind: str, home: Path, *, users: Path | None = None, tls: tuple[Path, Path] | None = None
) -> Iterator[Running]:
    """Run an empty registry of a kind.

    Args:
        kind: one of KINDS.
        home: an empty folder of its own.
        users: an htpasswd file (bcrypt), for those that can.
        tls: certificate and key, for those that can.
    """
    if kind == "lockgate":
        with Server(Layout.create(home / "layout")) as server:
            yield Running(kind, int(server.address.rpartition(":")[2]), 0)
        return
    port = free_port()
    if kind == "crane":
        argv = [go_program(*CRANE), "registry", "serve", "--address", f"127.0.0.1:{port}"]
    else:
        config = home / "config.yml"
        config.write_text(_config(home, port, users, tls))
        program = (
            go_program(*DISTRIBUTION)
            if kind == "distribution"
            else debian_program("docker-registry")
        )
        argv = [program, "serve", str(config)]
    with (home / "log").open("wb") as log:
        server_process = subprocess.Popen(
            argv,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "OTEL_TRACES_EXPORTER": "none"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(server_process, port, home / "log", secure=tls is not None)
        yield Running(kind, port, server_process.pid)
    finally:
        server_process.kill()
        server_process.wait(30)


def _config(home: Path, port: int, users: Path | None, tls: tuple[Path, Path] | None) -> str:
    lines = [
        "version: 0.1",
        "log: {level: warn}",
        f"storage: {{filesystem: {{rootdirectory: {home / 'data'}}}, delete: {{enabled: true}}}}",
        "http:",
        f"  addr: 127.0.0.1:{port}",
    ]
    if tls:
        lines.append(f"  tls: {{certificate: {tls[0]}, key: {tls[1]}}}")
    if users:
        lines.append(f"auth: {{htpasswd: {{realm: here, path: {users}}}}}")
    return "\n".join(lines) + "\n"


def _wait(server: subprocess.Popen[bytes], port: int, log: Path, *, secure: bool) -> None:
    """Return once the registry answers."""
    until = time.monotonic() + 30
    # Whether its certificate is trusted is not asked here.
    anybody = ssl._create_unverified_context()  # noqa: S323
    while time.monotonic() < until and server.poll() is None:
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=anybody)
            if secure
            else http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        )
        try:
            connection.request("GET", "/v2/")
            connection.getresponse().read()
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.05)
        else:
            return
        finally:
            connection.close()
    pytest.fail(f"{server.args!r} did not start: {log.read_text()[-2000:]}")


def run(*argv: str, home: Path, code: int = 0) -> str:
    """Run a program with a home of its own; return its stdout."""
    done = subprocess.run(
        argv,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


TASKS = """\
from lockgate.tasks import namespace, push

ns = namespace()
for one in (push.push, push.pull, push.copy):
    if one.name not in ns.task_names:
        ns.add_task(one)
"""
"""A `tasks.py` with the tasks of these tests."""
