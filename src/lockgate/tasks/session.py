"""What every task begins with: settings, store and records of the repository."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lockgate.base import settings_file
from lockgate.base.cache import StageCache
from lockgate.base.canonical import Record, decode, encode
from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write
from lockgate.oci.layout import Layout
from lockgate.tasks.console import Console

if TYPE_CHECKING:
    from lockgate.base.settings import Settings

R = TypeVar("R", bound=Record)


class Session:
    """One repository with its settings, store and records."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings: Settings = settings_file.load(root)
        self.folder = root / ".lockgate"
        """Everything that Lockgate keeps for this repository; ignored by git."""
        self.cache = StageCache(self.folder / "cache")
        self.console = Console()

    @functools.cached_property
    def layout(self) -> Layout:
        """The store, made on first use."""
        place = self.root / self.settings.store
        return Layout(place) if (place / "oci-layout").exists() else Layout.create(place)

    def components(self, name: str) -> list[str]:
        """Return the named component, or all that are not on demand.

        Raises:
            UsageError: there is no such component, or none was named and each is on demand.
        """
        if name:
            return [self.settings.component(name)[0]]
        usual = self.settings.usual()
        if not usual:
            raise UsageError(
                "every component is on demand, and none was named",
                hint="add `-c " + "` or `-c ".join(self.settings.components) + "`",
            )
        return usual

    def local_components(self, name: str) -> list[str]:
        """Return the named component, or all that are not on demand, as far as the `local` target runs them.

        Raises:
            UsageError: as `components`; or the named one is not for that target, or none is.
        """
        found = [one for one in self.components(name) if self.settings.components[one].local]
        if not found:
            raise UsageError(
                f"the `local` target does not run {name or 'any component'}: `local: false`",
                hint="deploy it to a cluster, or set `local: true`",
            )
        return found

    def lock(self, name: str) -> Path:
        """Return the lock file that keeps two runs from doing the same work at once."""
        return self.folder / "locks" / name

    def keep(self, component: str, name: str, record: Record) -> None:
        """Write a record where the next stage looks for it; the same record is not written again."""
        path = self.record_path(component, name)
        data = encode(record)
        if not path.exists() or path.read_bytes() != data:
            atomic_write(path, data)

    def record(self, component: str, name: str, kind: type[R], *, made_by: str) -> R:
        """Read the record of an earlier stage.

        Raises:
            UsageError: that stage did not run yet, or left something else.
        """
        path = self.record_path(component, name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise UsageError(
                f"{component} has no {name} yet", hint=f"run `inv {made_by} -c {component}` first"
            ) from None
        return decode(data, kind, what=f"{path.relative_to(self.root)}")

    def record_path(self, component: str, name: str) -> Path:
        """Return where a record lies."""
        return self.folder / "records" / component / f"{name}.json"

    def emit(self, record: Record) -> None:
        """Print a record on stdout for a machine."""
        sys.stdout.write(encode(record).decode() + "\n")
        sys.stdout.flush()


@functools.cache
def open_session() -> Session:
    """Return the session of the repository around the current folder; one a process.

    Raises:
        UsageError: there is no readable `lockgate.yaml`.
    """
    return Session(settings_file.find_root(Path.cwd()))


def user_cache() -> Path:
    """Return the folder for downloads that repositories share (XDG base directory specification)."""
    named = os.environ.get("LOCKGATE_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lockgate"
