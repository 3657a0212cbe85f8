"""The stage cache: what it gives back, what it does not, and why a stage runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lockgate.base.cache import KEPT, Change, StageCache
from lockgate.base.canonical import Record, encode

if TYPE_CHECKING:
    from pathlib import Path


class Made(Record, frozen=True):
    """A stage's record."""

    number: int


class Other(Record, frozen=True):
    """The record of another version."""

    number: int
    unit: str


@pytest.fixture
def cache(tmp_path: Path) -> StageCache:
    """An empty cache."""
    return StageCache(tmp_path / "cache")


def files(tmp_path: Path) -> list[Path]:
    """The records in the cache."""
    return sorted((tmp_path / "cache").rglob("*.json"))


INPUTS = {"COMMIT": "abc", "CONFIG": "1"}


def test_what_is_kept_is_found(cache: StageCache) -> None:
    """The same stage, name and inputs give the record back, whatever the inputs' order."""
    cache.keep("build", "app", INPUTS, Made(number=7))
    assert cache.find("build", "app", dict(reversed(INPUTS.items())), Made) == Made(number=7)


@pytest.mark.parametrize(
    ("stage", "name", "inputs"),
    [
        ("scan", "app", INPUTS),
        ("build", "web", INPUTS),
        ("build", "app", {**INPUTS, "COMMIT": "abd"}),
        ("build", "app", {"COMMIT": "abc"}),
        ("build", "app", {**INPUTS, "MORE": ""}),
        ("build", "app", {}),
    ],
)
def test_anything_else_is_not_found(
    cache: StageCache, stage: str, name: str, inputs: dict[str, str]
) -> None:
    """Another stage, name, value, or set of inputs is another question."""
    cache.keep("build", "app", INPUTS, Made(number=7))
    assert cache.find(stage, name, inputs, Made) is None


def test_an_empty_cache_finds_nothing(cache: StageCache) -> None:
    """No folder is no error."""
    assert cache.find("build", "app", INPUTS, Made) is None


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"\xff\xff", b"null", b'{"number":"7"}', b'{"number":7,"number":8}']
)
def test_a_garbled_record_is_a_miss(cache: StageCache, tmp_path: Path, garbage: bytes) -> None:
    """A damaged record costs time and nothing else, and is replaced."""
    cache.keep("build", "app", INPUTS, Made(number=7))
    files(tmp_path)[0].write_bytes(garbage)
    assert cache.find("build", "app", INPUTS, Made) is None
    cache.keep("build", "app", INPUTS, Made(number=7))
    assert cache.find("build", "app", INPUTS, Made) == Made(number=7)


@pytest.mark.parametrize("pair", [(Made, Other(number=1, unit="m")), (Other, Made(number=1))])
def test_a_record_of_another_version_is_a_miss(
    cache: StageCache, pair: tuple[type[Made | Other], Record]
) -> None:
    """A record with more or fewer fields is not half understood."""
    wanted, stored = pair
    cache.keep("build", "app", INPUTS, stored)
    assert cache.find("build", "app", INPUTS, wanted) is None


def test_an_unreadable_record_is_a_miss(cache: StageCache, tmp_path: Path) -> None:
    """A folder in the record's place is no traceback."""
    cache.keep("build", "app", INPUTS, Made(number=7))
    path = files(tmp_path)[0]
    path.unlink()
    path.mkdir()
    assert cache.find("build", "app", INPUTS, Made) is None


def test_why_is_first_when_it_never_ran(cache: StageCache) -> None:
    """Before the first run there is nothing to compare with."""
    assert cache.why("build", "app", INPUTS) == (Change("FIRST", "", "never run here"),)


def test_why_is_empty_when_nothing_changed(cache: StageCache) -> None:
    """The last inputs again: no reason to run."""
    cache.keep("build", "app", INPUTS, Made(number=7))
    assert cache.why("build", "app", dict(INPUTS)) == ()


def test_why_names_each_change_with_old_and_new(cache: StageCache) -> None:
    """Changed, gone and new inputs stand there, sorted by reason; equal ones do not."""
    cache.keep("build", "app", {"COMMIT": "a", "CONFIG": "1", "STACK": "s"}, Made(number=7))
    assert cache.why("build", "app", {"COMMIT": "b", "CONFIG": "1", "DEPS": "d"}) == (
        Change("COMMIT", "a", "b"),
        Change("DEPS", "", "d"),
        Change("STACK", "s", ""),
    )


def test_why_compares_with_the_last_run_not_the_first(cache: StageCache) -> None:
    """Going back to an older commit is a change from the newer one."""
    cache.keep("build", "app", {"COMMIT": "a"}, Made(number=1))
    cache.keep("build", "app", {"COMMIT": "b"}, Made(number=2))
    assert cache.why("build", "app", {"COMMIT": "a"}) == (Change("COMMIT", "b", "a"),)
    cache.mark("build", "app", {"COMMIT": "a"})
    assert cache.why("build", "app", {"COMMIT": "a"}) == ()


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b'{"COMMIT":1}'])
def test_garbled_last_inputs_are_a_first_run(
    cache: StageCache, tmp_path: Path, garbage: bytes
) -> None:
    """What cannot be compared with is as good as absent."""
    cache.keep("build", "app", INPUTS, Made(number=7))
    (tmp_path / "cache/build/app/last").write_bytes(garbage)
    assert [one.reason for one in cache.why("build", "app", INPUTS)] == ["FIRST"]


def test_marking_the_same_inputs_writes_nothing(cache: StageCache, tmp_path: Path) -> None:
    """A run that finds everything in the cache does not touch the disk."""
    cache.mark("build", "app", INPUTS)
    before = (tmp_path / "cache/build/app/last").stat()
    cache.mark("build", "app", INPUTS)
    after = (tmp_path / "cache/build/app/last").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_cache_is_bounded_and_the_oldest_go(cache: StageCache, tmp_path: Path) -> None:
    """One stage of one component keeps KEPT records: the newest."""
    for number in range(KEPT + 8):
        cache.keep("build", "app", {"N": str(number)}, Made(number=number))
        for age, path in enumerate(sorted(files(tmp_path), key=lambda one: one.stat().st_mtime_ns)):
            os.utime(path, ns=(age, age))
    assert len(files(tmp_path)) == KEPT
    there = {n for n in range(KEPT + 8) if cache.find("build", "app", {"N": str(n)}, Made)}
    assert there == set(range(8, KEPT + 8))


def test_the_newest_record_stays_when_clocks_disagree(cache: StageCache, tmp_path: Path) -> None:
    """Files from the future do not push out what was just made."""
    for number in range(KEPT):
        cache.keep("build", "app", {"N": str(number)}, Made(number=number))
    for path in files(tmp_path):
        os.utime(path, (2**33, 2**33))
    cache.keep("build", "app", {"N": "new"}, Made(number=99))
    assert cache.find("build", "app", {"N": "new"}, Made) == Made(number=99)
    assert len(files(tmp_path)) == KEPT


def test_other_components_are_not_pushed_out(cache: StageCache) -> None:
    """The bound is for each stage and name."""
    cache.keep("build", "web", INPUTS, Made(number=1))
    for number in range(KEPT + 1):
        cache.keep("build", "app", {"N": str(number)}, Made(number=number))
    assert cache.find("build", "web", INPUTS, Made) == Made(number=1)


def test_records_are_canonical_on_disk(cache: StageCache, tmp_path: Path) -> None:
    """A kept record is the canonical bytes of the record."""
    cache.keep("build", "app", INPUTS, Made(number=7))
    assert files(tmp_path)[0].read_bytes() == encode(Made(number=7))
