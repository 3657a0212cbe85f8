"""The gate of `check` that runs the component's unit tests and measures what they reach."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import CommandFailed, UsageError
from lockgate.build.check_work import LINES, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.check_work import Work

SECONDS = 900
"""Time limit of all tests of a component."""

_PYTEST_FILES = ("pytest.toml", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_COVERAGE_SETTINGS = """\
[run]
branch = true
source = .
relative_files = true
data_file = {data}
[report]
include_namespace_packages = true
ignore_errors = true
"""


def tests_gate(work: Work) -> Outcome:
    """A change that breaks what worked is found here, before an image of it exists.

    Lines and branches that no test reaches are found by nobody, hence the floor: it is compared exactly, over the
    Python files that enter the image, those that no test imports included. No tests at all, or none that ran, is
    not success.
    """
    component = work.component
    if not component.tests:
        if component.coverage == 0:
            return Outcome(
                False,
                "no tests are named and the coverage floor is 0: nothing was run",
                blocks=False,
            )
        return Outcome(
            False,
            f"no tests are named, and the coverage floor is {component.coverage} %",
            (
                "name the folder of unit tests as the component's `tests`, or set its `coverage` to 0",
            ),
        )
    if not work.test_files:
        return Outcome(False, f"the component has no file in `{component.tests}`")
    code, output = _pytest(work)
    if code == 5:
        return Outcome(False, f"no test was found in `{component.tests}`")
    tail = work.lines(_without_times(output), last=True)
    counts = _counts(work, work.scratch / "junit.xml")
    if counts is None:
        if code in {0, 1}:
            # The tests ran, or nothing that is known to pytest did: there is nothing to go by.
            raise work.unreadable("pytest", f"it ended with {code} and wrote no report")
        return Outcome(False, "the tests could not be collected", tail)
    if code != 0 or counts.bad:
        return Outcome(False, f"{counts.bad or 'some'} of {counts.all} tests failed", tail)
    if not counts.good:
        return Outcome(False, f"none of {counts.all} tests ran: all were skipped", tail)
    return _coverage(work, counts)


def _pytest(work: Work) -> tuple[int, bytes]:
    """Run the tests under coverage; return pytest's exit code and all that was printed."""
    settings = work.scratch / "coverage.ini"
    settings.write_text(_COVERAGE_SETTINGS.format(data=work.scratch / "coverage"), "utf-8")
    arguments = [
        work.component.tests,
        "--quiet",
        "--color=no",
        "--tb=short",
        "--no-header",
        f"--rootdir={work.folder}",
        f"--basetemp={work.scratch / 'pytest'}",
        f"--junitxml={work.scratch / 'junit.xml'}",
        "-p",
        "no:cacheprovider",
    ]
    if not any((work.folder / name).is_file() for name in _PYTEST_FILES):
        # Without this pytest would look above and take the settings of the repository's own tests.
        empty = work.scratch / "pytest.ini"
        empty.write_text("[pytest]\n", "utf-8")
        arguments.append(f"--config-file={empty}")
    done = work.run(
        "coverage",
        "run",
        f"--rcfile={settings}",
        "-m",
        "pytest",
        *arguments,
        accept=(0, 1, 2, 4, 5),
        timeout=SECONDS,
        cwd=work.folder,
    )
    return done.code, done.stdout + b"\n" + done.stderr


def _without_times(output: bytes) -> bytes:
    # "3 failed in 0.12s": the same source must give the same record.
    return re.sub(rb" in \d+\.\d+s(?: \([\d:]+\))?", b"", output)


class _Counts(NamedTuple):
    all: int
    bad: int
    good: int


def _counts(work: Work, report: Path) -> _Counts | None:
    """Read pytest's report; None when it did not come to write one."""
    if not report.exists():
        return None
    try:
        suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - pytest wrote it here
        total = bad = skipped = 0
        for suite in suites:
            total += int(suite.attrib["tests"])
            bad += int(suite.attrib["failures"]) + int(suite.attrib["errors"])
            skipped += int(suite.attrib["skipped"])
    except (ET.ParseError, KeyError, ValueError) as error:
        raise work.unreadable("pytest", str(error)) from None
    return _Counts(total, bad, total - bad - skipped)


class _Summary(Foreign, frozen=True):
    num_statements: int
    covered_lines: int
    num_branches: int = 0
    covered_branches: int = 0

    @property
    def wanted(self) -> int:
        return self.num_statements + self.num_branches

    @property
    def reached(self) -> int:
        return self.covered_lines + self.covered_branches


class _File(Foreign, frozen=True):
    summary: _Summary
    missing_lines: tuple[int, ...]


class _Report(Foreign, frozen=True):
    files: dict[str, _File]


def _coverage(work: Work, counts: _Counts) -> Outcome:
    tests = f"{counts.good} {'test' if counts.good == 1 else 'tests'} passed"
    measured = _measured(work)
    absent = [path for path in work.service_files if path not in measured]
    if absent:
        return Outcome(
            False,
            f"{tests}, but the coverage of {len(absent)} files could not be measured",
            tuple(absent[:LINES]),
        )
    files = {path: measured[path] for path in work.service_files}
    wanted = sum(one.summary.wanted for one in files.values())
    reached = sum(one.summary.reached for one in files.values())
    floor = work.component.coverage
    if not wanted:
        return Outcome(False, f"{tests}, but there is no line of the component to cover")
    share = f"{reached * 1000 // wanted / 10} %"
    if reached * 100 < floor * wanted:
        return Outcome(
            False, f"{tests}, but reach {share}; the floor is {floor} %", _missing(files)
        )
    return Outcome(True, f"{tests} and reach {share}; the floor is {floor} %")


def _measured(work: Work) -> dict[str, _File]:
    target = work.scratch / "coverage.json"
    settings = work.scratch / "coverage.ini"
    try:
        work.run(
            "coverage",
            "json",
            "--quiet",
            f"--rcfile={settings}",
            "--fail-under=0",
            "-o",
            str(target),
            cwd=work.folder,
        )
    except CommandFailed as error:
        if "No data" in error.stderr_tail:
            return {}
        raise
    try:
        return decode(target.read_bytes(), _Report, what="coverage's report").files
    except (OSError, UsageError) as error:
        raise work.unreadable("coverage", str(error)) from None


def _missing(files: dict[str, _File]) -> tuple[str, ...]:
    """Return a line for each file that lacks something, the worst first."""
    worst = sorted(
        files.items(), key=lambda one: (one[1].summary.reached - one[1].summary.wanted, one[0])
    )
    return tuple(
        f"{path}: {one.summary.wanted - one.summary.reached} of {one.summary.wanted} lines and branches missing"
        + (f", lines {_ranges(one.missing_lines)}" if one.missing_lines else "")
        for path, one in worst[:LINES]
        if one.summary.reached < one.summary.wanted
    )


def _ranges(lines: tuple[int, ...]) -> str:
    """Write 1, 2, 3, 7 as `1-3 7`; the first twelve such ranges."""
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and ranges[-1][1] == line - 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    named = [str(a) if a == b else f"{a}-{b}" for a, b in ranges[:12]]
    return " ".join(named) + (" …" if len(ranges) > 12 else "")
