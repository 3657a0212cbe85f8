"""Readiness, over tables of objects as clusters return them."""

from __future__ import annotations

from typing import Any

import pytest

from lockgate.deploy.kube.ready import Rule, state_of

NOW = 1_763_600_000.0
"""2025-11-20T00:53:20Z."""


def item(
    kind: str,
    status: dict[str, Any] | None,
    *,
    spec: dict[str, Any] | None = None,
    generation: int = 2,
    **metadata: Any,
) -> dict[str, Any]:
    """Return an object; `kind` is `apps/v1 Deployment`."""
    version, _, name = kind.rpartition(" ")
    body: dict[str, Any] = {
        "apiVersion": version or "v1",
        "kind": name,
        "metadata": {"name": "x", "generation": generation, **metadata},
    }
    return body | ({"spec": spec} if spec else {}) | ({"status": status} if status else {})


def met(name: str, status: str = "True", reason: str = "", message: str = "") -> dict[str, str]:
    """Return a condition."""
    return {"type": name, "status": status, "reason": reason, "message": message}


ROLLED_OUT = {
    "observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
    "availableReplicas": 3, "conditions": [met("Available"), met("Progressing", reason="NewReplicaSetAvailable")],
}  # fmt: skip
THREE = {"replicas": 3}

TABLE: list[tuple[str, dict[str, Any], str, str]] = [
    ("deployment", item("apps/v1 Deployment", ROLLED_OUT, spec=THREE), "current", ""),
    ("deployment unseen", item("apps/v1 Deployment", None, spec=THREE), "in progress", "no controller"),
    ("deployment of an older generation",
     item("apps/v1 Deployment", ROLLED_OUT | {"observedGeneration": 1}, spec=THREE), "in progress", "generation 2, observed is 1"),
    ("deployment in a rollout",
     item("apps/v1 Deployment", ROLLED_OUT | {"updatedReplicas": 1}, spec=THREE), "in progress", "1 of 3 updated"),
    ("deployment with old pods",
     item("apps/v1 Deployment", ROLLED_OUT | {"replicas": 4}, spec=THREE), "in progress", "1 old replicas"),
    ("deployment not available",
     item("apps/v1 Deployment", ROLLED_OUT | {"availableReplicas": 2}, spec=THREE), "in progress", "2 of 3 available"),
    ("deployment not ready",
     item("apps/v1 Deployment", ROLLED_OUT | {"readyReplicas": 2}, spec=THREE), "in progress", "2 of 3 ready"),
    ("deployment without pods",
     item("apps/v1 Deployment", {"observedGeneration": 2, "conditions": [met("ReplicaFailure", reason="FailedCreate", message="quota")]}, spec=THREE),
     "in progress", "0 of 3 replicas (FailedCreate: quota)"),
    ("deployment past its deadline",
     item("apps/v1 Deployment", {"observedGeneration": 2, "conditions": [met("Progressing", "False", "ProgressDeadlineExceeded", "late")]}, spec=THREE),
     "failed", "ProgressDeadlineExceeded: late"),
    ("deployment of zero", item("apps/v1 Deployment", {"observedGeneration": 2}, spec={"replicas": 0}), "current", ""),
    ("deployment whose condition is behind",
     item("apps/v1 Deployment", ROLLED_OUT | {"conditions": []}, spec=THREE), "in progress", "not available"),
    ("stateful set",
     item("apps/v1 StatefulSet", {"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "a"}, spec=THREE),
     "current", ""),
    ("stateful set in a rollout",
     item("apps/v1 StatefulSet", {"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}, spec=THREE),
     "in progress", "1 of 3 have the new revision"),
    ("stateful set with a partition",
     item("apps/v1 StatefulSet", {"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"},
          spec={"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}), "current", ""),
    ("stateful set that people update",
     item("apps/v1 StatefulSet", {"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "b"},
          spec={"replicas": 3, "updateStrategy": {"type": "OnDelete"}}), "current", ""),
    ("stateful set not ready",
     item("apps/v1 StatefulSet", {"observedGeneration": 2, "replicas": 3, "readyReplicas": 1}, spec=THREE), "in progress", "1 of 3 ready"),
    ("daemon set",
     item("apps/v1 DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2, "numberReady": 2}),
     "current", ""),
    ("daemon set on no node", item("apps/v1 DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 0}), "current", ""),
    ("daemon set unseen", item("apps/v1 DaemonSet", {}), "in progress", "no controller"),
    ("daemon set in a rollout",
     item("apps/v1 DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 1}),
     "in progress", "1 of 2 updated"),
    ("replica set",
     item("apps/v1 ReplicaSet", {"replicas": 1, "fullyLabeledReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}), "current", ""),
    ("job that is complete", item("batch/v1 Job", {"conditions": [met("Complete")]}), "current", ""),
    ("job that runs", item("batch/v1 Job", {"startTime": "x", "active": 1}), "in progress", "0 succeeded, 1 active"),
    ("job that failed", item("batch/v1 Job", {"conditions": [met("Failed", reason="BackoffLimitExceeded")]}), "failed", "BackoffLimitExceeded"),
    ("job that is suspended", item("batch/v1 Job", {"conditions": [met("Suspended")]}, spec={"suspend": True}), "current", ""),
    ("cron job", item("batch/v1 CronJob", None), "current", ""),
    ("pod that is ready", item(" Pod", {"phase": "Running", "conditions": [met("Ready")]}), "current", ""),
    ("pod whose probe fails",
     item(" Pod", {"phase": "Running", "conditions": [met("Ready", "False")], "containerStatuses": [
         {"name": "a", "ready": True, "state": {"running": {}}}, {"name": "b", "ready": False, "state": {"running": {}}}]}),
     "in progress", "b: it runs, and its readiness probe does not succeed"),
    ("pod that ended well", item(" Pod", {"phase": "Succeeded"}), "current", ""),
    ("pod that ended badly", item(" Pod", {"phase": "Failed", "message": "out of memory"}), "failed", "out of memory"),
    ("pod that crashes",
     item(" Pod", {"phase": "Running", "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
     "failed", "a: CrashLoopBackOff"),
    ("pod whose image is pulled",
     item(" Pod", {"phase": "Pending", "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "ContainerCreating"}}}]}),
     "in progress", "a: ContainerCreating"),
    ("pod that fits nowhere",
     item(" Pod", {"phase": "Pending", "conditions": [met("PodScheduled", "False", "Unschedulable", "no node")]}, creationTimestamp="2025-11-20T00:53:00Z"),
     "failed", "Unschedulable: no node"),
    ("pod that may still fit",
     item(" Pod", {"phase": "Pending", "conditions": [met("PodScheduled", "False", "Unschedulable", "no node")]}, creationTimestamp="2025-11-20T00:53:15Z"),
     "in progress", "Unschedulable: no node"),
    ("claim", item(" PersistentVolumeClaim", {"phase": "Bound"}), "current", ""),
    ("claim that waits", item(" PersistentVolumeClaim", {"phase": "Pending"}), "in progress", "phase Pending"),
    ("service", item(" Service", {"loadBalancer": {}}, spec={"type": "ClusterIP"}), "current", ""),
    ("load balancer", item(" Service", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, spec={"type": "LoadBalancer"}), "current", ""),
    ("load balancer without address", item(" Service", {"loadBalancer": {}}, spec={"type": "LoadBalancer"}), "in progress", "no address"),
    ("namespace", item(" Namespace", {"phase": "Active"}), "current", ""),
    ("definition", item("apiextensions.k8s.io/v1 CustomResourceDefinition", {"conditions": [met("NamesAccepted"), met("Established")]}), "current", ""),
    ("definition that installs",
     item("apiextensions.k8s.io/v1 CustomResourceDefinition", {"conditions": [met("Established", "False", "Installing")]}), "in progress", "Installing"),
    ("definition whose name is taken",
     item("apiextensions.k8s.io/v1 CustomResourceDefinition", {"conditions": [met("NamesAccepted", "False", "KindConflict", "taken")]}),
     "failed", "KindConflict: taken"),
    ("budget", item("policy/v1 PodDisruptionBudget", {"observedGeneration": 2}), "current", ""),
    ("budget unseen", item("policy/v1 PodDisruptionBudget", None), "in progress", "no controller"),
    ("autoscaler", item("autoscaling/v2 HorizontalPodAutoscaler", {"conditions": [met("AbleToScale"), met("ScalingActive", "False")]}), "current", ""),
    ("autoscaler unseen", item("autoscaling/v2 HorizontalPodAutoscaler", {}), "in progress", "no controller"),
    ("API service", item("apiregistration.k8s.io/v1 APIService", {"conditions": [met("Available", "False", "MissingEndpoints")]}), "in progress", "MissingEndpoints"),
    ("configuration map", item(" ConfigMap", None), "current", ""),
    ("something with Ready", item("example.org/v1 Lamp", {"conditions": [met("Ready")]}), "current", ""),
    ("something not Ready", item("example.org/v1 Lamp", {"conditions": [met("Ready", "False", "Warming")]}), "in progress", "Warming"),
    ("something that is worked on", item("example.org/v1 Lamp", {"conditions": [met("Reconciling", reason="Busy")]}), "in progress", "Busy"),
    ("something that is stuck", item("example.org/v1 Lamp", {"conditions": [met("Stalled", reason="Broken")]}), "failed", "Broken"),
    ("something that is being deleted",
     item("example.org/v1 Lamp", None, deletionTimestamp="x", finalizers=["a/b"]), "terminating", "held by a/b"),
    ("something that says nothing", item("example.org/v1 Lamp", None), "current", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "phase", "message"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_state(body: dict[str, Any], phase: str, message: str) -> None:
    """Each object is as far as its status says."""
    found = state_of(body, now=NOW)
    assert found.phase == phase, found
    assert message in found.message


def test_what_is_not_there_is_not_ready() -> None:
    """It is not found."""
    assert state_of(None, now=NOW).phase == "not found"


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        ([met("Healthy")], "current"),
        ([met("Ready")], "in progress"),
        ([], "in progress"),
        ([met("Healthy"), met("Degraded")], "failed"),
    ],
)
def test_a_rule_of_the_settings_goes_first(conditions: list[dict[str, str]], phase: str) -> None:
    """Also before the condition `Ready`."""
    rule = Rule(group="example.org", kind="Lamp", condition="Healthy", failure="Degraded")
    body = item("example.org/v1 Lamp", {"conditions": conditions})
    assert state_of(body, now=NOW, rules=(rule,)).phase == phase


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({"observedGeneration": "2"}, "current"),
        ({"observedGeneration": "1"}, "in progress"),
        ({"conditions": {"Ready": "True"}}, "current"),
        ({"conditions": ["Ready"]}, "current"),
        (
            {"conditions": [{"type": "Ready", "status": "False", "reason": 3, "message": None}]},
            "in progress",
        ),
    ],
)
def test_a_status_of_any_form_is_read(status: dict[str, Any], phase: str) -> None:
    """Kinds that others define say what they like in it."""
    assert state_of(item("example.org/v1 Lamp", status), now=NOW).phase == phase
