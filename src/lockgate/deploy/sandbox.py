"""Run an image in namespaces of the kernel: no engine, no root, nothing to install.

The service sees its image read-only, private /proc, /dev and /tmp, no process but its own, no capability
and no way to one. It shares the machine's network, since it is to be reached there, so it listens on
loopback only.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from lockgate.base.errors import ToolError
from lockgate.base.files import storage_error
from lockgate.deploy import contract, identity, state
from lockgate.deploy.runner import NAMESPACES
from lockgate.oci.unpack import Unpacked, prune, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lockgate.deploy.model import Instance
    from lockgate.deploy.runner import Launch
    from lockgate.oci.layout import Layout

_LAUNCHER = Path(__file__).with_name("_launch.py")

_PATIENCE = 60.0
"""Seconds for a sandbox to be made or to be gone; both take milliseconds, but for a machine that is busy with other
things. A kernel that refuses says so at once."""

_HINT = "`inv doctor` says whether this machine has namespaces or a container engine"


class Sandbox:
    """The runner that needs only the kernel."""

    @property
    def name(self) -> str:
        """Return what records call it."""
        return NAMESPACES

    def prepare(self, layout: Layout, manifest: str, root: Path) -> None:
        """Unpack the image, or find it unpacked and untouched.

        Raises:
            DigestMismatch, TrustError, UsageError, StorageError: as `oci.unpack.unpack`.
        """
        unpack(layout, manifest, root)

    def start(self, launch: Launch) -> SandboxStarted:
        """Start the service of a prepared image; it ends with this process until it is kept.

        Raises:
            ToolError: the kernel refuses a step.
            UsageError: the image names no program, or wants to be root.
        """
        # Unpacked already; this looks once more whether anyone changed it.
        unpacked = unpack(launch.layout, launch.instance.manifest, launch.root)
        guard_read, guard = os.pipe()
        answers, status = os.pipe()
        started = SandboxStarted(launch.instance, guard, answers)
        try:
            with contextlib.ExitStack() as given_away:
                given_away.callback(os.close, guard_read)
                given_away.callback(os.close, status)
                _launch(launch, unpacked, guard_read, status)
            started.identify()
        except BaseException:
            started.drop()
            raise
        return started

    def sweep(self, root: Path, component: str, keep: tuple[Instance, ...]) -> None:
        """Do nothing: what is not kept has ended with its deployer."""

    def prune(self, root: Path, keep: Callable[[], Collection[str]]) -> None:
        """Remove the unpacked images whose manifests `keep` does not name."""
        prune(root, keep)

    def alive(self, instance: Instance) -> bool:
        """True when exactly this instance runs."""
        return instance.process is not None and identity.alive(instance.process)

    def stop(self, instance: Instance, grace: float) -> None:
        """End the sandbox's first process, and with it all others.

        Raises:
            ToolError: it belongs to another user, or does not end.
        """
        if instance.process is not None:
            identity.end(instance.process, grace)

    def tail(self, instance: Instance, folder: Path, lines: int) -> str:
        """Return the last lines of its log."""
        return state.last_lines(folder / instance.log, lines)


class SandboxStarted:
    """A service that ends with this process until it is kept. The guard's end is its order to end."""

    def __init__(self, instance: Instance, guard: int, answers: int) -> None:
        self.instance = instance
        self._guard, self._answers = guard, answers
        self._heard = b""
        self._code: int | None = None
        self._open = True
        self._kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def identify(self) -> None:
        """Learn which process it is; one that has ended at once has no identity.

        Raises:
            ToolError: the sandbox could not be made.
        """
        word, rest = self._next(_PATIENCE)
        if word == "ended":
            # It was faster than the launcher, which has ended by now, so it has said who it was.
            self._code = int(rest)
            word, rest = self._next(_PATIENCE)
        if word != "pid":
            raise ToolError(f"the sandbox could not be made: {rest or word}", hint=_HINT)
        self.instance = msgspec.structs.replace(self.instance, process=identity.identify(int(rest)))

    def ended(self, timeout: float) -> int | None:
        """Wait at most `timeout` seconds; return the exit code when the service has ended.

        Raises:
            ToolError: the sandbox could not be made.
        """
        if self._code is None:
            word, rest = self._next(timeout)
            if word == "failed":
                raise ToolError(f"the sandbox could not be made: {rest}", hint=_HINT)
            if word == "ended":
                self._code = int(rest)
            elif word == "gone":
                self._code = 137
        return self._code

    def keep(self) -> None:
        """Let it outlive this process."""
        self._kept = True
        with contextlib.suppress(BrokenPipeError):  # it has ended; `ended` says so
            os.write(self._guard, b"k")

    def drop(self) -> None:
        """Unless it is kept, end it and return when it is gone. Does nothing the second time."""
        if not self._open:
            return
        self._open = False
        os.close(self._guard)
        try:
            if not self._kept:
                while self._next(_PATIENCE)[0] not in ("gone", "silent"):
                    pass
                if self.instance.process is not None:
                    identity.end(self.instance.process, 0)
        finally:
            os.close(self._answers)

    def _next(self, timeout: float) -> tuple[str, str]:
        """Return the next line in two parts; `gone` when there will be none, `silent` after the time."""
        while b"\n" not in self._heard:
            if not select.select([self._answers], [], [], timeout)[0]:
                return "silent", ""
            piece = os.read(self._answers, 4096)
            if not piece:
                return "gone", ""
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        word, _, rest = line.decode("utf-8", "replace").partition(" ")
        return word, rest


@functools.cache
def available() -> bool:
    """True when this user may make the namespaces and mounts of a sandbox here; found out by doing it."""
    if not sys.platform.startswith("linux"):
        return False
    from lockgate.base.process import run

    try:
        run([sys.executable, "-I", "-S", os.fspath(_LAUNCHER), "rehearse"], timeout=_PATIENCE)
    except ToolError:
        return False
    return True


def _launch(launch: Launch, unpacked: Unpacked, guard: int, status: int) -> None:
    """Run the launcher, which ends as soon as the sandbox's first process exists."""
    config, instance = unpacked.config, launch.instance
    uid, gid = contract.user(config.config)
    order = {
        "root": unpacked.root,
        "argv": contract.arguments(config.config),
        "env": contract.environment(config, instance, host="127.0.0.1", port=instance.port),
        "folder": config.config.folder or "/",
        "uid": uid,
        "gid": gid,
        "name": instance.service.component.replace("/", "-")[:63],
        "guard": guard,
        "lock": launch.lock,
        "status": status,
    }
    log = _open_log(launch.folder / instance.log, uid, gid)
    # The sandbox's first process keeps the launcher's environment, so it gets none; some builds of
    # Python find their own library by this one variable only.
    name = "LD_LIBRARY_PATH"
    try:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", os.fspath(_LAUNCHER)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={name: os.environ[name]} if name in os.environ else {},
            pass_fds=(guard, launch.lock, status),
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        raise ToolError(f"the sandbox could not be made: {error}", hint=_HINT) from error
    finally:
        os.close(log)
    try:
        launcher.communicate(json.dumps(order).encode(), timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.communicate()
        raise ToolError("the sandbox could not be made in time", hint=_HINT) from None


def _open_log(path: Path, uid: int, gid: int) -> int:
    """Open a log at its end. It belongs to the service, which may want to open /dev/stdout again."""
    try:
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            os.fchown(log, uid, gid)
    except OSError as error:
        raise storage_error(error, path) from error
    return log
