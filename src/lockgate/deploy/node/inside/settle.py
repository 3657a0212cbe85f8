"""What a container must be before a Kubernetes node fits into it.

The engine gives a container read-only views of cgroups and of `/proc/sys`. Here its own cgroup and the settings
of its own network become writable, and nothing else: no setting of the machine's kernel is changed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import subprocess
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_IPTABLES = Path("/usr/lib/iptables")
_SECONDS = 30

_WISHES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""Settings of the whole machine that kubelet insists on. It is shown files that say so."""

_PROBE = (
    ("-N", "LOCKGATE-PROBE"),
    (
        *("-A", "LOCKGATE-PROBE", "-p", "tcp", "-m", "comment", "--comment", "probe"),
        *("-m", "conntrack", "--ctstate", "NEW", "-m", "addrtype", "--dst-type", "LOCAL"),
        *("-m", "statistic", "--mode", "random", "--probability", "0.5"),
        *("-j", "DNAT", "--to-destination", "192.0.2.1:80"),
    ),
    ("-F", "LOCKGATE-PROBE"),
    ("-X", "LOCKGATE-PROBE"),
)
"""Every match and target that kube-proxy and the port mappings of pods use, in one rule."""


class UnsettledError(Exception):
    """The container cannot be a node; `str()` says why."""


def settle() -> dict[str, str]:
    """Prepare the container; return what was found.

    Returns:
        `cgroups`: `v1` or `v2`; `iptables`: `nft` or `legacy`; `path`: PATH with the right iptables;
        `address`: the node's own; `forward`: where CoreDNS sends other names.

    Raises:
        UnsettledError: something that a node cannot do without is not allowed here.
    """
    _mount("--make-rshared", "/")
    _messages()
    cgroups = _cgroups()
    _wishes(Path("/run/lockgate/sysctl"))
    _network()
    kind = _iptables()
    return {
        "cgroups": cgroups,
        "iptables": kind,
        "path": f"{_IPTABLES}/{kind}:/usr/local/bin:/usr/bin:/usr/sbin",
        "address": socket.gethostbyname(socket.gethostname()),
        "forward": _forward(Path("/etc/resolv.conf").read_text(encoding="utf-8")),
    }


def _mount(*arguments: str) -> None:
    done = subprocess.run(
        ["mount", *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        raise UnsettledError(f"`mount {' '.join(arguments)}`: {done.stderr.strip()}")


def _messages() -> None:
    """Kubelet reads the kernel's messages; where it may not, it reads none."""
    messages = Path("/dev/kmsg")
    if not messages.exists():
        messages.symlink_to("/dev/null")


def _cgroups() -> str:
    """Make the container's own cgroup writable, and with version 2 ready for children."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        place, kind = before.split()[4], after.split()[0]
        if kind in ("cgroup", "cgroup2") and Path(place).is_relative_to(_CGROUPS):
            try:
                _mount("-o", "remount,rw", place)
            except UnsettledError:
                _mount("-o", "remount,rw,bind", place)
    controllers = _CGROUPS / "cgroup.controllers"
    if not controllers.exists():
        return "v1"
    # A cgroup with processes of its own cannot hand controllers to its children.
    leaf = _CGROUPS / "node"
    leaf.mkdir(exist_ok=True)
    for pid in (_CGROUPS / "cgroup.procs").read_text(encoding="ascii").split():
        with contextlib.suppress(ProcessLookupError):
            (leaf / "cgroup.procs").write_text(pid, encoding="ascii")
    for name in controllers.read_text(encoding="ascii").split():
        with contextlib.suppress(OSError):  # a controller that the parent keeps to itself
            (_CGROUPS / "cgroup.subtree_control").write_text(f"+{name}", encoding="ascii")
    return "v2"


def _wishes(folder: Path) -> None:
    """Let kubelet find what it would otherwise set on the machine."""
    for name, value in _WISHES.items():
        if not Path("/proc/sys", name).exists():
            continue
        shown = folder / name
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.write_text(f"{value}\n", encoding="ascii")
        _mount("--bind", str(shown), f"/proc/sys/{name}")


def _network() -> None:
    """Packets of pods pass through the node."""
    _mount("--bind", "/proc/sys/net", "/proc/sys/net")
    _mount("-o", "remount,rw,bind", "/proc/sys/net")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")


def _iptables() -> str:
    """Return which iptables the kernel takes; the newer kind is asked first."""
    problems = []
    for kind in ("nft", "legacy"):
        program = str(_IPTABLES / kind / "iptables")
        for arguments in _PROBE:
            done = subprocess.run(
                [program, "-w", "10", "-t", "nat", *arguments],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            if done.returncode:
                problems.append(f"{kind}: {done.stderr.strip()}")
                break
        else:
            return kind
    raise UnsettledError("the kernel takes neither kind of iptables here: " + "; ".join(problems))


def _forward(resolver: str) -> str:
    """Return CoreDNS's line for names that are not of the cluster; empty where there is nobody to ask."""
    for line in resolver.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                if not ipaddress.ip_address(words[1].partition("%")[0]).is_loopback:
                    return "forward . /etc/resolv.conf"
    return ""
