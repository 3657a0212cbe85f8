"""Whose an object is: labels, field managers, and what kubectl left behind (Server-Side Apply). Pure.

An object is ours when its labels name our inventory *and* the cluster's own books say that our manager applied it.
Labels alone prove nothing: operators copy them to what they make (fluxcd/kustomize-controller#410).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


MANAGER = "lockgate"
"""Name under which the cluster keeps our fields."""
HANDOVER = "lockgate-handover"
"""Name under which a field is kept that we give up and that must keep its value."""

GROUP = "lockgate.dev"
NAME_LABEL = f"{GROUP}/inventory"
NAMESPACE_LABEL = f"{GROUP}/inventory-namespace"
PRUNE = f"{GROUP}/prune"
"""Annotation of an object that is never to be deleted: `lockgate.dev/prune: disabled`."""
DISABLED = "disabled"

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_RESIDUE = (("kubectl-client-side-apply", "Update"), ("before-first-apply", "Update"))
"""What `kubectl apply` leaves; its fields become ours without asking, since it said the same as we do."""
_KUBECTL = (("kubectl", "Apply"), ("kubectl", "Update"))
"""What somebody did on purpose; its fields become ours with `--take-over` only."""


class Owner(NamedTuple):
    """An inventory, by where its record lies."""

    namespace: str
    name: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels of every object of it."""
        return {NAME_LABEL: self.name, NAMESPACE_LABEL: self.namespace}

    @property
    def selector(self) -> str:
        """The same as a selector of lists."""
        return f"{NAME_LABEL}={self.name},{NAMESPACE_LABEL}={self.namespace}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def owner(body: Mapping[str, Any]) -> Owner | None:
    """Return the inventory that an object's labels name."""
    labels = body["metadata"].get("labels") or {}
    name = labels.get(NAME_LABEL)
    return Owner(labels.get(NAMESPACE_LABEL, ""), name) if name else None


def entry(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what the cluster's books say of our manager; None when it never applied the object."""
    for one in body["metadata"].get("managedFields") or ():
        if (
            one.get("manager") == MANAGER
            and one.get("operation") == "Apply"
            and not one.get("subresource")
        ):
            found: Mapping[str, Any] = one
            return found
    return None


def is_ours(body: Mapping[str, Any], inventory: Owner) -> bool:
    """Return whether an object belongs to an inventory: by its labels and by its fields."""
    return owner(body) == inventory and entry(body) is not None


def is_kept(body: Mapping[str, Any]) -> bool:
    """Return whether an object is marked as never to be deleted."""
    annotations = body["metadata"].get("annotations") or {}
    return bool(annotations.get(PRUNE) == DISABLED)


def token(digest: str, body: Mapping[str, Any]) -> str:
    """Return what proves, later, that nobody touched what we applied; empty when nothing does.

    It is the digest of what was applied, and one of which object it is and of the books on our fields. When
    somebody changes one of our fields, the API server takes it from our entry in the books (Server-Side Apply,
    "Managed fields"); when somebody applies under our name, the entry's time changes. That is in whole seconds, so
    the record forgets a proof before the object is written again (`inventory.intended`).

    Args:
        digest: of what was applied.
        body: the object as the cluster returned it.
    """
    books = entry(body)
    metadata = body["metadata"]
    if books is None or metadata.get("deletionTimestamp"):
        return ""
    known = msgspec.json.encode([metadata["uid"], books], order="sorted")
    return f"{digest}.{hashlib.blake2b(known, digest_size=9).hexdigest()}"


def is_untouched(seen: str, body: Mapping[str, Any]) -> bool:
    """Return whether an object is as it was when `seen` was made, whatever should be by now."""
    return bool(seen) and seen == token(seen.partition(".")[0], body)


def is_outdated(body: Mapping[str, Any], served: Callable[[str], bool]) -> bool:
    """Return whether the books name a version that is served no more.

    Where a CustomResourceDefinition has dropped it, the cluster cannot apply the object then.

    Args:
        body: the object.
        served: whether its kind is served in an `apiVersion`.
    """
    managed = body["metadata"].get("managedFields") or ()
    return any(not served(one.get("apiVersion", "")) for one in managed)


def cleanup(
    body: Mapping[str, Any],
    desired: Mapping[str, Any],
    *,
    take_over: bool,
    served: Callable[[str], bool] | None = None,
) -> list[dict[str, Any]]:
    """Return the JSON patch that makes an object ready for our apply; empty when it is.

    kubectl's annotation goes, kubectl's fields become ours, so that what the manifest no longer has goes too.
    A number of replicas that was ours and now is an autoscaler's is put in other hands, since the cluster would
    set it to 1 the moment that nobody owns it; it is taken back when the manifest has one again.

    Args:
        body: the object as it is.
        desired: what is applied after.
        take_over: take what somebody applied with kubectl on the server's side, too.
        served: whether its kind is served in an `apiVersion`; given when the object is outdated. The fields of such
            a version are kept under the same names in the object's own, since nobody could apply it else, and the
            next write by anybody would lose all the books.
    """
    metadata = body["metadata"]
    held: list[dict[str, Any]] = list(metadata.get("managedFields") or ())
    managed = held
    if served is not None:
        managed = _renamed(held, body["apiVersion"], served)
    absorbed = _RESIDUE + (_KUBECTL if take_over else ())
    residue = [
        one
        for one in managed
        if (one.get("manager"), one.get("operation")) in absorbed and not one.get("subresource")
    ]
    changed = _hand_replicas(managed, desired)
    if residue:
        changed = _absorb(changed, residue, body["apiVersion"])
    patch: list[dict[str, Any]] = []
    if changed != held:
        patch.append({"op": "replace", "path": "/metadata/managedFields", "value": changed})
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        path = "/metadata/annotations/" + LAST_APPLIED.replace("/", "~1")
        patch.append({"op": "remove", "path": path})
    if patch:
        # Naming the version makes it a conflict when somebody changed the object since.
        version = {"path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
        patch.insert(0, {"op": "replace", **version})
    return patch


def conflicts_are_residue(causes: tuple[tuple[str, str, str], ...]) -> bool:
    """Return whether every conflict is with what `kubectl apply` left, or with what we gave up ourselves."""
    names = {HANDOVER, *(name for name, _ in _RESIDUE)}
    return bool(causes) and all(any(f'"{name}"' in text for name in names) for _, _, text in causes)


def _renamed(
    managed: list[dict[str, Any]], api_version: str, served: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """Return the books without versions that are served no more; equal entries are united."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in managed:
        version = one.get("apiVersion", "")
        version = version if served(version) else api_version
        # A write without a name and without a User-Agent has no manager (ManagedFieldsEntry).
        key = (
            one.get("manager", ""),
            one.get("operation", ""),
            version,
            one.get("subresource", ""),
        )
        fields = one.get("fieldsV1") or {}
        if key in found:
            fields = _union(found[key]["fieldsV1"], fields)
        found[key] = {**one, "apiVersion": version, "fieldsV1": fields}
    return list(found.values())


def _absorb(
    managed: list[dict[str, Any]], residue: list[dict[str, Any]], api_version: str
) -> list[dict[str, Any]]:
    """Return the books with `residue` merged into our entry.

    Fields of one version stay in it, since the cluster converts them. Those of several are united by their names.
    """
    own = next((one for one in managed if _is_own(one)), None)
    versions = {one["apiVersion"] for one in residue}
    if own is None and len(versions) == 1:
        (api_version,) = versions
    fields: Any = own["fieldsV1"] if own else {}
    for one in residue:
        fields = _union(fields, one.get("fieldsV1") or {})
    merged = {
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": own["apiVersion"] if own else api_version,
        "time": (own or residue[0]).get("time"),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return [one for one in managed if one not in residue and one is not own] + [merged]


def _is_own(one: Mapping[str, Any]) -> bool:
    return one.get("manager") == MANAGER and one.get("operation") == "Apply"


def _union(one: Any, other: Any) -> Any:
    """Unite two sets of fields (FieldsV1 is a tree of them)."""
    return {
        key: _union(one.get(key, {}), other.get(key, {}))
        for key in [*one, *(k for k in other if k not in one)]
    }


def _hand_replicas(
    managed: list[dict[str, Any]], desired: Mapping[str, Any]
) -> list[dict[str, Any]]:
    spec = desired.get("spec")
    if not isinstance(spec, dict):
        return managed
    if "replicas" in spec:
        return [one for one in managed if one.get("manager") != HANDOVER]
    holders = [
        one for one in managed if "f:replicas" in ((one.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    if len(holders) != 1 or not _is_own(holders[0]):
        return managed
    given = {
        **holders[0],
        "manager": HANDOVER,
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    return [*managed, given]


def describe(body: Mapping[str, Any], inventory: Owner) -> str:
    """Say why an object is not ours, for people."""
    other = owner(body)
    if other is not None and other != inventory:
        return f"belongs to the inventory {other}"
    if other is None:
        return "has none of our labels"
    return "has our labels and was not applied by us: somebody copied them"
