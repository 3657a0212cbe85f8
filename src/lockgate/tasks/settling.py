"""The edges of `inv settings`: settings printed, and the first files of a repository written."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_create, storage_error
from lockgate.tasks.console import Console, quantity

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.guess import Guess

_IGNORE = ".gitignore"

IGNORED = ("/.lockgate/", "/out/", "__pycache__/")
"""What Lockgate and the run of `tasks.py` make, and git is not to keep."""

TASKS = '''\
"""The tasks of this repository."""

from lockgate.tasks import namespace

ns = namespace()
'''

_HEAD = "# Written by `inv settings.init` from what was found here; `inv settings` prints what else there is.\n"


def show(root: Path, component: str, env: str, *, json: bool) -> None:
    """Print the settings that count: those of the file, laid over the defaults.

    Args:
        root: folder of `lockgate.yaml`.
        component: component that is printed alone; empty for all.
        env: environment that is printed alone; empty for all.
        json: print one JSON record.

    Raises:
        UsageError: the file cannot be read, or there is no such component or environment.
    """
    from lockgate.base import settings_file, settings_text, strict_yaml

    settings = settings_file.load(root)
    content = settings_text.tree(settings)
    if component or env:
        # Both name what they know best: a wrong word gets the nearest right one.
        names = {
            "components": settings.component(component)[0] if component else "",
            "environments": settings.target(env)[0] if env else "",
        }
        content = {
            section: {name: content[section][name]} for section, name in names.items() if name
        }
    if json:
        import msgspec

        # Not canonical: the order of components is that in which they are worked on.
        sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
        return
    given = strict_yaml.load((root / settings_file.NAME).read_bytes(), what=settings_file.NAME)
    defaults = dict.fromkeys(settings_text.ungiven(content, given), "default")
    sys.stdout.write(settings_text.dump(content, defaults))


class Start(NamedTuple):
    """The first files of a repository."""

    root: Path
    project: str
    guesses: tuple[Guess, ...]
    lines: bytes
    """What the `.gitignore` that is there gets at its end; empty when it lacks nothing, or is a new file."""
    files: dict[str, bytes]
    """New ones by path, in the order in which they are written; `lockgate.yaml` last, since it says that all is done."""
    kept: tuple[str, ...]
    """What is to be known of files that are there and stay as they are."""


def start(root: Path) -> Start:
    """Return what a repository would begin with; nothing is written.

    Args:
        root: its folder.

    Raises:
        UsageError: it has a `lockgate.yaml`, or holds nothing that looks like a component.
        StorageError: it cannot be read.
    """
    from lockgate.base import settings_file
    from lockgate.build import guess

    name = settings_file.NAME
    for folder in (root, *root.parents):
        if os.path.lexists(folder / name):
            raise UsageError(
                f"`{name}` is there already: {folder / name}",
                hint="`inv settings` prints what it says; further components are added by hand",
            )
    guesses = guess.components(root)
    if not guesses:
        raise UsageError(
            f"nothing in {root} looks like a component: no `wsgi.py`, no `app.py`, no `requirements.txt` beside "
            "something that runs, no `go.mod` with a main package",
            hint=f"write `{name}` by hand; `docs/settings.md` has a short example",
        )
    project = guess.plain_name(root.name)
    text = (_HEAD + _settings(project, guesses)).encode()
    # What is written is read by the same rules as what people write.
    settings_file.parse(text)
    files: dict[str, bytes] = {}
    for one in guesses:
        if one.needs_nothing:
            files[f"{one.path}/requirements.txt".lstrip("/")] = b"# no dependencies\n"
    kept = _tasks(root, files)
    lines, linked = _ignore(root, files)
    return Start(root, project, guesses, lines, {**files, name: text}, kept + linked)


def _settings(project: str, guesses: tuple[Guess, ...]) -> str:
    from lockgate.base import settings_text

    content: dict[str, Any] = {
        "project": project,
        "components": {one.name: one.settings for one in guesses},
    }
    comments: dict[settings_text.Where, str] = {
        ("components", one.name, setting): words
        for one in guesses
        for setting, words in one.comments.items()
    }
    return settings_text.dump(content, comments)


def _tasks(root: Path, files: dict[str, bytes]) -> tuple[str, ...]:
    path = root / "tasks.py"
    if not os.path.lexists(path):
        files["tasks.py"] = TASKS.encode()
        return ()
    try:
        has_ours = b"lockgate.tasks" in path.read_bytes()
    except OSError as error:
        raise storage_error(error, path) from error
    words = "tasks.py stays as it is; add `from lockgate.tasks import namespace` and `ns = namespace()` to it"
    return () if has_ours else (words,)


def _ignore(root: Path, files: dict[str, bytes]) -> tuple[bytes, tuple[str, ...]]:
    """Return the lines that a `.gitignore` lacks, and what is to be known of it; a new one is added to `files`."""
    path = root / _IGNORE
    if path.is_symlink():
        # git does not follow it either (gitignore(5)).
        words = f"{_IGNORE} is a link and stays as it is; git is to ignore {', '.join(IGNORED)}"
        return b"", (words,)
    if not path.exists():
        files[_IGNORE] = "".join(f"{one}\n" for one in IGNORED).encode()
        return b"", ()
    try:
        known = path.read_bytes()
    except OSError as error:
        raise storage_error(error, path) from error
    there = {line.strip().strip(b"/") for line in known.splitlines()}
    missing = "".join(f"{one}\n" for one in IGNORED if one.strip("/").encode() not in there)
    end = "\n" if missing and known and not known.endswith(b"\n") else ""
    return (end + missing).encode(), ()


def say(start: Start, *, plan: bool) -> None:
    """Say what was found, what is written, and what comes next; a plan has the settings on stdout, too."""
    console = Console()
    count = quantity(len(start.guesses), "component")
    console.say("settings", f"project {start.project}, {count}")
    console.block(
        [
            f"{one.name}  {one.settings.get('kind', 'python')} in {one.path or '.'}: "
            + " ".join(one.settings["entrypoint"])
            for one in start.guesses
        ]
    )
    verb = "would write" if plan else "writes"
    if start.lines:
        console.say("settings", f"{verb} further lines of {_IGNORE}")
    for path in start.files:
        console.say("settings", f"{verb} {path}")
    for words in (*start.kept, *(f"{one.name}: {one.lacks}" for one in start.guesses if one.lacks)):
        console.say("settings", words, tone="warn")
    if plan:
        sys.stdout.write(start.files["lockgate.yaml"].decode())
        console.say("settings", "nothing was changed")


def write(start: Start) -> None:
    """Write the first files of a repository, and say what comes next.

    Raises:
        UsageError: one was made by somebody else in the meantime; it stays.
        StorageError: one cannot be written.
    """
    if start.lines:
        _append(start.root / _IGNORE, start.lines)
    for name, data in start.files.items():
        if not atomic_create(start.root / name, data):
            raise UsageError(
                f"`{name}` came to be in the meantime, and stays", hint="`inv settings.init --plan`"
            )
    ready = [one.name for one in start.guesses if not one.lacks]
    if len(ready) == len(start.guesses):
        words = "`inv build`, then `inv scan sign deploy`"
    elif ready:
        words = f"`inv build -c {ready[0]}`; what others need is said above"
    else:
        words = "what is said above, then `inv build`"
    Console().say("settings", f"next: {words}")


def _append(path: Path, lines: bytes) -> None:
    # At its end whatever else was written to it meanwhile; a link that took its place is not followed.
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "ab") as file:
            file.write(lines)
    except OSError as error:
        raise storage_error(error, path) from error
