"""Which capabilities there are, which a node needs, and what it does without the others (capabilities(7)). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.deploy.node.model import Lack, Machine

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
"""By number, `linux/capability.h`."""

WANTED = {
    "SYS_ADMIN": "containerd and kubelet mount file systems",
    "NET_ADMIN": "the network of pods is made and filtered",
    "NET_RAW": "pods may ping",
    "SYS_CHROOT": "containers get a root of their own",
    "MKNOD": "containers get their devices",
    "SYS_PTRACE": "namespaces of pods are entered",
    "SYS_RESOURCE": "",
    "CHOWN": "images are unpacked",
    "DAC_OVERRIDE": "images are unpacked",
    "FOWNER": "images are unpacked",
    "FSETID": "images are unpacked",
    "SETFCAP": "images are unpacked",
    "SETUID": "containers run as other users",
    "SETGID": "containers run as other users",
    "SETPCAP": "containers run with fewer capabilities",
    "KILL": "containers are ended",
    "NET_BIND_SERVICE": "pods listen on ports below 1024",
    "AUDIT_WRITE": "containers have it by default",
    "DAC_READ_SEARCH": "kubelet looks into every process",
    "SYSLOG": "",
}
"""What a node is given, and nothing else, with what it is for; with an empty text it manages without."""

_SILENT = "kubelet does not see the kernel's messages, such as those of the out-of-memory killer"
_SO = {
    "SYS_RESOURCE": "containers cannot be protected from the out-of-memory killer, all are equal to it",
    "SYSLOG": _SILENT,
}


def parse_bounding(status: str) -> tuple[str, ...]:
    """Return the capabilities of the bounding set in the text of `/proc/PID/status`.

    Capabilities that are newer than this list are left out: nothing here needs them.

    Returns:
        Names without `CAP_`, in the kernel's order; all of them when the text does not say.
    """
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    bits = int(found[1], 16) if found else -1
    return tuple(name for number, name in enumerate(NAMES) if bits >> number & 1)


def given(available: Iterable[str]) -> tuple[str, ...]:
    """Return what a node is given, of what is available; sorted."""
    return tuple(sorted(WANTED.keys() & set(available)))


def lacks(machine: Machine) -> tuple[Lack, ...]:
    """Return what the machine does not have, what cannot be done without first."""
    missing = [name for name in sorted(WANTED) if name not in machine.capabilities]
    found = [
        Lack(
            what=f"CAP_{name}",
            so=_SO.get(name) or f"without it there is no node: {WANTED[name]}",
            needed=name not in _SO,
        )
        for name in missing
    ]
    if not machine.kmsg:
        found.append(Lack(what="/dev/kmsg", so=_SILENT, needed=False))
    return tuple(sorted(found, key=lambda one: not one.needed))
