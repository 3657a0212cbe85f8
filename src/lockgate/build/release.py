"""A suite's `InRelease` file: signed by the archive, it names every index with its size and digest.

The form is that of the Debian repository format, "Release" files; the signature is an OpenPGP cleartext
signature (RFC 9580, section 7).
"""

from __future__ import annotations

import re
from email.utils import mktime_tz, parsedate_tz
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import MirrorError, SignatureInvalid, Stale, UsageError
from lockgate.build.deb822 import paragraphs

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES = 4 << 20
"""Largest `InRelease` that is read."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_OTHER = "check `build.mirror` and `build.security_mirror` in `lockgate.yaml`, or the apt sources"


class IndexFile(NamedTuple):
    """One file that a release vouches for."""

    size: int
    sha256: str


class Release(NamedTuple):
    """What a verified `InRelease` says."""

    suite: str
    """Codename: `trixie`, `trixie-security`."""
    version: str
    """`13.7`; empty where the suite has none."""
    date: int
    """When the archive signed it, in seconds since 1970."""
    by_hash: bool
    """Whether files can be had under their digest, which does not change while the mirror is updated."""
    files: dict[str, IndexFile]
    """By path below the suite's folder."""


def archive_keys() -> tuple[bytes, ...]:
    """Return the pinned archive keys, sorted by file name."""
    folder = resources.files("lockgate.build") / "keys"
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(".asc")}
    return tuple(found[name] for name in sorted(found))


def verify(signed: bytes, keys: Sequence[bytes], *, what: str) -> bytes:
    """Return the text that a cleartext signature covers; whatever stands around it is dropped.

    One good signature is enough: at a change of keys an archive signs with the old and the new one.

    Args:
        signed: the file as it came.
        keys: OpenPGP certificates that are trusted, armoured or not.
        what: how to name the file in an error.

    Raises:
        SignatureInvalid: no signature by one of the keys verifies.
    """
    from pysequoia import Cert
    from pysequoia import verify as verify_openpgp

    trusted = [certificate for key in keys for certificate in Cert.split_bytes(key)]
    try:
        content = verify_openpgp(signed, store=lambda _: trusted).bytes
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise SignatureInvalid(
            f"{what} is not signed by a pinned Debian archive key: {reason}",
            hint=f"is it a mirror of Debian? {_OTHER}",
        ) from None
    if not content:
        raise SignatureInvalid(f"{what} is signed, but empty", hint=_OTHER)
    return content


def parse(content: bytes, *, suite: str, now: int, what: str) -> Release:
    """Parse the signed text and check that it is the suite that was asked for, and still valid.

    Args:
        content: what `verify` returned.
        suite: codename that was asked for.
        now: current time in seconds since 1970.
        what: how to name the file in an error.

    Raises:
        MirrorError: it is another suite's, or not in the form.
        Stale: its `Valid-Until` is over.
    """
    try:
        (fields,) = paragraphs(content.decode("utf-8"), what=what)
    except (UsageError, ValueError) as error:
        raise MirrorError(f"{what} is not readable: {error}", hint=_OTHER) from None
    if fields.get("origin") != "Debian" or fields.get("codename") != suite:
        raise MirrorError(
            f"{what} is of {fields.get('origin', 'nobody')} `{fields.get('codename', '')}`, "
            f"Debian `{suite}` was asked for",
            hint=_OTHER,
        )
    until = fields.get("valid-until")
    if until is not None and _time(until, what) < now:
        raise Stale(
            f"{what} was valid until {until}: the mirror holds back updates, or the clock is wrong",
            hint="check the clock, or set another `build.mirror` in `lockgate.yaml`",
        )
    return Release(
        suite=suite,
        version=fields.get("version", ""),
        date=_time(fields.get("date", ""), what),
        by_hash=fields.get("acquire-by-hash") == "yes",
        files=_files(fields.get("sha256", ""), what),
    )


def _time(text: str, what: str) -> int:
    # The parser for mail dates knows this form and, unlike strptime, asks no locale.
    try:
        parsed = parsedate_tz(text)
        if parsed is not None:
            return int(mktime_tz(parsed))
    except (ValueError, OverflowError):
        pass  # the year 20266, the 45th of a month
    raise MirrorError(f"{what}: {text!r} is not a date", hint=_OTHER)


def _files(listing: str, what: str) -> dict[str, IndexFile]:
    found = {}
    for line in listing.splitlines():
        if not line.strip():
            continue
        match line.split():
            case [digest, size, path] if _DIGEST.fullmatch(digest) and size.isdecimal():
                found[path] = IndexFile(int(size), digest)
            case _:
                raise MirrorError(f"{what}: `{line.strip()[:60]}` names no file", hint=_OTHER)
    return found
