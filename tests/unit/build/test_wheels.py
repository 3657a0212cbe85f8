"""Locked wheels: checked when they come, checked again when they are kept, and pip's failures explained."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    MirrorError,
    StorageError,
    ToolError,
    ToolMissing,
    UsageError,
)
from lockgate.base.process import Completed
from lockgate.build import wheels
from lockgate.build.wheels import fetch, platform_tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


class Index:
    """A package index and a pip that downloads from it, without a process or a socket.

    It does what pip does with the arguments that it is given: finds a wheel by name and version, checks
    hashes, and fails with pip's words.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        """Wheels by file name."""
        self.calls: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.fails: CommandFailed | None = None
        self.leaves_out: set[str] = set()

    def run(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str]) -> Completed:
        """Stand in for `process.run`."""
        assert timeout <= 1200
        words = [str(word) for word in argv]
        self.calls.append(words)
        self.environments.append(env)
        if self.fails is not None:
            raise self.fails
        into = Path(words[words.index("--dest") + 1])
        lock = Path(words[words.index("--requirement") + 1])
        for line in lock.read_text().splitlines():
            requirement, *hashes = line.split(" --hash=sha256:")
            self._download(requirement, hashes, into)
        return Completed(0, b"", b"")

    def _download(self, requirement: str, hashes: list[str], into: Path) -> None:
        name, _, version = requirement.partition("==")
        if name in self.leaves_out:
            return
        found = [one for one in self.files if one.startswith(f"{name}-{version}-")]
        if not found:
            self._fail(
                f"ERROR: Could not find a version that satisfies the requirement {requirement}"
                f" (from versions: 1.0)\nERROR: No matching distribution found for {requirement}\n"
            )
        data = self.files[found[0]]
        if sha256(data) not in hashes:
            self._fail(
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you …\n"
                f"    {requirement} from https://index.example/{found[0]} (from -r x (line 1)):\n"
                f"        Expected sha256 {hashes[0]}\n             Got        {sha256(data)}\n\n"
            )
        (into / found[0]).write_bytes(data)

    @staticmethod
    def _fail(stderr: str) -> None:
        raise CommandFailed(["python", "-m", "pip"], 1, stderr)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index with two distributions."""
    found = Index()
    found.files = {
        "one-1.0-py3-none-any.whl": b"wheel of one",
        "two-2.0-cp313-cp313-manylinux_2_28_x86_64.whl": b"wheel of two",
    }
    monkeypatch.setattr(wheels, "run", found.run)
    return found


class Lock:
    """A lock in a folder of its own, and a cache."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "requirements.txt"
        self.cache = folder / "cache"
        self.write(("one==1.0", b"wheel of one"), ("two==2.0", b"wheel of two"))

    def write(self, *lines: tuple[str, bytes]) -> None:
        """Lock requirements to contents."""
        self.path.write_text(
            "".join(f"{text} --hash=sha256:{sha256(data)}\n" for text, data in lines)
        )

    def fetch(self, python: str = "3.13", platform: str = "linux/amd64") -> tuple[Path, ...]:
        """Fetch its wheels."""
        return fetch(self.path, python=python, glibc="2.41", platform=platform, cache=self.cache)

    def left(self) -> list[str]:
        """What lies in the cache."""
        return sorted(os.listdir(self.cache)) if self.cache.exists() else []


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    """A lock that fits the index."""
    return Lock(tmp_path)


def test_the_locked_wheels_come_back(index: Index, lock: Lock) -> None:
    """Sorted by file name, each in a folder named by its digest."""
    found = lock.fetch()
    assert [one.name for one in found] == sorted(index.files)
    for one in found:
        assert one.read_bytes() == index.files[one.name]
        assert one.parent.name == sha256(one.read_bytes())


def test_pip_is_asked_for_the_image_and_not_the_host(index: Index, lock: Lock) -> None:
    """The image's Python and platform, wheels only, hashes required, nothing resolved."""
    lock.fetch(python="3.13", platform="linux/arm64")
    (argv,) = index.calls
    assert argv[:4] == [sys.executable, "-P", "-m", "pip"]
    pairs = set(itertools.pairwise(argv))
    assert {"--only-binary=:all:", "--require-hashes", "--no-deps", "--no-input"} <= set(argv)
    assert {("--python-version", "3.13"), ("--implementation", "cp"), ("--abi", "cp313")} <= pairs
    assert {("--abi", "abi3"), ("--abi", "none")} <= pairs
    tags = [value for option, value in pairs if option == "--platform"]
    assert "manylinux_2_41_aarch64" in tags
    assert not [tag for tag in tags if "x86_64" in tag]


def test_pip_sees_what_the_image_needs(index: Index, lock: Lock) -> None:
    """A marker that holds in the image counts, and one that does not leaves its line out."""
    lock.write(
        ("one==1.0 ; python_version >= '3.13'", b"wheel of one"),
        ("two==2.0 ; sys_platform == 'win32'", b"wheel of two"),
    )
    assert [one.name for one in lock.fetch()] == ["one-1.0-py3-none-any.whl"]
    assert lock.fetch(python="3.12") == ()
    assert len(index.calls) == 1


def test_pips_settings_pass_and_secrets_do_not(
    index: Index, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's own variables, certificates and proxies reach it; nothing else of the environment does."""  # noqa: D403 - pip's name
    wanted = {
        "PIP_INDEX_URL": "https://index.example/simple",
        "HTTPS_PROXY": "http://proxy.example",
        "no_proxy": "localhost",
        "SSL_CERT_FILE": "/certs",
        "REQUESTS_CA_BUNDLE": "/certs",
    }
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    for name in ("COSIGN_PASSWORD", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "MY_HTTPS_PROXY"):
        monkeypatch.setenv(name, "geheim")
    lock.fetch()
    (environment,) = index.environments
    assert wanted.items() <= environment.items()
    assert "geheim" not in environment.values()


def test_kept_wheels_are_not_downloaded_again(index: Index, lock: Lock) -> None:
    """The second time pip is not run, and the answer is the same."""
    assert lock.fetch() == lock.fetch()
    assert len(index.calls) == 1


def test_each_python_and_platform_is_asked_for_itself(index: Index, lock: Lock) -> None:
    """The answer for one image is not taken for another."""
    lock.fetch()
    lock.fetch(python="3.12")
    lock.fetch(platform="linux/arm64")
    assert len(index.calls) == 3


@pytest.mark.parametrize("damage", ["change", "cut", "remove", "listing", "empty listing"])
def test_a_damaged_cache_is_downloaded_again(index: Index, lock: Lock, damage: str) -> None:
    """A kept wheel is checked each time: what is not right is fetched again and replaced."""
    first = lock.fetch()
    (listing,) = (lock.cache / "resolved").iterdir()
    if damage == "change":
        first[0].write_bytes(b"wheel of onE")
    elif damage == "cut":
        first[1].write_bytes(b"")
    elif damage == "remove":
        shutil.rmtree(first[0].parent)
    elif damage == "listing":
        listing.write_bytes(b"\xff{")
    else:
        listing.write_bytes(b'{"wheels":[]}')
    assert lock.fetch() == first
    assert [one.read_bytes() for one in first] == [b"wheel of one", b"wheel of two"]
    assert len(index.calls) == 2


def test_a_wheel_of_another_digest_is_never_kept(index: Index, lock: Lock) -> None:
    """The index serves other bytes: DigestMismatch names the package, and nothing of it stays."""
    index.files["one-1.0-py3-none-any.whl"] = b"evil"
    with pytest.raises(DigestMismatch, match=r"^one==1\.0 does not have the digest") as caught:
        lock.fetch()
    assert str(lock.path) in caught.value.message
    assert "do not trust" in caught.value.hint
    assert lock.left() == []


def test_pips_word_is_not_taken_for_it(
    index: Index, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should pip let other bytes pass, they are found here."""

    def careless(requirement: str, hashes: list[str], into: Path) -> None:
        (into / "one-1.0-py3-none-any.whl").write_bytes(b"evil")

    monkeypatch.setattr(index, "_download", careless)
    with pytest.raises(DigestMismatch, match=r"has a digest that .* does not list"):
        lock.fetch()
    assert lock.left() == []


def test_a_digest_of_another_package_does_not_count(index: Index, lock: Lock) -> None:
    """The bytes of `two` under the name of `one` are not `one`, though the lock lists the digest."""
    index.files["one-1.0-py3-none-any.whl"] = b"wheel of two"
    index.leaves_out = {"two"}
    lock.path.write_text(
        f"one==1.0 --hash=sha256:{sha256(b'wheel of one')} --hash=sha256:{sha256(b'wheel of two')}\n"
        f"two==2.0 --hash=sha256:{sha256(b'wheel of two')}\n"
    )
    with pytest.raises(ToolError, match="left no wheel of two"):
        lock.fetch()


def test_a_wheel_that_pip_leaves_out_is_missed(index: Index, lock: Lock) -> None:
    """Success with fewer wheels than the lock names is no success."""
    index.leaves_out = {"two"}
    with pytest.raises(ToolError, match="left no wheel of two") as caught:
        lock.fetch()
    assert caught.value.hint
    index.leaves_out = set()
    assert len(lock.fetch()) == 2


def test_no_wheel_for_the_platform_is_told(index: Index, lock: Lock) -> None:
    """A package without a wheel: which one, for what, and what to do."""
    del index.files["two-2.0-cp313-cp313-manylinux_2_28_x86_64.whl"]
    with pytest.raises(UsageError, match=r"two==2\.0 has no wheel for linux_x86_64") as caught:
        lock.fetch()
    assert "lock" in caught.value.hint


RETRYING = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
    "ERROR: Could not find a version that satisfies the requirement one==1.0 (from versions: none)\n"
    "ERROR: No matching distribution found for one==1.0\n"
)


@pytest.mark.parametrize(
    ("code", "stderr", "kind", "words"),
    [
        (1, RETRYING, MirrorError, "could not be downloaded"),
        (1, "ERROR: HTTP error 503 while getting x\n", MirrorError, "HTTP error 503"),
        (1, "", MirrorError, "pip gave no reason"),
        (-9, "it did not finish within 1200 s", MirrorError, "did not answer in time"),
        (1, f"{sys.executable}: No module named pip\n", ToolMissing, "has no pip"),
    ],
)
def test_pips_failures_are_explained(
    index: Index, lock: Lock, code: int, stderr: str, kind: type[LockgateError], words: str
) -> None:
    """An index that is away, an error of its, a time limit, no pip: each as what it is, with a hint."""
    index.fails = CommandFailed(["python", "-m", "pip"], code, stderr)
    with pytest.raises(kind, match=words) as caught:
        lock.fetch()
    assert caught.value.hint
    assert lock.left() == []
    assert isinstance(caught.value, ToolMissing) or getattr(caught.value, "retryable", False)


def test_an_interrupt_leaves_nothing_behind(
    index: Index, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while pip runs: no wheel, no folder, and the next run succeeds."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(wheels, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            lock.fetch()
    assert lock.left() == []
    assert len(lock.fetch()) == 2


def test_an_empty_lock_needs_no_pip(index: Index, lock: Lock) -> None:
    """Nothing named, nothing done."""
    lock.path.write_text("# nothing\n")
    assert lock.fetch() == ()
    assert index.calls == []


@pytest.mark.parametrize("text", ["one==1.0\n", "--index-url https://index.example\n", "one>=1\n"])
def test_what_is_no_lock_is_not_given_to_pip(index: Index, lock: Lock, text: str) -> None:
    """Without hashes, with options, without pins: refused before anything is downloaded."""
    lock.path.write_text(text)
    with pytest.raises(UsageError):
        lock.fetch()
    assert index.calls == []


def test_a_missing_lock_is_told(index: Index, lock: Lock) -> None:
    """No file: one line, not a traceback."""
    lock.path.unlink()
    with pytest.raises(UsageError, match="cannot be read: No such file") as caught:
        lock.fetch()
    assert caught.value.hint
    assert index.calls == []


def test_a_cache_that_cannot_be_written_is_told(index: Index, lock: Lock) -> None:
    """A file where the cache should be: a StorageError."""
    lock.cache.write_bytes(b"")
    with pytest.raises(StorageError):
        lock.fetch()


def test_tags_go_down_from_the_images_glibc() -> None:
    """Every manylinux that runs there, newest first, none newer, aliases included (PEP 600)."""
    intel = platform_tags("linux/amd64", "2.36")
    assert intel[0] == "manylinux_2_36_x86_64"
    assert {"manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"} <= set(intel)
    assert {f"manylinux_2_{minor}_x86_64" for minor in range(5, 37)} <= set(intel)
    assert "manylinux_2_37_x86_64" not in intel
    assert intel[-1] == "linux_x86_64"
    assert len(set(intel)) == len(intel)


def test_tags_of_arm_start_where_its_wheels_do() -> None:
    """There is no manylinux below 2.17 for aarch64."""
    arm = platform_tags("linux/arm64", "2.41")
    assert (arm[0], arm[-2:]) == (
        "manylinux_2_41_aarch64",
        ("manylinux2014_aarch64", "linux_aarch64"),
    )
    assert len(arm) == 41 - 16 + 2


@pytest.mark.parametrize("platform", ["linux/arm/v7", "windows/amd64", "linux", "amd64", ""])
def test_other_platforms_have_no_wheels(platform: str) -> None:
    """No tags are made up."""
    with pytest.raises(UsageError, match="no wheels are known"):
        platform_tags(platform, "2.41")
