"""Answers are whole, or there is none."""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube.connection import Connection
from lockgate.deploy.kube.kubeconfig import Access

if TYPE_CHECKING:
    from lockgate.deploy.kube.login import Credential


class Wire:
    """A socket that has its answer already."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def makefile(self, _: str) -> io.BytesIO:
        """Return what is read."""
        return io.BytesIO(self.answer)

    def sendall(self, data: bytes) -> None:
        """Take what is sent."""

    def close(self) -> None:
        """End."""


def answered(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> bytes:
    """Return what a connection makes of bytes."""

    def opened(self: Connection, credential: Credential) -> http.client.HTTPConnection:
        link = http.client.HTTPConnection("192.0.2.1")
        link.sock = Wire(answer)
        return link

    monkeypatch.setattr(Connection, "_open", opened)
    access = Access(server="https://192.0.2.1", context="dev", token="t")
    with Connection(access) as connection:
        return connection.send("GET", "/version").body


def test_a_whole_answer_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    assert answered(monkeypatch, whole) == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}",
    ],
)
def test_a_broken_off_answer_may_be_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """A part of an object is none."""
    with pytest.raises(ClusterError, match="did not answer") as caught:
        answered(monkeypatch, answer)
    assert caught.value.retryable
