"""An inventory in an API server in memory."""

from __future__ import annotations

from typing import Any

import pytest
from tests.miniature import Miniature

from lockgate.config.resource import parse
from lockgate.deploy.kube import apply, delete
from lockgate.deploy.kube.answers import Clock
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.model import Change, ChangeSet, Options
from lockgate.deploy.kube.ownership import Owner
from lockgate.deploy.kube.storage import Storage
from lockgate.deploy.kube.target import Target, Wanted

NO_WAIT = Options(wait=0, workers=1)

LAMP = """---
apiVersion: example.org/VERSION
kind: Lamp
metadata: {name: desk, namespace: default}
spec: {bright: 1}
"""


class Recorder:
    """Keeps what a run is told."""

    def __init__(self) -> None:
        self.plans: list[ChangeSet] = []
        self.changes: list[Change] = []
        self.notes: list[str] = []

    def planned(self, changes: ChangeSet) -> None:
        """Keep a plan."""
        self.plans.append(changes)

    def changed(self, change: Change) -> None:
        """Keep a change."""
        self.changes.append(change)

    def note(self, words: str) -> None:
        """Keep a note."""
        self.notes.append(words)


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def clock(self) -> Clock:
        """Return it as a client takes it."""
        return Clock(sleep=self.sleep, monotonic=lambda: self.now, random=lambda: 0.5)


class Proof:
    """Stands for a verification."""

    def __init__(self, subject: str) -> None:
        self.subject = subject


class Cluster:
    """The API server in memory, and inventories in its namespace `default`."""

    def __init__(self) -> None:
        self.server, self.time, self.events = Miniature(), Time(), Recorder()

    def client(self) -> Client:
        """Return a client that waits in no time."""
        return Client(self.server, clock=self.time.clock(), patience=10)

    def target(self, name: str = "web", *, namespace: str = "default") -> Target:
        """Return an inventory."""
        client = self.client()
        return Target(
            client=client,
            storage=Storage(client, Owner(namespace, name)),
            context="memory",
            now=lambda: 1_700_000_000.0,
            events=self.events,
        )

    def wanted(self, text: str, artifact: str = "1") -> Wanted:
        """Return an artifact."""
        resources = parse(text.encode(), where="test") if text else ()
        return Wanted(f"sha256:{artifact:0>64}", "https://example.org/web", "main", resources)

    def apply(
        self, text: str, options: Options = NO_WAIT, *, artifact: str = "1", name: str = "web"
    ) -> ChangeSet:
        """Apply objects."""
        wanted = self.wanted(text, artifact)
        return apply.apply(Proof(wanted.artifact), wanted, self.target(name), options)

    def plan(self, text: str, options: Options = NO_WAIT, *, name: str = "web") -> ChangeSet:
        """Say what applying objects would do."""
        return apply.plan(self.wanted(text), self.target(name), options)

    def delete(self, options: Options = NO_WAIT, *, name: str = "web") -> ChangeSet:
        """Delete an inventory."""
        return delete.delete(self.target(name), options)

    def entries(self, name: str = "web") -> list[str]:
        """Return the names in an inventory."""
        return [one.id.name for one in self.target(name).storage.read().inventory.entries]

    def data(self, name: str) -> Any:
        """Return the data of a configuration map; None when there is none."""
        found = self.server.find("ConfigMap", "default", name)
        return found and found["data"]


@pytest.fixture
def cluster() -> Cluster:
    """A cluster of the test's own."""
    return Cluster()


def maps(*names: str, value: str = "one") -> str:
    """Return configuration maps as YAML."""
    return "".join(
        f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\n"
        f"data: {{key: {value}}}\n"
        for name in names
    )


def lines(changes: ChangeSet) -> list[str]:
    """Return the lines "name action"."""
    return [f"{one.id.name} {one.action}" for one in changes.changes]


def definition(*versions: str) -> str:
    """Return a definition of lamps; a version that ends with `-` is not served."""
    listed = ", ".join(
        f"{{name: {one.rstrip('-')}, served: {str(not one.endswith('-')).lower()}}}"
        for one in versions
    )
    return (
        "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        "metadata: {name: lamps.example.org}\nspec: {group: example.org, scope: Namespaced, "
        f"names: {{kind: Lamp, plural: lamps}}, versions: [{listed}]}}\n"
    )


def lamp(version: str = "v1", note: str = "{}") -> str:
    """Return a lamp."""
    return LAMP.replace("VERSION", version).replace("desk,", f"desk, annotations: {note},")
