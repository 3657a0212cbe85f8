"""The service inside the test images: tells what it sees. Runs in the sandbox, on the standard library."""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open("/srv/settings.json", encoding="utf-8") as _file:  # noqa: PTH123
    SETTINGS = json.load(_file)


def attempt(action):
    """Return what an action gave, or the name of its error."""
    try:
        return action()
    except OSError as error:
        return type(error).__name__ + " " + str(error.errno)


def facts():
    """Return everything that the tests ask about."""
    status = dict(
        line.split(":\t", 1) for line in open("/proc/self/status", encoding="ascii")  # noqa: PTH123, SIM115
    )
    return {
        "version": SETTINGS["version"],
        "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
        "capabilities": [status[name].strip() for name in status if name.startswith("Cap")],
        "no_new_privs": status["NoNewPrivs"].strip(),
        "root": sorted(os.listdir("/")),
        "dev": sorted(os.listdir("/dev")),
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "hostname": os.uname().nodename,
        "write_root": attempt(lambda: os.mkdir("/new")),
        "write_srv": attempt(lambda: os.open("/srv/settings.json", os.O_WRONLY)),
        "write_dev": attempt(lambda: os.mkdir("/dev/new")),
        "write_sys": attempt(lambda: os.open("/proc/sys/kernel/hostname", os.O_WRONLY)),
        "write_tmp": attempt(lambda: os.close(os.open("/tmp/new", os.O_WRONLY | os.O_CREAT))),  # noqa: S108
        "write_shm": attempt(lambda: os.close(os.open("/dev/shm/new", os.O_WRONLY | os.O_CREAT))),  # noqa: S108
        "stdout": attempt(lambda: os.close(os.open("/dev/stdout", os.O_WRONLY))),
        "chroot": attempt(lambda: os.chroot("/tmp")),  # noqa: S108
        "kill_init": attempt(lambda: os.kill(1, signal.SIGKILL)),
        "memory_of_init": attempt(lambda: os.open("/proc/1/mem", os.O_RDONLY)),
        "root_of_init": attempt(lambda: os.listdir("/proc/1/root")),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "folder": os.getcwd(),
        "stamps": os.stat("/srv/settings.json").st_mtime,
    }


class Handler(BaseHTTPRequestHandler):
    """Answers as the settings of the image say."""

    def do_GET(self):
        """Answer /readyz, /smoke, /orphan and everything else."""
        status, body = 200, b"ok\n"
        if self.path == "/readyz":
            status = SETTINGS.get("ready", 200)
        elif self.path == "/smoke":
            status = SETTINGS.get("smoke", 200)
        elif self.path == "/facts":
            body = json.dumps(facts()).encode()
        elif self.path == "/orphan":
            body = str(orphan()).encode()
        elif self.path == "/die":
            threading.Timer(0.01, os._exit, (9,)).start()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def orphan():
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


if SETTINGS.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "exit" in SETTINGS:
    print("cannot go on: no luck today", flush=True)  # noqa: T201
    sys.exit(SETTINGS["exit"])
print(f"version {SETTINGS['version']} listens", flush=True)  # noqa: T201
ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
