"""`lockgate.build.check_work`: the private copy, the style settings that count, lines of output."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.base.errors import CommandFailed, ToolMissing, UsageError
from lockgate.base.settings import Component
from lockgate.build.check_work import LINES, private_copy, style_files

APP = Component(path="app", entrypoint=("python3",), exclude=("tests", "*.in"), tests="tests/")


def write(root: Path, **files: str) -> Path:
    """Write files; `__` in a keyword is `/`, `_dot_` is a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with one component."""
    return write(
        tmp_path / "repository",
        app__main_dot_py="x = 1\n",
        app__pkg__part_dot_py="",
        app__requirements_dot_in="",
        app__tests__test_main_dot_py="",
    )


def script(folder: Path, name: str, body: str) -> Path:
    """Write a program."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return folder


def test_the_copy_has_every_file_and_knows_which_ones_ship(root: Path, tmp_path: Path) -> None:
    """Tests and what `exclude` names are looked at, but are not part of the service."""
    with private_copy(root, APP, tmp_path) as work:
        assert work.files == ("main.py", "pkg/part.py", "requirements.in", "tests/test_main.py")
        assert work.shipped == ("main.py", "pkg/part.py")
        assert work.test_files == {"tests/test_main.py"}
        assert work.service_files == ("main.py", "pkg/part.py")
        assert (work.folder / "main.py").read_text() == "x = 1\n"


def test_a_folder_whose_name_begins_like_the_tests_is_no_test(root: Path, tmp_path: Path) -> None:
    """`tests` does not stand for `tests_of_time.py`."""
    write(root, app__tests_of_time_dot_py="")
    with private_copy(root, APP, tmp_path) as work:
        assert "tests_of_time.py" in work.python_files
        assert work.test_files == {"tests/test_main.py"}


@pytest.mark.parametrize("tests", ["../app/tests", "/", "nowhere"])
def test_tests_are_found_inside_the_component_only(root: Path, tmp_path: Path, tests: str) -> None:
    """A folder elsewhere is not part of what the record speaks of."""
    component = Component(path="app", entrypoint=("x",), tests=tests)
    with private_copy(root, component, tmp_path) as work:
        assert work.test_files == frozenset()


def test_what_a_tool_writes_does_not_reach_the_sources(root: Path, tmp_path: Path) -> None:
    """A tool that overwrites a source overwrites the copy, which is gone at the end."""
    tools = script(
        tmp_path / "bin",
        "spoil",
        "echo spoilt > app/main.py; echo $HOME > app/new; cat app/main.py",
    )
    with private_copy(root, APP, tools) as work:
        assert b"spoilt" in work.run("spoil").stdout
        top = work.top
    assert (root / "app" / "main.py").read_text() == "x = 1\n"
    assert not (root / "app" / "new").exists()
    assert not top.exists()


def test_the_copy_goes_away_after_an_error(root: Path, tmp_path: Path) -> None:
    """Whatever happens in it."""
    copy = private_copy(root, APP, tmp_path)
    top = copy.__enter__().top
    assert top.exists()
    stop = KeyboardInterrupt()
    assert not copy.__exit__(KeyboardInterrupt, stop, None)
    assert not top.exists()


def test_a_link_is_copied_as_a_link(root: Path, tmp_path: Path) -> None:
    """It is in the image as a link, too, so a link to elsewhere shows nothing of elsewhere."""
    (root / "app" / "out").symlink_to("/etc/hostname")
    with private_copy(root, APP, tmp_path) as work:
        assert (work.folder / "out").readlink() == Path("/etc/hostname")


def test_children_are_told_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret and no setting of this user reaches a tool or a test, and the home folder is an empty one."""
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    tools = script(tmp_path / "bin", "show", "env; ls -A $HOME | sed s/^/home:/")
    with private_copy(root, APP, tools) as work:
        shown = work.run("show").stdout.decode()
    names = {line.split("=")[0] for line in shown.splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "COLUMNS", "NO_COLOR", "PYTHONHASHSEED",
    }  # fmt: skip
    assert "LC_ALL=C.UTF-8" in shown
    assert f"HOME={Path.home()}\n" not in shown


def test_an_absent_tool_is_a_tool_error(root: Path, tmp_path: Path) -> None:
    """A program that is not in the environment is not looked for elsewhere."""
    with private_copy(root, APP, tmp_path) as work, pytest.raises(ToolMissing):
        work.run("sh")


def test_a_tool_that_fails_has_a_hint(root: Path, tmp_path: Path) -> None:
    """An exit code that is no answer is an error, and says what was started."""
    tools = script(tmp_path / "bin", "crash", "echo boom >&2; exit 9")
    with private_copy(root, APP, tools) as work, pytest.raises(CommandFailed) as caught:
        work.run("crash", "now")
    assert caught.value.code == 9
    assert "boom" in caught.value.message
    assert "`crash now …`" in caught.value.hint


def test_lines_are_bounded_and_the_same_every_time(root: Path, tmp_path: Path) -> None:
    """Addresses and the copy's own name differ from run to run, so they are taken out."""
    with private_copy(root, APP, tmp_path) as work:
        found = work.lines(f"{work.folder}/main.py <x at 0x7f001234abcd>\r\n\n  in\n".encode())
        assert found == ("app/main.py <x at 0x…>", "  in")
        many = "\n".join(str(number) for number in range(100)).encode()
        assert work.lines(many)[-2:] == (str(LINES - 1), "… 70 more lines")
        assert work.lines(many, last=True)[:2] == ("… 70 more lines", "70")
        assert len(work.lines(b"x" * 9000)[0]) == 200
        assert work.lines(b"\xff\n") == ("\ufffd",)


def test_the_nearest_style_settings_count(root: Path) -> None:
    """Ruff takes the nearest file, and `.ruff.toml` before the others in one folder."""
    write(root, pyproject_dot_toml="[tool.ruff]\nline-length = 99\n")
    assert style_files(root, root / "app") == ("pyproject.toml",)
    write(root, app__ruff_dot_toml="")
    assert style_files(root, root / "app") == ("app/ruff.toml",)
    (root / "app" / ".ruff.toml").write_text("")
    assert style_files(root, root / "app") == ("app/.ruff.toml",)


def test_a_project_file_without_a_section_is_passed_over(root: Path) -> None:
    """A `pyproject.toml` counts when it has `[tool.ruff]`."""
    write(root, pyproject_dot_toml="[tool.ruff]\n", app__pyproject_dot_toml="[project]\n")
    assert style_files(root, root / "app") == ("pyproject.toml",)


def test_settings_above_the_repository_do_not_count(root: Path) -> None:
    """They are not in the repository, so another machine would not have them."""
    write(root.parent, ruff_dot_toml="")
    assert style_files(root, root / "app") == ()


def test_extended_settings_come_along(root: Path, tmp_path: Path) -> None:
    """The copy holds what a settings file extends."""
    write(root, ruff_dot_toml="", app__ruff_dot_toml='extend = "../ruff.toml"\n')
    assert style_files(root, root / "app") == ("app/ruff.toml", "ruff.toml")
    with private_copy(root, APP, tmp_path) as work:
        assert work.own_style
        assert (work.top / "ruff.toml").is_file()


@pytest.mark.parametrize("extended", ["../../ruff.toml", "absent.toml", "/etc/ruff.toml"])
def test_extending_what_is_not_in_the_repository_is_refused(root: Path, extended: str) -> None:
    """A verdict may not depend on a file that the digest does not cover."""
    write(root.parent, ruff_dot_toml="")
    write(root, app__ruff_dot_toml=f'extend = "{extended}"\n')
    with pytest.raises(UsageError, match="not a file of the repository"):
        style_files(root, root / "app")


def test_settings_that_extend_each_other_end(root: Path) -> None:
    """A circle is left to ruff to refuse."""
    write(root, app__ruff_dot_toml='extend = "ruff.toml"\n')
    assert style_files(root, root / "app") == ("app/ruff.toml",)


def test_broken_settings_are_a_usage_error(root: Path) -> None:
    """The file is named."""
    write(root, pyproject_dot_toml="[tool.ruff\n")
    with pytest.raises(UsageError, match=r"pyproject\.toml cannot be read"):
        style_files(root, root / "app")
