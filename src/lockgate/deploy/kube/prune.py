"""What an inventory holds and nobody wants any more: judged one by one, then deleted in reverse order.

An object is deleted only when it is still ours, by its labels and by the cluster's books; when nobody marked it as to
be kept; and when it is the very one, and in the very version, that was judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import ClusterError, Conflict, Forbidden, UsageError
from lockgate.config.order import place
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import crew, ownership
from lockgate.deploy.kube.configmap import PREFIX, SELECTOR
from lockgate.deploy.kube.desired import DEFINITIONS
from lockgate.deploy.kube.discovery import CRD
from lockgate.deploy.kube.model import Action, Change
from lockgate.deploy.kube.ownership import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lockgate.deploy.kube.answers import Body
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.inventory import Entry
    from lockgate.deploy.kube.model import Options

_ATTEMPTS = 5
"""How often an object that changes all the time is judged anew."""


@dataclass(slots=True)
class Stale:
    """One entry that should not be, and what becomes of it."""

    entry: Entry
    kind: Kind | None
    action: Action
    note: str = ""
    uid: str = ""
    version: str = ""
    is_released: bool = False
    """Whether it leaves the inventory without being deleted, since it is gone or not ours."""
    cascade: int = 0
    """How many objects go with it that the inventory does not hold."""

    @property
    def stays(self) -> bool:
        """Whether it is there after, and still in the inventory."""
        return self.action == "skipped" and not self.is_released

    @property
    def change(self) -> Change:
        """The line about it."""
        count = "1 object" if self.cascade == 1 else f"{self.cascade} objects"
        more = f"and {count} with it" if self.cascade else ""
        return Change(
            id=self.entry.id,
            action=self.action,
            note=", ".join(part for part in (self.note, more) if part),
        )


class Judge:
    """Decides about stale entries of one inventory."""

    def __init__(
        self, client: Client, owner: Owner, options: Options, *, spares_home: bool = True
    ) -> None:
        self._client, self._owner, self._options = client, owner, options
        self._spares_home = spares_home

    def decide(
        self,
        stale: Sequence[tuple[Entry, Kind | None]],
        bodies: dict[ResourceId, Body],
        wanted: Iterable[ResourceId] = (),
    ) -> list[Stale]:
        """Judge entries, in the order of deletion.

        Args:
            stale: entries with their kinds; None for a kind that is not served.
            bodies: objects that carry our labels; others are asked for.
            wanted: what should be; where one of these lies stays.
        """

        def judge(pair: tuple[Entry, Kind | None]) -> Stale:
            entry, kind = pair
            if kind is None:
                return self._unserved(entry)
            return self.judge(entry, kind, bodies.get(entry.id) or self._client.get(kind, entry.id))

        found = [one for _, one in crew.each(judge, stale, workers=self._options.workers)]
        stay = [*wanted, *(one.entry.id for one in found if one.stays)]
        for one in found:
            if one.action == "deleted" and not one.is_released and not self.spare(one, stay):
                self._spare_others(one)
        ids = {one.entry.id for one in found if one.action == "deleted"}
        for one in found:
            if one.action == "deleted" and not one.is_released:
                one.cascade = self._cascade(one, ids)
        return sorted(found, key=lambda one: place(one.entry.id), reverse=True)

    def spare(self, one: Stale, stay: Iterable[ResourceId]) -> bool:
        """Leave a namespace or a definition that would take with it what stays; return whether it is left."""
        if (one.entry.id.group, one.entry.id.kind) not in DEFINITIONS:
            return False  # asked of thousands of objects
        held = next((each for each in stay if self._lies_in(each, one.entry.id)), None)
        if held is not None:
            one.action, one.note = "skipped", f"{held.label} lies in it, and stays"
        return held is not None

    def _spare_others(self, one: Stale) -> None:
        """Leave a namespace that another inventory lies in: with it everything that was deployed there would go."""
        served = self._client.kinds.find("", "ConfigMap")
        if (one.entry.id.group, one.entry.id.kind) != ("", "Namespace") or served is None:
            return
        namespace = one.entry.id.name
        for page in self._client.pages(served, namespace, selector=SELECTOR, only_metadata=True):
            for body in page.items:
                name = body["metadata"]["name"].removeprefix(PREFIX)
                if Owner(namespace, name) != self._owner:
                    one.action, one.note = "skipped", f"the inventory {name} lies in it"
                    return

    def _lies_in(self, one: ResourceId, holder: ResourceId) -> bool:
        if (holder.group, holder.kind) == ("", "Namespace"):
            return one.namespace == holder.name
        plural, _, group = holder.name.partition(".")
        served = self._client.kinds.find(one.group, one.kind)
        return group == one.group and (served is None or served.plural == plural)

    def judge(self, entry: Entry, kind: Kind, body: Body | None) -> Stale:
        """Judge one entry by the object as it is now."""
        if body is None:
            return Stale(entry, kind, "deleted", "was gone already", is_released=True)
        metadata = body["metadata"]
        common = {"uid": metadata["uid"], "version": metadata["resourceVersion"]}
        if not ownership.is_ours(body, self._owner):
            why = ownership.describe(body, self._owner)
            return Stale(entry, kind, "skipped", why, is_released=True, **common)
        if ownership.is_kept(body):
            note = f"marked {ownership.PRUNE}: {ownership.DISABLED}"
            return Stale(entry, kind, "skipped", note, **common)
        if self._spares_home and is_home(entry.id, self._owner):
            return Stale(entry, kind, "skipped", "the inventory itself lies in it", **common)
        if not self._options.prune:
            return Stale(entry, kind, "skipped", "no longer in the artifact, --no-prune", **common)
        # Where not even the inventory's own namespace is spared, everything goes, whatever the artifact has.
        why = "no longer in the artifact" if self._spares_home else ""
        note = "is being deleted already" if metadata.get("deletionTimestamp") else why
        return Stale(entry, kind, "deleted", note, **common)

    def _unserved(self, entry: Entry) -> Stale:
        """Judge an entry of a kind that is not served: its definition is gone, or its server is down.

        A server of its own may have gone on to another version since the entry was written, and be down in that.
        """
        group, kind = entry.id.group, entry.id.kind
        services = self._specs("apiregistration.k8s.io", "APIService")
        definitions = self._specs(*CRD)
        if services is None or any(
            one.get("group") == group and one.get("service") for one in services
        ):
            return Stale(entry, None, "skipped", f"{group} does not answer at the moment")
        if definitions is None or any(
            one.get("group") == group and (one.get("names") or {}).get("kind") == kind
            for one in definitions
        ):
            return Stale(entry, None, "skipped", "its definition serves no version of it")
        return Stale(entry, None, "deleted", "its kind is gone, and it with it", is_released=True)

    def _specs(self, group: str, kind: str) -> list[Mapping[str, Any]] | None:
        """Return what every object of a kind without namespaces says of itself; None when the kind is not served."""
        served = self._client.kinds.find(group, kind)
        if served is None:
            return None
        pages = self._client.pages(served)
        return [body.get("spec") or {} for page in pages for body in page.items]

    def _cascade(self, one: Stale, deleted: set[ResourceId]) -> int:
        """Count what goes with an object: all in a namespace, all of a definition."""
        entry = one.entry
        kinds = self._client.kinds
        if (entry.id.group, entry.id.kind) == ("", "Namespace"):
            inside = [
                kind
                for kind in kinds.preferred
                if kind.namespaced and {"list", "delete"} <= kind.verbs
            ]
            own = sum(other.namespace == entry.id.name for other in deleted)
            counts = crew.each(
                lambda kind: self._count(kind, entry.id.name), inside, workers=self._options.workers
            )
            # Every namespace has these two from its beginning.
            given = self._given(entry.id.name)
            return max(0, sum(count for _, count in counts) - own - given)
        if (entry.id.group, entry.id.kind) == CRD:
            plural, _, group = entry.id.name.partition(".")
            for kind in kinds.preferred:
                if (kind.plural, kind.group) == (plural, group):
                    own = sum((o.group, o.kind) == (kind.group, kind.kind) for o in deleted)
                    return max(0, self._count(kind, "") - own)
        return 0

    def _given(self, namespace: str) -> int:
        given = 0
        for kind, name in (("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")):
            found = self._client.kinds.find("", kind)
            one = ResourceId(group="", kind=kind, namespace=namespace, name=name)
            if found is not None and self._client.get(found, one) is not None:
                given += 1
        return given

    def _count(self, kind: Kind, namespace: str) -> int:
        count = 0
        try:
            for page in self._client.pages(kind, namespace, only_metadata=True, limit=1):
                count += len(page.items) + page.remaining
                if page.remaining:
                    break  # else this was all, or the server does not say how many remain: they are counted
        except Forbidden as error:
            # Not counted would be none, and no limit would stop it.
            error.message = f"what would be deleted with it cannot be counted: {error.message}"
            error.hint = (
                "nothing was changed; ask for the verb `list`, or mark the object as to be kept"
            )
            raise
        # An event is a note about an object, and none itself.
        return 0 if kind.kind == "Event" else count


def is_home(one: ResourceId, owner: Owner) -> bool:
    """Return whether an object is the namespace that an inventory lies in."""
    return (one.group, one.kind, one.name) == ("", "Namespace", owner.namespace)


def check_limit(stale: Iterable[Stale], limit: int) -> None:
    """Stop a run that would delete more than it may.

    Raises:
        UsageError: it would; the number is named.
    """
    deleted = [one for one in stale if one.action == "deleted" and not one.is_released]
    count = len(deleted) + sum(one.cascade for one in deleted)
    if count > limit:
        names = ", ".join(one.entry.id.label for one in deleted[:5])
        raise UsageError(
            f"{count} objects would be deleted ({names}{', …' if len(deleted) > 5 else ''}); "
            f"the limit is {limit}",
            hint=f"nothing was changed; when that is meant, add `--prune-limit {count}`",
        )


def delete(
    client: Client, judge: Judge, one: Stale, kind: Kind, check: Callable[[], None]
) -> tuple[Stale, bool]:
    """Delete one object, if it still is what it was judged to be.

    Returns:
        What became of it, and whether it is gone already.

    Raises:
        Conflict: it changes all the time.
        ClusterError: its kind is served in no version any more, so nobody knows whether it is there.
    """
    for _ in range(_ATTEMPTS):
        check()
        try:
            left = client.delete(kind, one.entry.id, uid=one.uid, version=one.version, check=check)
        except Conflict as error:
            if error.causes and any(
                reason == "NamespaceTerminating" for reason, _, _ in error.causes
            ):
                raise
            again = judge.judge(one.entry, kind, client.get(kind, one.entry.id))
            if again.action != "deleted" or again.is_released:
                return again, again.action == "deleted"
            again.cascade = one.cascade
            one = again
            continue
        except ClusterError as error:
            # This very run, or somebody, may have applied a definition that serves it in another version only.
            other = _elsewhere(client, kind) if error.status == 404 else None
            if other is None:
                raise
            one.kind = kind = other
            continue
        return one, left is None
    raise Conflict(
        f"{one.entry.id.label} changes faster than it can be deleted",
        hint="find out who changes it: `kubectl get -o yaml --show-managed-fields`",
        retryable=True,
    )


def _elsewhere(client: Client, kind: Kind) -> Kind | None:
    """Return a kind in another version in which it is served now; None when there is none."""
    served = client.read_kinds().versions(kind.group, kind.kind)
    return next((one for one in served if one.version != kind.version), None)
