"""The programs that we are compared with. One that is missing is said loudly, and its rows are missing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from lockgate.base.errors import LockgateError
from lockgate.build import gotools
from lockgate.tasks.session import user_cache

ROOT = Path(__file__).parents[1]


def peer(name: str) -> str:
    """Return the path of a program: a Go tool of this repository, else one on PATH; empty when there is none."""
    if name in gotools.catalogue(ROOT):
        try:
            return str(gotools.binary(name, root=ROOT, cache=user_cache()))
        except LockgateError as error:
            return missing(name, f"{error.message}: {error.hint}")
    return shutil.which(name) or missing(name, "it is not on PATH")


def missing(name: str, why: str) -> str:
    """Say that a peer is not here; return an empty text."""
    print(f"!! NOT COMPARED with {name}: {why}", file=sys.stderr, flush=True)
    return ""
