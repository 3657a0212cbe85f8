"""Ask the engine and the kernel what a container may be given, instead of assuming that it is everything."""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import ToolError, ToolRefused
from lockgate.deploy.node.capabilities import lacks, parse_bounding
from lockgate.deploy.node.model import Machine

if TYPE_CHECKING:
    from lockgate.deploy.engine import Engine

_DOCKER = "unix:///var/run/docker.sock"
_PODMAN_LIMIT = 1 << 20
"""Open files, and processes, that podman asks for unless told otherwise."""
_OTHERS = "use a rootful engine, or kind or k3d with `provider` under `cluster` in `lockgate.yaml`"


def look(engine: Engine) -> Machine:
    """Return what the engine can hand on to a container.

    Raises:
        ToolRefused: the engine runs without root, and its containers cannot be nodes of this kind.
        ToolError: it does not answer.
    """
    if engine.name == "podman":
        version, cgroups, security, rootless = _podman(engine)
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    else:
        version, cgroups, security, rootless = _docker(engine)
        status = _daemon_status(engine)
    if rootless:
        raise ToolRefused(
            f"{engine.name} runs without root, and a node needs more than its containers can have",
            hint=_OTHERS,
        )
    capabilities = parse_bounding(status)
    return Machine(
        engine=engine.name,
        version=version,
        capabilities=capabilities,
        cgroups="v2" if cgroups == "2" else "v1",
        security=security,
        kmsg=Path("/dev/kmsg").exists(),
        limits=_limits(engine, capabilities),
    )


def require(machine: Machine) -> None:
    """Stop when the machine lacks something that no node can do without.

    Raises:
        ToolRefused: it does; the message names it.
    """
    needed = [one for one in lacks(machine) if one.needed]
    if needed:
        names = ", ".join(one.what for one in needed)
        raise ToolRefused(
            f"{machine.engine} cannot give a container {names}: {needed[0].so}", hint=_OTHERS
        )


def _docker(engine: Engine) -> tuple[str, str, tuple[str, ...], bool]:
    found = _json(engine, "info", "--format={{json .}}")
    options = [str(one).split(",")[0].removeprefix("name=") for one in found["SecurityOptions"]]
    return (
        str(found["ServerVersion"]),
        str(found.get("CgroupVersion", "1")),
        tuple(one for one in options if one in ("seccomp", "apparmor", "selinux")),
        "rootless" in options,
    )


def _podman(engine: Engine) -> tuple[str, str, tuple[str, ...], bool]:
    found = _json(engine, "info", "--format=json")
    host, security = found["host"], found["host"]["security"]
    return (
        str(found["version"]["Version"]),
        str(host["cgroupVersion"]).removeprefix("v"),
        tuple(one for one in ("seccomp", "apparmor", "selinux") if security.get(f"{one}Enabled")),
        bool(security["rootless"]),
    )


def _limits(engine: Engine, capabilities: tuple[str, ...]) -> dict[str, int]:
    """Return the limits of this process that podman's own defaults lie above, and that nobody may raise here.

    Podman has no daemon: what it starts has the limits of whoever calls it, and raising one takes CAP_SYS_RESOURCE
    (setrlimit(2)). docker hands on those of its daemon.
    """
    if engine.name != "podman" or "SYS_RESOURCE" in capabilities:
        return {}
    # Podman itself lets go of what no number of a process reaches.
    numbers = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    found = {
        "nofile": (resource.getrlimit(resource.RLIMIT_NOFILE)[1], _PODMAN_LIMIT),
        "nproc": (resource.getrlimit(resource.RLIMIT_NPROC)[1], min(_PODMAN_LIMIT, numbers)),
    }
    hard = {name: min(most, wanted) for name, (most, wanted) in found.items() if most >= 0}
    return {name: most for name, most in hard.items() if most < _PODMAN_LIMIT}


def _json(engine: Engine, *arguments: str) -> Any:
    try:
        return json.loads(engine.call(*arguments).stdout)
    except ValueError:
        raise ToolError(
            f"`{engine.name} {arguments[0]}` prints no JSON",
            hint="`inv doctor` says what is needed of an engine",
        ) from None


def _daemon_status(engine: Engine) -> str:
    """Return `/proc/PID/status` of the daemon, whose bounding set its containers cannot leave.

    Where that process is out of sight (another process namespace) this machine's first one stands for it.
    """
    place = os.environ.get("DOCKER_HOST") or _context(engine)
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(5)
            door.connect(place.removeprefix("unix://"))
            raw = door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, _, _ = struct.unpack("3i", raw)
        return Path(f"/proc/{pid or 1}/status").read_text(encoding="utf-8")
    except OSError:
        return Path("/proc/1/status").read_text(encoding="utf-8")


def _context(engine: Engine) -> str:
    """Return where docker's current context leads."""
    try:
        form = "--format={{.Endpoints.docker.Host}}"
        return engine.call("context", "inspect", form).stdout.decode().strip() or _DOCKER
    except ToolError:
        return _DOCKER
