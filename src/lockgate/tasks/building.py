"""The build stage's edges, made from the settings: stack, mirror, wheels, git."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from lockgate.base.errors import DigestMismatch, PackageGone, TrustError, UsageError
from lockgate.base.files import exclusive
from lockgate.build import git, stack, tree
from lockgate.build.model import Image
from lockgate.build.naming import name_image
from lockgate.build.plan import Plan
from lockgate.build.stack_lock import LOCK, open_stack
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import Manifest
from lockgate.tasks.locking import relock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lockgate.base.settings import Component, Environment
    from lockgate.build.model import GoSources
    from lockgate.tasks.session import Session


def make_plan(session: Session, name: str) -> Plan:
    """Return everything that a component's image depends on; nothing is downloaded or changed.

    Raises:
        UsageError: a file, folder, stack or lock is missing or does not fit.
    """
    component = session.settings.components[name]
    folder = session.root / component.path
    python = component.kind == "python"
    files = tree.source_files(folder, component.exclude, may_be_none=not python)
    home = stack.folder(component.stack, session.root)
    locked = open_stack(home)
    if python and not locked.lock.stack.python:
        raise UsageError(
            f"stack `{component.stack}` has no Python, and {name} is of the kind `python`",
            hint="choose another stack, or another `kind`",
        )
    modules = _modules(session, component)
    return Plan(
        component=name,
        project=session.settings.project,
        source=git.source(
            session.root,
            repository=session.settings.source,
            subpath=component.path,
            exclude=component.exclude,
            also=_also(session, component, home, modules),
            content=tree.content_digest(folder, files),
        ),
        path=str(folder),
        # What is compiled is not copied, too.
        files=() if component.path in [one.module for one in modules] else tuple(files),
        stack=component.stack,
        stack_lock=locked.digest,
        stack_date=locked.lock.date,
        python=locked.lock.stack.python,
        requirements=Digest.of(_requirements(session, component).read_bytes()) if python else "",
        platforms=session.settings.platforms(name),
        entrypoint=component.entrypoint,
        environment={**locked.lock.stack.environment, **component.environment},
        port=component.port,
        user=locked.lock.stack.user,
        kind=component.kind,
        go=modules,
        compiler=_compiler(modules),
        place=component.place,
    )


def _compiler(modules: Sequence[GoSources]) -> str:
    if not modules:
        return ""
    from lockgate.build import go

    return go.pinned()


def _modules(session: Session, component: Component) -> tuple[GoSources, ...]:
    """Return what is compiled for a component: what its `go` names, else the module in its `path`."""
    if component.kind != "gomodule":
        return ()
    from lockgate.base.settings import GoModule
    from lockgate.build import go_component

    named = component.go or (GoModule(module=component.path),)
    found = [go_component.describe(session.root, one.module, one.packages) for one in named]
    programs = [name for one in found for name in one.programs]
    twice = sorted({name for name in programs if programs.count(name) > 1})
    if twice:
        raise UsageError(
            f"two modules give a program called `{twice[0]}`", hint="name one in its `tool.yaml`"
        )
    return tuple(found)


def _requirements(session: Session, component: Component) -> Path:
    path = session.root / component.path / component.requirements
    if not path.is_file():
        raise UsageError(
            f"there is no {path.relative_to(session.root)}",
            hint="lock the dependencies with `uv pip compile --generate-hashes`",
        )
    return path


def _also(
    session: Session, component: Component, home: Path, modules: Sequence[GoSources]
) -> list[str]:
    found = ["lockgate.yaml"]
    if component.kind == "python":
        found.append(f"{component.path}/{component.requirements}")
    for one in modules:
        listed = tree.source_files(session.root / one.module, ())
        found += [f"{one.module}/{path}" for path in listed]
    if home.is_relative_to(session.root):
        found += [str((home / one).relative_to(session.root)) for one in (stack.FILE, LOCK)]
    return found


def refuse_dirty(plan: Plan, environment: Environment, name: str) -> None:
    """Stop before building what the environment will not take.

    Raises:
        UsageError: the sources are not those of a commit, and the environment wants a commit.
    """
    if plan.source.dirty and not environment.dirty:
        what = ", ".join(plan.source.changes[:3]) or "there is no commit"
        raise UsageError(
            f"{plan.component} has uncommitted changes ({what}); {name} builds commits only",
            hint="commit them, or build for an environment with `dirty: true`",
        )


def cached(session: Session, plan: Plan) -> Image | None:
    """Return the image of an earlier build of the same plan, when the store still has it.

    Raises:
        DigestMismatch: a blob of it was changed.
    """
    kept = session.cache.find("build", plan.component, plan.inputs, Image)
    if kept is None or not _whole(session, kept):
        return None
    named = session.layout.tags().get(plan.component)
    if named is None or named.digest != kept.subject:
        name_image(session.layout, kept)
    session.cache.mark("build", plan.component, plan.inputs)
    session.keep(plan.component, "image", kept)
    return kept


def _whole(session: Session, image: Image) -> bool:
    """True when the store has every blob of the image.

    Manifests and configurations are read and checked, layers by their length only: a cached run is to be
    quick, and whoever uses a layer (scan, verify, deploy) reads all of it.

    Raises:
        DigestMismatch: a blob is there and has other bytes, or another length.
    """
    layout = session.layout
    wanted = {image.subject}
    for one in image.platforms:
        wanted |= {one.manifest, one.config, *one.layers}
    if not all(layout.has(digest) for digest in wanted):
        return False
    for descriptor in layout.manifests(image.subject):
        manifest = Manifest.parse(layout.read(descriptor.digest))
        layout.read(manifest.config.digest)
        for layer in manifest.layers:
            path = layout.path(layer.digest)
            if path.stat().st_size != layer.size:
                raise DigestMismatch(
                    f"blob {Digest(layer.digest).short} is not {layer.size} bytes long",
                    hint=f"remove {path} and run `inv build` again",
                )
    return True


def run(session: Session, plan: Plan, *, relock_allowed: bool) -> Image:
    """Build and remember an image; two runs at once do the work once.

    Args:
        session: the repository.
        plan: what to build.
        relock_allowed: whether the environment takes an image from a lock that is not committed yet.

    Raises:
        PackageGone: a locked package is gone and the settings do not allow to lock again.
        LockgateError: anything else that stops a build.
    """
    console = session.console
    with exclusive(
        session.lock(f"build-{plan.component}"),
        waiting=lambda: console.say("build", "another run builds this component; waiting for it"),
    ):
        kept = cached(session, plan)
        if kept is not None:
            return kept
        try:
            image = _build(session, plan)
        except PackageGone as error:
            if not relock_allowed or session.settings.build.relock == "never" or "CI" in os.environ:
                raise
            console.say("build", f"{error.message}: locking the stack again", tone="warn")
            plan, image = _relock_and_build(session, plan, error)
        session.cache.keep("build", plan.component, plan.inputs, image)
        session.keep(plan.component, "image", image)
    return image


def _relock_and_build(session: Session, plan: Plan, error: PackageGone) -> tuple[Plan, Image]:
    import msgspec

    relock(session, plan.stack)
    plan = make_plan(session, plan.component)
    return plan, msgspec.structs.replace(_build(session, plan), relocked=(error.message,))


def _build(session: Session, plan: Plan) -> Image:
    from lockgate.build.build import build
    from lockgate.tasks.fetching import Fetcher

    locked = open_stack(stack.folder(plan.stack, session.root))
    fetcher = Fetcher(session, plan, locked)
    return build(
        plan,
        layout=session.layout,
        cache=session.cache,
        sources=fetcher,
    )


def compare(session: Session, plan: Plan, image: Image) -> int:
    """Build a plan again, from packages alone and in an empty store; return how many files are equal.

    Raises:
        TrustError: the two images differ; the message names the first difference.
    """
    from lockgate.base.cache import StageCache
    from lockgate.build.build import build
    from lockgate.build.compare import compare as find_difference
    from lockgate.oci.layout import Layout
    from lockgate.tasks.fetching import Fetcher

    place = session.folder / "compare"
    shutil.rmtree(place, ignore_errors=True)
    try:
        again = Layout.create(place / "store")
        locked = open_stack(stack.folder(plan.stack, session.root))
        fetcher = Fetcher(session, plan, locked, anew=place / "go")
        other = build(
            plan,
            layout=again,
            cache=StageCache(place / "cache"),
            sources=fetcher,
        )
        found = find_difference(session.layout, image.subject, again, other.subject)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if found.difference:
        raise TrustError(
            f"{plan.component} is not reproducible: {found.difference}",
            hint="the store may hold a changed image: remove it, build and compare again",
        )
    return found.files
