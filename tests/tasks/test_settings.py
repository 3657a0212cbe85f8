"""What counts can be printed, and the first files of a repository can be written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.manifests.test_docs import examples

from lockgate.base import settings_file
from lockgate.base.errors import StorageError, UsageError
from lockgate.tasks import settling

if TYPE_CHECKING:
    from tests.tasks.conftest import Mini

WRITTEN = [
    *(content for _, content in examples("lockgate.yaml")),
    (Path(__file__).parents[2] / "lockgate.yaml").read_text(),
]

SERVICE = "if __name__ == '__main__':\n    pass\n"


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_printed_is_a_file_that_says_the_same(text: str, mini: Mini) -> None:
    """Read again it is the same settings; and it names every field of every environment."""
    (mini.path / "lockgate.yaml").write_text(text)
    answer = mini.inv("settings")
    assert (answer.code, answer.err) == (0, "")
    assert settings_file.parse(answer.out.encode()) == settings_file.parse(text.encode())
    assert yaml.safe_load(answer.out)["environments"]["prod"]["waiver_max_days"] == 30


def test_one_environment_alone(mini: Mini) -> None:
    """With everything that it has from its defaults, which is marked."""
    answer = mini.inv("settings", "-e", "staging")
    shown = yaml.safe_load(answer.out)
    assert list(shown) == ["environments"]
    assert list(shown["environments"]) == ["staging"]
    assert "    blocks: true  # default\n" in answer.out
    assert "    database_max_age_days: 36500\n" in answer.out


def test_one_component_alone(mini: Mini) -> None:
    """And no environment."""
    shown = yaml.safe_load(mini.inv("settings", "-c", "worker").out)
    assert list(shown) == ["components"]
    assert shown["components"]["worker"]["requirements"] == "requirements.txt"


@pytest.mark.parametrize("words", [[], ["-e", "prod"], ["-c", "web", "-e", "dev"]])
def test_json_is_the_same(words: list[str], mini: Mini) -> None:
    """For other programs: one record on one line."""
    shown = yaml.safe_load(mini.inv("settings", *words).out)
    (line,) = mini.inv("settings", "--json", *words).out.splitlines()
    assert json.loads(line) == shown


@pytest.mark.parametrize(("words", "meant"), [(["-e", "stagin"], "staging"), (["-c", "wb"], "web")])
def test_an_unknown_name_is_refused(words: list[str], meant: str, mini: Mini) -> None:
    """With the nearest right word."""
    answer = mini.inv("settings", *words)
    assert (answer.code, answer.out) == (2, "")
    assert f"did you mean `{meant}`?" in answer.err


@pytest.fixture
def empty(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one service and none of our files; `mini.inv` runs there."""
    place = mini.path.parent / "Shop"
    (place / "web").mkdir(parents=True)
    (place / "web" / "app.py").write_text(SERVICE)
    monkeypatch.chdir(place)
    return place


def files(folder: Path) -> set[str]:
    """The files below a folder."""
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}


def test_the_first_files_are_written(mini: Mini, empty: Path) -> None:
    """Strict settings, tasks, what git ignores; and the next command is named."""
    answer = mini.inv("settings.init")
    assert (answer.code, answer.out) == (0, "")
    assert "next: `inv build`" in answer.err
    found = settings_file.parse((empty / "lockgate.yaml").read_bytes())
    assert (found.project, found.components["web"].entrypoint) == ("shop", ("python3", "app.py"))
    assert (empty / ".gitignore").read_text() == "/.lockgate/\n/out/\n__pycache__/\n"
    compile((empty / "tasks.py").read_text(), "tasks.py", "exec")
    assert files(empty) == {
        "lockgate.yaml", "tasks.py", ".gitignore", "web/app.py", "web/requirements.txt",
    }  # fmt: skip


def test_what_was_written_can_be_used(mini: Mini, empty: Path) -> None:
    """The tasks read it; a second time nothing is written."""
    mini.inv("settings.init")
    assert (
        yaml.safe_load(mini.inv("settings", "-c", "web").out)["components"]["web"]["coverage"] == 0
    )
    before = (empty / "lockgate.yaml").read_bytes()
    again = mini.inv("settings.init")
    assert again.code == 2
    assert "is there already" in again.err
    assert (empty / "lockgate.yaml").read_bytes() == before


def test_a_plan_prints_the_file_and_writes_nothing(mini: Mini, empty: Path) -> None:
    """On stdout is what `lockgate.yaml` would be."""
    before = files(empty)
    answer = mini.inv("settings.init", "--plan")
    assert settings_file.parse(answer.out.encode()).components
    assert "would write lockgate.yaml" in answer.err
    assert "nothing was changed" in answer.err
    assert files(empty) == before


def test_files_that_are_there_stay(mini: Mini, empty: Path) -> None:
    """A `tasks.py` of another kind is kept and named; `.gitignore` gets the lines that it has not."""
    (empty / "tasks.py").write_text("# own\n")
    (empty / ".gitignore").write_bytes(b"caf\xe9\nout")
    (empty / ".gitignore").chmod(0o600)
    answer = mini.inv("settings.init")
    assert "tasks.py stays as it is" in answer.err
    assert (empty / "tasks.py").read_text() == "# own\n"
    assert (empty / ".gitignore").read_bytes() == b"caf\xe9\nout\n/.lockgate/\n__pycache__/\n"
    assert (empty / ".gitignore").stat().st_mode & 0o777 == 0o600


def test_a_gitignore_that_knows_it_all_is_not_touched(mini: Mini, empty: Path) -> None:
    """In whichever form the lines are."""
    (empty / ".gitignore").write_text(".lockgate\n/out/\n__pycache__")
    mini.inv("settings.init")
    assert (empty / ".gitignore").read_text() == ".lockgate\n/out/\n__pycache__"


def test_a_gitignore_that_is_a_link_stays(mini: Mini, empty: Path) -> None:
    """What it leads to may be somebody else's."""
    (empty / "other").write_text("x\n")
    (empty / ".gitignore").symlink_to("other")
    answer = mini.inv("settings.init")
    assert ".gitignore is a link" in answer.err
    assert (empty / "other").read_text() == "x\n"


def test_a_folder_of_a_repository_that_has_one_is_refused(
    mini: Mini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings in a folder would hide those above it."""
    (mini.path / "web" / "app.py").write_text(SERVICE)
    monkeypatch.chdir(mini.path / "web")
    answer = mini.inv("settings.init")
    assert answer.code == 2
    assert not (mini.path / "web" / "lockgate.yaml").exists()


def test_nothing_to_begin_with_is_an_error(mini: Mini, empty: Path) -> None:
    """Settings without a component would be refused by every other task."""
    (empty / "web" / "app.py").unlink()
    answer = mini.inv("settings.init")
    assert answer.code == 2
    assert "looks like a component" in answer.err
    assert files(empty) == set()


def test_a_missing_lock_is_said_before_the_next_command(mini: Mini, empty: Path) -> None:
    """A service whose dependencies are not locked cannot be built yet; the other one can."""
    (empty / "web" / "requirements.txt").write_text("flask\n")
    (empty / "more").mkdir()
    (empty / "more" / "app.py").write_text(SERVICE)
    said = mini.inv("settings.init").err
    assert "web: `web/requirements.txt` is no lock: the requirement `flask` has no hash" in said
    assert said.endswith("next: `inv build -c more`; what others need is said above\n")
    assert (empty / "web" / "requirements.txt").read_text() == "flask\n"


@pytest.mark.parametrize(
    "name", ["lockgate.yaml", "tasks.py", ".gitignore", "web/requirements.txt"]
)
def test_a_file_that_came_to_be_meanwhile_stays(
    name: str, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that appears after the last look: when all is ready to be put under its name."""
    start = settling.start(empty)
    assert name in start.files
    ready = os.fsync

    def appear(handle: int) -> None:
        ready(handle)
        path = empty / name
        if any(path.parent.glob(f".{path.name}.*")):
            path.write_text("mine\n")

    monkeypatch.setattr(os, "fsync", appear)
    with pytest.raises(UsageError, match=f"`{name}` came to be in the meantime, and stays"):
        settling.write(start)
    assert (empty / name).read_text() == "mine\n"
    assert files(empty) - {"web/app.py"} <= set(start.files)


def test_lines_that_came_to_gitignore_meanwhile_stay(empty: Path) -> None:
    """Ours are put at the end of what is there then."""
    (empty / ".gitignore").write_text("out/")
    start = settling.start(empty)
    (empty / ".gitignore").write_text("out/\n*.log\n")
    settling.write(start)
    assert (empty / ".gitignore").read_text().split() == [
        "out/", "*.log", "/.lockgate/", "__pycache__/",
    ]  # fmt: skip


def test_a_link_in_the_place_of_gitignore_is_not_followed(empty: Path) -> None:
    """What it leads to may be somebody else's."""
    (empty / ".gitignore").write_text("")
    start = settling.start(empty)
    (empty / "other").write_text("x\n")
    (empty / ".gitignore").unlink()
    (empty / ".gitignore").symlink_to("other")
    with pytest.raises(StorageError, match="gitignore could not be used"):
        settling.write(start)
    assert (empty / "other").read_text() == "x\n"
