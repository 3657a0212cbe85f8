"""What can go wrong between a client and a registry, as actions for `DictRegistry.fail`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.unit.oci.dictregistry import DictRegistry

    Serve = Callable[[], httpx2.Response]
    """Lets the registry answer as if nothing were wrong."""
    Action = Callable[[httpx2.Request, Serve], httpx2.Response]


def answer(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, head: bool = False
) -> httpx2.Response:
    """Return a response whose body still has to be read, as from a socket."""
    named = {"Content-Length": str(len(body))} | dict(headers or {})
    return httpx2.Response(status, headers=named, content=iter([] if head else [body]))


def error(
    status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None
) -> httpx2.Response:
    """Return an error as the specification words it."""
    body = json.dumps({"errors": [{"code": code, "message": message or code.lower()}]})
    return answer(status, body.encode(), {"Content-Type": "application/json"} | dict(headers or {}))


def first(act: Callable[[httpx2.Request], object]) -> Action:
    """Do something with the request, then let the registry answer."""

    def action(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        act(request)
        return serve()

    return action


def replies(code: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Action:
    """Answer something else instead."""

    def act(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        return answer(code, body, headers)

    return act


def status(code: int, headers: Mapping[str, str] | None = None, words: str = "try later") -> Action:
    """Answer with a status instead."""

    def act(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        return error(code, "UNAVAILABLE", words, headers)

    return act


def broken(kind: type[Exception] = httpx2.ConnectError) -> Action:
    """Break off before anything is done."""

    def act(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        raise kind("broken")

    return act


def lost(request: httpx2.Request, serve: Serve) -> httpx2.Response:
    """Do what is asked, and break off before the answer."""
    serve()
    raise httpx2.ReadError("reset")


def reset_after(size: int, registry: DictRegistry) -> Action:
    """Take some bytes of an upload, and break off."""

    def act(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        name = urlsplit(str(request.url)).path.rpartition("/")[2]
        held = registry.uploads[name][1]
        held += request.content[:size]
        raise httpx2.WriteError("reset")

    return act


def cut(size: int, *, silently: bool = False) -> Action:
    """Send some bytes of a body; then break off, or end as if that were all."""

    def act(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        whole = serve()
        data = whole.read()

        def pieces() -> Iterator[bytes]:
            yield data[:size]
            if not silently:
                raise httpx2.RemoteProtocolError("peer closed connection")

        return httpx2.Response(whole.status_code, headers=whole.headers, content=pieces())

    return act


def changed(request: httpx2.Request, serve: Serve) -> httpx2.Response:
    """Flip the last bit of a body."""
    whole = serve()
    data = whole.read()
    return httpx2.Response(
        whole.status_code,
        headers=whole.headers,
        content=iter([data[:-1] + bytes([data[-1] ^ 1])]),
    )
