"""The Kubernetes schemas: does the API server know every field, and is each of the right type?

They lie in a package of their own (all versions are 100 MB), which is locked by hash and installed apart from the
Python that runs Lockgate, as the tools of `inv check` are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import ReportUnreadable
from lockgate.base.process import run
from lockgate.build import tool_env

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.config.resource import Resource

KUBERNETES = "1.35"
"""The version whose schemas count: that of the clusters, and of the node in the tests."""

SECONDS = 300
"""Time limit of one comparison."""

Problems = list[tuple[str, str]] | None
"""Path and text of what does not fit; None when there is no schema for such an object."""


def lock() -> Path:
    """Return the lock of the package with the schemas; it is shipped beside this module."""
    return Path(__file__).with_name("schema-requirements.txt")


def compare(
    resources: Sequence[Resource],
    *,
    tools: Path,
    progress: Callable[[str], None] | None = None,
) -> tuple[Problems, ...]:
    """Compare objects with the strict schemas of `KUBERNETES`; return what does not fit, for each object.

    Args:
        resources: the objects.
        tools: where environments of tools are kept.
        progress: is told, in one line, when something takes time.

    Raises:
        ToolError: the schemas could not be installed or read. That is never a pass.
    """
    made = tool_env.prepare(tools, [lock()], progress=progress)
    # Not the canonical form: a custom object may hold a float, and nothing is signed here.
    request = json.dumps({"version": KUBERNETES, "objects": [one.body for one in resources]})
    worker = Path(__file__).with_name("_schema_worker.py")
    # -I: neither the folder that this runs in nor a variable of the person's adds modules.
    done = run(
        [str(made.bin / "python"), "-I", str(worker)],
        stdin=request.encode(),
        timeout=SECONDS,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    )
    try:
        found = msgspec.json.decode(done.stdout, type=list[Problems])
    except msgspec.DecodeError as error:
        raise ReportUnreadable(
            f"the comparison with the schemas left no answer: {error}", hint="run it again"
        ) from None
    if len(found) != len(resources):
        raise ReportUnreadable(
            f"of {len(resources)} objects only {len(found)} were compared with the schemas",
            hint="run it again",
        )
    return tuple(found)
