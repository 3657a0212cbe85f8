"""Reading answers: what counts as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.deploy.conftest import Behaviour, Machine, MachineStarted

from lockgate.deploy.model import Instance, Service, Waits
from lockgate.deploy.ready import smoke_test, status_of


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 204\r\n\r\n", 204),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", 503),
        (b"HTTP/1.1 200 OK\r\ncontent-length:3\r\nX: y\r\n\r\nyes, and more", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
    ],
)
def test_a_whole_answer_has_a_status(answer: bytes, status: int) -> None:
    """With or without a reason, a length, a body."""
    assert status_of(answer) == status


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ],
)
def test_anything_else_is_no_answer(answer: bytes) -> None:
    """Another protocol, and an answer that breaks off, are failures and never a 200."""
    with pytest.raises(OSError, match="it "):
        status_of(answer)


@given(st.binary(max_size=60))
def test_no_bytes_are_an_accident(answer: bytes) -> None:
    """Whatever a port sends, the result is a status or an OSError."""
    try:
        status = status_of(b"HTTP/1.1 " + answer)
    except OSError:
        return
    assert 100 <= status <= 599


def test_a_smoke_test_may_take_as_long_as_a_start() -> None:
    """It is sent once, so it has more time than each of the many questions whether the service is ready."""
    service = Service(component="app", port=8080, ready="/readyz", smoke="/")
    instance = Instance(
        service=service, digest="", manifest="", revision="", runner="miniature", port=1, since=0
    )
    given: list[float] = []

    def ask(port: int, path: str, timeout: float) -> int:
        given.append(timeout)
        return 200

    smoke_test(MachineStarted(Machine(), instance, Behaviour()), ask, Waits(ready=30, answer=5))

    assert given == [30]
