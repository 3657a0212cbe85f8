"""Waivers: the file's form, and what each waiver covers."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.gate.waiver import covers, day, ends, holds, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.gate.decision import Waiver
    from lockgate.scan.model import Finding

TODAY = dt.date(2026, 11, 20)

GOOD = """\
waivers:
  - id: expat-2026-11
    findings: [CVE-2026-1234]
    owner: platform
    reason: no input of ours reaches the parser
    until: 2026-12-01
"""


def read(text: str, *, max_days: int = 30, components: tuple[str, ...] = ()) -> tuple[Waiver, ...]:
    """Read a file on 2026-11-20."""
    return parse(text.encode(), today=TODAY, max_days=max_days, components=components)


def refused(text: str) -> UsageError:
    """Return the error that a file is refused with; it says what to do."""
    with pytest.raises(UsageError) as caught:
        read(text)
    assert caught.value.hint
    return caught.value


def test_reads_a_waiver() -> None:
    """A waiver with every required field is read, the optional ones empty."""
    (found,) = read(GOOD)
    assert (found.id, found.findings, found.owner) == (
        "expat-2026-11",
        ("CVE-2026-1234",),
        "platform",
    )
    assert (found.packages, found.components, found.paths) == ((), (), ())
    assert found.until == "2026-12-01"


def test_reads_every_scope() -> None:
    """Packages, components and paths limit a waiver."""
    (found,) = read(GOOD + '    packages: [libexpat1]\n    components: [app]\n    paths: ["a/*"]\n')
    assert (found.packages, found.components, found.paths) == (("libexpat1",), ("app",), ("a/*",))


@pytest.mark.parametrize("until", ["2026-12-01", "'2026-12-01'", '"2026-12-01"'])
def test_a_date_may_be_quoted(until: str) -> None:
    """YAML makes a date of unquoted text; both forms are the same day."""
    (found,) = read(GOOD.replace("until: 2026-12-01", f"until: {until}"))
    assert found.until == "2026-12-01"


def test_an_empty_list_is_legal() -> None:
    """A repository without waivers says so."""
    assert read("waivers: []\n") == ()


@pytest.mark.parametrize("text", ["", "# only a comment\n", "waivers:\n", "[]", "waivers: {}", "x"])
def test_nothing_is_not_an_empty_list(text: str) -> None:
    """An empty file, or one of another form, is not taken for "no waivers"."""
    refused(text)


@pytest.mark.parametrize(
    "until",
    [
        "2026-13-01",
        "'2026-13-01'",
        "2026-02-30",
        "'2026-02-30'",
        "2026-1-1",
        "'31.12.2026'",
        "next week",
        "2026-12-01T10:00:00Z",
        "20261201",
        "''",
        "null",
        "true",
        "[2026-12-01]",
    ],
)
def test_a_malformed_date_is_an_error(until: str) -> None:
    """S3.37 closed: a date that is none stops the gate, where it was logged and passed."""
    refused(GOOD.replace("until: 2026-12-01", f"until: {until}"))


def test_a_malformed_date_names_waiver_and_field() -> None:
    """The message says where to look."""
    error = refused(GOOD.replace("until: 2026-12-01", "until: '2026-02-30'"))
    assert "expat-2026-11" in error.message
    assert "until" in error.message


def test_a_waiver_with_only_a_reason_is_an_error() -> None:
    """S3.37 closed: a group that has nothing but a reason stops the gate."""
    error = refused("waivers:\n  - reason: we looked at it\n")
    assert "number 1" in error.message
    assert "missing" in error.message


@pytest.mark.parametrize("field", ["id", "findings", "owner", "reason", "until"])
def test_each_required_field_is_required(field: str) -> None:
    """A waiver without owner, reason, end, id or findings is refused, and the field is named."""
    lines = [line for line in GOOD.splitlines() if f" {field}:" not in line]
    text = "\n".join(lines).replace("waivers:\n    ", "waivers:\n  - ") + "\n"
    error = refused(text)
    assert f"{field} is missing" in error.message


def test_merged_groups_are_an_error() -> None:
    """S3.38 closed: two waivers without the mark between them have every key twice, and are refused."""
    second = GOOD.split("\n", 1)[1].replace("  - id", "    id").replace("2026-12-01", "2020-01-01")
    error = refused(GOOD + second)
    assert "twice" in error.message


def test_a_blank_line_changes_nothing() -> None:
    """S3.38 closed: what separates waivers is the list, not an empty line or one of blanks."""
    two = GOOD + GOOD.split("\n", 1)[1].replace("expat-2026-11", "other")
    blank = two.replace("  - id: other", "   \n\n  - id: other")
    assert read(two) == read(blank)
    assert len(read(two)) == 2


def test_windows_line_ends_are_read() -> None:
    """A file with CRLF is the same file."""
    assert read(GOOD.replace("\n", "\r\n")) == read(GOOD)


@pytest.mark.parametrize("field", ["reason", "owner"])
@pytest.mark.parametrize("text", ["''", "'   '", '"\\n\\t"', "null", "yes", "7"])
def test_a_blank_text_is_an_error(field: str, text: str) -> None:
    """S3.39 closed: an empty reason, or one that is no text, is none."""
    lines = [
        line if f" {field}:" not in line else f"    {field}: {text}" for line in GOOD.splitlines()
    ]
    error = refused("\n".join(lines))
    assert field in error.message
    assert "expat-2026-11" in error.message


@pytest.mark.parametrize(
    "finding",
    [
        "CVE-1",
        "cve-2026-1234",
        "CVE-2026-1234 # reason: x",
        "CVE-2026-123",
        "CVE 2026 1234",
        "CVE20261234",
        "CVE_2026_1234",
        "CVE-2026-1234,CVE-2026-1235",
        "CVE-2026-1234*",
        "*",
        "GHSA-aaaa-bbbb-cccc",
        "GHSA-1",
        "PYSEC-2026",
        "pysec-2026-1",
        "-",
        " CVE-2026-1234",
        "",
    ],
)
def test_a_finding_id_must_have_its_form(finding: str) -> None:
    """S3.39 closed: an id that is misspelled, decorated or a pattern is refused."""
    error = refused(GOOD.replace("[CVE-2026-1234]", f"['{finding}']"))
    assert "findings" in error.message


@pytest.mark.parametrize(
    "finding",
    [
        "CVE-2026-1234567",
        "GHSA-2c2j-9gv5-cj73",
        "PYSEC-2026-12",
        "DS-0002",
        "AVD-DS-0002",
        "aws-access-key-id",
        "TEMP-0290435-0B57B5",
    ],
)
def test_ids_of_every_kind_are_read(finding: str) -> None:
    """Ids of advisories and of rules can be waived."""
    (found,) = read(GOOD.replace("CVE-2026-1234", finding))
    assert found.findings == (finding,)


def test_an_id_in_another_field_permits_nothing(make_finding: Callable[..., Finding]) -> None:
    """S3.39 closed: an id that stands in the reason is not a finding that the waiver covers."""
    (found,) = read(GOOD.replace("no input of ours", "CVE-2026-9999 is like it, no input"))
    assert found.findings == ("CVE-2026-1234",)
    assert not covers(found, make_finding(id="CVE-2026-9999"), "app")


def test_an_id_may_not_hide_in_the_name() -> None:
    """S3.39 closed: an id as a key beside the reason is an unknown field."""
    error = refused(GOOD + "    CVE-2026-9999: as above\n")
    assert "CVE-2026-9999 is not a field" in error.message


def test_waivers_are_all_that_the_file_holds() -> None:
    """A second list beside `waivers` would be read by nobody."""
    error = refused(GOOD + "ignored: []\n")
    assert "'ignored' stands beside" in error.message


@pytest.mark.parametrize("entry", ["CVE-2026-1234", "[a]", "null", "7"])
def test_an_entry_is_a_mapping(entry: str) -> None:
    """A bare id, as ignore files of other tools have it, permits nothing."""
    error = refused(f"waivers:\n  - {entry}\n")
    assert "number 1 is not a mapping" in error.message


def test_an_unknown_field_gets_the_nearest_word() -> None:
    """A misspelled field is refused with the right one."""
    error = refused(GOOD.replace("    reason", "    package: [x]\n    reason"))
    assert "`packages`" in error.hint


@pytest.mark.parametrize("field", ["findings", "packages", "components", "paths"])
@pytest.mark.parametrize("value", ["[]", "['']", "['  ']", "[7]", "x", "['a', 'a']", "{a: b}"])
def test_lists_hold_words(field: str, value: str) -> None:
    """An empty scope is neither "nothing" nor "anything": it is refused."""
    text = GOOD.replace("    findings: [CVE-2026-1234]\n", "") if field == "findings" else GOOD
    error = refused(text + f"    {field}: {value}\n")
    assert field in error.message


@pytest.mark.parametrize("name", ["Expat", "expat 1", "-expat", "expat--1", "''", "2026", "../x"])
def test_a_waiver_has_a_plain_name(name: str) -> None:
    """A waiver's own id is a lower-case name."""
    refused(GOOD.replace("expat-2026-11", name))


def test_ids_are_unique() -> None:
    """Two waivers of one name cannot be told apart, so the second is refused."""
    error = refused(GOOD + GOOD.split("\n", 1)[1])
    assert "'expat-2026-11': id stands twice" in error.message


def test_an_alias_is_refused() -> None:
    """Anchors and aliases, which can expand without end, are not read."""
    refused(GOOD.replace("[CVE-2026-1234]", "&a [CVE-2026-1234]\n    packages: *a"))


def test_control_characters_are_refused() -> None:
    """A reason that would move a terminal's cursor is not taken."""
    refused(GOOD.replace("no input of ours reaches the parser", '"fine\\e[2Jfine"'))


def test_a_text_of_many_lines_is_folded() -> None:
    """A reason may be written over several lines."""
    (found,) = read(GOOD.replace("no input of ours reaches the parser", ">\n      one\n      two"))
    assert found.reason == "one two"


def test_an_unknown_component_is_refused() -> None:
    """A misspelled component would make a waiver that never applies."""
    with pytest.raises(UsageError, match="'ap' is not a component") as caught:
        read(GOOD + "    components: [ap]\n", components=("app", "worker"))
    assert "`app`" in caught.value.hint


@given(st.integers(min_value=0, max_value=400), st.integers(min_value=0, max_value=800))
def test_a_waiver_runs_at_most_the_allowed_days(max_days: int, ahead: int) -> None:
    """S3.36 closed: the last allowed day is today plus the maximum, and not one more."""
    until = (TODAY + dt.timedelta(days=ahead)).isoformat()
    text = GOOD.replace("2026-12-01", until)
    if ahead <= max_days:
        assert read(text, max_days=max_days)[0].until == until
    else:
        with pytest.raises(UsageError, match=f"at most {max_days} are allowed"):
            read(text, max_days=max_days)


@pytest.mark.parametrize(("until", "holding"), [("2026-11-20", True), ("2026-11-19", False)])
def test_a_waiver_holds_through_its_last_day(until: str, holding: bool) -> None:
    """S3.36: today still holds; yesterday has lapsed, which is read and is no error."""
    (found,) = read(GOOD.replace("2026-12-01", until))
    assert holds(found, TODAY) is holding


def test_the_last_day_ends_at_midnight_utc(make_waiver: Callable[..., Waiver]) -> None:
    """The end is the first second of the next day in UTC, whatever the machine's zone."""
    waiver = make_waiver(until="2026-11-20")
    end = ends(waiver)
    assert end == int(dt.datetime(2026, 11, 21, tzinfo=dt.UTC).timestamp())
    assert holds(waiver, day(end - 1))
    assert not holds(waiver, day(end))


def test_covers_by_id_and_alias(
    make_waiver: Callable[..., Waiver], make_finding: Callable[..., Finding]
) -> None:
    """A finding is covered under its own id or another id of the same vulnerability."""
    waiver = make_waiver()
    assert covers(waiver, make_finding(), "app")
    assert covers(waiver, make_finding(id="GHSA-2c2j-9gv5-cj73", aliases=("CVE-2026-1234",)), "app")
    assert not covers(waiver, make_finding(id="CVE-2026-12345"), "app")


def test_a_scope_narrows(
    make_waiver: Callable[..., Waiver], make_finding: Callable[..., Finding]
) -> None:
    """Package, component and path must each match when the waiver names them."""
    finding = make_finding(path="app/vendor/x.py")
    assert covers(make_waiver(packages=("libexpat1",)), finding, "app")
    assert not covers(make_waiver(packages=("libexpat",)), finding, "app")
    assert covers(make_waiver(components=("app",)), finding, "app")
    assert not covers(make_waiver(components=("app",)), finding, "worker")
    assert covers(make_waiver(paths=("app/vendor/*",)), finding, "app")
    assert covers(make_waiver(paths=("/app/vendor/*",)), finding, "app")
    assert not covers(make_waiver(paths=("app/*/y.py",)), finding, "app")


def test_a_path_pattern_needs_a_path(
    make_waiver: Callable[..., Waiver], make_finding: Callable[..., Finding]
) -> None:
    """`*` means any file; a finding without a file is not covered by it."""
    assert not covers(make_waiver(paths=("*",)), make_finding(path=""), "app")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_waivers_or_an_error(data: bytes) -> None:
    """Nothing but a UsageError comes out of a file that is not of the form."""
    with contextlib.suppress(UsageError):
        assert isinstance(parse(data, today=TODAY, max_days=30), tuple)
