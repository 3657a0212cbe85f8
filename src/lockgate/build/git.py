"""Where the sources come from: git, asked for the few facts that a Source holds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lockgate.base.errors import CommandFailed, ToolMissing, UsageError
from lockgate.base.process import plain_environment, run
from lockgate.build.model import Source
from lockgate.build.tree import is_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def source(
    root: Path,
    *,
    repository: str,
    subpath: str,
    exclude: Sequence[str],
    also: Sequence[str],
    content: str,
) -> Source:
    """Return the Source of a component.

    Args:
        root: the folder of `lockgate.yaml`.
        repository: address from the settings.
        subpath: the component's folder, relative to `root`.
        exclude: patterns of files below it that stay out of the image; their changes do not count.
        also: further paths that the image depends on: settings, locks.
        content: digest of the component's files, from `build.tree.content_digest`.

    Raises:
        ToolMissing: `root` is a git work tree and there is no git.
        UsageError: SOURCE_DATE_EPOCH is not a number.
    """
    revision, time = _head(root)
    changes = _changes(root, subpath, exclude, also) if revision else ()
    return Source(
        repository=repository,
        revision=revision,
        time=_epoch(time),
        subpath=subpath,
        content=content,
        changes=changes,
    )


def _epoch(commit_time: int) -> int:
    # https://reproducible-builds.org/specs/source-date-epoch/
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given:
        return commit_time
    if not given.isdecimal():
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {given!r}, not a number of seconds", hint="unset it"
        )
    return int(given)


def _head(root: Path) -> tuple[str, int]:
    """Return commit id and time; empty and 0 outside git or before the first commit."""
    try:
        answer = _git(root, "log", "-1", "--format=%H %ct", accept=(0, 128))
    except ToolMissing:
        if any((folder / ".git").exists() for folder in (root, *root.parents)):
            raise
        return "", 0
    words = answer.decode().split()
    return (words[0], int(words[1])) if len(words) == 2 else ("", 0)


def _changes(
    root: Path, subpath: str, exclude: Sequence[str], also: Sequence[str]
) -> tuple[str, ...]:
    # --no-renames: both ends of a rename are changed paths. -z: names are bytes, not quoted text.
    wanted = ["--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"]
    answer = _git(root, "status", *wanted, "--", subpath, *also)
    if not answer:
        return ()
    # git names paths from the top of the work tree, which may lie above `root`.
    prefix = _git(root, "rev-parse", "--show-prefix").decode("utf-8", "replace").strip()
    listed = (entry[3:].decode("utf-8", "replace") for entry in answer.split(b"\0") if entry)
    paths = sorted(path.removeprefix(prefix) for path in listed)
    below = "" if subpath in ("", ".") else subpath.rstrip("/") + "/"
    return tuple(
        path
        for path in paths
        if path in also
        or (path.startswith(below) and is_source(path.removeprefix(below), exclude))
    )


def _git(root: Path, *arguments: str, accept: tuple[int, ...] = (0,)) -> bytes:
    # The user's own settings must not change what is read: no hooks, no pager, no external diff.
    environment = plain_environment("GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG_GLOBAL")
    environment.update(GIT_OPTIONAL_LOCKS="0", LC_ALL="C", GIT_TERMINAL_PROMPT="0")
    argv = ["git", "-C", str(root), "-c", "core.fsmonitor=false", *arguments]
    done = run(argv, timeout=60, env=environment, accept=accept)
    if done.code and b"dubious ownership" in done.stderr:
        # Not the same as "no repository": a build must not lose its revision in silence.
        raise CommandFailed(
            argv,
            done.code,
            done.stderr.decode("utf-8", "replace").splitlines()[0],
            hint=f"git config --global --add safe.directory {root}",
        )
    return done.stdout if done.code == 0 else b""
