"""Run a program: a time limit that ends its whole process group, drained pipes, a named environment."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import CommandFailed, LockgateError, ToolMissing
from lockgate.base.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAIL = 4096
"""Bytes of stderr that an error keeps."""

PLAIN_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TERM")
"""Variables that every child may see. Everything else, secrets included, must be passed by name."""


class Completed(NamedTuple):
    """What a program that ended with an accepted exit code left behind."""

    code: int
    stdout: bytes
    stderr: bytes


def plain_environment(*names: str) -> dict[str, str]:
    """Return the variables of PLAIN_ENVIRONMENT and of `names` that are set."""
    wanted = (*PLAIN_ENVIRONMENT, *names)
    return {name: os.environ[name] for name in wanted if name in os.environ}


_OF_INSTALLERS = re.compile(
    r"PIP_|UV_|SSL_CERT_|REQUESTS_CA_|CURL_CA_|XDG_|(?i:https?_proxy|no_proxy|all_proxy)$"
)


def installer_environment() -> dict[str, str]:
    """Return the plain environment with what pip and uv are configured by: index, certificates, proxy.

    Credentials may be among it (an index address can hold some), so nothing but an installer gets it.
    """
    passed = {name: value for name, value in os.environ.items() if _OF_INSTALLERS.match(name)}
    # uv brings its own list of certificate authorities; the machine's is the one its owner maintains.
    return plain_environment() | {"UV_SYSTEM_CERTS": "1"} | passed


def find(program: str) -> str:
    """Return the path of `program` on PATH.

    Raises:
        ToolMissing: it is not there.
    """
    path = shutil.which(program)
    if path is None:
        raise ToolMissing(
            f"`{program}` is not on PATH", hint="`inv doctor` lists what is needed and for what"
        )
    return path


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    accept: Sequence[int] = (0,),
    lock: int | None = None,
) -> Completed:
    """Run a program without a shell and return its output.

    Args:
        argv: program and arguments; never holds a secret, since argv is visible to all users.
        timeout: seconds until the whole process group is killed.
        env: the child's whole environment; `plain_environment()` when not given.
        cwd: working directory.
        stdin: bytes to send; without it the child reads an empty stdin.
        accept: exit codes that are answers rather than failures.
        lock: a descriptor that the child holds, too, so that what it locks stays locked when the child outlives us.

    Raises:
        ToolMissing: the program does not exist or cannot be executed here.
        StorageError: `cwd` cannot be entered.
        CommandFailed: another exit code, a signal, or the time limit.
    """
    words = [os.fspath(word) for word in argv]
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(plain_environment() if env is None else env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
    except OSError as error:
        raise _not_started(words[0], cwd, error) from None
    try:
        stdout, stderr = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        end_group(child)
        raise CommandFailed(
            words, -signal.SIGKILL, f"it did not finish within {timeout:g} s"
        ) from None
    except BaseException:
        # Ctrl-C: the child has its own session and would otherwise live on.
        end_group(child)
        raise
    if child.returncode not in accept:
        raise CommandFailed(words, child.returncode, stderr[-TAIL:].decode("utf-8", "replace"))
    return Completed(child.returncode, stdout, stderr)


def _not_started(program: str, cwd: Path | None, error: OSError) -> LockgateError:
    if cwd is not None and error.filename in (cwd, os.fspath(cwd)):
        return storage_error(error, cwd)
    if isinstance(error, FileNotFoundError):
        return ToolMissing(
            f"`{program}` is not installed", hint="`inv doctor` lists what is needed and for what"
        )
    return ToolMissing(
        f"`{program}` cannot be executed: {error.strerror}",
        hint="check that the file is executable and made for this machine",
    )


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a child that was started in its own session, with all its group, and reap it.

    Pipes are closed, not read to their end: a descendant that left the group may hold them for ever.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            # Unsent bytes of stdin find no reader.
            with contextlib.suppress(OSError):
                pipe.close()
    child.wait()
