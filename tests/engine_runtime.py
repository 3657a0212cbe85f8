"""runc, for the private dockerd of tests: what is not on this machine is taken from containers that allow it.

    engine_runtime.py (the arguments of runc)

kind and k3d want `--privileged`, which is every capability that Linux has. Where the machine itself lacks one, runc
refuses such a container, and nothing of these two could be tried. So a container whose environment holds `MARK` gets
what there is. All others reach runc as they are: who asks for too much has to learn it here too.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

MARK = "LOCKGATE_TEST_POWERS=available"


def specification(words: list[str]) -> Path | None:
    """Return the file that says what is to be started: a bundle's, or a process's of its own."""
    for word, following in itertools.pairwise(words):
        if word in ("--bundle", "-b"):
            return Path(following, "config.json")
        if word in ("--process", "-p"):
            return Path(following)
    return None


def trim(path: Path) -> None:
    """Take from a container what this machine does not have."""
    whole: dict[str, Any] = json.loads(path.read_text())
    process = whole.get("process", whole)
    if MARK not in process.get("env", ()):
        return
    # Only now: every start of a container passes here.
    from lockgate.deploy.node.capabilities import parse_bounding

    there = {f"CAP_{one}" for one in parse_bounding(Path("/proc/self/status").read_text())}
    for name, listed in process.get("capabilities", {}).items():
        process["capabilities"][name] = [one for one in listed if one in there]
    path.write_text(json.dumps(whole))


if __name__ == "__main__":
    found = specification(sys.argv[1:])
    if found is not None and found.is_file():
        trim(found)
    os.execvp("runc", ["runc", *sys.argv[1:]])  # noqa: S606 - no shell is wanted
