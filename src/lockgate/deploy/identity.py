"""Processes of other lives: a number, and proof that it still means the same one."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

from lockgate.base.errors import ToolError
from lockgate.deploy.model import ProcessId

_PATIENCE = 60.0
"""Seconds for a process that was killed, or is about to end, to be gone; it takes milliseconds, but for a machine
that is busy with other things."""

_EXITING = 0x4
"""Flag of a process that is about to end (Linux, `PF_EXITING` in `include/linux/sched.h`; proc_pid_stat(5), field 9)."""


def identify(pid: int) -> ProcessId | None:
    """Return the identity of a process; None when it has ended, a zombie included."""
    found = _look(pid)
    return found[0] if found else None


def alive(process: ProcessId) -> bool:
    """True when the very same process still runs.

    One that is about to end has given up its files, so its lock too, but not yet its children and their ports. It is
    waited for: it takes milliseconds.
    """
    try:
        # From here on the number cannot be given to another process unnoticed.
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        found = _look(process.pid)
        if found is None or found[0] != process:
            return False
        if found[1]:
            return True
        select.select([handle], [], [], _PATIENCE)
        return False
    finally:
        os.close(handle)


def _look(pid: int) -> tuple[ProcessId, bool] | None:
    """Return who has a number, and whether it is to go on; None when it has ended, a zombie included."""
    try:
        # The program's name stands in parentheses and may hold spaces and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = fields.rpartition(")")[2].split()
    if state in ("Z", "X"):
        return None
    process = ProcessId(pid=pid, started=int(rest[18]), boot=boot)
    return process, not int(rest[5]) & _EXITING


def end(process: ProcessId, grace: float) -> None:
    """Ask a process to end; after `grace` seconds kill it. Returns when it is gone.

    Raises:
        ToolError: it belongs to another user, or does not end even so.
    """
    try:
        # From here on the number cannot be given to another process unnoticed.
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if identify(process.pid) != process:
            return
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _PATIENCE)):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], patience)[0]:
                return
    except ProcessLookupError:
        return
    except PermissionError:
        raise ToolError(
            f"process {process.pid} belongs to another user",
            hint="run the same command as the user who deployed",
        ) from None
    finally:
        os.close(handle)
    raise ToolError(
        f"process {process.pid} does not end", hint=f"look at `cat /proc/{process.pid}/stack`"
    )
