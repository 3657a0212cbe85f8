"""Secrets for development: random, made on first use, in a folder that git ignores.

A kustomization asks for them by naming files in its folder `secrets` that are not there:

    secretGenerator:
      - name: todo-database
        files: [password=secrets/database-password]

Like the development key they work at once, on one machine, and are accepted only where an environment says so.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error

FOLDER = "secrets"
"""Name of the folder beside the kustomization."""

BYTES = 32
"""Random bytes of a secret, written as letters, digits, `-` and `_`."""

_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def provide(overlay: Path, *, accepted: bool) -> tuple[str, ...]:
    """Make the secrets that an overlay names and that do not exist; return their paths, relative to the overlay.

    A file that exists is never changed. Two calls at once agree on one content.

    Args:
        overlay: the folder of the kustomization that is about to be rendered.
        accepted: whether the environment accepts secrets that were made here (`development_key`).

    Raises:
        UsageError: a file is missing and `accepted` is false, or the kustomization cannot be read.
        StorageError: the folder cannot be written.
    """
    missing = [path for path in _named(overlay) if not (overlay / path).exists()]
    if missing and not accepted:
        raise UsageError(
            f"{overlay.name} names {missing[0]}, which does not exist, and takes no secrets made for development",
            hint="take the `secretGenerator` out: outside of development a Secret comes from the platform",
        )
    for path in missing:
        try:
            _make(overlay / path)
        except OSError as error:
            raise storage_error(error, overlay / path) from error
    return tuple(missing)


def _named(overlay: Path) -> list[str]:
    """Return the files in the folder of secrets that the overlay's generators name, in their order."""
    from lockgate.base import strict_yaml

    place = next((overlay / name for name in _NAMES if (overlay / name).is_file()), None)
    if place is None:
        return []  # kustomize says that there is none, and where it looked
    content = strict_yaml.load(place.read_bytes(), what=f"{overlay.name}/{place.name}")
    generators: Any = content.get("secretGenerator") if isinstance(content, dict) else None
    found = [
        str(entry).rpartition("=")[2]
        for one in (generators if isinstance(generators, list) else ())
        if isinstance(one, dict) and isinstance(one.get("files"), list)
        for entry in one["files"]
    ]
    return list(
        dict.fromkeys(path for path in found if PurePosixPath(path).parts[:-1] == (FOLDER,))
    )


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    ignore = path.parent / ".gitignore"
    if not ignore.exists():
        # In the folder itself, so that it holds whatever the repository's own list says.
        ignore.write_text("*\n")
    # mkstemp gives mode 0600. A link fails where the file has appeared meanwhile: the first one counts.
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(BYTES))
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink()
