"""The small parts: bounded work, permissions, immutability, deletions, waiting, the hold on an inventory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import Conflict, Forbidden, Moved, NotReady, Rejected
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import crew, immutable, permissions, wait
from lockgate.deploy.kube.holding import has_ended, me, people
from lockgate.deploy.kube.ownership import Owner
from lockgate.deploy.kube.permissions import Need, covered
from lockgate.deploy.kube.storage import Storage

if TYPE_CHECKING:
    from tests.unit.deploy.kube.conftest import Cluster

MAP = ResourceId(group="", kind="ConfigMap", namespace="default", name="a")


def nothing() -> None:
    """Check nothing."""


def test_work_is_bounded_and_all_done() -> None:
    """Never more at a time than said."""
    running, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return number * 2

    assert sorted(crew.each(work, range(50), workers=3)) == [(one, one * 2) for one in range(50)]
    assert most <= 3


def test_after_a_failure_nothing_new_is_begun() -> None:
    """What was done before is yielded, then the failure is raised."""
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    done: list[int] = []
    with pytest.raises(ValueError, match="three"):
        done.extend(one for one, _ in crew.each(work, range(100), workers=1))
    assert {0, 1, 2} <= set(begun)
    assert len(begun) < 100


RULE: dict[str, Any] = {
    "verbs": ["get", "list"],
    "apiGroups": ["apps"],
    "resources": ["deployments"],
}


@pytest.mark.parametrize(
    ("need", "rule", "expected"),
    [
        (Need("get", "apps", "deployments", "a"), RULE, True),
        (Need("patch", "apps", "deployments", "a"), RULE, False),
        (Need("get", "", "deployments", "a"), RULE, False),
        (Need("get", "apps", "statefulsets", "a"), RULE, False),
        (Need("get", "apps", "deployments", "a"), RULE | {"resourceNames": ["x"]}, False),
        (
            Need("patch", "x", "y", "a"),
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            True,
        ),
        (Need("get", "apps", "deployments", "a"), {"verbs": ["get"]}, False),
    ],
)
def test_rules_cover_what_they_say(need: Need, rule: dict[str, Any], expected: bool) -> None:
    """Of every object, not of some names."""
    assert covered(need, [rule]) is expected


def test_who_may_do_everything_is_asked_once(cluster: Cluster) -> None:
    """One request, however many needs."""
    needs = [Need(verb, "", "configmaps", "default") for verb in ("get", "list", "patch")]
    permissions.check(cluster.client(), needs, workers=1)
    assert len(cluster.server.requests) == 1


def test_all_that_is_missing_is_in_one_message(cluster: Cluster) -> None:
    """Each verb, kind and namespace."""
    cluster.server.denied = {"patch", "delete"}
    needs = [Need(verb, "apps", "deployments", "default") for verb in ("get", "patch", "delete")]
    needs.append(Need("patch", "", "namespaces", ""))
    with pytest.raises(Forbidden) as caught:
        permissions.check(cluster.client(), needs, workers=1)
    assert caught.value.message == (
        "this user may not: delete deployments.apps in default, patch namespaces, "
        "patch deployments.apps in default"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("field is immutable", True),
        ("Value is immutable", True),
        ("may not change once set", True),
        ("may not be changed in an update.", True),
        ("cannot change roleRef", True),
        ("updates to statefulset spec for fields other than 'replicas' are forbidden", True),
        ("updates to parameters are forbidden.", True),
        ("spec is immutable after creation except resources.requests", True),
        ("pod updates may not change fields other than `spec.containers[*].image`", True),
        ("must be greater than or equal to 0", False),
        ('Unsupported value: "Sometimes"', False),
        ("Required value", False),
    ],
)
def test_immutable_is_told_from_invalid(text: str, expected: bool) -> None:
    """By what the server says of every cause."""
    cause = ("FieldValueInvalid", "spec", text)
    wrong = ("FieldValueInvalid", "spec", "must be positive")
    assert immutable.is_immutable(Rejected("x", causes=(cause,))) is expected
    assert not immutable.is_immutable(Rejected("x", causes=(cause, wrong)))
    assert not immutable.is_immutable(Rejected("x"))


@pytest.mark.parametrize("kind", ["Namespace", "PersistentVolumeClaim", "PersistentVolume"])
def test_what_holds_other_things_is_never_made_anew(kind: str) -> None:
    """Its content would go with it."""
    assert immutable.is_precious(ResourceId(group="", kind=kind, namespace="", name="a"))
    assert not immutable.is_precious(MAP)


def test_waiting_for_what_is_not_there_ends(cluster: Cluster) -> None:
    """With its name, when the time is over."""
    client = cluster.client()
    kind = client.kinds.find("", "ConfigMap")
    assert kind is not None
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        cluster.time.sleep(1)

    with pytest.raises(
        NotReady, match=r"1 object is not ready after 5 s:\nConfigMap/default/a: it is not there"
    ):
        wait.until_ready(
            client, [wait.Target(kind, MAP)], selector="a=b", seconds=5, rules=(), now=lambda: 0.0,
            check=check,
        )  # fmt: skip
    assert len(checks) == 5  # of one second, and a fifth of one between two


def test_another_object_of_the_name_is_another_one(cluster: Cluster) -> None:
    """The awaited one is gone."""
    client = cluster.client()
    kind = client.kinds.find("", "ConfigMap")
    assert kind is not None
    cluster.server.put("ConfigMap", "default", "a")
    other = [wait.Target(kind, MAP, "another")]
    assert wait.until_gone(client, other, seconds=1, workers=1, check=nothing) == {}


def test_who_holds_an_inventory_can_write_it(cluster: Cluster) -> None:
    """And nobody else, until it is let go."""
    storage = cluster.target().storage
    seen = storage.read()
    with storage.begin(seen, seen.inventory, patience=0) as held:
        other = cluster.target().storage
        now = other.read()
        assert now.holder is not None
        assert people(now.holder.who).startswith("process ")
        with pytest.raises(Conflict, match="is held by process"):
            other.begin(now, now.inventory, patience=3)
        held.check()
        held.write(seen.inventory, last=True)
    free = other.read()
    assert free.holder is None
    with other.begin(free, free.inventory, patience=0):
        pass


def test_nothing_is_renewed_after_it_was_let_go(cluster: Cluster) -> None:
    """The last write is the last, and ends the renewals with it."""
    storage = Storage(cluster.client(), Owner("default", "web"), lease=0.0)
    seen = storage.read()
    with storage.begin(seen, seen.inventory, patience=0) as held:
        held.write(seen.inventory, last=True)
        held._thread.join(60)
        assert not held._thread.is_alive()
    assert storage.read().holder is None


def test_who_lost_an_inventory_is_stopped(cluster: Cluster) -> None:
    """Its writes name a version that is gone, and after a while it does not even try."""
    storage = cluster.target().storage
    seen = storage.read()
    with storage.begin(seen, seen.inventory, patience=0) as held:
        cluster.server.update("ConfigMap", "default", "inv-web", "x", data={"more": "x"})
        with pytest.raises(Moved):
            held.write(seen.inventory)
        cluster.time.sleep(100)
        with pytest.raises(Moved, match="could not be renewed in time"):
            held.check()


def test_a_silent_holder_is_taken_over(cluster: Cluster) -> None:
    """After the time that it promised, by the clock of who waits."""
    storage = cluster.target().storage
    seen = storage.read()
    storage.begin(seen, seen.inventory, patience=0)
    other = cluster.target().storage
    before = cluster.time.now
    with pytest.raises(Moved, match="by another run"):
        other.begin(other.read(), seen.inventory, patience=60)
    assert 15 <= cluster.time.now - before < 17
    # Nobody holds it now, so whoever looks again sees the last that the other one did.
    free = other.read()
    assert free.holder is None
    other.begin(free, seen.inventory, patience=0)


def test_an_inventory_that_changed_since_is_looked_at_again(cluster: Cluster) -> None:
    """Its version is another one."""
    storage = cluster.target().storage
    seen = storage.read()
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}}")
    with pytest.raises(Moved, match="by another run"):
        storage.begin(seen, seen.inventory, patience=0)


def test_a_process_of_this_machine_is_known_to_have_ended() -> None:
    """By its number and when it began; of others nothing is known."""
    mine = me()
    assert not has_ended(mine)
    parts = mine.split("/")
    assert has_ended("/".join([*parts[:4], "1"]))
    assert has_ended("/".join([*parts[:3], "4194999", "5"]))
    assert not has_ended("/".join(["elsewhere", *parts[1:]]))
    assert not has_ended("nonsense")
    assert people("nonsense") == "nonsense"


def test_a_process_that_is_out_of_sight_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a machine hides other users' processes, their runs go on."""
    parts = me().split("/")

    def another_users(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr("lockgate.deploy.kube.holding.os.kill", another_users)
    assert not has_ended("/".join([*parts[:3], "4194999", "5"]))


def test_numbers_that_no_process_has_say_nothing() -> None:
    """The record may hold anything."""
    parts = me().split("/")
    for number in ("9" * 5000, "0", "\u0661"):
        assert not has_ended("/".join([*parts[:3], number, "5"]))
