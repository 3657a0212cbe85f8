"""Programs without a network: a network namespace of their own, in which only loopback exists.

The kernel enforces it, so a program cannot undo it. What it does not cut off are sockets in the file
system (`/run/docker.sock`): a program that must not reach those needs a root of its own.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAUNCHER = Path(__file__).with_name("_contain.py")


@functools.cache
def available() -> bool:
    """True when this user may make network namespaces here; found out once by making one.

    The kernel may lack them, forbid them to users, or allow them without any right inside (AppArmor), so
    only a rehearsal gives the answer.
    """
    if not sys.platform.startswith("linux"):
        return False
    from lockgate.base.errors import ToolError
    from lockgate.base.process import run

    try:
        run(offline(["true"]), timeout=60)
    except ToolError:
        return False
    return True


def offline(argv: Sequence[str]) -> list[str]:
    """Return the arguments that run `argv` without network, privileges or a way to outlive its parent.

    Inside: loopback only, no_new_privs, no capabilities (root keeps the one to read and write any file), the
    same user id. The program is killed when the process that called this function ends, and that process
    must start it directly. When the kernel refuses, the program is not run and the exit code is 125.
    """
    return [sys.executable, "-I", "-S", os.fspath(_LAUNCHER), str(os.getpid()), *argv]
