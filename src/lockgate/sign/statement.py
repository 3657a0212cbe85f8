"""in-toto statements, version 1 (in-toto attestation framework, spec/v1/statement.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate.base.canonical import Foreign, decode, encode, loads
from lockgate.base.errors import SubjectMismatch, UsageError
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE = "https://in-toto.io/Statement/v1"

OLD_TYPE = "https://in-toto.io/Statement/v0.1"
"""What `cosign attest` still writes: the same fields, of which `name` and `predicate` must be there."""

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""Media type of a statement's bytes."""

_HEX = re.compile(r"[0-9a-f]{64}")
_HINT = "sign again: `inv sign`"


class Subject(Foreign, frozen=True):
    """resource_descriptor.md: one thing that the statement is about."""

    digest: dict[str, str] = msgspec.field(default_factory=dict)
    name: str = ""
    annotations: dict[str, Any] = msgspec.field(default_factory=dict)


class Statement(Foreign, frozen=True):
    """A parsed statement. Unknown fields are ignored, as the framework's parsing rules ask."""

    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    type_: str = msgspec.field(name="_type")
    predicate: dict[str, Any] = msgspec.field(default_factory=dict)


def build(
    *,
    name: str,
    digest: str,
    predicate_type: str,
    predicate: bytes,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """Return a statement's bytes about one subject.

    The predicate's bytes are taken as they are: what others wrote (an SBOM, a scanner's report) is signed
    in the form in which they wrote it.

    Args:
        name: name of the subject, for readers; matching goes by digest alone.
        digest: the subject's digest.
        predicate_type: URI of the predicate's type.
        predicate: a JSON object.
        annotations: what is said of the subject beside the predicate, where `cosign verify -a` finds it.

    Raises:
        UsageError: the predicate is not a JSON object in UTF-8, or has a key twice.
    """
    if not isinstance(loads(predicate, what=f"predicate {predicate_type}"), dict):
        raise UsageError(
            f"predicate {predicate_type} is not a JSON object", hint="run the stage before again"
        )
    about: dict[str, Any] = {"digest": {"sha256": Digest(digest).hex}, "name": name}
    if annotations:
        about["annotations"] = dict(annotations)
    return b'{"_type":%b,"predicate":%b,"predicateType":%b,"subject":%b}' % (
        encode(TYPE),
        predicate.strip(),
        encode(predicate_type),
        encode([about]),
    )


def parse(data: bytes) -> Statement:
    """Read a statement's bytes.

    Raises:
        UsageError: not a statement of version 1 or 0.1, or a key stands twice anywhere in it.
    """
    found = decode(data, Statement, what="statement")
    if found.type_ not in (TYPE, OLD_TYPE):
        raise UsageError(
            f"a statement of type {found.type_!r} is not read, only {TYPE}", hint=_HINT
        )
    if not found.subject:
        raise UsageError("a statement has no subject", hint=_HINT)
    return found


def find_subject(statement: Statement, digest: str) -> Subject:
    """Return what the statement says that `digest` is. Only sha256 counts (digest_set.md, "Guidelines").

    Raises:
        SubjectMismatch: it is about something else.
    """
    wanted = Digest(digest)
    for one in statement.subject:
        if one.digest.get("sha256") == wanted.hex:
            return one
    first = statement.subject[0].digest.get("sha256", "")
    other = Digest(f"sha256:{first}").short if _HEX.fullmatch(first) else "no sha256 digest"
    raise SubjectMismatch(
        f"subject is {other}, this image is {wanted.short}",
        hint="sign this image: `inv scan sign`",
    )
