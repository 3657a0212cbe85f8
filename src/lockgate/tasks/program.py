"""What `./inv` runs: Invoke, which here knows the nearest right word and keeps bytecode.

    python -m lockgate.tasks.program build scan

Invoke compiles every module anew on each run unless told to keep what it compiled, and answers a mistyped
task with exit code 1. Everything else is Invoke's own; `invoke` and `inv` work too.
"""

from __future__ import annotations

import re
import sys

from invoke.exceptions import ParseError
from invoke.program import Program

from lockgate import __version__


class Lockgate(Program):
    """Invoke's program with a hint for people who mistype."""

    def parse_tasks(self) -> None:
        """Parse the task part of the command line; end with exit code 2 when it cannot be parsed."""
        try:
            super().parse_tasks()
        except ParseError as error:
            self._explain(error)
            sys.exit(2)

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
        print(f"  hint: {meant or '`./inv --list` names every task'}", file=sys.stderr)


def _names(context: object) -> list[str]:
    name, aliases = getattr(context, "name", ""), getattr(context, "aliases", ())
    return [name, *aliases] if name else []


program = Lockgate(
    name="Lockgate", binary="inv[oke]", binary_names=["invoke", "inv"], version=__version__
)


if __name__ == "__main__":
    program.run(["inv", "--write-pyc", *(sys.argv[1:] or ["--list"])])
