"""The errors of Lockgate, one tree.

    LockgateError               1  everything below; carries a hint, never shown as a traceback
    ├─ StorageError             1  the disk is full, a folder cannot be written
    ├─ UsageError               2  bad reference, unknown field, unreadable waivers
    ├─ GateClosed               3  the gate said no; the Decision is inside; not a crash
    ├─ TrustError               4  not to be trusted
    │  ├─ SignatureInvalid         a signature is there and does not verify
    │  ├─ AttestationMissing       required evidence is absent
    │  ├─ SubjectMismatch          two records speak of different digests
    │  ├─ DigestMismatch           bytes do not have the digest they are known by
    │  ├─ KeyRefused               wrong password, or a key this environment does not take
    │  └─ Stale                    evidence is older than the requirement allows
    ├─ RemoteError              5  a registry, mirror or cluster; `retryable` says whether again helps
    │  ├─ MirrorError              the package mirror
    │  ├─ PackageGone              a locked package is no longer on the mirror
    │  ├─ RegistryError            a registry is out of reach, refuses, or does not hold what it should
    │  ├─ ClusterError             a Kubernetes API server is out of reach or refuses
    │  │  ├─ Conflict              another owns it, changed it, or works on it right now
    │  │  │  └─ Moved              the inventory changed since it was looked at
    │  │  ├─ Forbidden             this user may not do that
    │  │  ├─ Immutable             a field that cannot be changed in place
    │  │  ├─ InventoryLost         the record of what was applied is gone or cannot be read
    │  │  └─ Rejected              the object is not valid or a policy refuses it; the field is named
    │  └─ NotReady                 what was started did not become ready
    └─ ToolError                6  something we need could not do its work
       ├─ ToolMissing
       ├─ ToolRefused              a tool of a version that must not be used
       ├─ CommandFailed            argv, exit code and the end of stderr inside
       ├─ ReportUnreadable         a scanner's output is cut off or of an unknown version
       └─ DatabaseTooOld

The number is the exit code. Blocked (3), not trusted (4) and broken (5, 6) are different answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class LockgateError(Exception):
    """Root of every error that Lockgate raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        """One sentence that starts with the thing, not with "Error:"."""
        self.hint = hint
        """What the reader can type or do next; empty when there is nothing."""


class StorageError(LockgateError):
    """The disk is full or a path cannot be written."""


class UsageError(LockgateError):
    """The caller's input is wrong: a reference, a field, a file, an argument."""

    exit_code = 2


class GateClosed(LockgateError):
    """The gate said no. `decision` holds the whole verdict."""

    exit_code = 3

    def __init__(self, message: str, *, decision: object, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.decision = decision
        """The `lockgate.gate.decide.Decision` that closed the gate."""


class TrustError(LockgateError):
    """Something is not what it claims to be, or nothing proves that it is."""

    exit_code = 4


class SignatureInvalid(TrustError):
    """A signature exists and does not verify with the given key."""

    NOBODY = "?"

    def __init__(self, message: str, *, hint: str = "", stranger: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stranger = stranger
        """Who signed and is not trusted, as a certificate names them, or `NOBODY` for a key that is not known.
        Empty when that is not the reason."""


class AttestationMissing(TrustError):
    """Evidence that a requirement names is absent."""


class SubjectMismatch(TrustError):
    """Two records, or a statement and an image, speak of different digests."""


class DigestMismatch(TrustError):
    """Bytes do not have the digest that they are known by."""


class KeyRefused(TrustError):
    """A key cannot be opened with this password, or may not be used here."""


class Stale(TrustError):
    """Evidence is older than its requirement allows."""


class RemoteError(LockgateError):
    """A registry, a mirror or a cluster did not do what was asked."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        """True when the same call may succeed later without any change."""


class MirrorError(RemoteError):
    """The package mirror is out of reach or served something wrong."""


class PackageGone(RemoteError):
    """A package that the lock names is no longer on the mirror."""


class RegistryError(RemoteError):
    """A registry is out of reach, refuses a request, or does not hold what it should."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        status: int = 0,
        pause: float = 0.0,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.status = status
        """The HTTP status of its answer; 0 when there was none."""
        self.pause = pause
        """Seconds that it asks to wait before the next attempt."""


class ClusterError(RemoteError):
    """A Kubernetes API server is out of reach or refuses a request."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        status: int = 0,
        reason: str = "",
        causes: tuple[tuple[str, str, str], ...] = (),
        pause: float = 0.0,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.status = status
        """The HTTP status of its answer; 0 when there was none."""
        self.reason = reason
        """The reason in its answer, one word such as `NotFound`; empty when there was none."""
        self.causes = causes
        """Reason, field and message of each thing that is wrong; they may hold values of the object."""
        self.pause = pause
        """Seconds that it asks to wait before the next attempt."""


class Conflict(ClusterError):
    """Somebody else owns the object or its fields, changed it meanwhile, or works on it right now."""


class Moved(Conflict):
    """The inventory changed since it was looked at: look again."""


class Forbidden(ClusterError):
    """This user may not do what was asked."""


class Immutable(ClusterError):
    """A field of the object cannot be changed while it exists."""


class InventoryLost(ClusterError):
    """The record of what was applied is gone while the objects are there, or it cannot be read."""


class Rejected(ClusterError):
    """The object is not valid, or admission refuses it."""


class NotReady(RemoteError):
    """What was started did not answer as ready in time."""


class ToolError(LockgateError):
    """A tool that a stage needs could not do its work. Never a finding, never a pass."""

    exit_code = 6


class ToolMissing(ToolError):
    """A program is not installed and could not be installed."""


class ToolRefused(ToolError):
    """A program is there, but in a version that must not be used."""


class CommandFailed(ToolError):
    """A child process ended with an error, by a signal or by its time limit."""

    def __init__(self, argv: Sequence[str], code: int, stderr_tail: str, *, hint: str = "") -> None:
        last = stderr_tail.strip().splitlines()[-1:] or ["it printed nothing on stderr"]
        super().__init__(f"`{argv[0]}` ended with exit code {code}: {last[0]}", hint=hint)
        self.argv = tuple(argv)
        self.code = code
        """The exit code; negative for a signal, -9 too when the time limit ended it."""
        self.stderr_tail = stderr_tail
        """The last 4 kB of stderr."""


class ReportUnreadable(ToolError):
    """A tool's output is cut off, not in its format, or of an unknown version."""


class DatabaseTooOld(ToolError):
    """The advisory database is older than the environment allows."""
