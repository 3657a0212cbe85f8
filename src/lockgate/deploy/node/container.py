"""The container of a node: found by its labels, made, started, followed and removed with its volume.

Nothing is found by its name alone: what these functions remove was made by them, for this folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import selectors
import tarfile
import time
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import decode
from lockgate.base.errors import CommandFailed, NotReady, UsageError
from lockgate.base.process import end_group
from lockgate.deploy.node.model import Event, Machine, NodeImage, Ports
from lockgate.deploy.node.powers import powers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.deploy.engine import Engine
    from lockgate.deploy.node.pki import File

FOLDER = "lockgate.folder"
CLUSTER = "lockgate.cluster"
IMAGE = "lockgate.node"
"""Label with the digest of the manifest of the node's image."""

_VERSIONS = "lockgate.versions"
"""Label with the versions of the node's programs, as JSON."""

API_PORT = "6443"
"""Where the API server listens in the container."""

DATA = "/var"
"""Folder of the container that is a volume."""

_STOP = 20
_PIECE = 1 << 16


class Box(NamedTuple):
    """A container as the engine describes it."""

    id: str
    state: str
    """`created`, `running`, `exited` …, in the engine's words."""
    started: str
    """When it was started last, in the engine's words."""
    code: int
    """Its exit code; 0 while it runs."""
    image: str
    """Digest of the manifest of its image."""
    ports: Ports
    versions: dict[str, str]
    """Versions of the node's programs."""


class Place(NamedTuple):
    """Whose containers are meant: those of one cluster of one folder."""

    engine: Engine
    folder: Path
    """Folder of the repository's clusters: two checkouts on one engine do not meet."""
    name: str

    @property
    def tag(self) -> str:
        """A short name of the folder."""
        return hashlib.sha256(os.fsencode(self.folder.absolute())).hexdigest()[:12]

    @property
    def title(self) -> str:
        """What the container and its volume are called."""
        return f"lockgate-{self.name}-{self.tag[:6]}"

    @property
    def labels(self) -> dict[str, str]:
        """By which they are found."""
        return {FOLDER: self.tag, CLUSTER: self.name}

    @property
    def _filters(self) -> list[str]:
        return [f"--filter=label={name}={value}" for name, value in self.labels.items()]

    def find(self) -> Box | None:
        """Return the container of the cluster, or None.

        Raises:
            ToolError: the engine does not answer, so nobody knows.
        """
        listed = self.engine.call("ps", "--all", "--quiet", "--no-trunc", *self._filters)
        ids = listed.stdout.decode().split()
        if not ids:
            return None
        (about,) = json.loads(self.engine.call("container", "inspect", ids[0]).stdout)
        published = about["HostConfig"]["PortBindings"] or {}
        ports = {
            inner.partition("/")[0]: int(outer[0]["HostPort"]) for inner, outer in published.items()
        }
        api = ports.pop(API_PORT, 0)
        labels = about["Config"]["Labels"]
        return Box(
            id=about["Id"],
            state=about["State"]["Status"],
            started=about["State"]["StartedAt"],
            code=about["State"]["ExitCode"],
            image=labels.get(IMAGE, ""),
            ports=Ports(api, next(iter(ports.values()), 0)),
            versions=json.loads(labels.get(_VERSIONS, "{}")),
        )

    def create(
        self,
        loaded: str,
        image: NodeImage,
        *,
        machine: Machine,
        capabilities: tuple[str, ...],
        ports: Ports,
        files: Mapping[str, File],
    ) -> str:
        """Make the volume and the container, put the files in, and start nothing; return its id."""
        labels = [f"--label={name}={value}" for name, value in self.labels.items()]
        self.engine.call("volume", "create", *labels, self.title)
        made = self.engine.call(
            "create",
            f"--name={self.title}",
            f"--hostname={self.name}",
            *labels,
            f"--label={IMAGE}={image.manifest}",
            f"--label={_VERSIONS}={json.dumps(image.versions)}",
            *powers(machine, capabilities).arguments(),
            # Overlays of containers cannot lie on the overlay of a container.
            f"--volume={self.title}:{DATA}",
            f"--publish=127.0.0.1:{ports.api}:{API_PORT}",
            f"--publish=127.0.0.1:{ports.registry}:{ports.registry}",
            f"--stop-timeout={_STOP}",
            loaded,
        )
        container = made.stdout.decode().strip()
        # Keys go in through a pipe: they are in no image, no argument and no variable.
        self.engine.call("cp", "-", f"{container}:/", stdin=_tar(files))
        return container

    def start(self, container: str) -> None:
        """Start a container that was made, or was stopped.

        Raises:
            UsageError: a port is taken.
        """
        try:
            self.engine.call("start", container)
        except CommandFailed as error:
            if "port is already allocated" in error.stderr_tail or "in use" in error.stderr_tail:
                raise UsageError(
                    f"a port of the cluster {self.name} is taken: {error.stderr_tail.strip()[-200:]}",
                    hint="end what uses it, or set other ports under `cluster` in `lockgate.yaml`",
                ) from None
            raise

    def read(self, container: str, path: str) -> bytes:
        """Return a file of the container, running or not.

        Raises:
            CommandFailed: there is none.
        """
        packed = self.engine.call("cp", f"{container}:{path}", "-").stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    return file.read()
        return b""

    def events(self, box: Box) -> tuple[Event, ...]:
        """Return what the node has said since its last start."""
        read = self.engine.call("logs", f"--since={box.started}", box.id)
        return tuple(_events(read.stdout))

    def follow(self, box: Box, seconds: float) -> Iterator[Event]:
        """Yield what the node says from its last start on, until the container ends.

        Raises:
            NotReady: it says nothing more for longer than `seconds` in all.
        """
        until = time.monotonic() + seconds
        child = self.engine.stream("logs", "--follow", f"--since={box.started}", box.id)
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        pending = b""
        try:
            with selectors.DefaultSelector() as waiting:
                waiting.register(child.stdout, selectors.EVENT_READ)
                while True:
                    left = until - time.monotonic()
                    if left <= 0 or not waiting.select(left):
                        raise NotReady(
                            f"the node of {self.name} is not ready after {seconds:.0f} s",
                            hint=f"`{self.engine.name} logs {self.title}` shows how far it came; "
                            "`inv cluster.down` removes it",
                        )
                    piece = os.read(child.stdout.fileno(), _PIECE)
                    if not piece:
                        return
                    *lines, pending = (pending + piece).split(b"\n")
                    yield from _events(b"\n".join(lines))
        finally:
            end_group(child)

    def remove(self) -> tuple[str, ...]:
        """Remove the cluster's containers and volumes, and nothing else; return their names."""
        form = "--format={{.ID}} {{.Names}}"
        listed = self.engine.call("ps", "--all", "--no-trunc", form, *self._filters)
        removed = []
        for line in listed.stdout.decode().splitlines():
            container, _, name = line.partition(" ")
            self.engine.call("rm", "--force", "--volumes", container, timeout=120)
            removed.append(f"container {name}")
        volumes = self.engine.call("volume", "ls", "--format={{.Name}}", *self._filters)
        for name in volumes.stdout.decode().split():
            self.engine.call("volume", "rm", name, timeout=120)
            removed.append(f"volume {name}")
        return tuple(removed)


def _tar(files: Mapping[str, File]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        seen: set[str] = set()
        for path, file in sorted(files.items()):
            parts = path.strip("/").split("/")
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth])
                if folder not in seen:
                    seen.add(folder)
                    above = tarfile.TarInfo(folder)
                    above.type, above.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(above)
            info = tarfile.TarInfo("/".join(parts))
            info.size, info.mode = len(file.data), file.mode
            tar.addfile(info, io.BytesIO(file.data))
    return packed.getvalue()


def _events(text: bytes) -> Iterator[Event]:
    """Read the node's lines; what is none of its own (a traceback of Python) is passed over."""
    for line in text.splitlines():
        if line.startswith(b'{"part"'):
            yield decode(line, Event, what="an event of the node")
