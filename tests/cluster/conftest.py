"""A real API server for all tests of this folder; a namespace and an inventory of its own for each."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.apiserver import ApiServer, running

from lockgate.config.resource import Resource, parse
from lockgate.deploy.kube import apply, kubeconfig
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.connection import Connection
from lockgate.deploy.kube.delete import delete
from lockgate.deploy.kube.model import Change, ChangeSet, Options
from lockgate.deploy.kube.ownership import Owner
from lockgate.deploy.kube.storage import Storage
from lockgate.deploy.kube.target import Target, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NUMBERS = itertools.count(1)

NO_WAIT = Options(wait=0)


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


class Proof:
    """Stands for a verification: these tests are about what comes after it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject


class Place:
    """One namespace of the cluster, and inventories in it."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server, self.namespace = server, namespace
        self.events = Recorder()
        self._connections: list[Connection] = []

    def close(self) -> None:
        """End every connection that was made."""
        for one in self._connections:
            one.close()

    def connection(self, user: str = "admin", url: str = "") -> Connection:
        """Return a connection of a user, perhaps through another address."""
        path = self.server.kubeconfig(user, url)
        made = Connection(kubeconfig.read(file=str(path), root=path.parent, environ={}))
        self._connections.append(made)
        return made

    def target(
        self,
        name: str = "web",
        *,
        user: str = "admin",
        lease: float = 30.0,
        connection: Connection | None = None,
        patience: float = 120.0,
    ) -> Target:
        """Return an inventory."""
        client = Client(connection or self.connection(user), patience=patience)
        return Target(
            client=client,
            storage=Storage(client, Owner(self.namespace, name), lease=lease),
            context="test",
            now=time.time,
            events=self.events,
        )

    def wanted(self, text: str, artifact: str = "1") -> Wanted:
        """Return an artifact; `@NS` in it stands for the namespace."""
        digest = f"sha256:{artifact:0>64}"
        return Wanted(digest, "https://example.org/web", "main@sha1:0", self.resources(text))

    def resources(self, text: str) -> tuple[Resource, ...]:
        """Return objects; `@NS` stands for the namespace."""
        return parse(text.replace("@NS", self.namespace).encode(), where="test")

    def apply(
        self,
        text: str,
        options: Options = NO_WAIT,
        *,
        artifact: str = "1",
        target: Target | None = None,
        name: str = "web",
    ) -> ChangeSet:
        """Apply objects."""
        wanted = self.wanted(text, artifact)
        return apply.apply(Proof(wanted.artifact), wanted, target or self.target(name), options)

    def plan(self, text: str, options: Options = NO_WAIT, *, name: str = "web") -> ChangeSet:
        """Say what applying objects would do."""
        return apply.plan(self.wanted(text), self.target(name), options)

    def delete(self, options: Options = NO_WAIT, *, name: str = "web") -> ChangeSet:
        """Delete an inventory with everything in it."""
        return delete(self.target(name), options)

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run the real kubectl in the namespace; return what it printed."""
        done = self.server.kubectl(
            "-n",
            self.namespace,
            *arguments,
            stdin=stdin.replace("@NS", self.namespace),
            check=check,
        )
        return done.stdout + (done.stderr if not check else "")

    def get(self, what: str) -> Any:
        """Return an object, `configmap/a`, as it is; None when it is not there."""
        text = self.kubectl(
            "get", what, "-o", "yaml", "--ignore-not-found", "--show-managed-fields"
        )
        return yaml.safe_load(text) if text else None

    def inventory(self, name: str = "web") -> list[str]:
        """Return the keys of an inventory's entries."""
        found = self.target(name).storage.read()
        return [one.id.label.rpartition("/")[2] for one in found.inventory.entries]


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The API server, for tests that read and write and leave it running."""
    with running(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture
def place(api_server: ApiServer) -> Iterator[Place]:
    """A namespace of the test's own."""
    namespace = f"t{next(_NUMBERS)}"
    api_server.kubectl("create", "namespace", namespace)
    made = Place(api_server, namespace)
    yield made
    made.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server for one test alone, which may end and start it."""
    with running(tmp_path / "api-server") as server:
        yield server


def lines(changes: ChangeSet) -> list[str]:
    """Return the lines "name action" of what changed."""
    return [f"{one.id.name} {one.action}" for one in changes.changes]
