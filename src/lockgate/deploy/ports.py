"""Ports on loopback."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import socket
from pathlib import Path

from lockgate.base.errors import UsageError

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Ports that the kernel gives to outgoing connections: the first and the last (ip-sysctl)."""

_MANY = 8000
"""How many ports below those `claim` chooses from."""

_next = itertools.count(secrets.randbelow(_MANY))


def claim(wanted: int) -> int:
    """Return a port that nobody uses now: the wanted one, or any for 0.

    Any means one that the kernel gives to no connection, and each time another one, so that it is still there when a
    server wants it.

    Raises:
        UsageError: another program has it, or it is not a port for this user.
    """
    if wanted == 0:
        lowest = max(1024, _first_of_connections() - _MANY)
        for _ in range(_MANY):
            with contextlib.suppress(OSError):
                return _bound(lowest + next(_next) % _MANY)
    try:
        return _bound(wanted)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise UsageError(
            f"port {wanted} on 127.0.0.1 cannot be used: {reason}",
            hint="end what uses it, or set `port` of the environment in `lockgate.yaml` "
            "to another one; 0 picks a free one",
        ) from None


def _first_of_connections() -> int:
    try:
        return int(_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


def _bound(port: int) -> int:
    with socket.socket() as probe:
        # As servers do: connections of an earlier one that are still closing are not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])
