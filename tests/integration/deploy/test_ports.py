"""Ports that are picked for servers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lockgate.base.errors import UsageError
from lockgate.deploy.ports import claim


def test_any_port_is_none_that_connections_get() -> None:
    """What is picked now is not given to somebody's outgoing connection a moment later, and not picked twice."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    found = [claim(0) for _ in range(50)]

    assert 1024 <= min(found) <= max(found) < first
    assert len(set(found)) == len(found)


def test_a_port_in_use_is_refused_and_never_picked() -> None:
    """Where a program listens no other one is sent."""
    port = claim(0)
    # As `claim` does, and unlike a socket's default, it passes over connections that have ended.
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 cannot be used"),
    ):
        claim(port)
