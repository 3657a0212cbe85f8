"""Keys that others hold: a key management service, a hardware token, reached through a plug-in.

A distribution names a function in the entry point group `lockgate.signers`; the entry point's name is the
scheme of the setting:

    [project.entry-points."lockgate.signers"]
    vault = "acme_vault:open_key"

`key: vault://release` then calls `acme_vault.open_key("vault://release")`, which returns a `Holder`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lockgate.base.errors import KeyRefused, LockgateError, SignatureInvalid
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

GROUP = "lockgate.signers"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://.+")
"""A scheme of RFC 3986, section 3.1, in lower case, and something behind it."""


class Holder(Protocol):
    """What a plug-in's function returns: someone who has a private key and signs with it."""

    def public_key(self) -> PublicKey:
        """Return the public half."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data` that `public_key().verify` accepts."""
        ...


class PluginSigner:
    """A signer on top of a plug-in. What the plug-in returns is checked, and its errors are translated."""

    def __init__(self, holder: Holder, spec: str) -> None:
        self._holder, self._spec = holder, spec
        self._public: PublicKey | None = None

    @property
    def development(self) -> bool:
        """True when the plug-in says that its key is a development key."""
        return self.public_key().development

    @property
    def fingerprint(self) -> str:
        """The sha256 of the public key's DER form, in hexadecimal."""
        return self.public_key().fingerprint

    def public_key(self) -> PublicKey:
        """Return the public half; the plug-in is asked once.

        Raises:
            KeyRefused: the plug-in cannot tell, or returns something else.
        """
        if self._public is None:
            found = _guarded(self._holder.public_key, self._spec)
            if not isinstance(found, PublicKey):
                raise _refused(self._spec, f"gave a {type(found).__name__} as its public key")
            self._public = found
        return self._public

    def sign(self, data: bytes) -> bytes:
        """Return the plug-in's signature over `data`, which was verified.

        Raises:
            KeyRefused: the plug-in cannot sign, or its signature is not its key's over these bytes.
        """
        signature = _guarded(lambda: self._holder.sign(data), self._spec)
        if not isinstance(signature, bytes):
            raise _refused(self._spec, f"gave a {type(signature).__name__} as a signature")
        try:
            self.public_key().verify(signature, data)
        except SignatureInvalid:
            raise _refused(
                self._spec, "gave a signature that does not verify with its key"
            ) from None
        return signature


def matches(spec: str) -> bool:
    """True when a setting has the form of a plug-in's key: `NAME://…`."""
    return _SCHEME.fullmatch(spec) is not None


def load(spec: str) -> PluginSigner:
    """Return the signer that a plug-in makes of `NAME://…`.

    Raises:
        KeyRefused: no installed distribution, or more than one, has the scheme; or the plug-in fails.
    """
    from importlib.metadata import entry_points

    scheme = spec.partition("://")[0]
    found = tuple(entry_points(group=GROUP, name=scheme))
    if not found:
        known = sorted({f"`{one.name}://`" for one in entry_points(group=GROUP)})
        raise KeyRefused(
            f"no plug-in here knows keys of the form `{scheme}://`",
            hint="install the package that has it; known: "
            + ", ".join(["`env://`", "`k8s://`", *known]),
        )
    if len({one.value for one in found}) > 1:
        raise KeyRefused(
            f"several plug-ins know keys of the form `{scheme}://`: "
            + ", ".join(sorted(one.value for one in found)),
            hint="remove all but one of them",
        )
    function: Any = _guarded(found[0].load, spec)
    return PluginSigner(_guarded(lambda: function(spec), spec), spec)


def _guarded(call: Callable[[], T], spec: str) -> T:
    try:
        return call()
    except LockgateError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, it could not sign
        raise _refused(spec, f"failed: {type(error).__name__}: {error}") from None


def _refused(spec: str, what: str) -> KeyRefused:
    scheme = spec.partition("://")[0]
    return KeyRefused(
        f"the plug-in of {spec} {what}", hint=f"ask whoever gave you the plug-in for `{scheme}://`"
    )
