"""`./inv`: it finds a Python, makes `.venv` when the lock changed, and becomes the program.

It is run in a copy of its own, in a folder with a space in its name, with a PATH on which there is nothing
but what a test puts there. `uv` is a script that makes an environment whose Python says how it was called.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"

UV = """\
#!/bin/sh
echo "$1" >> {log}
case "$1" in
venv)
    for place; do :; done
    mkdir -p "$place/bin" "$place/lib/python3.99/site-packages"
    ;;
pip)
    while [ "$1" != --python ]; do shift; done
    case {mode} in
    slow) touch {log}.slow; sleep 60 ;;
    fails) cat {log}.said; exit 1 ;;
    esac
    cat > "$2" <<'END'
#!/bin/sh
[ "$1 $2" = "-m lockgate.tasks.program" ] || exit 99
shift 2
echo "quiet=${{LOCKGATE_QUIET:-}}"
echo "path=${{PATH%%:*}}"
echo "folder=$PWD"
for word; do echo "word=$word"; done
exit 7
END
    chmod +x "$2"
    ;;
esac
"""


class Checkout:
    """A copy of the wrapper with a lock of its own."""

    def __init__(self, place: Path) -> None:
        self.path = place / "a checkout"
        self.bin = place / "bin"
        self.log = place / "log"
        self.bin.mkdir(parents=True)
        (self.path / "requirements").mkdir(parents=True)
        shutil.copy(ROOT / "inv", self.path / "inv")
        shutil.copy(ROOT / "requirements" / "install.py", self.path / "requirements")
        self.lock("tiny==1.0 --hash=sha256:" + "0" * 64)
        for tool in ("dirname", "cmp", "mkdir", "cat", "chmod", "touch", "sleep", "readlink"):
            (self.bin / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
        self.script("python3", f'exec {PYTHON} "$@"')
        self.uv("well")

    @property
    def venv(self) -> Path:
        """The environment."""
        return self.path / ".venv"

    def lock(self, text: str) -> None:
        """Write the lock."""
        (self.path / "requirements" / "inv.txt").write_text(text + "\n")

    def script(self, name: str, body: str) -> None:
        """Put a program on PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def uv(self, mode: str) -> None:
        """Put a `uv` on PATH that works in some way."""
        path = self.bin / "uv"
        path.write_text(UV.format(log=self.log, mode=mode))
        path.chmod(0o755)

    def start(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start `inv` in a process group of its own."""
        return subprocess.Popen(
            [self.path / "inv", *arguments],
            cwd=cwd or self.path,
            env={"PATH": str(self.bin), "HOME": str(self.path), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def inv(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run `inv`; return exit code, stdout and stderr."""
        with self.start(*arguments, cwd=cwd, env=env) as child:
            out, err = child.communicate(timeout=60)
        return child.returncode, out, err

    @property
    def made(self) -> int:
        """How often an environment was made."""
        return self.log.read_text().split().count("venv") if self.log.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh copy without an environment."""
    return Checkout(tmp_path)


def test_the_first_call_makes_the_environment_and_becomes_invoke(checkout: Checkout) -> None:
    """Arguments arrive as they were, the environment stands first on PATH, the exit code is invoke's."""
    code, out, err = checkout.inv("build", "-c", "a b", "$HOME", "")

    assert code == 7
    words = [line.removeprefix("word=") for line in out.splitlines() if line.startswith("word=")]
    assert words[-5:] == ["build", "-c", "a b", "$HOME", ""]
    assert f"path={checkout.venv / 'bin'}" in out
    assert "setup    .venv from requirements/inv.txt (1 packages)" in err.splitlines()[0]
    assert checkout.made == 1


def test_an_unchanged_lock_makes_nothing_again(checkout: Checkout) -> None:
    """The second call goes straight to invoke and says nothing of its own."""
    checkout.inv("build")

    code, _, err = checkout.inv("build")

    assert (code, err) == (7, "")
    assert checkout.made == 1


def test_a_changed_lock_makes_the_environment_again(checkout: Checkout) -> None:
    """The environment follows the lock, and what was in the old one is gone."""
    checkout.inv("build")
    (checkout.venv / "left over").touch()
    checkout.lock("tiny==2.0 --hash=sha256:" + "1" * 64)

    assert checkout.inv("build")[0] == 7
    assert checkout.made == 2
    assert not (checkout.venv / "left over").exists()


def test_a_lost_environment_is_made_again(checkout: Checkout) -> None:
    """Removing `.venv` is always safe."""
    checkout.inv("build")
    shutil.rmtree(checkout.venv)

    assert checkout.inv("build")[0] == 7
    assert checkout.made == 2


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_reaches_the_tasks(flag: str, checkout: Checkout) -> None:
    """`-q` in front is taken by the wrapper and becomes LOCKGATE_QUIET; anywhere else it is invoke's."""
    quiet = checkout.inv(flag, "build")[1]
    later = checkout.inv("build", flag)[1]

    assert "quiet=1" in quiet
    assert f"word={flag}" not in quiet
    assert "quiet=\n" in later
    assert f"word={flag}" in later


def test_it_works_from_a_folder_below(checkout: Checkout) -> None:
    """Called as `../inv` it finds its own root, and works there."""
    below = checkout.path / "app" / "todo list"
    below.mkdir(parents=True)

    code, out, _ = checkout.inv("build", cwd=below)

    assert code == 7
    assert f"folder={checkout.path}" in out


def test_it_works_from_anywhere(checkout: Checkout, tmp_path: Path) -> None:
    """Called by its path from outside of the repository it works on the repository."""
    code, out, _ = checkout.inv("build", cwd=tmp_path)

    assert code == 7
    assert f"folder={checkout.path}" in out


def test_it_works_through_a_link(checkout: Checkout, tmp_path: Path) -> None:
    """A link to it in another folder stands for it, and not for a repository around the link."""
    link = tmp_path / "bin" / "lock gate"
    link.symlink_to(checkout.path / "inv")

    done = subprocess.run(
        [link, "build"],
        cwd=tmp_path,
        env={"PATH": str(checkout.bin), "HOME": str(checkout.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 7
    assert f"folder={checkout.path}" in done.stdout


def test_no_python_is_said_in_one_line(checkout: Checkout) -> None:
    """Without any Python: exit 6, what is needed, how to get it, and no environment."""
    (checkout.bin / "python3").unlink()

    code, out, err = checkout.inv("build")

    assert (code, out) == (6, "")
    first, hint = err.splitlines()
    assert first == "inv: no Python found, 3.11 or newer is needed"
    assert "LOCKGATE_PYTHON" in hint
    assert not checkout.venv.exists()


def test_a_python_that_is_too_old_is_named(checkout: Checkout) -> None:
    """With its version, since the person may not know which one `python3` is."""
    checkout.script("python3", 'case "$1" in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')

    code, out, err = checkout.inv("build")

    assert (code, out) == (6, "")
    assert err.splitlines()[0] == "inv: Python 3.9.2 is too old, 3.11 or newer is needed"
    assert not checkout.venv.exists()


def test_a_newer_python_beside_an_old_one_is_found(checkout: Checkout) -> None:
    """`python3` is too old, but `python3.12` is there."""
    checkout.script("python3", 'case "$1" in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    checkout.script("python3.12", f'exec {PYTHON} "$@"')

    assert checkout.inv("build")[0] == 7


def test_lockgate_python_goes_first(checkout: Checkout, tmp_path: Path) -> None:
    """The one that a person names is taken even when there is another."""
    checkout.script("python3", "exit 1")
    checkout.script("mine", f'touch {tmp_path / "taken"}; exec {PYTHON} "$@"')

    assert checkout.inv("build", env={"LOCKGATE_PYTHON": str(checkout.bin / "mine")})[0] == 7
    assert (tmp_path / "taken").exists()


UV_OFFLINE = """\
error: Request failed after 3 retries in 5.1s
  cause: Failed to fetch: `https://index.example/simple/tiny/`
  cause: error sending request for url (https://index.example/simple/tiny/)
  cause: client error (Connect)
  cause: dns error: failed to lookup address information: Name or service not known
"""

UV_HASH = """\
error: Failed to download `tiny==1.0`
  cause: Hash mismatch for `tiny==1.0`

         Expected:
           sha256:0000000000000000000000000000000000000000000000000000000000000000

         Computed:
           sha256:7be7bd406aec84e2f0106b78e3d28192294d2bcdf6d26f21c1fd824faffe6545
"""

PIP_OFFLINE = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection \
broken by 'NewConnectionError("HTTPSConnection(host='index.example', port=443): Failed to establish a new \
connection: [Errno 111] Connection refused")': /simple/tiny/
ERROR: Could not find a version that satisfies the requirement tiny==1.0 (from versions: none)
ERROR: No matching distribution found for tiny==1.0
"""

PIP_HASH = """\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package \
versions, please update the hashes. Otherwise, examine the package contents carefully; someone may have \
tampered with them.
    tiny==1.0 from https://index.example/tiny-1.0-py3-none-any.whl (from -r requirements/inv.txt (line 1)):
        Expected sha256 0000000000000000000000000000000000000000000000000000000000000000
             Got        7be7bd406aec84e2f0106b78e3d28192294d2bcdf6d26f21c1fd824faffe6545
"""

NO_VENV = """\
The virtual environment was not created successfully because ensurepip is not
available.  On Debian/Ubuntu systems, you need to install the python3-venv
package using the following command.

    apt install python3.11-venv
"""

_OFFLINE = "the package index cannot be reached: check the network"
_HASH = "a package does not have the hash in requirements/inv.txt: do not trust this index"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(UV_OFFLINE, _OFFLINE, id="uv offline"),
        pytest.param(UV_HASH, _HASH, id="uv hash"),
        pytest.param(PIP_OFFLINE, _OFFLINE, id="pip offline"),
        pytest.param(PIP_HASH, _HASH, id="pip hash"),
        pytest.param(NO_VENV, "this Python has no `venv` module", id="no venv"),
        pytest.param("the moon is in the way\n", "failed: the moon is in the way", id="odd"),
        pytest.param("", "failed: it gave no reason", id="silent"),
    ],
)
def test_a_failed_installation_is_said_in_one_line(
    text: str, said: str, checkout: Checkout
) -> None:
    """What installers write when they fail becomes one line and exit 6, and nothing looks whole after it."""
    Path(f"{checkout.log}.said").write_text(text)
    checkout.uv("fails")

    code, out, err = checkout.inv("build")

    assert (code, out) == (6, "")
    (line,) = err.splitlines()[1:]
    assert line.startswith("inv: ")
    assert said in line
    checkout.uv("well")
    assert checkout.inv("build")[0] == 7


INVOKE = """\
import sys
import lockgate

def main():
    print(*sys.argv[1:], sep="|")
"""


def wheel(folder: Path) -> str:
    """Write a wheel of an `invoke` that prints its arguments into a folder; return its sha256."""
    folder.mkdir()
    path = folder / "invoke-99-py3-none-any.whl"
    info = "invoke-99.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("shown.py", INVOKE)
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ninvoke = shown:main\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: invoke\nVersion: 99\n")
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(
            f"{info}/RECORD",
            "".join(f"{one},,\n" for one in [*archive.namelist(), f"{info}/RECORD"]),
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(params=["pip", "uv"])
def real(request: pytest.FixtureRequest, checkout: Checkout, tmp_path: Path) -> dict[str, str]:
    """The real installer in the checkout, and the settings with which it finds one wheel and no network."""
    (checkout.bin / "uv").unlink()
    if request.param == "uv":
        found = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if found is None:
            pytest.skip("uv is not installed, so how it installs and what it says cannot be seen")
        (checkout.bin / "uv").symlink_to(found)
    library = checkout.path / "src" / "lockgate"
    (library / "tasks").mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "tasks" / "program.py").write_text("import shown\n\nshown.main()\n")
    checkout.lock(f"invoke==99 --hash=sha256:{wheel(tmp_path / 'wheels')}")
    wheels = str(tmp_path / "wheels")
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheels,
        "UV_NO_CONFIG": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": wheels,
        "UV_NO_CACHE": "1",
    }


def test_the_real_installer_makes_an_environment_that_works(
    real: dict[str, str], checkout: Checkout
) -> None:
    """What pip and uv install runs from a path with a space, and finds this repository's library."""
    code, out, err = checkout.inv("build", "a b", env=real)

    assert (code, out.strip()[-9:]) == (0, "build|a b"), err
    assert checkout.inv("build", env=real)[2] == ""


def test_no_network_is_named(real: dict[str, str], checkout: Checkout) -> None:
    """A package index that nobody listens at: exit 6 and one line."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and never listening: every connection is refused
        index = f"http://127.0.0.1:{nobody.getsockname()[1]}/simple/"
        closed = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index,
            "PIP_RETRIES": "1",
            "UV_NO_CONFIG": "1",
            "UV_NO_CACHE": "1",
            "UV_DEFAULT_INDEX": index,
            "UV_HTTP_RETRIES": "0",
        }
        code, out, err = checkout.inv("build", env=closed)

    assert (code, out) == (6, "")
    (line,) = err.splitlines()[1:]
    assert line.startswith("inv: the package index cannot be reached: check the network")
    assert not (checkout.venv / "inv.lock").exists()


def waits(checkout: Checkout) -> subprocess.Popen[str]:
    """Start `inv` and return once it installs, which it would do for a minute."""
    checkout.uv("slow")
    child = checkout.start("build")
    slow = Path(f"{checkout.log}.slow")
    deadline = time.monotonic() + 60
    while not slow.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return child


def test_a_kill_midway_leaves_nothing_that_looks_whole(checkout: Checkout) -> None:
    """After SIGKILL in the middle of the installation the next call starts afresh."""
    with waits(checkout) as child:
        os.killpg(child.pid, signal.SIGKILL)
    assert checkout.venv.exists()
    checkout.uv("well")

    code, _, err = checkout.inv("build")

    assert code == 7
    assert err.startswith("setup ")
    assert checkout.made == 2


def test_ctrl_c_midway_is_130(checkout: Checkout) -> None:
    """Interrupted, it ends without a traceback, and the next call starts afresh."""
    with waits(checkout) as child:
        os.killpg(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=60)
    checkout.uv("well")

    assert child.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in err
    assert checkout.inv("build")[0] == 7
    assert checkout.made == 2


def test_two_calls_at_once_make_one_environment(checkout: Checkout) -> None:
    """The second one waits for the first and then uses what it made."""
    with checkout.start("build") as first, checkout.start("build") as second:
        codes = [first.wait(60), second.wait(60)]

    assert codes == [7, 7]
    assert checkout.made == 1
