"""Look: what is there, what should be, and what would change. Nothing is written.

For each kind and namespace one list of the objects that carry our labels; then one dry run for each object of which
nothing proves that it is as it should be. The proof is in the cluster's own books (`ownership.token`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import ClusterError, Conflict, Immutable, LockgateError, Rejected
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import crew, immutable, ownership
from lockgate.deploy.kube.client import is_secret
from lockgate.deploy.kube.configmap import is_record
from lockgate.deploy.kube.drift import differences, has_drifted
from lockgate.deploy.kube.model import Action, Change
from lockgate.deploy.kube.ready import state_of
from lockgate.deploy.kube.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lockgate.deploy.kube.answers import Body
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.desired import Desired
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.inventory import Entry, Inventory
    from lockgate.deploy.kube.model import Options
    from lockgate.deploy.kube.ownership import Owner

_SHOWN = 10
"""Refusals that one message names."""


@dataclass(slots=True)
class Finding:
    """What was found out about one object that should be."""

    desired: Desired
    action: Action
    note: str = ""
    differences: tuple[str, ...] = ()
    token: str = ""
    """What proves that it is as it should be, when it is."""
    replaced: Body | None = None
    """The object that is there, when it is to be made anew."""
    cleanup: list[dict[str, Any]] = field(default_factory=list)
    """JSON patch that goes before the apply."""
    served: Callable[[str], bool] | None = None
    """Whether its kind is served in a version, when its books name one in which it is not."""
    waits_for: str = ""
    """The definition that must exist before the cluster can be asked; empty when it was."""
    is_ready: bool = False
    """Whether an unchanged object is ready."""

    @property
    def change(self) -> Change:
        """The line about it."""
        return Change(
            id=self.desired.id, action=self.action, note=self.note, differences=self.differences
        )


@dataclass(slots=True)
class Live:
    """What was seen of the objects that carry our labels."""

    bodies: dict[ResourceId, Body] = field(default_factory=dict)
    """Those that need a closer look."""
    proven: dict[ResourceId, bool] = field(default_factory=dict)
    """Those that are as they should be, and whether they are ready."""
    unrecorded: set[str] = field(default_factory=set)
    """Those that are ours and that the record does not name in any version of their kind: `ConfigMap/shop/web`."""


class Looker:
    """Asks one cluster about one inventory."""

    def __init__(
        self,
        client: Client,
        owner: Owner,
        options: Options,
        now: Callable[[], float],
    ) -> None:
        self._client, self._owner, self._options, self._now = client, owner, options, now

    def live(
        self, desired: Sequence[Desired], known: Inventory, stale: Sequence[tuple[Entry, Kind]]
    ) -> Live:
        """List the objects of the inventory, by kind and namespace.

        Args:
            desired: what should be.
            known: the record.
            stale: entries that should not be, with their kinds.
        """
        wanted = {one.id: one for one in desired}
        entries = {one.id: one for one in known.entries}
        leftover = {entry.id for entry, _ in stale}
        groups: dict[tuple[Kind, str], set[ResourceId]] = {}
        for one in desired:
            groups.setdefault((one.kind, one.id.namespace), set()).add(one.id)
        for entry, kind in stale:
            groups.setdefault((kind, entry.id.namespace), set()).add(entry.id)
        found = Live()

        def look(group: tuple[Kind, str]) -> None:
            kind, namespace = group
            for body in self._labelled(kind, namespace):
                name = body["metadata"]["name"]
                one = ResourceId(group=kind.group, kind=kind.kind, namespace=namespace, name=name)
                entry = entries.get(one)
                if entry is None and ownership.is_ours(body, self._owner):
                    found.unrecorded.add(one.label)
                if one not in groups[group]:
                    continue  # where it is looked for, it is listed in another version of its kind
                target = wanted.get(one)
                if (
                    target is not None
                    and entry is not None
                    and self._is_proven(target, entry, body)
                ):
                    found.proven[one] = self._is_ready(body)
                elif target is not None or one in leftover:
                    found.bodies[one] = body

        for _ in crew.each(look, groups, workers=self._options.workers):
            pass
        return found

    def _is_proven(self, target: Desired, entry: Entry, body: Body) -> bool:
        """Return whether nobody touched an object since exactly this was applied."""
        return (
            not self._options.details
            and bool(entry.seen)
            and entry.seen == ownership.token(target.digest, body)
        )

    def _labelled(self, kind: Kind, namespace: str) -> Iterable[Body]:
        try:
            for page in self._client.pages(kind, namespace, selector=self._owner.selector):
                for body in page.items:
                    body.setdefault("apiVersion", kind.api_version)
                    body.setdefault("kind", kind.kind)
                    yield body
        except ClusterError as error:
            if error.status != 404:  # a kind whose definition does not exist yet
                raise

    def _is_ready(self, body: Body) -> bool:
        return state_of(body, now=self._now(), rules=self._options.rules).is_ready

    def findings(
        self,
        desired: Sequence[Desired],
        live: Live,
        waits: Mapping[ResourceId, str],
        elsewhere: str = "",
    ) -> list[Finding]:
        """Say of each object what would happen to it.

        Args:
            desired: what should be, in apply order.
            live: what was seen.
            waits: objects that the cluster cannot be asked about yet, with what they wait for.
            elsewhere: a namespace that exists, to try those in that wait for nothing but theirs.

        Raises:
            Rejected, Conflict, Forbidden, Immutable: objects that could not be applied; all are named.
        """
        found: dict[ResourceId, Finding] = {}
        ask: list[Desired] = []
        for one in desired:
            if one.id in live.proven:
                found[one.id] = Finding(one, "unchanged", is_ready=live.proven[one.id])
            elif one.id in waits:
                found[one.id] = Finding(
                    one, "created", note=f"after {waits[one.id]}", waits_for=waits[one.id]
                )
                if elsewhere and waits[one.id] == f"Namespace/{one.id.namespace}":
                    ask.append(one)
            else:
                ask.append(one)

        def look(one: Desired) -> Finding | LockgateError:
            return self._result(one, live.bodies.get(one.id), found.get(one.id), elsewhere)

        refused: list[LockgateError] = []
        for one, result in crew.each(look, ask, workers=self._options.workers):
            if isinstance(result, Finding):
                found[one.id] = result
            else:
                refused.append(result)
        if refused:
            raise _together(refused)
        return [found[one.id] for one in desired]

    def _result(
        self, one: Desired, live: Body | None, waiting: Finding | None, elsewhere: str
    ) -> Finding | LockgateError:
        """Return what would happen to an object, or why it could not be applied."""
        try:
            if waiting is None:
                return self._ask(one, live)
            rehearse(self._client, one, elsewhere)
        except (Rejected, Conflict, Immutable) as error:
            return error
        return waiting

    def _ask(self, one: Desired, live: Body | None) -> Finding:
        """Let the server say what an apply would do.

        `live` is None for an object without our labels, which may exist all the same.
        """
        force, cleanup = self._options.take_over, []
        try:
            wanted = self._client.apply(one.kind, one.id, one.body, dry_run=True, force=force)
        except Conflict as error:
            if not ownership.conflicts_are_residue(error.causes):
                raise
            wanted = self._client.apply(one.kind, one.id, one.body, dry_run=True, force=True)
        except Rejected as error:
            if error.status != 422:
                raise
            return self._replacement(one, live, error)
        except ClusterError as error:
            if error.status != 500:
                raise
            return self._outdated(one, live or self._client.get(one.kind, one.id), error)
        if wanted.created:
            return Finding(one, "created")
        live = live or self._client.get(one.kind, one.id)
        if live is None:
            return Finding(one, "created")
        note = self._adopted(one, live)
        cleanup = ownership.cleanup(live, one.body, take_over=self._options.take_over)
        if not note and not cleanup and not has_drifted(live, wanted.body):
            token = ownership.token(one.digest, live)
            return Finding(one, "unchanged", token=token, is_ready=self._is_ready(live))
        lines = differences(live, wanted.body, secret=is_secret(one.id))
        return Finding(
            one,
            "configured",
            note=note or ("" if lines else "which fields are ours"),
            differences=tuple(str(line) for line in lines),
            cleanup=cleanup,
        )

    def _outdated(self, one: Desired, live: Body | None, error: ClusterError) -> Finding:
        """Return what happens to an object of which the cluster cannot say it, until its books are put in order.

        Raises:
            ClusterError: that is not the reason.
        """
        served = self._client.kinds.serves(one.kind)
        if live is None or not ownership.is_outdated(live, served):
            raise error
        known = "its books name a version that is served no more"
        return Finding(
            one,
            "configured",
            note=", ".join(part for part in (self._adopted(one, live), known) if part),
            cleanup=ownership.cleanup(
                live, one.body, take_over=self._options.take_over, served=served
            ),
            served=served,
        )

    def _adopted(self, one: Desired, live: Body) -> str:
        """Say whose an object was; nothing when it is ours.

        Raises:
            Conflict: it is another inventory's, and nobody said to take it over; or it is the record of one.
        """
        if (one.id.group, one.id.kind) == ("", "ConfigMap") and is_record(live):
            raise Conflict(
                f"{one.id.label} is the record of an inventory, and would be written over",
                hint="give the one of the manifests another name",
            )
        other = ownership.owner(live)
        if other is not None and other != self._owner:
            if not self._options.take_over:
                raise Conflict(
                    f"{one.id.label} belongs to the inventory {other}",
                    hint="remove it there, or add `--take-over` to move it here",
                )
            return f"taken over from the inventory {other}"
        if other is None:
            return "it was there already and becomes ours"
        return ""

    def _check_deletable(self, one: Desired, live: Body) -> None:
        """Refuse to make anew, and so to delete, what is not ours or is never to be deleted.

        Raises:
            Conflict: it is one of these; `--take-over` is for the first.
        """
        if ownership.is_kept(live):
            raise Conflict(
                f"{one.id.label} cannot be changed in place, and is marked {ownership.PRUNE}: "
                f"{ownership.DISABLED}",
                hint="take the annotation away, when it may be deleted and made anew",
            )
        if not ownership.is_ours(live, self._owner) and not self._options.take_over:
            raise Conflict(
                f"{one.id.label} cannot be changed in place, and "
                f"{ownership.describe(live, self._owner)}",
                hint="add `--take-over` to `--force`, when it may be deleted and made anew",
            )

    def _replacement(self, one: Desired, live: Body | None, error: Rejected) -> Finding:
        """Find out whether an object that cannot be changed could be made anew.

        Raises:
            Rejected: it is not valid, whether there is an old one or not.
            Immutable: it could, and nobody said to do so.
        """
        live = live or self._client.get(one.kind, one.id)
        if live is None or not immutable.is_immutable(error):
            raise error
        self._adopted(one, live)
        immutable.prove_valid(self._client, one, error)
        self._check_deletable(one, live)
        fields = ", ".join(sorted({name for _, name, _ in error.causes if name})) or "a field"
        if immutable.is_precious(one.id):
            raise Immutable(
                f"{one.id.label}: {fields} cannot be changed, and to make it anew would delete "
                "everything in it",
                hint=f"save what it holds, then `kubectl delete {immutable.typed(one)}`",
                status=422,
            )
        if not self._options.recreate:
            raise Immutable(
                f"{one.id.label}: {fields} cannot be changed in place",
                hint="add `--force` to delete it and make it anew",
                status=422,
            )
        return Finding(
            one,
            "recreated",
            note=f"{fields} cannot be changed in place",
            replaced=live,
        )


def _together(errors: Sequence[LockgateError]) -> LockgateError:
    """Return one error that names all; of the kind of the first."""
    first = min(errors, key=lambda one: one.message)
    if len(errors) == 1:
        return first
    lines = sorted(one.message for one in errors)
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    first.message = "\n".join(
        [f"{len(lines)} objects cannot be applied; nothing was changed:", *lines[:_SHOWN], *more]
    )
    return first
