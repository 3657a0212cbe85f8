"""Bad input met by the real flow: a clear error, the right exit code, nothing lost, and never a pass."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.conftest import scanner

from lockgate.base import namespaces
from lockgate.base.files import exclusive
from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import Repository

INV = (sys.executable, "-m", "lockgate.tasks.program")

SECRET = "the-value-of-a-secret-variable"


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def one_line_and_hint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error's line; there is a hint below it, and no traceback anywhere."""
    assert "Traceback" not in done.stderr
    *_, line, hint = done.stderr.splitlines()
    assert hint.startswith("  hint: "), done.stderr
    return line


# --- locks


def test_a_stack_that_changed_after_its_lock_is_refused(settled: Repository) -> None:
    """A `stack.yaml` that was edited and not locked again: exit 2, the field, and the command."""
    settled.edit("stacks/python/stack.yaml", "  - tzdata", "  - zlib1g\n  - tzdata")

    done = settled.inv("build", code=2)

    line = one_line_and_hint(done)
    assert line == "the lock of stack `python` was made before `packages` changed in `stack.yaml`"
    assert "inv build.lock" in done.stderr
    assert not settled.store.exists()


def test_a_comment_in_a_stack_needs_no_new_lock(work: Repository) -> None:
    """What means the same is the same: the lock is still that of the stack, and no layer changes."""
    before = work.record("image")["platforms"]
    work.edit("stacks/python/stack.yaml", "suites:", "# a comment\nsuites:")

    work.inv("build")

    after = work.record("image")
    assert [one["layers"] for one in after["platforms"]] == [one["layers"] for one in before]
    assert after["source"]["changes"] == ["stacks/python/stack.yaml"]


@pytest.mark.parametrize("damage", ["cut off", "edited", "gone"])
def test_a_damaged_lock_is_refused(damage: str, settled: Repository) -> None:
    """A lock that is cut off, was edited by hand or is missing: exit 2, and the command that makes it."""
    lock = settled.path / "stacks" / "python" / "stack.lock"
    if damage == "cut off":
        lock.write_bytes(lock.read_bytes()[:-100])
    elif damage == "edited":
        lock.write_text(lock.read_text().replace('"format": 1', '"format":  1'))
    else:
        lock.unlink()

    done = settled.inv("build", code=2)

    assert "`python`" in one_line_and_hint(done)
    assert "inv build.lock" in done.stderr


def test_a_requirement_without_a_hash_is_refused(settled: Repository) -> None:
    """A requirements file that locks a version and no bytes: exit 2, and its name."""
    path = settled.path / "app" / "requirements.txt"
    path.write_text(path.read_text() + "\nsix==1.17.0\n")

    line = one_line_and_hint(settled.inv("build", code=2))

    assert "six==1.17.0" in line


def test_missing_requirements_are_named(settled: Repository) -> None:
    """No requirements file at all: exit 2, its path, and how to make one."""
    (settled.path / "app" / "requirements.txt").unlink()

    assert "app/requirements.txt" in one_line_and_hint(settled.inv("build", code=2))


# --- what a mirror serves


@pytest.fixture
def mirror(settled: Repository, downloads: Path, tmp_path: Path) -> Path:
    """A mirror in a folder with the packages of the stack, that the settings name."""
    place = tmp_path / "mirror"
    lock = json.loads((settled.path / "stacks" / "python" / "stack.lock").read_bytes())
    for packages in lock["packages"].values():
        for one in packages:
            target = place / one["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(downloads / "debs" / f"{one['sha256']}.deb")
    settled.edit(
        "lockgate.yaml",
        "  relock: when-gone",
        f"  mirror: {place.as_uri()}\n  security_mirror: {place.as_uri()}\n"
        "  platforms: [linux/amd64]\n  relock: never",
    )
    return place


@pytest.fixture
def cold(downloads: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has the wheels and Trivy, and no package yet."""
    place = tmp_path / "cache"
    place.mkdir()
    for name in ("wheels", "tools", "advisories"):
        (place / name).symlink_to(downloads / name)
    return {"LOCKGATE_CACHE": str(place)}


def served(mirror: Path, name: str) -> Path:
    """Return a package's file on the mirror, as one that may be changed."""
    (path,) = mirror.glob(f"pool/**/{name}_*_amd64.deb")
    original = path.resolve().read_bytes()
    path.unlink()
    path.write_bytes(original)
    return path


def nothing_was_built(repository: Repository) -> None:
    """No image has a name in the store, no record speaks of one, and every blob is whole."""
    assert repository.damaged() == []
    assert json.loads((repository.store / "index.json").read_bytes())["manifests"] == []
    assert not (repository.path / ".lockgate" / "records" / "app" / "image.json").exists()


def test_a_mirror_in_a_folder_serves_a_build(
    settled: Repository, finished: Repository, mirror: Path, cold: dict[str, str]
) -> None:
    """The mirror of the next tests is sound: from it the same base is made as from the real one."""
    settled.inv("build", env=cold)

    base = settled.record("image")["platforms"][0]["layers"][0]
    assert base == finished.record("image")["platforms"][0]["layers"][0]


@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [("changed", 4, "has sha256"), ("longer", 4, "is longer than"), ("cut off", 5, "ended after")],
)
def test_a_package_with_other_bytes_is_refused(
    damage: str, code: int, said: str, settled: Repository, mirror: Path, cold: dict[str, str]
) -> None:
    """A `.deb` that is not the locked one is named and never used; what is whole is kept for the next run."""
    path = served(mirror, "libexpat1")
    whole = path.read_bytes()
    if damage == "changed":
        flip(path)
    elif damage == "longer":
        path.write_bytes(whole + b"more")
    else:
        path.write_bytes(whole[: len(whole) // 2])

    line = one_line_and_hint(settled.inv("build", env=cold, code=code))

    assert line.startswith("libexpat1 ")
    assert said in line
    nothing_was_built(settled)
    debs = Path(cold["LOCKGATE_CACHE"]) / "debs"
    assert not (debs / f"{hashlib.sha256(whole).hexdigest()}.deb").exists()
    assert list(debs.glob(".partial-*")) == []

    path.write_bytes(whole)
    settled.inv("build", env=cold)
    assert settled.damaged() == []


def test_a_package_that_changed_in_the_cache_is_fetched_again(
    settled: Repository, mirror: Path, cold: dict[str, str]
) -> None:
    """A flipped bit in the cache of downloads costs a download and nothing else."""
    settled.inv("build", env=cold)
    first = settled.subject
    kept = sorted((Path(cold["LOCKGATE_CACHE"]) / "debs").glob("*.deb"))[3]
    flip(kept)
    shutil.rmtree(settled.path / ".lockgate")

    settled.inv("build", env=cold)

    assert settled.subject == first
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == kept.stem


@pytest.mark.parametrize("where", ["CI", "never"])
def test_a_package_that_is_gone_is_named(
    where: str, settled: Repository, mirror: Path, cold: dict[str, str]
) -> None:
    """Exit 5, the package and `inv build.lock`; in CI the setting `when-gone` does not count."""
    served(mirror, "libexpat1").unlink()
    if where == "CI":
        settled.edit("lockgate.yaml", "relock: never", "relock: when-gone")

    done = settled.inv("build", env=cold | ({"CI": "1"} if where == "CI" else {}), code=5)

    assert one_line_and_hint(done).startswith("libexpat1 ")
    assert "is locked, but no longer on the mirror" in done.stderr
    assert "inv build.lock" in done.stderr
    nothing_was_built(settled)
    assert settled.git("status", "--porcelain", "stacks") == ""


def test_a_package_that_is_gone_is_locked_again_where_that_is_allowed(
    settled: Repository, cold: dict[str, str]
) -> None:
    """With `relock: when-gone` outside CI the stack is locked anew from the real archive.

    That is said and recorded, and the image is built from the new lock.
    """
    lock = settled.path / "stacks" / "python" / "stack.lock"
    lock.write_text(
        re.sub(r"(/libexpat1_)[^_]+(_amd64\.deb)", r"\g<1>0.1-1\g<2>", lock.read_text())
    )
    settled.commit("a lock of long ago")

    done = settled.inv("build", env={**cold, "CI": None})

    assert "libexpat1" in done.stderr
    assert "locking the stack again" in done.stderr
    assert "no longer on the mirror" in settled.record("image")["relocked"][0]
    assert "/libexpat1_0.1-1_" not in lock.read_text()
    assert "stacks/python/stack.lock" in settled.record("image")["source"]["changes"]


def test_a_mirror_that_is_not_there_is_said(
    settled: Repository, cold: dict[str, str], closed_port: int
) -> None:
    """A mirror that nobody answers for: exit 5 after a few attempts, and its address."""
    address = f"http://127.0.0.1:{closed_port}/debian"
    settled.edit(
        "lockgate.yaml",
        "  relock: when-gone",
        f"  mirror: {address}\n  security_mirror: {address}\n"
        "  platforms: [linux/amd64]\n  relock: when-gone",
    )

    assert address in one_line_and_hint(settled.inv("build", env=cold, code=5))
    nothing_was_built(settled)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on loopback that is taken and refuses every connection."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield int(nobody.getsockname()[1])


# --- what a package index serves


@pytest.fixture
def wheels(downloads: Path, tmp_path: Path) -> Path:
    """A folder with the wheels of the app."""
    place = tmp_path / "wheels"
    place.mkdir()
    for wheel in (downloads / "wheels").glob("*/*.whl"):
        shutil.copy(wheel, place)
    return place


@pytest.fixture
def offline(settled: Repository, downloads: Path, wheels: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has the packages, and no wheel but those in the folder."""
    settled.edit("lockgate.yaml", "  relock:", "  platforms: [linux/amd64]\n  relock:")
    place = tmp_path / "cache"
    place.mkdir()
    for name in ("debs", "tools", "advisories"):
        (place / name).symlink_to(downloads / name)
    return {
        "LOCKGATE_CACHE": str(place),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_CACHE_DIR": "1",
    }


def test_wheels_in_a_folder_serve_a_build(settled: Repository, offline: dict[str, str]) -> None:
    """The folder of the next tests is sound: from it the image is built."""
    settled.inv("build", env=offline)

    assert settled.damaged() == []


@pytest.mark.parametrize("damage", ["changed", "cut off"])
def test_a_wheel_with_other_bytes_is_refused(
    damage: str, settled: Repository, wheels: Path, offline: dict[str, str]
) -> None:
    """A wheel that is not the locked one: exit 4, its name, and nothing of it in the cache."""
    (wheel,) = wheels.glob("flask-*.whl")
    if damage == "changed":
        flip(wheel)
    else:
        wheel.write_bytes(wheel.read_bytes()[:-2000])

    line = one_line_and_hint(settled.inv("build", env=offline, code=4))

    assert line.startswith("flask==")
    assert "does not have the digest" in line
    nothing_was_built(settled)
    cache = Path(offline["LOCKGATE_CACHE"]) / "wheels"
    assert list(cache.glob("*/flask-*.whl")) == []
    assert list(cache.glob(".partial-*")) == []


def test_an_index_that_is_not_there_is_said(
    settled: Repository, offline: dict[str, str], closed_port: int
) -> None:
    """A package index that nobody answers for is exit 5, not a finding and not a crash."""
    settings = offline | {
        "PIP_NO_INDEX": "",
        "PIP_FIND_LINKS": "",
        "PIP_INDEX_URL": f"http://127.0.0.1:{closed_port}/simple/",
        "PIP_RETRIES": "1",
    }

    line = one_line_and_hint(settled.inv("build", env=settings, code=5))

    assert "the wheels of requirements.txt could not be downloaded" in line


def test_a_wheel_that_changed_in_the_cache_is_fetched_again(
    settled: Repository, offline: dict[str, str]
) -> None:
    """A flipped bit in a kept wheel costs a download and nothing else."""
    settled.inv("build", env=offline)
    first = settled.subject
    (kept,) = (Path(offline["LOCKGATE_CACHE"]) / "wheels").glob("*/flask-*.whl")
    flip(kept)
    shutil.rmtree(settled.path / ".lockgate")

    settled.inv("build", env=offline)

    assert settled.subject == first
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == kept.parent.name


# --- the machine


FULL = """
set -e
mkdir -p .lockgate/store
mount -t tmpfs -o size=8m tmpfs .lockgate/store
set +e
{inv} build; echo "exit $?"
ls -A .lockgate/store/blobs/sha256 | grep -c '^\\.'
cd .lockgate/store/blobs/sha256 && sha256sum -- * | while read sum name; do
    [ "$sum" = "$name" ] || echo "damaged $name"
done
cd "$OLDPWD"
mount -o remount,size=300m .lockgate/store
{inv} build --json; echo "exit $?"
"""


@pytest.mark.skipif(
    not namespaces.available() or shutil.which("unshare") is None,
    reason="a small disk is mounted in a namespace of its own, and this machine has no namespaces",
)
def test_a_full_disk_stops_the_build_and_loses_nothing(
    settled: Repository, finished: Repository
) -> None:
    """On a disk of 8 MB the build says that it is full and exits 1.

    What is there is whole, no piece is left over, and with more room the same command makes the same layers.
    """
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL.format(inv=" ".join(INV))],
        cwd=settled.path,
        env={**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
             "GIT_CONFIG_VALUE_0": "*"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip

    first, left, *damaged, record, second = done.stdout.splitlines()
    assert first == "exit 1", done.stderr
    assert "the disk is full" in done.stderr
    assert "hint: free some space, then run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert left == "0"
    assert damaged == []
    assert second == "exit 0"
    layers = [one["layers"] for one in json.loads(record)["platforms"]]
    assert layers == [one["layers"] for one in finished.record("image")["platforms"]]


def test_two_runs_at_once_share_one_store(settled: Repository, tmp_path: Path) -> None:
    """Both end well with the same image, each stage's work is done once, and the store is whole.

    They meet at a lock that is held until both wait for it: else one may have built before the other begins.
    """
    waits = b"another run builds this component; waiting for it"
    files = [tmp_path / "first", tmp_path / "second"]
    running: list[subprocess.Popen[bytes]] = []
    try:
        with exclusive(settled.path / ".lockgate" / "locks" / "build-app"):
            for path in files:
                with path.open("wb") as file:
                    child = subprocess.Popen(
                        [*INV, "build", "scan", "sign"],
                        cwd=settled.path,
                        env={**os.environ, "LOCKGATE_QUIET": ""},
                        stdout=subprocess.DEVNULL,
                        stderr=file,
                    )
                running.append(child)
            deadline = time.monotonic() + 300
            while not all(waits in path.read_bytes() for path in files):
                assert time.monotonic() < deadline, [path.read_text() for path in files]
                time.sleep(0.02)
        codes = [child.wait(timeout=600) for child in running]
    finally:
        for child in running:
            child.kill()
            child.wait(timeout=60)
    said = [path.read_text() for path in files]

    assert codes == [0, 0], said
    assert settled.damaged() == []
    assert sum(one.count("wheels linux/amd64") for one in said) == 1
    assert all(settled.subject[:15] in one for one in said)
    assert "5 of 5" in settled.inv("verify").stdout


# --- the scanner


@pytest.fixture
def trivy(work: Repository, tmp_path: Path) -> Callable[[str, str], dict[str, str]]:
    """Call with a version and a shell script for an environment in which that is the `trivy` on PATH."""
    shutil.rmtree(work.path / ".lockgate" / "cache" / "scan")

    def make(version: str, body: str) -> dict[str, str]:
        return {**scanner(tmp_path / "bin", version, body), "A_TOKEN": SECRET}

    return make


def not_scanned(repository: Repository, done: subprocess.CompletedProcess[str]) -> None:
    """No verdict was given, and no report was kept that a later run could take one from."""
    assert "gate " not in done.stderr
    assert not (repository.path / ".lockgate" / "cache" / "scan").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo FATAL the database is broken >&2; exit 1", "the database is broken"),
        ("kill -SEGV $$", "trivy"),
        ("exit 0", "trivy ended well and left no report"),
        ("printf '{\"SchemaVersion\": 2, \"Results\": [{' > report.json", "report"),
        (": > report.json", "report"),
        ("echo '{\"SchemaVersion\": 3}' > report.json", "report"),
        ("echo '[]' > report.json", "report"),
    ],
    ids=["fails", "crashes", "writes nothing", "half a report", "empty", "unknown schema", "a list"],
)  # fmt: skip
def test_a_scanner_that_fails_is_not_a_pass(
    body: str, said: str, work: Repository, trivy: Callable[[str, str], dict[str, str]]
) -> None:
    """However Trivy fails to do its work: exit 6, what it was, no verdict."""
    done = work.inv("scan", env=trivy("0.76.0", body), code=6)

    assert said in one_line_and_hint(done)
    not_scanned(work, done)


def test_a_report_of_another_image_is_refused(
    work: Repository, trivy: Callable[[str, str], dict[str, str]]
) -> None:
    """A report that is whole and speaks of something else is exit 4, not a verdict."""
    text = json.dumps(
        {"SchemaVersion": 2, "ArtifactName": "image", "Metadata": {"ImageID": "sha256:" + "0" * 64}}
    )

    done = work.inv("scan", env=trivy("0.76.0", f"echo '{text}' > report.json"), code=4)

    assert "trivy reported on sha256:" in one_line_and_hint(done)
    not_scanned(work, done)


def test_a_scanner_that_never_ends_is_ended(
    work: Repository, trivy: Callable[[str, str], dict[str, str]]
) -> None:
    """After `scan.timeout` seconds it is killed: exit 6, and the setting's name."""
    work.edit("lockgate.yaml", "  database: embedded", "  database: embedded\n  timeout: 1")

    done = work.inv("scan", env=trivy("0.76.0", "sleep 60"), code=6)

    assert "it did not finish within 1 s" in one_line_and_hint(done)
    not_scanned(work, done)


@pytest.mark.parametrize("version", ["0.69.4", "0.69.5", "0.69.6"])
def test_a_malicious_release_is_refused_by_name(
    version: str, work: Repository, trivy: Callable[[str, str], dict[str, str]], tmp_path: Path
) -> None:
    """Exit 6 with path and version; it is asked for its version and never run."""
    done = work.inv("scan", env=trivy(version, f"touch {tmp_path / 'ran'}"), code=6)

    line = one_line_and_hint(done)
    assert f"is Trivy {version}, a malicious release" in line
    assert str(tmp_path / "bin" / "trivy") in line
    assert not (tmp_path / "ran").exists()
    not_scanned(work, done)


def test_a_scanner_sees_no_secret_and_no_network(
    work: Repository, trivy: Callable[[str, str], dict[str, str]], tmp_path: Path
) -> None:
    """Nothing of the environment reaches it, and there is no interface but loopback."""
    seen = tmp_path / "seen"
    body = f"(env; cat /proc/net/dev) >> {seen}; exit 1"

    work.inv("scan", env=trivy("0.76.0", body), code=6)

    text = seen.read_text()
    assert "PATH=" in text
    assert SECRET not in text
    if namespaces.available():
        assert set(re.findall(r"^ *(\w+):", text, re.MULTILINE)) == {"lo"}


def test_without_any_scanner_nothing_passes(
    work: Repository, downloads: Path, tmp_path: Path
) -> None:
    """None on PATH, none in the cache and no index to fetch it from: exit 6."""
    shutil.rmtree(work.path / ".lockgate" / "cache" / "scan")
    tools = [Path(found).parent for found in (shutil.which("git"), shutil.which("sh")) if found]
    path = ":".join(str(one) for one in tools if not (one / "trivy").exists())

    done = work.inv(
        "scan",
        env={
            "PATH": path,
            "LOCKGATE_CACHE": str(tmp_path / "cache"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "",
            "PIP_CONFIG_FILE": os.devnull,
        },
        code=6,
    )

    assert "trivy is not on PATH, and trivy could not be fetched" in one_line_and_hint(done)
    not_scanned(work, done)


def test_a_database_that_is_too_old_gives_no_verdict(work: Repository) -> None:
    """A kept report does not help: once its database is older than the environment allows, exit 6."""
    work.edit("lockgate.yaml", "database_max_age_days: 36500", "database_max_age_days: 0")

    done = work.inv("scan", code=6)

    assert re.search(r"database is \d+ days? old, dev allows 0", one_line_and_hint(done))
    assert "inv scan.database --pull" in done.stderr
    assert "gate " not in done.stderr


def test_a_database_that_cannot_be_reached_is_no_pass(
    work: Repository, downloads: Path, tmp_path: Path, closed_port: int
) -> None:
    """`prod` wants Trivy's database: where nobody answers for it, that is said, and the gate stays closed."""
    place = tmp_path / "cache"
    place.mkdir()
    (place / "tools").symlink_to(downloads / "tools")
    address = f"127.0.0.1:{closed_port}/trivy-db:2"
    work.edit(
        "lockgate.yaml",
        "  database: embedded",
        f"  database: auto\n  database_repository: {address}",
    )
    cold = {"LOCKGATE_CACHE": str(place)}

    asked = work.inv("scan.database", "--pull", env=cold, code=5)
    closed = work.inv("scan", "-e", "prod", env=cold, code=3)

    assert "the advisory database could not be pulled" in one_line_and_hint(asked)
    assert "the advisory database could not be pulled" in closed.stderr
    assert "embedded advisories" in closed.stderr
    assert work.record("decision-prod")["refusals"] == ["embedded advisories"]


def test_only_the_upstream_database_when_it_is_asked_for(work: Repository, tmp_path: Path) -> None:
    """With `database: upstream` and none pulled the embedded one never takes its place: exit 6."""
    work.edit("lockgate.yaml", "  database: embedded", "  database: upstream")

    done = work.inv("scan", env={"LOCKGATE_CACHE": str(tmp_path / "cache")}, code=6)

    assert "no advisory database was pulled" in one_line_and_hint(done)
    assert "gate " not in done.stderr


CLOCK = """\
import time
_real = time.time
time.time = lambda: _real() + {seconds}
"""


def clock(folder: Path, seconds: int) -> dict[str, str]:
    """Return an environment in which the clock of every Python is ahead."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK.format(seconds=seconds))
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    }


def test_a_verdict_lapses_with_its_database(work: Repository, tmp_path: Path) -> None:
    """What was decided, signed and trusted is not any more once the advisories became too old."""
    ahead = clock(tmp_path / "clock", 36501 * 24 * 3600)

    assert "days old" in one_line_and_hint(work.inv("scan", env=ahead, code=6))
    verified = work.inv("verify", env=ahead, code=4)
    assert "Stale" in verified.stdout
    work.inv("deploy", env=ahead, code=4)
    assert json.loads(work.inv("deploy.status", "--json").stdout)["phase"] == "never deployed"


def test_a_clock_that_runs_behind_is_noticed(work: Repository, tmp_path: Path) -> None:
    """A database from the future has no age that could be judged: exit 6 rather than a pass."""
    behind = clock(tmp_path / "clock", -3000 * 24 * 3600)

    done = work.inv("scan", env=behind, code=6)

    assert "future" in one_line_and_hint(done)


# --- keys


def cosign_key(password: bytes) -> tuple[str, bytes]:
    """Return a new key pair as `cosign generate-key-pair` writes one, made without our own code."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    from nacl.secret import SecretBox

    key = ec.generate_private_key(ec.SECP256R1())
    plain = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    salt, nonce = os.urandom(32), os.urandom(24)
    cost = {"N": 32768, "r": 8, "p": 1}
    secret = hashlib.scrypt(
        password, salt=salt, n=cost["N"], r=cost["r"], p=cost["p"], maxmem=1 << 26, dklen=32
    )

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    box = {
        "kdf": {"name": "scrypt", "params": cost, "salt": text(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": text(nonce)},
        "ciphertext": text(SecretBox(secret).encrypt(plain, nonce).ciphertext),
    }
    label, body = "ENCRYPTED SIGSTORE PRIVATE KEY", text(json.dumps(box).encode())
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    public = key.public_key().public_bytes(
        form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    )
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n", public


@pytest.fixture
def keyed(work: Repository) -> dict[str, str]:
    """The environment with a key that has a password, which `dev` is told to sign with."""
    private, public = cosign_key(b"right")
    (work.path / "release.pub").write_bytes(public)
    work.edit(
        "lockgate.yaml",
        "  dev: {",
        "  dev: {key: 'env://RELEASE_KEY', public_keys: [release.pub],\n        ",
    )
    return {"RELEASE_KEY": private}


def test_the_right_password_signs(work: Repository, keyed: dict[str, str]) -> None:
    """The key of the next tests is sound: with its password it signs, and its public half verifies."""
    work.inv("scan", "sign", env=keyed | {"COSIGN_PASSWORD": "right"})

    assert "(release)" in work.inv("verify").stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"COSIGN_PASSWORD": "wrong"}, "the password is wrong, or the file was changed"),
        ({}, "no terminal to ask"),
        ({"RELEASE_KEY": "", "COSIGN_PASSWORD": "right"}, "RELEASE_KEY is not set"),
        ({"RELEASE_KEY": "no key", "COSIGN_PASSWORD": "right"}, "RELEASE_KEY"),
    ],
    ids=["wrong password", "no password", "no key", "not a key"],
)
def test_a_key_that_cannot_be_used_signs_nothing(
    change: dict[str, str], said: str, work: Repository, keyed: dict[str, str]
) -> None:
    """Exit 4 with the reason, the store as it was, and neither key nor password in what is printed."""
    work.inv("scan")
    before = (work.store / "index.json").read_bytes()

    done = work.inv("sign", env=keyed | change, code=4)

    assert said in one_line_and_hint(done)
    assert (work.store / "index.json").read_bytes() == before
    assert "BEGIN ENCRYPTED" not in done.stdout + done.stderr
    assert work.damaged() == []


# --- changed bytes


def parts(repository: Repository) -> dict[str, str]:
    """Return the digest of everything that the image and its evidence consist of, by name."""

    def content(digest: str) -> Any:
        return json.loads(repository.blob(digest).read_bytes())

    subject = repository.subject
    found = {"index": subject}
    for one in content(subject)["manifests"]:
        arch = one["platform"]["architecture"]
        manifest = content(one["digest"])
        found[f"{arch} manifest"] = one["digest"]
        found[f"{arch} config"] = manifest["config"]["digest"]
        for number, layer in enumerate(manifest["layers"]):
            found[f"{arch} layer {number}"] = layer["digest"]
    names = {
        one["annotations"]["org.opencontainers.image.ref.name"]: one["digest"]
        for one in json.loads((repository.store / "index.json").read_bytes())["manifests"]
    }
    listing = names[f"sha256-{subject[7:]}"]
    found["list of referrers"] = listing
    for one in content(listing)["manifests"]:
        kind = one["annotations"]["dev.sigstore.bundle.predicateType"].split("/")[
            -1 if "bom" in str(one) else -2
        ]
        found[f"referrer {kind}"] = one["digest"]
        found[f"bundle {kind}"] = content(one["digest"])["layers"][0]["digest"]
    return found


PARTS = [
    "index", "amd64 manifest", "amd64 config", "amd64 layer 0", "amd64 layer 1", "amd64 layer 2",
    "arm64 manifest", "arm64 config", "arm64 layer 0", "list of referrers",
]  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_a_changed_byte_is_trusted_by_nobody(name: str, work: Repository) -> None:
    """One bit in one blob: verify, deploy and a scan that looks exit 4 and name it; nothing is deployed."""
    digest = parts(work)[name]
    flip(work.blob(digest))
    if not name.startswith("list"):
        shutil.rmtree(work.path / ".lockgate" / "cache" / "scan")
        assert digest[7:15] in one_line_and_hint(work.inv("scan", code=4))

    for command in ("verify", "deploy"):
        assert digest[7:15] in one_line_and_hint(work.inv(command, code=4)), command

    assert json.loads(work.inv("deploy.status", "--json").stdout)["phase"] == "never deployed"
    assert work.damaged() == [digest[7:]]


@pytest.mark.parametrize("name", ["index", "amd64 manifest", "arm64 config"])
def test_a_build_does_not_call_a_changed_image_unchanged(name: str, work: Repository) -> None:
    """What describes the image is read even when nothing changed: exit 4, and which file to remove."""
    digest = parts(work)[name]
    flip(work.blob(digest))

    done = work.inv("build", code=4)
    work.blob(digest).unlink()
    work.inv("build")

    assert str(work.blob(digest)) in one_line_and_hint(done)
    assert "unchanged" not in done.stderr
    assert work.damaged() == []


def test_a_build_notices_a_layer_that_is_cut_off(work: Repository) -> None:
    """A layer of another length is exit 4 too; removed, it is made again."""
    digest = parts(work)["amd64 layer 1"]
    with work.blob(digest).open("r+b") as file:
        file.truncate(1000)

    done = work.inv("build", code=4)
    work.blob(digest).unlink()
    work.inv("build")

    assert digest[7:15] in one_line_and_hint(done)
    assert work.damaged() == []


def test_a_changed_byte_in_any_evidence_is_trusted_by_nobody(work: Repository) -> None:
    """The same for each of the five referrers and bundles."""
    evidence = {
        name: digest
        for name, digest in parts(work).items()
        if name.startswith(("referrer", "bundle"))
    }
    assert len(evidence) == 10
    for digest in evidence.values():
        flip(work.blob(digest))
        done = work.inv("verify", code=4)
        assert digest[7:15] in done.stdout + done.stderr
        flip(work.blob(digest))
    assert "5 of 5" in work.inv("verify").stdout


@pytest.mark.parametrize("name", ["index", "amd64 layer 0", "arm64 layer 2"])
def test_a_blob_that_is_gone_is_built_again(name: str, work: Repository) -> None:
    """What was removed is not there: verify refuses, and the next build makes the very same bytes."""
    digest = parts(work)[name]
    work.blob(digest).unlink()
    subject = work.subject

    assert work.inv("verify", code=None).returncode in (2, 4)
    work.inv("build", "scan", "sign")

    assert work.subject == subject
    assert work.damaged() == []
    assert "5 of 5" in work.inv("verify").stdout


# --- deploying


def test_a_port_in_use_stops_nothing(work: Repository) -> None:
    """Another program has the port: exit 2, what to do, and both it and what runs run on."""
    work.inv("deploy")
    before = json.loads(work.inv("deploy.status", "--json").stdout)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        work.edit("lockgate.yaml", "port: 0}\n  staging", f"port: {port}}}\n  staging")

        done = work.inv("deploy", code=2)

    assert f"port {port} on 127.0.0.1 cannot be used" in one_line_and_hint(done)
    assert json.loads(work.inv("deploy.status", "--json").stdout) == before
    with urllib.request.urlopen(f"{before['url']}/readyz", timeout=60) as answer:
        assert answer.status == 200


def test_waivers_that_cannot_be_read_stop_everything_behind_them(work: Repository) -> None:
    """Exit 2 from the gate, and no decision of before is used in its place."""
    (work.path / "policies" / "waivers.yaml").write_text("waivers: [{id: a}]\n")

    done = work.inv("scan", "sign", code=2)

    assert "policies/waivers.yaml" in one_line_and_hint(done)
    assert "sign " not in done.stderr


def test_ctrl_c_in_the_middle_is_130(settled: Repository) -> None:
    """SIGINT while layers are made: exit 130, one line, and the next run finishes."""
    # The build wants this lock at its end, so it is not over when the signal comes late.
    with exclusive(Layout.create(settled.store).root / ".lock"):
        child = subprocess.Popen(
            [*INV, "build"],
            cwd=settled.path,
            env={**os.environ, "LOCKGATE_QUIET": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stderr is not None
        first = child.stderr.readline()
        child.send_signal(signal.SIGINT)
        _, rest = child.communicate(timeout=600)

    assert "first build" in first
    assert child.returncode == 130, rest
    assert rest.splitlines()[-1] == "stopped by Ctrl-C; what was finished is kept"
    assert "Traceback" not in rest
    settled.inv("build")
    assert settled.damaged() == []
