"""Questions to the parts of the node, and changes to its API server."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from lockgate.deploy.node.inside.plan import Change, Plan, Question

_SECONDS = 5.0
"""For one answer."""

_PASSING = (409, 429, 500, 502, 503, 504)
"""Statuses of an API server that is starting, or busy; the same change may be made again."""


class RefusedError(Exception):
    """The API server did not take a change."""

    def __init__(self, words: str, *, passing: bool) -> None:
        super().__init__(words)
        self.passing = passing
        """Whether it may take it when asked again."""


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Asker:
    """Asks with the node's own client certificate."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tls = ssl.create_default_context(cafile=plan.authority)
        self._tls.load_cert_chain(*plan.client)

    def holds(self, question: Question) -> bool:
        """True when the answer is the wanted one. No answer is not."""
        try:
            if not question.url:
                with socket.socket(socket.AF_UNIX) as door:
                    door.settimeout(_SECONDS)
                    door.connect(question.socket)
                return True
            status, body = self._send("GET", question.url, question.socket)
        except (OSError, http.client.HTTPException):
            return False
        if not 200 <= status < 300:
            return False
        return not question.condition or _condition(body, question.condition)

    def change(self, change: Change) -> None:
        """Apply one object.

        Raises:
            RefusedError: the API server does not take it, or gives no answer; `str()` has its words.
        """
        url = f"{self._plan.api}{change.path}?fieldManager=lockgate-node&force=true"
        try:
            status, body = self._send("PATCH", url, body=json.dumps(change.body).encode())
        except (OSError, http.client.HTTPException) as error:
            raise RefusedError(f"{change.path}: {error}", passing=True) from error
        if not 200 <= status < 300:
            said = body[:400].decode("utf-8", "replace")
            raise RefusedError(f"{change.path}: {status} {said}", passing=status in _PASSING)

    def _send(
        self, method: str, url: str, path: str = "", body: bytes | None = None
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        connection: http.client.HTTPConnection
        if path:
            connection = _Unix(path)
        elif parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                parts.netloc, timeout=_SECONDS, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/apply-patch+yaml"} if body else {}
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _condition(body: bytes, wanted: str) -> bool:
    try:
        found = json.loads(body)["status"]["conditions"]
    except (ValueError, KeyError):
        return False
    return any(one["type"] == wanted and one["status"] == "True" for one in found)
