"""Make `.venv` from the hash-locked requirements. Called by `inv`; standard library only.

A run that is killed leaves no `inv.lock` in the environment, so the next one starts afresh. Two runs at once
wait for each other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

UV_SECONDS = 900


def main(root: Path) -> int:
    """Bring `root/.venv` up to date; return the exit code for `inv`."""
    lock = root / "requirements" / "inv.txt"
    venv = root / ".venv"
    with (root / "requirements" / "install.py").open("rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        marker = venv / "inv.lock"
        current = marker.is_file() and marker.read_bytes() == lock.read_bytes()
        if current and os.access(venv / "bin" / "python", os.X_OK):
            return 0  # another run did it while this one waited
        started = time.monotonic()
        count = sum("==" in line for line in lock.read_text().splitlines())
        print(f"setup    .venv from requirements/inv.txt ({count} packages)", file=sys.stderr)
        try:
            _install(venv, lock, root)
        except subprocess.CalledProcessError as error:
            return _explain(error)
        except subprocess.TimeoutExpired:
            print("inv: the installation did not finish in 15 minutes", file=sys.stderr)
            return 6
        except OSError as error:
            print(f"inv: {venv} could not be made: {error.strerror}", file=sys.stderr)
            return 1
        temporary = venv / "inv.lock.partial"
        temporary.write_bytes(lock.read_bytes())
        temporary.replace(marker)
        took = time.monotonic() - started
        print(f"setup    .venv ready, every hash checked  {took:.1f} s", file=sys.stderr)
    return 0


def _install(venv: Path, lock: Path, root: Path) -> None:
    (venv / "inv.lock").unlink(missing_ok=True)
    shutil.rmtree(venv, ignore_errors=True)
    uv = shutil.which("uv")
    if uv:
        _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(venv)])
        install = [uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
    else:
        _run([sys.executable, "-m", "venv", str(venv)])
        install = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
        install += ["--disable-pip-version-check"]
    install += ["--require-hashes", "--only-binary", ":all:", "--no-deps"]
    _run([*install, "-r", str(lock)])
    # This repository's own library is used as it stands in src/: an editable install without a build.
    site = next((venv / "lib").glob("python3*/site-packages"))
    (site / "lockgate-src.pth").write_text(f"{root / 'src'}\n")


def _run(argv: list[str]) -> None:
    subprocess.run(
        argv,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=UV_SECONDS,
        # uv trusts its own list of authorities unless told; the machine's is its owner's.
        env={"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_LINK_MODE": "copy", **os.environ},
    )


_KNOWN = (
    (
        "ensurepip",
        "this Python has no `venv` module (Debian: apt install python3-venv), or install uv",
    ),
    (
        "Hash mismatch",
        "a package does not have the hash in requirements/inv.txt: do not trust this index",
    ),
    ("HASH", "a package does not have the hash in requirements/inv.txt: do not trust this index"),
    (
        "do not match the hash",
        "a package does not have the hash in requirements/inv.txt: do not trust this index",
    ),
    ("onnection", "the package index cannot be reached: check the network and `pip config list`"),
    ("resolve", "the package index cannot be reached: check the network and `pip config list`"),
    ("timed out", "the package index cannot be reached: check the network and `pip config list`"),
    ("error sending request", "the package index cannot be reached: check the network"),
)


def _explain(error: subprocess.CalledProcessError) -> int:
    text = (error.output or b"").decode("utf-8", "replace")
    for mark, meaning in _KNOWN:
        if mark in text:
            print(f"inv: {meaning}", file=sys.stderr)
            return 6
    last = (text.strip().splitlines() or ["it gave no reason"])[-1]
    print(f"inv: `{' '.join(error.cmd[:4])}` failed: {last}", file=sys.stderr)
    return 6


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(130)
