"""Where the sources come from: git, asked for the few facts that a Source holds."""

from __future__ import annotations

import os
import re
import shlex
from posixpath import normpath
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
        CommandFailed: git cannot read the repository, or will not.
        UsageError: SOURCE_DATE_EPOCH is not a number of seconds.
    """
    revision, time = _head(root)
    changes = (
        _changes(root, normpath(subpath), exclude, [normpath(one) for one in also])
        if revision
        else ()
    )
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
    # Eleven digits reach the year 5138; what a date cannot hold is no time.
    if not re.fullmatch("[0-9]{1,11}", given):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {given!r}, not a number of seconds", hint="unset it"
        )
    return int(given)


def _head(root: Path) -> tuple[str, int]:
    """Return commit id and time; empty and 0 outside git or before the first commit."""
    try:
        answer = _git(root, "log", "-1", "--no-show-signature", "--format=%H %ct")
    except ToolMissing:
        if any((folder / ".git").exists() for folder in (root, *root.parents)):
            raise
        return "", 0
    if not answer:
        return "", 0
    revision, seconds = answer.decode().split()
    return revision, int(seconds)


def _changes(
    root: Path, subpath: str, exclude: Sequence[str], also: Sequence[str]
) -> tuple[str, ...]:
    # --no-renames: both ends of a rename are changed paths. -z: names are bytes, not quoted text.
    # --ignored: what git ignores is in no commit, and in the image all the same unless it is excluded.
    wanted = ["--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored"]
    wanted += ["--ignore-submodules=none"]
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
        if path in also or (path.startswith(below) and is_source(path.removeprefix(below), exclude))
    )


_NO_COMMIT = ("not a git repository (or any", "does not have any commits yet")
"""How git says that there is nothing to ask about. Every other failure is one: a build must not lose its
revision in silence."""


def _git(root: Path, *arguments: str) -> bytes:
    """Return git's answer; empty when there is no repository or no commit."""
    # The user's own settings must not change what is read: no hooks, no pager, no external diff.
    environment = plain_environment("GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG_GLOBAL")
    environment.update(GIT_OPTIONAL_LOCKS="0", LC_ALL="C", GIT_TERMINAL_PROMPT="0")
    environment.update(GIT_LITERAL_PATHSPECS="1")
    argv = ["git", "-C", str(root), "-c", "core.fsmonitor=false", *arguments]
    done = run(argv, timeout=60, env=environment, accept=(0, 128))
    if done.code == 0:
        return done.stdout
    why = done.stderr.decode("utf-8", "replace")
    if any(words in why for words in _NO_COMMIT):
        return b""
    owned = re.search("dubious ownership in repository at '(.*)'", why)
    raise CommandFailed(
        argv,
        done.code,
        owned[0] if owned else why,
        hint=f"git config --global --add safe.directory {shlex.quote(owned[1])}"
        if owned
        else "`git status` should work in this folder",
    )
