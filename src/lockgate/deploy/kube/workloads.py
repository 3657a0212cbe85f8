"""How far what runs pods is, and pods themselves. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from lockgate.deploy.kube.conditions import READY, State, condition_of, spec_of, status_of, words

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEDULING = 15.0
"""Seconds for which a pod may be unschedulable before that is a failure."""


def _count(got: int, wanted: int, what: str) -> State | None:
    return State("in progress", f"{got} of {wanted} {what}") if got < wanted else None


def _first(*found: State | None) -> State:
    return next((one for one in found if one is not None), READY)


def deployment(body: Mapping[str, Any], _: float) -> State:
    """A Deployment: all its pods are of the newest revision, and available."""
    spec, status = spec_of(body), status_of(body)
    progressing = condition_of(body, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return State("failed", words(progressing))
    failure = condition_of(body, "ReplicaFailure")
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
    if wanted and condition_of(body, "Available").get("status") != "True":
        return State("in progress", "not available")
    return READY


def _because(condition: Mapping[str, Any]) -> str:
    return f" ({words(condition)})" if condition.get("status") == "True" else ""


def replica_set(body: Mapping[str, Any], _: float) -> State:
    """A ReplicaSet: all its pods are there and ready."""
    wanted, status = int(spec_of(body).get("replicas", 1)), status_of(body)
    failure = condition_of(body, "ReplicaFailure")
    return _first(
        _count(int(status.get("fullyLabeledReplicas", 0)), wanted, f"replicas{_because(failure)}"),
        _count(int(status.get("availableReplicas", 0)), wanted, "available"),
        _count(int(status.get("readyReplicas", 0)), wanted, "ready"),
        State("in progress", "too many replicas")
        if int(status.get("replicas", 0)) > wanted
        else None,
    )


def stateful_set(body: Mapping[str, Any], _: float) -> State:
    """A StatefulSet: all its pods are ready, and of the newest revision."""
    spec, status = spec_of(body), status_of(body)
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


def daemon_set(body: Mapping[str, Any], _: float) -> State:
    """A DaemonSet: every node that it is for has a pod that is ready."""
    status = status_of(body)
    if "observedGeneration" not in status or "desiredNumberScheduled" not in status:
        return State("in progress", "no controller has seen it yet")
    wanted = int(status["desiredNumberScheduled"])
    on_delete = (spec_of(body).get("updateStrategy") or {}).get("type") == "OnDelete"
    return _first(
        _count(int(status.get("currentNumberScheduled", 0)), wanted, "scheduled"),
        None
        if on_delete
        else _count(int(status.get("updatedNumberScheduled", 0)), wanted, "updated"),
        _count(int(status.get("numberAvailable", 0)), wanted, "available"),
        _count(int(status.get("numberReady", 0)), wanted, "ready"),
    )


def job(body: Mapping[str, Any], _: float) -> State:
    """A Job: it is complete."""
    failed = condition_of(body, "Failed")
    if failed.get("status") == "True":
        return State("failed", words(failed) or "the job failed")
    if condition_of(body, "Complete").get("status") == "True":
        return READY
    if spec_of(body).get("suspend") and condition_of(body, "Suspended").get("status") == "True":
        return READY
    status = status_of(body)
    if not status.get("startTime"):
        return State("in progress", "not started")
    return State(
        "in progress", f"{status.get('succeeded', 0)} succeeded, {status.get('active', 0)} active"
    )


def pod(body: Mapping[str, Any], now: float) -> State:
    """A pod: it is ready, or ended well."""
    status = status_of(body)
    phase = status.get("phase", "")
    if phase == "Succeeded":
        return READY
    if phase == "Failed":
        return State(
            "failed", status.get("message") or status.get("reason") or "it ended with an error"
        )
    if phase == "Running" and condition_of(body, "Ready").get("status") == "True":
        return READY
    waiting = [
        f"{one.get('name')}: {(one.get('state') or {})['waiting'].get('reason')}"
        for one in status.get("containerStatuses") or ()
        if (one.get("state") or {}).get("waiting")
    ]
    if any(one.endswith("CrashLoopBackOff") for one in waiting):
        return State("failed", ", ".join(waiting))
    scheduled = condition_of(body, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        created = body["metadata"].get("creationTimestamp") or ""
        late = created and datetime.fromisoformat(created).timestamp() + SCHEDULING < now
        return State("failed" if late else "in progress", words(scheduled))
    unready = [
        f"{one.get('name')}: it runs, and its readiness probe does not succeed"
        for one in status.get("containerStatuses") or ()
        if (one.get("state") or {}).get("running") is not None and not one.get("ready")
    ]
    return State("in progress", ", ".join(waiting or unready) or f"phase {phase or 'none'}")
