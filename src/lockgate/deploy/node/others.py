"""Clusters that other programs make: kind and k3d. Their own defaults hold; nothing of theirs is configured here."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Literal, NamedTuple

from lockgate.base.errors import CommandFailed, ToolError, ToolMissing, UsageError
from lockgate.base.files import atomic_write, storage_error
from lockgate.base.process import plain_environment, run

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["kind", "k3d"]

_SECONDS = 600.0
"""For making a cluster: an image of a gigabyte may have to come first."""
_SHORT = 60.0
_WAIT = "180s"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_REASON = re.compile(r"^(?:ERROR: |Command Output: |ERRO\[[0-9]+\] )(.+?)\s*$", re.MULTILINE)
"""Lines that say why: of kind, and of k3d, which writes several."""
_VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "KIND_EXPERIMENTAL_PROVIDER")


class Other(NamedTuple):
    """One cluster of one such program."""

    kind: Kind
    name: str
    kubeconfig: Path
    """Where its kubeconfig is kept."""

    @property
    def context(self) -> str:
        """Name of the context that the program gives it."""
        return f"{self.kind}-{self.name}"

    @property
    def mark(self) -> Path:
        """File that says that the cluster was made here: whose else it is, is not removed."""
        return self.kubeconfig.with_name(self.kind)

    def exists(self) -> bool:
        """True when the program knows the cluster.

        Raises:
            ToolError: it is absent, or fails.
        """
        if self.kind == "kind":
            return self.name in self._run("get", "clusters", seconds=_SHORT).decode().split()
        listed = self._run("cluster", "list", "--output=json", seconds=_SHORT)
        try:
            return any(one["name"] == self.name for one in json.loads(listed))
        except (ValueError, KeyError, TypeError):
            raise ToolError(
                "`k3d cluster list` prints no list", hint="use a current version of k3d"
            ) from None

    def create(self) -> None:
        """Make the cluster and wait until it is ready; the user's own kubeconfig stays as it is."""
        try:
            self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.kubeconfig) from error
        # Before the cluster: a killed run leaves one that can be removed.
        atomic_write(self.mark, b"")
        if self.kind == "kind":
            # It always writes a kubeconfig, with a lock file beside it.
            self._run(
                *("create", "cluster", f"--name={self.name}", f"--wait={_WAIT}"),
                f"--kubeconfig={self.kubeconfig}",
                seconds=_SECONDS,
            )
        else:
            self._run(
                *("cluster", "create", self.name, "--wait", f"--timeout={_WAIT}"),
                *("--kubeconfig-update-default=false", "--kubeconfig-switch-context=false"),
                seconds=_SECONDS,
            )

    def keep_kubeconfig(self) -> None:
        """Write the cluster's kubeconfig, readable by its owner only."""
        words = (
            ("get", "kubeconfig", f"--name={self.name}")
            if self.kind == "kind"
            else ("kubeconfig", "get", self.name)
        )
        atomic_write(self.kubeconfig, self._run(*words, seconds=_SHORT), mode=0o600)

    def require_ours(self) -> None:
        """Refuse a cluster that was not made here: others may need it.

        Raises:
            UsageError: it was not.
        """
        if not self.mark.exists():
            raise UsageError(
                f"the cluster {self.name} of {self.kind} was not made here; it is not removed",
                hint="remove it the way it was made",
            )

    def delete(self) -> None:
        """Remove the cluster, and its kubeconfig.

        Raises:
            UsageError: it was not made here.
            ToolError: the program is absent, or refuses.
        """
        self.require_ours()
        words = (
            ("delete", "cluster", f"--name={self.name}", f"--kubeconfig={self.kubeconfig}")
            if self.kind == "kind"
            else ("cluster", "delete", self.name)
        )
        self._run(*words, seconds=_SECONDS)
        try:
            self.kubeconfig.unlink(missing_ok=True)
            self.mark.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.kubeconfig) from error

    def _run(self, *words: str, seconds: float) -> bytes:
        if shutil.which(self.kind) is None:
            raise ToolMissing(
                f"`{self.kind}` is not on PATH, and the cluster {self.name} is to be its",
                hint="install it, or set another `provider` under `cluster` in `lockgate.yaml`",
            )
        environment = plain_environment(*_VARIABLES)
        try:
            return run([self.kind, *words], timeout=seconds, env=environment).stdout
        except CommandFailed as error:
            raise _explained(error) from None


def _explained(error: CommandFailed) -> CommandFailed:
    """Return the failure with the reason as its last line: both end with what they did about it, k3d in colours."""
    said = _COLOUR.sub("", error.stderr_tail)
    reasons = _REASON.findall(said)
    tail = f"{said.rstrip()}\n{'; '.join(reasons)}" if reasons else said
    return CommandFailed(error.argv, error.code, tail, hint=error.hint)


def installed() -> Kind | None:
    """Return which of the two is on PATH, kind first."""
    kinds: tuple[Kind, Kind] = ("kind", "k3d")
    return next((one for one in kinds if shutil.which(one)), None)
