"""Transparency logs: that an entry is in a log that is trusted, and when the log says that it took it.

Inclusion proofs are those of RFC 9162, section 2.1.3; checkpoints those of C2SP, tlog-checkpoint.md, in a signed note
(signed-note.md). Signatures of witnesses are passed over, since no trusted root holds their keys.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import encode
from lockgate.sign.keyless.material import refused, unbase64
from lockgate.sign.keyless.trusted_root import find

if TYPE_CHECKING:
    from lockgate.sign.keyless.material import Entry, Proof
    from lockgate.sign.keyless.trusted_root import Log, TrustedRoot
    from lockgate.sign.public_key import PublicKey

_SIGNATURE = re.compile(r"\u2014 (\S+) (\S+)")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_HASH = 32
_MOST_SIGNATURES = 64
"""Signatures of one checkpoint that are read; a log has few witnesses."""


class _Signed(NamedTuple):
    name: str
    key_hint: bytes
    signature: bytes


class _Checkpoint(NamedTuple):
    note: bytes
    """What is signed."""
    origin: str
    size: int
    root: bytes
    signatures: tuple[_Signed, ...]


def check(entry: Entry, root: TrustedRoot) -> Log:
    """Return the log that an entry is in.

    Raises:
        SignatureInvalid: the log is not trusted, the entry is not in it, or something of it is not signed by it.
    """
    log = find(root.logs, entry.log_id)
    if log is None:
        raise refused("a log entry is of a log that is not trusted here")
    if log.key is None:
        raise refused(f"the key of the log {log.url} is of a kind that is not known here")
    _check_inclusion(entry.body, entry.proof)
    _check_checkpoint(entry, log.key)
    if entry.promise:
        log.key.verify(entry.promise, _promised(entry))
    return log


def integrated(entry: Entry) -> dt.datetime | None:
    """Return when the log took an entry; None when it did not sign for a time.

    To be believed after `check`.
    """
    if not entry.promise or not entry.integrated:
        return None
    try:
        return dt.datetime.fromtimestamp(entry.integrated, dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise refused("a log entry has a time that is none") from None


def _promised(entry: Entry) -> bytes:
    """Return what a signed entry timestamp is over: canonical JSON (rekor, pkg/util/signed_note.go, RFC 8785)."""
    return encode(
        {
            "body": base64.b64encode(entry.body).decode(),
            "integratedTime": entry.integrated,
            "logID": entry.log_id.hex(),
            "logIndex": entry.position,
        }
    )


def _check_inclusion(body: bytes, proof: Proof) -> None:
    """RFC 9162, section 2.1.3.2, in its steps."""
    if proof.position >= proof.size or any(len(one) != _HASH for one in proof.hashes):
        raise refused("the proof that an entry is in the log is not one")
    inner, last = proof.position, proof.size - 1
    found = hashlib.sha256(b"\0" + body).digest()
    for one in proof.hashes:
        if not last:
            raise refused("the proof that an entry is in the log is too long")
        if inner & 1 or inner == last:
            found = _node(one, found)
            while not inner & 1 and inner:
                inner, last = inner >> 1, last >> 1
        else:
            found = _node(found, one)
        inner, last = inner >> 1, last >> 1
    if last or found != proof.root:
        raise refused("an entry is not in the log: its proof leads to another root")


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _check_checkpoint(entry: Entry, key: PublicKey) -> None:
    """Check that the log itself has signed for the size and the root that the proof leads to."""
    found = _parse(entry.proof.checkpoint)
    if (found.size, found.root) != (entry.proof.size, entry.proof.root):
        raise refused("a checkpoint is of another state of the log than the proof")
    # An origin can carry the number of its tree behind a space; signatures are by the name alone.
    name = found.origin.split(" ")[0]
    own = [
        one
        for one in found.signatures
        if (one.name, one.key_hint) == (name, entry.log_id[: len(one.key_hint)])
    ]
    if not own:
        raise refused("a checkpoint is not signed by its log")
    for one in own:
        key.verify(one.signature, found.note)


def _parse(text: str) -> _Checkpoint:
    header, blank, signed = text.partition("\n\n")
    lines = header.split("\n")
    if not blank or not signed.endswith("\n") or len(lines) < 3 or not lines[0]:
        raise refused("a checkpoint is not one: a line is missing")
    if not _SIZE.fullmatch(lines[1]):
        raise refused("a checkpoint does not say how large the log is")
    if signed.count("\n") > _MOST_SIGNATURES:
        raise refused(f"a checkpoint has more than {_MOST_SIGNATURES} signatures")
    root = unbase64(lines[2])
    if len(root) != _HASH:
        raise refused("a checkpoint does not hold a root")
    return _Checkpoint(
        note=f"{header}\n".encode(),
        origin=lines[0],
        size=int(lines[1]),
        root=root,
        signatures=tuple(_signature(line) for line in signed[:-1].split("\n")),
    )


def _signature(line: str) -> _Signed:
    found = _SIGNATURE.fullmatch(line)
    if found is None:
        raise refused("a line of a checkpoint is no signature")
    data = unbase64(found[2])
    if len(data) < 5:
        raise refused("a signature of a checkpoint is cut off")
    return _Signed(found[1], data[:4], data[4:])
