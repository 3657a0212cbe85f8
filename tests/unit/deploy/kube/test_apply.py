"""Look, act, look again: over the API server in memory."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, Proof, lines, maps

from lockgate.base.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Immutable,
    InventoryLost,
    Moved,
    NotReady,
    SubjectMismatch,
    TrustError,
    UsageError,
)
from lockgate.deploy.kube import apply, delete
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.connection import Answer
from lockgate.deploy.kube.delete import repair
from lockgate.deploy.kube.holding import LEASE
from lockgate.deploy.kube.model import Options
from lockgate.deploy.kube.status import status
from lockgate.deploy.kube.storage import Storage, Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.model import ChangeSet

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: default}
spec: {template: {version: "1"}}
"""

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec: {replicas: 2}
"""


def test_a_second_apply_needs_no_request_for_any_object(cluster: Cluster) -> None:
    """Lists alone: one for each kind and namespace, however many objects there are."""
    cluster.apply(maps("a", "b", "c"))
    cluster.server.requests.clear()
    assert lines(cluster.apply(maps("a", "b", "c"))) == [
        "a unchanged",
        "b unchanged",
        "c unchanged",
    ]
    assert cluster.server.writes == 0
    # Two for the kinds, one each for permissions, record, list and namespace.
    assert len(cluster.server.requests) == 6


def test_a_changed_object_costs_a_dry_run_and_a_write(cluster: Cluster) -> None:
    """Beside the two writes of the record."""
    cluster.apply(maps("a", "b"))
    cluster.server.requests.clear()
    cluster.apply(maps("a") + maps("b", value="two"), artifact="2")
    assert cluster.server.writes == 3


def test_details_ask_about_every_object(cluster: Cluster) -> None:
    """A diff rests on the server's answers, not on the books."""
    cluster.apply(maps("a", "b"))
    cluster.server.requests.clear()
    assert cluster.plan(maps("a", "b"), replace(NO_WAIT, details=True)).is_empty
    assert sum("dryRun" in path for _, path in cluster.server.requests) == 2


def test_the_plan_is_told_before_anything_is_written(cluster: Cluster) -> None:
    """And each change when it has happened."""
    cluster.apply(maps("a"))
    cluster.events.plans.clear()
    cluster.events.changes.clear()
    cluster.apply(maps("b"), artifact="2")
    (plan,) = cluster.events.plans
    assert lines(plan) == ["b created", "a deleted"]
    assert not plan.done
    assert [one.action for one in cluster.events.changes] == ["created", "deleted"]


def test_another_artifact_than_the_verified_one_is_refused(cluster: Cluster) -> None:
    """Nothing is asked of the cluster."""
    with pytest.raises(SubjectMismatch):
        apply.apply(
            Proof("sha256:" + "2" * 64), cluster.wanted(maps("a")), cluster.target(), NO_WAIT
        )
    assert cluster.server.requests == []


def test_an_image_without_digest_is_refused(cluster: Cluster) -> None:
    """Nothing is asked of the cluster."""
    loose = DEPLOYMENT.replace(
        "{replicas: 2}", "{template: {spec: {containers: [{name: a, image: 'b:1'}]}}}"
    )
    with pytest.raises(TrustError, match="b:1"):
        cluster.apply(loose)
    assert cluster.server.requests == []


def test_nothing_to_apply_is_an_error(cluster: Cluster) -> None:
    """An empty set deletes nothing."""
    cluster.apply(maps("a"))
    with pytest.raises(UsageError, match="nothing to apply"):
        cluster.apply("", artifact="2")
    assert cluster.data("a") == {"key": "one"}


def test_an_object_without_namespace_is_refused(cluster: Cluster) -> None:
    """It would be another one in every context."""
    with pytest.raises(UsageError, match="names no namespace"):
        cluster.apply(maps("a").replace(", namespace: default", ""))


def test_missing_permissions_are_listed(cluster: Cluster) -> None:
    """Before anything is read or written."""
    cluster.server.denied = {"patch", "delete"}
    with pytest.raises(Forbidden, match="patch configmaps in default"):
        cluster.apply(maps("a"))
    assert cluster.data("a") is None


def test_a_foreign_field_is_a_conflict_unless_taken_over(cluster: Cluster) -> None:
    """The manager is named."""
    cluster.apply(maps("a"))
    cluster.server.update("ConfigMap", "default", "a", "somebody", data={"key": "other"})
    with pytest.raises(Conflict, match=r"\.data\.key \(somebody\)") as caught:
        cluster.apply(maps("a"))
    assert "--take-over" in caught.value.hint
    assert lines(cluster.apply(maps("a"), replace(NO_WAIT, take_over=True))) == ["a configured"]
    assert cluster.data("a") == {"key": "one"}


def test_an_object_that_was_there_is_adopted(cluster: Cluster) -> None:
    """And the plan says so."""
    cluster.server.put("ConfigMap", "default", "a", data={"theirs": "x"})
    (change,) = cluster.apply(maps("a")).changes
    assert change.action == "configured"
    assert change.note == "it was there already and becomes ours"
    assert cluster.data("a") == {"theirs": "x", "key": "one"}


def test_what_cannot_be_changed_is_made_anew_on_request_only(cluster: Cluster) -> None:
    """And the job is another one after."""
    cluster.apply(JOB)
    other = JOB.replace('"1"', '"2"')
    with pytest.raises(Immutable, match=r"spec\.template cannot be changed in place"):
        cluster.apply(other)
    before = cluster.server.find("Job", "default", "job")
    assert lines(cluster.apply(other, replace(NO_WAIT, recreate=True))) == ["job recreated"]
    after = cluster.server.find("Job", "default", "job")
    assert before is not None
    assert after is not None
    assert before["metadata"]["uid"] != after["metadata"]["uid"]


def test_a_lost_record_is_named_and_repaired(cluster: Cluster) -> None:
    """Its objects say what was in it."""
    cluster.apply(maps("a", "b"))
    del cluster.server._objects["", "ConfigMap", "default", "inv-web"]
    with pytest.raises(InventoryLost, match="objects of it are there"):
        cluster.apply(maps("a"), artifact="2")
    repair(cluster.target(), (), NO_WAIT)
    assert lines(cluster.apply(maps("a"), artifact="2")) == ["a unchanged", "b deleted"]


def test_an_unreadable_record_is_named(cluster: Cluster) -> None:
    """Nothing is applied over it."""
    cluster.apply(maps("a"))
    cluster.server.update("ConfigMap", "default", "inv-web", "x", data={"resources": "["})
    with pytest.raises(InventoryLost, match="cannot be read"):
        cluster.apply(maps("b"), artifact="2")
    assert cluster.data("b") is None


def test_an_older_record_that_was_put_back_is_named(cluster: Cluster) -> None:
    """By plan, deployment, status, history and deletion alike; a repair takes what is there into it."""
    cluster.apply(maps("a"))
    older = cluster.data("inv-web")
    cluster.apply(maps("a", "b"), artifact="2")
    cluster.server.update("ConfigMap", "default", "inv-web", "kubectl", data=older)
    for ask in (cluster.plan, cluster.apply):
        with pytest.raises(InventoryLost, match="inv-web was written by 'kubectl' at 2026-11-20"):
            ask(maps("a"))
    for look in (status, delete.plan):
        with pytest.raises(InventoryLost, match="may be older"):
            look(cluster.target(), NO_WAIT)
    ((_, listed),) = cluster.target().storage.all(everywhere=False)
    assert isinstance(listed, InventoryLost)
    repair(cluster.target(), (), NO_WAIT)
    assert cluster.entries() == ["a", "b"]
    assert lines(cluster.apply(maps("a"), artifact="3")) == ["a unchanged", "b deleted"]


def test_a_record_that_does_not_name_an_object_is_named(cluster: Cluster) -> None:
    """Whoever seems to have written it: an object is recorded before it is made."""
    cluster.apply(maps("a"))
    older = cluster.data("inv-web")
    cluster.apply(maps("a", "b"), artifact="2")
    cluster.server.update("ConfigMap", "default", "inv-web", "lockgate", data=older)
    with pytest.raises(
        InventoryLost, match="does not name objects of it: ConfigMap/default/b"
    ) as caught:
        cluster.apply(maps("a"), artifact="3")
    assert caught.value.hint.startswith("`inv deploy.repair --inventory web`")
    assert cluster.data("b") is not None


def test_objects_of_another_run_at_the_same_time_are_no_loss(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record was read before that run wrote it: it is read again."""
    cluster.apply(maps("a"))
    plain, once = Storage.read, iter([True])

    def read(self: Storage, **words: Any) -> Stored:
        seen = plain(self, **words)
        if next(once, False):
            cluster.apply(maps("a", "b"), artifact="2")
        return seen

    monkeypatch.setattr(Storage, "read", read)
    assert lines(cluster.apply(maps("a"), artifact="3")) == ["a unchanged", "b deleted"]


def test_a_finalizer_keeps_the_entry(cluster: Cluster) -> None:
    """Until the object is known to be gone."""
    cluster.apply(maps("a", "b"))
    found = cluster.server.find("ConfigMap", "default", "b")
    assert found is not None
    found["metadata"]["finalizers"] = ["example.org/hold"]
    with pytest.raises(NotReady, match=r"held by example\.org/hold"):
        cluster.apply(maps("a"), Options(wait=3, workers=1), artifact="2")
    assert cluster.entries() == ["a", "b"]
    shown = status(cluster.target(), NO_WAIT)
    assert [one.phase for one in shown.objects] == ["current", "terminating"]
    assert shown.pending == "sha256:" + "2".rjust(64, "0")


def test_a_busy_server_is_asked_again(cluster: Cluster) -> None:
    """With pauses that grow, for a while."""
    cluster.server.failing = 4
    assert lines(cluster.apply(maps("a"))) == ["a created"]


def test_a_server_that_was_away_may_stumble(cluster: Cluster) -> None:
    """Its own errors are counted alone: that it could not be reached before is no reason to give up at the first."""
    answers = [503, 503, 503, 503, 500, 500]
    send = cluster.server.send

    def starting(method: str, path: str, **rest: Any) -> Answer:
        if answers:
            return Answer(answers.pop(0), {}, b'{"kind":"Status","message":"etcd"}')
        return send(method, path, **rest)

    cluster.server.send = starting  # type: ignore[method-assign]
    assert lines(cluster.apply(maps("a"))) == ["a created"]
    assert answers == []


def test_a_server_that_stays_busy_is_an_error_that_may_pass(cluster: Cluster) -> None:
    """After the time that was given."""
    cluster.server.failing = 1000
    with pytest.raises(ClusterError) as caught:
        cluster.apply(maps("a"))
    assert caught.value.retryable


def test_status_says_what_was_touched(cluster: Cluster) -> None:
    """Also what is missing."""
    cluster.apply(maps("a", "b", "c"))
    cluster.server.update("ConfigMap", "default", "a", "somebody", data={"key": "other"})
    del cluster.server._objects["", "ConfigMap", "default", "b"]
    found = status(cluster.target(), NO_WAIT)
    assert [(one.phase, one.touched) for one in found.objects] == [
        ("current", "yes"),
        ("not found", "unknown"),
        ("current", "no"),
    ]
    assert not found.is_ready


def test_delete_leaves_what_is_not_ours(cluster: Cluster) -> None:
    """It leaves the inventory, which is deleted."""
    cluster.apply(maps("a", "b"))
    cluster.server.update(
        "ConfigMap", "default", "a", "x", metadata={"labels": {"lockgate.dev/inventory": "other"}}
    )
    assert lines(cluster.delete()) == ["b deleted", "a skipped"]
    assert cluster.data("a") == {"key": "one"}
    assert cluster.data("inv-web") is None


def test_delete_takes_its_own_namespace_last(cluster: Cluster) -> None:
    """The record goes with it; a prune never touches it."""
    made = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"
    inside = maps("a").replace("default", "shop")
    target = cluster.target(namespace="shop")
    wanted = cluster.wanted(f"---\n{made}\n{inside}")
    apply.apply(Proof(wanted.artifact), wanted, target, NO_WAIT)
    other = cluster.wanted(inside, "2")
    changes = apply.apply(Proof(other.artifact), other, target, NO_WAIT)
    assert lines(changes) == ["a unchanged", "shop skipped"]
    assert lines(delete.delete(target, NO_WAIT)) == ["a deleted", "shop deleted"]
    assert cluster.server.find("Namespace", "", "shop") is None


def test_an_apply_that_met_another_writer_is_made_anew(cluster: Cluster) -> None:
    """It names no version, so nothing is lost by it."""
    send = cluster.server.send
    met: list[str] = []

    def busy(method: str, path: str, **rest: bytes | str) -> Answer:
        if method == "PATCH" and "dryRun" not in path and not met:
            met.append(path)
            body = b'{"kind":"Status","reason":"Conflict","message":"the object has been modified"}'
            return Answer(409, {}, body)
        return send(method, path, **rest)  # type: ignore[arg-type]

    cluster.server.send = busy  # type: ignore[method-assign]
    assert lines(cluster.apply(maps("a"))) == ["a created"]
    assert met


def test_the_history_is_kept_in_order(cluster: Cluster) -> None:
    """The newest last; what was applied twice in a row stands once."""
    for artifact in "1223":
        cluster.apply(maps("a", value=f"v{artifact}"), artifact=artifact)
    history = cluster.target().storage.read().inventory.history
    assert [one.artifact[-1] for one in history] == ["1", "2", "3"]


WAIT = Options(wait=60, workers=1)
"""A run that was broken off holds the inventory until its time is over; the clock here goes on by itself."""

NAMES = st.lists(st.sampled_from("abcde"), unique=True, min_size=1)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(["one", "two"]), st.integers(0, 40)),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_is_broken_off_nothing_is_orphaned(
    steps: Sequence[tuple[list[str], str, int]],
) -> None:
    """After any runs, each broken off at any request, one whole run gives exactly its artifact."""
    cluster = Cluster()
    send = cluster.server.send

    for number, (names, value, length) in enumerate(steps):
        left = length

        def broken(method: str, path: str, **rest: bytes | str) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return send(method, path, **rest)  # type: ignore[arg-type]

        cluster.server.send = broken  # type: ignore[method-assign, assignment]
        try:
            cluster.apply(maps(*names, value=value), WAIT, artifact=str(number))
        except KeyboardInterrupt:
            pass
        finally:
            cluster.server.send = send  # type: ignore[method-assign]
        there = {
            name
            for _, kind, _, name in cluster.server._objects
            if kind == "ConfigMap" and not name.startswith("inv-")
        }
        assert there <= set(cluster.entries())
    cluster.apply(maps("a", "e", value="last"), WAIT, artifact="99")
    found = {name for _, kind, _, name in cluster.server._objects if kind == "ConfigMap"}
    assert found == {"a", "e", "inv-web"}
    assert cluster.data("a") == cluster.data("e") == {"key": "last"}
    assert cluster.entries() == ["a", "e"]


def test_force_does_not_delete_what_is_not_ours(cluster: Cluster) -> None:
    """It has the same name by chance; only both flags together say that it may go."""
    cluster.server.put("Job", "default", "job", spec={"completions": 1})
    before = cluster.server.find("Job", "default", "job")
    with pytest.raises(Conflict, match="has none of our labels"):
        cluster.apply(JOB, replace(NO_WAIT, recreate=True))
    assert cluster.server.find("Job", "default", "job") == before
    both = replace(NO_WAIT, recreate=True, take_over=True)
    assert lines(cluster.apply(JOB, both)) == ["job recreated"]


def test_force_does_not_delete_what_is_never_to_be(cluster: Cluster) -> None:
    """The mark is on the object as it is, whatever should be."""
    marked = JOB.replace("name: job,", "name: job, annotations: {lockgate.dev/prune: disabled},")
    cluster.apply(marked)
    other = replace(NO_WAIT, recreate=True, take_over=True)
    with pytest.raises(Conflict, match=r"marked lockgate\.dev/prune: disabled"):
        cluster.apply(JOB.replace('"1"', '"2"'), other)


@pytest.mark.parametrize(
    "content",
    [
        {"spec": {"suspend": True}},
        {"metadata": {"annotations": {"lockgate.dev/prune": "disabled"}}},
    ],
)
def test_force_does_not_delete_what_changed_since_the_plan(
    cluster: Cluster, content: dict[str, Any]
) -> None:
    """The plan was about another state of it; that somebody was there is said."""
    cluster.apply(JOB)

    def planned(changes: ChangeSet) -> None:
        cluster.server.update("Job", "default", "job", "somebody", **content)

    cluster.events.planned = planned  # type: ignore[method-assign]
    with pytest.raises(
        Conflict, match="Job/default/job was changed by somebody else after the plan"
    ):
        cluster.apply(JOB.replace('"1"', '"2"'), replace(NO_WAIT, recreate=True), artifact="2")
    found = cluster.server.find("Job", "default", "job")
    assert found is not None
    assert found["spec"]["template"] == {"version": "1"}
    assert cluster.entries() == ["job"]


def test_force_deletes_what_changed_in_its_status_alone(cluster: Cluster) -> None:
    """A job that runs writes it all the time."""
    cluster.apply(JOB)

    def planned(changes: ChangeSet) -> None:
        cluster.server.update("Job", "default", "job", "controller", status={"active": 1})

    cluster.events.planned = planned  # type: ignore[method-assign]
    made = cluster.apply(JOB.replace('"1"', '"2"'), replace(NO_WAIT, recreate=True))
    assert lines(made) == ["job recreated"]


def test_force_names_what_changes_all_the_time(cluster: Cluster, monkeypatch: Any) -> None:
    """After some attempts it is left as it is."""
    cluster.apply(JOB)
    plain = Client.delete

    def delete(self: Client, kind: Kind, one: ResourceId, **words: Any) -> Any:
        cluster.server.update(
            "Job", "default", "job", "x", status={"at": len(cluster.server.requests)}
        )
        return plain(self, kind, one, **words)

    monkeypatch.setattr(Client, "delete", delete)
    with pytest.raises(Conflict, match="and is not deleted"):
        cluster.apply(JOB.replace('"1"', '"2"'), replace(NO_WAIT, recreate=True))
    assert cluster.server.find("Job", "default", "job") is not None


def test_a_plan_is_refused_where_its_apply_would_be(cluster: Cluster) -> None:
    """A limit that only one of them knows would be none."""
    cluster.apply(maps("a", "b", "c"))
    with pytest.raises(UsageError, match="2 objects would be deleted") as caught:
        cluster.plan(maps("a"), replace(NO_WAIT, prune_limit=1))
    assert "--prune-limit 2" in caught.value.hint
    assert lines(cluster.plan(maps("a"), replace(NO_WAIT, prune_limit=2)))[1:] == [
        "c deleted",
        "b deleted",
    ]


def test_a_first_run_that_met_another_first_run_looks_again(cluster: Cluster) -> None:
    """What that one made is not taken for what a lost record named."""
    read = Storage.read
    met: list[Stored] = []

    def late(self: Storage) -> Stored:
        found = read(self)
        if not met:
            met.append(found)
            cluster.apply(maps("a"))
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Storage, "read", late)
        changes = cluster.apply(maps("a", "b"), artifact="2")
    assert lines(changes) == ["a unchanged", "b created"]


def test_a_job_that_is_removed_after_its_end_is_no_failure(cluster: Cluster) -> None:
    """It was seen to be complete, and while others were waited for the cluster removed it, as its manifest says."""
    text = JOB.replace("spec: {", "spec: {ttlSecondsAfterFinished: 5, ")
    slow = JOB.replace("name: job", "name: slow")
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    send = cluster.server.send
    lists: list[str] = []

    def sending(method: str, path: str, **rest: Any) -> Answer:
        if method == "GET" and "/jobs?" in path:
            lists.append(path)
            if len(lists) == 2:
                cluster.server.update("Job", "default", "job", "x", status=done)
            if len(lists) == 3:
                del cluster.server._objects["batch", "Job", "default", "job"]
                cluster.server.update("Job", "default", "slow", "x", status=done)
        return send(method, path, **rest)

    cluster.server.send = sending  # type: ignore[method-assign]
    changes = cluster.apply(f"{text}---{slow}", WAIT)
    assert lines(changes) == ["job created", "slow created"]
    assert cluster.events.notes[-1] == "Job/default/job has ended and was removed"
    assert len(lists) == 4


@pytest.mark.parametrize("name", ["web", "other"])
def test_a_record_is_no_object_of_an_artifact(cluster: Cluster, name: str) -> None:
    """Neither the own one, nor another's: it would be written over, and later be deleted with the rest."""
    cluster.apply(maps("a"))
    before = cluster.data("inv-web")
    either = replace(NO_WAIT, take_over=True)
    with pytest.raises((UsageError, Conflict), match="is the record of an inventory"):
        cluster.apply(maps("inv-web"), either, artifact="2", name=name)
    with pytest.raises(UsageError, match="is the record of an inventory"):
        cluster.apply(maps(f"inv-{name}"), artifact="2", name=name)
    assert cluster.data("inv-web") == before
    assert cluster.entries() == ["a"]


def test_a_copy_of_a_record_is_no_object_of_an_artifact(cluster: Cluster) -> None:
    """It would be followed as if a run had written it."""
    labels = "app.kubernetes.io/component: inventory, app.kubernetes.io/created-by: lockgate"
    copy = maps("inv-old").replace("default}", f"default, labels: {{{labels}}}}}")
    with pytest.raises(UsageError, match="is the record of an inventory"):
        cluster.apply(copy)


def test_what_a_run_did_before_it_was_killed_is_not_lost(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look of the next one and its turn it may have made an object that this look has not seen."""
    send, put, begin = cluster.server.send, Storage.put, Storage.begin
    unsent: list[tuple[str, str, dict[str, Any]]] = []

    def last(method: str, path: str, **rest: Any) -> Answer:
        if method == "PATCH" and "/configmaps/x?" in path and "dryRun" not in path:
            unsent.append((method, path, rest))
            raise KeyboardInterrupt
        return send(method, path, **rest)

    def dead(self: Storage, *words: Any, beat: int | None, **more: Any) -> str:
        if beat is None:
            raise ClusterError("killed", hint="it lets go of nothing")
        return put(self, *words, beat=beat, **more)

    cluster.server.send = last  # type: ignore[method-assign]
    monkeypatch.setattr(Storage, "put", dead)
    with pytest.raises(KeyboardInterrupt):
        cluster.apply(maps("x"))
    cluster.server.send = send  # type: ignore[method-assign]
    monkeypatch.setattr(Storage, "put", put)

    def late(self: Storage, *words: Any, **more: Any) -> Any:
        if unsent:
            method, path, rest = unsent.pop()
            send(method, path, **rest)
        return begin(self, *words, **more)

    monkeypatch.setattr(Storage, "begin", late)
    changes = cluster.apply(maps("b"), WAIT, artifact="2")
    assert lines(changes) == ["b created", "x deleted"]
    assert cluster.data("x") is None
    assert cluster.events.plans[-1].changes[-1].note == "no longer in the artifact"


def test_a_write_of_the_same_second_is_not_overlooked(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Books tell whole seconds: what a killed run wrote right after another one is written again on the way back."""
    monkeypatch.setattr(cluster.server, "_time", itertools.repeat(1))
    cluster.apply(maps("x"))
    send, put = cluster.server.send, Storage.put

    def killed(method: str, path: str, **rest: Any) -> Answer:
        answer = send(method, path, **rest)
        if method == "PATCH" and "/configmaps/x?" in path and "dryRun" not in path:
            raise KeyboardInterrupt
        return answer

    def dead(self: Storage, *words: Any, beat: int | None, **more: Any) -> str:
        if beat is None:
            raise ClusterError("killed", hint="it lets go of nothing")
        return put(self, *words, beat=beat, **more)

    cluster.server.send = killed  # type: ignore[method-assign]
    monkeypatch.setattr(Storage, "put", dead)
    with pytest.raises(KeyboardInterrupt):
        cluster.apply(maps("x", value="two"), artifact="2")
    assert cluster.data("x") == {"key": "two"}
    cluster.server.send = send  # type: ignore[method-assign]
    monkeypatch.setattr(Storage, "put", put)

    assert lines(cluster.apply(maps("x"), WAIT)) == ["x configured"]
    assert cluster.data("x") == {"key": "one"}


def test_a_write_is_not_made_again_when_the_inventory_may_be_another_runs(
    cluster: Cluster,
) -> None:
    """The server was away for longer than a holder is waited for: what comes late would undo the other's work."""
    target = replace(
        cluster.target(), client=Client(cluster.server, clock=cluster.time.clock(), patience=60)
    )
    target = replace(target, storage=Storage(target.client, target.owner))
    send = cluster.server.send
    begun: list[float] = []
    sent: list[float] = []

    def away(method: str, path: str, **rest: Any) -> Answer:
        if method == "PATCH" and "/configmaps/a?" in path and "dryRun" not in path:
            begun.append(cluster.time.now)
            sent.append(cluster.time.now - begun[0])
            return Answer(503, {}, b'{"kind":"Status","message":"no"}')
        return send(method, path, **rest)

    cluster.server.send = away  # type: ignore[method-assign]
    wanted = cluster.wanted(maps("a"))
    with pytest.raises(Moved, match="could not be renewed in time"):
        apply.apply(Proof(wanted.artifact), wanted, target, NO_WAIT)
    assert max(sent) <= LEASE


def test_a_configuration_map_of_somebody_else_is_no_record(cluster: Cluster) -> None:
    """Of another tool, with the same name and form: it is neither followed nor written over."""
    entry = '[{"id":"default_b__ConfigMap","ver":"v1"}]'
    cluster.server.put("ConfigMap", "default", "inv-web", data={"resources": entry})
    before = cluster.server.find("ConfigMap", "default", "inv-web")
    with pytest.raises(Conflict, match="is no inventory of lockgate"):
        cluster.apply(maps("a"))
    with pytest.raises(Conflict, match="is no inventory of lockgate"):
        repair(cluster.target(), (), NO_WAIT)
    assert cluster.server.find("ConfigMap", "default", "inv-web") == before
    assert list(cluster.target().storage.all(everywhere=True)) == []


def test_what_cannot_be_counted_is_not_deleted(cluster: Cluster) -> None:
    """Else no limit would stop the deletion of a namespace full of other things."""
    space = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"
    cluster.apply(f"{maps('a')}---\n{space}")
    send = cluster.server.send

    def denied(method: str, path: str, **rest: bytes | str) -> Answer:
        if "/namespaces/shop/" in path and "limit=1&" in f"{path}&":
            body = b'{"kind":"Status","message":"User \\"x\\" cannot list resource","reason":"Forbidden"}'
            return Answer(403, {}, body)
        return send(method, path, **rest)  # type: ignore[arg-type]

    cluster.server.send = denied  # type: ignore[method-assign]
    with pytest.raises(Forbidden) as caught:
        cluster.apply(maps("a"))
    assert "cannot be counted" in caught.value.message
    assert cluster.server.find("Namespace", "", "shop") is not None
