"""What can go wrong between a client and a registry, and when."""

from __future__ import annotations

import itertools
import re
import threading
from typing import TYPE_CHECKING

from tests.integration.faults.proxy import Answered, passing

from lockgate.oci.manifest import INDEX, Index, index_bytes

if TYPE_CHECKING:
    from tests.integration.faults.proxy import Asked, Exchange, Fault, Script


def fails(status: int, **headers: str) -> Fault:
    """Answer with a status, without asking the registry."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(exchange: Exchange) -> None:
        exchange.answer(Answered(status, named, b""))

    return fault


def in_turn(*faults: Fault) -> Fault:
    """Do one after the other, and begin again."""
    order = itertools.cycle(faults)

    def fault(exchange: Exchange) -> None:
        next(order)(exchange)

    return fault


def cut(at: int) -> Fault:
    """Tell the true length, and end the connection after so many bytes."""

    def fault(exchange: Exchange) -> None:
        found = exchange.ask()
        exchange.answer(found._replace(body=found.body[:at]), claimed=len(found.body))

    return fault


def longer(more: int) -> Fault:
    """Tell a length that is so many bytes too large, or too small when it is negative."""

    def fault(exchange: Exchange) -> None:
        found = exchange.ask()
        exchange.answer(found, claimed=max(0, len(found.body) + more))

    return fault


def padded(more: int) -> Fault:
    """Send so many bytes more than there are, and tell so."""

    def fault(exchange: Exchange) -> None:
        found = exchange.ask()
        exchange.answer(found._replace(body=found.body + bytes(more)))

    return fault


def changes_upload(exchange: Exchange) -> None:
    """Change one byte of what the client sends."""
    body = bytearray(b"".join(exchange.body()))
    if body:
        body[len(body) // 2] ^= 1
    exchange.answer(exchange.ask(body=[bytes(body)]))


def flipped(exchange: Exchange) -> None:
    """Change one byte in the middle of the body."""
    found = exchange.ask()
    body = bytearray(found.body)
    if body:
        body[len(body) // 2] ^= 1
    exchange.answer(found._replace(body=bytes(body)))


def stalls(exchange: Exchange) -> None:
    """Never answer."""
    exchange.wait_for_the_end()


def stalls_in_the_body(exchange: Exchange) -> None:
    """Begin to answer, and fall silent."""
    found = exchange.ask()
    exchange.answer(
        found._replace(body=found.body[: len(found.body) // 2]), claimed=len(found.body)
    )
    exchange.wait_for_the_end()


def resets(exchange: Exchange) -> None:
    """Break the connection before anything was asked."""
    exchange.reset()


def resets_upload(after: int) -> Fault:
    """Let so many bytes of the request's body through, then break the connection."""

    def fault(exchange: Exchange) -> None:
        exchange.ask_part(after)
        exchange.reset()

    return fault


def lost(exchange: Exchange) -> None:
    """Let the registry do it, and lose its answer."""
    exchange.ask()
    exchange.reset()


def redirects(address: str) -> Fault:
    """Send the client to another place for the same path."""

    def fault(exchange: Exchange) -> None:
        exchange.answer(Answered(307, {"location": address + exchange.asked.path}, b""))

    return fault


def lists_nothing(exchange: Exchange) -> None:
    """Answer as a registry does that knows of no referrers."""
    exchange.answer(Answered(200, {"content-type": INDEX}, index_bytes(Index(manifests=()))))


def serves(status: int, content_type: str, body: bytes, digest: str = "") -> Fault:
    """Answer with something that was prepared."""
    headers = {"content-type": content_type, "content-length": str(len(body))}
    if digest:
        headers["docker-content-digest"] = digest

    def fault(exchange: Exchange) -> None:
        exchange.answer(Answered(status, headers, body))

    return fault


class Hold:
    """Hold one request until the test lets go: before the registry is asked, or after."""

    def __init__(self, *, after: bool = False) -> None:
        self.after = after
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        """Stop here."""
        found = exchange.ask() if self.after else None
        self.reached.set()
        while not (self.released.wait(0.02) or exchange.proxy.over.is_set()):
            pass
        if not self.released.is_set():
            # The test is over, and so is what asked.
            exchange.reset()
        elif found is None:
            passing(exchange)
        else:
            exchange.answer(found)


def nothing(_: Asked) -> None:
    """Let everything pass."""


def always(fault: Fault, method: str = ".*", path: str = "") -> Script:
    """Befall every request of a kind."""

    def script(asked: Asked) -> Fault | None:
        return fault if _fits(asked, method, path) else None

    return script


def once_each(fault: Fault, method: str = ".*", path: str = "") -> Script:
    """Befall every request of a kind the first time that it is made."""
    seen: set[str] = set()
    lock = threading.Lock()

    def script(asked: Asked) -> Fault | None:
        if not _fits(asked, method, path):
            return None
        with lock:
            first = asked.key not in seen
            seen.add(asked.key)
        return fault if first else None

    return script


def at(number: int, fault: Fault) -> Script:
    """Befall one request, by its number."""

    def script(asked: Asked) -> Fault | None:
        return fault if asked.number == number else None

    return script


def _fits(asked: Asked, method: str, path: str) -> bool:
    return bool(re.fullmatch(method, asked.method) and re.search(path, asked.path))
