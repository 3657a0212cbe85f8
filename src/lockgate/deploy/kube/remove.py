"""Delete what was judged, wave by wave; each wave is gone before the next begins.

What is deleted early may need what is deleted late: a finalizer is removed by a controller that is deleted after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import NotReady
from lockgate.config.order import place
from lockgate.deploy.kube import crew, prune, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.model import Change, Options
    from lockgate.deploy.kube.target import Target


def remove(
    stale: Iterable[prune.Stale],
    target: Target,
    options: Options,
    *,
    check: Callable[[], None],
    gone: set[ResourceId],
    changes: list[Change],
    spares_home: bool = True,
) -> None:
    """Delete objects in reverse order; several of one place in the order at a time.

    Args:
        stale: objects that were judged.
        target: the cluster.
        options: how long to wait for each wave, and how many requests at a time.
        check: raises when the run must not go on.
        gone: told every object that is known to be gone, or not to be ours.
        changes: told every line.
        spares_home: whether the namespace of the inventory stays.

    Raises:
        NotReady: some do not go in time, and what holds them. The others are in `gone`.
    """
    waves: dict[int, list[tuple[prune.Stale, Kind]]] = {}
    for one in stale:
        if one.action == "deleted" and one.kind is not None and not one.is_released:
            waves.setdefault(-place(one.entry.id)[0], []).append((one, one.kind))
            continue
        if one.is_released:
            gone.add(one.entry.id)
        changes.append(one.change)
        target.events.changed(one.change)
    judge = prune.Judge(target.client, target.owner, options, spares_home=spares_home)
    stay: list[ResourceId] = []
    for _, wave in sorted(waves.items()):
        held = _delete(
            wave, target, options, judge, check=check, gone=gone, changes=changes, stay=stay
        )
        if not held or not options.wait:
            continue
        left = wait.until_gone(
            target.client, held, seconds=options.wait, workers=options.workers, check=check
        )
        gone |= {one.id for one in held if one not in left}
        if left:
            raise not_gone(left)


def _delete(
    wave: Iterable[tuple[prune.Stale, Kind]],
    target: Target,
    options: Options,
    judge: prune.Judge,
    *,
    check: Callable[[], None],
    gone: set[ResourceId],
    changes: list[Change],
    stay: list[ResourceId],
) -> list[wait.Target]:
    """Delete one wave; return what is not gone yet. What is left after all is added to `stay`, and what holds it, too."""
    held: list[wait.Target] = []

    def delete(pair: tuple[prune.Stale, Kind]) -> tuple[prune.Stale, bool]:
        # Somebody may have marked it since the plan was made.
        if judge.spare(pair[0], stay):
            return pair[0], False
        return prune.delete(target.client, judge, *pair, check)

    for (one, kind), (result, is_gone) in crew.each(delete, list(wave), workers=options.workers):
        changes.append(result.change)
        target.events.changed(result.change)
        if is_gone or result.is_released:
            gone.add(one.entry.id)
        elif result.action == "deleted":
            held.append(wait.Target(result.kind or kind, one.entry.id, result.uid))
        else:
            stay.append(one.entry.id)
    return held


def not_gone(left: Mapping[wait.Target, str]) -> NotReady:
    """Return the error about objects that do not go, with what holds them."""
    ordered = sorted(left, key=lambda one: one.id)
    names = ", ".join(f"{one.id.label} ({left[one]})" for one in ordered)
    first = ordered[0]
    space = f" -n {first.id.namespace}" if first.id.namespace else ""
    return NotReady(
        f"not gone in time: {names}",
        hint="the inventory keeps it, and the next run waits for it again; what holds it shows "
        f"`kubectl get {first.kind.plural} {first.id.name}{space} -o yaml`",
    )
