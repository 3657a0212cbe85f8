"""References: a tag is legal at the edge only; stages take the pinned kind.

Grammar: OCI distribution specification 1.1, "Pulling manifests", and the reference grammar of
distribution. `host[:port]/path[:tag][@digest]`.
"""

from __future__ import annotations

import re
from typing import Self

from lockgate.base.canonical import Record
from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_FORM = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>\S+))?"
)

_HINT = "write `host/name@sha256:…`, `host/name:tag`, or the name of a component"


def is_name(text: str) -> bool:
    """True when `text` can be a repository path: lower case, digits, single separators."""
    return re.fullmatch(_PATH, text) is not None


def is_tag(text: str) -> bool:
    """True when `text` can be a tag (at most 128 characters)."""
    return re.fullmatch(_TAG, text) is not None


class ImageRef(Record, frozen=True):
    """A parsed reference that may be a tag."""

    name: str
    """Repository, with its registry host when there is one: `registry.example:5000/team/app`."""
    tag: str = ""
    """Empty when the text had none."""
    digest: str = ""
    """Empty when the text had none."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a reference as a person types it.

        Raises:
            UsageError: the text is not a reference.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is not an image reference", hint=_HINT)
        host, path = match["host"], match["path"]
        # `team/app` has no host: the first part of a path is one only if it looks like one.
        is_host = host and (host == "localhost" or any(mark in host for mark in ".:["))
        if host and not is_host and not is_name(host):
            raise UsageError(f"{text!r} is not an image reference", hint=_HINT)
        digest = Digest(match["digest"]) if match["digest"] else ""
        return cls(name=f"{host}/{path}" if host else path, tag=match["tag"] or "", digest=digest)


class PinnedRef(Record, frozen=True):
    """A repository and a digest: what every stage takes."""

    name: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `name@sha256:…`; a tag in front of the digest is dropped, since it says nothing more.

        Raises:
            UsageError: the text is not a reference, or has no digest.
        """
        reference = ImageRef.parse(text)
        if not reference.digest:
            raise UsageError(f"{text!r} has no digest", hint=_HINT)
        return cls(name=reference.name, digest=reference.digest)

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"
