"""`inv push`, `pull` and `copy`: what a person's words name, what is said, and which exit code follows."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from invoke.collection import Collection
from invoke.program import Program

from lockgate.base.errors import UsageError
from lockgate.oci.layout import Layout
from lockgate.tasks import push
from lockgate.tasks.moving import pulled_as
from lockgate.tasks.places import Place, Ways
from lockgate.tasks.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tasks.conftest import Answer, Mini

    Inv = Callable[..., Answer]

DIGEST = "sha256:" + "0" * 64
LIST = DIGEST.replace(":", "-")
"""By this name the referrers of a digest are found."""


@pytest.fixture
def inv(built_mini: Mini, capsys: pytest.CaptureFixture[str]) -> Inv:
    """Call with arguments to run `inv` where everything was built and signed."""
    answer = type(built_mini.inv("flow"))

    def run(*arguments: str) -> Answer:
        open_session.cache_clear()
        capsys.readouterr()
        tasks = Collection(push.push, push.pull, push.copy)
        program = Program(namespace=tasks, binary_names=["inv"])
        try:
            program.run(["inv", *arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        return answer(code, *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("app", Place("store", "", "app", "")),
        ("team/app", Place("store", "", "team/app", "")),
        (DIGEST, Place("store", "", "", DIGEST)),
        (f"app@{DIGEST}", Place("store", "", "app", DIGEST)),
        ("registry.example/app:1", Place("registry", "registry.example/app", "1", "")),
        ("localhost:5000/app", Place("registry", "localhost:5000/app", "", "")),
        (f"a.b/c:1@{DIGEST}", Place("registry", "a.b/c", "1", DIGEST)),
        ("archive:out/app.tar", Place("archive", "out/app.tar", "", "")),
        ("archive:/tmp/a:b@c.tar", Place("archive", "/tmp/a:b@c.tar", "", "")),
    ],
)
def test_a_place(text: str, place: Place) -> None:
    """A name of the store, a registry by tag or digest, a file: each form means one thing."""
    assert Place.parse(text) == place


@pytest.mark.parametrize(
    "text", ["", "App", "archive:", "app:1.0", "team/app:1", "sha256:123", "a.b/App", "a b", "-x"]
)
def test_no_place(text: str) -> None:
    """Anything else is refused with the forms that there are: exit code 2."""
    with pytest.raises(UsageError) as raised:
        Place.parse(text)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("reference", "name", "found"),
    [
        ("registry.example/team/app:1.0", "", "app"),
        ("registry.example/team/app:1.0", "team/other", "team/other"),
        ("archive:/tmp/app.v1.tar", "", "app"),
    ],
)
def test_the_name_in_the_store(reference: str, name: str, found: str) -> None:
    """A pulled image gets the last part of its name, or the one that is given."""
    assert pulled_as(reference, name) == found


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("app", ""),
        (DIGEST, ""),
        ("a.b/c:1", "Not OK"),
        ("archive:/tmp/X.tar", ""),
        (f"a.b/{LIST}:1", ""),
        ("a.b/c:1", LIST),
        ("a.b/c:1", f"{LIST}.att"),
    ],
)
def test_no_name_in_the_store(reference: str, name: str) -> None:
    """The store is no place to pull from, what cannot be a name is none, nor is one that evidence is found by."""
    with pytest.raises(UsageError):
        pulled_as(reference, name)


def test_through_a_file(inv: Inv, built_mini: Mini) -> None:
    """Copied to a file and pulled from it into an empty store, everything still verifies."""
    saved = inv("copy", "web", "archive:web.tar")
    assert saved.code == 0, saved.err
    assert "→ archive:web.tar" in saved.err
    assert "2 platforms" in saved.err
    shutil.rmtree(built_mini.path / ".lockgate" / "store")

    pulled = inv("pull", "archive:web.tar")

    assert pulled.code == 0, pulled.err
    assert "5 of 5" in built_mini.inv("verify", "-c", "web").out


def test_a_second_time_is_unchanged(inv: Inv) -> None:
    """What is in the store already is recognised."""
    inv("copy", "web", "archive:web.tar")

    again = inv("pull", "archive:web.tar")

    assert again.code == 0
    assert "unchanged" in again.err


def test_the_record_alone_on_stdout(inv: Inv, built_mini: Mini) -> None:
    """`--json` prints what was moved, in full, and words go to stderr."""
    done = inv("copy", "web", "archive:web.tar", "--json")

    moved = json.loads(done.out)
    assert moved["digest"] == Layout(built_mini.path / ".lockgate" / "store").resolve("web").digest
    assert moved["target"] == "archive:web.tar"
    assert {one["size"] for one in moved["blobs"]}
    assert len(moved["evidence"]) >= 5


def test_a_plan_does_nothing(inv: Inv, built_mini: Mini) -> None:
    """`--plan` names every blob and manifest with its size, and writes nothing."""
    planned = inv("copy", "web", "archive:web.tar", "--plan")

    assert planned.code == 0
    root = Layout(built_mini.path / ".lockgate" / "store").resolve("web").digest
    assert root in planned.err
    assert " B  manifest\n" in planned.err
    assert planned.err.endswith("nothing was changed\n")
    assert not (built_mini.path / "web.tar").exists()
    assert max(len(line) for line in planned.err.splitlines()) <= 100


def test_a_name_within_the_store(inv: Inv, built_mini: Mini) -> None:
    """An image can be given another name in the store."""
    assert inv("copy", "web", "team/kept").code == 0

    layout = Layout(built_mini.path / ".lockgate" / "store")
    assert layout.resolve("team/kept").digest == layout.resolve("web").digest


WRONG = [
    (("push",), "there is no registry to push to", "--to"),
    (("push", "--to", "team"), "is not a registry", "registry.example/team"),
    (("push", "--to", "a.b/c@x"), "is not a registry", "registry.example/team"),
    (("push", "-c", "wbe", "--to", "a.b/c"), "'wbe' is not a component", "`web`"),
    (("push", "-r", "wbe", "--to", "a.b/c"), "'wbe' is not in the store", "`web`"),
    (("push", "-r", DIGEST, "--to", "a.b/c"), "is not a name in the store", "inv copy"),
    (("push", "-r", "web", "--to", "a.b/c", "--tag", "a b"), "cannot be a tag", "letters"),
    (("push", "-r", "web", "--to", "A.b/C"), "is not an image reference", "host/name"),
    (("pull", "web"), "names no registry", "host/name:tag"),
    (("pull", "a.b/c"), "has neither tag nor digest", "host/name:tag"),
    (("pull", "a.b:99999/c:1"), "is not a host", "65535"),
    (("pull", "archive:none.tar"), "cannot be read", "path"),
    (("copy", "wbe", "archive:x.tar"), "'wbe' is not in the store", "`web`"),
    (("copy", DIGEST, "archive:x.tar"), "is not in the store", "inv build"),
    (("copy", "web", f"web@{DIGEST}"), "names another digest", "leave"),
    (("pull", "a.b/c:1", "--authority", "none.pem"), "none.pem cannot be used", "PEM"),
    (("copy", "web", LIST), "is kept for the evidence", "another name"),
    (("copy", "web", f"{LIST}.sig"), "is kept for the evidence", "another name"),
    (("copy", "web", f"a.b/c:{LIST}"), "is kept for the evidence", "another name"),
    (("pull", f"a.b/{LIST}:1"), "is kept for the evidence", "--name"),
]


@pytest.mark.parametrize(("arguments", "words", "hint"), WRONG)
def test_what_is_typed_wrong(arguments: tuple[str, ...], words: str, hint: str, inv: Inv) -> None:
    """One line that names it, a hint, exit code 2, nothing on stdout."""
    done = inv(*arguments)

    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()[-2:]
    assert words in first
    assert second.startswith("  hint: ")
    assert hint in second


def test_a_registry_that_is_not_there(inv: Inv) -> None:
    """A registry that cannot be found is exit code 5."""
    done = inv("pull", "no-such-host.invalid/app:1")

    assert (done.code, done.out) == (5, "")
    assert "no-such-host.invalid" in done.err
    assert "Traceback" not in done.err


def test_a_damaged_archive(inv: Inv, built_mini: Mini) -> None:
    """Bytes that were changed are exit code 4."""
    inv("copy", "web", "archive:web.tar")
    path = built_mini.path / "web.tar"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"architecture":"amd64"', b'"architecture":"amd65"'))

    done = inv("pull", "archive:web.tar")

    assert done.code == 4
    assert "hint:" in done.err


@pytest.mark.usefixtures("built_mini")
def test_the_tag_is_the_commit() -> None:
    """Without `--tag` an image gets the commit that it says it was built from."""
    from lockgate.tasks.moving import pushed_as

    open_session.cache_clear()
    session = open_session()

    found = pushed_as(session, "web", "registry.example/team/", "")
    given = pushed_as(session, "web", "registry.example/team", "1.0")

    assert given == "registry.example/team/web:1.0"
    name, _, tag = found.partition(":")
    assert name == "registry.example/team/web"
    assert len(tag.removesuffix("-dirty")) == 12


def test_plain_http_is_spoken_to_whom_the_settings_name(built_mini: Mini) -> None:
    """Beside those that `--insecure` names; to nobody else."""
    built_mini.settings("components:", "plain_http: [registry.lan:5000]\ncomponents:")
    open_session.cache_clear()

    world = Ways(open_session(), "", ["other.lan"]).world()

    names = ("registry.lan:5000/a", "other.lan/a", "registry.lan/a", "else.lan:5000/a")
    assert [world.endpoint(one).scheme for one in names] == ["http", "http", "https", "https"]
