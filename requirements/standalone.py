"""Install Lockgate from this checkout into a folder of its own, every download checked against a hash.

    python3 requirements/standalone.py ~/.local/share/lockgate

Makes the wheel with the locked build backend, installs it beside the locked dependencies, and prints the digest of
the wheel: the same for everybody who has this commit. With `--wheel SHA256` another digest is refused before
anything is installed. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900
MARK = "lockgate-wheel.sha256"
"""Written last into a finished folder: the digest of the wheel that is in it."""


class Refused(Exception):
    """It cannot or must not be installed; the text says why."""


def main(folder: Path, expected: str) -> None:
    """Install into a folder that is empty, absent, or was made by this before."""
    started = time.monotonic()
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise Refused(f"{folder} holds other files; name a folder of its own")
    with tempfile.TemporaryDirectory(prefix="lockgate-") as name:
        work = Path(name)
        wheel = made(work)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if expected and digest != expected:
            raise Refused(f"the wheel of this checkout is sha256:{digest}, not sha256:{expected}")
        shutil.rmtree(folder, ignore_errors=True)
        python = environment(folder, "standalone.txt")
        installed(python, "--no-index", str(wheel))
    (folder / MARK).write_text(f"{digest}\n")
    took = time.monotonic() - started
    print(f"setup    sha256:{digest}  {wheel.name}", file=sys.stderr)
    print(f"setup    every hash checked  {took:.1f} s", file=sys.stderr)
    print(folder / "bin" / "lockgate")


def made(work: Path) -> Path:
    """Make the wheel of this checkout; return its path."""
    python = environment(work / "build", "build.txt")
    run([str(python), "-m", "hatchling", "build", "-t", "wheel", "-d", str(work / "dist")])
    (wheel,) = (work / "dist").glob("lockgate-*.whl")
    return wheel


def environment(folder: Path, lock: str) -> Path:
    """Make a virtual environment that holds what a lock lists; return its interpreter."""
    run([sys.executable, "-m", "venv", str(folder)])
    python = folder / "bin" / "python"
    installed(python, "--require-hashes", "-r", str(ROOT / "requirements" / lock))
    return python


def installed(python: Path, *what: str) -> None:
    """Let pip install something, wheels alone, and nothing that was not named."""
    pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--no-input"]
    run([*pip, "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", *what])


def run(argv: list[str]) -> None:
    """Run a program in this checkout; what it says is shown when it fails."""
    done = subprocess.run(
        argv,
        cwd=ROOT,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
    )
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip()
        raise Refused(f"`{' '.join(argv[:5])} …` failed:\n{said}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Install Lockgate from this checkout.")
    parser.add_argument("folder", type=Path, help="folder to install into; made, or made anew")
    parser.add_argument(
        "--wheel", default="", metavar="SHA256", help="the digest that the wheel must have"
    )
    asked = parser.parse_args()
    try:
        main(asked.folder.absolute(), asked.wheel.removeprefix("sha256:").lower())
    except (Refused, subprocess.TimeoutExpired, OSError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        sys.exit(6)
    except KeyboardInterrupt:
        sys.exit(130)
