"""Lockgate installed outside of its checkout, and as an image of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.integration.conftest import Repository
from tests.integration.registries import go_program

from lockgate import __version__
from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.engine import Engine

ROOT = Path(__file__).parents[2]

SETTINGS = """\
project: hello
components:
  hello: {path: hello, entrypoint: [python3, -m, wsgiref.simple_server]}
"""


def run(
    *argv: str | Path,
    cwd: Path,
    code: int = 0,
    env: Mapping[str, str] | None = None,
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    """Run a program; fail the test when it ends with another exit code."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        umask=umask,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, f"{argv}: {done.stdout}\n{done.stderr}"
    return done


def copy(into: Path, source: Path = ROOT) -> Path:
    """Copy what wheel and image are made of; the times of the files are those of the copy."""
    skip = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for name in ("src", "stacks", "advisories", "tools", "requirements"):
        shutil.copytree(source / name, into / name, ignore=skip, copy_function=shutil.copyfile)
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "NOTICE",
        ".gitignore",
        "lockgate.yaml",
        "tasks.py",
    ):
        shutil.copyfile(source / name, into / name)  # fmt: skip
    return into


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout."""
    return copy(tmp_path_factory.mktemp("checkout") / "lockgate")


class Installed(NamedTuple):
    """What `requirements/standalone.py` made and said."""

    place: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def installed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Lockgate in a folder of its own, from that checkout."""
    place = tmp_path_factory.mktemp("installed") / "lockgate"
    script = checkout / "requirements" / "standalone.py"
    done = run(sys.executable, "-I", script, place, cwd=place.parent)
    return Installed(place, done.stdout, done.stderr)


def test_the_wheel_is_the_same_everywhere(
    installed: Installed, checkout: Path, tmp_path: Path
) -> None:
    """Another path, umask, time zone, hash seed: the digest that was printed; through the sdist, too."""
    other = copy(tmp_path / "elsewhere", checkout)
    hatch = (sys.executable, "-m", "hatchling", "build")
    variables = {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    run(*hatch, "-d", tmp_path / "dist", cwd=other, env=variables, umask=0o077)
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(source) as archive:
        assert {one.name.split("/")[1] for one in archive} <= {
            "src", "stacks", "advisories", "tools", "README.md", "LICENSE", "NOTICE", "pyproject.toml",
            "PKG-INFO", ".gitignore",
        }  # fmt: skip
    (tmp_path / "unpacked").mkdir()
    run("tar", "--extract", "--file", source, "--directory", tmp_path / "unpacked", cwd=tmp_path)
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    run(*hatch, "-t", "wheel", "-d", tmp_path / "again", cwd=unpacked)
    digests = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("dist", "again")
        for path in (tmp_path / folder).glob("*.whl")
    }
    (printed,) = re.findall(r"sha256:([0-9a-f]{64})", installed.err)
    assert digests == {printed}


def test_what_is_printed_can_be_typed(installed: Installed, tmp_path: Path) -> None:
    """The command, which uses nothing of the checkout."""
    program = Path(installed.out.strip())
    assert program == installed.place / "bin" / "lockgate"
    assert run(program, "--version", cwd=tmp_path).stdout == f"Lockgate {__version__}\n"
    python = installed.place / "bin" / "python"
    code = "import lockgate, sigstore; print(lockgate.__file__)"
    found = run(python, "-I", "-c", code, cwd=tmp_path).stdout
    assert Path(found).is_relative_to(installed.place)


def test_settings_alone_are_enough(installed: Installed, tmp_path: Path) -> None:
    """A repository without a `tasks.py` has every task, and the stack and advisories that we ship."""
    (tmp_path / "lockgate.yaml").write_text(SETTINGS)
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "wsgi.py").write_text("")
    (tmp_path / "hello" / "requirements.txt").write_text("# none\n")
    program = installed.place / "bin" / "lockgate"
    assert "hello" in run(program, "build", "--plan", cwd=tmp_path).stderr
    assert "embedded" in run(program, "scan.database", cwd=tmp_path).stderr


def test_the_tasks_of_a_repository_go_first(installed: Installed, tmp_path: Path) -> None:
    """Its `tasks.py`, when it speaks of Lockgate, says what there is."""
    text = "# Beside lockgate.\nfrom invoke import task\n@task\ndef own(c): print('own')\n"
    (tmp_path / "tasks.py").write_text(text)
    program = installed.place / "bin" / "lockgate"
    assert run(program, "own", cwd=tmp_path).stdout == "own\n"
    assert "lockgate --list" in run(program, "scan", cwd=tmp_path, code=2).stderr


def test_another_wheel_is_refused(checkout: Path, tmp_path: Path) -> None:
    """Before anything is installed."""
    script = checkout / "requirements" / "standalone.py"
    place = tmp_path / "place"
    done = run(sys.executable, "-I", script, place, "--wheel", "0" * 64, cwd=tmp_path, code=6)
    assert re.search(r"is sha256:[0-9a-f]{64}, not sha256:0{64}\n", done.stderr)
    assert not place.exists()


@pytest.mark.parametrize("text", ["", "sha256:", "0" * 63])
def test_a_digest_that_is_none_is_refused(text: str, checkout: Path, tmp_path: Path) -> None:
    """At once: `--wheel "$DIGEST"` with a variable that nobody set would check nothing."""
    script = checkout / "requirements" / "standalone.py"
    place = tmp_path / "place"
    done = run(sys.executable, "-I", script, place, "--wheel", text, cwd=tmp_path, code=2)
    assert "is not a SHA-256 digest" in done.stderr
    assert not place.exists()


def test_a_folder_of_something_else_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    """It could be anybody's."""
    (tmp_path / "mine").write_text("")
    script = checkout / "requirements" / "standalone.py"
    done = run(sys.executable, "-I", script, tmp_path, cwd=tmp_path, code=6)
    assert "holds other files" in done.stderr
    assert (tmp_path / "mine").exists()


def test_kubectl_finds_its_plugin(installed: Installed, tmp_path: Path) -> None:
    """The real one: its list names it, its exit codes and hints are Lockgate's, and flags arrive."""
    kubectl = shutil.which("kubectl") or go_program("kubectl")
    place = installed.place / "bin"
    variables = {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}"}
    listed = run(kubectl, "plugin", "list", "--name-only", cwd=tmp_path, env=variables).stdout
    assert "kubectl-lockgate" in listed.split()
    refused = run(kubectl, "lockgate", "verfy", "-e", "dev", cwd=tmp_path, env=variables, code=2)
    assert "did you mean `verify`?" in refused.stderr
    (tmp_path / "lockgate.yaml").write_text(SETTINGS)
    absent = run(kubectl, "lockgate", "scan", "-c", "hello", cwd=tmp_path, env=variables, code=2)
    assert "run `kubectl lockgate build -c hello` first" in absent.stderr


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """This repository with its component `lockgate` built for both platforms, scanned and signed."""
    made = Repository(copy(tmp_path_factory.mktemp("own") / "repository"))
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit("start")
    made.settle()
    made.inv("build", "-c", "lockgate", "scan", "-c", "lockgate", "sign", "-c", "lockgate")
    return made


def test_lockgate_is_an_image_of_two_platforms(own: Repository) -> None:
    """With a bill of materials and a signature by the flow that it is."""
    image = own.record("image", "lockgate")
    assert [one["platform"] for one in image["platforms"]] == ["linux/amd64", "linux/arm64"]
    done = own.inv("verify", "-c", "lockgate", "--require", "signature", "--require", "sbom")
    assert "trusted: 2 of 2" in done.stdout


MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\ndata: {k: v}\n"


@pytest.fixture(scope="module")
def loaded(own: Repository, engine: Engine) -> str:
    """The reference of the image on the engine; an artifact of manifests lies in the store, too."""
    (own.path / "map.yaml").write_text(MAP)
    own.inv("config.build", "-f", "map.yaml", "--name", "maps")
    reference = "lockgate-test/own:latest"
    engine.load(Layout(own.store), own.record("image", "lockgate")["subject"], reference)
    return reference


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("verify lockgate -e dev", "trusted: 5 of 5"),
        ("copy lockgate archive:lockgate.tar", "archive:lockgate.tar"),
        ("config.inspect --reference maps", "ConfigMap/b/a"),
    ],
)
def test_the_image_works_beside_a_store(
    words: str, said: str, loaded: str, own: Repository, engine: Engine
) -> None:
    """In a container without a network and without a `tasks.py` of its own; it verifies itself, too."""
    with contextlib.closing(engine.client()) as client:
        output = client.containers.run(
            loaded,
            words.split(),
            volumes={str(own.path): {"bind": "/work", "mode": "rw"}},
            working_dir="/work",
            user=str(os.getuid()),
            network_mode="none",
            remove=True,
            stderr=True,
        ).decode()
    assert said in output
