"""`lockgate.build.check`: six gates over one component, run with working miniatures of the tools."""

from __future__ import annotations

import dataclasses
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import (
    CommandFailed,
    ReportUnreadable,
    ToolMissing,
    UsageError,
)
from lockgate.base.settings import Component
from lockgate.build.check import NAMES, Checks, Gate, check, inputs, read_policy, reasons
from lockgate.build.model import Package
from lockgate.build.tree import content_digest, source_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lockgate.base.settings import Severity
    from lockgate.build.check_dependencies import Advisory

DIGEST = "a" * 64
APP = Component(path="app", entrypoint=("python3",), exclude=("tests",), tests="tests", coverage=80)

RUFF = """
import pathlib, sys
verb, folder = sys.argv[1], pathlib.Path(sys.argv[-1])
files = sorted(folder.rglob("*.py"))
if pathlib.Path("ruff.toml").exists() and "--isolated" not in sys.argv:
    settings = pathlib.Path("ruff.toml").read_text()
    if "broken" in settings:
        sys.exit(print("ruff failed\\n  Cause: unknown field `broken`", file=sys.stderr) or 2)
    if "exclude all" in settings:
        print("warning: No Python files found under the given path(s)", file=sys.stderr)
        sys.exit(0)
if verb == "format":
    unparsed = [one for one in files if "(:" in one.read_text()]
    for one in unparsed:
        print(f"error: Failed to parse {one}:1:7: Expected a parameter", file=sys.stderr)
    bad = [one for one in files if "x=1" in one.read_text()]
    for one in bad:
        print(f"--- {one}\\n+++ {one}\\n@@ -1 +1 @@\\n-x=1\\n+x = 1\\n")
    if bad:
        print(f"{len(bad)} file{'s' * (len(bad) > 1)} would be reformatted", file=sys.stderr)
    else:
        print(f"{len(files)} files already formatted", file=sys.stderr)
    sys.exit(2 if unparsed else 1 if bad else 0)
bad = [one for one in files if "import os" in one.read_text()]
for one in bad:
    print(f"{one}:1:8: F401 `os` imported but unused")
print(f"Found {len(bad)} error{'s' * (len(bad) > 1)}." if bad else "All checks passed!")
sys.exit(1 if bad else 0)
"""

COVERAGE = """
import json, pathlib, sys
options = dict(one.split("=", 1) for one in sys.argv if one.startswith("--") and "=" in one)
data = pathlib.Path(options["--rcfile"]).with_suffix(".data")
if sys.argv[1] == "run":
    assert sys.argv[3:5] == ["-m", "pytest"], sys.argv
    tests = pathlib.Path(sys.argv[5])
    text = "".join(one.read_text() for one in sorted(tests.rglob("test_*.py")))
    count, bad, skipped = text.count("def test"), text.count("assert False"), text.count("@skip")
    if "import absent" in text and "conftest" in text:
        sys.exit(print("ImportError while loading conftest") or 4)
    if "os._exit" in text:
        sys.exit(0)
    pathlib.Path(options["--junitxml"]).write_text(
        f"<testsuites><testsuite tests='{count}' failures='{bad}' errors='0' skipped='{skipped}'/></testsuites>"
    )
    data.write_text("measured")
    if not count:
        sys.exit(5)
    print(f"{bad} failed, {count - bad} passed in 0.12s" if bad else f"{count} passed in 0.12s")
    sys.exit(1 if bad else 0)
report = {}
for one in sorted(pathlib.Path().rglob("*.py")):
    lines = one.read_text().splitlines()
    if "# unreadable" in lines:
        continue
    missing = [number for number, line in enumerate(lines, 1) if "# missed" in line]
    report[str(one)] = {"missing_lines": missing, "summary": {
        "num_statements": len(lines), "covered_lines": len(lines) - len(missing), "percent_covered": 1.5}}
pathlib.Path(sys.argv[-1]).write_text(json.dumps({"files": report, "meta": {"format": 3}}))
"""

BANDIT = """
import json, pathlib, sys
files = [pathlib.Path(one) for one in sys.argv if one.endswith(".py") and "/bin/" not in one]
results, errors, blanket = [], [], 0
for one in files:
    for number, line in enumerate(one.read_text().splitlines(), 1):
        if "(:" in line:
            errors.append({"filename": f"./{one}", "reason": "syntax error while parsing AST from file"})
        if "shell=True" not in line:
            continue
        if "nosec B602" in line:
            continue
        if "nosec" in line:
            blanket += 1
            continue
        results.append({"filename": f"./{one}", "line_number": number, "test_id": "B602",
                        "issue_severity": "HIGH", "issue_text": "call with shell=True"})
metrics = {f"./{one}": {} for one in files} | {"_totals": {"nosec": blanket}}
print(json.dumps({"results": results, "errors": errors, "metrics": metrics}))
sys.exit(1 if results else 0)
"""


class Licences(NamedTuple):
    """What the licence policy says."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Repository:
    """A repository with one component `app`, and tools that know a mistake each."""

    def __init__(self, root: Path) -> None:
        self.root = root / "repository"
        self.bin = root / "bin"
        self.bin.mkdir()
        for name, body in (("ruff", RUFF), ("coverage", COVERAGE), ("bandit", BANDIT)):
            self.tool(name, body)
        self.write("app/service.py", "x = 1\n" * 9)
        self.write("app/tests/test_service.py", "def test_one():\n    pass\n")
        self.write("app/requirements.txt", f"flask==3 --hash=sha256:{DIGEST}\n")
        self.write("licences.yaml", "python:\n  flask: MIT\n")

    def tool(self, name: str, body: str) -> None:
        """Put a program into the tools."""
        path = self.bin / name
        path.write_text(f"#!{sys.executable}\n{body}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(
        self,
        component: Component = APP,
        audit: Callable[[Path], Sequence[Advisory]] = lambda _: (),
        licences: Licences | None = None,
        progress: Callable[[Gate], None] | None = None,
    ) -> Checks:
        """Run the stage."""
        flask = Package(
            kind="pypi",
            name="flask",
            version="3",
            architecture="",
            source="",
            licences=(),
            sha256=DIGEST,
            purl="",
        )
        return check(
            "app",
            component,
            root=self.root,
            tools=self.bin,
            packages=(flask,),
            audit=audit,
            licences=lambda _: licences or Licences(),
            progress=progress,
        )

    def gate(self, name: str, component: Component = APP) -> Gate:
        """Run the stage and return one gate."""
        return next(one for one in self.check(component).gates if one.name == name)

    def inputs(self, component: Component = APP, advisories: str = "db") -> dict[str, str]:
        """Return what the verdict depends on."""
        return inputs(
            "app",
            component,
            root=self.root,
            licences=self.root / "licences.yaml",
            advisories=advisories,
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository in which nothing is wrong."""
    return Repository(tmp_path)


def test_all_gates_pass_over_a_sound_component(repository: Repository) -> None:
    """They stand in their order, and the summary says how many there were."""
    found = repository.check()
    assert found.passed
    assert found.summary == "6 gates passed"
    assert [(one.name, one.passed, one.detail) for one in found.gates] == [
        (name, True, ()) for name in NAMES
    ]


def test_the_subject_is_the_content_of_the_image(repository: Repository) -> None:
    """It is the digest that the Source of an image built from these files has; tests are not part of it."""
    folder = repository.root / "app"
    before = repository.check()
    assert before.subject == content_digest(folder, source_files(folder, APP.exclude))
    assert before.checked == content_digest(folder, source_files(folder, ()))
    repository.write("app/tests/test_more.py", "def test_two():\n    pass\n")
    after = repository.check()
    assert after.subject == before.subject
    assert after.checked != before.checked


def test_the_same_source_gives_the_same_record(repository: Repository) -> None:
    """Also with failures, whose output holds times and the name of the copy."""
    repository.write("app/bad.py", "import os\nx=1\n")
    repository.write("app/tests/test_bad.py", "def test_bad():\n    assert False\n")
    first, second = encode(repository.check()), encode(repository.check())
    assert first == second
    assert b"/work-" not in first
    assert decode(first, Checks).summary == "3 of 6 gates failed: format, lint, tests"


def test_every_gate_runs_after_one_that_failed(repository: Repository) -> None:
    """All that is wrong is reported at once, each gate as soon as it is done."""
    repository.write("app/bad.py", "import os\nx=1\nrun(shell=True)\n")
    repository.write("app/tests/test_service.py", "def test_bad():\n    assert False\n")
    seen: list[Gate] = []
    found = repository.check(
        audit=lambda _: (_advisory(),), licences=Licences(("flask is new",)), progress=seen.append
    )
    assert not found.passed
    assert found.gates == tuple(seen)
    assert [one.name for one in found.gates if not one.passed] == list(NAMES)
    assert found.summary == f"6 of 6 gates failed: {', '.join(NAMES)}"


def _advisory() -> Advisory:
    class Found(NamedTuple):
        id: str = "CVE-2026-1"
        severity: Severity = "HIGH"
        package: str = "flask"
        version: str = "3"
        fixed: str = "4"

    return Found()


def test_a_gate_that_could_not_look_is_an_error_after_the_others(repository: Repository) -> None:
    """The audit's error is raised, not turned into a pass or a failure, and the licences were still compared."""
    seen: list[str] = []

    def broken(_: Path) -> Sequence[Advisory]:
        raise ToolMissing("`trivy` is not installed", hint="`inv doctor`")

    with pytest.raises(ToolMissing):
        repository.check(audit=broken, progress=lambda gate: seen.append(gate.name))
    assert seen == ["format", "lint", "tests", "security", "licences"]


@pytest.mark.parametrize("name", ["ruff", "coverage", "bandit"])
@pytest.mark.parametrize("body", ["import sys; sys.exit(77)", "import os; os.kill(os.getpid(), 9)"])
def test_a_tool_that_crashes_is_an_error(repository: Repository, name: str, body: str) -> None:
    """It is neither a pass nor a failure of the sources, and it carries a hint."""
    repository.tool(name, body)
    with pytest.raises(CommandFailed) as caught:
        repository.check()
    assert caught.value.hint


@pytest.mark.parametrize("name", ["ruff", "coverage", "bandit"])
def test_half_a_report_is_an_error(repository: Repository, name: str) -> None:
    """A tool that says "something is wrong" and not what, has not done its work."""
    repository.tool(name, "import sys; print('{\"results\": ['); sys.exit(1)")
    with pytest.raises(ReportUnreadable) as caught:
        repository.check()
    assert caught.value.hint


def test_an_absent_tool_is_an_error(repository: Repository) -> None:
    """What is not there cannot have looked."""
    (repository.bin / "bandit").unlink()
    with pytest.raises(ToolMissing):
        repository.check()


def test_format_shows_the_diff(repository: Repository) -> None:
    """The reason says how many files and what puts it right."""
    repository.write("app/bad.py", "x=1\n")
    gate = repository.gate("format")
    assert not gate.passed
    assert gate.reason == "1 file not formatted; `ruff format app` does it"
    assert "-x=1" in gate.detail
    assert gate.detail[0] == "--- app/bad.py"


def test_a_syntax_error_fails_and_is_no_broken_tool(repository: Repository) -> None:
    """Ruff ends with 2 for it as for broken settings; the sources are to blame here."""
    repository.write("app/bad.py", "def f(:\n")
    gate = repository.gate("format")
    assert (gate.passed, gate.reason) == (False, "1 file cannot be parsed")
    assert "app/bad.py:1:7" in gate.detail[0]


def test_broken_style_settings_are_an_error(repository: Repository) -> None:
    """Nothing was looked at, so there is no verdict."""
    repository.write("ruff.toml", "broken = 1\n")
    with pytest.raises(CommandFailed) as caught:
        repository.check()
    assert caught.value.hint


def test_style_settings_that_leave_out_everything_fail(repository: Repository) -> None:
    """Ruff ends well when it has found no file to look at; that is no pass."""
    repository.write("ruff.toml", "# exclude all\n")
    for name in ("format", "lint"):
        gate = repository.gate(name)
        assert not gate.passed
        assert "leave out every Python file" in gate.reason


def test_the_repositorys_rules_count_where_there_are_some(repository: Repository) -> None:
    """The lint gate says which rules it used."""
    assert repository.gate("lint").reason == "no problem by the built-in rules"
    repository.write("ruff.toml", "line-length = 99\n")
    assert repository.gate("lint").reason == "no problem by the repository's rules"


def test_lint_lists_the_problems(repository: Repository) -> None:
    """With file, line and rule."""
    repository.write("app/bad.py", "import os\n")
    gate = repository.gate("lint")
    assert (gate.passed, gate.reason) == (False, "1 problem")
    assert gate.detail[0].startswith("app/bad.py:1:8: F401")


def test_no_python_file_fails(repository: Repository) -> None:
    """Empty is not success: there was nothing to look at."""
    (repository.root / "app" / "service.py").unlink()
    (repository.root / "app" / "tests" / "test_service.py").unlink()
    found = {one.name: one for one in repository.check().gates}
    for name in ("format", "lint", "security"):
        assert not found[name].passed
        assert "no Python file" in found[name].reason
    assert found["tests"].reason == "the component has no file in `tests`"


def test_a_component_without_tests_fails(repository: Repository) -> None:
    """Unless its settings say that it has none."""
    gate = repository.gate("tests", dataclasses.replace(APP, tests=""))
    assert (gate.passed, gate.blocks) == (False, True)
    assert gate.reason == "no tests are named, and the coverage floor is 80 %"


def test_a_component_that_says_it_has_no_tests_is_let_through(repository: Repository) -> None:
    """The gate did not pass, since nothing was run, but it does not stop the flow either."""
    found = repository.check(dataclasses.replace(APP, tests="", coverage=0))
    gate = found.gates[NAMES.index("tests")]
    assert (gate.passed, gate.blocks) == (False, False)
    assert found.passed
    assert found.summary == "5 gates passed; not done: tests"


def test_no_test_in_the_folder_fails(repository: Repository) -> None:
    """Pytest ends with 5 then."""
    repository.write("app/tests/test_service.py", "x = 1\n")
    gate = repository.gate("tests")
    assert (gate.passed, gate.reason) == (False, "no test was found in `tests`")


def test_tests_that_were_all_skipped_fail(repository: Repository) -> None:
    """Pytest ends with 0 then, and nothing was tested."""
    repository.write("app/tests/test_service.py", "@skip\ndef test_one():\n    pass\n")
    gate = repository.gate("tests")
    assert (gate.passed, gate.reason) == (False, "none of 1 tests ran: all were skipped")


def test_failed_tests_show_the_end_of_the_output(repository: Repository) -> None:
    """Without the time it took."""
    repository.write("app/tests/test_bad.py", "def test_bad():\n    assert False\n")
    gate = repository.gate("tests")
    assert (gate.passed, gate.reason) == (False, "1 of 2 tests failed")
    assert gate.detail[-1] == "1 failed, 1 passed"


def test_tests_that_cannot_be_collected_fail(repository: Repository) -> None:
    """A conftest that cannot be imported is the component's fault."""
    repository.write("app/tests/test_bad.py", "import absent  # from conftest\n")
    gate = repository.gate("tests")
    assert (gate.passed, gate.reason) == (False, "the tests could not be collected")
    assert "ImportError while loading conftest" in gate.detail[0]


def test_a_run_that_ends_well_without_a_report_is_an_error(repository: Repository) -> None:
    """A test that ends the whole process with 0 proves nothing."""
    repository.write("app/tests/test_bad.py", "def test_bad():\n    os._exit(0)\n")
    with pytest.raises(ReportUnreadable):
        repository.check()


@pytest.mark.parametrize(("missed", "passed"), [(2, True), (3, False)])
def test_coverage_is_compared_exactly(repository: Repository, missed: int, passed: bool) -> None:
    """8 of 10 lines reach a floor of 80 %, 7 do not; tests themselves are not counted."""
    repository.write("app/service.py", "x = 1\n" * (10 - missed) + "x = 2  # missed\n" * missed)
    gate = repository.gate("tests")
    assert gate.passed is passed
    assert f"reach {100 - 10 * missed}.0 %; the floor is 80 %" in gate.reason
    if not passed:
        assert gate.detail == ("service.py: 3 of 10 lines and branches missing, lines 8-10",)


def test_coverage_is_not_rounded_up(repository: Repository) -> None:
    """79.96 % is below a floor of 80 %."""
    repository.write("app/service.py", "x = 1\n" * 1999 + "x = 2  # missed\n" * 501)
    gate = repository.gate("tests")
    assert not gate.passed
    assert "reach 79.9 %" in gate.reason


def test_a_file_that_was_not_measured_fails(repository: Repository) -> None:
    """A file that coverage leaves out counts as nothing known, not as nothing missing."""
    repository.write("app/other.py", "# unreadable\n")
    gate = repository.gate("tests")
    assert not gate.passed
    assert "the coverage of 1 files could not be measured" in gate.reason
    assert gate.detail == ("other.py",)


def test_nothing_to_cover_fails(repository: Repository) -> None:
    """A component whose every file is empty has not been tested."""
    repository.write("app/service.py", "")
    assert "no line of the component to cover" in repository.gate("tests").reason


def test_security_lists_the_problems(repository: Repository) -> None:
    """With file, line, rule and severity."""
    repository.write("app/bad.py", "x = 1\nrun(shell=True)\n")
    gate = repository.gate("security")
    assert (gate.passed, gate.reason) == (False, "1 problem of medium severity and up")
    assert gate.detail == ("app/bad.py:2: B602 high: call with shell=True",)


def test_security_does_not_look_at_tests(repository: Repository) -> None:
    """A test may do what a service may not; it is not part of the image."""
    repository.write("app/tests/test_shell.py", "def test_it():\n    run(shell=True)\n")
    assert repository.gate("security").passed


@pytest.mark.parametrize(
    ("comment", "passed"),
    [
        ("# nosec B602: a constant", True),
        ("# nosec B602", False),
        ("# nosec", False),
        ("# nosec B999: a rule that does not exist", False),
    ],
)
def test_exceptions_name_a_rule_and_a_reason(
    repository: Repository, comment: str, passed: bool
) -> None:
    """An exception without a reason, without a rule, or with a rule that is none, does not pass."""
    repository.write("app/bad.py", f"run(shell=True)  {comment}\n")
    assert repository.gate("security").passed is passed


def test_a_file_that_bandit_cannot_read_fails(repository: Repository) -> None:
    """Bandit ends well in spite of it; what was not read is not known to be safe."""
    repository.write("app/bad.py", "def f(:\n")
    gate = repository.gate("security")
    assert not gate.passed
    assert gate.detail == ("app/bad.py: syntax error while parsing AST from file",)


def test_a_file_that_bandit_passed_over_is_an_error(repository: Repository) -> None:
    """Its report must speak of every file that it was given."""
    repository.tool("bandit", BANDIT.replace("in files}", "in files[1:]}"))
    with pytest.raises(ReportUnreadable, match="looked at 0 of 1 files"):
        repository.check()


def test_an_absent_lock_is_a_usage_error(repository: Repository) -> None:
    """Without it nobody knows what the component depends on."""
    (repository.root / "app" / "requirements.txt").unlink()
    with pytest.raises(UsageError, match=r"app/requirements\.txt does not exist"):
        repository.check()
    with pytest.raises(UsageError):
        repository.inputs()


def test_an_absent_policy_is_a_usage_error(repository: Repository) -> None:
    """An absent list is not an empty one."""
    (repository.root / "licences.yaml").unlink()
    with pytest.raises(UsageError, match="does not exist"):
        repository.inputs()
    with pytest.raises(UsageError, match="cannot be read"):
        read_policy(repository.root)


def test_a_record_without_gates_is_no_pass() -> None:
    """Empty is not success."""
    none = Checks(subject="", checked="", component="app", gates=(), summary="")
    assert not none.passed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda it: it.write("app/service.py", "y = 2\n"), "SOURCE"),
        (lambda it: it.write("app/tests/test_service.py", "y = 2\n"), "SOURCE"),
        (lambda it: it.write("licences.yaml", "python: {}\n"), "LICENCES"),
        (lambda it: it.write("ruff.toml", "line-length = 99\n"), "CONFIG"),
    ],
)
def test_a_changed_input_is_named(
    repository: Repository, change: Callable[[Repository], None], reason: str
) -> None:
    """Each input has the name that a person would give, and nothing else changes with it."""
    before = repository.inputs()
    assert before == repository.inputs()
    change(repository)
    after = repository.inputs()
    assert [key for key in before if before[key] != after[key]] == [reason]


def test_a_changed_lock_is_a_change_of_dependencies_too(repository: Repository) -> None:
    """The lock is one of the component's files."""
    before = repository.inputs()
    repository.write("app/requirements.txt", "")
    after = repository.inputs()
    assert {key for key in before if before[key] != after[key]} == {"SOURCE", "DEPS"}


def test_settings_and_advisories_are_inputs(repository: Repository) -> None:
    """A higher floor or a newer database asks for a new verdict."""
    before = repository.inputs()
    floor = repository.inputs(dataclasses.replace(APP, coverage=90))
    database = repository.inputs(advisories="another")
    assert [key for key in before if before[key] != floor[key]] == ["CONFIG"]
    assert [key for key in before if before[key] != database[key]] == ["ADVISORIES"]


def test_the_inputs_know_what_was_checked(repository: Repository) -> None:
    """Who keeps a record under its inputs can see that the files did not change in between."""
    assert repository.inputs()["SOURCE"] == repository.check().checked


def test_every_gate_says_why_it_exists() -> None:
    """`inv check --why` shows it."""
    why = reasons()
    assert tuple(why) == NAMES
    assert all(len(text) > 60 for text in why.values())
