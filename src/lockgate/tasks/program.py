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
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from invoke.exceptions import ParseError
from invoke.program import Program

from lockgate import __version__
from lockgate.tasks import namespace
from lockgate.tasks.command import SHORT
from lockgate.tasks.hinting import by_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invoke.collection import Collection
    from invoke.parser import Parser
    from invoke.parser.context import ParserContext


class Lockgate(Program):
    """Invoke's program with a hint for people who mistype."""

    def parse_tasks(self) -> None:
        """Parse the task part of the command line; end with exit code 2 when it cannot be parsed."""
        self._once = super()._make_parser()
        named = by_name(self._once.contexts.values())
        missing = without_value(self.core.unparsed, named)
        if missing is not None:
            task, flag = missing
            _complain_of(task, f"`{flag}` of `{task}` has no value")
        foreign = without_flag(self.core.unparsed, named)
        if foreign is not None:
            task, flag = foreign
            _complain_of(task, f"`{task}` has no `{flag}`")
        try:
            self._parse(named)
        except ParseError as error:
            self._explain(error, named)

    def _make_parser(self) -> Parser:
        # One for each run, since Invoke takes the help texts out of the tasks when it makes it.
        return self._once

    def _parse(self, named: Mapping[str, ParserContext]) -> None:
        try:
            super().parse_tasks()
        except ParseError:
            words = with_flags(self.core.unparsed, self.collection, named)
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

    def _explain(self, error: ParseError, named: Mapping[str, ParserContext]) -> NoReturn:
        from lockgate.base.settings import nearest

        absent = re.fullmatch(r"'(.*)' did not receive required \D*: (.*)", str(error))
        if absent is not None:
            needed = absent[2].replace("'", "`").replace(", ", " and ")
            _complain_of(absent[1], f"`{absent[1]}` needs {needed}")
        word = re.search(r"'([^']*)'", str(error))
        current = error.context
        if current is not None and current.name and word and word[1].startswith("-"):
            # `build` is an alias: Invoke's own name for it is `build.build`.
            task = min((current.name, *current.aliases), key=len)
            meant = nearest(word[1], sorted(current.flags))
            _complain_of(task, f"`{task}` has no `{word[1]}`", meant)
        meant = nearest(word[1], sorted(named)) if word else ""
        _complain(str(error).replace("!", ""), meant or "`inv --list` names every task")


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


def with_flags(
    words: Sequence[str], tasks: Collection, named: Mapping[str, ParserContext]
) -> list[str]:
    """Put the flag before each word that a task may have: `verify app` becomes `verify --reference app`.

    A word that is the name of a task is that task, and what follows a flag belongs to the flag.
    """
    found: list[str] = []
    current, flag, due = None, "", False
    for word in words:
        if due:
            due = False
        elif word in named:
            current = named[word]
            flag = getattr(tasks[word].body, "lockgate_word", "")
        elif word.startswith("-"):
            due = current is not None and word in current.flags and current.flags[word].takes_value
        elif flag:
            found.append(f"--{flag}")
        found.append(word)
    return found


def without_value(
    words: Sequence[str], named: Mapping[str, ParserContext]
) -> tuple[str, str] | None:
    """Return the first flag that takes a value and is given none or an empty one, behind its task; None without any.

    Invoke reads a flag that may be repeated, and has no value, as if it were not there; an empty value means "not
    given" to most tasks. So `inv verify --reference $IMAGE -e "$ENVIRONMENT"` would verify something else, and pass,
    where a script has one of the two variables not set.
    """
    current, task, due = None, "", ""
    for word in words:
        flag, equals, value = word.partition("=")
        if due:
            if not word or (current is not None and flag in current.flags):
                return task, due
            due = ""
        elif word in named:
            current, task = named[word], word
        elif current is not None and flag in current.flags and current.flags[flag].takes_value:
            if equals and not value:
                return task, flag
            due = "" if equals else flag
    return (task, due) if due else None


def without_flag(
    words: Sequence[str], named: Mapping[str, ParserContext]
) -> tuple[str, str] | None:
    """Return the first task with a short flag behind it that is another task's; None without any.

    Invoke has such letters of its own, and takes them there: `inv deploy.repair -p` would be no plan, but a repair
    with a terminal, and `inv deploy.stop -e dev` would look for a task `dev`.
    """
    current, task, due = None, "", False
    for word in words:
        if due:
            due = False
        elif word in named:
            current, task = named[word], word
        elif current is not None and word.startswith("--"):
            due = word in current.flags and current.flags[word].takes_value
        elif current is not None and word.startswith("-"):
            for at, letter in enumerate(word[1:], 1):
                flag = f"-{letter}"
                if flag not in current.flags:
                    if letter in SHORT.values():
                        return task, flag
                    break
                if current.flags[flag].takes_value:
                    due = at == len(word) - 1
                    break
    return None


def _complain_of(task: str, message: str, meant: str = "") -> NoReturn:
    """Complain of what was typed behind a task: its help says what could have been meant."""
    _complain(message, meant or f"`inv --help {task}` explains it")


def _complain(message: str, hint: str) -> NoReturn:
    called = os.environ.get("LOCKGATE_INV", "./inv")
    print(message, file=sys.stderr)
    print(f"  hint: {hint.replace('`inv ', f'`{called} ')}", file=sys.stderr)
    sys.exit(2)


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
    _open_what_is_closed()
    sys.unraisablehook = _interrupt_again
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


def _interrupt_again(ignored: sys.UnraisableHookArgs) -> None:
    """Repeat a Ctrl-C that fell into a callback, of an import or of garbage collection: Python prints it and goes on."""
    if ignored.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(ignored)
        return
    # By another thread, and later: what is raised within this function is ignored, too.
    main = threading.main_thread().ident or 0
    threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT)).start()


def _open_what_is_closed() -> None:
    """Let a standard stream that was closed, as by `<&-` in a shell or by a service, lead nowhere.

    Python has None in its place, and the next file that is opened gets its number: whatever a program that we start
    says to its stderr would be written into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open until the end
            os.set_inheritable(nowhere.fileno(), True)
            setattr(sys, name, nowhere)


if __name__ == "__main__":
    _run(program)
