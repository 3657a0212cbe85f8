"""What `./inv` runs: Invoke, which here knows the nearest right word and keeps bytecode.

    python -m lockgate.tasks.program build scan

`lockgate` and `kubectl lockgate` of an installation are the same program, called `main` here.

Invoke compiles every module anew on each run unless told to keep what it compiled, answers a mistyped task with
exit code 1, and knows no word that a task may have, but need not: `inv verify app`. Everything else is Invoke's
own; `invoke` and `inv` work too, where such a word needs its flag.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.exceptions import ParseError
from invoke.program import Program

from lockgate import __version__
from lockgate.tasks import namespace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invoke.collection import Collection


class Lockgate(Program):
    """Invoke's program with a hint for people who mistype."""

    def parse_tasks(self) -> None:
        """Parse the task part of the command line; end with exit code 2 when it cannot be parsed."""
        try:
            self._parse()
        except ParseError as error:
            self._explain(error)
            sys.exit(2)

    def _parse(self) -> None:
        try:
            super().parse_tasks()
        except ParseError:
            words = with_flags(self.core.unparsed, self.collection)
            if words == self.core.unparsed:
                raise
            self.core.unparsed = words
            super().parse_tasks()

    def execute(self) -> None:
        """Run the tasks; Ctrl-C between two of them ends as it does within one, with exit code 130."""
        try:
            super().execute()
        except KeyboardInterrupt:
            print("stopped by Ctrl-C; what was finished is kept", file=sys.stderr)
            sys.exit(130)

    def _explain(self, error: ParseError) -> None:
        from lockgate.base.settings import nearest

        word = re.search(r"'([^']*)'", str(error))
        known = sorted(name for one in self.parser.contexts.values() for name in _names(one))
        if error.context is not None and error.context.name and word and word[1].startswith("-"):
            known = sorted(error.context.flags)
        meant = nearest(word[1], known) if word else ""
        print(str(error).replace("!", ""), file=sys.stderr)
        called = os.environ.get("LOCKGATE_INV", "./inv")
        print(f"  hint: {meant or f'`{called} --list` names every task'}", file=sys.stderr)


class Installed(Lockgate):
    """The command of an installation: a repository needs no `tasks.py` to use it."""

    def load_collection(self) -> None:
        """Load the nearest `tasks.py` that is ours; where there is none, take the tasks that every repository has."""
        if self.args.collection.value is None:
            root = self.args["search-root"]
            found = tasks_above(Path(root.value or Path.cwd()).absolute())
            if found is None:
                self.collection = namespace()
                return
            root.value = str(found)
        super().load_collection()


def tasks_above(start: Path) -> Path | None:
    """Return the nearest folder, from `start` upwards, with a `tasks.py` that is meant for us; None without one.

    Celery's are called so, too. And a file that somebody else may have put into a folder above is not executed.
    """
    for folder in (start, *start.parents):
        path = folder / "tasks.py"
        try:
            trusted = path.stat().st_uid in (0, os.geteuid())
            if trusted and b"lockgate" in path.read_bytes():
                return folder
        except OSError:
            continue  # there is none, or none that we may read
    return None


def with_flags(words: Sequence[str], tasks: Collection) -> list[str]:
    """Put the flag before each word that a task may have: `verify app` becomes `verify --reference app`.

    A word that is the name of a task is that task, and what follows a flag belongs to the flag.
    """
    contexts = {name: one for one in tasks.to_contexts() for name in _names(one)}
    found: list[str] = []
    current, flag, due = None, "", False
    for word in words:
        if due:
            due = False
        elif word in contexts:
            current = contexts[word]
            flag = getattr(tasks[word].body, "lockgate_word", "")
        elif word.startswith("-"):
            due = current is not None and word in current.flags and current.flags[word].takes_value
        elif flag:
            found.append(f"--{flag}")
        found.append(word)
    return found


def _names(context: object) -> list[str]:
    name, aliases = getattr(context, "name", ""), getattr(context, "aliases", ())
    return [name, *aliases] if name else []


program = Lockgate(
    name="Lockgate", binary="inv[oke]", binary_names=["invoke", "inv"], version=__version__
)

PLUGIN = "kubectl-lockgate"
"""What kubectl looks for on PATH when somebody types `kubectl lockgate`."""


def main() -> None:
    """Run as `lockgate`, or as kubectl's plugin; hints then name the command that was typed."""
    called = "kubectl lockgate" if Path(sys.argv[0]).name == PLUGIN else "lockgate"
    os.environ["LOCKGATE_INV"] = called
    _run(Installed(name="Lockgate", binary=called, binary_names=["lockgate"], version=__version__))


def _run(as_called: Lockgate) -> None:
    try:
        try:
            as_called.run(["inv", "--write-pyc", *(sys.argv[1:] or ["--list"])])
        finally:
            # Invoke ends with an exception, and what it wrote may still be in the buffer.
            sys.stdout.flush()
    except BrokenPipeError as error:
        # `--help TASK | head`: nobody reads on. Python would complain once more about what is left in the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        ended = error.__context__
        sys.exit(ended.code if isinstance(ended, SystemExit) and ended.code else 141)


if __name__ == "__main__":
    _run(program)
