"""The first process of a sandbox: starts the service, passes signals on, reaps, and ends with it.

A service that is process 1 itself would have to reap orphans and would not end on a SIGTERM that it does
not handle (pid_namespaces(7)). When process 1 ends, the kernel kills everything in its namespace.

Until the deployer says that it has written down whom it started, this process dies with it: a deployer that
is killed at any line leaves no service behind. Standard library only; imports nothing once the root changed.
"""

from __future__ import annotations

import os
import select
import signal

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def serve(
    argv: list[str], env: dict[str, str], folder: str, *, guard: int, lock: int, status: int
) -> int:
    """Run a service until it ends; return its exit code, 128 and the signal's number when killed.

    Args:
        argv: program, looked up in the PATH of `env`, and arguments.
        env: the service's whole environment.
        folder: its working directory.
        guard: pipe from the deployer. A byte: stay; its end before that: stop.
        lock: the deployer's lock, held with it until this process may stay or everything has stopped.
        status: pipe on which the deployer learns that the service ended and how.
    """
    wake = _signal_pipe()
    child = _start(argv, env, folder)
    watched = [wake, guard]
    while True:
        ready = select.select(watched, [], [])[0]
        if guard in ready:
            if not os.read(guard, 1):
                return _end_all(137)
            watched.remove(guard)
            os.close(guard)
            os.close(lock)
        if wake in ready:
            for number in os.read(wake, 64):
                if number != signal.SIGCHLD:
                    os.kill(child, number)
            code = _reap(child)
            if code is not None:
                _tell(status, code)
                return _end_all(code)


def _signal_pipe() -> int:
    """Return a pipe that yields one byte, its number, for each signal that arrives."""
    wake, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    for number in (*_FORWARDED, signal.SIGCHLD):
        signal.signal(number, _nothing)
    return wake


def _nothing(*_: object) -> None:
    """Be a handler: a signal without one never reaches process 1."""


def _start(argv: list[str], env: dict[str, str], folder: str) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        # Python ignores these two; a program expects their defaults.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.chdir(folder)
        os.umask(0o022)
        _execute(argv, env)
    except OSError as error:
        os.write(2, f"{argv[0]} cannot be executed in {folder}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _execute(argv: list[str], env: dict[str, str]) -> None:
    """Become the program, or raise the most telling OSError. `os.execvpe` would import modules here."""
    if "/" in argv[0]:
        os.execve(argv[0], argv, env)  # noqa: S606
    telling: OSError = FileNotFoundError(2, "No such file on its PATH")
    for place in env.get("PATH", "").split(":"):
        try:
            os.execve(f"{place or '.'}/{argv[0]}", argv, env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            telling = error
    raise telling


def _reap(child: int) -> int | None:
    """Collect everything that has ended; return the exit code of `child` when it was among it."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def _end_all(code: int) -> int:
    """Kill and collect all others, so that their ports are free before the lock is."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        return code


def _tell(status: int, code: int) -> None:
    texts = {2: f"the service ended with exit code {code}\n", status: f"ended {code}\n"}
    for where, text in texts.items():
        try:
            os.write(where, text.encode())
        except OSError:
            continue  # the disk is full, or nobody asks any more
