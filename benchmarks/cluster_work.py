"""One piece of work on a cluster in a process of its own: `python -m benchmarks.cluster_work VERB KUBECONFIG NS FILE`.

Prints the number of its requests by method.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.config.resource import parse
from lockgate.deploy.kube import apply, kubeconfig
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.connection import Connection
from lockgate.deploy.kube.delete import delete
from lockgate.deploy.kube.model import Change, ChangeSet, Options
from lockgate.deploy.kube.ownership import Owner
from lockgate.deploy.kube.storage import Storage
from lockgate.deploy.kube.target import Target, Wanted
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence


class Lines:
    """Prints a line for each change, as kubectl does."""

    def planned(self, changes: ChangeSet) -> None:
        """A plan is not printed: kubectl has none."""

    def changed(self, change: Change) -> None:
        """Print a change."""
        print(change.id.label, change.action)

    def note(self, words: str) -> None:
        """Print what takes time."""
        print(words)


class Proof:
    """Stands for a verification, which kubectl has none of."""

    def __init__(self, subject: str) -> None:
        self.subject = subject


def main(words: Sequence[str]) -> None:
    """Do one piece of work."""
    verb, config, namespace, file = words
    access = kubeconfig.read(file=config, root=Path.cwd(), environ={})
    with Connection(access) as connection:
        client = Client(connection)
        target = Target(
            client=client,
            storage=Storage(client, Owner(namespace, "bench")),
            context="bench",
            now=time.time,
            events=Lines(),
        )
        options = Options(wait=30 if verb == "delete" else 0, prune_limit=10_000)
        if verb == "delete":
            delete(target, options)
        else:
            data = Path(file).read_bytes()
            wanted = Wanted(Digest.of(data), "", "", parse(data, where=file))
            if verb == "diff":
                apply.plan(wanted, target, Options(wait=0, prune_limit=10_000, details=True))
            else:
                apply.apply(Proof(wanted.artifact), wanted, target, options)
        print(dict(connection.sent), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
