"""Run `go build`: watched line by line, ended in time, and its words translated into errors of ours."""

from __future__ import annotations

import collections
import contextlib
import re
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    MirrorError,
    PackageGone,
    StorageError,
    ToolMissing,
    UsageError,
)
from lockgate.base.process import TAIL, end_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_LINES = 60
"""Lines that an error keeps."""

_BREATH = 0.25
"""Seconds between two questions whether to stop."""

_PACKAGE = re.compile(r"[A-Za-z0-9_.~!/-]+")
"""What `go build -v` prints when it compiles a package: its import path alone."""


class Watch(NamedTuple):
    """Who watches a compilation, and for how long."""

    name: str
    """The module, for people."""
    timeout: float
    """Seconds until the whole process group is killed."""
    progress: Callable[[str, int, str], None]
    """Told the name, how many packages were compiled so far, and the last thing done."""
    stopped: Callable[[], bool]
    """Asked now and then; True ends the command."""


def compile_with(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], watch: Watch) -> None:
    """Run `go build -v` and report every package and every download.

    Args:
        argv: the command.
        cwd: folder of the module.
        env: the whole environment.
        watch: who watches.

    Raises:
        LockgateError: as `explain`.
    """
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolMissing(
            f"`{argv[0]}` cannot be executed: {error.strerror}",
            hint="`inv doctor` lists what is needed",
        ) from None
    said: collections.deque[str] = collections.deque(maxlen=_LINES)
    reader = threading.Thread(target=_read, args=(child, watch, said), daemon=True)
    reader.start()
    try:
        code = _ended(child, watch)
    except BaseException:
        end_group(child)
        raise
    if code is None:
        end_group(child)
        late = f"it was not compiled within {watch.timeout:g} s"
        why = "it was stopped" if watch.stopped() else late
        raise CommandFailed(argv[:2], -signal.SIGKILL, f"{watch.name}: {why}")
    # What the compiler's own children hold open is not waited for.
    reader.join(10)
    if child.stderr is not None and not reader.is_alive():
        child.stderr.close()
    if code != 0:
        raise explain(CommandFailed(argv[:2], code, "\n".join(said)[-TAIL:]), watch.name)


def _ended(child: subprocess.Popen[bytes], watch: Watch) -> int | None:
    """Return the exit code; None when the time is over or the command is to stop."""
    until = time.monotonic() + watch.timeout
    while not watch.stopped() and (left := until - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(min(left, _BREATH))
    return None


def _read(child: subprocess.Popen[bytes], watch: Watch, said: collections.deque[str]) -> None:
    done = 0
    # The pipe is closed under this thread when the time limit ends the child.
    with contextlib.suppress(OSError, ValueError):
        for raw in child.stderr or ():
            line = raw.decode("utf-8", "replace").rstrip()
            if line.startswith("go: downloading "):
                watch.progress(watch.name, done, line.removeprefix("go: "))
            elif _PACKAGE.fullmatch(line):
                done += 1
                watch.progress(watch.name, done, line)
            else:
                said.append(line)


_NETWORK = re.compile(
    r"dial tcp|lookup \S+ on|no such host|connection re(?:set|fused)|i/o timeout|TLS handshake|x509:|"
    r"proxyconnect|network is unreachable|Client\.Timeout|unexpected EOF|50[234] |module lookup disabled|"
    r"server misbehaving",
)
_REFUSED = re.compile(r"x509:|module lookup disabled")
"""Of these failures those that another attempt does not end."""
_GONE = re.compile(r"(\S+@\S+?):.*(?:404 Not Found|410 Gone|unknown revision)", re.DOTALL)
_UNTIDY = re.compile(r"missing go\.sum entry|updates to go\.(?:mod|sum) needed|go: updates to go")
_NO_PACKAGE = re.compile(
    r"no required module provides package (\S+)|(\S+): no Go files|cannot find package|is not in std|"
    r"no Go files in (\S+)|directory not found|does not contain package (\S+)"
)


def explain(error: CommandFailed, name: str) -> LockgateError:
    """Translate what Go said into an error of ours.

    Args:
        error: the failed command; the end of its stderr counts.
        name: the module, for people.
    """
    text = error.stderr_tail
    last = (text.strip().splitlines() or ["Go gave no reason"])[-1].strip()
    if "checksum mismatch" in text or "SECURITY ERROR" in text:
        named = re.search(r"(?:verifying|downloading) (\S+?):? ", text)
        return DigestMismatch(
            f"{named[1].rstrip(':') if named else 'a module'} is not what go.sum of {name} lists",
            hint="do not trust this module proxy until you know why",
        )
    if "no space left on device" in text.lower() or "disk quota exceeded" in text.lower():
        return StorageError(
            f"{name} could not be compiled: the disk is full",
            hint="free some space: `inv tools.clean --yes` empties Go's caches and keeps finished programs",
        )
    if _UNTIDY.search(text):
        return UsageError(
            f"go.mod and go.sum of {name} are not complete: {last}",
            hint=f"run `go mod tidy` in the folder of {name}, and look at what it changed",
        )
    if gone := _GONE.search(text):
        return PackageGone(
            f"the module {gone[1]} of {name} is not on the module proxy",
            hint="`go env GOPROXY` shows which proxy it is; choose a version that is there",
        )
    if _NETWORK.search(text):
        return MirrorError(
            f"the modules of {name} could not be downloaded: {last}",
            hint="check the network and `go env GOPROXY`; what was downloaded is kept",
            retryable=not _REFUSED.search(text),
        )
    if _NO_PACKAGE.search(text):
        return UsageError(f"{name} could not be compiled: {last}", hint="check the package's path")
    error.hint = (
        "memory may have run out: close something, then run it again; what was compiled is kept"
        if "signal: killed" in text
        else "what Go said:\n"
        + "\n".join(f"    {line}" for line in text.strip().splitlines()[-12:])
    )
    return error
