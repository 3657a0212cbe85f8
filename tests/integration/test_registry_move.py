"""The image that `inv build scan sign` makes, moved through every real registry with all its evidence."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
from tests.integration.registries import (
    COSIGN,
    CRANE,
    KINDS,
    TASKS,
    Running,
    debian_program,
    go_program,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import Repository, Serve


@pytest.fixture(scope="module")
def signed(make_repository: Callable[[str], Repository]) -> Repository:
    """A repository after `inv build scan sign`."""
    found = make_repository("signed")
    (found.path / "tasks.py").write_text(TASKS)
    found.commit("tasks")
    found.inv("build", "scan", "sign")
    return found


@pytest.fixture(scope="module", params=KINDS)
def registry(
    request: pytest.FixtureRequest, real_registry: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """An empty registry of each kind."""
    with real_registry(request.param, tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def pushed(registry: Running, signed: Repository) -> str:
    """The reference of the image, pushed to the registry."""
    done = signed.inv("push", "-c", "app", "--to", f"{registry.host}/team", "--json")
    moved = json.loads(done.stdout)
    assert moved["digest"] == signed.subject
    assert len(moved["evidence"]) >= 5
    return f"{registry.host}/team/app:{moved['name']}"


@pytest.fixture
def other(signed: Repository, tmp_path: Path) -> Repository:
    """The same repository with the same keys and an empty store."""
    place = tmp_path / "other"
    shutil.copytree(signed.path, place, symlinks=True)
    shutil.rmtree(place / ".lockgate" / "store")
    return type(signed)(place)


def dialled(reference: str) -> str:
    """Return a reference as tools can reach it that leave `*.localhost` to the machine's resolver."""
    return reference.replace("registry.localhost", "127.0.0.1")


def names(repository: Repository) -> dict[str, str]:
    """Return what each name in a store points at."""
    index = json.loads((repository.store / "index.json").read_bytes())["manifests"]
    return {one["annotations"]["org.opencontainers.image.ref.name"]: one["digest"] for one in index}


def test_verified_where_it_was_pulled(pushed: str, other: Repository) -> None:
    """Pulled into an empty store, everything that the environment requires still holds."""
    other.inv("pull", pushed)

    verified = other.inv("verify", "-c", "app")

    assert 'trusted: 5 of 5 requirements of "dev" met' in verified.stdout
    assert other.damaged() == []


def test_verified_where_it_lies(pushed: str, other: Repository) -> None:
    """Without a pull, the same holds of the image at the registry; its layers are read when that is asked for."""
    found = other.inv("verify", pushed)
    whole = other.inv("verify", pushed, "--read-layers")

    for one in (found, whole):
        assert 'trusted: 5 of 5 requirements of "dev" met' in one.stdout
    assert "layers      not read" in found.stdout
    assert "not read" not in whole.stdout
    assert not other.store.exists()


def test_the_store_is_the_same(pushed: str, signed: Repository, other: Repository) -> None:
    """Names and lists of evidence in the new store are those of the old one, byte for byte."""
    other.inv("pull", pushed)

    # The build names platforms and stacks too, for people.
    assert names(other) == {
        name: one
        for name, one in names(signed).items()
        if name == "app" or name.startswith("sha256-")
    }


@pytest.mark.parametrize(
    "flags",
    [("--insecure-ignore-tlog=true",),
     ("--private-infrastructure", "--new-bundle-format=false")],
    ids=["bundle", "legacy"],
)  # fmt: skip
def test_cosign_verifies_it(
    flags: tuple[str, ...], pushed: str, registry: Running, signed: Repository, tmp_path: Path
) -> None:
    """The real cosign finds and verifies the signature at the registry, in both formats."""
    key = str(signed.path / ".lockgate" / "keys" / "cosign.pub")
    image = f"localhost:{registry.port}/team/app@{signed.subject}"

    found = run(go_program(COSIGN), "verify", "--key", key, *flags, image, home=tmp_path)

    assert signed.subject in found
    assert pushed


def test_crane_and_skopeo_read_it(pushed: str, signed: Repository, tmp_path: Path) -> None:
    """Other tools see the same digest and every platform."""
    crane, pushed = go_program(CRANE), dialled(pushed)
    assert run(crane, "digest", pushed, home=tmp_path).strip() == signed.subject
    index = json.loads(run(crane, "manifest", pushed, home=tmp_path))
    assert len(index["manifests"]) == 2
    run(crane, "validate", "--remote", pushed, home=tmp_path)
    target = f"oci:{tmp_path / 'copied'}:app"
    run(
        debian_program("skopeo"), "--insecure-policy", "copy", "--all", "--src-tls-verify=false",
        f"docker://{pushed}", target, home=tmp_path,
    )  # fmt: skip
    copied = json.loads((tmp_path / "copied" / "index.json").read_bytes())
    assert copied["manifests"][0]["digest"] == signed.subject


def test_a_second_push_moves_nothing(registry: Running, pushed: str, signed: Repository) -> None:
    """What is there is recognised; the record says that nothing went."""
    done = signed.inv("push", "-c", "app", "--to", f"{registry.host}/team", "--json")

    moved = json.loads(done.stdout)
    assert (moved["blobs"], moved["manifests"], moved["tags"]) == ([], [], [])
    assert pushed.endswith(moved["name"])


def test_a_plan_changes_nothing(registry: Running, signed: Repository, tmp_path: Path) -> None:
    """`--plan` names every blob with its size, and the repository is not there afterwards."""
    done = signed.inv("push", "-c", "app", "--to", f"{registry.host}/planned", "--plan")

    assert "nothing was changed" in done.stderr
    assert re.search(rf"{signed.subject} +[0-9.]+ k?B  manifest\n", done.stderr)
    name = dialled(f"{registry.host}/planned/app@{signed.subject}")
    run(go_program(CRANE), "digest", name, home=tmp_path, code=1)


def test_copied_within_the_registry(
    registry: Running, pushed: str, signed: Repository, other: Repository
) -> None:
    """A copy to another repository of the same registry has all the evidence too."""
    there = f"{registry.host}/copies/app:1.0"
    signed.inv("copy", pushed, there)

    other.inv("pull", f"{registry.host}/copies/app@{signed.subject}")

    assert "5 of 5" in other.inv("verify", "-c", "app").stdout


def test_through_a_file(pushed: str, signed: Repository, other: Repository, tmp_path: Path) -> None:
    """From a registry and from the store the file is the same, other tools read it, and it verifies."""
    for number, source in enumerate((pushed, "app")):
        signed.inv("copy", source, f"archive:{tmp_path / f'{number}.tar'}")
    assert (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()
    name = f"oci-archive:{tmp_path / '0.tar'}:app"
    raw = run(debian_program("skopeo"), "inspect", "--raw", name, home=tmp_path)
    assert len(json.loads(raw)["manifests"]) == 2

    other.inv("pull", f"archive:{tmp_path / '0.tar'}", "--name", "app")

    assert "5 of 5" in other.inv("verify", "-c", "app").stdout


# Without crane's: it keeps what it got of a manifest when the connection broke, also behind a tag, where nothing
# says what the bytes should have been.
@pytest.mark.parametrize("registry", [one for one in KINDS if one != "crane"], indirect=True)
def test_killed_at_any_moment(registry: Running, signed: Repository, tmp_path: Path) -> None:
    """However often a push is killed: what is visible is whole, and the last run ends in the same digest."""
    name = dialled(f"{registry.host}/killed/app")
    crane = go_program(CRANE)
    argv = [
        sys.executable,
        "-m",
        "lockgate.tasks.program",
        "push",
        "-c",
        "app",
        "--to",
        f"{registry.host}/killed",
    ]
    for moment in (0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
        child = subprocess.Popen(
            argv,
            cwd=signed.path,
            env={**os.environ, "LOCKGATE_QUIET": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moment)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(30)
        listed = subprocess.run(
            [crane, "ls", name], capture_output=True, text=True, timeout=60, check=False
        )
        for tag in listed.stdout.split():
            if not tag.startswith("sha256-"):
                run(crane, "validate", "--remote", f"{name}:{tag}", home=tmp_path)

    moved = json.loads(signed.inv(*argv[3:], "--json").stdout)

    assert run(crane, "digest", f"{name}:{moved['name']}", home=tmp_path).strip() == signed.subject
    key = str(signed.path / ".lockgate" / "keys" / "cosign.pub")
    image = f"localhost:{registry.port}/killed/app@{signed.subject}"
    flags = ("--key", key, "--insecure-ignore-tlog=true")
    run(go_program(COSIGN), "verify", *flags, image, home=tmp_path)


@pytest.mark.parametrize("registry", ["crane"], indirect=True)
def test_half_a_manifest_is_sent_again(
    registry: Running, signed: Repository, tmp_path: Path
) -> None:
    """A registry that keeps half a manifest from a killed push has the whole one after the next."""
    index = (
        signed.store / "blobs" / "sha256" / signed.subject.removeprefix("sha256:")
    ).read_bytes()
    part = json.loads(index)["manifests"][0]["digest"]
    data = (signed.store / "blobs" / "sha256" / part.removeprefix("sha256:")).read_bytes()
    path = f"/v2/half/app/manifests/{part}"
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", registry.port), timeout=60) as killed:
        killed.sendall(head.encode() + data[: len(data) // 2])
        killed.shutdown(socket.SHUT_WR)
        while killed.recv(4096):
            pass
    with urllib.request.urlopen(f"http://127.0.0.1:{registry.port}{path}", timeout=60) as kept:
        assert kept.read() == data[: len(data) // 2]

    moved = json.loads(
        signed.inv("push", "-c", "app", "--to", f"{registry.host}/half", "--json").stdout
    )

    run(
        go_program(CRANE), "validate", "--remote",
        dialled(f"{registry.host}/half/app:{moved['name']}"), home=tmp_path,
    )  # fmt: skip


def test_two_pushers_at_once(registry: Running, signed: Repository, other: Repository) -> None:
    """Two runs that push the same image at the same time leave it whole, with all the evidence listed."""
    argv = [
        sys.executable,
        "-m",
        "lockgate.tasks.program",
        "push",
        "-c",
        "app",
        "--to",
        f"{registry.host}/twice",
    ]
    running = [
        subprocess.Popen(
            argv, cwd=signed.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for one in running:
        _, words = one.communicate(timeout=120)
        assert one.returncode == 0, words

    other.inv("pull", f"{registry.host}/twice/app@{signed.subject}")

    assert "5 of 5" in other.inv("verify", "-c", "app").stdout


def test_a_tag_that_is_not_there(registry: Running, pushed: str, signed: Repository) -> None:
    """A tag, a repository or a digest that the registry does not have: one line, exit code 5."""
    missing = f"{registry.host}/team/app@sha256:{'0' * 64}"
    for reference in (f"{pushed}x", f"{registry.host}/team/none:1", missing):
        done = signed.inv("pull", reference, code=5)
        assert "is not at" in done.stderr
        assert "hint:" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_hole_at_the_registry(
    registry: Running, signed: Repository, other: Repository, tmp_path: Path
) -> None:
    """An image of which the registry lost a manifest is refused before anything is written, exit code 4.

    Lockgate's own registry does not let go of a manifest that an index needs.
    """
    name = f"{registry.host}/holes/app"
    signed.inv("copy", "app", f"{name}:1")
    crane = go_program(CRANE)
    index = json.loads(run(crane, "manifest", dialled(f"{name}:1"), home=tmp_path))
    victim = index["manifests"][1]["digest"]
    kept = registry.kind == "lockgate"
    run(crane, "delete", dialled(f"{name}@{victim}"), home=tmp_path, code=1 if kept else 0)
    if kept:
        return

    done = other.inv("pull", f"{name}:1", code=4)

    assert f"{victim} is missing; nothing was moved" in done.stderr
    assert not list((other.store / "blobs" / "sha256").glob("*"))
