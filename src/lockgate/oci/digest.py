"""Digests: the only names that later stages accept (OCI image specification 1.1, descriptor.md#digests)."""

from __future__ import annotations

import hashlib
import re
from typing import Self

from lockgate.base.errors import DigestMismatch, UsageError

_FORM = re.compile(r"sha256:[0-9a-f]{64}")


class Digest(str):
    """A sha256 digest in its only form, `sha256:` and 64 lower-case hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Check the form.

        Raises:
            UsageError: the text is not a digest.
        """
        if not _FORM.fullmatch(value):
            raise UsageError(
                f"{value!r} is not a digest",
                hint="a digest is `sha256:` followed by 64 hexadecimal digits",
            )
        return super().__new__(cls, value)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the digest of `data`."""
        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @property
    def hex(self) -> str:
        """The 64 hexadecimal digits without the algorithm."""
        return self[7:]

    @property
    def short(self) -> str:
        """For people only: `sha256:4f1c2d3e…9a02`. Never parse it, never look it up."""
        return f"{self[:15]}…{self[-4:]}"

    def check(self, data: bytes, what: str) -> bytes:
        """Return `data` when it has this digest.

        Raises:
            DigestMismatch: it has another one.
        """
        found = Digest.of(data)
        if found != self:
            raise DigestMismatch(
                f"{what} should be {self.short} and is {found.short}: its bytes were changed",
                hint="remove it and run `inv build` again, or get it from a trusted copy",
            )
        return data
