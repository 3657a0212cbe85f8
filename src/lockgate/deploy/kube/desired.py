"""What is sent to the cluster, from what was verified. Pure.

The verified object is sent as it is, but for this:

    (1) labels name the inventory that it belongs to;
    (2) `spec.replicas` is left out where an autoscaler of the same artifact rules it (S1.47);
    (3) `stringData` of a Secret becomes `data`, since the cluster keeps books only of that;
    (4) `status`, and what only a cluster can know of an object, is left out.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate.base.errors import UsageError
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.configmap import PREFIX, is_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lockgate.config.resource import Resource
    from lockgate.deploy.kube.discovery import Kind, Kinds
    from lockgate.deploy.kube.ownership import Owner

_THE_CLUSTERS = (
    "managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink",
    "deletionTimestamp",
)  # fmt: skip

DEFINITIONS = (("apiextensions.k8s.io", "CustomResourceDefinition"), ("", "Namespace"))
"""Group and kind of what others cannot exist without; applied first and waited for (S1.42)."""


@dataclass(frozen=True, slots=True)
class Desired:
    """One object that should be."""

    id: ResourceId
    kind: Kind
    body: Mapping[str, Any]
    digest: str
    """Of the body."""

    @property
    def is_definition(self) -> bool:
        """Whether others cannot exist without it."""
        return (self.id.group, self.id.kind) in DEFINITIONS


def prepare(resources: Sequence[Resource], inventory: Owner, kinds: Kinds) -> tuple[Desired, ...]:
    """Return what should be, in the order of `resources`.

    Raises:
        UsageError: there is nothing (S1.56), the cluster knows no such kind, an object that lies in a namespace
            names none, one stands twice (S1.18), or one is the record of an inventory.
    """
    if not resources:
        raise UsageError(
            "there is nothing to apply", hint="`inv deploy.delete` removes what an inventory holds"
        )
    scaled = _scaled(resources)
    found = tuple(_one(resource, inventory, kinds, scaled) for resource in resources)
    known: set[ResourceId] = set()
    for one in found:
        if one.id in known:
            # Of a kind that lies in no namespace, with two of them in the manifests.
            raise UsageError(f"{one.id.label} stands twice", hint="remove one of them")
        known.add(one.id)
    return found


def _one(
    resource: Resource, inventory: Owner, kinds: Kinds, scaled: frozenset[tuple[str, str, str, str]]
) -> Desired:
    one = resource.id
    kind = kinds.of(one, resource.api_version)
    if kind.namespaced and not one.namespace:
        raise UsageError(
            f"{one.label} names no namespace, and another one would be meant on every machine",
            hint="set `metadata.namespace`, or `namespace` in `kustomization.yaml`",
        )
    own = (inventory.namespace, f"{PREFIX}{inventory.name}")
    if (one.group, one.kind) == ("", "ConfigMap") and (
        is_record(resource.body) or (one.namespace, one.name) == own
    ):
        raise UsageError(
            f"{one.label} is the record of an inventory, which is no manifest",
            hint="take it out of the manifests, or give it another name",
        )
    metadata = {
        key: value for key, value in resource.body["metadata"].items() if key not in _THE_CLUSTERS
    }
    if not kind.namespaced and one.namespace:
        # Tools that set a namespace everywhere set it here too; the cluster would drop it.
        one = ResourceId(group=one.group, kind=one.kind, namespace="", name=one.name)
        metadata.pop("namespace", None)
    metadata["labels"] = {**(metadata.get("labels") or {}), **inventory.labels}
    body = {key: value for key, value in resource.body.items() if key != "status"}
    body["metadata"] = metadata
    if (one.group, one.kind, one.namespace, one.name) in scaled and isinstance(
        body.get("spec"), dict
    ):
        body["spec"] = {key: value for key, value in body["spec"].items() if key != "replicas"}
    if (one.group, one.kind) == ("", "Secret") and body.get("stringData"):
        if not isinstance(body.get("data") or {}, dict):
            raise UsageError(f"{one.label}: `data` is no mapping", hint="write one key a line")
        body["data"] = {**(body.get("data") or {}), **_encoded(one, body.pop("stringData"))}
    return Desired(one, kind, body, _digest(body))


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(body, order="sorted"), digest_size=9).hexdigest()


def _encoded(one: ResourceId, texts: Any) -> dict[str, str]:
    if not isinstance(texts, dict):
        raise UsageError(f"{one.label}: `stringData` is no mapping", hint="write one key a line")
    wrong = [key for key, text in texts.items() if not isinstance(text, str)]
    if wrong:
        raise UsageError(
            f"{one.label}: what is behind `stringData.{wrong[0]}` is no text",
            hint="write it in quotes",
        )
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}


def _scaled(resources: Iterable[Resource]) -> frozenset[tuple[str, str, str, str]]:
    """Return group, kind, namespace and name of what autoscalers rule."""
    found = set()
    for resource in resources:
        if (resource.id.group, resource.id.kind) != ("autoscaling", "HorizontalPodAutoscaler"):
            continue
        spec = resource.body.get("spec")
        target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
        if not isinstance(target, dict):
            continue  # the cluster says what is wrong with it
        group = str(target.get("apiVersion", "")).rpartition("/")[0]
        kind, name = str(target.get("kind", "")), str(target.get("name", ""))
        found.add((group, kind, resource.id.namespace, name))
    return frozenset(found)
