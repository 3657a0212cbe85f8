"""The same tests as a user without any privilege: nothing here needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
USER = 12345


def run_as_user(argv: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a user that owns nothing but `home`, with this Python's libraries."""
    paths = [path for path in sys.path if path and Path(path).is_dir()]
    return subprocess.run(
        argv,
        user=USER,
        group=USER,
        extra_groups=[],
        cwd=home,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(
                path for path in paths if "site-packages" in path or path.endswith("src")
            ),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of that user, in a place that it can reach."""
    import tempfile

    made = Path(tempfile.mkdtemp(prefix="lockgate-user-"))
    made.chmod(0o755)
    os.chown(made, USER, USER)
    (tmp_path / "link").symlink_to(made)
    return made


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
def test_everything_passes_without_root(home: Path) -> None:
    """Sandbox, life cycle, kills, unpacking and network namespaces, as user 12345."""
    version = f"python3.{sys.version_info.minor}"
    try:
        candidates = [
            sys.executable,
            *(f"{place}/{version}" for place in ("/usr/local/bin", "/usr/bin")),
        ]
        usable = []
        for python in candidates:
            if Path(python).exists():
                try:
                    probe = run_as_user([python, "-c", "import pytest, msgspec, lockgate"], home)
                except PermissionError:
                    continue
                if probe.returncode == 0:
                    usable.append(python)
        if not usable:
            pytest.skip(
                f"no {version} that another user can run: this one lies in a private folder"
            )
        files = [
            HERE / "test_deploy_sandbox.py",
            HERE / "test_deploy_lifecycle.py",
            f"{HERE / 'test_deploy_kill.py'}::test_a_kill_of_the_first_deployment",
            TESTS / "unit" / "base" / "test_namespaces.py",
            TESTS / "unit" / "oci" / "test_unpack.py",
        ]
        ran = run_as_user(
            [usable[0], "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, files)], home
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "passed" in ran.stdout
    finally:
        shutil.rmtree(home)
