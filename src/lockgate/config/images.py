"""Every image that an object runs, found by where it stands. Pure.

Containers are found wherever a list of this name holds mappings: in pods, in every kind of pod template, in kinds
that nobody here knows (rollouts, job sets). Beside containers: init and ephemeral containers; Tekton's steps,
sidecars and step templates, in tasks, in pipelines and in runs; volumes that are images. Objects whose content is
a pattern, a schema or data are not looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lockgate.config.resource import Resource

_LISTS = frozenset(("containers", "initContainers", "ephemeralContainers", "steps", "sidecars"))
"""Lists of what runs; each item has an `image`."""
_SINGLE = frozenset(("stepTemplate",))
"""A mapping of the same form."""

_NOT_IN = frozenset(
    (
        ("", "ConfigMap"),
        ("", "Secret"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    )
)
"""Group and kind of what holds data, a schema or expressions."""
_NOT_IN_GROUPS = frozenset(
    ("kyverno.io", "policies.kyverno.io", "templates.gatekeeper.sh", "constraints.gatekeeper.sh")
)
"""Policies: an image in them is a pattern."""

TEKTON = "tekton.dev"
PARAMETER = "$("
"""Start of a Tekton variable; what it stands for is known when a run begins."""


def images(resource: Resource) -> tuple[str, ...]:
    """Return every image reference in an object, as it is written, sorted, each one time.

    A Tekton object may take an image from a parameter, `$(params.image)`; that is no reference, and is left out.
    """
    found: set[str] = set()

    def see(reference: str) -> str:
        found.add(reference)
        return reference

    replace(resource, see)
    return tuple(sorted(found))


def replace(resource: Resource, change: Callable[[str], str]) -> Resource:
    """Return an object with every image reference changed; the same object when none is.

    Args:
        resource: the object; it stays as it is.
        change: called with each reference, returns the one to write.
    """
    group = resource.id.group

    def one(reference: str) -> str:
        if group == TEKTON and PARAMETER in reference:
            return reference
        return change(reference)

    def holder(item: Mapping[str, Any]) -> Mapping[str, Any]:
        old = item["image"]
        new = one(old)
        return item if new == old else _with(item, "image", new)

    return _changed(resource, holder, lambda item: _volume(item, one))


def holders(
    resource: Resource, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Resource:
    """Return an object with everything changed that has an image and runs it; the same object when nothing is.

    Args:
        resource: the object; it stays as it is.
        change: called with each container or step, returns the one to write: the very same, or another.
    """
    return _changed(resource, change, lambda item: item)


def _changed(
    resource: Resource,
    holder: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    volume: Callable[[Any], Any],
) -> Resource:
    group, kind = resource.id.group, resource.id.kind
    if (group, kind) in _NOT_IN or group in _NOT_IN_GROUPS:
        return resource

    def runs(item: Any) -> Any:
        """Change what has an `image`: a container, a step."""
        if not isinstance(item, Mapping) or not isinstance(item.get("image"), str):
            return item
        return holder(item)

    body = _walk(resource.body, runs, volume)
    if group == TEKTON and kind == "StepAction" and isinstance(body.get("spec"), Mapping):
        body = _with(body, "spec", runs(body["spec"]))
    return resource if body is resource.body else Resource(resource.id, resource.api_version, body)


def _walk(value: Any, runs: Callable[[Any], Any], volume: Callable[[Any], Any]) -> Any:
    """Return a value with what runs below it changed; the very same when nothing is."""
    if isinstance(value, Mapping):
        found = value
        for key, inner in value.items():
            new = _walk(inner, runs, volume)
            if key in _LISTS and isinstance(new, list):
                new = _each(new, runs)
            elif key in _SINGLE:
                new = runs(new)
            elif key == "volumes" and isinstance(new, list):
                new = _each(new, volume)
            if new is not inner:
                found = _with(found, key, new)
        return found
    if isinstance(value, list):
        return _each(value, lambda item: _walk(item, runs, volume))
    return value


def _each(items: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    changed = [change(item) for item in items]
    same = all(new is old for new, old in zip(changed, items, strict=True))
    return items if same else changed


def _with(value: Mapping[str, Any], key: str, new: Any) -> Mapping[str, Any]:
    return value if value[key] is new else {**value, key: new}


def _volume(item: Any, change: Callable[[str], str]) -> Any:
    """Change a volume whose content is an image (core/v1, ImageVolumeSource)."""
    source = item.get("image") if isinstance(item, Mapping) else None
    if not isinstance(source, Mapping) or not isinstance(source.get("reference"), str):
        return item
    old = source["reference"]
    new = change(old)
    return item if new == old else _with(item, "image", _with(source, "reference", new))
