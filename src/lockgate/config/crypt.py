"""age: an artifact that only the holders of certain keys can read (age-encryption.org/v1).

Encryption draws random numbers, so the same objects give another digest each time. What stays the same is the
digest of the plain YAML, which the artifact carries; that also means that whoever guesses the content can check the
guess. Keys are read from files with one key a line, as `age` reads them; lines that begin with `#` are comments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.base.errors import KeyRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

FORMAT = "age-encryption.org/v1"
"""What the annotation says of an encrypted artifact."""

IDENTITIES = "LOCKGATE_AGE_IDENTITIES"
"""Environment variable with the path of an identities file."""

_MAX_BYTES = 1 << 20
_PEM = "-----BEGIN OPENSSH PRIVATE KEY-----"
_SEALED = ("age-encryption.org/v1", "-----BEGIN AGE ENCRYPTED FILE-----")


def recipients(path: Path) -> tuple[Any, ...]:
    """Return the public keys in a file: age's own (`age1…`) and those of SSH.

    Raises:
        KeyRefused: the file cannot be read, holds no key, or a line is none.
    """
    from pyrage import RecipientError, ssh, x25519

    found: list[Any] = []
    for number, line in _lines(path):
        kind = ssh if line.startswith("ssh-") else x25519
        try:
            found.append(kind.Recipient.from_str(line))
        except RecipientError:
            # The line is not shown: a private key may have been put here by mistake.
            raise KeyRefused(
                f"{path}, line {number}, is no public key of age or SSH",
                hint="`age-keygen -y KEYFILE` prints the public key of a private one",
            ) from None
    if not found:
        raise KeyRefused(f"{path} names no recipient", hint="write one public key a line")
    return tuple(found)


def identities(path: Path) -> tuple[Any, ...]:
    """Return the private keys in a file: age's own (`AGE-SECRET-KEY-1…`), or one of SSH.

    Raises:
        KeyRefused: the file cannot be read, holds no key, a line is none, or a passphrase is needed.
    """
    from pyrage import IdentityError, ssh, x25519

    text = _text(path)
    if text.startswith(_SEALED):
        raise KeyRefused(
            f"{path} is protected by a passphrase, which is not asked for here",
            hint=f"`age -d {path.name} > KEYFILE` opens it, for this one use",
        )
    hint = "`age-keygen` makes such a file"
    try:
        if text.startswith(_PEM):
            return (ssh.Identity.from_buffer(text.encode()),)
        found = []
        for number, line in _lines(path):
            hint = f"line {number} is none; {hint}"
            found.append(x25519.Identity.from_str(line))
            hint = "`age-keygen` makes such a file"
    except IdentityError:
        raise KeyRefused(f"{path} is no file of private keys of age or SSH", hint=hint) from None
    if not found:
        raise KeyRefused(f"{path} holds no private key", hint=hint)
    return tuple(found)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise KeyRefused(
            f"{path} cannot be read: {error.strerror}", hint="check the path"
        ) from None


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def seal(data: bytes, to: Sequence[Any]) -> bytes:
    """Return data encrypted to every one of several recipients.

    Raises:
        UsageError: there is no recipient.
    """
    import pyrage

    if not to:
        raise UsageError("nobody is named to encrypt to", hint="name a file with `--recipients`")
    return bytes(pyrage.encrypt(data, list(to)))


def opener(held: Sequence[Any]) -> Callable[[bytes], bytes]:
    """Return what opens encrypted data with one of several identities."""

    def unseal(data: bytes) -> bytes:
        import pyrage

        if not held:
            raise KeyRefused(
                "the artifact is encrypted, and no private key was given to decrypt it with",
                hint=f"name a file with `--identities`, or set {IDENTITIES}",
            )
        try:
            return bytes(pyrage.decrypt(data, list(held)))
        except pyrage.DecryptError as error:
            raise KeyRefused(
                f"the artifact cannot be decrypted: {str(error).rstrip('.').lower()}",
                hint="it was encrypted to other keys, or was changed",
            ) from None

    return unseal
