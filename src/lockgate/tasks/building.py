"""The build stage's edges, made from the settings: stack, mirror, wheels, git."""

from __future__ import annotations

import functools
import os
import shutil
import time
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
from lockgate.tasks.console import megabytes, quantity
from lockgate.tasks.locking import mirrors, relock
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.base.settings import Component, Environment
    from lockgate.build.apt_sources import Mirrors
    from lockgate.build.build import Ingredients
    from lockgate.build.stack_lock import LockedStack
    from lockgate.tasks.session import Session


def make_plan(session: Session, name: str) -> Plan:
    """Return everything that a component's image depends on; nothing is downloaded or changed.

    Raises:
        UsageError: a file, folder, stack or lock is missing or does not fit.
    """
    component = session.settings.components[name]
    folder = session.root / component.path
    files = tree.source_files(folder, component.exclude)
    home = stack.folder(component.stack, session.root)
    locked = open_stack(home)
    requirements = _requirements(session, component)
    return Plan(
        component=name,
        project=session.settings.project,
        source=git.source(
            session.root,
            repository=session.settings.source,
            subpath=component.path,
            exclude=component.exclude,
            also=_also(session, component, home),
            content=tree.content_digest(folder, files),
        ),
        path=str(folder),
        files=tuple(files),
        stack=component.stack,
        stack_lock=locked.digest,
        stack_date=locked.lock.date,
        python=locked.lock.stack.python,
        requirements=Digest.of(requirements.read_bytes()),
        platforms=session.settings.build.platforms,
        entrypoint=component.entrypoint,
        environment={**locked.lock.stack.environment, **component.environment},
        port=component.port,
        user=locked.lock.stack.user,
    )


def _requirements(session: Session, component: Component) -> Path:
    path = session.root / component.path / component.requirements
    if not path.is_file():
        raise UsageError(
            f"there is no {path.relative_to(session.root)}",
            hint="lock the dependencies with `uv pip compile --generate-hashes`",
        )
    return path


def _also(session: Session, component: Component, home: Path) -> list[str]:
    found = ["lockgate.yaml", f"{component.path}/{component.requirements}"]
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

    locked = open_stack(stack.folder(plan.stack, session.root))
    fetcher = _Fetcher(session, plan, locked)
    return build(
        plan,
        layout=session.layout,
        cache=session.cache,
        base=fetcher.base,
        dependencies=fetcher.dependencies,
    )


class _Fetcher:
    """Gets what layers are made of, when a layer is not cached."""

    def __init__(self, session: Session, plan: Plan, locked: LockedStack) -> None:
        self._session, self._plan, self._locked = session, plan, locked

    def base(self, platform: str) -> Ingredients:
        """Return the files of the stack for a platform, downloading missing packages."""
        from lockgate.build import debs
        from lockgate.build.base import Base
        from lockgate.build.build import Ingredients

        lock = self._locked.lock
        started = time.monotonic()
        listed = lock.of(platform)
        label = f"base {self._plan.stack} {platform} (Debian {lock.release})"
        with self._session.console.bar(label) as progress:
            found = debs.fetch(lock, platform, self._mirrors, user_cache() / "debs", progress)
        size = megabytes(sum(one.size for one in listed))
        self._session.console.say(
            "build", f"{label}: {quantity(len(listed), 'package')}, {size}", started=started
        )
        files = Base(lock, platform, found)
        return Ingredients(files.entries(), files.packages)

    def dependencies(self, platform: str) -> Ingredients:
        """Return the files of the locked wheels for a platform, downloading missing ones."""
        from lockgate.build import distribution, wheels
        from lockgate.build.build import Ingredients

        started = time.monotonic()
        component = self._session.settings.components[self._plan.component]
        found = wheels.fetch(
            _requirements(self._session, component),
            python=self._plan.python,
            glibc=self._locked.lock.glibc(platform),
            platform=platform,
            cache=user_cache() / "wheels",
        )
        self._session.console.say(
            "build", f"wheels {platform}: {quantity(len(found), 'distribution')}", started=started
        )
        return Ingredients(
            distribution.entries(found, python=self._plan.python),
            lambda: distribution.packages(found),
        )

    @functools.cached_property
    def _mirrors(self) -> Mirrors:
        return mirrors(self._session)


def compare(session: Session, plan: Plan, image: Image) -> int:
    """Build a plan again, from packages alone and in an empty store; return how many files are equal.

    Raises:
        TrustError: the two images differ; the message names the first difference.
    """
    from lockgate.base.cache import StageCache
    from lockgate.build.build import build
    from lockgate.build.compare import compare as find_difference
    from lockgate.oci.layout import Layout

    place = session.folder / "compare"
    shutil.rmtree(place, ignore_errors=True)
    try:
        again = Layout.create(place / "store")
        fetcher = _Fetcher(session, plan, open_stack(stack.folder(plan.stack, session.root)))
        other = build(
            plan,
            layout=again,
            cache=StageCache(place / "cache"),
            base=fetcher.base,
            dependencies=fetcher.dependencies,
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
