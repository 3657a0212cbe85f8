"""Where sources come from, asked of the real git in repositories of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import CommandFailed, ToolMissing, UsageError
from lockgate.build.git import source
from lockgate.build.model import Source

if TYPE_CHECKING:
    from pathlib import Path

TIME = 1_700_000_000
IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.org")


class Work:
    """A git work tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)

    def git(self, *arguments: str) -> str:
        """Run git here."""
        times = {"GIT_AUTHOR_DATE": f"{TIME} +0000", "GIT_COMMITTER_DATE": f"{TIME} +0000"}
        return subprocess.run(
            ["git", *IDENTITY, *arguments],
            cwd=self.root,
            env={**os.environ, **times},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()

    def write(self, path: str, text: str = "x") -> Path:
        """Write a file."""
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)
        return full

    def commit(self) -> str:
        """Commit everything; return the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")

    def source(
        self, subpath: str = "app", exclude: tuple[str, ...] = (), also: tuple[str, ...] = ()
    ) -> Source:
        """Ask for the Source of a component."""
        return source(
            self.root,
            repository="https://git.example/shop",
            subpath=subpath,
            exclude=exclude,
            also=["lockgate.yaml", *also],
            content="sha256:0",
        )


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the person who runs the tests, and no repository around the temporary folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that `work` copies: making one takes git three processes."""
    found = Work(tmp_path_factory.mktemp("template") / "work")
    for path in ("app/main.py", "app/tests/test_main.py", "lockgate.yaml", "other/file"):
        found.write(path)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        found.git("init", "--quiet", "--initial-branch=main", "--template=")
        found.commit()
    return found.root


@pytest.fixture
def work(tmp_path: Path, template: Path) -> Work:
    """A repository with a component, settings and something else, all committed."""
    shutil.copytree(template, tmp_path / "work")
    return Work(tmp_path / "work")


def test_a_clean_tree_is_its_commit(work: Work) -> None:
    """Revision and time are the commit's; nothing is dirty."""
    assert work.source() == Source(
        repository="https://git.example/shop",
        revision=work.git("rev-parse", "HEAD"),
        time=TIME,
        subpath="app",
        content="sha256:0",
        changes=(),
    )
    assert not work.source().dirty


@pytest.mark.parametrize("path", ["app/main.py", "lockgate.yaml"])
@pytest.mark.parametrize("how", ["edit", "stage", "remove", "mode", "link"])
def test_a_change_is_seen(work: Work, path: str, how: str) -> None:
    """Edited, staged, removed, made executable, turned into a link: the path is named."""
    full = work.root / path
    if how == "remove":
        full.unlink()
    elif how == "mode":
        full.chmod(0o755)
    elif how == "link":
        full.unlink()
        full.symlink_to("elsewhere")
    else:
        full.write_text("y")
        if how == "stage":
            work.git("add", path)
    assert work.source().changes == (path,)
    assert work.source().dirty


def test_changes_are_sorted_and_complete(work: Work) -> None:
    """Several changes are all named, both ends of a rename included."""
    work.git("mv", "app/main.py", "app/a.py")
    work.write("lockgate.yaml", "y")
    assert work.source().changes == ("app/a.py", "app/main.py", "lockgate.yaml")


@pytest.mark.parametrize(
    "name", ["new.py", "a b", "ümlaut", "line\nfeed", "deep/er/x", ":x", "[a]"]
)
def test_an_untracked_file_is_a_change(work: Work, name: str) -> None:
    """A file that git does not know yet is in the image and in no commit; its name is not quoted."""
    work.write(f"app/{name}")
    assert work.source().changes == (f"app/{name}",)


def test_an_ignored_file_in_the_image_is_a_change(work: Work) -> None:
    """What git ignores and the image holds is not what the commit says."""
    work.write(".gitignore", "*.db\n/app/generated/\n")
    work.commit()
    assert not work.source().dirty
    work.write("app/todo.db")
    work.write("app/generated/code.py")
    assert work.source().changes == ("app/generated/code.py", "app/todo.db")
    assert not work.source(exclude=("*.db", "generated")).dirty


@pytest.mark.parametrize(
    ("name", "value"), [("core.excludesFile", "~/ignored"), ("status.showUntrackedFiles", "no")]
)
def test_a_persons_settings_hide_nothing(work: Work, name: str, value: str) -> None:
    """What one person tells git to ignore is in the image all the same."""
    (work.root.parent / "home/ignored").write_text("*.secret\n")
    work.git("config", "--global", name, value)
    work.write("app/my.secret")
    assert work.source().changes == ("app/my.secret",)


@pytest.mark.parametrize(
    "path",
    [
        "other/file",
        "app/tests/test_main.py",
        "app/.hidden",
        "app/__pycache__/x.pyc",
        "application/x",
    ],
)
def test_what_is_not_in_the_image_does_not_count(work: Work, path: str) -> None:
    """Other folders, excluded files and what stays out anyway may change."""
    work.write(path, "changed")
    assert work.source(exclude=("tests",)).changes == ()


def test_what_the_image_depends_on_counts_though_it_is_excluded(work: Work) -> None:
    """The lock of the requirements is excluded from the image and decides what is in it."""
    work.write("app/requirements.txt")
    found = work.source(exclude=("requirements.txt",), also=("app/requirements.txt",))
    assert found.changes == ("app/requirements.txt",)


@pytest.mark.parametrize("subpath", ["./app", "app/", "app/.", "app//"])
def test_another_spelling_of_the_folder_hides_no_change(work: Work, subpath: str) -> None:
    """`./app` is `app`."""
    work.write("app/main.py", "y")
    work.write("app/lock.txt")
    found = work.source(subpath, exclude=("lock.txt",), also=(f"{subpath}/lock.txt",))
    assert found.changes == ("app/lock.txt", "app/main.py")


def test_the_whole_repository_can_be_the_component(work: Work) -> None:
    """With `.` every file counts."""
    work.write("other/file", "y")
    assert work.source(".").changes == ("other/file",)


def test_a_root_below_the_top_names_paths_from_itself(work: Work) -> None:
    """In a repository whose `lockgate.yaml` lies deeper, paths are relative to it."""
    inner = Work(work.root / "inner")
    inner.write("app/main.py")
    inner.write("lockgate.yaml")
    work.commit()
    assert not inner.source().dirty
    inner.write("app/main.py", "y")
    work.write("app/main.py", "y")
    assert inner.source().changes == ("app/main.py",)
    assert inner.source().revision == work.git("rev-parse", "HEAD")


def test_outside_git_there_is_no_revision(tmp_path: Path) -> None:
    """No repository: no revision, time 0, and dirty, since nothing proves the bytes."""
    found = Work(tmp_path / "plain").source()
    assert (found.revision, found.time, found.changes, found.dirty) == ("", 0, (), True)


def test_before_the_first_commit_there_is_no_revision(tmp_path: Path) -> None:
    """An empty repository is like none."""
    work = Work(tmp_path / "new")
    work.git("init", "--quiet")
    work.write("app/main.py")
    found = work.source()
    assert (found.revision, found.time, found.dirty) == ("", 0, True)


def test_a_detached_head_has_its_commit(work: Work) -> None:
    """As CI checks out: no branch, the same answer."""
    first = work.git("rev-parse", "HEAD")
    work.commit()
    work.git("checkout", "--quiet", "--detach", first)
    assert work.source().revision == first
    assert not work.source().dirty


def test_a_shallow_clone_and_a_linked_tree_work(work: Work, tmp_path: Path) -> None:
    """`git clone --depth 1` and `git worktree` are repositories like others."""
    revision = work.commit()
    work.git("clone", "--quiet", "--depth=1", f"file://{work.root}", str(tmp_path / "clone"))
    work.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    for name in ("clone", "linked"):
        found = Work(tmp_path / name).source()
        assert (found.revision, found.dirty) == (revision, False)


def test_source_date_epoch_replaces_the_time(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable counts, 0 too; the revision stays."""
    for value in ("1", "0", "1700000001"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
        assert work.source().time == int(value)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert work.source().time == TIME


@pytest.mark.parametrize("value", ["now", "-1", "1.5", " 1", "1e9", "٣", "9" * 12, "9" * 5000])
def test_a_wrong_source_date_epoch_is_told(
    work: Work, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """What is no number of seconds, or no date that can be written, is not guessed at."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH is") as caught:
        work.source()
    assert caught.value.hint == "unset it"


def test_a_signed_log_does_not_lose_the_revision(work: Work) -> None:
    """`log.showSignature` prints more lines for a signed commit: the answer is the same."""
    work.git("config", "--global", "log.showSignature", "true")
    tree, parent = work.git("rev-parse", "HEAD^{tree}"), work.git("rev-parse", "HEAD")
    person = f"Test <test@example.org> {TIME} +0000"
    signed = work.root.parent / "signed"
    signed.write_text(
        f"tree {tree}\nparent {parent}\nauthor {person}\ncommitter {person}\n"
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----\n\nsigned\n"
    )
    made = work.git("hash-object", "-t", "commit", "-w", str(signed))
    work.git("reset", "--quiet", "--hard", made)
    assert work.source().revision == made


@pytest.mark.parametrize("damage", ["config", "HEAD", "objects"])
def test_a_broken_repository_is_not_no_repository(work: Work, damage: str) -> None:
    """A build must not lose its revision in silence: a damaged repository is an error."""
    if damage == "config":
        (work.root / ".git/config").write_text("[broken")
    elif damage == "HEAD":
        (work.root / ".git/refs/heads/main").write_text("0" * 39 + "1\n")
    else:
        shutil.rmtree(work.root / ".git/objects")
        (work.root / ".git/objects").mkdir()
    with pytest.raises(CommandFailed) as caught:
        work.source()
    assert caught.value.hint


def test_a_linked_tree_whose_repository_is_gone_is_an_error(work: Work, tmp_path: Path) -> None:
    """`.git` points nowhere: that is not the same as no `.git`."""
    work.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    shutil.rmtree(work.root)
    with pytest.raises(CommandFailed):
        Work(tmp_path / "linked").source()


def test_a_repository_of_another_user_is_loud(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git refuses, and so does the build; the hint names the repository and can be typed."""
    inner = Work(work.root / "a b")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").write_text(
        f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(CommandFailed, match="dubious ownership") as caught:
        inner.source()
    assert caught.value.hint == f"git config --global --add safe.directory {work.root}"


def test_no_git_in_a_work_tree_is_an_error(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a `.git` above and no program to ask, the revision is not silently empty."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissing, match="git"):
        Work(work.root / "app").source()


def test_no_git_and_no_work_tree_is_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is nothing to ask about, git is not needed."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert Work(tmp_path / "plain").source().revision == ""


def test_nothing_of_the_repository_is_run(work: Work, tmp_path: Path) -> None:
    """A repository's own settings cannot make git start a program."""
    trace = tmp_path / "ran"
    script = work.write(".git/evil", f"#!/bin/sh\ntouch {trace}\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "diff.external", "core.sshCommand"):
        work.git("config", name, str(script))
    work.write("app/main.py", "y")
    trace.unlink(missing_ok=True)
    assert work.source().changes == ("app/main.py",)
    assert not trace.exists()
