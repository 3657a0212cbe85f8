"""Whether an object has become what it should be, as kstatus defines it (cli-utils, `pkg/kstatus`). Pure.

Stricter than kstatus where that says less than people take it for: a Job is ready when it is complete, a Service of
type LoadBalancer when it has an address, a StatefulSet when its newest revision is the one that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Phase = Literal["current", "in progress", "failed", "terminating", "not found"]

SCHEDULING = 15.0
"""Seconds for which a pod may be unschedulable before that is a failure."""


class State(NamedTuple):
    """How far an object is."""

    phase: Phase
    message: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it is what it should be."""
        return self.phase == "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When objects of a kind are ready, for kinds that nobody here knows."""

    group: str
    kind: str
    condition: str
    """Type of the condition that must be `True`."""
    failure: str = ""
    """Type of the condition that says, when `True`, that it will never be ready."""


READY = State("current")


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
    generation, observed = metadata.get("generation"), _status(body).get("observedGeneration")
    if generation is not None and observed is not None and observed != generation:
        return State("in progress", f"generation {generation}, observed is {observed}")
    group, _, _ = body["apiVersion"].rpartition("/")
    for rule in rules:
        if (rule.group, rule.kind) == (group, body["kind"]):
            return _by_rule(body, rule)
    reconciling, stalled = _condition(body, "Reconciling"), _condition(body, "Stalled")
    if reconciling.get("status") == "True":
        return State("in progress", _words(reconciling))
    if stalled.get("status") == "True":
        return State("failed", _words(stalled))
    known = _KNOWN.get((group, body["kind"]))
    return known(body, now) if known else _generic(body)


def _status(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found = body.get("status")
    return found if isinstance(found, dict) else {}


def _spec(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found = body.get("spec")
    return found if isinstance(found, dict) else {}


def _condition(body: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for one in _status(body).get("conditions") or ():
        if one.get("type") == kind:
            found: Mapping[str, Any] = one
            return found
    return {}


def _words(condition: Mapping[str, Any]) -> str:
    return ": ".join(
        part for part in (condition.get("reason", ""), condition.get("message", "")) if part
    )


def _by_rule(body: Mapping[str, Any], rule: Rule) -> State:
    failure = _condition(body, rule.failure) if rule.failure else {}
    if failure.get("status") == "True":
        return State("failed", _words(failure))
    found = _condition(body, rule.condition)
    if found.get("status") == "True":
        return READY
    return State("in progress", _words(found) or f"{rule.condition} is not there yet")


def _generic(body: Mapping[str, Any]) -> State:
    """A kind that nobody here knows: its condition `Ready` when it has one, else it is ready by being there."""
    found = _condition(body, "Ready")
    if found and found.get("status") != "True":
        return State("in progress", _words(found) or "Ready is not True")
    return READY


def _count(got: int, wanted: int, what: str) -> State | None:
    return State("in progress", f"{got} of {wanted} {what}") if got < wanted else None


def _first(*found: State | None) -> State:
    return next((one for one in found if one is not None), READY)


def _deployment(body: Mapping[str, Any], _: float) -> State:
    spec, status = _spec(body), _status(body)
    progressing = _condition(body, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return State("failed", _words(progressing))
    failure = _condition(body, "ReplicaFailure")
    wanted = int(spec.get("replicas", 1))
    replicas, updated = int(status.get("replicas", 0)), int(status.get("updatedReplicas", 0))
    available = int(status.get("availableReplicas", 0))
    if "observedGeneration" not in status:
        return State("in progress", "no controller has seen it yet")
    unfinished = _first(
        _count(replicas, wanted, f"replicas{_because(failure)}"),
        _count(updated, wanted, "updated"),
        State("in progress", f"{replicas - wanted} old replicas still run")
        if replicas > wanted
        else None,
        _count(available, updated, "available"),
        _count(int(status.get("readyReplicas", 0)), wanted, "ready"),
    )
    if not unfinished.is_ready:
        return unfinished
    if wanted and _condition(body, "Available").get("status") != "True":
        return State("in progress", "not available")
    return READY


def _because(condition: Mapping[str, Any]) -> str:
    return f" ({_words(condition)})" if condition.get("status") == "True" else ""


def _replica_set(body: Mapping[str, Any], _: float) -> State:
    wanted, status = int(_spec(body).get("replicas", 1)), _status(body)
    failure = _condition(body, "ReplicaFailure")
    return _first(
        _count(int(status.get("fullyLabeledReplicas", 0)), wanted, f"replicas{_because(failure)}"),
        _count(int(status.get("availableReplicas", 0)), wanted, "available"),
        _count(int(status.get("readyReplicas", 0)), wanted, "ready"),
        State("in progress", "too many replicas")
        if int(status.get("replicas", 0)) > wanted
        else None,
    )


def _stateful_set(body: Mapping[str, Any], _: float) -> State:
    spec, status = _spec(body), _status(body)
    strategy = spec.get("updateStrategy") or {}
    wanted, replicas = int(spec.get("replicas", 1)), int(status.get("replicas", 0))
    if "observedGeneration" not in status:
        return State("in progress", "no controller has seen it yet")
    there = _first(
        _count(replicas, wanted, "replicas"),
        _count(int(status.get("readyReplicas", 0)), wanted, "ready"),
        State("in progress", f"{replicas - wanted} pods still end") if replicas > wanted else None,
    )
    if not there.is_ready or strategy.get("type") == "OnDelete":
        return there
    updated = int(status.get("updatedReplicas", 0))
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    if partition:
        return _first(_count(updated, wanted - int(partition), "updated"))
    if status.get("currentRevision") != status.get("updateRevision"):
        return State("in progress", f"{updated} of {wanted} have the new revision")
    return READY


def _daemon_set(body: Mapping[str, Any], _: float) -> State:
    status = _status(body)
    if "observedGeneration" not in status or "desiredNumberScheduled" not in status:
        return State("in progress", "no controller has seen it yet")
    wanted = int(status["desiredNumberScheduled"])
    on_delete = (_spec(body).get("updateStrategy") or {}).get("type") == "OnDelete"
    return _first(
        _count(int(status.get("currentNumberScheduled", 0)), wanted, "scheduled"),
        None
        if on_delete
        else _count(int(status.get("updatedNumberScheduled", 0)), wanted, "updated"),
        _count(int(status.get("numberAvailable", 0)), wanted, "available"),
        _count(int(status.get("numberReady", 0)), wanted, "ready"),
    )


def _job(body: Mapping[str, Any], _: float) -> State:
    failed = _condition(body, "Failed")
    if failed.get("status") == "True":
        return State("failed", _words(failed) or "the job failed")
    if _condition(body, "Complete").get("status") == "True":
        return READY
    if _spec(body).get("suspend") and _condition(body, "Suspended").get("status") == "True":
        return READY
    status = _status(body)
    if not status.get("startTime"):
        return State("in progress", "not started")
    return State(
        "in progress", f"{status.get('succeeded', 0)} succeeded, {status.get('active', 0)} active"
    )


def _pod(body: Mapping[str, Any], now: float) -> State:
    status = _status(body)
    phase = status.get("phase", "")
    if phase == "Succeeded":
        return READY
    if phase == "Failed":
        return State(
            "failed", status.get("message") or status.get("reason") or "it ended with an error"
        )
    if phase == "Running" and _condition(body, "Ready").get("status") == "True":
        return READY
    waiting = [
        f"{one.get('name')}: {(one.get('state') or {})['waiting'].get('reason')}"
        for one in status.get("containerStatuses") or ()
        if (one.get("state") or {}).get("waiting")
    ]
    if any(one.endswith("CrashLoopBackOff") for one in waiting):
        return State("failed", ", ".join(waiting))
    scheduled = _condition(body, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        created = body["metadata"].get("creationTimestamp") or ""
        late = created and datetime.fromisoformat(created).timestamp() + SCHEDULING < now
        return State("failed" if late else "in progress", _words(scheduled))
    return State("in progress", ", ".join(waiting) or f"phase {phase or 'none'}")


def _claim(body: Mapping[str, Any], _: float) -> State:
    phase = _status(body).get("phase", "")
    return READY if phase == "Bound" else State("in progress", f"phase {phase or 'none'}")


def _service(body: Mapping[str, Any], _: float) -> State:
    if _spec(body).get("type") != "LoadBalancer":
        return READY
    if (_status(body).get("loadBalancer") or {}).get("ingress"):
        return READY
    return State("in progress", "no address of a load balancer yet")


def _definition(body: Mapping[str, Any], _: float) -> State:
    names, established = _condition(body, "NamesAccepted"), _condition(body, "Established")
    if names.get("status") == "False":
        return State("failed", _words(names))
    if established.get("status") == "True":
        return READY
    if established.get("status") == "False" and established.get("reason") != "Installing":
        return State("failed", _words(established))
    return State("in progress", _words(established) or "not established")


def _namespace(body: Mapping[str, Any], _: float) -> State:
    phase = _status(body).get("phase", "")
    return READY if phase == "Active" else State("in progress", f"phase {phase or 'none'}")


def _budget(body: Mapping[str, Any], _: float) -> State:
    if "observedGeneration" not in _status(body):
        return State("in progress", "no controller has seen it yet")
    return READY


def _autoscaler(body: Mapping[str, Any], _: float) -> State:
    able = _condition(body, "AbleToScale")
    if not able:
        return State("in progress", "no controller has seen it yet")
    return READY if able.get("status") == "True" else State("in progress", _words(able))


def _api_service(body: Mapping[str, Any], _: float) -> State:
    available = _condition(body, "Available")
    if available.get("status") == "True":
        return READY
    return State("in progress", _words(available) or "not available")


def _always(_: Mapping[str, Any], __: float) -> State:
    return READY


_KNOWN: dict[tuple[str, str], Callable[[Mapping[str, Any], float], State]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _always,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("policy", "PodDisruptionBudget"): _budget,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("apiregistration.k8s.io", "APIService"): _api_service,
}
