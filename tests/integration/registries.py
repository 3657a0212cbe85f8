"""Real registries on loopback: distribution, Debian's docker-registry, crane's, and Lockgate's own.

`serve` runs one as a process, with a password or certificates where a test wants them. `contained` runs one in a
container, of an image that Lockgate built. Programs in Go are those of `tools/`, Debian's comes from its package;
what can neither be found nor made does not pass in silence.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lockgate.oci.layout import Layout
from lockgate.oci.server import Server
from lockgate.tasks.session import user_cache
from tests import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine import Engine

ROOT = Path(__file__).parents[2]

COSIGN, CRANE, DISTRIBUTION = "cosign", "crane", "registry"
"""What `tools/` calls the programs."""

REAL = ("distribution", "docker-registry", "lockgate")
"""Those that people run."""

KINDS = ("crane", *REAL)


class Running(NamedTuple):
    """A registry that answers."""

    kind: str
    port: int
    pid: int
    """0 for one that runs in this process or in a container."""

    @property
    def host(self) -> str:
        """Host and port, by a name that only this machine answers to."""
        return f"registry.localhost:{self.port}"


@functools.cache
def go_program(name: str) -> str:
    """Return a program of `tools/`: on PATH at an accepted version, or compiled once into the user's cache."""
    from lockgate.build import gotools

    return str(gotools.binary(name, root=ROOT, cache=user_cache()))


def debian_program(package: str) -> str:
    """Return a program of a Debian package, which is installed when it is not here and this is root."""
    return machine.program(package)


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
        with Server(Layout.create(home / "layout"), tls=tls) as server:
            yield Running(kind, int(server.address.rpartition(":")[2]), 0)
        return
    port = machine.free_port()
    if kind == "crane":
        argv = [go_program(CRANE), "registry", "serve", "--address", f"127.0.0.1:{port}"]
    else:
        config = home / "config.yml"
        config.write_text(_config(home, port, users, tls))
        program = (
            go_program(DISTRIBUTION)
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
        server_process.wait(60)


@contextlib.contextmanager
def contained(kind: str, engine: Engine, image: str) -> Iterator[Running]:
    """Run an empty registry in a container."""
    # Their data in memory: what is tried here is not the disk.
    with engine.published(image, 5000, memory="/tmp") as port:
        wait_until_it_answers(port, lambda: False)
        yield Running(kind, port, 0)


@contextlib.contextmanager
def command(home: Path, *flags: str) -> Iterator[Running]:
    """Run `inv registry.serve` over an empty store, as a process."""
    Layout.create(home / "store")
    (home / "tasks.py").write_text("from lockgate.tasks import namespace\n\nns = namespace()\n")
    with (home / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "lockgate.tasks.program", "registry.serve", "--port", "0",
             "--store", str(home / "store"), *flags],
            cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert child.stdout is not None
    try:
        address = child.stdout.readline().strip()
        assert address, (home / "log").read_text()
        yield Running("lockgate", int(address.rpartition(":")[2]), child.pid)
    finally:
        child.terminate()
        child.wait(60)
        child.stdout.close()


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
    if not wait_until_it_answers(port, lambda: server.poll() is not None, secure=secure):
        pytest.fail(f"{server.args!r} did not start: {log.read_text()[-2000:]}")


def finish(link: socket.socket) -> None:
    """End what is sent to a registry, and read until it ends the connection, too: it has put away what it got."""
    link.settimeout(60)
    link.shutdown(socket.SHUT_WR)
    while link.recv(65536):
        pass


def wait_until_it_answers(port: int, ended: Callable[[], bool], *, secure: bool = False) -> bool:
    """Wait until a registry answers at a port of loopback; False when it ended, or did not within two minutes."""
    until = time.monotonic() + 120
    # Whether its certificate is trusted is not asked here.
    anybody = ssl._create_unverified_context()  # noqa: S323
    while time.monotonic() < until and not ended():
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=anybody)
            if secure
            else http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        )
        try:
            connection.request("GET", "/v2/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        else:
            return True
        finally:
            connection.close()
    return False


def run(*argv: str, home: Path, code: int = 0) -> str:
    """Run a program with a home of its own; return its stdout."""
    done = subprocess.run(
        argv,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
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
