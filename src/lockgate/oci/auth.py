"""Being let in by a registry: basic authentication and tokens.

Distribution's token specification: a 401 names a realm, a service and a scope (1); the realm is asked for a
token with the credentials that the user has, or none (2); the token goes with every request of its scope until
it expires (3). With an identity token the realm is asked by OAuth 2 (RFC 6749 section 6).
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlencode

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import RegistryError, UsageError
from lockgate.oci import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lockgate.oci.credentials import Credential
    from lockgate.oci.endpoint import Endpoint

DEFAULT_LIFE = 60
"""Seconds that a token lives which does not say how long (token specification, `expires_in`)."""

_EARLY = 10.0
"""Seconds before its end at which a token is replaced, so that it does not end on its way."""

_CLIENT = "lockgate"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*(?:,\s*)?({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))')
_SCHEME = re.compile(rf"\s*(?:,\s*)?({_WORD})(?=\s+{_WORD}\s*=|\s*,|\s*$)")


class Challenge(NamedTuple):
    """One way in that a 401 offers (RFC 9110 section 11.6.1)."""

    scheme: str
    """In lower case: `basic` or `bearer`."""
    parameters: dict[str, str]


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read the WWW-Authenticate headers of an answer; what cannot be read is left out."""
    found: list[Challenge] = []
    for header in headers:
        at = 0
        while match := _SCHEME.match(header, at):
            at, parameters = match.end(), {}
            while pair := _PARAMETER.match(header, at):
                quoted, plain = pair[2], pair[3]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                parameters[pair[1].lower()] = value
                at = pair.end()
            found.append(Challenge(match[1].lower(), parameters))
    return found


class _Token(Foreign, frozen=True):
    token: str = ""
    access_token: str = ""
    expires_in: float = DEFAULT_LIFE


class Ask(Protocol):
    """Asks a realm, once the address was found fit to be asked."""

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> faults.Answer:
        """Return the answer, whatever its status."""
        ...


class Access:
    """The way into one repository, shared by the threads that use it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        find: Callable[[Endpoint], Credential | None],
        ask: Ask,
        now: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._find, self._ask, self._now = find, ask, now
        self._lock = threading.Lock()
        self._scopes: dict[str, set[str]] = {}
        self._header = ""
        self._challenge: Challenge | None = None
        """The challenge that the current token answers."""
        self._ends = 0.0
        """When the current token is to be replaced, in seconds since 1970."""
        self._credential: Credential | None = None
        """What was logged in with last."""

    def want(self, repository: str, *actions: str) -> None:
        """Ask for these actions with the next token: `pull`, `push` or `delete`."""
        with self._lock:
            self._scopes.setdefault(f"repository:{repository}", set()).update(actions)

    def header(self) -> str:
        """Return the value of the Authorization header for now; empty when none was asked for yet.

        Raises:
            RegistryError: a token has ended and there is no new one.
        """
        with self._lock:
            if self._challenge is not None and self._now() > self._ends:
                self._fetch(self._challenge)
            return self._header

    def answer(self, offered: Iterable[str], used: str) -> None:
        """Answer a 401.

        Args:
            offered: its WWW-Authenticate headers.
            used: the Authorization header of the request that got it.

        Raises:
            RegistryError: there are no credentials, or they are refused.
        """
        found = {one.scheme: one for one in challenges(offered)}
        with self._lock:
            if used != self._header:
                return  # another thread has been here
            if "bearer" in found:
                self._fetch(found["bearer"])
            elif "basic" in found:
                self._credential = credential = self._find(self._endpoint)
                if credential is None or credential.is_token or credential.basic == used:
                    raise self.refused()
                self._header, self._challenge = credential.basic, None
            else:
                raise self.refused()

    def _fetch(self, challenge: Challenge) -> None:
        self._add(challenge.parameters.get("scope", ""))
        self._credential = self._find(self._endpoint)
        answer = self._request(challenge, self._credential)
        if answer.status in (400, 401, 403):
            raise self.refused()
        if answer.status != 200:
            # Its words may hold the token, or repeat the credentials that it was sent.
            raise faults.refused(answer._replace(body=b""), "a token", self._endpoint.name)
        try:
            found = decode(answer.body, _Token, what="token")
        except UsageError:
            found = _Token()
        token = found.token or found.access_token
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise RegistryError(
                f"{self._endpoint.host} sends to {challenge.parameters.get('realm')!r} for tokens, "
                "and what comes from there is none",
                hint="check that the address is that of a registry",
            )
        self._header, self._challenge = f"Bearer {token}", challenge
        life = max(found.expires_in, 1.0)
        self._ends = self._now() + life - min(_EARLY, life / 4)

    def _request(self, challenge: Challenge, credential: Credential | None) -> faults.Answer:
        realm = challenge.parameters.get("realm", "")
        if not re.match(r"https?://", realm, re.I):
            raise RegistryError(
                f"{self._endpoint.host} asks for a token and does not say where to get it",
                hint="check that the address is that of a registry",
            )
        fields = [("service", challenge.parameters.get("service", ""))]
        scopes = [f"{name}:{','.join(sorted(do))}" for name, do in sorted(self._scopes.items())]
        if credential is not None and credential.is_token:
            fields += [
                ("grant_type", "refresh_token"),
                ("client_id", _CLIENT),
                ("refresh_token", credential.secret),
                ("scope", " ".join(scopes)),
            ]
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._ask("POST", realm, headers=kind, body=urlencode(fields).encode())
        fields += [("scope", one) for one in scopes]
        headers = {"Authorization": credential.basic} if credential is not None else {}
        joint = "&" if "?" in realm else "?"
        query = urlencode([pair for pair in fields if pair[1]])
        return self._ask("GET", f"{realm}{joint}{query}", headers=headers)

    def _add(self, scope: str) -> None:
        """Add the scopes of a challenge to those that are wanted: `repository:a/b:pull,push`."""
        for one in scope.split():
            resource, colon, actions = one.rpartition(":")
            if colon and resource:
                self._scopes.setdefault(resource, set()).update(actions.split(","))

    def refused(self) -> RegistryError:
        """Return the error for a registry that does not let us in."""
        host, hint = self._endpoint.host, faults.login(self._endpoint.host)
        credential = self._credential
        if credential is None:
            return RegistryError(
                f"{host} asks for credentials, and there are none for it", hint=hint, status=401
            )
        return RegistryError(
            f"{host} does not take the credentials of {credential.origin}: wrong, or expired",
            hint=hint,
            status=401,
        )
