"""Who works on an inventory: a process, named so that others can see whether it has ended."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate.base.canonical import Foreign
from lockgate.deploy.kube.ownership import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

HOLDER = f"{GROUP}/holder"
LEASE = 15.0
"""Seconds for which who holds an inventory need not renew."""


class Holder(Foreign, frozen=True):
    """Who works on an inventory."""

    who: str
    """`HOST/BOOT/PID NAMESPACE/PID/START`."""
    run: str = ""
    """Tells two runs of one process apart."""
    beat: int = 0
    """Changes with every renewal."""
    seconds: float = LEASE


def me(pid: int | None = None) -> str:
    """Return the name of a process, by which others on this machine can see whether it has ended."""
    number = os.getpid() if pid is None else pid
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    space = Path("/proc/self/ns/pid").readlink().name.partition("[")[2].rstrip("]")
    return f"{socket.gethostname()}/{boot}/{space}/{number}/{_started(number)}"


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def has_ended(who: str) -> bool:
    """Return whether a process of this machine is known to have ended."""
    here, parts = me().split("/"), who.split("/")
    if len(parts) != 5 or parts[:3] != here[:3] or not re.fullmatch("[1-9][0-9]{0,8}", parts[3]):
        return False
    pid = int(parts[3])
    started = _started(pid)
    if started:
        return started != parts[4]
    # Other users' processes can be out of sight in /proc (proc(5), hidepid), and are there all the same.
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False


def people(who: str) -> str:
    """Return the name of a run for people."""
    parts = who.split("/")
    return f"process {parts[3]} on {parts[0]}" if len(parts) == 5 else who


def holder_of(body: Mapping[str, Any]) -> Holder | None:
    """Return who holds the inventory of a ConfigMap; None when nobody does."""
    text = (body["metadata"].get("annotations") or {}).get(HOLDER)
    if not text:
        return None
    with contextlib.suppress(msgspec.MsgspecError):
        return msgspec.json.decode(text, type=Holder)
    return Holder(who="somebody who left no name")
