"""Which kinds a cluster serves, and under which path (apidiscovery.k8s.io/v2). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from lockgate.base.canonical import Foreign
from lockgate.base.errors import ClusterError, UsageError
from lockgate.base.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lockgate.config.resource import ResourceId

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""Kubernetes 1.30 and later; 1.27 to 1.29 have it as v2beta1."""
ACCEPT_OLDER = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind in one version, as the cluster serves it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` of the core."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the path of one object, of the collection in a namespace, or of the one in all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


class _Resource(Foreign, frozen=True, rename="camel"):
    resource: str
    scope: str = ""
    response_kind: dict[str, str] | None = None
    verbs: tuple[str, ...] | None = None


class _Version(Foreign, frozen=True):
    version: str
    resources: tuple[_Resource, ...] | None = None


class _Named(Foreign, frozen=True):
    name: str = ""


class _Group(Foreign, frozen=True):
    metadata: _Named = _Named()
    versions: tuple[_Version, ...] = ()


class _Groups(Foreign, frozen=True):
    kind: str
    items: tuple[_Group, ...] = ()


class Kinds:
    """What a cluster serves."""

    def __init__(self, served: Iterable[Kind]) -> None:
        self._versions: dict[tuple[str, str], dict[str, Kind]] = {}
        for one in served:
            # Versions come in the order of the server's preference; the first one stays the first.
            self._versions.setdefault((one.group, one.kind), {}).setdefault(one.version, one)

    @property
    def preferred(self) -> list[Kind]:
        """Every kind, in the version that the server prefers."""
        return [next(iter(versions.values())) for versions in self._versions.values()]

    def find(self, group: str, kind: str, version: str = "") -> Kind | None:
        """Return a kind; without a version in the one that the server prefers."""
        versions = self._versions.get((group, kind), {})
        return versions.get(version) if version else next(iter(versions.values()), None)

    def versions(self, group: str, kind: str) -> tuple[Kind, ...]:
        """Return a kind in every version in which it is served, the preferred one first."""
        return tuple(self._versions.get((group, kind), {}).values())

    def serves(self, kind: Kind) -> Callable[[str], bool]:
        """Return a function that says whether a kind is served in an `apiVersion`; of other groups it knows nothing."""

        def serves(api_version: str) -> bool:
            group, _, version = api_version.rpartition("/")
            return group != kind.group or self.find(group, kind.kind, version) is not None

        return serves

    def of(self, one: ResourceId, api_version: str) -> Kind:
        """Return the kind of an object.

        Raises:
            UsageError: the cluster does not serve it; what it serves instead is named.
        """
        version = api_version.rpartition("/")[2]
        found = self.find(one.group, one.kind, version)
        if found is not None:
            return found
        raise UsageError(
            f"{one.label}: the cluster does not know {one.kind} of {api_version}",
            hint=self._instead(one),
        )

    def _instead(self, one: ResourceId) -> str:
        """Return what helps where a kind is not served: another version, another spelling, or its definition."""
        others = self._versions.get((one.group, one.kind))
        if others:
            return f"it serves it as {', '.join(kind.api_version for kind in others.values())}"
        meant = nearest(
            one.kind, sorted(kind for group, kind in self._versions if group == one.group)
        )
        bring = "bring its CustomResourceDefinition in the same artifact, or install what brings it"
        # No definition can bring a kind into the core group.
        return " ".join(part for part in (meant, bring if one.group or not meant else "") if part)

    def with_definitions(self, definitions: Iterable[Mapping[str, Any]]) -> Kinds:
        """Return these and the kinds that CustomResourceDefinitions bring, where they are not served yet."""
        own = [kind for versions in self._versions.values() for kind in versions.values()]
        return Kinds([*own, *(kind for one in definitions for kind in kinds_of(one))])


def parse(body: bytes) -> list[Kind]:
    """Read one discovery document.

    Raises:
        ClusterError: it is another document: the cluster is older than Kubernetes 1.27.
    """
    try:
        found = msgspec.json.decode(body, type=_Groups)
    except msgspec.MsgspecError:
        found = _Groups(kind="")
    if found.kind != "APIGroupDiscoveryList":
        raise ClusterError(
            "the cluster does not list its kinds in the way of Kubernetes 1.27 and later",
            hint="check that the address is an API server's: `kubectl version`",
        )
    return [
        Kind(
            group=group.metadata.name,
            version=version.version,
            kind=(one.response_kind or {}).get("kind", ""),
            plural=one.resource,
            namespaced=one.scope == "Namespaced",
            verbs=frozenset(one.verbs or ()),
        )
        for group in found.items
        for version in group.versions
        for one in version.resources or ()
    ]


def kinds_of(definition: Mapping[str, Any]) -> list[Kind]:
    """Return the kinds that one CustomResourceDefinition brings; none when it is not whole."""
    spec = _mapping(definition.get("spec"))
    names, versions = _mapping(spec.get("names")), spec.get("versions")
    return [
        Kind(
            group=str(spec.get("group", "")),
            version=str(version.get("name", "")),
            kind=str(names.get("kind", "")),
            plural=str(names.get("plural", "")),
            namespaced=spec.get("scope") == "Namespaced",
            verbs=frozenset(("get", "list", "watch", "create", "patch", "delete", "update")),
        )
        for version in map(_mapping, versions if isinstance(versions, list) else ())
        if version.get("served")
    ]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
