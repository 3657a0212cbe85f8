"""The edges of `inv verify.file`, made from its arguments: a file, its bundle, and who must have signed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import keys
from lockgate.sign.evidence import Trust
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.trusted_root import MAX_BYTES, TrustedRoot
from lockgate.sign.referrers import MAX_BUNDLE

if TYPE_CHECKING:
    from lockgate.sign.artifact import SignedFile

SUFFIX = ".sigstore.json"
"""What a bundle's name has behind that of its file, where it lies beside it."""

_ROOT_HINT = (
    "add `--trusted-root PATH`: the `trusted_root.json` that the signer's Sigstore publishes"
)


def trust(*, identity: str, issuer: str, trusted_root: str, key: str) -> Trust:
    """Return who must have signed: one key, or one identity; never nobody, and never anybody.

    Raises:
        UsageError: it is not said, or not in full, or the trusted root cannot be read.
        KeyRefused: the key or the trusted root is not one.
    """
    if bool(key) == bool(identity or issuer):
        raise UsageError(
            "either a key or an identity says who must have signed",
            hint="add `--key PATH`, or `--identity WHO --issuer ADDRESS --trusted-root PATH`",
        )
    if key:
        given = keys.public_keys([key], root=Path.cwd(), environ=os.environ)
        # Whose file it is, is no question of an environment: a development key is as good as another.
        return Trust(keys=given, development_key_allowed=True)
    if not identity or not issuer:
        raise UsageError(
            "an identity is someone, and an issuer who says so",
            hint="give both `--identity WHO` and `--issuer ADDRESS`",
        )
    if not trusted_root:
        raise UsageError("nothing proves an identity without a trusted root", hint=_ROOT_HINT)
    root = TrustedRoot.parse(_read(trusted_root, MAX_BYTES, _ROOT_HINT), what=trusted_root)
    someone = Identity(identity, issuer)
    return Trust(keys=(), development_key_allowed=False, identities=(someone,), root=root)


def digest(file: str) -> Digest:
    """Return the digest of a file, or the one that stands in its place.

    Raises:
        UsageError: there is no such file, and it is no digest.
    """
    if file.startswith("sha256:") and not os.path.lexists(file):
        return Digest(file)
    try:
        with Path(file).open("rb") as opened:
            return Digest("sha256:" + hashlib.file_digest(opened, "sha256").hexdigest())
    except (OSError, ValueError) as error:
        raise _unreadable(file, error, "name a file that is there, or its digest") from None


def bundle(file: str, named: str) -> bytes:
    """Return the bytes of a file's bundle: the one that is named, else the one beside the file.

    Raises:
        UsageError: it cannot be read.
    """
    if not named and not os.path.lexists(file):
        raise UsageError(
            "a digest does not say where the bundle of its file is", hint="add `--bundle PATH`"
        )
    return _read(named or file + SUFFIX, MAX_BUNDLE, "`--bundle PATH` names the bundle")


def line(found: SignedFile) -> str:
    """Return what is said of a file that someone has signed."""
    said = f", as {found.issuer} has it" if found.issuer else ""
    text = "".join(char if char.isprintable() else "?" for char in found.signer + said)
    return f"signature   ok        {text}"


def _read(path: str, limit: int, hint: str) -> bytes:
    try:
        with Path(path).open("rb") as opened:
            data = opened.read(limit + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, hint) from None
    if len(data) > limit:
        raise UsageError(f"{path} has more than {limit} bytes", hint=hint)
    return data


def _unreadable(path: str, error: OSError | ValueError, hint: str) -> UsageError:
    number = error.errno if isinstance(error, OSError) else None
    return UsageError(
        f"{path} cannot be read: {os.strerror(number) if number else error}", hint=hint
    )
