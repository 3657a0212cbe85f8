"""Who signed without a key of their own: what a certificate of Sigstore says of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Identity:
    """Someone whom an issuer of identities knows."""

    subject: str
    """Address of a workflow or of a person: `https://github.com/shop/app/.github/workflows/release.yml@refs/tags/v1`."""
    issuer: str
    """Who says so: `https://token.actions.githubusercontent.com`."""
    name: str = ""
    """What people call it: `release`."""

    development: ClassVar[bool] = False
    """There is no development identity; keys have one."""

    @property
    def fingerprint(self) -> str:
        """The sha256 of issuer and subject, in hexadecimal, where a key has that of its DER form."""
        return hashlib.sha256(f"{self.issuer}\0{self.subject}".encode()).hexdigest()

    @property
    def label(self) -> str:
        """How it is shown: `identity https://… (release)`."""
        return f"identity {self.subject}" + (f" ({self.name})" if self.name else "")

    def same(self, other: Identity) -> bool:
        """True when both are one and the same to one and the same issuer, whatever they are called."""
        return (self.subject, self.issuer) == (other.subject, other.issuer)
