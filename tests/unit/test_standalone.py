"""`requirements/standalone.py`: what it removes, what it keeps, and what it refuses.

Python's venv, hatchling and pip are stood for by what they do to files; the real ones run in
`tests/integration/test_standalone.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "requirements" / "standalone.py"


class Programs:
    """A fake of every program that is run: the same changes on the disk, and it can fail where a test says."""

    def __init__(self) -> None:
        self.wheel = b"first"
        """The content of the wheel that the checkout makes."""
        self.fails: Callable[[list[str]], BaseException | None] = lambda _: None
        """Says with which error a command fails."""
        self.refused: type[Exception] = Exception
        """What the script raises for a command that fails."""

    def run(self, argv: list[str]) -> None:
        """Do what the command would do."""
        error = self.fails(argv)
        if error is not None:
            raise error
        if "venv" in argv:
            folder = Path(argv[-1])
            (folder / "bin").mkdir(parents=True, exist_ok=True)
            (folder / "bin" / "python").write_text("")
            (folder / "pyvenv.cfg").write_text("")
        elif "hatchling" in argv:
            dist = Path(argv[argv.index("-d") + 1])
            dist.mkdir()
            (dist / "lockgate-1-py3-none-any.whl").write_bytes(self.wheel)
        elif "download" in argv:
            wheels = Path(argv[argv.index("--dest") + 1])
            wheels.mkdir()
            (wheels / "dependency.whl").write_text("")
        elif "install" in argv:
            self._install(argv)
        elif argv[-2:] == ["lockgate", "--version"]:
            program = Path(argv[0]).with_name("lockgate")
            if not program.is_file():
                raise self.refused(f"{argv} failed")
        else:
            pytest.fail(f"nothing is known of {argv}")

    def _install(self, argv: list[str]) -> None:
        """As pip does: what is there in the same version stays, and is no error."""
        folder = Path(argv[0]).parents[1]
        assert (folder / "pyvenv.cfg").is_file()
        if "--find-links" in argv:
            assert "--no-index" in argv
            found = Path(argv[argv.index("--find-links") + 1]) / "dependency.whl"
            shutil.copyfile(found, folder / "dependency")
        elif argv[-1].endswith(".whl"):
            program = folder / "bin" / "lockgate"
            if not program.exists():
                shutil.copyfile(argv[-1], program)


@pytest.fixture
def standalone() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("standalone", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def programs(standalone: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """What runs in place of venv, hatchling and pip."""
    fake = Programs()
    fake.refused = standalone.Refused
    monkeypatch.setattr(standalone, "run", fake.run)
    return fake


@pytest.fixture
def place(standalone: ModuleType, programs: Programs, tmp_path: Path) -> Path:
    """A folder with a finished installation, whose program is `first`."""
    folder: Path = tmp_path / "lockgate"
    standalone.main(folder, None)
    assert runs(folder) == b"first"
    return folder


def runs(folder: Path) -> bytes:
    """What the program of an installation is."""
    return (folder / "bin" / "lockgate").read_bytes()


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and what is in it."""
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()
    }


def offline(standalone: ModuleType) -> Callable[[list[str]], BaseException | None]:
    """No network: whatever would ask an index fails."""

    def fails(argv: list[str]) -> BaseException | None:
        asks = "-m" in argv and "pip" in argv and "--no-index" not in argv
        refused: BaseException = standalone.Refused("no network")
        return refused if asks else None

    return fails


def test_an_update_is_the_new_one_alone(
    standalone: ModuleType, programs: Programs, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same version, other content: what runs, what is written and what is printed are of one wheel."""
    (place / "stale").write_text("")
    programs.wheel = b"second"
    standalone.main(place, None)
    digest = hashlib.sha256(b"second").hexdigest()
    assert runs(place) == b"second"
    assert (place / standalone.MARK).read_text() == f"{digest}\n"
    assert f"sha256:{digest}" in capsys.readouterr().err
    assert not (place / "stale").exists()
    assert [one.name for one in place.parent.iterdir()] == ["lockgate"]


@pytest.mark.parametrize("name", ["pyvenv.cfg", "lockgate-wheel.sha256"])
def test_another_environment_is_left_alone(
    name: str, standalone: ModuleType, programs: Programs, tmp_path: Path
) -> None:
    """Every virtual environment has the one file, and anybody can keep a digest in the other."""
    (tmp_path / name).write_text("")
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(standalone.Refused, match="holds other files"):
        standalone.main(tmp_path, None)
    assert files(tmp_path) == {name: b"", "thesis.txt": b"years"}


def test_files_that_came_during_the_download_are_left_alone(
    standalone: ModuleType, programs: Programs, tmp_path: Path
) -> None:
    """The folder was empty when it was looked at first."""

    def meanwhile(argv: list[str]) -> None:
        if "download" in argv:
            (tmp_path / "thesis.txt").write_text("years")

    programs.fails = meanwhile
    with pytest.raises(standalone.Refused, match="holds other files"):
        standalone.main(tmp_path, None)
    assert files(tmp_path) == {"thesis.txt": b"years"}


def test_what_was_broken_off_can_be_made_anew(
    standalone: ModuleType, programs: Programs, tmp_path: Path
) -> None:
    """The first installation ended half-way; nobody has to remove anything."""
    programs.fails = lambda argv: KeyboardInterrupt() if argv[-1].endswith(".whl") else None
    with pytest.raises(KeyboardInterrupt):
        standalone.main(tmp_path / "lockgate", None)
    assert not (tmp_path / "lockgate" / standalone.MARK).exists()
    programs.fails = lambda _: None
    standalone.main(tmp_path / "lockgate", None)
    assert runs(tmp_path / "lockgate") == b"first"


def test_a_symbolic_link_is_refused(
    standalone: ModuleType, programs: Programs, place: Path
) -> None:
    """It would be taken for a new folder, and the old Lockgate behind it for the new one."""
    link = place.with_name("link")
    link.symlink_to(place)
    before = files(place)
    programs.wheel = b"second"
    with pytest.raises(standalone.Refused, match="symbolic link"):
        standalone.main(link, None)
    assert files(place) == before


def test_a_file_is_refused(standalone: ModuleType, programs: Programs, tmp_path: Path) -> None:
    """In words."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(standalone.Refused, match="is not a folder"):
        standalone.main(tmp_path / "file", None)


def test_a_folder_that_cannot_be_moved_stays(
    standalone: ModuleType,
    programs: Programs,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The root of a mounted disk: refused, and the old Lockgate is whole and says that it is old."""

    def busy(self: Path, target: Path) -> Path:
        raise OSError(16, "Device or resource busy", str(self), None, str(target))

    before = files(place)
    programs.wheel = b"second"
    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(standalone.Refused, match="was not changed: Device or resource busy"):
        standalone.main(place, None)
    assert files(place) == before


def test_files_that_cannot_be_removed_are_not_in_the_new_one(
    standalone: ModuleType,
    programs: Programs,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They stay beside it, are named, and the next update asks for them."""
    remove = shutil.rmtree

    def denied(path: Path, *args: object, **kwargs: object) -> None:
        if str(path).endswith(".before"):
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", denied)
    programs.wheel = b"second"
    standalone.main(place, None)
    assert runs(place) == b"second"
    assert f"remove {place}.before yourself" in capsys.readouterr().err
    with pytest.raises(standalone.Refused, match=r"lockgate\.before is in the way"):
        standalone.main(place, None)


def test_without_a_network_the_old_one_stays(
    standalone: ModuleType, programs: Programs, place: Path
) -> None:
    """Nothing of the folder is touched before everything is here."""
    before = files(place)
    programs.wheel = b"second"
    programs.fails = offline(standalone)
    with pytest.raises(standalone.Refused, match="no network"):
        standalone.main(place, None)
    assert files(place) == before


def test_after_the_downloads_no_network_is_needed(
    standalone: ModuleType, programs: Programs, place: Path
) -> None:
    """The new folder is made of what was downloaded."""

    def after(argv: list[str]) -> BaseException | None:
        if "download" in argv:
            programs.fails = offline(standalone)
        return None

    programs.wheel = b"second"
    programs.fails = after
    standalone.main(place, None)
    assert runs(place) == b"second"


@pytest.mark.parametrize("step", ["venv", "--find-links", "lockgate-1-py3-none-any.whl"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full")])
def test_a_broken_off_update_puts_the_old_one_back(
    error: BaseException, step: str, standalone: ModuleType, programs: Programs, place: Path
) -> None:
    """Wherever Ctrl-C or a full disk ends it, once the folder is being made anew."""

    def fails(argv: list[str]) -> BaseException | None:
        is_step = any(word.endswith(step) for word in argv)
        return error if is_step and place.with_name("lockgate.before").exists() else None

    before = files(place)
    programs.wheel = b"second"
    programs.fails = fails
    with pytest.raises(type(error)):
        standalone.main(place, None)
    assert files(place) == before
    assert [one.name for one in place.parent.iterdir()] == ["lockgate"]


def test_what_a_killed_update_left_is_never_removed(
    standalone: ModuleType, programs: Programs, place: Path
) -> None:
    """It may be the only Lockgate that works."""
    former = place.rename(place.with_name("lockgate.before"))
    before = files(former)
    with pytest.raises(standalone.Refused, match="is in the way"):
        standalone.main(place, None)
    assert files(former) == before
    assert not place.exists()


def test_another_wheel_leaves_the_old_one(
    standalone: ModuleType, programs: Programs, place: Path
) -> None:
    """The digest is compared before anything is downloaded for the folder."""
    before = files(place)
    programs.wheel = b"second"
    with pytest.raises(standalone.Refused, match="not sha256:"):
        standalone.main(place, hashlib.sha256(b"first").hexdigest())
    assert files(place) == before


@pytest.mark.parametrize(
    "text", ["", "sha256:", "0" * 63, "0" * 65, "g" * 64, "0" * 64 + "\n", "sha512:" + "0" * 64]
)
def test_what_is_no_digest_is_refused(text: str, standalone: ModuleType) -> None:
    """An unset variable would switch the check off that was asked for."""
    with pytest.raises(argparse.ArgumentTypeError, match="64 hexadecimal digits"):
        standalone.sha256(text)


@pytest.mark.parametrize("text", ["AB" * 32, "sha256:" + "ab" * 32])
def test_a_digest_is_read_as_it_is_printed_anywhere(text: str, standalone: ModuleType) -> None:
    """With the algorithm before it or without, in either case."""
    assert standalone.sha256(text) == "ab" * 32


def test_an_installation_that_does_not_run_is_none(
    standalone: ModuleType,
    programs: Programs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with `PIP_DRY_RUN`: pip ends well, and has installed nothing."""
    place = tmp_path / "lockgate"
    monkeypatch.setattr(programs, "_install", lambda _: None)
    with pytest.raises(standalone.Refused):
        standalone.main(place, None)
    assert not (place / standalone.MARK).exists()


def test_what_another_run_moved_away_is_not_removed(
    standalone: ModuleType, programs: Programs, tmp_path: Path
) -> None:
    """Two at once: the one that cannot move the folder leaves both as they are."""
    place = tmp_path / "lockgate"
    standalone.main(place, None)
    before = standalone.beside(place)

    def other(argv: list[str]) -> BaseException | None:
        if "download" in argv:
            before.mkdir()
            (before / "theirs").write_text("")
        return None

    programs.fails = other
    with pytest.raises(standalone.Refused):
        standalone.main(place, None)
    assert (place / standalone.MARK).is_file()
    assert (before / "theirs").is_file()
