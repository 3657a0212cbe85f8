"""The files of a component: which count, and a digest that nothing else changes."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.tree import (
    ContentHash,
    SourceFile,
    content_digest,
    is_source,
    source_files,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1,
                max_size=30).filter(lambda text: text not in (".", ".."))  # fmt: skip
PATTERNS = ("tests", "docs/*", "*.md", "data/*.csv", "deep/inner")


def plant(folder: Path, *paths: str) -> Path:
    """Make files of these names, each with its name as content."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(os.fsencode(path))
    return folder


def digest(folder: Path) -> str:
    """The digest of all files that count."""
    return content_digest(folder, source_files(folder, ()))


def test_files_are_listed_sorted_and_relative(tmp_path: Path) -> None:
    """By full path, code point by code point, whatever order the folder has."""
    plant(tmp_path, "b", "a/z", "a-b", "a/b/c", "Z")
    assert source_files(tmp_path, ()) == ["Z", "a-b", "a/b/c", "a/z", "b"]


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        "a/.hidden/b",
        "__pycache__/x.py",
        "a/__pycache__/x.cpython-313.pyc",
        "a/x.pyc",
        "web/node_modules/left/index.js",
    ],
)
def test_what_is_hidden_or_left_behind_does_not_count(tmp_path: Path, path: str) -> None:
    """Secrets in dot files, caches and installed modules stay out at every depth."""
    plant(tmp_path, "main.py", path)
    assert source_files(tmp_path, ()) == ["main.py"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("tests", ["docs/a.md", "docs/a/b.txt", "main.py", "testsuite"]),
        ("tests/", ["docs/a.md", "docs/a/b.txt", "main.py", "testsuite"]),
        ("./tests", ["docs/a.md", "docs/a/b.txt", "main.py", "testsuite"]),
        ("/tests", ["docs/a.md", "docs/a/b.txt", "main.py", "testsuite"]),
        ("*.md", ["docs/a/b.txt", "main.py", "tests/x", "testsuite"]),
        ("docs/a", ["docs/a.md", "main.py", "tests/x", "testsuite"]),
        ("a", ["docs/a.md", "docs/a/b.txt", "main.py", "tests/x", "testsuite"]),
        ("Main.py", ["docs/a.md", "docs/a/b.txt", "main.py", "tests/x", "testsuite"]),
        ("main.p?", ["docs/a.md", "docs/a/b.txt", "tests/x", "testsuite"]),
        ("", ["docs/a.md", "docs/a/b.txt", "main.py", "tests/x", "testsuite"]),
    ],
)
def test_patterns_leave_out_files_and_folders(
    tmp_path: Path, pattern: str, left: list[str]
) -> None:
    """A folder's pattern takes all below it; a name does not match in the middle of another."""
    plant(tmp_path, "main.py", "testsuite", "tests/x", "docs/a.md", "docs/a/b.txt")
    assert source_files(tmp_path, [pattern]) == left


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(
        st.lists(
            st.sampled_from(
                ["tests", "docs", "a.md", "data", "x.csv", "deep", "inner", ".h", "b.pyc"]
            ),
            min_size=1,
            max_size=3,
        ).map("/".join),
        min_size=1,
        max_size=6,
    )
)
def test_is_source_agrees_with_the_listing(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str]
) -> None:
    """What git calls changed counts exactly when the listing would have it."""
    folder = tmp_path_factory.mktemp("tree")
    files = [one for one in paths if not any(other.startswith(one + "/") for other in paths)]
    plant(folder, "keep", *files)
    listed = source_files(folder, PATTERNS)
    assert {one for one in {"keep", *files} if is_source(one, PATTERNS)} == set(listed)


@pytest.mark.parametrize("make", ["absent", "empty", "hidden only", "file"])
def test_no_files_is_an_error(tmp_path: Path, make: str) -> None:
    """Empty is not success: an absent folder, an empty one, one with nothing that counts, a file."""
    folder = tmp_path / "app"
    if make == "file":
        folder.write_bytes(b"")
    elif make != "absent":
        folder.mkdir()
    if make == "hidden only":
        plant(folder, ".env")
    with pytest.raises(UsageError) as caught:
        source_files(folder, ())
    assert caught.value.hint


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without rights below the component is one line, not a traceback."""
    plant(tmp_path, "a/b")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        with pytest.raises(UsageError, match="a cannot be read: Permission denied"):
            source_files(tmp_path, ())


def test_links_are_listed_and_not_followed(tmp_path: Path) -> None:
    """A link to a folder is one entry, also when it points at its own parent or at nothing."""
    plant(tmp_path, "real/file")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real/loop").symlink_to("..")
    (tmp_path / "broken").symlink_to("/nowhere")
    assert source_files(tmp_path, ()) == ["broken", "folder", "real/file", "real/loop"]
    assert digest(tmp_path).startswith("sha256:")


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    """Two folders with the same files have one digest, wherever and whenever they were made."""
    one, two = plant(tmp_path / "1", "a", "b/c"), plant(tmp_path / "2", "b/c", "a")
    os.utime(two / "a", (0, 0))
    assert digest(one) == digest(two)


def test_the_umask_does_not_count(tmp_path: Path) -> None:
    """Only the owner's executable bit is part of the digest."""
    seen = set()
    for umask in (0o000, 0o022, 0o077):
        before = os.umask(umask)
        try:
            folder = plant(tmp_path / str(umask), "a", "run")
            (folder / "run").chmod(0o777 & ~umask)
        finally:
            os.umask(before)
        seen.add(digest(folder))
    assert len(seen) == 1


@pytest.mark.parametrize("change", ["byte", "name", "executable", "more", "less", "link", "target"])
def test_every_change_changes_the_digest(tmp_path: Path, change: str) -> None:
    """Bytes, names, the executable bit, one file more or less, a link for a file, another target."""
    plant(tmp_path, "a", "b")
    (tmp_path / "link").symlink_to("a")
    before = digest(tmp_path)
    if change == "byte":
        (tmp_path / "a").write_bytes(b"A")
    elif change == "name":
        (tmp_path / "a").rename(tmp_path / "c")
    elif change == "executable":
        (tmp_path / "a").chmod(0o744)
    elif change == "more":
        (tmp_path / "c").write_bytes(b"")
    elif change == "less":
        (tmp_path / "b").unlink()
    elif change == "link":
        (tmp_path / "link").unlink()
        (tmp_path / "link").write_bytes(b"a")
    else:
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("b")
    assert digest(tmp_path) != before


def test_a_name_cannot_pass_for_another_file(tmp_path: Path) -> None:
    """A line feed in a name cannot imitate the line of a second file."""
    plain = plant(tmp_path / "plain", "a", "b")
    total = ContentHash()
    for piece in SourceFile.of(plain, "a").pieces():
        total.update(piece)
    second = hashlib.sha256(b"b").hexdigest()
    forged = SourceFile(f"a\n- {second} b", "-", 1, b"", plain / "a")
    total.close(forged)
    assert total.digest != digest(plain)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=4),
       st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=4))  # fmt: skip
def test_two_trees_have_one_digest_only_when_they_are_equal(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], two: dict[str, bytes]
) -> None:
    """The digest tells any two sets of names and bytes apart."""
    digests = []
    for files in (one, two):
        folder = tmp_path_factory.mktemp("tree")
        for number, data in enumerate(files.values()):
            (folder / str(number)).write_bytes(data)
        total = ContentHash()
        for number, (name, data) in sorted(enumerate(files.items()), key=lambda item: item[1][0]):
            total.update(data)
            total.close(SourceFile(name, "-", len(data), b"", folder / str(number)))
        digests.append(total.digest)
    assert (digests[0] == digests[1]) is (one == two)


def test_a_name_that_is_not_utf8_counts(tmp_path: Path) -> None:
    """Any bytes can be a file name."""
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    assert digest(tmp_path).startswith("sha256:")


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_special_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A pipe or socket in the sources is named, with the way to leave it out; nothing hangs on it."""
    monkeypatch.chdir(tmp_path)
    if kind == "fifo":
        os.mkfifo("special")
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("special")
    with pytest.raises(UsageError, match="special is neither a file nor a link") as caught:
        digest(tmp_path)
    assert "exclude" in caught.value.hint


def test_a_file_that_vanishes_is_told(tmp_path: Path) -> None:
    """Between listing and reading a file can go: one line, not a traceback."""
    plant(tmp_path, "a", "b")
    with pytest.raises(UsageError, match="c cannot be read: No such file"):
        content_digest(tmp_path, ["a", "c"])
    item = SourceFile.of(tmp_path, "a")
    (tmp_path / "a").unlink()
    with pytest.raises(UsageError, match="a cannot be read: No such file"):
        list(item.pieces())


def test_a_source_file_says_what_it_is(tmp_path: Path) -> None:
    """Kind, size and target are those of the path itself."""
    plant(tmp_path, "plain", "run")
    (tmp_path / "run").chmod(0o700)
    (tmp_path / "link").symlink_to("pläin")
    found = {name: SourceFile.of(tmp_path, name) for name in ("plain", "run", "link")}
    assert [(one.kind, one.size) for one in found.values()] == [("-", 5), ("x", 3), ("l", 6)]
    assert found["link"].target == "pläin".encode()
    assert b"".join(found["link"].pieces()) == "pläin".encode()


def test_the_executable_bit_of_others_does_not_count(tmp_path: Path) -> None:
    """As in git, the owner decides."""
    plant(tmp_path, "a")
    (tmp_path / "a").chmod(0o655)
    assert SourceFile.of(tmp_path, "a").kind == "-"
