"""Act on what was seen, while the inventory is held; then look again."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.base.errors import Conflict, LockgateError, Rejected
from lockgate.config.order import place
from lockgate.deploy.kube import crew, inventory, ownership, wait
from lockgate.deploy.kube.drift import is_same
from lockgate.deploy.kube.immutable import typed
from lockgate.deploy.kube.look import Finding, Looker
from lockgate.deploy.kube.model import Change, Options
from lockgate.deploy.kube.ready import may_go, state_of
from lockgate.deploy.kube.remove import not_gone, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.answers import Body
    from lockgate.deploy.kube.desired import Desired
    from lockgate.deploy.kube.held import Held
    from lockgate.deploy.kube.inventory import Inventory
    from lockgate.deploy.kube.survey import Seen
    from lockgate.deploy.kube.target import Target

_ATTEMPTS = 5
"""How often an object that somebody else changes at the same time is tried anew."""
_LEARNING = 10.0
"""Seconds that an API server may need to learn of a definition that another one, or it itself, has just taken."""
_LOOK = 0.25
"""Seconds between two questions whether it has."""


class Act:
    """One run that holds the inventory and has written its intent."""

    def __init__(
        self, seen: Seen, intent: Inventory, held: Held, target: Target, options: Options
    ) -> None:
        self._seen, self._intent, self._held = seen, intent, held
        self._target, self._options, self._client = target, options, target.client
        self._tokens = {one.desired.id: one.token for one in seen.findings if one.token}
        self._gone: set[ResourceId] = set()
        self._changes: list[Change] = []

    def run(self) -> tuple[Change, ...]:
        """Do everything and return the lines; on any failure write down what was done."""
        try:
            self._apply_all()
            remove(
                self._seen.stale,
                self._target,
                self._options,
                check=self._held.check,
                gone=self._gone,
                changes=self._changes,
            )
            self._look_again()
            self._write(done=True)
        except BaseException:
            # What cannot be written now is left to the next run; this error is the one to be told.
            with contextlib.suppress(LockgateError):
                self._write(done=False)
            raise
        # They happened several at a time; they are told in the order of the plan.
        at = {one.id: number for number, one in enumerate(self._seen.changes)}
        return tuple(sorted(self._changes, key=lambda one: at[one.id]))

    def _settled(self, *, done: bool) -> Inventory:
        return inventory.settled(self._intent, gone=self._gone, seen=self._tokens, done=done)

    def _write(self, *, done: bool) -> None:
        self._held.write(self._settled(done=done), last=True)

    def _apply_all(self) -> None:
        first = [one for one in self._seen.findings if one.desired.is_definition]
        rest = [one for one in self._seen.findings if not one.desired.is_definition]
        self._stage(first)
        # Definitions are waited for even when nothing else is: nothing else could be applied.
        await_ready(
            self._target,
            replace(self._options, wait=self._options.wait or Options().wait),
            first,
            check=self._held.check,
        )
        waiting = [one for one in rest if one.waits_for]
        if waiting:
            self._client.read_kinds()
            definitions = {one.desired.id.label for one in first}
            defined = any(one.waits_for in definitions for one in waiting)
            found = self._ask_patiently(
                [one.desired for one in waiting], seconds=_LEARNING if defined else 0
            )
            asked = {one.desired.id: one for one in found}
            rest = [asked.get(one.desired.id, one) for one in rest]
        self._stage(rest)
        await_ready(self._target, self._options, [*first, *rest], check=self._held.check)

    def _ask_patiently(self, waiting: Sequence[Desired], *, seconds: float) -> list[Finding]:
        """Ask; a server that still judges by the definition before this one refuses a new field, for a moment."""
        clock = self._client.clock
        until = clock.monotonic() + seconds
        while True:
            try:
                return self._ask(waiting)
            except Rejected:
                if clock.monotonic() >= until:
                    raise
            clock.sleep(_LOOK)
            self._held.check()

    def _ask(self, waiting: Sequence[Desired]) -> list[Finding]:
        """Ask about objects whose definitions are there by now."""
        target = self._target
        looker = Looker(self._client, target.owner, self._options, target.now)
        return looker.findings(waiting, looker.live(waiting, self._intent, ()), {})

    def _stage(self, findings: Sequence[Finding]) -> None:
        """Apply objects, those of one place in the order at the same time."""
        waves: dict[int, list[Finding]] = {}
        for one in findings:
            if one.action == "unchanged":
                self._changes.append(one.change)
                if one.token:
                    self._tokens[one.desired.id] = one.token
            else:
                waves.setdefault(place(one.desired.id)[0], []).append(one)
        for _, wave in sorted(waves.items()):
            for _, change in crew.each(self._apply, wave, workers=self._options.workers):
                self._changes.append(change)
                self._target.events.changed(change)

    def _apply(self, finding: Finding) -> Change:
        """Apply one object."""
        self._held.check()
        one, client = finding.desired, self._client
        if finding.replaced is not None:
            self._delete(one, finding.replaced)
        elif finding.cleanup:
            self._clean(finding)
        applied = client.apply(
            one.kind,
            one.id,
            one.body,
            dry_run=False,
            force=self._options.take_over,
            check=self._held.check,
        )
        self._tokens[one.id] = ownership.token(one.digest, applied.body)
        state = state_of(applied.body, now=self._target.now(), rules=self._options.rules)
        finding.is_ready = state.is_ready
        if applied.created and finding.action == "configured":
            return Change(id=one.id, action="created", note="somebody deleted it just before")
        return finding.change

    def _clean(self, finding: Finding) -> None:
        """Remove what kubectl left, from the object as it is at this moment."""
        one, client, patch = finding.desired, self._client, finding.cleanup
        for _ in range(_ATTEMPTS):
            try:
                client.patch(one.kind, one.id, patch)
            except Conflict:
                live = client.get(one.kind, one.id)
                patch = (
                    ownership.cleanup(
                        live,
                        one.body,
                        take_over=self._options.take_over,
                        served=finding.served,
                    )
                    if live
                    else []
                )
                if not patch:
                    return
            else:
                return

    def _delete(self, one: Desired, seen: Body) -> None:
        """Delete an object that is made anew, and wait until it is gone.

        Its status may have changed since it was looked at; it is still the object of the plan then.

        Raises:
            Conflict: anything else of it has changed, or it changes all the time. It is left as it is.
            NotReady: it does not go in time.
        """
        for _ in range(_ATTEMPTS):
            metadata = seen["metadata"]
            uid, version = metadata["uid"], metadata["resourceVersion"]
            try:
                left = self._client.delete(
                    one.kind, one.id, uid=uid, version=version, check=self._held.check
                )
            except Conflict:
                now = self._client.get(one.kind, one.id)
                if now is None:
                    return
                if now["metadata"]["uid"] != uid or not is_same(seen, now):
                    raise _changed(one) from None
                seen = now
            else:
                if left is not None:
                    self._await_gone(wait.Target(one.kind, one.id, uid))
                return
        raise _changed(one)

    def _await_gone(self, one: wait.Target) -> None:
        left = wait.until_gone(
            self._client,
            [one],
            seconds=self._options.wait or Options().wait,
            workers=1,
            check=self._held.check,
        )
        if left:
            raise not_gone(left)

    def _look_again(self) -> None:
        """Read back what was applied; say what somebody else changed meanwhile.

        Raises:
            Conflict: something that was applied is gone.
        """
        options = replace(self._options, details=False)
        looker = Looker(self._client, self._target.owner, options, self._target.now)
        live = looker.live(self._seen.desired, self._settled(done=False), ())
        for one in self._seen.desired:
            if one.id in live.proven:
                continue
            if one.id not in live.bodies:
                if may_go(one.body):
                    self._target.events.note(f"{one.id.label} has ended and was removed")
                    continue
                raise Conflict(
                    f"{one.id.label} was applied and is gone or not ours: somebody else was there",
                    hint="find out who, then run the same command again",
                )
            self._target.events.note(f"{one.id.label} was changed by somebody else meanwhile")


def _changed(one: Desired) -> Conflict:
    return Conflict(
        f"{one.id.label} was changed by somebody else after the plan was made, and is not deleted",
        hint=f"see what it is now: `kubectl get {typed(one)} -o yaml --show-managed-fields`; then run the "
        "same command again",
        retryable=True,
    )


def await_ready(
    target: Target, options: Options, findings: Iterable[Finding], *, check: Callable[[], None]
) -> None:
    """Wait for the objects among `findings` that are not ready yet; not at all when `options` say so.

    Raises:
        NotReady: some are not in time.
    """
    unready = [one for one in findings if not one.is_ready]
    if not unready or not options.wait:
        return
    words = "1 object is" if len(unready) == 1 else f"{len(unready)} objects are"
    target.events.note(f"waits until {words} ready, for {options.wait:g} s at most")
    wait.until_ready(
        target.client,
        [wait.Target(one.desired.kind, one.desired.id) for one in unready],
        selector=target.owner.selector,
        seconds=options.wait,
        rules=options.rules,
        now=target.now,
        check=check,
    )
