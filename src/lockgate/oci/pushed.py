"""What a registry over a layout (`server_contents`) keeps for each of its repositories, beside the blobs.

    repositories/<name>/_blobs/<algorithm>/<hex>        empty: this blob was pushed here
    repositories/<name>/_manifests/<algorithm>/<hex>    empty: this manifest was pushed here
    repositories/<name>/_referrers/<algorithm>/<hex>    index: the pushed manifests with this subject
    repositories/<name>/_uploads/<id>                   a blob on its way in

Each file comes, changes and goes atomically. A part of a repository's name never begins with `_`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lockgate.base.files import storage_error
from lockgate.oci.manifest import Descriptor, Index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "repositories"
"""In the layout, where other readers of layouts do not look."""


def holders(folder: Path, name: str) -> Iterator[str]:
    """Return the repositories that have a folder of this name."""
    for place, folders, _ in os.walk(folder):
        if name in folders:
            yield os.path.relpath(place, folder)
        folders[:] = [one for one in folders if not one.startswith("_")]


def list_path(folder: Path, repository: str, subject: str) -> Path:
    """Return where the list of a subject's referrers lies or would lie."""
    algorithm, _, digits = subject.partition(":")
    return folder / repository / "_referrers" / algorithm / digits


def listed(folder: Path, repository: str, subject: str) -> tuple[Descriptor, ...]:
    """Return the manifests with this subject that were pushed to a repository.

    Raises:
        UsageError: the list is damaged.
    """
    path = list_path(folder, repository, subject)
    try:
        return Index.parse(path.read_bytes()).manifests
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise storage_error(error, path) from error


def everywhere(folder: Path, subject: str) -> Iterator[Descriptor]:
    """Return the manifests with this subject that were pushed to any repository.

    Raises:
        UsageError: a list is damaged.
    """
    for repository in holders(folder, "_referrers"):
        yield from listed(folder, repository, subject)
