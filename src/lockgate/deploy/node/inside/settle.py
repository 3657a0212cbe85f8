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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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

_SET = "LOCKGATE-PROBE"
_POLICY_PROBE = (
    ("-N", "LOCKGATE-PROBE"),
    (
        *("-A", "LOCKGATE-PROBE", "-m", "comment", "--comment", "probe"),
        *("-m", "set", "--match-set", _SET, "src", "-m", "set", "--match-set", _SET, "dst"),
        *(
            "-m",
            "mark",
            "!",
            "--mark",
            "0x10000/0x10000",
            "-j",
            "MARK",
            "--set-xmark",
            "0x10000/0x10000",
        ),
    ),
    (
        "-A",
        "LOCKGATE-PROBE",
        "-m",
        "limit",
        "--limit",
        "10/minute",
        "-j",
        "NFLOG",
        "--nflog-group",
        "100",
    ),
    (
        *("-A", "LOCKGATE-PROBE", "-m", "addrtype", "--src-type", "LOCAL"),
        *("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"),
    ),
    ("-A", "LOCKGATE-PROBE", "-m", "physdev", "--physdev-is-bridged", "-j", "REJECT"),
    ("-F", "LOCKGATE-PROBE"),
    ("-X", "LOCKGATE-PROBE"),
)
"""Every match and target that kube-router uses for NetworkPolicies."""


class UnsettledError(Exception):
    """The container cannot be a node; `str()` says why."""


def settle() -> dict[str, str]:
    """Prepare the container; return what was found.

    Returns:
        `cgroups`: `v1` or `v2`; `iptables`: `nft` or `legacy`; `policies`: `enforced`, or empty when the kernel
        lacks what enforces NetworkPolicies; `path`: PATH with the right iptables; `address`: the node's own;
        `forward`: where CoreDNS sends other names.

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
        "policies": "enforced" if _policies(str(_IPTABLES / kind / "iptables")) else "",
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
        problem = _try([[program, "-w", "10", "-t", "nat", *arguments] for arguments in _PROBE])
        if not problem:
            return kind
        problems.append(f"{kind}: {problem}")
    raise UnsettledError("the kernel takes neither kind of iptables here: " + "; ".join(problems))


def _policies(iptables: str) -> bool:
    """True when the kernel takes sets of addresses, and rules with every match that kube-router uses."""
    table = [iptables, "-w", "10", "-t", "filter"]
    problem = _try(
        [
            ["ipset", "create", _SET, "hash:ip", "timeout", "0"],
            ["ipset", "create", f"{_SET}-NET", "hash:net", "timeout", "0"],
            *([*table, *arguments] for arguments in _POLICY_PROBE),
            ["ipset", "destroy", f"{_SET}-NET"],
            ["ipset", "destroy", _SET],
        ]
    )
    return not problem


def _try(commands: Sequence[Sequence[str]]) -> str:
    """Run commands until one fails; return what that one said, empty when none does."""
    for argv in commands:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            return done.stderr.strip() or f"exit code {done.returncode}"
    return ""


def _forward(resolver: str) -> str:
    """Return CoreDNS's line for names that are not of the cluster; empty where there is nobody to ask."""
    for line in resolver.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                if not ipaddress.ip_address(words[1].partition("%")[0]).is_loopback:
                    return "forward . /etc/resolv.conf"
    return ""
