"""Launcher: start a service in a sandbox of namespaces. Run by path, `python -I -S _launch.py`.

Reads one JSON object from stdin (`Order`), answers on the status pipe in lines:

    pid 4711         the sandbox's first process, seen from outside
    failed REASON    the sandbox could not be made
    ended 3          the service has ended with this exit code

With the argument `rehearse` it reads and starts nothing.

Standard library only. Ends as soon as the sandbox's first process exists.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from typing import TypedDict

if __name__ == "__main__":
    # At the end, so that no module of the package can stand before one of the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120

from lockgate.base import kernel
from lockgate.deploy import init, rootfs

_NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)

_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 65_536,
    resource.RLIMIT_NPROC: 8_192,
    resource.RLIMIT_MEMLOCK: 8 << 20,
}
"""Most that the service may raise a limit to, bytes where it is a size. Processes count per user of the
machine, so that one is generous."""


class Order(TypedDict):
    """What to start. The numbers are file descriptors that this process inherits."""

    root: str
    argv: list[str]
    env: dict[str, str]
    folder: str
    uid: int
    gid: int
    name: str
    guard: int
    lock: int
    status: int


def rehearse() -> int:
    """Make what a sandbox is made of and nothing else; return 0 when the kernel lets us."""
    kernel.enter(_NAMESPACES, uid=1, gid=1)
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("tmpfs", "/", "tmpfs", kernel.MS_NOSUID)
    except OSError:
        os._exit(1)
    os._exit(0)


def main(argv: list[str]) -> int:
    """Make the sandbox and its first process, or with the argument `rehearse` only try."""
    if argv:
        return rehearse()
    order: Order = json.load(sys.stdin)
    for inherited in (order["guard"], order["lock"], order["status"]):
        os.set_inheritable(inherited, False)
    try:
        own_user = kernel.enter(_NAMESPACES, uid=order["uid"], gid=order["gid"])
    except OSError as error:
        _say(order, f"failed {error}")
        return 1
    pid = os.fork()
    if pid:
        _say(order, f"pid {pid}")
        return 0
    try:
        _close_in(order, own_user)
    except OSError as error:
        _say(order, f"failed {error}")
        os._exit(1)
    code = 1
    try:
        code = init.serve(
            order["argv"],
            order["env"],
            order["folder"],
            guard=order["guard"],
            lock=order["lock"],
            status=order["status"],
        )
    finally:
        os._exit(code)


def _close_in(order: Order, own_user: bool) -> None:
    """Give up everything of the machine but its network; in the order in which each step is still allowed."""
    os.setsid()
    os.umask(0)
    socket.sethostname(order["name"])
    rootfs.assemble(order["root"])
    stdin = os.open("/dev/null", os.O_RDONLY)
    os.dup2(stdin, 0)
    os.close(stdin)
    for limit, most in _LIMITS.items():
        hard = resource.getrlimit(limit)[1]
        new = most if hard == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(limit, (new, new))
    if own_user:
        kernel.drop_capabilities()
    else:
        kernel.shrink_bounding_set()
        os.setgroups([])
        os.setresgid(order["gid"], order["gid"], order["gid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
        kernel.set_capabilities()
    kernel.forbid_new_privileges()
    kernel.forbid_tracing()


def _say(order: Order, line: str) -> None:
    os.write(order["status"], f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
