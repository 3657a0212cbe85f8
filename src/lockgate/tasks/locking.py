"""The edges of a stack's lock, made from the settings: mirrors, and a new lock of what they have."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write
from lockgate.build import stack
from lockgate.build.stack_lock import LOCK
from lockgate.tasks.console import quantity

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.apt_sources import Mirrors
    from lockgate.build.stack_lock import StackLock
    from lockgate.tasks.session import Session


def mirrors(session: Session) -> Mirrors:
    """Return the package mirrors: those of the settings, else of the machine's apt sources."""
    from pathlib import Path

    from lockgate.build.apt_sources import find_mirrors

    chosen = session.settings.build
    return find_mirrors(Path("/"), mirror=chosen.mirror, security_mirror=chosen.security_mirror)


def stacks_in_use(session: Session) -> set[str]:
    """Return the names of the stacks that components name."""
    return {one.stack for one in session.settings.components.values()}


def relock(session: Session, name: str) -> None:
    """Resolve a stack's packages anew, write its lock, and say what moved.

    Raises:
        LockgateError: from the mirror or the resolution; the old lock stays then.
    """
    from lockgate.build import debian, stack_lock

    shipped = stack.folder(name, session.root)
    data = (shipped / stack.FILE).read_bytes()
    # A stack that Lockgate ships becomes the repository's own with its first lock there.
    home = session.root / "stacks" / name
    wanted = stack.load(data, what=f"{name}/{stack.FILE}")
    started = time.monotonic()
    previous = _previous(shipped)
    with session.console.bar(f"indexes of {', '.join(wanted.suites)}") as progress:
        made = debian.lock(
            wanted,
            mirrors(session),
            file=data,
            now=int(time.time()),
            progress=progress,
            previous=previous,
        )
    if home != shipped:
        atomic_write(home / stack.FILE, data)
    atomic_write(home / LOCK, stack_lock.dump(made))
    moved = _moves(previous, made)
    count = sum(len(packages) for packages in made.packages.values())
    session.console.say(
        "lock",
        f"{name}  {quantity(count, 'package')} of Debian {made.release}, "
        + (f"{len(moved)} moved" if moved else "nothing moved"),
        started=started,
    )
    session.console.block(moved)


def _previous(home: Path) -> StackLock | None:
    from lockgate.build import stack_lock

    try:
        return stack_lock.parse((home / LOCK).read_bytes(), what=LOCK)
    except (OSError, UsageError):
        return None  # the first lock, or one that is being replaced because it is not readable


def _moves(previous: StackLock | None, made: StackLock) -> list[str]:
    if previous is None:
        return []
    old = {
        (arch, one.name): one.version for arch, all_ in previous.packages.items() for one in all_
    }
    new = {(arch, one.name): one.version for arch, all_ in made.packages.items() for one in all_}
    return [
        f"{name} {arch}  {old.get((arch, name), '-')} → {new.get((arch, name), '-')}"
        for arch, name in sorted(old.keys() | new.keys())
        if old.get((arch, name)) != new.get((arch, name))
    ]
