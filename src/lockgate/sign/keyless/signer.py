"""Sign without a key that lasts: the `sigstore` package gets a certificate for an identity and has it all logged.

A key of a few minutes is certified for whoever an identity token names, signs one statement after the other, and is
thrown away. What comes back is verified here, offline, before anybody stores it. The package is an optional extra,
and no part of verification.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import threading
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from lockgate.base.canonical import loads
from lockgate.base.errors import (
    KeyRefused,
    LockgateError,
    RemoteError,
    SignatureInvalid,
    ToolError,
    ToolMissing,
    UsageError,
)
from lockgate.sign.keyless.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lockgate.sign.keyless.trusted_root import TrustedRoot

T = TypeVar("T")

KEYLESS = "keyless"
"""What stands for a key in the settings: the public instance of Sigstore."""
SCHEME = "keyless://"
"""The same for another instance: the path of its configuration stands behind it."""

TOKEN = "SIGSTORE_ID_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with an identity token, as cosign and GitLab call it."""

MAX_BYTES = 4 * 1024 * 1024
"""Largest configuration of an instance that is read."""

PATIENCE = 90.0
"""Seconds in which an instance must have answered; the package itself would wait for ever."""

_MEDIA = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
_BY_MAIL = ("https://accounts.google.com", "https://oauth2.sigstore.dev/auth")
"""Issuers for whose tokens the mail address is the subject (fulcio, config/identity)."""

_NO_TOKEN = (
    f"in CI let the job have one (GitHub: `permissions: id-token: write`), or set `{TOKEN}` to one"
)
_AGAIN = "run `inv sign` again; `key` in `lockgate.yaml` can name a key instead"


class KeylessSigner:
    """Signs statements as whoever an identity token names. Nothing is asked of anybody before it is needed."""

    development: ClassVar[bool] = False
    """There is no development identity."""

    def __init__(self, config: bytes, *, environ: Mapping[str, str], patience: float = PATIENCE):
        """Take an instance.

        Args:
            config: its client trust configuration (sigstore_trustroot.proto, `ClientTrustConfig`): trusted root and
                addresses; empty for the public instance, whose own is fetched and checked by TUF.
            environ: the process's environment.
            patience: seconds in which the instance must have answered.
        """
        self._config, self._environ, self._patience = config, environ, patience
        self._token = ""
        self._signer: Any = None
        self._root: TrustedRoot | None = None
        self.identity: Identity | None = None
        """Whom the certificate names; None before the first signature."""

    @property
    def fingerprint(self) -> str:
        """The sha256 of the instance and of issuer and subject of the token, in hexadecimal.

        Raises:
            KeyRefused: there is no token, or it is none.
            ToolMissing: the package is not there to ask the CI for one.
        """
        asked = self.claimed()
        instance = hashlib.sha256(self._config).hexdigest()
        return hashlib.sha256(f"{instance}\0{asked.fingerprint}".encode()).hexdigest()

    def claimed(self) -> Identity:
        """Return whom the token names. The certificate may put it otherwise: for a workflow it has its address.

        Raises:
            KeyRefused, ToolMissing: as `fingerprint`.
        """
        try:
            _, claims, _ = self._identity_token().split(".")
            found = loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
            issuer = found["iss"]
            subject = found["email" if issuer in _BY_MAIL and "email" in found else "sub"]
            if isinstance(issuer, str) and isinstance(subject, str) and issuer and subject:
                return Identity(subject, issuer)
        except (ValueError, KeyError, TypeError, UsageError):
            pass
        raise KeyRefused("the identity token is none: it does not say whose it is", hint=_NO_TOKEN)

    def bundle(self, payload: bytes) -> bytes:
        """Return a Sigstore bundle with a signature over a statement, verified.

        Raises:
            KeyRefused: there is no identity token, or it was refused.
            ToolMissing: the package is not installed.
            RemoteError: a service of the instance is out of reach, or refuses.
            SignatureInvalid: what came back proves nothing.
            ToolError: the package failed.
        """
        _installed()
        return _within(self._patience, lambda: _translated(lambda: self._bundle(payload)))

    def _bundle(self, payload: bytes) -> bytes:
        from sigstore.dsse import Statement

        from lockgate.sign.keyless.certificate import Signer
        from lockgate.sign.keyless.material import parse
        from lockgate.sign.keyless.verify import verify_envelope

        signer, root = self._open()
        data: bytes = signer.sign_dsse(Statement(payload)).to_json().encode()
        # Whose bundle it is, only the certificate says; that it proves that, is verified as it will be later.
        named = Signer(parse(data).chain).identity()
        found = verify_envelope(data, root, [named])
        if found.payload != payload or self.identity not in (None, named):
            raise SignatureInvalid(
                "a bundle is about something else than what was signed", hint=_AGAIN
            )
        self.identity = named
        return data

    def _open(self) -> tuple[Any, TrustedRoot]:
        """Return the package's signer, with a certificate that serves for every statement, and what is trusted."""
        if self._signer is None or self._root is None:
            from sigstore.models import ClientTrustConfig
            from sigstore.oidc import IdentityToken
            from sigstore.sign import Signer, SigningContext

            from lockgate.sign.keyless.trusted_root import TrustedRoot

            token = IdentityToken(self._identity_token())
            config = (
                ClientTrustConfig.from_json(self._config.decode())
                if self._config
                else ClientTrustConfig.production()
            )
            inner = config.trusted_root._inner  # it has no public way out
            self._root = TrustedRoot.parse(inner.to_json().encode())
            self._signer = Signer(token, SigningContext.from_trust_config(config))
        return self._signer, self._root

    def _identity_token(self) -> str:
        if not self._token:
            found = self._environ.get(TOKEN) or _within(self._patience, _ambient)
            if not found:
                raise KeyRefused(
                    "keyless signing needs an identity token, and there is none", hint=_NO_TOKEN
                )
            self._token = found
        return self._token


def matches(spec: str) -> bool:
    """True when a setting asks for keyless signing."""
    return spec == KEYLESS or spec.startswith(SCHEME)


def load(spec: str, *, root: Path, environ: Mapping[str, str]) -> KeylessSigner:
    """Return the signer of `keyless`, or of `keyless://PATH`.

    Args:
        spec: the setting.
        root: the folder that PATH is relative to.
        environ: the process's environment.

    Raises:
        KeyRefused: the configuration cannot be read, or is none.
    """
    path = spec.removeprefix(SCHEME)
    if spec == KEYLESS:
        return KeylessSigner(b"", environ=environ)
    try:
        with (root / path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        found = loads(data, what=path) if len(data) <= MAX_BYTES else None
    except (OSError, ValueError, UsageError) as error:
        raise KeyRefused(f"{path} cannot be read: {error}", hint=_hint(spec)) from None
    if not isinstance(found, dict) or found.get("mediaType") != _MEDIA:
        raise KeyRefused(f"{path} is no client trust configuration", hint=_hint(spec))
    return KeylessSigner(data, environ=environ)


def _hint(spec: str) -> str:
    return f"{spec!r} names a JSON file of type {_MEDIA}; `{KEYLESS}` alone is the public instance"


def _installed() -> None:
    from importlib.util import find_spec

    if find_spec("sigstore") is None:
        raise ToolMissing(
            "keyless signing needs the package `sigstore`, which is not installed",
            hint=f"`{sys.executable} -m pip install 'sigstore>=4'`; of a project: `lockgate[keyless]`",
        )


def _ambient() -> str | None:
    """Ask the CI system that this runs in for a token; None when it is none that is known."""
    _installed()

    def ask() -> str | None:
        from sigstore.oidc import detect_credential

        return detect_credential()

    return _translated(ask)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises; give up on it after some time."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            failed.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise RemoteError(
            f"the Sigstore instance did not answer within {seconds:.0f} s",
            hint=_AGAIN,
            retryable=True,
        )
    return done[0]


def _translated(call: Callable[[], T]) -> T:
    """Translate what the package raises; not all of it is below its own root."""
    from requests import RequestException
    from requests.exceptions import JSONDecodeError
    from sigstore import errors, models, oidc

    try:
        return call()
    except LockgateError:
        raise
    except (oidc.IdentityError, oidc.ExpiredIdentity) as error:
        raise KeyRefused(
            f"the identity token cannot be used: {_said(error)}", hint=_NO_TOKEN
        ) from None
    except (errors.VerificationError, models.InvalidBundle, JSONDecodeError) as error:
        raise SignatureInvalid(
            f"what the Sigstore instance gives proves nothing: {_said(error)}", hint=_AGAIN
        ) from None
    except (errors.NetworkError, errors.TUFError, RequestException) as error:
        raise RemoteError(
            f"the Sigstore instance is out of reach: {_said(error)}", hint=_AGAIN, retryable=True
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever it raises, nothing was signed
        raise _failed(error) from None


def _failed(error: Exception) -> LockgateError:
    response = getattr(error.__cause__ or error.__context__, "response", None)
    status = getattr(response, "status_code", 0)
    if status in (400, 401, 403) and "Fulcio" in type(error).__name__:
        return KeyRefused(
            f"the certificate authority refuses the identity token (HTTP {status})", hint=_NO_TOKEN
        )
    if status:
        return RemoteError(
            f"the Sigstore instance refuses (HTTP {status}): {_said(error)}",
            hint=_AGAIN,
            retryable=status == 429 or status >= 500,
        )
    return ToolError(f"`sigstore` failed: {_said(error)}", hint=_AGAIN)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300].rstrip(": ")
