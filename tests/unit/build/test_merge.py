"""Files of several packages in one root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.layer import Entry
from lockgate.build.merge import Merge, matching, merged, merged_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def file(path: str, data: bytes = b"x", mode: int = 0o644) -> Entry:
    """Return a small file."""
    return Entry(path, "file", mode, data)


def large(path: str, *pieces: bytes) -> Entry:
    """Return a file that comes in pieces."""

    def read() -> Iterator[bytes]:
        yield from pieces

    return Entry(path, "file", 0o644, read, sum(map(len, pieces)))


def symlink(path: str, target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(path, "symlink", 0o777, link=target)


def consume(merge: Merge, entries: Iterable[Entry], owner: str) -> list[str]:
    """Pass entries through a merge, read their content, return the paths that came out."""
    found = []
    for entry in merge.add(entries, owner):
        if not isinstance(entry.data, bytes):
            b"".join(entry.data())
        found.append(entry.path)
    return found


def test_folders_are_shared() -> None:
    """Packages share folders; the first one's mode counts."""
    merge = Merge()
    first = list(merge.add([Entry("tmp", "dir", 0o1777), file("tmp/a")], "a"))
    second = list(merge.add([Entry("tmp", "dir", 0o755), file("tmp/b")], "b"))
    assert [(one.path, one.mode) for one in first + second if one.kind == "dir"] == [
        ("tmp", 0o1777)
    ]
    assert merge.has("tmp/a")
    assert merge.has("tmp/b")


@pytest.mark.parametrize(
    "again",
    [file("x/a", b"same"), large("x/a", b"sa", b"me"), symlink("x/l", "a")],
    ids=["file", "large file", "link"],
)
def test_the_same_thing_twice(again: Entry) -> None:
    """The same content at the same path stands once."""
    merge = Merge()
    consume(merge, [large("x/a", b"s", b"ame"), symlink("x/l", "a")], "one")
    assert consume(merge, [again], "two") == []


@pytest.mark.parametrize(
    "other",
    [
        file("x/a", b"other"),
        large("x/a", b"oth", b"er"),
        file("x/a", b"same", mode=0o755),
        symlink("x/a", "b"),
        Entry("x/a", "dir", 0o755),
    ],
    ids=["content", "large content", "mode", "link", "folder"],
)
def test_different_things(other: Entry) -> None:
    """Two different things at one path are an error that names both packages."""
    merge = Merge()
    consume(merge, [file("x/a", b"same")], "one")
    with pytest.raises(UsageError, match="`x/a` is in one and in two"):
        consume(merge, [other], "two")


def test_below_a_link() -> None:
    """A file below another package's link would land elsewhere, and is refused."""
    merge = Merge()
    consume(merge, [symlink("var/run", "/run")], "one")
    with pytest.raises(
        UsageError, match="`var/run/x` of two lies in `var/run`, which is no folder"
    ):
        consume(merge, [file("var/run/x")], "two")


def test_link_over_a_folder() -> None:
    """Nor may a link take the place of a folder that has files."""
    merge = Merge()
    consume(merge, [file("var/run/x")], "one")
    with pytest.raises(UsageError, match="`var/run` is in one and in two"):
        consume(merge, [symlink("var/run", "/run")], "two")


def test_hard_link_to_something_excluded() -> None:
    """A hard link whose target stayed out is an error, not a broken archive."""
    with pytest.raises(UsageError, match="hard link to `a`, which is excluded") as caught:
        consume(Merge(), [Entry("b", "hardlink", 0o644, link="a")], "one")
    assert "keep" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("lib64/ld.so", "usr/lib64/ld.so"),
        ("sbin/x", "usr/sbin/x"),
        ("library/x", "library/x"),
        ("usr/lib/x", "usr/lib/x"),
        ("etc/bin/x", "etc/bin/x"),
    ],
)
def test_merged_path(path: str, expected: str) -> None:
    """What lay beside `/usr` lies in it."""
    assert merged_path(path) == expected


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("lib/a/x.so", "x.so.1", "x.so.1"),
        ("lib/a/x", "../../etc/x", "/etc/x"),
        ("lib/a/x", "../b/x", "/lib/b/x"),
        ("lib/a/x", "/etc/x", "/etc/x"),
        ("usr/lib/a/x", "../../etc/x", "../../etc/x"),
    ],
)
def test_merged_links(path: str, target: str, expected: str) -> None:
    """A link still points at the same thing after its folder moved."""
    assert merged(symlink(path, target)).link == expected


def test_merged_hard_link() -> None:
    """Both ends of a hard link move."""
    entry = merged(Entry("bin/b", "hardlink", 0o755, link="bin/a"))
    assert (entry.path, entry.link) == ("usr/bin/b", "usr/bin/a")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("usr/share/man", "usr/share/man", True),
        ("usr/share/man", "usr/share/man/man1/x.gz", True),
        ("usr/share/man", "usr/share/manual", False),
        ("usr/bin/*", "usr/bin", False),
        ("usr/bin/*", "usr/bin/sh", True),
        ("usr/*/x", "usr/a/b/x", False),
        ("usr/**/x", "usr/a/b/x", True),
        ("usr/share/doc/*/*", "usr/share/doc/tiny", False),
        ("usr/share/doc/*/*", "usr/share/doc/tiny/a/b", True),
        ("**/__pycache__", "usr/lib/python3/__pycache__/x.pyc", True),
        ("usr/lib/python3.*/test", "usr/lib/python3x13/test", False),
        ("/usr/games/", "usr/games/x", True),
        ("a+b", "aab", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    """`*` stays within a name, `**` does not, and a folder takes what is below it along."""
    assert matching([pattern])(path) is matches


@settings(deadline=None)
@given(st.text(min_size=1))
def test_no_pattern_matches_nothing(path: str) -> None:
    """Without patterns nothing is excluded."""
    assert not matching([])(path)
