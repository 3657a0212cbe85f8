"""The whole look at one inventory: everything that could be refused is refused here, and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import Conflict, Forbidden, InventoryLost, UsageError
from lockgate.config.order import order
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import crew, permissions, prune
from lockgate.deploy.kube.desired import prepare
from lockgate.deploy.kube.discovery import CRD, kinds_of
from lockgate.deploy.kube.look import Finding, Looker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.desired import Desired
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.inventory import Entry
    from lockgate.deploy.kube.model import Change, Options
    from lockgate.deploy.kube.storage import Storage, Stored
    from lockgate.deploy.kube.target import Target, Wanted


@dataclass(slots=True)
class Seen:
    """What a look found."""

    stored: Stored
    desired: tuple[Desired, ...]
    findings: list[Finding]
    stale: list[prune.Stale]
    home: Desired | None = None
    """The inventory's own namespace, when it is among what should be and does not exist."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """The lines, in the order in which they happen."""
        return (*(one.change for one in self.findings), *(one.change for one in self.stale))


def survey(wanted: Wanted, target: Target, options: Options) -> Seen:
    """Find out what would change.

    Raises:
        UsageError: nothing to apply, an unknown kind, a namespace that is named by none or does not exist.
        Forbidden, Rejected, Conflict, Immutable: what could not be applied; all of it is named.
        InventoryLost: the record is gone or unreadable.
        Moved: another run changed the record meanwhile; look again.
        ClusterError: the cluster is out of reach.
    """
    client, workers = target.client, options.workers
    definitions = [one.body for one in wanted.resources if (one.id.group, one.id.kind) == CRD]
    kinds = client.kinds.with_definitions(definitions)
    desired = prepare(order(wanted.resources), target.owner, kinds)
    permissions.check(client, _needs(desired, target, options), workers=workers)
    stored = target.storage.read()
    known = stored.inventory
    ids = {one.id for one in desired}
    stale = [(entry, _kind(client, entry)) for entry in known.entries if entry.id not in ids]
    if stale:
        permissions.check(client, _needs_of(stale, options), workers=workers)
    looker = Looker(client, target.owner, options, target.now)
    live = looker.live(desired, known, [(entry, kind) for entry, kind in stale if kind])
    if live.unrecorded:
        _check_lost(live.unrecorded, target.storage, stored)
    first = [one for one in desired if one.is_definition]
    findings = looker.findings(first, live, {})
    missing = _check_namespaces(desired, findings, target, options)
    rest = [one for one in desired if not one.is_definition]
    home = target.owner.namespace
    # There is a namespace `default` in every cluster.
    elsewhere = "default" if home in missing else home
    findings += looker.findings(rest, live, _waits(rest, findings, missing, client), elsewhere)
    return Seen(
        stored,
        desired,
        findings,
        prune.Judge(client, target.owner, options).decide(stale, live.bodies, ids),
        next((one for one in first if one.id.name == home and home in missing), None),
    )


def _kind(client: Client, entry: Entry) -> Kind | None:
    """Return the kind of an entry: in its version, else in the one that is served now (S1.54)."""
    group, kind = entry.id.group, entry.id.kind
    return client.kinds.find(group, kind, entry.version) or client.kinds.find(group, kind)


def _needs(
    desired: Sequence[Desired], target: Target, options: Options
) -> Iterable[permissions.Need]:
    """Yield everything that this run may have to do with what should be, and with the record."""
    verbs: tuple[str, ...] = (*permissions.READ, *permissions.WRITE)
    verbs += (("delete",) if options.recreate else ()) + (("watch",) if options.wait else ())
    for one in desired:
        for verb in verbs:
            yield permissions.Need(verb, one.kind.group, one.kind.plural, one.id.namespace)
    for verb in ("get", "create", "update", "patch"):
        yield permissions.Need(verb, "", "configmaps", target.owner.namespace)


def _needs_of(
    stale: Sequence[tuple[Entry, Kind | None]], options: Options
) -> Iterable[permissions.Need]:
    """Yield everything that this run may have to do with what should not be."""
    for entry, kind in stale:
        for verb in (*permissions.READ, *(("delete",) if options.prune else ())):
            if kind is not None:
                yield permissions.Need(verb, kind.group, kind.plural, entry.id.namespace)


def _check_lost(unrecorded: Iterable[str], storage: Storage, stored: Stored) -> None:
    """Refuse to begin anew where an inventory was, and to go on with one that is not the last that was written.

    An object is recorded before it is made, so one that is not says that the record was lost, or put back. What is
    noticed is an object of a kind, in a namespace, that the artifact or the record has objects of, too.

    Args:
        unrecorded: objects of it that the record does not name.
        storage: its place.
        stored: the record as it was read before the objects were listed.

    Raises:
        InventoryLost: its objects are there.
        Moved: another run wrote the record meanwhile, so they may be that run's; look again.
        Conflict: a ConfigMap of its name has not the labels of a record.
    """
    if storage.version() != stored.version:
        raise storage.moved()
    owner = storage.owner
    # The inventory's own namespace is made before the inventory can be.
    found = sorted(one for one in unrecorded if one != f"Namespace/{owner.namespace}")
    if found:
        what = (
            "does not name objects of it"
            if stored.version
            else "is gone, and objects of it are there"
        )
        raise InventoryLost(
            f"the inventory {owner} {what}: "
            f"{', '.join(found[:5])}{', …' if len(found) > 5 else ''}",
            hint=f"`inv deploy.repair --inventory {owner.name}` writes it anew, with the objects that "
            "carry its labels",
        )


def _check_namespaces(
    desired: Sequence[Desired], definitions: Sequence[Finding], target: Target, options: Options
) -> set[str]:
    """Return the namespaces that this run will make.

    Raises:
        UsageError: one does not exist and is not among what should be.
        Conflict: one is being deleted.
    """
    made = {one.desired.id.name for one in definitions
            if one.desired.id.kind == "Namespace" and one.action == "created"}  # fmt: skip
    named = {one.id.namespace for one in desired if one.id.namespace} | {target.owner.namespace}
    kind = target.client.kinds.find("", "Namespace")

    def get(name: str) -> Mapping[str, Any] | None:
        one = ResourceId(group="", kind="Namespace", namespace="", name=name)
        try:
            return target.client.get(kind, one) if kind else {}
        except Forbidden:
            return {}  # who may not look finds out by the dry runs

    for name, body in crew.each(get, sorted(named - made), workers=options.workers):
        if body is None:
            raise UsageError(
                f"there is no namespace {name!r}",
                hint=f"bring it in the artifact, or `kubectl create namespace {name}`",
            )
        if body and body["metadata"].get("deletionTimestamp"):
            raise Conflict(
                f"the namespace {name!r} is being deleted, so nothing can be made in it",
                hint=f"wait until it is gone: `kubectl wait --for=delete namespace/{name}`",
                status=409,
                reason="NamespaceTerminating",
            )
    return made


def _waits(
    rest: Sequence[Desired], definitions: Sequence[Finding], missing: set[str], client: Client
) -> dict[ResourceId, str]:
    """Return what the cluster cannot be asked about yet, with the definition that it waits for."""
    changing: dict[tuple[str, str], str] = {}
    for finding in definitions:
        if finding.action != "unchanged":
            for kind in kinds_of(finding.desired.body):
                changing[kind.group, kind.kind] = finding.desired.id.label
    found = {}
    for one in rest:
        key = (one.kind.group, one.kind.kind)
        if key in changing or client.kinds.find(*key, one.kind.version) is None:
            found[one.id] = changing.get(key, "its definition")
        elif one.id.namespace in missing:
            found[one.id] = f"Namespace/{one.id.namespace}"
    return found


def is_settled(wanted: Wanted, seen: Seen) -> bool:
    """Return whether there is nothing to do, not even in the record."""
    known = seen.stored.inventory
    tokens = {one.desired.id: one.token for one in seen.findings if one.token}
    return (
        seen.stored.holder is None
        and all(one.action == "unchanged" for one in seen.findings)
        and all(one.action == "skipped" and not one.is_released for one in seen.stale)
        and known.pending is None
        and known.current is not None
        and known.current.artifact == wanted.artifact
        and len(known.entries) == len(seen.findings) + len(seen.stale)
        and all(one.stale == (one.id in {s.entry.id for s in seen.stale}) for one in known.entries)
        and all(tokens.get(one.id, one.seen) == one.seen for one in known.entries)
    )
