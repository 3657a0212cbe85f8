"""The same commit gives the same digest, however hostile the place (design, section 7)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import Repository

STRANGER = 12345
"""A user id that owns nothing here."""

CLOCK = """\
import time
_real = time.time
time.time = lambda: _real() + 400_000_000
"""
"""Twelve years ahead, for every module of the child."""


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder outside of pytest's own, whose parent every other pytest of this user closes to strangers."""
    with tempfile.TemporaryDirectory(prefix="lockgate-elsewhere-") as name:
        yield Path(name)


def test_the_digest_survives_hostile_variation(repository: Repository, elsewhere: Path) -> None:
    """Working folder, user, umask, time zone, locale, clock, file order and hash seed change nothing."""
    first = json.loads(repository.inv("build", "--json").stdout)

    home = elsewhere / "another" / "very deep" / "folder"
    home.mkdir(parents=True)
    clone = home / "clone"
    repository.git("clone", "--quiet", str(repository.path), str(clone))
    reversed_order(clone / "app")
    downloads = Path(os.environ.get("LOCKGATE_CACHE") or Path.home() / ".cache" / "lockgate")
    for name in ("debs", "wheels"):
        shutil.copytree(downloads / name, home / "cache" / name)
    (home / "sitecustomize.py").write_text(CLOCK)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LOCKGATE_CACHE": str(home / "cache"),
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "42",
        "PYTHONPATH": os.pathsep.join([str(home), *LIBRARIES]),
    }
    python, identity = another_user(elsewhere)
    done = subprocess.run(
        [python, "-m", "invoke", "build", "--json"],
        cwd=clone / "app" / "todo",
        env=environment,
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        **identity,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == first


LIBRARIES = [path for path in sys.path if path.endswith("src") or "site-packages" in path]


def another_user(place: Path) -> tuple[str, dict[str, Any]]:
    """Return a Python that a stranger can run and how to become one, with `place` theirs.

    Only root can become another user, and the Python of the tests may lie in a private folder; where no
    Python of the same version serves, the user stays the same and everything else still varies.
    """
    version = f"python3.{sys.version_info.minor}"
    identity = {"user": STRANGER, "group": STRANGER, "extra_groups": []}
    candidates = [sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"]
    for python in candidates if os.geteuid() == 0 else []:
        probe: dict[str, Any] = {"env": {"PYTHONPATH": os.pathsep.join(LIBRARIES)}, **identity}
        argv = [python, "-c", "import invoke, msgspec, lockgate"]
        try:
            if subprocess.run(
                argv, capture_output=True, check=False, timeout=60, **probe
            ).returncode:
                continue
        except OSError:
            continue
        for path in [place, *place.rglob("*")]:
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        return python, identity
    return sys.executable, {}


def reversed_order(folder: Path) -> None:
    """Make the files of a folder anew, last first, so that the file system lists them otherwise."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    for path in files:
        data, mode = path.read_bytes(), path.stat().st_mode
        path.unlink()
        path.write_bytes(data)
        path.chmod(mode)


def test_compare_builds_again_and_finds_nothing(repository: Repository) -> None:
    """`inv build.compare` rebuilds from packages alone and counts the files that are equal."""
    done = repository.inv("build.compare")
    assert "files equal" in done.stderr


def test_compare_names_the_first_file_that_differs(
    repository: Repository, make_repository: Callable[[str], Repository]
) -> None:
    """When the store's image was made from other bytes, the file is named and the exit code is 4."""
    repository.inv("build")
    record = repository.path / ".lockgate" / "records" / "app" / "image.json"
    other = make_repository("other")
    views = other.path / "app" / "todo" / "views.py"
    views.write_text(views.read_text() + "# changed\n")
    other.inv("build")
    theirs = json.loads((other.path / ".lockgate/records/app/image.json").read_bytes())
    blobs = other.path / ".lockgate" / "store" / "blobs"
    shutil.copytree(blobs, repository.path / ".lockgate/store/blobs", dirs_exist_ok=True)
    for kept in (repository.path / ".lockgate/cache/build/app").glob("*.json"):
        ours = json.loads(record.read_bytes())
        kept.write_text(json.dumps({**ours, "subject": theirs["subject"]}))

    shutil.copy(other.path / ".lockgate/store/index.json", repository.path / ".lockgate/store")
    done = repository.inv("build.compare", code=4)
    assert "app/todo/views.py differs" in done.stderr
