"""The inventory in the cluster: read, held by one run at a time, written with the version that it replaces.

Who works on an inventory says so in an annotation of its ConfigMap, in the same write that records what is about
to be applied, and renews that while it works. Another run waits. When the annotation was not renewed for as long
as it promises, measured by the clock of who waits, or its process on this machine has ended, the next run takes
over. Every write names the version that it replaces, so who lost the inventory cannot write it.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lockgate.base.errors import ClusterError, Conflict, LockgateError, Moved
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import configmap
from lockgate.deploy.kube.held import Held
from lockgate.deploy.kube.holding import (
    HOLDER,
    LEASE,
    Holder,
    has_ended,
    holder_of,
    me,
    people,
)
from lockgate.deploy.kube.inventory import Inventory
from lockgate.deploy.kube.ownership import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.deploy.kube.answers import Body
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.ownership import Owner

_LOOK = 0.5
"""Seconds between two looks at an inventory that somebody else holds."""


class Stored(NamedTuple):
    """An inventory as it was read."""

    inventory: Inventory
    version: str
    """Resource version; empty when there is none yet."""
    holder: Holder | None = None


class Storage:
    """The place of one inventory."""

    def __init__(
        self,
        client: Client,
        owner: Owner,
        *,
        who: str = "",
        lease: float = LEASE,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self._client = client
        self.owner = owner
        self._who, self._run, self._lease = who or me(), secrets.token_hex(4), lease
        self._waiting = waiting

    @property
    def _kind(self) -> Kind:
        found = self._client.kinds.find("", "ConfigMap")
        if found is None:
            raise ClusterError(
                "the cluster knows no ConfigMap", hint="check that the address is an API server's"
            )
        return found

    @property
    def _id(self) -> ResourceId:
        return ResourceId(
            group="",
            kind="ConfigMap",
            namespace=self.owner.namespace,
            name=configmap.PREFIX + self.owner.name,
        )

    def read(self, *, whoever_wrote: bool = False) -> Stored:
        """Return the inventory; an empty one without a version when there is none.

        Args:
            whoever_wrote: take what another tool wrote for what it says.

        Raises:
            InventoryLost: it cannot be read, or is none that we wrote.
            Conflict: a ConfigMap of this name is there and is no inventory of ours.
        """
        body = self._body()
        if body is None:
            return Stored(Inventory(namespace=self.owner.namespace, name=self.owner.name), "")
        found = _stored(body)
        if not whoever_wrote:
            configmap.check_written(body)
        return found

    def version(self) -> str:
        """Return the version of the ConfigMap, readable or not; empty when there is none."""
        body = self._body()
        return body["metadata"]["resourceVersion"] if body else ""

    def _body(self) -> Body | None:
        body = self._client.get(self._kind, self._id)
        if body is not None:
            configmap.check_ours(body)
        return body

    def begin(self, seen: Stored, intent: Inventory, *, patience: float) -> Held:
        """Write what is about to happen, and hold the inventory until the end.

        Args:
            seen: the inventory as it was looked at.
            intent: what to write.
            patience: seconds to wait for another run.

        Raises:
            Moved: somebody changed it since, or held it; look again.
            Conflict: somebody else holds it for longer than `patience`; the run is named.
        """
        if seen.holder is not None:
            self._await(seen.holder, patience)
            # What that run did last may be younger than the look, and only that run wrote it down: take the record
            # from it first, so that it does nothing more, and look after.
            self.put(seen.inventory, seen.version, beat=None)
            raise self.moved()
        held = Held(self, seen.version)
        try:
            held.write(intent)
        except Moved:
            raise
        except BaseException:
            # Ctrl-C, or a connection that broke: it was written, or will be in a moment, or never.
            with contextlib.suppress(LockgateError):
                self._let_go(seen)
            raise
        return held

    def _let_go(self, seen: Stored) -> None:
        """Hold the inventory no longer, whatever becomes of a write that may be under way.

        Both name the same version, so one of them loses: the one under way, or this one, which then knows what
        to replace. The mark makes this one a change: the version stays the same when nothing changes.
        """
        try:
            self.put(seen.inventory, seen.version, beat=None, mark=self._run)
        except Moved:
            now = self.read()
            if now.holder is not None and now.holder.run == self._run:
                self.put(now.inventory, now.version, beat=None)

    def _await(self, holder: Holder, patience: float) -> None:
        """Wait until a holder has let go, has ended, or has not renewed in time."""
        clock = self._client.clock
        begun = renewed = clock.monotonic()
        if self._waiting is not None and not has_ended(holder.who):
            self._waiting(holder.who)
        while not has_ended(holder.who) and clock.monotonic() - renewed < holder.seconds:
            if clock.monotonic() - begun > patience:
                raise Conflict(
                    f"the inventory {self.owner} is held by {people(holder.who)}",
                    hint="let that run come to its end, then run the same again",
                    retryable=True,
                )
            clock.sleep(_LOOK)
            body = self._client.get(self._kind, self._id)
            now = holder_of(body) if body else None
            if now is None or now.run != holder.run:
                return
            if now.beat != holder.beat:
                holder, renewed = now, clock.monotonic()

    def moved(self) -> Moved:
        """Return the error that says that another run was here."""
        return Moved(
            f"the inventory {self.owner} was changed by another run at the same time",
            hint="run the same command again",
            retryable=True,
        )

    def put(
        self,
        inventory: Inventory,
        version: str,
        *,
        beat: int | None,
        mark: str = "",
        anew: bool = False,
    ) -> str:
        """Write the inventory over `version`, and return its new version.

        Args:
            inventory: what to write.
            version: what it replaces; empty: nothing.
            beat: number of the renewal; None: nobody holds it any more.
            mark: makes it another one than what is there.
            anew: forget who wrote it before.

        Raises:
            Moved: another version is there.
        """
        held = {} if beat is None else {HOLDER: self._token(beat)}
        held |= {f"{GROUP}/let-go": mark} if mark else {}
        body = configmap.write(inventory, held)
        if anew:
            # How Server-Side Apply has it ("Clearing managedFields"); what stays the same would stay others' else.
            body["metadata"]["managedFields"] = [{}]
        try:
            if not version:
                made = self._client.create(self._kind, self._id, body)
            else:
                body["metadata"]["resourceVersion"] = version
                made = self._client.replace(self._kind, self._id, body)
        except Conflict as error:
            if error.reason not in ("Conflict", "AlreadyExists"):
                raise
            # The connection may have broken after the write was done, and this was the second attempt.
            found = self._client.get(self._kind, self._id)
            if found is None or not _same(found, body):
                raise self.moved() from None
            made = found
        except ClusterError as error:
            if error.status == 404 and not version:
                error.hint = f"create it: `kubectl create namespace {self.owner.namespace}`"
            raise
        return str(made["metadata"]["resourceVersion"])

    def renew(self, version: str, beat: int) -> str:
        """Say that the run goes on, and return the new version.

        Raises:
            Moved: somebody else took the inventory.
        """
        change = {
            "metadata": {"resourceVersion": version, "annotations": {HOLDER: self._token(beat)}}
        }
        try:
            made = self._client.patch(self._kind, self._id, change)
        except Conflict:
            # As in `put`: the first attempt may have been done, and its answer lost.
            found = self._client.get(self._kind, self._id)
            held = holder_of(found) if found else None
            if found is None or held is None or (held.run, held.beat) != (self._run, beat):
                raise self.moved() from None
            made = found
        return str(made["metadata"]["resourceVersion"])

    def remove(self, version: str) -> None:
        """Delete the record itself, when it is the version that is known.

        Raises:
            Moved: another version is there.
        """
        body = self._client.get(self._kind, self._id)
        if body is None:
            return
        try:
            self._client.delete(self._kind, self._id, uid=body["metadata"]["uid"], version=version)
        except Conflict:
            raise self.moved() from None

    def all(self, *, everywhere: bool) -> Iterator[tuple[str, Stored | LockgateError]]:
        """Yield the inventories of the namespace, or of all, by name; an unreadable one as its error."""
        namespace = "" if everywhere else self.owner.namespace
        for page in self._client.pages(self._kind, namespace, selector=configmap.SELECTOR):
            for body in page.items:
                metadata = body["metadata"]
                if not metadata["name"].startswith(configmap.PREFIX):
                    continue
                name = f"{metadata['namespace']}/{metadata['name'].removeprefix(configmap.PREFIX)}"
                try:
                    found = _stored(body)
                    configmap.check_written(body)
                    yield name, found
                except LockgateError as error:
                    yield name, error

    @property
    def lease(self) -> float:
        """Seconds for which a renewal counts."""
        return self._lease

    @property
    def clock(self) -> Callable[[], float]:
        """The monotonic clock."""
        return self._client.clock.monotonic

    def _token(self, beat: int) -> str:
        return msgspec.json.encode(
            Holder(who=self._who, run=self._run, beat=beat, seconds=self._lease)
        ).decode()


def _stored(body: Body) -> Stored:
    return Stored(configmap.read(body), body["metadata"]["resourceVersion"], holder_of(body))


def _same(found: dict[str, Any], body: dict[str, Any]) -> bool:
    """Return whether what is there is what was to be written, by the very same run."""
    return all(found.get(key) == body.get(key) for key in ("data", "binaryData")) and found[
        "metadata"
    ].get("annotations") == body["metadata"].get("annotations")
