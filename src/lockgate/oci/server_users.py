"""Who may use a registry: names with SHA-512-crypt hashes, and the basic scheme (RFC 7617).

The hashes are those of `openssl passwd -6` and of /etc/shadow ("Unix crypt using SHA-256 and SHA-512",
U. Drepper, 2008). The standard library has them no more since Python 3.13, and bcrypt never.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Self

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_HASH = re.compile(
    r"\$6\$(?:rounds=([0-9]{1,6})\$)?([./0-9A-Za-z]{1,16})\$([./0-9A-Za-z]{86})", re.ASCII
)
_NAME = re.compile(r"[^\s:][^:\x00-\x1f]*")

_ROUNDS = 5000
"""When the hash does not say."""

_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_KNOWN = 256
"""Credentials that are remembered to be right, so that not every request costs a hash of 5,000 rounds."""

_HINT = "make the hash with `openssl passwd -6` and write `name:hash`, one a line"


class Users:
    """Names and the hashes of their passwords."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)
        self._nobody = crypt(secrets.token_bytes(16), "nobody")
        self._key = secrets.token_bytes(32)
        self._known: set[bytes] = set()

    @classmethod
    def parse(cls, text: str, what: str) -> Self:
        """Read lines of `name:hash`; lines that are empty or begin with `#` say nothing.

        Raises:
            UsageError: no name, a name twice, or a hash of another kind.
        """
        hashes: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, found = line.strip().partition(":")
            if not colon or not _NAME.fullmatch(name) or name in hashes:
                raise UsageError(f"{what}: line {number} is no new name with a hash", hint=_HINT)
            if not _HASH.fullmatch(found):
                raise UsageError(f"{what}: {name!r} has no SHA-512-crypt hash", hint=_HINT)
            hashes[name] = found
        if not hashes:
            raise UsageError(f"{what}: nobody is in it", hint=_HINT)
        return cls(hashes)

    @classmethod
    def single(cls, text: str, what: str) -> Self:
        """Take one `name:password`.

        Raises:
            UsageError: it has not this form, or one of them is empty.
        """
        name, _, password = text.partition(":")
        if not _NAME.fullmatch(name) or not password:
            raise UsageError(f"{what} is not of the form `name:password`", hint=f"set {what} anew")
        return cls({name: crypt(password.encode(), secrets.token_hex(8))})

    def admits(self, authorization: str) -> bool:
        """True when the header `Authorization` holds a name with its password.

        How long a wrong one takes does not depend on which part of it is wrong.
        """
        seen = hmac.digest(self._key, authorization.encode("utf-8", "surrogateescape"), "sha256")
        if seen in self._known:
            return True
        scheme, _, rest = authorization.partition(" ")
        try:
            plain = base64.b64decode(rest.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        name, colon, password = plain.partition(b":")
        known = self._hashes.get(name.decode("utf-8", "replace"))
        right = _matches(password, known or self._nobody)
        if scheme.lower() != "basic" or not colon or known is None or not right:
            return False
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known.add(seen)
        return True


def _matches(password: bytes, known: str) -> bool:
    match = _HASH.fullmatch(known)
    if match is None or len(password) > 1024:
        return False
    rounds = int(match[1]) if match[1] else None
    return hmac.compare_digest(crypt(password, match[2], rounds), known)


def crypt(password: bytes, salt: str, rounds: int | None = None) -> str:
    """Return the SHA-512-crypt hash of a password; steps are those of the specification."""
    letters = salt.encode()
    # Steps 4 to 8.
    mixed = _sha(password + letters + password)
    # Steps 9 to 12.
    bits = b"".join(
        mixed if len(password) >> at & 1 else password for at in range(len(password).bit_length())
    )
    state = _sha(password + letters + _repeated(mixed, len(password)) + bits)
    # Steps 13 to 16.
    passes = _repeated(_sha(password * len(password)), len(password))
    # Steps 17 to 20.
    salts = _repeated(_sha(letters * (16 + state[0])), len(letters))
    # Step 21.
    count = _ROUNDS if rounds is None else max(rounds, 1000)
    for turn in range(count):
        state = _sha(
            (passes if turn % 2 else state)
            + (salts if turn % 3 else b"")
            + (passes if turn % 7 else b"")
            + (state if turn % 2 else passes)
        )
    named = "" if rounds is None else f"rounds={count}$"
    return f"$6${named}{salt}${_encoded(state)}"


def _sha(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def _repeated(data: bytes, size: int) -> bytes:
    return (data * (size // len(data) + 1))[:size]


def _encoded(state: bytes) -> str:
    # Step 22: three bytes, 21 apart and rotated by one place each time, become four letters.
    found = []
    for turn in range(21):
        order = [turn, turn + 21, turn + 42]
        order = order[turn % 3 :] + order[: turn % 3]
        value = int.from_bytes(bytes(state[at] for at in order), "big")
        found += [_LETTERS[value >> shift & 63] for shift in (0, 6, 12, 18)]
    found += [_LETTERS[state[63] & 63], _LETTERS[state[63] >> 6]]
    return "".join(found)
