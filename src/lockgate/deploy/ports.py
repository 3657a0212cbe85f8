"""Ports on loopback."""

from __future__ import annotations

import socket

from lockgate.base.errors import UsageError


def claim(wanted: int) -> int:
    """Return a port that nobody uses now: the wanted one, or any for 0.

    Raises:
        UsageError: another program has it, or it is not a port for this user.
    """
    with socket.socket() as probe:
        # As servers do: connections of an earlier one that are still closing are not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise UsageError(
                f"port {wanted} on 127.0.0.1 cannot be used: {reason}",
                hint="end what uses it, or set `port` of the environment in `lockgate.yaml` "
                "to another one; 0 picks a free one",
            ) from None
        return int(probe.getsockname()[1])
