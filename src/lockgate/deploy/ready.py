"""Ask a service on loopback. Plain sockets: the unchanged path of `deploy` asks too, and must start fast."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING

from lockgate.base.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.deploy.model import Waits
    from lockgate.deploy.runner import Started

    Ask = Callable[[int, str, float], int]

_MAX_ANSWER = 8 << 20
"""Bytes of an answer that are read; a longer one is cut and counts as whole."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?:[ \r]|$)")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)


def ask(port: int, path: str, timeout: float) -> int:
    """Send one GET request to loopback and return the status of the answer (RFC 9112).

    The answer is read to its end: a service that breaks off in the middle has not answered.

    Args:
        port: port on 127.0.0.1.
        path: path with its query, beginning with `/`.
        timeout: seconds for the whole exchange.

    Raises:
        OSError: nobody listens, the time is over, or what came is not a whole HTTP answer.
    """
    until = time.monotonic() + timeout
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: lockgate\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as link:
        link.sendall(request.encode())
        while len(answer) < _MAX_ANSWER:
            link.settimeout(max(0.001, until - time.monotonic()))
            piece = link.recv(65_536)
            if not piece:
                break
            answer += piece
    return status_of(bytes(answer))


def status_of(answer: bytes) -> int:
    """Return the status of a whole answer (RFC 9112 section 4), read until the connection closed.

    Raises:
        OSError: it is not HTTP, or shorter than it says.
    """
    head, blank, body = answer.partition(b"\r\n\r\n")
    status, length = _STATUS.match(head), _LENGTH.search(head + b"\r\n")
    if status is None or not blank:
        raise ConnectionError("it did not answer in HTTP")
    cut = len(answer) < _MAX_ANSWER and (
        (length is not None and len(body) < int(length[1]))
        # The last chunk is empty, and nothing but trailers follows it (RFC 9112 section 7.1).
        or (_CHUNKED.search(head) is not None and not body.endswith(b"\r\n\r\n"))
    )
    if cut:
        raise ConnectionError("it broke off in the middle of its answer")
    return int(status[1])


def wait_ready(started: Started, ask: Ask, waits: Waits) -> int:
    """Ask until the service says that it is ready; return the milliseconds it took.

    Between two questions this waits for the service to end, so an end is noticed at once.

    Args:
        started: the instance, which knows its port and path.
        ask: sends a request.
        waits: seconds for one answer and until giving up.

    Raises:
        NotReady: it ended, or was not ready in time.
    """
    service, port = started.instance.service, started.instance.port
    begun, pause, left, last = time.monotonic(), 0.005, waits.ready, ""
    while left > 0:
        well, last = try_once(ask, port, service.ready, min(waits.answer, left))
        if well:
            return round((time.monotonic() - begun) * 1000)
        code = started.ended(min(pause, left))
        if code is not None:
            raise NotReady(
                f"`{service.component}` ended with exit code {code}, before it was ready"
            )
        pause = min(pause * 1.5, 0.05)
        left = waits.ready - (time.monotonic() - begun)
    raise NotReady(
        f"`{service.component}` was not ready within {waits.ready:g} s: {service.ready} {last}"
    )


def try_once(ask: Ask, port: int, path: str, timeout: float) -> tuple[bool, str]:
    """Return whether a request was answered with a 2xx, and what happened in words."""
    try:
        status = ask(port, path, timeout)
    except TimeoutError:
        return False, "was not answered in time"
    except ConnectionRefusedError:
        return False, "found nobody listening"
    except OSError as error:
        return False, f"was not answered: {error}"
    return status // 100 == 2, f"was answered with {status}"


def smoke_test(started: Started, ask: Ask, waits: Waits) -> int:
    """Send the component's real request; return the status, which is a 2xx.

    Raises:
        NotReady: the answer is anything else, or none.
    """
    service = started.instance.service
    try:
        status = ask(started.instance.port, service.smoke, waits.ready)
    except OSError as error:
        raise NotReady(
            f"`{service.component}` did not answer the smoke test {service.smoke}: {error}"
        ) from None
    if status // 100 != 2:
        raise NotReady(
            f"`{service.component}` answered {status} to the smoke test {service.smoke}, "
            "which is not a 2xx"
        )
    return status
