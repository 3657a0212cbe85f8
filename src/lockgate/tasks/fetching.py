"""Gets what the layers of an image are made of: packages, wheels, compiled programs."""

from __future__ import annotations

import functools
import os
import threading
import time
from typing import TYPE_CHECKING

from lockgate.tasks.console import megabytes, quantity
from lockgate.tasks.locking import mirrors
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.build.apt_sources import Mirrors
    from lockgate.build.build import Ingredients
    from lockgate.build.go_program import Built
    from lockgate.build.model import GoSources
    from lockgate.build.plan import Plan
    from lockgate.build.stack_lock import LockedStack
    from lockgate.tasks.session import Session


class Fetcher:
    """Gets what layers are made of, when a layer is not cached."""

    # One compilation at a time uses every processor; platforms side by side would only take more memory.
    _turn = threading.Lock()

    def __init__(
        self, session: Session, plan: Plan, locked: LockedStack, *, anew: Path | None = None
    ) -> None:
        """Prepare to get; with `anew`, Go programs are compiled again, into that folder."""
        self._session, self._plan, self._locked = session, plan, locked
        self._anew = anew
        self._compiled: dict[tuple[str, str], Mapping[str, Built]] = {}

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
            self._session.root / component.path / component.requirements,
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

    def program(self, platform: str, sources: GoSources, name: str) -> Ingredients:
        """Return one program of a Go module, compiled with all others of it when it is not kept."""
        from lockgate.build import go_component
        from lockgate.build.build import Ingredients

        with self._turn:
            made = self._programs(platform, sources)
        built = made[name]
        return Ingredients(
            go_component.entries(built), lambda: go_component.packages(built, sources)
        )

    def _programs(self, platform: str, sources: GoSources) -> Mapping[str, Built]:
        key = (platform, sources.module)
        if key not in self._compiled:
            self._compiled[key] = self._compile(platform, sources)
        return self._compiled[key]

    def _compile(self, platform: str, sources: GoSources) -> Mapping[str, Built]:
        from lockgate.build import go, go_build, go_component, go_program, gotools
        from lockgate.tasks import tooling

        root, console = self._session.root, self._session.console
        module = go_component.module(root, sources.module, sources.programs, platform=platform)
        cache, wanted = user_cache(), self._plan.compiler
        kept = {} if self._anew else go_program.finished(module, cache, go=wanted)
        if len(kept) == len(sources.programs):
            return kept
        started, reports = time.monotonic(), tooling.reports(console, "build")
        compiler = go.locate(
            os.environ.get("PATH", ""),
            cache,
            least=module.parsed().go,
            exact=True,
            note=reports.note,
        )
        reports.note(f"{sources.module} {platform}: compiling {', '.join(sources.programs)}")
        made = go_build.build(
            module,
            compiler,
            cache,
            jobs=gotools.processors(),
            progress=reports.progress,
            waiting=lambda: reports.note(f"{sources.module}: another run compiles it; waiting"),
            anew=self._anew,
        )
        size = megabytes(sum(one.about.size for one in made.values()))
        text = f"{sources.module} {platform}: {quantity(len(made), 'program')}, {size}"
        console.say("build", text, started=started)
        return made

    @functools.cached_property
    def _mirrors(self) -> Mirrors:
        return mirrors(self._session)
