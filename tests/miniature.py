"""An API server in memory: objects, versions, and who owns which field, as server-side apply has it.

It keeps the promises that `tests/contract.py` lists, which the real API server keeps too; nothing more. It knows a
handful of kinds and those that CustomResourceDefinitions bring.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from lockgate.deploy.kube.connection import Answer
from lockgate.deploy.kube.discovery import Kind, kinds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALL = frozenset(("get", "list", "watch", "create", "patch", "update", "delete"))

KINDS = [
    Kind("", "v1", "ConfigMap", "configmaps", True, _ALL),
    Kind("", "v1", "Secret", "secrets", True, _ALL),
    Kind("", "v1", "Namespace", "namespaces", False, _ALL),
    Kind("", "v1", "Service", "services", True, _ALL),
    Kind("apps", "v1", "Deployment", "deployments", True, _ALL),
    Kind("batch", "v1", "Job", "jobs", True, _ALL),
    Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True, _ALL),
    Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False, _ALL),
    Kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", False, _ALL),
]  # fmt: skip

_MAPS = {"containers": "name", "ports": "containerPort", "env": "name"}
"""Lists whose items are told apart by a field."""
_KNOWN = {"ConfigMap": {"data", "binaryData", "immutable"}, "Secret": {"data", "type", "immutable"}}
"""Fields of kinds, beside those that all have."""

Path = tuple[str, ...]


class _Refused(Exception):
    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        causes: list[dict[str, str]] | None = None,
        name: str = "",
    ) -> None:
        super().__init__(message)
        self.body = {
            "kind": "Status", "code": code, "reason": reason, "message": message,
            "details": {"name": name, "causes": causes or []},
        }  # fmt: skip
        self.code = code


@dataclass
class Miniature:
    """The API server."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    denied: set[str] = field(default_factory=set)
    """Verbs that nobody may use."""
    failing: int = 0
    """How many of the next requests are answered with 503."""

    def __post_init__(self) -> None:
        self._objects: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self._time = itertools.count(1)
        self.kinds = list(KINDS)
        self.put("Namespace", "", "default")

    # what tests look at and change

    def put(self, kind: str, namespace: str, name: str, **content: Any) -> dict[str, Any]:
        """Make an object as if a controller did."""
        served = next(one for one in self.kinds if one.kind == kind)
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        body = {"apiVersion": served.api_version, "kind": kind, "metadata": metadata, **content}
        return self._store(served, body, manager="controller", operation="Update")

    def find(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object as it is."""
        served = next(one for one in self.kinds if one.kind == kind)
        return self._objects.get((served.group, kind, namespace, name))

    def update(self, kind: str, namespace: str, name: str, manager: str, **content: Any) -> None:
        """Change top-level fields as somebody else would."""
        served = next(one for one in self.kinds if one.kind == kind)
        live = self._objects[served.group, kind, namespace, name]
        self._change(live, content, manager)

    @property
    def writes(self) -> int:
        """How many requests would change something."""
        return sum(
            method != "GET" and "dryRun" not in path and "authorization" not in path
            for method, path in self.requests
        )

    # the transport

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        media: str = "",
        accept: str = "",  # noqa: ARG002 - everything is JSON here
    ) -> Answer:
        """Answer one request."""
        self.requests.append((method, path))
        if self.failing:
            self.failing -= 1
            return Answer(
                503, {}, b'{"kind":"Status","reason":"ServiceUnavailable","message":"no"}'
            )
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            code, answer = self._answer(method, parts.path, query, body, media)
        except _Refused as error:
            code, answer = error.code, error.body
        return Answer(code, {}, json.dumps(answer).encode())

    def lines(self, path: str, *, until: float) -> Iterator[bytes]:  # noqa: ARG002 - it ends at once
        """Nothing happens here on its own, so a watch ends at once."""
        self.requests.append(("GET", path))
        return iter(())

    def _answer(
        self, method: str, path: str, query: dict[str, str], data: bytes, media: str
    ) -> tuple[int, Any]:
        if path in ("/api", "/apis"):
            return 200, self._discovery(core=path == "/api")
        if path.startswith("/apis/authorization.k8s.io"):
            return 201, {"status": self._review(json.loads(data)["spec"])}
        kind, namespace, name = self._route(path)
        verb = {"GET": "get" if name else "list", "POST": "create", "PUT": "update"}.get(
            method, method.lower()
        )
        if verb in self.denied:
            text = f'{kind.plural} is forbidden: User "x" cannot {verb} resource "{kind.plural}"'
            raise _Refused(403, "Forbidden", text)
        key = (kind.group, kind.kind, namespace, name)
        if method == "GET" and not name:
            return 200, self._list(kind, namespace, query)
        body = json.loads(data) if data else {}
        if method == "POST":
            return 201, self._create(kind, namespace, body, dry_run="dryRun" in query)
        if method == "PATCH" and media == "application/apply-patch+yaml":
            return self._apply(kind, key, body, query)
        live = self._objects.get(key)
        if live is None:
            raise _Refused(404, "NotFound", f'{kind.plural} "{name}" not found', name=name)
        if method == "GET":
            return 200, live
        if method == "DELETE":
            return 200, self._delete(key, live, body.get("preconditions") or {})
        return 200, self._write(live, body, method)

    def _route(self, path: str) -> tuple[Kind, str, str]:
        found = re.fullmatch(
            r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]*)"
            r"(?:/namespaces/(?P<space>[^/]+)(?=/[^/]))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?",
            path,
        )
        for one in self.kinds:
            if found and (one.group, one.version, one.plural) == (
                found["group"] or "", found["version"], found["plural"],
            ):  # fmt: skip
                return one, found["space"] or "", found["name"] or ""
        raise _Refused(404, "NotFound", "the server could not find the requested resource")

    def _discovery(self, *, core: bool) -> dict[str, Any]:
        groups: dict[str, dict[str, list[Kind]]] = {}
        for one in self.kinds:
            if (one.group == "") == core:
                groups.setdefault(one.group, {}).setdefault(one.version, []).append(one)
        return {
            "kind": "APIGroupDiscoveryList",
            "items": [
                {
                    "metadata": {"name": group},
                    "versions": [
                        {
                            "version": version,
                            "resources": [
                                {
                                    "resource": one.plural,
                                    "scope": "Namespaced" if one.namespaced else "Cluster",
                                    "responseKind": {"kind": one.kind},
                                    "verbs": sorted(one.verbs),
                                }
                                for one in kinds
                            ],
                        }
                        for version, kinds in versions.items()
                    ],
                }
                for group, versions in groups.items()
            ],
        }

    def _review(self, spec: dict[str, Any]) -> dict[str, Any]:
        if "namespace" in spec:
            rules = [{"verbs": sorted(_ALL - self.denied), "apiGroups": ["*"], "resources": ["*"]}]
            return {"resourceRules": rules}
        verb = spec["resourceAttributes"]["verb"]
        return {"allowed": not self.denied if verb == "*" else verb not in self.denied}

    def _list(self, kind: Kind, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        wanted = dict(one.split("=", 1) for one in query.get("labelSelector", "").split(",") if one)
        found = [
            body
            for (group, name, space, _), body in sorted(self._objects.items())
            if (group, name) == (kind.group, kind.kind)
            and (not namespace or space == namespace)
            and wanted.items() <= (body["metadata"].get("labels") or {}).items()
        ]
        begin = int(query.get("continue", "0"))
        end = begin + int(query["limit"])
        metadata: dict[str, Any] = {"resourceVersion": "1"}
        if end < len(found):
            metadata |= {"continue": str(end), "remainingItemCount": len(found) - end}
        items = [
            {key: value for key, value in one.items() if key not in ("apiVersion", "kind")}
            for one in found[begin:end]
        ]
        return {"kind": f"{kind.kind}List", "metadata": metadata, "items": items}

    def _create(
        self, kind: Kind, namespace: str, body: dict[str, Any], *, dry_run: bool
    ) -> dict[str, Any]:
        name = body["metadata"]["name"]
        self._check_place(namespace)
        self._check(kind, body)
        if (kind.group, kind.kind, namespace, name) in self._objects:
            raise _Refused(409, "AlreadyExists", f'{kind.plural} "{name}" already exists')
        if dry_run:
            return body
        return self._store(kind, body, manager="lockgate", operation="Update")

    def _store(
        self, kind: Kind, body: dict[str, Any], *, manager: str, operation: str
    ) -> dict[str, Any]:
        made = copy.deepcopy(body)
        metadata = made["metadata"]
        metadata["uid"] = f"uid-{next(self._uids)}"
        metadata["creationTimestamp"] = "2026-11-20T00:00:00Z"
        metadata["generation"] = 1
        metadata["managedFields"] = [
            self._entry(manager, operation, fields(body), made["apiVersion"])
        ]
        if kind.kind == "Namespace":
            made["status"] = {"phase": "Active"}
        if kind.kind == "CustomResourceDefinition":
            made["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
            known = {(one.group, one.version, one.kind) for one in self.kinds}
            brought = kinds_of(made)
            self.kinds += [
                one for one in brought if (one.group, one.version, one.kind) not in known
            ]
        self._touch(made)
        key = (kind.group, kind.kind, metadata.get("namespace", ""), metadata["name"])
        self._objects[key] = made
        return made

    def _touch(self, body: dict[str, Any]) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._versions))

    def _entry(
        self, manager: str, operation: str, owned: set[Path], api_version: str
    ) -> dict[str, Any]:
        return {
            "manager": manager, "operation": operation, "apiVersion": api_version,
            "time": f"2026-11-20T00:00:{next(self._time):02}Z", "fieldsType": "FieldsV1",
            "fieldsV1": tree(owned),
        }  # fmt: skip

    def _check_place(self, namespace: str) -> None:
        space = self._objects.get(("", "Namespace", "", namespace))
        if namespace and space is None:
            raise _Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        if space and space["metadata"].get("deletionTimestamp"):
            causes = [{"reason": "NamespaceTerminating", "message": "", "field": ""}]
            raise _Refused(403, "Forbidden", "it is being terminated", causes)

    def _check(self, kind: Kind, body: dict[str, Any]) -> None:
        """Refuse what is plainly wrong, as the API server says it."""
        known = _KNOWN.get(kind.kind)
        where = f"failed to create typed patch object (x/{body['metadata']['name']}; v1, Kind=x)"
        for name in body:
            if known is not None and name not in (*known, "apiVersion", "kind", "metadata"):
                raise _Refused(500, "", f"{where}: .{name}: field not declared in schema")
        for key, value in (body.get("data") or {}).items():
            if known is not None and not isinstance(value, str):
                raise _Refused(
                    500, "", f"{where}: .data.{key}: expected string, got &value.x{{V:1}}"
                )
        if kind.kind == "Deployment" and (body.get("spec") or {}).get("replicas", 0) < 0:
            causes = [
                {"reason": "FieldValueInvalid", "field": "spec.replicas", "message": "must be ≥ 0"}
            ]
            raise _Refused(422, "Invalid", "spec.replicas: Invalid value", causes)

    def _apply(
        self,
        kind: Kind,
        key: tuple[str, str, str, str],
        body: dict[str, Any],
        query: dict[str, str],
    ) -> tuple[int, Any]:
        self._check_place(key[2])
        self._check(kind, body)
        manager, live = query["fieldManager"], self._objects.get(key)
        dry_run = "dryRun" in query
        if live is None:
            if dry_run:
                return 201, {**copy.deepcopy(body), "metadata": {**body["metadata"], "uid": "dry"}}
            return 201, self._store(kind, body, manager=manager, operation="Apply")
        made = self._merged(copy.deepcopy(live), body, manager, force=query.get("force") == "true")
        if kind.kind == "Job" and get(made, ("spec", "template")) != get(
            live, ("spec", "template")
        ):
            causes = [
                {
                    "reason": "FieldValueInvalid",
                    "field": "spec.template",
                    "message": "field is immutable",
                }
            ]
            raise _Refused(422, "Invalid", "spec.template: field is immutable", causes)
        if dry_run:
            return 200, made
        if made != live:
            if made.get("spec") != live.get("spec"):
                made["metadata"]["generation"] += 1
            self._touch(made)
            self._objects[key] = made
        return 200, self._objects[key]

    def _merged(
        self, live: dict[str, Any], body: dict[str, Any], manager: str, *, force: bool
    ) -> dict[str, Any]:
        owned = fields(body)
        managed = live["metadata"]["managedFields"]
        others = [
            one for one in managed if (one["manager"], one["operation"]) != (manager, "Apply")
        ]
        own = next((one for one in managed if one not in others), None)
        conflicts = [
            (path, one)
            for one in others
            for path in sorted(paths(one["fieldsV1"]))
            if path in owned and get(body, path) != get(live, path)
        ]
        if conflicts and not force:
            causes = [
                {"reason": "FieldManagerConflict", "field": "." + ".".join(path),
                 "message": f'conflict with "{one["manager"]}" using v1'}
                for path, one in conflicts
            ]  # fmt: skip
            raise _Refused(409, "Conflict", "Apply failed with conflicts", causes)
        for path, one in conflicts:
            one["fieldsV1"] = tree(paths(one["fieldsV1"]) - {path})
        elsewhere = {path for one in others for path in paths(one["fieldsV1"])}
        for path in (paths(own["fieldsV1"]) if own else set()) - owned - elsewhere:
            remove(live, path)
        for path in owned:
            put(live, path, get(body, path))
        if own is None or paths(own["fieldsV1"]) != owned or conflicts or get(live, ()) is None:
            own = self._entry(manager, "Apply", owned, body["apiVersion"])
        live["metadata"]["managedFields"] = [one for one in others if one["fieldsV1"]] + [own]
        return live

    def _write(self, live: dict[str, Any], body: Any, method: str) -> dict[str, Any]:
        """PUT, JSON patch or merge patch."""
        if isinstance(body, list):
            changed = copy.deepcopy(live)
            for one in body:
                path = tuple(
                    part.replace("~1", "/").replace("~0", "~")
                    for part in one["path"].split("/")[1:]
                )
                if one["op"] == "remove":
                    remove(changed, path)
                else:
                    put(changed, path, one["value"])
        elif method == "PATCH":
            wanted = body.get("metadata", {}).pop("resourceVersion", None)
            if wanted not in (None, live["metadata"]["resourceVersion"]):
                raise _Refused(409, "Conflict", "the object has been modified")
            self._change(live, body, "patcher")
            return live
        else:
            changed = {**body, "metadata": {**live["metadata"], **body["metadata"]}}
            if changed["metadata"]["managedFields"] == [{}]:
                changed["metadata"]["managedFields"] = []
            # A replacement has the labels and annotations that it says, and no others.
            for name in ("annotations", "labels"):
                changed["metadata"][name] = body["metadata"].get(name) or {}
        if changed["metadata"].get("resourceVersion") != live["metadata"]["resourceVersion"]:
            raise _Refused(409, "Conflict", "the object has been modified")
        live.clear()
        live.update(changed)
        self._touch(live)
        return live

    def _change(self, live: dict[str, Any], content: dict[str, Any], manager: str) -> None:
        """Change an object as an update of another manager does: what it changes becomes its own."""
        body = {key: copy.deepcopy(value) for key, value in live.items()}
        merge(body, content)
        changed = {
            path for path in fields(body) | fields(live) if get(body, path) != get(live, path)
        }
        for one in live["metadata"]["managedFields"]:
            one["fieldsV1"] = tree(paths(one["fieldsV1"]) - changed)
        body["metadata"]["managedFields"] = [
            *live["metadata"]["managedFields"],
            self._entry(manager, "Update", changed & fields(body), live["apiVersion"]),
        ]
        live.clear()
        live.update(body)
        self._touch(live)

    def _delete(
        self, key: tuple[str, str, str, str], live: dict[str, Any], conditions: dict[str, str]
    ) -> dict[str, Any]:
        for name, value in conditions.items():
            if live["metadata"][name] != value:
                raise _Refused(409, "Conflict", f"the {name} in the precondition does not match")
        if live["metadata"].get("finalizers"):
            live["metadata"]["deletionTimestamp"] = "2026-11-20T00:01:00Z"
            self._touch(live)
            return live
        del self._objects[key]
        if key[:2] == ("", "Namespace"):
            for other in [one for one in self._objects if one[2] == key[3]]:
                del self._objects[other]
        return {"kind": "Status", "status": "Success"}


def fields(body: dict[str, Any]) -> set[Path]:
    """Return the paths of the fields of an object, without those that name it and those of the server."""
    found = set(
        _leaves(
            {
                key: value
                for key, value in body.items()
                if key not in ("apiVersion", "kind", "status")
            },
            (),
        )
    )
    return {
        path
        for path in found
        if path[0] != "metadata" or path[1] in ("labels", "annotations", "finalizers")
    }


def _leaves(value: Any, path: Path, name: str = "") -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, f"f:{key}"[2:]), key)
    elif isinstance(value, list) and name in _MAPS and all(_MAPS[name] in one for one in value):
        for one in value:
            yield from _leaves(one, (*path, json.dumps({_MAPS[name]: one[_MAPS[name]]})))
    else:
        yield path


def tree(owned: set[Path]) -> dict[str, Any]:
    """Return paths as FieldsV1."""
    made: dict[str, Any] = {}
    for path in sorted(owned):
        at = made
        for part in path:
            at = at.setdefault(f"k:{part}" if part.startswith("{") else f"f:{part}", {})
    return made


def paths(owned: dict[str, Any], at: Path = ()) -> set[Path]:
    """Return FieldsV1 as paths."""
    found: set[Path] = set()
    for key, inner in owned.items():
        found |= paths(inner, (*at, key[2:])) if inner else {(*at, key[2:])}
    return found


def _step(value: Any, part: str) -> Any:
    if isinstance(value, list) and part.startswith("{"):
        ((key, wanted),) = json.loads(part).items()
        return next((one for one in value if one.get(key) == wanted), None)
    return value.get(part) if isinstance(value, dict) else None


def get(body: Any, path: Path) -> Any:
    """Return what lies at a path; None when nothing does."""
    for part in path:
        body = _step(body, part)
        if body is None:
            return None
    return body


def put(body: dict[str, Any], path: Path, value: Any) -> None:
    """Set what lies at a path."""
    at: Any = body
    for part, follows in itertools.pairwise(path):
        inner = _step(at, part)
        if inner is None:
            if part.startswith("{"):
                at.append(inner := json.loads(part))
            else:
                at[part] = inner = [] if follows.startswith("{") else {}
        at = inner
    at[path[-1]] = copy.deepcopy(value)


def remove(body: dict[str, Any], path: Path) -> None:
    """Remove what lies at a path, and the mappings that are empty then."""
    at = get(body, path[:-1])
    if isinstance(at, dict):
        at.pop(path[-1], None)
        if not at and len(path) > 1 and path[0] != "metadata":
            remove(body, path[:-1])


def merge(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Apply a merge patch (RFC 7396)."""
    for key, value in change.items():
        if value is None:
            body.pop(key, None)
        elif isinstance(value, dict) and isinstance(body.get(key), dict):
            body[key] = merge(dict(body[key]), value)
        else:
            body[key] = copy.deepcopy(value)
    return body
