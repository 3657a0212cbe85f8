"""Killed at any request: the record names everything that was made, and the next run completes the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from tests.apiserver import ROOT
from tests.cluster.conftest import Place, lines
from tests.cluster.proxy import Proxy, Request, proxied
from tests.node import until

from lockgate.deploy.kube.model import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OLD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: same, namespace: @NS}
data: {key: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: changed, namespace: @NS}
data: {key: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: left, namespace: @NS}
data: {key: one}
"""

NEW = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.@NS.example.org}
spec:
  group: @NS.example.org
  names: {kind: Lamp, plural: lamps, singular: lamp, listKind: LampList}
  scope: Namespaced
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: @NS.example.org/v1
kind: Lamp
metadata: {name: desk, namespace: @NS}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: same, namespace: @NS}
data: {key: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: changed, namespace: @NS}
data: {key: two}
---
apiVersion: v1
kind: Secret
metadata: {name: added, namespace: @NS}
stringData: {key: word}
"""


WAIT = Options(wait=180)


def nothing(_: Request) -> None:
    """Let a request pass."""


class Applier:
    """Applies files in a process of its own, through a proxy."""

    def __init__(self, place: Place, proxy: Proxy, folder: Path) -> None:
        self.place, self.proxy, self._folder = place, proxy, folder
        self._config = place.server.kubeconfig("admin", proxy.url)
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, text: str, number: str) -> int:
        """Apply a file, and return the exit code; negative for a signal."""
        file = self._folder / "objects.yaml"
        file.write_text(text.replace("@NS", self.place.namespace))
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.applier", str(self._config),
             self.place.namespace, str(file), number],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )  # fmt: skip
        _, stderr = self._child.communicate(timeout=300)
        expected = (0, -signal.SIGKILL, -signal.SIGINT)
        assert self._child.returncode in expected, stderr.decode()
        return self._child.returncode

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        assert self._child is not None
        self._child.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it, at once."""
        assert self._child is not None
        self._child.send_signal(signal.SIGKILL)
        self._child.wait(60)


class AtWrite:
    """Does something at the write of a number; the holder's own renewals come from a thread of theirs."""

    def __init__(self, number: int, action: Callable[[], None]) -> None:
        self._number, self._action = number, action
        self._lock, self._count = threading.Lock(), 0

    def __call__(self, request: Request) -> None:
        """Count a request."""
        if not request.writes:
            return
        with self._lock:
            self._count += 1
            due = self._count == self._number
        if due:
            self._action()


@pytest.fixture
def applier(place: Place, tmp_path: Path) -> Iterator[Applier]:
    """An applier of the test's own."""
    with proxied(place.server) as proxy:
        yield Applier(place, proxy, tmp_path)


def labelled(place: Place) -> set[str]:
    """Return the names of all objects that carry the labels of the inventory."""
    kinds = "configmaps,secrets,customresourcedefinitions"
    if place.kubectl("get", "crd", f"lamps.{place.namespace}.example.org", "--ignore-not-found"):
        kinds += f",lamps.{place.namespace}.example.org"
    found = place.kubectl(
        "get", kinds, "-l", f"lockgate.dev/inventory-namespace={place.namespace}", "-o", "name"
    )
    return {line.partition("/")[2] for line in found.split()}


def check(place: Place, names: set[str], changed: str) -> None:
    """Fail unless the cluster and the record hold exactly these, and nothing is left half done."""
    assert labelled(place) == names
    stored = place.target().storage.read()
    assert {one.id.name for one in stored.inventory.entries} == names
    assert stored.inventory.pending is None
    assert stored.holder is None
    assert not any(one.stale for one in stored.inventory.entries)
    assert place.get("configmap/changed")["data"]["key"] == changed


def begin_again(place: Place) -> None:
    """Bring the namespace back to the old artifact."""
    place.apply(OLD, WAIT)
    check(place, {"same", "changed", "left"}, "one")


def test_killed_before_any_request_the_next_run_completes(applier: Applier) -> None:
    """At each request of an upgrade that creates, changes, defines and prunes; then the same run again."""
    place, proxy = applier.place, applier.proxy
    new = {"same", "changed", "added", "desk", f"lamps.{place.namespace}.example.org"}
    begin_again(place)
    number = 0
    while True:
        number += 1
        begun = len(proxy.seen)

        def kill(request: Request, at: int = begun + number) -> None:
            if request.number == at:
                applier.kill()
                raise ConnectionResetError

        proxy.before = kill
        code = applier.run(NEW, "2")
        proxy.before = nothing
        changes = place.apply(NEW, WAIT, artifact="2")
        check(place, new, "two")
        if code == 0:
            assert all(one.endswith("unchanged") for one in lines(changes))
            break
        begin_again(place)
    writes = [one for one in proxy.seen[begun:] if one.writes]
    assert number > len(writes) > 6


def test_killed_after_any_write_either_artifact_can_follow(applier: Applier) -> None:
    """The write was done and nobody was told: going back leaves nothing of the new one behind (C3)."""
    place, proxy = applier.place, applier.proxy
    begin_again(place)
    number = 0
    while True:
        number += 1
        proxy.after = AtWrite(number, applier.kill)
        code = applier.run(NEW, "2")
        proxy.after = nothing
        until(lambda: served_when_defined(place), "discovery follows the definition")
        place.apply(OLD, WAIT)
        check(place, {"same", "changed", "left"}, "one")
        if code == 0:
            break
    assert number > 6


def served_when_defined(place: Place) -> bool:
    """Whether the kind of our definition is served, or there is no definition."""
    group = f"{place.namespace}.example.org"
    if place.get(f"crd/lamps.{group}") is None:
        return True
    return place.target().client.kinds.find(group, "Lamp") is not None


@pytest.mark.parametrize("at", [1, 3, 5, 7])
def test_ctrl_c_lets_go_of_the_inventory(applier: Applier, at: int) -> None:
    """What was done is in the record, nobody holds it, and the next run completes."""
    place, proxy = applier.place, applier.proxy
    begin_again(place)
    proxy.before = AtWrite(at, applier.interrupt)
    assert applier.run(NEW, "2") == -signal.SIGINT
    proxy.before = nothing
    stored = place.target().storage.read()
    assert stored.holder is None
    assert labelled(place) <= {one.id.name for one in stored.inventory.entries}
    place.apply(NEW, WAIT, artifact="2")
    check(
        place, {"same", "changed", "added", "desk", f"lamps.{place.namespace}.example.org"}, "two"
    )


def test_killed_while_it_deletes_the_next_run_goes_on(applier: Applier) -> None:
    """What is gone and what is not is found out anew; in the end nothing is left, not even the record."""
    place = applier.place
    for kept in ([], ["same"], ["same", "changed"]):
        begin_again(place)
        place.kubectl("delete", "configmap", *(kept or ["left"]))
        place.delete()
        assert labelled(place) == set()
        assert place.get("configmap/inv-web") is None
