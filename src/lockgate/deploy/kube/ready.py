"""Whether an object has become what it should be, as kstatus defines it (cli-utils, `pkg/kstatus`). Pure.

Stricter than kstatus where that says less than people take it for: a Job is ready when it is complete, a Service of
type LoadBalancer when it has an address, a StatefulSet when its newest revision is the one that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.deploy.kube import workloads
from lockgate.deploy.kube.conditions import READY, State, condition_of, spec_of, status_of, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When objects of a kind are ready, for kinds that nobody here knows."""

    group: str
    kind: str
    condition: str
    """Type of the condition that must be `True`."""
    failure: str = ""
    """Type of the condition that says, when `True`, that it will never be ready."""


def may_go(body: Mapping[str, Any]) -> bool:
    """Return whether an object is removed by the cluster once it has ended: a Job that says after how long."""
    group, _, _ = body["apiVersion"].rpartition("/")
    ttl = spec_of(body).get("ttlSecondsAfterFinished")
    return (group, body["kind"]) == ("batch", "Job") and ttl is not None


def state_of(body: Mapping[str, Any] | None, *, now: float, rules: Sequence[Rule] = ()) -> State:
    """Return how far an object is.

    Args:
        body: the object as the cluster returned it; None when there is none.
        now: seconds since 1970.
        rules: for kinds that are not known here; they go before everything else.
    """
    if body is None:
        return State("not found", "it is not there")
    metadata = body["metadata"]
    if metadata.get("deletionTimestamp"):
        holders = ", ".join(metadata.get("finalizers") or ())
        return State("terminating", f"held by {holders}" if holders else "is being deleted")
    generation, observed = metadata.get("generation"), status_of(body).get("observedGeneration")
    # Some controllers write the number as text.
    if generation is not None and observed is not None and str(observed) != str(generation):
        return State("in progress", f"generation {generation}, observed is {observed}")
    group, _, _ = body["apiVersion"].rpartition("/")
    for rule in rules:
        if (rule.group, rule.kind) == (group, body["kind"]):
            return _by_rule(body, rule)
    reconciling, stalled = condition_of(body, "Reconciling"), condition_of(body, "Stalled")
    if reconciling.get("status") == "True":
        return State("in progress", words(reconciling))
    if stalled.get("status") == "True":
        return State("failed", words(stalled))
    known = _KNOWN.get((group, body["kind"]))
    return known(body, now) if known else _generic(body)


def _by_rule(body: Mapping[str, Any], rule: Rule) -> State:
    failure = condition_of(body, rule.failure) if rule.failure else {}
    if failure.get("status") == "True":
        return State("failed", words(failure))
    found = condition_of(body, rule.condition)
    if found.get("status") == "True":
        return READY
    return State("in progress", words(found) or f"{rule.condition} is not there yet")


def _generic(body: Mapping[str, Any]) -> State:
    """A kind that nobody here knows: its condition `Ready` when it has one, else it is ready by being there."""
    found = condition_of(body, "Ready")
    if found and found.get("status") != "True":
        return State("in progress", words(found) or "Ready is not True")
    return READY


def _claim(body: Mapping[str, Any], _: float) -> State:
    phase = status_of(body).get("phase", "")
    return READY if phase == "Bound" else State("in progress", f"phase {phase or 'none'}")


def _service(body: Mapping[str, Any], _: float) -> State:
    if spec_of(body).get("type") != "LoadBalancer":
        return READY
    if (status_of(body).get("loadBalancer") or {}).get("ingress"):
        return READY
    return State("in progress", "no address of a load balancer yet")


def _definition(body: Mapping[str, Any], _: float) -> State:
    names, established = condition_of(body, "NamesAccepted"), condition_of(body, "Established")
    if names.get("status") == "False":
        return State("failed", words(names))
    if established.get("status") == "True":
        return READY
    if established.get("status") == "False" and established.get("reason") != "Installing":
        return State("failed", words(established))
    return State("in progress", words(established) or "not established")


def _namespace(body: Mapping[str, Any], _: float) -> State:
    phase = status_of(body).get("phase", "")
    return READY if phase == "Active" else State("in progress", f"phase {phase or 'none'}")


def _budget(body: Mapping[str, Any], _: float) -> State:
    if "observedGeneration" not in status_of(body):
        return State("in progress", "no controller has seen it yet")
    return READY


def _autoscaler(body: Mapping[str, Any], _: float) -> State:
    able = condition_of(body, "AbleToScale")
    if not able:
        return State("in progress", "no controller has seen it yet")
    return READY if able.get("status") == "True" else State("in progress", words(able))


def _api_service(body: Mapping[str, Any], _: float) -> State:
    available = condition_of(body, "Available")
    if available.get("status") == "True":
        return READY
    return State("in progress", words(available) or "not available")


def _always(_: Mapping[str, Any], __: float) -> State:
    return READY


_KNOWN: dict[tuple[str, str], Callable[[Mapping[str, Any], float], State]] = {
    ("apps", "Deployment"): workloads.deployment,
    ("apps", "ReplicaSet"): workloads.replica_set,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("apps", "DaemonSet"): workloads.daemon_set,
    ("batch", "Job"): workloads.job,
    ("batch", "CronJob"): _always,
    ("", "Pod"): workloads.pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("policy", "PodDisruptionBudget"): _budget,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("apiregistration.k8s.io", "APIService"): _api_service,
}
