"""Apply, on a real API server: what S1.74 asks for, and what Kustomizer gets wrong."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.cluster.conftest import NO_WAIT, Proof, Recorder, lines

from lockgate.base.errors import (
    Conflict,
    Immutable,
    NotReady,
    Rejected,
    SubjectMismatch,
    TrustError,
    UsageError,
)
from lockgate.deploy.kube import apply
from lockgate.deploy.kube.model import Options
from lockgate.deploy.kube.target import Wanted

if TYPE_CHECKING:
    from tests.cluster.conftest import Place

    from lockgate.deploy.kube.model import ChangeSet

TWO = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: @NS}
data: {key: one}
---
apiVersion: v1
kind: Secret
metadata: {name: b, namespace: @NS, annotations: {note: hidden-note}}
stringData: {password: hidden-word}
"""

ONE = TWO.partition("---")[0]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: @NS}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example.org/web@sha256:1111111111111111111111111111111111111111111111111111111111111111
          ports: [{containerPort: 8080}]
"""

AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: @NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 9
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
"""

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: @NS}
spec:
  template:
    metadata: {labels: {version: "1"}}
    spec:
      restartPolicy: Never
      containers: [{name: job, image: registry.example.org/job@sha256:1111111111111111111111111111111111111111111111111111111111111111}]
"""


def definition(group: str) -> str:
    """Return a CustomResourceDefinition of a group, and one object of it."""
    return f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: lamps.{group}}}
spec:
  group: {group}
  names: {{kind: Lamp, plural: lamps, singular: lamp, listKind: LampList}}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {{spec: {{type: object, properties: {{bright: {{type: integer}}}}}}}}
---
apiVersion: {group}/v1
kind: Lamp
metadata: {{name: desk, namespace: @NS}}
spec: {{bright: 3}}
"""


def test_a_first_apply_creates_and_a_second_writes_nothing(place: Place) -> None:
    """Unchanged objects, and the inventory, keep their resource versions (S1.43)."""
    assert lines(place.apply(TWO)) == ["a created", "b created"]
    names = ("configmap/a", "secret/b", "configmap/inv-web")
    before = [place.get(name)["metadata"]["resourceVersion"] for name in names]
    assert lines(place.apply(TWO)) == ["a unchanged", "b unchanged"]
    assert [place.get(name)["metadata"]["resourceVersion"] for name in names] == before


def test_a_changed_field_is_the_only_thing_that_is_written(place: Place) -> None:
    """Drift-only writes: one object differs, one is configured, and the field is named."""
    place.apply(TWO)
    changes = place.apply(TWO.replace("key: one", "key: two"), artifact="2")
    assert lines(changes) == ["a configured", "b unchanged"]
    assert changes.changes[0].differences == ("~ data.key: one → two",)


def test_what_somebody_changed_by_hand_is_found_and_put_right(place: Place) -> None:
    """Drift is found without a dry run of every object; taking the field back is asked for."""
    place.apply(TWO)
    place.kubectl("patch", "configmap/a", "-p", '{"data":{"key":"other"}}')
    with pytest.raises(
        Conflict, match=r"ConfigMap/t\d+/a: another manager owns .*data.key \(kubectl-patch\)"
    ):
        place.apply(TWO)
    changes = place.apply(TWO, replace(NO_WAIT, take_over=True))
    assert lines(changes) == ["a configured", "b unchanged"]
    assert place.get("configmap/a")["data"] == {"key": "one"}


@pytest.mark.parametrize(
    "drift",
    [
        ["patch", "configmap/a", "-p", '{"data":{"key":"other"}}'],
        ["patch", "configmap/a", "--type=json", "-p", '[{"op":"remove","path":"/data/key"}]'],
        ["label", "--overwrite", "configmap/a", "lockgate.dev/inventory=other"],
        ["label", "configmap/a", "lockgate.dev/inventory-"],
        ["delete", "configmap/a"],
    ],
)
def test_every_kind_of_drift_is_seen_by_the_quick_look(place: Place, drift: list[str]) -> None:
    """What the cluster's books say is enough: no change of one of our fields goes unseen."""
    place.apply(TWO)
    place.kubectl(*drift)
    assert lines(place.plan(TWO, replace(NO_WAIT, take_over=True)))[0] != "a unchanged"


def test_fields_that_others_add_stay_and_are_no_drift(place: Place) -> None:
    """What is not in the manifest is not ours."""
    place.apply(TWO)
    place.kubectl("annotate", "configmap/a", "theirs=yes")
    place.kubectl("patch", "configmap/a", "-p", '{"data":{"theirs":"yes"}}')
    assert lines(place.apply(TWO)) == ["a unchanged", "b unchanged"]
    assert place.get("configmap/a")["data"] == {"key": "one", "theirs": "yes"}


def test_a_field_that_leaves_the_manifest_leaves_the_object(place: Place) -> None:
    """Our own fields go when the manifest gives them up."""
    place.apply(ONE.replace("key: one", "key: one, more: two"))
    place.apply(ONE, artifact="2")
    assert place.get("configmap/a")["data"] == {"key": "one"}


def test_secrets_are_masked_everywhere(place: Place) -> None:
    """Neither values nor annotations of a Secret are shown, changed or not (S1.67, S1.68)."""
    place.apply(TWO)
    other = TWO.replace("hidden-word", "hidden-other").replace("hidden-note", "hidden-more")
    found = place.plan(other).changes[1]
    assert found.differences == (
        "~ data.password: ***** → ******",
        "~ metadata.annotations.note: ***** → ******",
    )
    assert "hidden" not in repr(found)
    assert base64.b64encode(b"hidden-other").decode() not in repr(found)


def test_a_wrong_secret_is_refused_without_its_values(place: Place) -> None:
    """The field is named, the value is not (S1.50)."""
    wrong = TWO.replace("stringData: {password: hidden-word}", "data: {password: hidden-word}")
    with pytest.raises(Rejected, match=r"Secret/t\d+/b is refused") as caught:
        place.apply(wrong)
    assert "hidden" not in str(caught.value)
    assert place.get("configmap/a") is None


def test_wrong_manifests_are_all_named_before_the_first_write(place: Place) -> None:
    """Every field that is wrong is told at once, and nothing was changed."""
    wrong = (
        TWO.replace("data: {key: one}", "dta: {key: one}")
        + "---"
        + DEPLOYMENT.replace("replicas: 2", "replicas: -2")
    )
    with pytest.raises(Rejected) as caught:
        place.apply(wrong)
    assert "2 objects cannot be applied; nothing was changed" in caught.value.message
    assert "dta" in caught.value.message
    assert "spec.replicas" in caught.value.message
    assert place.get("secret/b") is None
    assert place.get("configmap/inv-web") is None


def test_an_unknown_kind_is_named(place: Place) -> None:
    """And so is what the cluster serves instead."""
    with pytest.raises(UsageError, match=r"does not know Lamp of example.org/v1"):
        place.apply("{apiVersion: example.org/v1, kind: Lamp, metadata: {name: a, namespace: @NS}}")
    with pytest.raises(UsageError, match="does not know Deployment") as caught:
        place.apply(DEPLOYMENT.replace("apps/v1", "apps/v1beta1"))
    assert caught.value.hint == "it serves it as apps/v1"


def test_nothing_to_apply_is_an_error(place: Place) -> None:
    """An empty artifact does not empty the cluster (S1.56)."""
    place.apply(TWO)
    target = place.target()
    empty = Wanted("sha256:" + "2" * 64, "", "", ())
    with pytest.raises(UsageError, match="nothing to apply"):
        apply.apply(Proof(empty.artifact), empty, target, NO_WAIT)
    assert place.get("configmap/a") is not None


def test_another_artifact_than_the_verified_one_is_refused(place: Place) -> None:
    """The applied bytes are the verified bytes (S1.61)."""
    wanted = place.wanted(TWO)
    with pytest.raises(SubjectMismatch):
        apply.apply(Proof("sha256:" + "9" * 64), wanted, place.target(), NO_WAIT)


def test_an_image_without_a_digest_is_refused(place: Place) -> None:
    """Before the cluster is asked anything."""
    loose = DEPLOYMENT.replace("web@sha256:" + "1" * 64, "web:latest")
    with pytest.raises(TrustError, match=r"Deployment/t\d+/web: registry.example.org/web:latest"):
        place.apply(loose)


def test_a_definition_and_an_object_of_it_come_in_one_apply(place: Place) -> None:
    """Staged: the definition is established before its object is applied; both go in the end (S1.42)."""
    both = definition(f"{place.namespace}.example.org")
    planned = place.plan(both)
    assert lines(planned) == [f"lamps.{place.namespace}.example.org created", "desk created"]
    assert planned.changes[1].note.startswith("after CustomResourceDefinition/")
    assert lines(place.apply(both)) == lines(planned)
    assert place.get(f"lamps.{place.namespace}.example.org/desk")["spec"] == {"bright": 3}
    assert lines(place.apply(both))[1] == "desk unchanged"
    gone = place.delete(Options(wait=60))
    assert lines(gone) == ["desk deleted", f"lamps.{place.namespace}.example.org deleted"]


def test_a_definition_that_changes_is_applied_before_its_objects_are_judged(place: Place) -> None:
    """A new field of a kind may be used in the very artifact that brings it."""
    both = definition(f"{place.namespace}.example.org")
    place.apply(both)
    wider = both.replace(
        "{bright: {type: integer}}", "{bright: {type: integer}, warm: {type: boolean}}"
    )
    wider = wider.replace("{bright: 3}", "{bright: 3, warm: true}")
    assert lines(place.apply(wider, artifact="2"))[1] == "desk configured"
    assert place.get(f"lamps.{place.namespace}.example.org/desk")["spec"]["warm"] is True


def test_a_namespace_and_what_lies_in_it_come_in_one_apply(place: Place) -> None:
    """Even when the inventory lies there too (S1.58)."""
    made = f"{place.namespace}-made"
    place.namespace = made
    text = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {made}}}\n---{TWO}"
    assert lines(place.apply(text)) == [f"{made} created", "a created", "b created"]
    assert lines(place.apply(text))[1:] == ["a unchanged", "b unchanged"]


def test_what_is_marked_is_not_deleted_with_its_namespace(place: Place) -> None:
    """Neither by an apply without both, nor by the deletion of all; the inventory goes on to name them."""
    made = f"{place.namespace}-made"
    space = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {made}}}\n---\n"
    marked = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kept, namespace: {made}, "
        "annotations: {lockgate.dev/prune: disabled}}\n---"
    )
    place.apply(space + marked + TWO)
    assert lines(place.apply(TWO, artifact="2"))[-2:] == ["kept skipped", f"{made} skipped"]
    place.delete()
    assert place.server.kubectl("-n", made, "get", "configmap/kept", "-o", "name").stdout
    assert place.inventory() == [made, "kept"]


def test_a_missing_namespace_is_named_before_anything_is_written(place: Place) -> None:
    """Both that of an object, and that of the inventory."""
    with pytest.raises(UsageError, match="no namespace 'nowhere'"):
        place.apply(TWO.replace("@NS", "nowhere", 1))
    assert place.get("secret/b") is None


def test_a_namespace_that_is_being_deleted_is_named(place: Place) -> None:
    """Nothing can be made in it."""
    place.kubectl("delete", "namespace", place.namespace, "--wait=false")
    with pytest.raises(Conflict, match="is being deleted"):
        place.apply(TWO)


def test_prune_deletes_what_left_the_artifact_and_only_then_forgets_it(place: Place) -> None:
    """What is not pruned stays in the inventory, so a later run can (S1.53, S1.57)."""
    place.apply(TWO)
    kept = place.apply(ONE, replace(NO_WAIT, prune=False), artifact="2")
    assert lines(kept) == ["a unchanged", "b skipped"]
    assert place.inventory() == ["a", "b"]
    assert lines(place.plan(ONE)) == ["a unchanged", "b deleted"]
    assert lines(place.apply(ONE, artifact="2")) == ["a unchanged", "b deleted"]
    assert place.get("secret/b") is None
    assert place.inventory() == ["a"]


def test_plan_and_apply_mean_the_same_by_prune(place: Place) -> None:
    """`--no-prune` changes what a diff shows, too (S1.66)."""
    place.apply(TWO)
    assert lines(place.plan(ONE, replace(NO_WAIT, prune=False)))[1] == "b skipped"


def test_an_object_that_moved_to_another_inventory_is_handed_over(place: Place) -> None:
    """The other inventory takes it on request, and the first one then leaves it alone (S1.55)."""
    place.apply(TWO)
    secret = TWO.partition("---")[2]
    with pytest.raises(Conflict, match=r"belongs to the inventory t\d+/web"):
        place.apply(secret, name="other")
    taken = place.apply(secret, replace(NO_WAIT, take_over=True), name="other")
    assert lines(taken) == ["b configured"]
    left = place.apply(ONE, artifact="2")
    assert lines(left) == ["a unchanged", "b skipped"]
    assert "belongs to the inventory" in left.changes[1].note
    assert place.get("secret/b") is not None
    assert place.inventory() == ["a"]
    assert place.inventory("other") == ["b"]


def test_an_object_with_copied_labels_is_not_pruned(place: Place) -> None:
    """Operators copy labels to what they make; the cluster's books tell whose it is (C4)."""
    place.apply(TWO)
    labels = place.get("secret/b")["metadata"]["labels"]
    place.kubectl("delete", "secret/b")
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "b", "namespace": place.namespace, "labels": labels},
    }
    place.kubectl("create", "-f", "-", stdin=json.dumps(body))
    left = place.apply(ONE, artifact="2")
    assert lines(left) == ["a unchanged", "b skipped"]
    assert "somebody copied them" in left.changes[1].note
    assert place.get("secret/b") is not None


def test_an_object_that_is_marked_stays(place: Place) -> None:
    """The mark is read from the object as it is; it stays in the inventory, also when all else is deleted."""
    place.apply(TWO)
    place.kubectl("annotate", "secret/b", "lockgate.dev/prune=disabled")
    assert lines(place.apply(ONE, artifact="2")) == ["a unchanged", "b skipped"]
    assert place.inventory() == ["a", "b"]
    assert lines(place.delete()) == ["b skipped", "a deleted"]
    assert place.inventory() == ["b"]


def test_more_deletions_than_allowed_stop_the_run(place: Place) -> None:
    """With the number to allow, and before anything is changed."""
    many = "---".join(ONE.replace("name: a", f"name: m{number}") for number in range(5))
    place.apply(many)
    with pytest.raises(UsageError, match="5 objects would be deleted") as caught:
        place.apply(ONE, replace(NO_WAIT, prune_limit=4), artifact="2")
    assert "--prune-limit 5" in caught.value.hint
    assert place.get("configmap/a") is None


def test_the_cascade_of_a_definition_is_shown_and_counts(place: Place) -> None:
    """Objects that others made of a kind go with its definition."""
    group = f"{place.namespace}.example.org"
    both = definition(group)
    place.apply(both + "---" + ONE)
    for name in ("one", "two", "three"):
        text = both.partition("---")[2].replace("name: desk", f"name: {name}")
        place.kubectl("create", "-f", "-", stdin=text)
    planned = place.plan(ONE)
    last = planned.changes[-1]
    assert last.id.name == f"lamps.{group}"
    assert "3 objects with it" in last.note
    with pytest.raises(UsageError, match="5 objects would be deleted"):
        place.apply(ONE, replace(NO_WAIT, prune_limit=4), artifact="2")


def test_force_recreates_what_cannot_be_changed(place: Place) -> None:
    """Only with `--force`, and the object is another one after (S1.48)."""
    place.apply(JOB)
    uid = place.get("job/job")["metadata"]["uid"]
    other = JOB.replace('version: "1"', 'version: "2"')
    with pytest.raises(Immutable, match=r"spec\.template cannot be changed in place"):
        place.apply(other)
    options = Options(wait=0, recreate=True)
    assert lines(place.plan(other, options)) == ["job recreated"]
    assert lines(place.apply(other, options)) == ["job recreated"]
    assert place.get("job/job")["metadata"]["uid"] != uid


def test_force_does_not_delete_what_changed_since_the_plan(place: Place) -> None:
    """The delete names the version that was looked at; the object stays, and the next run may judge it anew."""
    place.apply(JOB)
    uid = place.get("job/job")["metadata"]["uid"]

    class Somebody(Recorder):
        def planned(self, changes: ChangeSet) -> None:
            super().planned(changes)
            place.kubectl("annotate", "job/job", "note=keep")

    target = replace(place.target(), events=Somebody())
    other = JOB.replace('version: "1"', 'version: "2"')
    options = Options(wait=0, recreate=True)
    with pytest.raises(Conflict, match="was changed by somebody else after the plan was made"):
        place.apply(other, options, target=target)
    assert place.get("job/job")["metadata"]["uid"] == uid
    assert lines(place.apply(other, options)) == ["job recreated"]


def test_force_does_not_touch_what_a_wrong_manifest_is_about(place: Place) -> None:
    """A manifest that is merely wrong deletes nothing (S1.49)."""
    place.apply(JOB)
    uid = place.get("job/job")["metadata"]["uid"]
    wrong = JOB.replace("restartPolicy: Never", "restartPolicy: Sometimes")
    with pytest.raises(Rejected, match="restartPolicy"):
        place.apply(wrong, Options(wait=0, recreate=True))
    assert place.get("job/job")["metadata"]["uid"] == uid


def test_an_autoscaler_rules_the_replicas(place: Place) -> None:
    """They are left out where one of the artifact targets the workload, and keep what it said (S1.47)."""
    place.apply(DEPLOYMENT + "---" + AUTOSCALER)
    place.kubectl("scale", "deployment/web", "--replicas=5")
    assert lines(place.apply(DEPLOYMENT + "---" + AUTOSCALER)) == ["web unchanged", "web unchanged"]
    assert place.get("deployment/web")["spec"]["replicas"] == 5


def test_replicas_keep_their_number_when_an_autoscaler_comes(place: Place) -> None:
    """The field is given up, and the cluster must not set it to 1 on that."""
    place.apply(DEPLOYMENT.replace("replicas: 2", "replicas: 4"))
    place.apply(DEPLOYMENT + "---" + AUTOSCALER, artifact="2")
    assert place.get("deployment/web")["spec"]["replicas"] == 4
    assert lines(place.apply(DEPLOYMENT + "---" + AUTOSCALER, artifact="2"))[0] == "web unchanged"


def test_replicas_are_ours_again_when_the_autoscaler_goes(place: Place) -> None:
    """Nobody else has them: there is nothing to take over."""
    place.apply(DEPLOYMENT)
    place.apply(DEPLOYMENT + "---" + AUTOSCALER, artifact="2")
    more = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
    assert lines(place.apply(more, artifact="3"))[0] == "web configured"
    found = place.get("deployment/web")
    assert found["spec"]["replicas"] == 3
    assert [one["manager"] for one in found["metadata"]["managedFields"]] == ["lockgate"]
    assert lines(place.apply(more, artifact="3")) == ["web unchanged"]


def test_what_kubectl_left_is_cleaned_up(place: Place) -> None:
    """Its annotation goes, its fields become ours, and what the manifest no longer has goes too (S1.45)."""
    place.kubectl("apply", "-f", "-", stdin=ONE.replace("key: one", "key: zero, old: gone"))
    place.apply(ONE)
    found = place.get("configmap/a")
    assert found["data"] == {"key": "one"}
    assert "annotations" not in found["metadata"]
    assert [one["manager"] for one in found["metadata"]["managedFields"]] == ["lockgate"]


def test_kubectl_diff_is_empty_afterwards(place: Place) -> None:
    """The real kubectl, told the same manifests, would change nothing."""
    text = TWO.partition("---")[0] + "---" + DEPLOYMENT + "---" + JOB
    place.apply(text)
    found = place.server.kubectl(
        "diff", "--server-side", "-f", "-", stdin=text.replace("@NS", place.namespace), check=False
    )
    assert found.stdout == ""
    assert found.returncode == 0


def test_waiting_ends_when_everything_is_ready(place: Place) -> None:
    """Readiness comes from the status that a controller writes, here the test."""
    import threading

    def controller() -> None:
        status = {
            "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
            "availableReplicas": 2,
            "conditions": [{"type": "Available", "status": "True"}],
        }  # fmt: skip
        place.kubectl("wait", "--for=create", "deployment/web", "--timeout=120s")
        patch = json.dumps({"status": status})
        place.kubectl(
            "patch", "deployment/web", "--subresource=status", "--type=merge", "-p", patch
        )

    worker = threading.Thread(target=controller)
    worker.start()
    try:
        place.apply(DEPLOYMENT, Options(wait=120))
    finally:
        worker.join()
    assert place.events.notes[0].startswith("waits until 1 object")


def test_what_is_not_ready_in_time_is_named_and_nothing_is_pruned(place: Place) -> None:
    """With what it lacks; what was before stays until the new thing works, and the next run goes on."""
    place.apply(TWO)
    with pytest.raises(NotReady, match=r"Deployment/t\d+/web: no controller has seen it yet"):
        place.apply(DEPLOYMENT, Options(wait=1), artifact="2")
    assert place.get("secret/b") is not None
    assert sorted(place.inventory()) == ["a", "b", "web"]
    assert lines(place.apply(DEPLOYMENT, artifact="2")) == [
        "web unchanged",
        "b deleted",
        "a deleted",
    ]


def test_the_pods_of_what_is_not_ready_say_why(place: Place) -> None:
    """What a person would look for next stands in the message."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-x", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "example.org/web"}]},
    }
    place.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    waiting = {"name": "web", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
               "state": {"waiting": {"reason": "ImagePullBackOff"}}}  # fmt: skip
    status = {"status": {"phase": "Pending", "containerStatuses": [waiting]}}
    patch = ["patch", "pod/web-x", "--subresource=status", "--type=merge", "-p", json.dumps(status)]
    place.kubectl(*patch)
    with pytest.raises(NotReady, match=r"Pod/t\d+/web-x: web: ImagePullBackOff"):
        place.apply(DEPLOYMENT, Options(wait=1))


def test_delete_removes_everything_in_reverse_order(place: Place) -> None:
    """And the record last."""
    place.apply(TWO)
    assert lines(place.delete()) == ["b deleted", "a deleted"]
    assert place.get("configmap/inv-web") is None
    with pytest.raises(UsageError, match="there is no inventory"):
        place.delete()


def test_a_hundred_and_ten_objects(place: Place) -> None:
    """Two requests for each new one, one for each when all are asked about, none when nobody touched any."""
    text = "---".join(ONE.replace("name: a", f"name: m{number}") for number in range(110))
    connection = place.connection()
    # Renewals of the inventory are requests over the same connection, and a slow run would have one: none is due here.
    target = place.target(connection=connection, lease=3600)

    def counted(options: Options = NO_WAIT) -> int:
        connection.sent.clear()
        if options.details:
            apply.plan(place.wanted(text), target, options)
        else:
            place.apply(text, options, target=target)
        return connection.sent["PATCH"]

    assert counted() == 220
    assert counted() == 0
    assert sum(connection.sent.values()) < 10
    assert counted(replace(NO_WAIT, details=True)) == 110
    assert lines(place.delete()) == [
        f"{one} deleted" for one in sorted((f"m{n}" for n in range(110)), reverse=True)
    ]


def test_another_version_of_a_kind_is_the_same_object(place: Place) -> None:
    """Neither is it made anew nor deleted (S1.54)."""
    place.apply(AUTOSCALER)
    uid = place.get("hpa/web")["metadata"]["uid"]
    older = AUTOSCALER.partition("  metrics:")[0].replace("autoscaling/v2", "autoscaling/v1")
    changes = place.apply(older + "  targetCPUUtilizationPercentage: 70\n", artifact="2")
    assert [one.id.name for one in changes.changes] == ["web"]
    assert changes.changes[0].action in ("configured", "unchanged")
    assert place.get("hpa/web")["metadata"]["uid"] == uid
    assert place.inventory() == ["web"]
