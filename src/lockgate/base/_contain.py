"""Launcher: run a program in a network namespace of its own. Run by path, `python -I -S _contain.py`.

    _contain.py PARENT PROGRAM ARGUMENT…

Standard library only. On success the program takes this process's place, so its PID and exit code are the
program's own. Exit code 125: the kernel refused; 126 and 127 as in a shell: it cannot be executed, it is
not there.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # At the end, so that no module of the package can stand before one of the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120

from lockgate.base import kernel

REFUSED = 125


def main(argv: list[str]) -> int:
    """Close this process in and become the program; return only on failure."""
    parent, program = int(argv[0]), argv[1:]
    try:
        kernel.die_with_parent(parent)
        own_user = kernel.enter(kernel.CLONE_NEWNET, uid=os.geteuid(), gid=os.getegid())
        kernel.loopback_up()
        # Root reads and writes folders of other users (a project that is mounted into a container): it
        # keeps that one right. In a user namespace it would be worth nothing.
        files = () if own_user or os.geteuid() else (kernel.CAP_DAC_OVERRIDE,)
        kernel.drop_capabilities(*files)
        kernel.forbid_new_privileges()
        # The kernel clears the signal when credentials change, so it is asked for again.
        kernel.die_with_parent(parent)
    except OSError as error:
        print(f"the sandbox could not be made: {error}", file=sys.stderr)
        return REFUSED
    try:
        os.execvp(program[0], program)  # noqa: S606
    except FileNotFoundError:
        print(f"{program[0]}: not found", file=sys.stderr)
        return 127
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)
        return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
