"""What a repository seems to hold, from the files that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from lockgate.base import settings_file, settings_text
from lockgate.base.errors import UsageError
from lockgate.build import guess
from lockgate.build.tree import source_files

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "if __name__ == '__main__':\n    pass\n"
LOCK = f"gunicorn==23.0.0 --hash=sha256:{'0' * 64}\n"
MODULE = "module example.org/tool\n\ngo 1.26\n"
PROGRAM = "package main\n\nfunc main() {}\n"


def found(root: Path, files: dict[str, str]) -> tuple[guess.Guess, ...]:
    """Write files, and return the components that there seem to be."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return guess.components(root)


def only(root: Path, files: dict[str, str]) -> guess.Guess:
    """The one component that there seems to be."""
    (one,) = found(root, files)
    return one


def entrypoint(root: Path, files: dict[str, str]) -> list[str]:
    """What the one component runs."""
    words: list[str] = only(root, files).settings["entrypoint"]
    return words


def test_a_script_that_runs_is_run(tmp_path: Path) -> None:
    """A folder with `wsgi.py` is a component of the folder's name; nothing of it is doubtful."""
    one = only(tmp_path, {"hello/wsgi.py": MAIN})
    assert (one.name, one.path) == ("hello", "hello")
    assert one.settings["entrypoint"] == ["python3", "wsgi.py"]
    assert "entrypoint" not in one.comments


def test_a_script_without_a_server_is_doubted(tmp_path: Path) -> None:
    """It may end at once; the line in the file says what it has to do."""
    one = only(tmp_path, {"hello/app.py": "def app(environ, start): ...\n"})
    assert one.comments["entrypoint"] == "a guess: it has to listen on HOST and PORT"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"wsgi.py": "app = make()\n"}, ["wsgi:app"]),
        ({"wsgi.py": "from shop import application\n"}, ["wsgi:application"]),
        ({"app.py": "def create_app(): ...\n"}, ["app:create_app()"]),
        ({"shop/__init__.py": "def create_app(): ...\n"}, ["shop:create_app()"]),
        ({"shop/__init__.py": "", "shop/wsgi.py": "application = 1\n"}, ["shop.wsgi:application"]),
        (
            {"gunicorn_conf.py": "wsgi_app = 'shop:app'\n", "shop/__init__.py": "app = 1\n"},
            ["--config", "gunicorn_conf.py"],
        ),
        (
            {"gunicorn.conf.py": "workers = 2\n", "wsgi.py": "app = 1\n"},
            ["--config", "gunicorn.conf.py", "wsgi:app"],
        ),
    ],
)
def test_gunicorn_is_given_the_application(
    files: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    """Where it is locked, and an application can be seen."""
    files = {f"web/{name}": text for name, text in files.items()} | {"web/requirements.txt": LOCK}
    assert entrypoint(tmp_path, files) == ["python3", "-m", "gunicorn", *words]


def test_a_package_is_run_as_a_module(tmp_path: Path) -> None:
    """When it has a `__main__.py`, and the folder a requirements file."""
    files = {
        "work/requirements.txt": "",
        "work/worker/__init__.py": "",
        "work/worker/__main__.py": "",
    }
    assert entrypoint(tmp_path, files) == ["python3", "-m", "worker"]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"tools/requirements.txt": LOCK},
        {"docs/app.py": MAIN},
        {".hidden/app.py": MAIN},
        {"env/pyvenv.cfg": "", "env/app.py": MAIN},
        {"a/b/c/d/app.py": MAIN},
        {"lib/go.mod": MODULE, "lib/lib.go": "package lib\n"},
        {"lib/go.mod": MODULE, "lib/lib_test.go": PROGRAM},
    ],
)
def test_what_is_no_service_is_left_out(files: dict[str, str], tmp_path: Path) -> None:
    """Nothing to run, someone else's, a test, too deep."""
    assert found(tmp_path, files) == ()


def test_a_service_is_not_looked_through(tmp_path: Path) -> None:
    """A folder in it is part of it."""
    assert only(tmp_path, {"web/app.py": MAIN, "web/more/app.py": MAIN}).path == "web"


def test_a_service_beside_a_go_module_is_found(tmp_path: Path) -> None:
    """A module at the top of a repository is not all that it has."""
    one, other = found(tmp_path, {"go.mod": MODULE, "main.go": PROGRAM, "web/app.py": MAIN})
    assert (one.name, other.name) == ("tool", "web")


def test_the_repository_itself_can_be_the_component(tmp_path: Path) -> None:
    """Its own files are no part of the image."""
    (tmp_path / "My_Shop").mkdir()
    one = only(tmp_path / "My_Shop", {"app.py": MAIN})
    assert (one.name, one.settings["path"]) == ("my-shop", ".")
    assert {"lockgate.yaml", "tasks.py", "stacks"} <= set(one.settings["exclude"])


def test_a_go_module_is_its_program(tmp_path: Path) -> None:
    """Named as the compiler names it, on the stack for static programs."""
    one = only(tmp_path, {"src/go.mod": MODULE, "src/main.go": PROGRAM})
    assert one.name == "tool"
    assert one.settings == {
        "kind": "gomodule", "path": "src", "stack": "static", "entrypoint": ["tool"], "ready": "/",
    }  # fmt: skip


def test_each_command_of_a_go_module_is_a_component(tmp_path: Path) -> None:
    """One image each, from the one module."""
    files = {
        "go.mod": MODULE,
        "cmd/a/a.go": PROGRAM,
        "cmd/b/b.go": PROGRAM,
        "cmd/c/c.go": "package c",
    }
    one, other = found(tmp_path, files)
    assert one.settings["go"] == [{"module": ".", "packages": ["./cmd/a"]}]
    assert (one.settings["entrypoint"], other.settings["entrypoint"]) == (["a"], ["b"])


def test_a_go_mod_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It is not passed over."""
    with pytest.raises(UsageError, match=r"lib/go\.mod"):
        found(tmp_path, {"lib/go.mod": "nonsense"})


@pytest.mark.parametrize(
    ("text", "path"),
    [("'/readyz'", "/readyz"), ('"/healthz" "/readyz"', "/readyz"), ("'/health'", "/health"),
     ("/healthy", "/")],
)  # fmt: skip
def test_readiness_is_a_path_that_the_sources_name(text: str, path: str, tmp_path: Path) -> None:
    """Or `/`, which any service for people has."""
    one = only(tmp_path, {"web/app.py": MAIN, "web/views.py": f"paths = {text}\n"})
    assert one.settings["ready"] == path


def test_tests_are_found(tmp_path: Path) -> None:
    """They stay out of the image; without any, none are asked for."""
    one, other = found(tmp_path, {"a/app.py": MAIN, "a/tests/test_a.py": "", "b/app.py": MAIN})
    assert (one.settings["tests"], "tests" in one.settings["exclude"]) == ("tests", True)
    assert "coverage" not in one.settings
    assert (other.settings["coverage"], "tests" in other.settings) == (0, False)


@pytest.mark.parametrize(
    ("files", "lacks", "needs_nothing"),
    [
        ({}, "", True),
        ({"requirements.txt": LOCK}, "", False),
        ({"requirements.txt": "flask\n"}, "`web/requirements.txt` is no lock", False),
        ({"requirements.in": "flask\n"}, "is missing, beside `requirements.in`", False),
    ],
)
def test_a_lock_that_is_lacking_is_said(
    files: dict[str, str], lacks: str, needs_nothing: bool, tmp_path: Path
) -> None:
    """Nothing is guessed of dependencies: no lock is made of what is not one."""
    files = {f"web/{name}": text for name, text in files.items()}
    one = only(tmp_path, {"web/app.py": MAIN, **files})
    assert lacks in one.lacks
    assert (bool(one.lacks), one.needs_nothing) == (bool(lacks), needs_nothing)


@pytest.mark.parametrize("text", [LOCK, "flask\n"])
def test_the_lock_of_a_folder_above_is_taken(text: str, tmp_path: Path) -> None:
    """One for the whole repository is usual; nothing is written beside it, and the file says that it is a guess."""
    one = only(tmp_path, {"requirements.txt": text, "src/web/wsgi.py": "app = 1\n"})
    assert one.settings["requirements"] == "../../requirements.txt"
    assert (one.needs_nothing, "requirements" in one.comments) == (False, True)
    assert "requirements.txt" not in one.settings["exclude"]
    assert ("gunicorn" in one.settings["entrypoint"]) == (text == LOCK)
    assert one.lacks.startswith("`requirements.txt` is no lock") == (text != LOCK)


@pytest.mark.parametrize("text", ["def (", "x = '\\d'\n", "\0", "-" * 100_000 + "1"])
def test_a_module_that_cannot_be_read_has_no_application(text: str, tmp_path: Path) -> None:
    """It is run as it is, and its faults are not told here."""
    files = {"web/app.py": text, "web/requirements.txt": LOCK}
    assert entrypoint(tmp_path, files) == ["python3", "app.py"]


def test_two_folders_of_one_name_are_two_components(tmp_path: Path) -> None:
    """And no two of them have the same port."""
    one, other, third = found(tmp_path, {f"{name}/web/app.py": MAIN for name in "abc"})
    assert [one.name, other.name, third.name] == ["web", "web-2", "web-3"]
    assert [each.settings.get("port", 8080) for each in (one, other, third)] == [8080, 8081, 8082]


@drawn(max_examples=60)
@given(st.text(max_size=200) | st.sampled_from(["config-server", "stack-a", "sha256-0", "A B"]))
def test_any_folder_gives_names_that_settings_take(text: str) -> None:
    """Also those that the store needs itself, and those that are no names at all."""
    one: dict[str, Any] = {"path": "x", "entrypoint": ["x"]}
    content = {"project": guess.plain_name(text), "components": {guess.component_name(text): one}}
    assert settings_file.parse(settings_text.dump(content).encode()).project


def test_keys_and_environments_stay_out_of_the_image(tmp_path: Path) -> None:
    """Everything else in the folder of a service is copied; and what they hold says nothing of the service."""
    one = only(
        tmp_path,
        {
            "app.py": "print()",
            "keys/release.pub": "",
            "cosign.key": "",
            "here/pyvenv.cfg": "",
            "here/lib/other.py": "'/healthz'",
        },
    )
    assert source_files(tmp_path, one.settings["exclude"]) == ["app.py"]
    assert one.settings["ready"] == "/"


def test_a_lock_that_leads_nowhere_is_said(tmp_path: Path) -> None:
    """It is not written over."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "requirements.txt").symlink_to("gone")
    one = only(tmp_path, {"web/app.py": "print()"})
    assert one.lacks == "`web/requirements.txt` is a link that leads nowhere"
    assert not one.needs_nothing
