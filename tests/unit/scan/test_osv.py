"""`lockgate.scan.osv`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from lockgate.base.errors import UsageError
from lockgate.scan.osv import TITLE, advisories


def entry(**changes: Any) -> dict[str, Any]:
    """Return an OSV entry of flask, as pypa/advisory-database has them."""
    return {
        "id": "PYSEC-2023-62",
        "aliases": ["GHSA-m2qf-hxjv-5gpq", "CVE-2023-30861"],
        "details": "Flask sends a cached cookie\nto others. More words.",
        "modified": "2023-06-05T01:12:52.229549Z",
        "affected": [affected()],
        **changes,
    }


def affected(*events: dict[str, str], **changes: Any) -> dict[str, Any]:
    """Return one affected package with one range."""
    given = events or (
        {"introduced": "0"},
        {"fixed": "2.2.5"},
        {"introduced": "2.3.0"},
        {"fixed": "2.3.2"},
    )
    return {
        "package": {"name": "Flask", "ecosystem": "PyPI", "purl": "pkg:pypi/flask"},
        "ranges": [
            {"type": "GIT", "repo": "r", "events": [{"introduced": "0"}, {"fixed": "abc"}]},
            {"type": "ECOSYSTEM", "events": list(given)},
        ],
        "versions": ["1.0", "2.3.0"],
        **changes,
    }


def only(found: dict[str, Any]) -> Any:
    """Return the one advisory of an entry."""
    (one,) = advisories(found, what="a.yaml")
    return one


def test_ranges_become_specifiers() -> None:
    """Each branch has its own range and its own fix; names are normalised and aliases sorted."""
    one = only(entry())
    assert one.package == "flask"
    assert one.vulnerable == ("<2.2.5", ">=2.3.0,<2.3.2")
    assert one.patched == ("2.2.5", "2.3.2")
    assert one.aliases == ("CVE-2023-30861", "GHSA-m2qf-hxjv-5gpq")
    assert one.title == "Flask sends a cached cookie to others"


def test_events_may_come_in_any_order() -> None:
    """OSV sorts events by version; files need not."""
    events = [{"fixed": "2.3.2"}, {"introduced": "2.3.0"}, {"fixed": "2.2.5"}, {"introduced": "0"}]
    assert only(entry(affected=[affected(*events)])).vulnerable == ("<2.2.5", ">=2.3.0,<2.3.2")


def test_open_range_has_no_end() -> None:
    """Without a fix every later version is vulnerable, and none is called fixed."""
    one = only(entry(affected=[affected({"introduced": "1.0"})]))
    assert (one.vulnerable, one.patched) == ((">=1.0",), ())


def test_last_affected_is_itself_affected() -> None:
    """`last_affected` ends a range with the version that it names."""
    events = [{"introduced": "1.0"}, {"last_affected": "1.9"}]
    assert only(entry(affected=[affected(*events, versions=[])])).vulnerable == (">=1.0,<=1.9",)


def test_listed_versions_outside_ranges_count() -> None:
    """A listed pre-release that a specifier would leave out stands on its own; words are passed over."""
    one = only(entry(affected=[affected(versions=["2.3.2rc1", "2.2", "1.0-final-cut"])]))
    assert one.vulnerable == ("<2.2.5", ">=2.3.0,<2.3.2", "==2.3.2rc1")


def test_several_parts_of_one_package_are_one_advisory() -> None:
    """A package that is named twice is vulnerable where either part says so."""
    parts = [affected({"introduced": "0"}, {"fixed": "1.0"}, versions=[])]
    parts.append(affected({"introduced": "5.0"}, {"fixed": "5.1"}, versions=[]))
    assert only(entry(affected=parts)).vulnerable == ("<1.0", ">=5.0,<5.1")


def test_withdrawn_entry_says_nothing() -> None:
    """An entry that was withdrawn gives no advisory."""
    assert not list(advisories(entry(withdrawn="2024-01-01T00:00:00Z"), what="a.yaml"))


def test_other_ecosystems_are_passed_over() -> None:
    """Only Python distributions are read."""
    other = affected()
    other["package"] = {"name": "flask", "ecosystem": "npm"}
    assert only(entry(affected=[other, affected()])).package == "flask"


def test_worst_vector_is_kept() -> None:
    """Of several CVSS 3 vectors the one with the highest score counts; other kinds are left out."""
    low = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:L/A:N"
    high = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"
    severities = [{"type": "CVSS_V3", "score": one} for one in (low, high)]
    severities.append({"type": "CVSS_V4", "score": "CVSS:4.0/…"})
    assert only(entry(severity=severities)).cvss == high
    assert not only(entry()).cvss


def test_summary_is_the_title_and_long_ones_are_cut() -> None:
    """A title is one line of bounded length."""
    assert only(entry(summary="Short one")).title == "Short one"
    assert len(only(entry(details="long " * 100)).title) <= TITLE


@pytest.mark.parametrize(
    "found",
    [
        [],
        {"id": 1},
        entry(affected=[affected(ranges=[], versions=[])]),
        entry(affected=[affected(ranges=[], versions=["not a version"])]),
        entry(severity=[{"type": "CVSS_V3", "score": "high"}]),
    ],
)
def test_entry_that_cannot_be_compared_is_an_error(found: Any) -> None:
    """An entry from which nothing follows is not passed over in silence."""
    with pytest.raises(UsageError):
        list(advisories(found, what="a.yaml"))


_versions = st.builds("{}.{}".format, st.integers(0, 4), st.integers(0, 4))


@given(st.lists(_versions, min_size=2, max_size=6, unique_by=Version), st.lists(_versions))
def test_specifiers_agree_with_the_rule_of_osv(points: list[str], asked: list[str]) -> None:
    """A version is vulnerable exactly when the last event at or before it is `introduced`."""
    ordered = sorted(points, key=Version)
    kinds = ["introduced", "fixed"] * len(ordered)
    events = [{kind: text} for kind, text in zip(kinds, ordered, strict=False)]
    one = only(entry(affected=[affected(*events, versions=[])]))
    for text in [*asked, *points]:
        before = [
            kind
            for kind, point in zip(kinds, ordered, strict=False)
            if Version(point) <= Version(text)
        ]
        expected = bool(before) and before[-1] == "introduced"
        assert any(text in SpecifierSet(spec) for spec in one.vulnerable) == expected
