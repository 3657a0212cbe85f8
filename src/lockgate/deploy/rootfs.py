"""The file systems that a service sees: its image read-only, and a few private ones.

Standard library only: the launcher uses this without site-packages. Runs inside new namespaces, so nothing
here changes the machine. Which parts of `/proc` are hidden or read-only follows the runtime specification's
`maskedPaths` and `readonlyPaths` as container engines set them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lockgate.base import kernel

_PRIVATE = kernel.MS_NOSUID | kernel.MS_NODEV
_DATA = _PRIVATE | kernel.MS_NOEXEC

_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}

_HIDDEN = ("acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi")
_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")

_NETWORK_FILES = ("hosts", "resolv.conf")
"""Files in `etc` that a service on the machine's network needs from the machine."""


def assemble(root: str) -> None:
    """Make `root` the root of this mount namespace, with private /dev, /proc and /tmp.

    Raises:
        OSError: the kernel refuses, or the image has something else where a mount point must be.
    """
    # What is mounted here must not appear outside.
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.bind(root, root, kernel.MS_RDONLY | _PRIVATE)
    for name in ("dev", "proc", "tmp"):
        # A link here would put a mount elsewhere.
        if not stat.S_ISDIR(os.lstat(f"{root}/{name}").st_mode):
            raise NotADirectoryError(f"/{name} of the image is not a folder")
    scratch = "mode=1777,size=256m,nr_inodes=65536"
    kernel.mount("tmpfs", f"{root}/tmp", "tmpfs", _PRIVATE, scratch)  # noqa: S108 - the service's own
    _devices(f"{root}/dev")
    _processes(f"{root}/proc")
    _network_files(f"{root}/etc")
    kernel.pivot(root)


def _devices(dev: str) -> None:
    kernel.mount("tmpfs", dev, "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "mode=755,size=64k")
    for name in _DEVICES:
        # Nodes cannot be made without privileges outside; the machine's own can be bound.
        Path(dev, name).touch(0o666)
        kernel.mount(f"/dev/{name}", f"{dev}/{name}", flags=kernel.MS_BIND)
    for name, target in _LINKS.items():
        Path(dev, name).symlink_to(target)
    Path(dev, "shm").mkdir(0o755)
    kernel.mount("tmpfs", f"{dev}/shm", "tmpfs", _DATA, "mode=1777,size=64m")
    kernel.mount(
        "none", dev, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID
    )


def _processes(proc: str) -> None:
    try:
        # Processes of others, the init too, are invisible: their arguments name paths of the machine.
        kernel.mount("proc", proc, "proc", _DATA, "hidepid=2")
    except PermissionError:
        # In a container whose own /proc is partly hidden the kernel gives no other one: do without.
        return
    for name in _HIDDEN:
        path = Path(proc, name)
        if path.is_dir():
            kernel.mount("tmpfs", str(path), "tmpfs", _DATA | kernel.MS_RDONLY, "size=0")
        elif path.exists():
            kernel.mount("/dev/null", str(path), flags=kernel.MS_BIND)
    for name in _READ_ONLY:
        if Path(proc, name).exists():
            kernel.bind(f"{proc}/{name}", f"{proc}/{name}", _DATA | kernel.MS_RDONLY)


def _network_files(etc: str) -> None:
    if Path(etc).is_symlink():
        return
    for name in _NETWORK_FILES:
        source, target = Path("/etc", name), Path(etc, name)
        if source.is_file() and target.is_file() and not target.is_symlink():
            kernel.bind(str(source), str(target), _DATA | kernel.MS_RDONLY)
