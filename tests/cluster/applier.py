"""A process that applies one file, to be killed: `python -m tests.cluster.applier KUBECONFIG NAMESPACE FILE NUMBER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.config.resource import parse
from lockgate.deploy.kube import apply, kubeconfig
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.connection import Connection
from lockgate.deploy.kube.model import Change, ChangeSet, Options
from lockgate.deploy.kube.ownership import Owner
from lockgate.deploy.kube.storage import Storage
from lockgate.deploy.kube.target import Target, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence


class Silent:
    """Told what happens, says nothing."""

    def planned(self, changes: ChangeSet) -> None:
        """Told a plan."""

    def changed(self, change: Change) -> None:
        """Told a change."""

    def note(self, words: str) -> None:
        """Told what takes time."""


class Proof:
    """Stands for a verification."""

    def __init__(self, subject: str) -> None:
        self.subject = subject


def main(words: Sequence[str]) -> None:
    """Apply a file with one request at a time, so that requests have an order."""
    config, namespace, file, number = words
    access = kubeconfig.read(file=config, root=Path.cwd(), environ={})
    wanted = Wanted(f"sha256:{number:0>64}", "", "", parse(Path(file).read_bytes(), where=file))
    with Connection(access) as connection:
        client = Client(connection)
        target = Target(
            client=client,
            storage=Storage(client, Owner(namespace, "web"), lease=30),
            context="test",
            now=time.time,
            events=Silent(),
        )
        apply.apply(Proof(wanted.artifact), wanted, target, Options(wait=180, workers=1))


if __name__ == "__main__":
    main(sys.argv[1:])
