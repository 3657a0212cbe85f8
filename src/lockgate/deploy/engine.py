"""Run an image with a container engine, docker or podman, when one answers.

The image comes out of the store by its digest and goes in as a docker archive, the one form that every
engine loads; nothing is pulled. The layers that the engine then has are compared with the image's diff_ids.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Self

import msgspec

from lockgate.base.errors import CommandFailed, DigestMismatch, ToolError
from lockgate.base.files import storage_error
from lockgate.base.process import TAIL, Completed, end_group, plain_environment, run
from lockgate.deploy import contract
from lockgate.deploy.archive import write_archive
from lockgate.oci.digest import Digest
from lockgate.oci.unpack import read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path
    from typing import IO

    from lockgate.deploy.model import Instance
    from lockgate.deploy.runner import Launch
    from lockgate.oci.layout import Layout

NAMES = ("docker", "podman")

_VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "CONTAINER_HOST", "XDG_RUNTIME_DIR")
"""What tells an engine's client where the engine is."""

_FOLDER_LABEL = "lockgate.folder"
_COMPONENT_LABEL = "lockgate.component"

_HARDENED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp:rw,nosuid,nodev,size=256m,mode=1777",
    "--pids-limit=4096",
)


_PATIENCE = 30.0
"""Seconds for an engine to say that it is there. One that is not says so at once; a busy one takes its time."""


def find_engine() -> Engine | None:
    """Return the first engine of this machine that answers within `_PATIENCE`.

    One that is elsewhere (a host of its own in DOCKER_HOST) does not count: its loopback is not ours.
    """
    for name in NAMES:
        place = os.environ.get("DOCKER_HOST" if name == "docker" else "CONTAINER_HOST", "unix:")
        if shutil.which(name) is None or not place.startswith("unix:"):
            continue
        engine = Engine(name)
        try:
            engine.call("info", timeout=_PATIENCE)
        except ToolError:
            continue
        return engine
    return None


class Engine:
    """The runner that hands everything to `docker` or `podman`."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Return what records call it."""
        return self._name

    def call(self, *arguments: str, timeout: float = 60, stdin: bytes | None = None) -> Completed:
        """Run the engine's client.

        Raises:
            ToolError: it is absent or failed.
        """
        environment = plain_environment(*_VARIABLES)
        return run([self._name, *arguments], timeout=timeout, env=environment, stdin=stdin)

    def stream(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the engine's client, for its output as it comes; end it with `end_group`."""
        return subprocess.Popen(
            [self._name, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=plain_environment(*_VARIABLES),
            start_new_session=True,
        )

    def prepare(self, layout: Layout, manifest: str, root: Path) -> None:
        """Load the image unless the engine has it.

        Raises:
            DigestMismatch, UsageError: a blob is changed or absent.
            ToolError: the engine does not take it.
            StorageError: the disk is full.
        """
        try:
            self.image(layout, manifest, root)
        except CommandFailed:
            layout.verify_image(manifest)
            root.mkdir(parents=True, exist_ok=True)
            try:
                with tempfile.TemporaryFile(dir=root) as archive:
                    write_archive(layout, manifest, _reference(root, manifest), archive)
                    archive.seek(0)
                    self._load(archive)
            except OSError as error:
                raise storage_error(error, root) from error
            self.image(layout, manifest, root)

    def start(self, launch: Launch) -> EngineStarted:
        """Start a container of a prepared image.

        Raises:
            ToolError: the engine refuses.
            UsageError: the image names no program, or wants to be root.
        """
        instance, service = launch.instance, launch.instance.service
        _, config = read_config(launch.layout, instance.manifest)
        uid, gid = contract.user(config.config)
        contract.arguments(config.config)
        given = contract.environment(config, instance, host="0.0.0.0", port=service.port)  # noqa: S104 - a container's door
        made = self.call(
            "create",
            *_HARDENED,
            f"--user={uid}:{gid}",
            f"--publish=127.0.0.1:{instance.port}:{service.port}",
            f"--label={_FOLDER_LABEL}={_tag(launch.root)}",
            f"--label={_COMPONENT_LABEL}={service.component}",
            *(f"--env={name}={value}" for name, value in given.items()),
            self.image(launch.layout, instance.manifest, launch.root),
        )
        container = made.stdout.decode().strip()
        try:
            self.call("start", container)
        except BaseException:
            self._remove(container)
            raise
        return EngineStarted(self, msgspec.structs.replace(instance, container=container))

    def sweep(self, root: Path, component: str, keep: tuple[Instance, ...]) -> None:
        """Remove the component's containers except those of `keep`."""
        labels = {_FOLDER_LABEL: _tag(root), _COMPONENT_LABEL: component}
        filters = [f"--filter=label={name}={value}" for name, value in labels.items()]
        listed = self.call("ps", "--all", "--quiet", "--no-trunc", *filters)
        kept = {instance.container for instance in keep}
        for container in listed.stdout.decode().split():
            if container not in kept:
                with contextlib.suppress(CommandFailed):  # it never ran
                    self.call("stop", "-t0", container)
                self._remove(container)

    def prune(self, root: Path, keep: Callable[[], Collection[str]]) -> None:
        """Remove the loaded images of this folder whose manifests `keep` does not name."""
        wanted = {_reference(root, manifest) for manifest in keep()}
        form = "--format={{.Repository}}:{{.Tag}}"
        listed = self.call("image", "ls", form, _repository(root))
        for reference in listed.stdout.decode().split():
            if reference not in wanted:
                with contextlib.suppress(CommandFailed):  # a container still uses it
                    self.call("image", "rm", reference)

    def alive(self, instance: Instance) -> bool:
        """True when exactly this container runs.

        Raises:
            ToolError: the engine does not answer, so nobody knows.
        """
        listed = self.call(
            "ps", "--quiet", "--no-trunc", f"--filter=id={instance.container or 'none'}"
        )
        return instance.container in listed.stdout.decode().split()

    def stop(self, instance: Instance, grace: float) -> None:
        """Stop the container and remove it.

        Raises:
            ToolError: the engine refuses.
        """
        if self.alive(instance):
            self.call("stop", f"-t{round(grace)}", instance.container, timeout=grace + 30)
        if instance.container:
            self._remove(instance.container)

    def tail(self, instance: Instance, folder: Path, lines: int) -> str:  # noqa: ARG002
        """Return the last lines of its log; empty when the container was removed."""
        try:
            read = self.call("logs", f"--tail={lines}", instance.container)
        except CommandFailed:
            return ""
        return (read.stdout + read.stderr).decode("utf-8", "replace").rstrip()

    def wait(self, container: str) -> subprocess.Popen[bytes]:
        """Return a process that ends, and prints the exit code, when the container ends."""
        return self.stream("wait", container)

    def image(self, layout: Layout, manifest: str, root: Path) -> str:
        """Return the engine's id of a prepared image.

        Raises:
            CommandFailed: the engine does not have it.
            DigestMismatch: what it has under this name is something else.
        """
        form = '--format=["{{.Id}}",{{json .RootFS.Layers}}]'
        reference = _reference(root, manifest)
        answer = self.call("image", "inspect", form, reference)
        image, layers = json.loads(answer.stdout)
        if tuple(layers) != read_config(layout, manifest)[1].rootfs.diff_ids:
            raise DigestMismatch(
                f"{self._name} has other layers as {reference}",
                hint=f"`{self._name} image rm {reference}`, then deploy again",
            )
        return str(image)

    def _load(self, archive: IO[bytes]) -> None:
        child = subprocess.Popen(
            [self._name, "load", "--quiet"],
            stdin=archive,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=plain_environment(*_VARIABLES),
            start_new_session=True,
        )
        try:
            stderr = child.communicate(timeout=600)[1]
        except BaseException:
            end_group(child)
            raise
        if child.returncode:
            tail = stderr[-TAIL:].decode("utf-8", "replace")
            raise CommandFailed([self._name, "load"], child.returncode, tail)

    def _remove(self, container: str) -> None:
        self.call("rm", "--force", "--volumes", container)


class EngineStarted:
    """A container that is removed unless it is kept; should this process be killed, by the next sweep."""

    def __init__(self, engine: Engine, instance: Instance) -> None:
        self.instance = instance
        self._engine = engine
        self._end = engine.wait(instance.container)
        self._kept = self._closed = False
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def ended(self, timeout: float) -> int | None:
        """Wait at most `timeout` seconds; return the exit code when the service has ended."""
        if self._code is None:
            try:
                printed = self._end.communicate(timeout=timeout)[0].strip()
            except subprocess.TimeoutExpired:
                return None
            self._code = int(printed) if printed.isdigit() else 137
        return self._code

    def keep(self) -> None:
        """Let it outlive this object."""
        self._kept = True

    def drop(self) -> None:
        """Remove the container unless it is kept. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        end_group(self._end)
        if not self._kept:
            self._engine.stop(self.instance, 0)


def _tag(root: Path) -> str:
    """Return a short name for the folder, so that two checkouts on one engine do not meet."""
    return hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:12]


def _repository(root: Path) -> str:
    return f"localhost/lockgate-{_tag(root)}"


def _reference(root: Path, manifest: str) -> str:
    return f"{_repository(root)}:{Digest(manifest).hex}"
