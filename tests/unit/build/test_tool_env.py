"""`lockgate.build.tool_env`: an environment is whole or made again. The installers here are miniatures."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    MirrorError,
    PackageGone,
    StorageError,
    UsageError,
)
from lockgate.build import tool_env
from lockgate.build.requirements import locked_hashes
from lockgate.build.tool_env import ToolEnv, explain, prepare, tool_lock

HASH = "--hash=sha256:" + "a" * 64

UV = """
import json, os, pathlib, sys
calls = pathlib.Path(__file__).with_name("calls")
with calls.open("a") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ)}) + "\\n")
if sys.argv[1] == "venv":
    place = pathlib.Path(sys.argv[-1])
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    sys.exit(0)
bin = pathlib.Path(sys.argv[sys.argv.index("--python") + 1]).parent
lock = pathlib.Path(sys.argv[-1]).read_text()
for line in lock.splitlines():
    name = line.split("==")[0]
    if name == "gone":
        print("  cause: Because there is no version of gone==1 and you require gone==1", file=sys.stderr)
        sys.exit(1)
    if name == "killed":
        os.kill(os.getppid(), 9)
        sys.exit(0)
    (bin / name).write_text(line)
"""


class Machine:
    """A machine whose uv writes one file for each package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.envs = folder / "envs"
        self.uv = folder / "bin" / "uv"
        self.uv.parent.mkdir()
        self.uv.write_text(f"#!{sys.executable}\n{UV}")
        self.uv.chmod(self.uv.stat().st_mode | stat.S_IXUSR)

    def lock(self, name: str, *packages: str) -> Path:
        """Write a lock of packages without a version of interest."""
        path = self.folder / name
        path.write_text("".join(f"{one}==1 {HASH}\n" for one in packages))
        return path

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What uv was called with."""
        from lockgate.base.canonical import loads

        path = self.uv.with_name("calls")
        return [loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine with uv on PATH."""
    found = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{found.uv.parent}{os.pathsep}{os.environ['PATH']}")
    return found


def test_an_environment_is_made_from_its_locks(machine: Machine) -> None:
    """All programs of both locks are in one folder, and it is said that something takes time."""
    said: list[str] = []
    locks = [machine.lock("tools.txt", "ruff", "pytest"), machine.lock("app.txt", "flask")]
    found = prepare(machine.envs, locks, progress=said.append)
    assert {"python", "ruff", "pytest", "flask"} == {one.name for one in found.bin.iterdir()}
    assert said == ["installing the tools of check and the component's packages (3 locked)"]


def test_only_locked_wheels_are_installed(machine: Machine) -> None:
    """Every hash is asked for, nothing is resolved, and nothing is compiled."""
    prepare(machine.envs, [machine.lock("tools.txt", "ruff")])
    install = machine.calls[1]["argv"]
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install)
    assert install[install.index("--only-binary") + 1] == ":all:"


def test_an_unchanged_lock_costs_nothing(machine: Machine) -> None:
    """The second call starts no installer and says nothing."""
    lock = machine.lock("tools.txt", "ruff")
    first = prepare(machine.envs, [lock])
    count, said = len(machine.calls), list[str]()
    assert prepare(machine.envs, [lock], progress=said.append) == first
    assert (len(machine.calls), said) == (count, [])


def test_the_name_of_a_lock_means_nothing(machine: Machine) -> None:
    """An environment is known by contents; another content is another environment."""
    first = prepare(machine.envs, [machine.lock("a.txt", "ruff")])
    assert prepare(machine.envs, [machine.lock("b.txt", "ruff")]) == first
    assert prepare(machine.envs, [machine.lock("a.txt", "ruff", "flask")]).key != first.key


def test_a_kill_in_the_middle_leaves_nothing_that_counts(machine: Machine) -> None:
    """A process that is killed while it installs leaves half an environment; the next call makes a whole one."""
    tools, bad = machine.lock("tools.txt", "ruff"), machine.lock("bad.txt", "killed")
    call = "from pathlib import Path; from lockgate.build.tool_env import prepare; "
    call += f"prepare(Path({str(machine.envs)!r}), [Path({str(tools)!r}), Path({str(bad)!r})])"
    child = subprocess.run(
        [sys.executable, "-c", call],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    half = [one for one in machine.envs.iterdir() if one.is_dir()]
    assert [(one / "bin" / "ruff").exists() for one in half] == [True]
    machine.uv.write_text(machine.uv.read_text().replace('name == "killed"', "False"))
    found = prepare(machine.envs, [tools, bad])
    assert (found.bin / "killed").exists()
    assert found.bin.parent not in half
    assert not half[0].exists()


def test_a_failed_installation_does_not_count(machine: Machine) -> None:
    """The same call again tries again, and says the same."""
    lock = machine.lock("tools.txt", "ruff", "gone")
    for _ in range(2):
        with pytest.raises(PackageGone, match="gone==1 is not on the package index"):
            prepare(machine.envs, [lock])
    assert [call["argv"][0] for call in machine.calls] == ["venv", "pip"] * 2


def test_an_environment_whose_python_is_gone_is_made_again(machine: Machine) -> None:
    """After an upgrade the link to the interpreter leads nowhere."""
    lock = machine.lock("tools.txt", "ruff")
    first = prepare(machine.envs, [lock])
    (first.bin / "python").unlink()
    (first.bin / "python").symlink_to("/nowhere/python3")
    second = prepare(machine.envs, [lock])
    assert second.bin != first.bin
    assert (second.bin / "python").exists()


def test_two_at_once_install_once(machine: Machine) -> None:
    """The second one waits and takes what the first one made."""
    lock = machine.lock("tools.txt", "ruff")
    found: list[ToolEnv] = []
    both = [
        threading.Thread(target=lambda: found.append(prepare(machine.envs, [lock])))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join(timeout=60)
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(machine.calls) == 2


def test_the_installer_sees_its_settings_and_no_secret(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Index, certificates and proxy pass; other variables do not. uv copies, so that its cache stays clean."""
    monkeypatch.setenv("UV_INDEX_URL", "the index")
    monkeypatch.setenv("https_proxy", "the proxy")
    monkeypatch.setenv("TOKEN", "secret")
    prepare(machine.envs, [machine.lock("tools.txt", "ruff")])
    seen = machine.calls[1]["env"]
    assert (seen["UV_INDEX_URL"], seen["https_proxy"]) == ("the index", "the proxy")
    assert seen["UV_LINK_MODE"] == "copy"
    assert "TOKEN" not in seen


def test_pip_installs_where_there_is_no_uv(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment gets a Python without pip; the lock of nothing needs no index."""
    monkeypatch.setattr(tool_env, "find_uv", lambda: "")
    found = prepare(machine.envs, [machine.lock("tools.txt")])
    assert (found.bin / "python").exists()
    assert not (found.bin / "pip").exists()
    assert machine.calls == []


def test_an_absent_lock_is_a_usage_error(machine: Machine) -> None:
    """The path is named, and nothing is made."""
    with pytest.raises(UsageError, match=r"absent\.txt cannot be read"):
        prepare(machine.envs, [machine.folder / "absent.txt"])
    assert not machine.envs.exists()


def test_a_requirement_without_a_hash_is_refused(machine: Machine) -> None:
    """Before any installer is started."""
    path = machine.folder / "open.txt"
    path.write_text("flask==3\n")
    with pytest.raises(UsageError, match="has no hash"):
        prepare(machine.envs, [path])
    assert machine.calls == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(machine: Machine) -> None:
    """A file stands in its place."""
    machine.envs.write_text("")
    with pytest.raises(StorageError):
        prepare(machine.envs, [machine.lock("tools.txt", "ruff")])


UV_HASH = """error: Failed to download `iniconfig==2.3.1`
  cause: Hash mismatch for `iniconfig==2.3.1`
"""
PIP_HASH = """ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated
    iniconfig==2.3.1 from an/address/iniconfig-2.3.1-py3-none-any.whl (from -r lock.txt (line 1)):
        Expected sha256 0000
"""
UV_OFFLINE = """error: Request failed after 3 retries in 3.9s
  cause: Failed to fetch: an address
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
PIP_OFFLINE = """ERROR: Could not find a version that satisfies the requirement bandit==1.9.4 (from versions: none)
ERROR: No matching distribution found for bandit==1.9.4
"""
PIP_GONE = """ERROR: Could not find a version that satisfies the requirement iniconfig==99 (from versions: 1.0, 2.0)
ERROR: No matching distribution found for iniconfig==99
"""


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (UV_HASH, DigestMismatch, "iniconfig==2.3.1 does not have the digest that lock.txt lists"),
        (PIP_HASH, DigestMismatch, "iniconfig==2.3.1 does not have the digest that lock.txt lists"),
        (UV_OFFLINE, MirrorError, "Connection refused"),
        (PIP_OFFLINE, MirrorError, "could not be downloaded"),
        (PIP_GONE, PackageGone, "iniconfig==99 is not on the package index"),
        ("Because it-is was not found in the package registry and", PackageGone, "it-is is not on"),
        (
            "Because docopt==0.6.2 has no usable wheels and you",
            PackageGone,
            "docopt==0.6.2 is not on",
        ),
        ("OSError: [Errno 28] No space left on device", StorageError, "the disk is full"),
        ("error: something else", CommandFailed, "something else"),
    ],
)
def test_what_the_installers_say_is_translated(
    text: str, kind: type[LockgateError], said: str
) -> None:
    """Each fault has its own error, in the words of uv and of pip, with a hint."""
    error = explain(CommandFailed(["uv"], 1, text), Path("folder/lock.txt"))
    assert type(error) is kind
    assert said in error.message
    assert error.hint


def test_an_installer_that_takes_too_long_may_be_tried_again() -> None:
    """The time limit ends it with SIGKILL."""
    error = explain(CommandFailed(["uv"], -signal.SIGKILL, ""), Path("lock.txt"))
    assert isinstance(error, MirrorError)
    assert error.retryable


def test_the_shipped_lock_holds_packages_and_hashes_only() -> None:
    """No address of an index, no path, and the four tools that the gates start."""
    data = tool_lock().read_bytes()
    assert locked_hashes(data)
    assert b"/" not in data
    lines = data.decode().splitlines()
    for name in ("bandit", "coverage", "pytest", "ruff"):
        assert any(line.startswith(f"{name}==") for line in lines)
