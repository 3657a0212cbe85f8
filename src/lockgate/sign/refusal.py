"""Which of several refusals is named, whatever the order in which a store or a registry lists evidence. Pure.

The one that says most about what happened comes first:

    (1) evidence of another image                       SubjectMismatch
    (2) evidence that was changed, or has no such form  SignatureInvalid
    (3) a key that is known and may not be used here    KeyRefused
    (4) evidence that is too old                        Stale
    (5) evidence that is not whole                      AttestationMissing, and anything else
    (6) a certificate of somebody who is not trusted    SignatureInvalid
    (7) a key that nobody here knows                    SignatureInvalid

Of two of one kind it is the one with the smaller digest. It changes no verdict: whoever may push can add pieces that
are refused, and have theirs named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import (
    KeyRefused,
    SignatureInvalid,
    Stale,
    SubjectMismatch,
    TrustError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_ORDER = (SubjectMismatch, SignatureInvalid, KeyRefused, Stale, TrustError)


class Refusal(NamedTuple):
    """Why one piece of evidence does not count."""

    error: TrustError
    digest: str = ""
    """Of the piece."""


def most_telling(refusals: Iterable[Refusal]) -> TrustError | None:
    """Return the refusal to name; None without any."""
    first = min(refusals, key=_place, default=None)
    return first.error if first else None


def _place(refusal: Refusal) -> tuple[int, str, str]:
    error = refusal.error
    if isinstance(error, SignatureInvalid) and error.stranger:
        at = len(_ORDER) + (error.stranger == SignatureInvalid.NOBODY)
    else:
        at = next(number for number, kind in enumerate(_ORDER) if isinstance(error, kind))
    return at, refusal.digest, error.message
