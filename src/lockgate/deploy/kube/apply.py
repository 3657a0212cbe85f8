"""The target `cluster`: look, act, look again.

    (1) look      what is there, what would change; everything that could be refused is refused here
    (2) record    old and new objects are written into the inventory, and that this run works on it
    (3) define    CustomResourceDefinitions and Namespaces, and wait until they work; ask about what needed them
    (4) apply     everything else that differs, in order, several objects of a kind at a time
    (5) wait      until all is ready
    (6) prune     what is no longer wanted, in reverse order, and wait until it is gone
    (7) look again, and write the record without what is known to be gone

Killed at any line, the record names at least everything that this run made; the next run completes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import Conflict, Moved, SubjectMismatch, TrustError
from lockgate.config.images import images
from lockgate.deploy.kube import inventory, prune
from lockgate.deploy.kube.act import Act, await_ready
from lockgate.deploy.kube.model import Change, ChangeSet, Options
from lockgate.deploy.kube.survey import is_settled, survey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.deploy.kube.survey import Seen
    from lockgate.deploy.kube.target import Target, Wanted
    from lockgate.deploy.model import Verified

_LOOKS = 5
"""How often a plan is made anew because another run came between."""


def admit(verified: Verified, wanted: Wanted) -> None:
    """Refuse what was not verified, or could become something else after (S1.61).

    Raises:
        SubjectMismatch: the verification is of another artifact.
        TrustError: an image has no digest, so that nobody knows what would run.
    """
    if verified.subject != wanted.artifact:
        raise SubjectMismatch(
            f"the verification is of {verified.subject}, the artifact is {wanted.artifact}",
            hint="verify the artifact that is deployed",
        )
    loose = sorted(
        f"{resource.id.label}: {image}"
        for resource in wanted.resources
        for image in images(resource)
        if "@sha256:" not in image
    )
    if loose:
        raise TrustError(
            f"an image has no digest: {', '.join(loose)}",
            hint="`inv config.pin` writes the digests; then build the artifact again",
        )


def plan(wanted: Wanted, target: Target, options: Options) -> ChangeSet:
    """Say what `apply` would do; nothing is changed.

    Raises:
        UsageError, ClusterError: as `apply`, for everything that is found out before it writes.
    """
    seen = survey(wanted, target, options)
    prune.check_limit(seen.stale, options.prune_limit)
    return _changes(wanted, target, seen.changes, done=False)


def apply(verified: Verified, wanted: Wanted, target: Target, options: Options) -> ChangeSet:
    """Bring a cluster to what a verified artifact says.

    Args:
        verified: proof of the verification of the artifact.
        wanted: the artifact and its objects.
        target: where.
        options: how.

    Raises:
        TrustError: it is not what was verified, or an image has no digest. Nothing was changed.
        UsageError: there is nothing to apply, an unknown kind, a missing namespace, more deletions than allowed.
            Nothing was changed.
        Rejected, Conflict, Immutable, Forbidden: objects that cannot be applied; all are named. Nothing was
            changed, but for definitions when the objects need those.
        InventoryLost: the record is gone or unreadable. Nothing was changed.
        NotReady: something did not become ready, or did not go, in time.
        ClusterError: the cluster is out of reach. What was changed is in the inventory.
    """
    admit(verified, wanted)
    shown: tuple[Change, ...] = ()
    for _ in range(_LOOKS):
        try:
            seen = survey(wanted, target, options)
        except Moved:
            continue
        prune.check_limit(seen.stale, options.prune_limit)
        if seen.changes != shown:
            shown = seen.changes
            target.events.planned(_changes(wanted, target, shown, done=False))
        if is_settled(wanted, seen):
            await_ready(target, options, seen.findings, check=_nothing)
            return _changes(wanted, target, seen.changes, done=True)
        intent = _intent(wanted, target, seen)
        _make_home(target, options, seen)
        try:
            held = target.storage.begin(seen.stored, intent, patience=options.wait)
        except Moved:
            continue
        with held:
            done = Act(seen, intent, held, target, options).run()
        return _changes(wanted, target, done, done=True)
    raise Conflict(
        f"the inventory {target.owner} changes all the time: other runs work on it",
        hint="let them come to their end, then run the same again",
        retryable=True,
    )


def _nothing() -> None:
    """Check nothing: no run holds anything here."""


def _changes(wanted: Wanted, target: Target, changes: Iterable[Change], *, done: bool) -> ChangeSet:
    return ChangeSet(
        inventory=str(target.owner),
        context=target.context,
        artifact=wanted.artifact,
        source=wanted.source,
        revision=wanted.revision,
        changes=tuple(changes),
        done=done,
    )


def _intent(wanted: Wanted, target: Target, seen: Seen) -> inventory.Inventory:
    what = inventory.Applied(
        artifact=wanted.artifact,
        source=wanted.source,
        revision=wanted.revision,
        at=int(target.now()),
        objects=len(seen.desired),
    )
    versions = {one.id: one.kind.version for one in seen.desired}
    unchanged = {one.desired.id for one in seen.findings if one.action == "unchanged"}
    return inventory.intended(seen.stored.inventory, versions, what, unchanged=unchanged)


def _make_home(target: Target, options: Options, seen: Seen) -> None:
    """Make the inventory's own namespace when the artifact brings it: the record could not lie in it else.

    Killed after this, the next run finds the namespace with our labels, and takes it for ours.
    """
    one = seen.home
    if one is not None:
        target.client.apply(one.kind, one.id, one.body, dry_run=False, force=options.take_over)
