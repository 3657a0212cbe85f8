"""`inv check`'s gates with the real ruff, pytest, coverage and bandit, from the shipped lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.canonical import encode
from lockgate.base.errors import CommandFailed, ReportUnreadable
from lockgate.base.settings import Component
from lockgate.build.check import NAMES, Checks, check
from lockgate.build.tool_env import ToolEnv, prepare, tool_lock
from lockgate.scan import licences

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = '''\
"""A greeting."""


def greet(name: str) -> str:
    """Greet by name, or whoever is there."""
    if name:
        return f"hello, {name}"
    return "hello"
'''

TEST = '''\
"""The greeting's tests."""

import pytest
from hello.greeting import greet


@pytest.mark.parametrize(("name", "said"), [("", "hello"), ("ann", "hello, ann")])
def test_greets(name: str, said: str) -> None:
    """With a name and without."""
    assert greet(name) == said
'''

COMPONENT = Component(
    path="service", entrypoint=("python3",), exclude=("tests",), tests="tests", coverage=100
)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> ToolEnv:
    """Return the environment of the shipped lock, made once a session."""
    return prepare(tmp_path_factory.mktemp("tools"), [tool_lock()])


class Repository:
    """A repository with one sound component without dependencies."""

    def __init__(self, root: Path, tools: ToolEnv) -> None:
        self.root = root
        self.tools = tools
        self.write("service/hello/__init__.py", "")
        self.write("service/hello/greeting.py", SERVICE)
        self.write("service/tests/test_greeting.py", TEST)
        self.write("service/requirements.txt", "# none\n")

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, component: Component = COMPONENT) -> Checks:
        """Run the gates."""
        return check(
            "service",
            component,
            root=self.root,
            tools=self.tools.bin,
            packages=(),
            audit=lambda _: (),
            licences=lambda packages: licences.judge(packages, {}),
        )

    def failed(self, component: Component = COMPONENT) -> dict[str, tuple[str, str]]:
        """Return reason and detail of the gates that failed."""
        found = self.check(component)
        return {
            one.name: (one.reason, "\n".join(one.detail)) for one in found.gates if not one.passed
        }


@pytest.fixture
def repository(tmp_path: Path, tools: ToolEnv) -> Repository:
    """Return a repository in which nothing is wrong."""
    return Repository(tmp_path, tools)


def test_a_sound_component_passes(repository: Repository) -> None:
    """Each gate says what it looked at, twice the same."""
    found = repository.check()
    assert found.passed
    assert [(one.name, one.reason) for one in found.gates] == list(
        zip(
            NAMES,
            (
                "3 files formatted",
                "no problem by the built-in rules",
                "2 tests passed and reach 100.0 %; the floor is 100 %",
                "2 files, nothing of medium severity and up",
                "the lock names no package, so there is nothing to look up",
                "the lock names no package, so there is no licence",
            ),
            strict=True,
        )
    )
    assert encode(found) == encode(repository.check())
    assert [
        one.name for one in (repository.root / "service").rglob("*") if one.name[0] in "._"
    ] == ["__init__.py"]


def test_everything_wrong_is_reported_at_once(repository: Repository) -> None:
    """A layout, a dead import, a failing test and a shell string, and the same record every time."""
    repository.write(
        "service/hello/bad.py",
        "import os\nimport subprocess\nx = {  }\nsubprocess.call('ls ' + input(), shell=True)\n",
    )
    repository.write("service/tests/test_bad.py", "def test_bad():\n    assert object() is None\n")
    failed = repository.failed()
    assert list(failed) == ["format", "lint", "tests", "security"]
    assert failed["format"][0] == "1 file not formatted; `ruff format service` does it"
    assert "+x = {}" in failed["format"][1]
    assert "service/hello/bad.py:1:8: F401" in failed["lint"][1]
    assert failed["tests"][0] == "1 of 3 tests failed"
    assert (
        "FAILED tests/test_bad.py::test_bad - assert <object object at 0x…> is None"
        in failed["tests"][1]
    )
    assert (
        "service/hello/bad.py:4: B602 high: subprocess call with shell=True"
        in failed["security"][1]
    )
    assert encode(repository.check()) == encode(repository.check())


def test_a_syntax_error_fails_and_breaks_nothing(repository: Repository) -> None:
    """Every tool answers it in its own way; none of the answers is a pass or a broken tool."""
    repository.write("service/hello/bad.py", "def f(:\n")
    failed = repository.failed()
    assert list(failed) == ["format", "lint", "tests", "security"]
    assert failed["format"][0] == "1 file cannot be parsed"
    assert "invalid-syntax" in failed["lint"][1]
    assert "could not be measured" in failed["tests"][0]
    assert "syntax error" in failed["security"][1]


def test_branches_count(repository: Repository) -> None:
    """A test that takes one way of two reaches all lines but not all branches."""
    repository.write(
        "service/hello/greeting.py",
        '"""A greeting."""\n\n\ndef greet(name: str) -> str:\n    """Greet."""\n    said = "hello"\n'
        '    if name:\n        said += f", {name}"\n    return said\n',
    )
    repository.write("service/tests/test_greeting.py", TEST.replace('("", "hello"), ', ""))
    reason, detail = repository.failed()["tests"]
    assert "reach 85.7 %; the floor is 100 %" in reason
    assert detail == "hello/greeting.py: 1 of 7 lines and branches missing"


def test_a_file_that_no_test_imports_counts(repository: Repository) -> None:
    """Also one in a folder that is no package, or beside it."""
    for name in ("hello/unused.py", "loose/unused.py", "unused.py"):
        repository.write(f"service/{name}", '"""Not used."""\n\nX = 1\n')
    reason, detail = repository.failed()["tests"]
    assert "2 tests passed, but reach" in reason
    assert [line.split(":")[0] for line in detail.splitlines()] == [
        "hello/unused.py", "loose/unused.py", "unused.py",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("X = 1\n", "no test was found in `tests`"),
        (
            "import pytest\n\n\n@pytest.mark.skip\ndef test_one():\n    pass\n",
            "none of 1 tests ran: all were skipped",
        ),
        ("import absent\n", "1 of 1 tests failed"),
        ("def test_one(absent):\n    pass\n", "1 of 1 tests failed"),
    ],
)
def test_tests_that_test_nothing_fail(repository: Repository, test: str, reason: str) -> None:
    """No test, none that ran, a module that cannot be imported, a fixture that is not there."""
    repository.write("service/tests/test_greeting.py", test)
    assert repository.failed()["tests"][0] == reason


def test_a_conftest_that_cannot_be_imported_fails(repository: Repository) -> None:
    """Pytest calls it a usage error; the component is to blame all the same."""
    repository.write("service/tests/conftest.py", "import absent\n")
    reason, detail = repository.failed()["tests"]
    assert reason == "the tests could not be collected"
    assert "No module named 'absent'" in detail


def test_a_test_that_ends_the_process_is_an_error(repository: Repository) -> None:
    """With exit code 0 and no report, nobody knows what was tested."""
    repository.write(
        "service/tests/test_end.py", "import os\n\n\ndef test_end():\n    os._exit(0)\n"
    )
    with pytest.raises(ReportUnreadable):
        repository.check()


def test_tests_see_neither_secrets_nor_other_settings(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of this user, and no pytest settings of the repository around the component."""
    monkeypatch.setenv("TOKEN", "secret")
    repository.write("pytest.ini", "[pytest]\naddopts = --no-such-option\n")
    repository.write(
        "pyproject.toml", '[tool.ruff]\n[tool.pytest]\naddopts = ["--no-such-option"]\n'
    )
    repository.write(
        "service/tests/test_environment.py",
        'import os\n\n\ndef test_no_secret():\n    assert "TOKEN" not in os.environ\n',
    )
    assert repository.failed() == {}


def test_the_components_own_pytest_settings_count(repository: Repository) -> None:
    """They are part of its folder."""
    repository.write("service/pytest.ini", "[pytest]\nfilterwarnings = error\n")
    repository.write(
        "service/tests/test_warns.py",
        'import warnings\n\n\ndef test_warns():\n    warnings.warn("old", stacklevel=1)\n',
    )
    assert repository.failed()["tests"][0] == "1 of 3 tests failed"


def test_the_repositorys_ruff_settings_count(repository: Repository) -> None:
    """With globs relative to where they stand."""
    repository.write(
        "pyproject.toml",
        '[tool.ruff.lint]\nselect = ["D"]\n[tool.ruff.lint.per-file-ignores]\n"service/tests/*" = ["D"]\n',
    )
    repository.write(
        "service/tests/test_greeting.py", TEST.replace('"""The greeting\'s tests."""\n\n', "")
    )
    repository.write("service/hello/bare.py", "")
    failed = repository.failed()
    assert list(failed) == ["lint"]
    assert "service/hello/bare.py:1:1: D100" in failed["lint"][1]
    assert failed["lint"][0] == "2 problems"  # D104 of the package is the other one


def test_ruff_settings_that_leave_out_everything_fail(repository: Repository) -> None:
    """Ruff says so in a warning and ends with 0."""
    repository.write("ruff.toml", 'extend-exclude = ["*.py"]\n')
    assert {name: reason for name, (reason, _) in repository.failed().items()} == dict.fromkeys(
        ("format", "lint"), "ruff's settings leave out every Python file of the component"
    )


def test_broken_ruff_settings_are_an_error(repository: Repository) -> None:
    """Nothing was looked at."""
    repository.write("ruff.toml", "line-lenght = 99\n")
    with pytest.raises(CommandFailed):
        repository.check()


@pytest.mark.parametrize(
    ("comment", "passed"),
    [
        ("# nosec B602: the command is a constant", True),
        ("# nosec B602", False),
        ("# nosec", False),
        ("# nosec B999: a rule that does not exist", False),
        ("# nosec B101: another rule", False),
    ],
)
def test_security_exceptions(repository: Repository, comment: str, passed: bool) -> None:
    """An exception holds for an existing rule, with a reason."""
    repository.write(
        "service/hello/shell.py",
        f'"""A shell."""\n\nimport subprocess\n\nsubprocess.call(f"ls {{input()}}", shell=True)  {comment}\n',
    )
    component = Component(path="service", entrypoint=("x",), exclude=("tests",), coverage=0)
    assert ("security" not in repository.failed(component)) is passed
