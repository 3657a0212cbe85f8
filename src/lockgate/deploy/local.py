"""The target `local`: the verified image in a sandbox on loopback, proven before it replaces what runs.

    RUN/<component>/    state, lock and logs
    RUN/.rootfs/        unpacked images

What is about to happen is written down before it happens, and a service lives on only once it is written
down. A kill at any line therefore leaves at most one service, and the record says which (`world.recover`).

The order of a deployment: prepare the new image; start it on a free port, wait until it is ready, send the
smoke test; end it and what runs; start it where it belongs and prove it again. Up to the stop nothing that
runs is touched; after it, a failure starts the old image again. When the port is free, the first start is
the final one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

import msgspec

from lockgate.base.errors import LockgateError, StorageError, SubjectMismatch, UsageError
from lockgate.deploy import state
from lockgate.deploy.model import (
    Deployment,
    Instance,
    Phase,
    Service,
    State,
    Status,
    Verified,
)
from lockgate.deploy.ready import try_once
from lockgate.deploy.world import World, recover, running, stop_instance
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.deploy.runner import Runner
    from lockgate.oci.layout import Layout


def deploy(
    verified: Verified, service: Service, world: World, *, layout: Layout, port: int, now: int
) -> Deployment:
    """Run a verified image; when the very same one runs and is ready, change nothing.

    Args:
        verified: proof of the verification of the image index.
        service: the component, its port inside, and the paths to ask.
        world: folders, runners, waiting times.
        layout: the store with the image.
        port: port on loopback; 0 keeps the one in use, else takes a free one.
        now: seconds since 1970.

    Raises:
        UsageError: another program has the port, or the image is not for this machine. Nothing was changed.
        DigestMismatch, TrustError: a blob was changed, or a layer is refused. Nothing was changed.
        NotReady: it did not get ready or failed the smoke test; what ran before runs.
        ToolError: there is no way to run images here, or it failed.
    """
    digest = Digest(verified.subject)
    folder = world.folder(service.component)
    with state.hold(folder, world.waiting) as lock:
        known = recover(folder, world)
        now_runs = running(known, world)
        if now_runs and _unchanged(now_runs, digest, service, port, world):
            return _deployment(now_runs, "unchanged", previous=digest)
        # Only a real deployment pays for loading these.
        from lockgate.deploy.platform import choose
        from lockgate.deploy.replace import Work, begin, replace

        chosen = choose(layout, digest)
        how = world.runners("")
        how.sweep(world.roots, service.component, (now_runs,) if now_runs else ())
        stays = now_runs is not None and port in (0, now_runs.port)
        instance = Instance(
            service=service,
            digest=digest,
            manifest=chosen.manifest,
            revision=chosen.revision,
            runner=how.name,
            port=now_runs.port if now_runs and stays else world.claim(port),
            since=now,
            log=f"{digest.hex[:12]}.log",
        )
        state.write(folder, msgspec.structs.replace(known, other=instance))
        world.step("recorded")
        work = Work(world, folder, lock, layout, known, now_runs)
        try:
            how.prepare(layout, chosen.manifest, world.roots)
            world.step("prepared")
            proof = (
                replace(work, now_runs, instance) if now_runs and stays else begin(work, instance)
            )
        except BaseException:
            # What the record and the processes say now decides. What cannot be brought together now is
            # left to the next run; this error is the one to be told.
            with contextlib.suppress(LockgateError):
                recover(folder, world)
            raise
        _tidy(world, folder, how)
    previous = known.current.digest if known.current else ""
    done = _deployment(proof.instance, "deployed", previous=previous)
    return msgspec.structs.replace(done, ready_ms=proof.ready_ms, smoke=proof.smoke)


def status(component: str, world: World) -> Status:
    """Say what runs. Reads only, and waits for nobody.

    Raises:
        ToolError: a container engine that runs it does not answer.
    """
    known = state.read(world.folder(component))
    for instance in (known.current if known.wanted else None, known.other):
        if instance and world.runners(instance.runner).alive(instance):
            ready = _answers(instance, instance.service.ready, world)
            return _status(component, known, "running" if ready else "not ready", instance)
    if known.other:
        return _status(component, known, "interrupted", None)
    if known.current:
        return _status(component, known, "ended" if known.wanted else "stopped", None)
    return _status(component, known, "never deployed", None)


def logs(component: str, world: World, *, lines: int = 100) -> str:
    """Return the last lines that the component's service printed, also when it has ended.

    Raises:
        UsageError: it was never deployed.
    """
    folder = world.folder(component)
    known = state.read(folder)
    instance = known.current or known.other
    if instance is None:
        raise UsageError(f"`{component}` was never deployed here", hint="`inv deploy` deploys it")
    return world.runners(instance.runner).tail(instance, folder, lines)


def stop(component: str, world: World) -> Instance | None:
    """End the component's service; return what ran, or None when nothing did.

    Raises:
        ToolError: it belongs to another user, or its engine does not answer.
    """
    folder = world.folder(component)
    if not folder.exists():
        return None
    with state.hold(folder, world.waiting):
        known = recover(folder, world)
        instance = running(known, world)
        if instance:
            stop_instance(instance, world)
        state.write(folder, msgspec.structs.replace(known, wanted=False))
        return instance


def rollback(
    service: Service,
    world: World,
    *,
    layout: Layout,
    port: int,
    now: int,
    verify: Callable[[str], Verified],
) -> Deployment:
    """Deploy the image that ran before the current one; a second rollback so undoes the first.

    Args:
        service: as for `deploy`.
        world: as for `deploy`.
        layout: as for `deploy`.
        port: as for `deploy`.
        now: as for `deploy`.
        verify: verifies a digest now, since trust may have ended since it ran; raises when it is refused.

    Raises:
        UsageError: nothing ran before, or it is no longer in the store.
        TrustError: what `verify` raises, or it verified something else.
        NotReady, ToolError: as `deploy`.
    """
    history = state.read(world.folder(service.component)).history
    if len(history) < 2:
        raise UsageError(
            f"`{service.component}` has no earlier image to go back to",
            hint="`inv deploy.status` lists what was deployed",
        )
    digest = Digest(history[-2].digest)
    if not layout.has(digest):
        raise UsageError(
            f"image {digest.short}, which ran before, is no longer in the store",
            hint="check out its commit, then `inv build scan sign deploy`",
        )
    verified = verify(digest)
    if verified.subject != digest:
        raise SubjectMismatch(
            f"{Digest(verified.subject).short} was verified, {digest.short} is to be deployed"
        )
    return deploy(verified, service, world, layout=layout, port=port, now=now)


def _unchanged(
    instance: Instance, digest: Digest, service: Service, port: int, world: World
) -> bool:
    return (
        instance.digest == digest
        and port in (0, instance.port)
        and _answers(instance, service.ready, world)
    )


def _answers(instance: Instance, path: str, world: World) -> bool:
    return try_once(world.ask, instance.port, path, world.waits.answer)[0]


def _deployment(
    instance: Instance, change: Literal["deployed", "unchanged"], *, previous: str
) -> Deployment:
    return Deployment(
        component=instance.service.component,
        digest=instance.digest,
        manifest=instance.manifest,
        runner=instance.runner,
        url=instance.url,
        change=change,
        previous=previous,
        ready_ms=0,
        smoke=0,
        since=instance.since,
    )


def _status(component: str, known: State, phase: Phase, instance: Instance | None) -> Status:
    return Status(
        component=component,
        phase=phase,
        instance=instance,
        url=instance.url if instance else "",
        history=known.history,
    )


def _tidy(world: World, folder: Path, how: Runner) -> None:
    """Remove images and logs that neither run nor can be rolled back to at once.

    The deployment is done and recorded, so what cannot be removed now waits for the next one.
    """
    with contextlib.suppress(StorageError):
        how.prune(world.roots, lambda: _needed(world))
    logs_kept = {f"{Digest(past.digest).hex[:12]}.log" for past in state.read(folder).history}
    for log in folder.glob("*.log"):
        if log.name not in logs_kept:
            with contextlib.suppress(StorageError):
                state.remove(log)


def _needed(world: World) -> set[str]:
    """Return the manifests that any component runs, is about to run, or ran before."""
    needed = set()
    for path in world.run.glob("*/state.json"):
        known = state.read(path.parent)
        instances = (known.current, known.other)
        needed |= {instance.manifest for instance in instances if instance}
        needed |= {past.manifest for past in known.history[-2:]}
    return needed
