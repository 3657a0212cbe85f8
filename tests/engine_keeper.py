"""Runs a private dockerd until its stdin ends, then removes everything that it left; a program of its own.

    python engine_keeper.py FOLDER SUBNET

FOLDER is empty; everything of the engine goes into it, and it is removed at the end. SUBNET is the beginning
of two free networks, `198.18.7`. `ready` is printed on stdout once the engine answers, or one line that says
why it does not. It ends when its stdin does, and so with whoever started it, however that ends.

What other engines on the machine could meet is kept apart: the bridge has a name of its own, no rule of the
packet filter is written (ports are published by docker's proxy), containerd's namespaces are its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 180
STOP_SECONDS = 20
_PR_SET_CHILD_SUBREAPER = 36
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


class Socket(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def connect(self) -> None:
        """Connect to the path that stands for the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.host)


def answers(path: str) -> bool:
    """True when a docker engine answers at a Unix socket."""
    connection = Socket(path)
    try:
        connection.request("GET", "/_ping", headers={"Host": "docker"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def runtime(folder: Path) -> Path:
    """Write the program that dockerd calls as its runtime: `engine_runtime` where something is started, else runc."""
    words = [sys.executable, "-I", str(Path(__file__).with_name("engine_runtime.py"))]
    program = folder / "runtime"
    program.write_text(
        f"""#!/bin/sh
case " $* " in
    *" --bundle "* | *" --process "*) exec {shlex.join(words)} "$@" ;;
    *) exec runc "$@" ;;
esac
"""
    )
    program.chmod(0o755)
    return program


def start(folder: Path, bridge: str) -> subprocess.Popen[bytes]:
    """Start dockerd with everything in `folder`."""
    name = f"lockgate-test-{os.getpid()}"
    settings = {
        "hosts": [f"unix://{folder}/docker.sock"],
        "data-root": f"{folder}/data",
        "exec-root": f"{folder}/exec",
        "pidfile": f"{folder}/pid",
        "bridge": bridge,
        "iptables": False,
        "ip-forward": False,
        "ip-masq": False,
        "shutdown-timeout": 2,
        "runtimes": {"lockgate": {"path": str(runtime(folder))}},
        "default-runtime": "lockgate",
    }
    config = folder / "daemon.json"
    config.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [
                "dockerd",
                f"--config-file={config}",
                # The file has no words for these two that every version knows.
                f"--containerd-namespace={name}",
                f"--containerd-plugins-namespace={name}-plugins",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def stop(daemon: subprocess.Popen[bytes]) -> None:
    """End dockerd and all that descends from this process."""
    daemon.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.wait(STOP_SECONDS)
    while left := descendants():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Whatever they started is this process's child now, and is found the next time.
        for _ in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)


def descendants() -> list[int]:
    """Return the processes that descend from this one; orphans too, since it is their reaper."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def unmount(folder: Path) -> None:
    """Unmount everything below a folder, the deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for place in sorted((one for one in places if one.startswith(f"{folder}/")), reverse=True):
        _libc.umount2(os.fsencode(place), _MNT_DETACH)


def ip(*arguments: str) -> str:
    """Change the network; return what went wrong, or nothing."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stderr.strip() if done.returncode else ""


def wait(daemon: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until the engine answers; return why it does not, or nothing."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if answers(f"{folder}/docker.sock"):
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(0.1)
            break
    tail = (folder / "log").read_text(errors="replace")[-600:]
    return "dockerd did not start: " + " ".join(tail.split())


def main(folder: Path, subnet: str) -> None:
    """Run the engine until stdin ends."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever uses the engine decides: it closes the pipe, or ends.
        signal.signal(one, signal.SIG_IGN)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    bridge = f"lgt{os.getpid()}"
    try:
        problem = (
            ip("link", "add", "name", bridge, "type", "bridge")
            or ip("address", "add", f"{subnet}.1/24", "dev", bridge)
            or ip("link", "set", bridge, "up")
        )
        if problem:
            print(f"no bridge: {problem}", flush=True)
            return
        daemon = start(folder, bridge)
        try:
            print(wait(daemon, folder) or "ready", flush=True)
            sys.stdin.buffer.read()
        finally:
            stop(daemon)
    finally:
        unmount(folder)
        ip("link", "delete", bridge)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
