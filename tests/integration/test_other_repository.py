"""Another repository uses Lockgate from a wheel, with a `tasks.py` of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

TASKS = """\
from lockgate.tasks import namespace

ns = namespace()
"""

SETTINGS = """\
project: hello
components:
  hello:
    path: hello
    entrypoint: [python3, -m, wsgiref.simple_server]
"""

WSGI = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as a wheel."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    skip = shutil.ignore_patterns(".*", "__pycache__", "out", "dist")
    shutil.copytree(ROOT, source, ignore=skip)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", place],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return next(place.glob("lockgate-*.whl"))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """An environment that holds the wheel and its locked dependencies, and nothing of this checkout."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", place], check=True, capture_output=True, timeout=120
    )
    found = place / "bin" / "python"
    install: list[str | Path] = [found, "-m", "pip", "install", "--quiet", "--no-deps"]
    lock: list[str | Path] = [
        "--require-hashes",
        "--requirement",
        ROOT / "requirements" / "inv.txt",
    ]
    for what in (lock, [wheel]):
        done = subprocess.run(
            [*install, *what], capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
    return found


def test_a_wheel_builds_the_image_of_an_empty_repository(
    python: Path, tmp_path: Path, run_inv: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """`pip install lockgate`, three small files and a two-file app are enough for `inv build`."""
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "lockgate.yaml").write_text(SETTINGS)
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "wsgi.py").write_text(WSGI)
    (tmp_path / "hello" / "requirements.txt").write_text("# none\n")

    done = run_inv(python, tmp_path, "build", "--json")

    assert done.returncode == 0, done.stderr
    image = json.loads(done.stdout)
    assert image["component"] == "hello"
    assert [one["platform"] for one in image["platforms"]] == ["linux/amd64", "linux/arm64"]
    index = tmp_path / ".lockgate" / "store" / "blobs" / "sha256" / image["subject"][7:]
    assert len(json.loads(index.read_bytes())["manifests"]) == 2


def test_a_wheel_writes_the_first_files_of_a_repository(
    python: Path, tmp_path: Path, run_inv: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """An empty git repository with a service of one file: `settings.init` is all that `inv build` lacks."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True, timeout=60)
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "wsgi.py").write_text(WSGI)

    begun = subprocess.run(
        [python, "-m", "lockgate", "settings.init"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    done = run_inv(python, tmp_path, "build", "--json")

    assert begun.returncode == 0, begun.stderr
    assert "next: `lockgate build`" in begun.stderr
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["component"] == "hello"
    ignored = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ignored.stdout.split()[1::2] == [".gitignore", "hello/", "lockgate.yaml", "tasks.py"]


@pytest.fixture
def run_inv() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call with an interpreter, a folder and arguments to run `inv` there."""

    def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", "lockgate.tasks.program", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run
