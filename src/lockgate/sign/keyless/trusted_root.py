"""The trust root of a Sigstore instance: certificate authorities, logs, timestamp authorities, and when they held.

A file of the form `trusted_root.json` (sigstore/protobuf-specs, sigstore_trustroot.proto). It is read from disk and
never fetched: where it comes from, and when it is renewed, is for the repository to say.
"""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import KeyRefused, LockgateError, SignatureInvalid, UsageError
from lockgate.sign.keyless.chain import readable
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_MEDIA = "application/vnd.dev.sigstore.trustedroot"
"""How the media type begins, of version 0.1 and of 0.2."""

MAX_BYTES = 4 * 1024 * 1024
"""Largest trusted root that is read; that of the public instance has 7 kB."""

_HINT = "get the trusted root again from where the instance publishes it"


class _Period(Foreign, frozen=True):
    start: str
    end: str | None = None


class _Key(Foreign, frozen=True, rename="camel"):
    raw_bytes: str
    valid_for: _Period


class _LogId(Foreign, frozen=True, rename="camel"):
    key_id: str


class _Log(Foreign, frozen=True, rename="camel"):
    public_key: _Key
    log_id: _LogId
    base_url: str = ""


class _Certificate(Foreign, frozen=True, rename="camel"):
    raw_bytes: str


class _Chain(Foreign, frozen=True):
    certificates: tuple[_Certificate, ...]


class _Authority(Foreign, frozen=True, rename="camel"):
    cert_chain: _Chain
    valid_for: _Period


class _Root(Foreign, frozen=True, rename="camel"):
    media_type: str
    tlogs: tuple[_Log, ...] = ()
    certificate_authorities: tuple[_Authority, ...] = ()
    ctlogs: tuple[_Log, ...] = ()
    timestamp_authorities: tuple[_Authority, ...] = ()


@dataclass(frozen=True, slots=True)
class Period:
    """When something is to be trusted: a closed interval (sigstore_common.proto, `TimeRange`)."""

    start: dt.datetime
    end: dt.datetime | None
    """None: it has not ended yet."""

    def covers(self, when: dt.datetime) -> bool:
        """True when a time lies within it, its two ends included."""
        return self.start <= when and (self.end is None or when <= self.end)


@dataclass(frozen=True, slots=True)
class Log:
    """A log that is trusted: of signatures, or of certificates."""

    id: bytes
    """What entries and certificates call it."""
    key: PublicKey | None
    """None when its algorithm is not known here; then nothing of it can be verified."""
    period: Period
    url: str


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority that is trusted: of certificates, or of timestamps."""

    certificates: tuple[Certificate, ...]
    """From the one that signs to the root; for timestamps the first is that of the signer itself."""
    period: Period


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """Everything that is trusted of one instance of Sigstore."""

    logs: tuple[Log, ...]
    authorities: tuple[Authority, ...]
    certificate_logs: tuple[Log, ...]
    timestamp_authorities: tuple[Authority, ...]

    @classmethod
    def parse(cls, data: bytes, *, what: str = "trusted root") -> Self:
        """Read a trusted root.

        Raises:
            KeyRefused: it is not one, or lacks something: a bound that is missing is not taken for an open one.
        """
        try:
            found = decode(data, _Root, what=what)
            if not found.media_type.startswith(_MEDIA):
                raise UsageError(f"{what} is of type {found.media_type!r}")
            return cls(
                logs=tuple(_log(one) for one in found.tlogs),
                authorities=tuple(_authority(one) for one in found.certificate_authorities),
                certificate_logs=tuple(_log(one) for one in found.ctlogs),
                timestamp_authorities=tuple(_authority(one) for one in found.timestamp_authorities),
            )
        except (UsageError, SignatureInvalid) as error:
            raise KeyRefused(error.message, hint=_HINT) from None
        except ValueError as error:
            raise KeyRefused(f"{what} is not valid: {error}", hint=_HINT) from None


def find(logs: tuple[Log, ...], log_id: bytes) -> Log | None:
    """Return the log of this id; None when it is not trusted."""
    return next((one for one in logs if one.id == log_id), None)


def _log(one: _Log) -> Log:
    spki = base64.b64decode(one.public_key.raw_bytes, validate=True)
    key: PublicKey | None
    try:
        key = PublicKey(spki, one.base_url)
    except LockgateError:
        # An old log with an RSA key is no reason to distrust the others.
        key = None
    return Log(
        base64.b64decode(one.log_id.key_id, validate=True),
        key,
        _period(one.public_key.valid_for),
        one.base_url,
    )


def _authority(one: _Authority) -> Authority:
    from cryptography.x509 import load_der_x509_certificate

    raw = [base64.b64decode(each.raw_bytes, validate=True) for each in one.cert_chain.certificates]
    with readable():
        chain = [load_der_x509_certificate(each) for each in raw]
    if not chain:
        raise ValueError("an authority has no certificate")
    return Authority(tuple(chain), _period(one.valid_for))


def _period(one: _Period) -> Period:
    start = dt.datetime.fromisoformat(one.start)
    end = dt.datetime.fromisoformat(one.end) if one.end else None
    for bound in (start, end):
        if bound is not None and bound.tzinfo is None:
            raise ValueError(f"the time {bound} has no zone")
    return Period(start, end)
