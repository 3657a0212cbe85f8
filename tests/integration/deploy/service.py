"""The service inside the test images: tells what it sees. Runs in the sandbox, on the standard library."""

# ruff: noqa: PTH102, PTH115, PTH116 - what is told is what the system calls say

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = json.loads(Path("/srv/settings.json").read_bytes())


def attempt(action: Callable[[], Any]) -> Any:
    """Return what an action gave, or the number of its error."""
    try:
        return action()
    except OSError as error:
        return error.errno


def numbers(folder: str) -> list[int]:
    """Return the names in a folder that are numbers."""
    return sorted(int(name) for name in os.listdir(folder) if name.isdigit())


def facts() -> dict[str, Any]:
    """Return everything that the tests ask about."""
    text = Path("/proc/self/status").read_text()
    status = dict(line.split(":", 1) for line in text.splitlines())
    return {
        "version": SETTINGS["version"],
        "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
        "groups": os.getgroups(),
        "capabilities": [int(status[name], 16) for name in status if name.startswith("Cap")],
        "no_new_privs": status["NoNewPrivs"].strip(),
        "root": sorted(os.listdir("/")),
        "dev": sorted(os.listdir("/dev")),
        "processes": numbers("/proc"),
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "hostname": os.uname().nodename,
        "folder": os.getcwd(),
        "time": os.stat("/srv/settings.json").st_mtime,
        "arguments": sys.argv[1:],
        "descriptors": [n for n in numbers("/proc/self/fd") if n < 3],
        "stdin": os.readlink("/proc/self/fd/0"),
    }


def attempts() -> dict[str, Any]:
    """Return the error numbers of what must fail, and None for what must not."""
    flags = os.O_WRONLY | os.O_CREAT
    return {
        "write /": attempt(lambda: os.mkdir("/new")),
        "write /srv": attempt(lambda: os.open("/srv/new", flags)),
        "write /dev": attempt(lambda: os.mkdir("/dev/new")),
        "write /proc/sys": attempt(lambda: os.open("/proc/sys/kernel/hostname", os.O_WRONLY)),
        "write /tmp": attempt(lambda: os.close(os.open("/tmp/new", flags))),
        "write /dev/shm": attempt(lambda: os.close(os.open("/dev/shm/new", flags))),
        "write stdout": attempt(lambda: os.close(os.open("/dev/stdout", os.O_WRONLY))),
        "write null": attempt(lambda: os.close(os.open("/dev/null", os.O_WRONLY))),
        "chroot": attempt(lambda: os.chroot("/tmp")),
        "become root": attempt(lambda: os.setuid(0)),
        "memory of init": attempt(lambda: os.open("/proc/1/mem", os.O_RDONLY)),
        "root of init": attempt(lambda: os.listdir("/proc/1/root")),
        "kill init": attempt(lambda: os.kill(1, signal.SIGKILL)),
    }


def orphan() -> int:
    """Leave a process behind whose parent has ended, and return its number."""
    read, write = os.pipe()
    if os.fork() == 0:
        child = os.fork()
        if child:
            os.write(write, str(child).encode())
        else:
            os.setsid()
            signal.pause()
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))


def end_and_look(pid: int) -> list[int]:
    """Kill an orphan; return the processes that are left once it is gone, zombies among them."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    import select

    select.select([handle], [], [], 5)
    until = time.monotonic() + 20
    while pid in numbers("/proc") and time.monotonic() < until:
        time.sleep(0.001)
    return numbers("/proc")


class Handler(BaseHTTPRequestHandler):
    """Answers as the settings of the image say."""

    def do_GET(self) -> None:
        """Answer what the tests ask."""
        status, body = 200, "true\n"
        if self.path == "/readyz":
            status = SETTINGS.get("ready", 200)
        elif self.path == "/smoke":
            status = SETTINGS.get("smoke", 200)
        elif self.path == "/facts":
            body = json.dumps(facts())
        elif self.path == "/attempts":
            body = json.dumps(attempts())
        elif self.path == "/orphan":
            body = json.dumps(end_and_look(orphan()))
        elif self.path == "/leave":
            body = json.dumps(orphan())
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
        if self.path == "/die":
            # Whoever asked has the whole answer by now.
            os._exit(9)


def main() -> None:
    """Serve, unless the settings say otherwise."""
    if SETTINGS.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "exit" in SETTINGS:
        sys.stdout.write("cannot go on: no luck today\n")
        sys.exit(SETTINGS["exit"])
    sys.stdout.write(f"version {SETTINGS['version']} listens\n")
    sys.stdout.flush()
    place = (os.environ["HOST"], int(os.environ["PORT"]))
    ThreadingHTTPServer(place, Handler).serve_forever()


main()
