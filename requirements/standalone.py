"""Install Lockgate from this checkout into a folder of its own, every download checked against a hash.

    python3 requirements/standalone.py ~/.local/share/lockgate

Makes the wheel with the locked build backend, installs it beside the locked dependencies, and prints the digest of
the wheel: the same for everybody who has this commit. With `--wheel SHA256` another digest is refused before
anything is installed. Everything is downloaded before the folder is touched, and an installation that is in it stays
beside it until the new one is whole. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900
OURS = "lockgate-installation"
"""Written first into a folder, also into one that is never finished: only what has it is ever removed."""
MARK = "lockgate-wheel.sha256"
"""Written last into a finished folder: the digest of the wheel that is in it."""


class Refused(Exception):
    """It cannot or must not be installed; the text says why."""


def main(folder: Path, expected: str | None) -> None:
    """Install into a folder that is empty, absent, or was made by this before.

    Raises:
        Refused: The folder is another's, the wheel is another one, or a step failed. What was installed still is.
        OSError: The same, for a disk or a program that does not do what it should.
    """
    started = time.monotonic()
    check(folder)
    with tempfile.TemporaryDirectory(prefix="lockgate-") as name:
        work = Path(name)
        builder = environment(sys.executable, work / "build")
        pip(builder, "install", *locked("build.txt"))
        wheel = made(builder, work / "dist")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if expected is not None and digest != expected:
            raise Refused(f"the wheel of this checkout is sha256:{digest}, not sha256:{expected}")
        wheels = str(work / "wheels")
        pip(builder, "download", "--dest", wheels, *locked("standalone.txt"))
        check(folder)  # again: a download takes minutes
        with renewed(folder):
            # By the builder's interpreter: the one that runs this may lie in the folder.
            python = environment(str(builder), folder)
            pip(
                python, "install", "--no-index", "--find-links", wheels, *locked("standalone.txt")
            )  # fmt: skip
            pip(python, "install", "--no-index", str(wheel))
            # pip may have been told by its own settings to install elsewhere, or nothing.
            run([str(python), "-I", "-m", "lockgate", "--version"])
            (folder / MARK).write_text(f"{digest}\n")
    took = time.monotonic() - started
    print(f"setup    sha256:{digest}  {wheel.name}", file=sys.stderr)
    print(f"setup    every hash checked  {took:.1f} s", file=sys.stderr)
    print(folder / "bin" / "lockgate")


def check(folder: Path) -> None:
    """Refuse a folder in which anything is that this did not make."""
    if folder.is_symlink():
        raise Refused(f"{folder} is a symbolic link; name the folder that it leads to")
    if not folder.exists():
        holds = False
    elif folder.is_dir():
        holds = any(folder.iterdir())
    else:
        raise Refused(f"{folder} is not a folder")
    if holds and not (folder / OURS).is_file():
        raise Refused(f"{folder} holds other files; name a folder of its own")
    former = beside(folder)
    if former.exists():
        raise Refused(
            f"{former} is in the way, as an update that was killed leaves it: remove it, or, to have that "
            f"installation again, remove {folder} and rename it to that"
        )


def beside(folder: Path) -> Path:
    """Name the place where an installation waits while the one that follows it is made."""
    return folder.with_name(f"{folder.name}.before")


@contextlib.contextmanager
def renewed(folder: Path) -> Iterator[None]:
    """Hand out the folder as a new one that holds our mark alone; when the body fails, put back what was there.

    An environment works only under the path that it was made for, so the old one moves and not the new one.
    """
    former, moved = beside(folder), False
    try:
        if folder.exists() and any(folder.iterdir()):
            try:
                folder.rename(former)
                moved = True
            except OSError as error:
                raise Refused(
                    f"{folder} cannot be moved out of the way, and was not changed: {error.strerror}; "
                    f"remove it, or name another folder"
                ) from error
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OURS).write_text("Lockgate's requirements/standalone.py makes this folder, and removes all of it.\n")  # fmt: skip
        yield
    except BaseException:
        if moved:
            shutil.rmtree(folder, ignore_errors=True)  # what stays makes the next line fail
            former.rename(folder)
        raise
    if moved:
        try:
            shutil.rmtree(former)
        except OSError as error:
            print(f"setup    remove {former} yourself: {error}", file=sys.stderr)


def made(builder: Path, into: Path) -> Path:
    """Make the wheel of this checkout; return its path."""
    run([str(builder), "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)])
    (wheel,) = into.glob("lockgate-*.whl")
    return wheel


def environment(python: str, folder: Path) -> Path:
    """Make a virtual environment; return its interpreter."""
    run([python, "-I", "-m", "venv", str(folder)])
    return folder / "bin" / "python"


def locked(name: str) -> list[str]:
    """Words for pip: what a lock of this checkout lists, by hash."""
    return ["--require-hashes", "-r", str(ROOT / "requirements" / name)]


def pip(python: Path, verb: str, *what: str) -> None:
    """Let pip install or download something, wheels alone, and nothing that was not named."""
    argv = [str(python), "-I", "-m", "pip", verb, "--quiet", "--no-input"]
    run([*argv, "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", *what])


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


def sha256(text: str) -> str:
    """Read a digest that was typed; one that is empty or cut short would otherwise never be compared."""
    found = re.fullmatch(r"(?:sha256:)?([0-9a-f]{64})", text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a SHA-256 digest of 64 hexadecimal digits")  # fmt: skip
    return found[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Install Lockgate from this checkout.")
    parser.add_argument("folder", type=Path, help="folder to install into; made, or made anew")
    parser.add_argument(
        "--wheel", type=sha256, metavar="SHA256", help="the digest that the wheel must have"
    )
    asked = parser.parse_args()
    try:
        main(asked.folder.absolute(), asked.wheel)
    except (Refused, subprocess.TimeoutExpired, OSError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        sys.exit(6)
    except KeyboardInterrupt:
        sys.exit(130)
