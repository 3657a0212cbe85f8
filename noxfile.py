"""Is the repository right? Each session runs in its own environment, made from hash-locked requirements.

`./inv test` runs them all, in this order, and prints where the time went.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2026.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [
    "format", "lint", "imports", "types", "unit", "app", "tasks", "manifests", "integration",
]  # fmt: skip

PYTHON = ["src", "tests", "app", "benchmarks", "tasks.py", "noxfile.py", "requirements"]
ROOT = Path(__file__).parent

# uv trusts its own list of authorities unless told; the machine's is the one that its owner maintains.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")


def install(session: nox.Session, lock: str) -> None:
    """Install a lock, every hash checked, and this repository's library as it stands in src/."""
    session.install("--require-hashes", "--no-deps", "-r", f"requirements/{lock}.txt")
    site = session.run(
        "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True
    )
    if site:
        (Path(site.strip()) / "lockgate-src.pth").write_text(f"{ROOT / 'src'}\n")


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest; arguments after `--` on the command line replace the folder."""
    session.run("pytest", *(session.posargs or arguments), env={"PYTHONHASHSEED": "random"})


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """One layout of the code, so that diffs show meaning."""
    install(session, "lint")
    session.run("ruff", "format", "--check", "--diff", *existing(PYTHON))


@nox.session
def lint(session: nox.Session) -> None:
    """Known mistakes, missing docstrings, insecure calls."""
    install(session, "lint")
    session.run("ruff", "check", *existing(PYTHON))


@nox.session
def imports(session: nox.Session) -> None:
    """The floors import only floors above them; only `tasks` knows Invoke."""
    install(session, "lint")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types over library, tasks and tests."""
    install(session, "types")
    session.run("mypy", "src", "tests", "benchmarks", "tasks.py", "noxfile.py")


@nox.session
def unit(session: nox.Session) -> None:
    """Every module's claims, without a socket, in seconds."""
    install(session, "test")
    pytest(session, "tests/unit", "tests/tamper", "--disable-socket", "--allow-unix-socket")


@nox.session
def app(session: nox.Session) -> None:
    """The Todo app's own tests."""
    install(session, "test")
    pytest(session, "app/tests")


@nox.session
def tasks(session: nox.Session) -> None:
    """Argument to stage call to exit code, through the real `invoke`."""
    install(session, "test")
    pytest(session, "tests/tasks")


@nox.session
def manifests(session: nox.Session) -> None:
    """Settings, schemas, policies, locks and workflow files agree with the code."""
    install(session, "test")
    pytest(session, "tests/manifests")


@nox.session
def integration(session: nox.Session) -> None:
    """The real Trivy, the real mirror, the real sandbox; the image read by other people's tools."""
    install(session, "test")
    pytest(session, "tests/integration")


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """A real Kubernetes, built from source: on a fresh machine its programs take minutes to compile."""
    install(session, "test")
    pytest(session, "tests/cluster", "--durations=15")


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Speed as ratios against a peer in the same run; prints, never fails on a number."""
    install(session, "test")
    session.run("python", "-m", "benchmarks", *session.posargs)


def existing(paths: list[str]) -> list[str]:
    """Return the paths that are there."""
    return [path for path in paths if os.path.exists(ROOT / path)]  # noqa: PTH110 - files and folders
