"""kustomize, run without network, plugins or files from outside of the overlay."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lockgate.base import namespaces
from lockgate.base.errors import CommandFailed, ToolError, UsageError
from lockgate.base.process import run
from lockgate.base.scratch import scratch, system_home
from lockgate.config.documents import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LEAST = (5, 0)
"""Oldest kustomize that is used: before it patches and labels meant something else."""

_SECONDS = 120
_VERSION = re.compile(r"v?([0-9]+)\.([0-9]+)(?:\.[0-9]+)?")
_NOISE = re.compile(r'^(?:Error: |E[0-9]{4} .*?\] "command failed" err=")|"$')
_QUOTED = re.compile(r"(\[patch: |literal sources? (?=\S)).*")
"""Where kustomize quotes a patch or a literal: it may be a Secret's."""
_CONTENTS = "node contents:"
"""Behind it kustomize shows what a field holds that should hold something else, over several lines."""
_LONGEST = 400
"""Characters of kustomize's complaint that are shown; the last of them say what is wrong."""


class Renderer(Protocol):
    """Whatever makes objects of a kustomization."""

    @property
    def version(self) -> str:
        """Name and version; they are a part of what an artifact is made from."""
        ...

    def build(self, folder: Path) -> bytes:
        """Return the objects of a kustomization as YAML documents.

        Raises:
            UsageError: it cannot be rendered.
            ToolError: the program could not be run.
        """
        ...


class Kustomize(NamedTuple):
    """A kustomize that is installed."""

    argv: tuple[str, ...]
    """Program, and the words before the folder."""
    version: str

    def build(self, folder: Path) -> bytes:
        """Return the objects of a kustomization; the folder is read, and nothing is written."""
        argv = [*self.argv, "--load-restrictor=LoadRestrictionsRootOnly", os.fspath(folder)]
        if namespaces.available():
            argv = namespaces.offline(argv)
        with scratch(system_home()) as place:
            home = os.fspath(place.path)
            # An empty home has no plugins. Without a PATH there is no git, helm or docker to call, and a proxy
            # that does not answer stands before a network that could not be taken away.
            nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
            environment = {"HOME": home, "XDG_CONFIG_HOME": home, "PATH": home, **nowhere}
            try:
                done = run(argv, timeout=_SECONDS, env=environment, lock=place.lock)
            except CommandFailed as error:
                raise _explained(error, folder) from None
        if len(done.stdout) > MAX_BYTES:
            raise UsageError(
                f"{folder} renders to more than {MAX_BYTES} bytes", hint="split it into several"
            )
        return done.stdout


def _explained(error: CommandFailed, folder: Path) -> Exception:
    if error.code in (-signal.SIGKILL, 125, 126, 127) or not error.stderr_tail.strip():
        return error
    # kubectl puts a complaint of several lines between `err=<` and `>`.
    said = error.stderr_tail.partition(_CONTENTS)[0].rstrip(": ")
    lines = [one.strip() for one in said.splitlines() if one.strip(" \t>")]
    line = _QUOTED.sub(r"\1…", _NOISE.sub("", lines[-1])) if lines else "it does not say why"
    shown = line if len(line) <= _LONGEST else "…" + line[-_LONGEST:]
    return UsageError(f"{folder} cannot be rendered: {shown}", hint="correct it there")


def find(build: Callable[[], Path], *, search: str | None = None) -> Kustomize:
    """Return kustomize from PATH, else the one inside of kubectl, else one that is built.

    Args:
        build: returns the path of a kustomize, built when there is none.
        search: the value of PATH; that of this process when not given.

    Raises:
        ToolError: there is none, and none could be built.
    """
    path = shutil.which("kustomize", path=search)
    if path and (version := _version([path, "version"])):
        return Kustomize((path, "build"), f"kustomize {version}")
    path = shutil.which("kubectl", path=search)
    if path and (version := _of_kubectl(path)):
        return Kustomize((path, "kustomize"), f"kustomize {version}")
    path = os.fspath(build())
    version = _version([path, "version"])
    if not version:
        raise ToolError(
            f"`{path}` is no kustomize of version {LEAST[0]}.{LEAST[1]} or later",
            hint="`inv tools -n kustomize` builds one",
        )
    return Kustomize((path, "build"), f"kustomize {version}")


def _version(argv: Sequence[str]) -> str:
    """Return the version when it is recent enough, else nothing."""
    try:
        return _recent(run(argv, timeout=20).stdout.decode("utf-8", "replace"))
    except ToolError:
        return ""


def _of_kubectl(path: str) -> str:
    try:
        answer = run([path, "version", "--client", "-o", "json"], timeout=20).stdout
        return _recent(str(json.loads(answer)["kustomizeVersion"]))
    except (ToolError, ValueError, KeyError, TypeError):
        return ""


def _recent(text: str) -> str:
    found = _VERSION.search(text)
    if found is None or (int(found[1]), int(found[2])) < LEAST:
        return ""
    return "v" + found[0].removeprefix("v")
