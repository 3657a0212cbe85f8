"""Container engines, spoken to through a `docker` in miniature: a program that keeps files."""

from __future__ import annotations

import json
import os
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch, ToolError, ToolMissing
from lockgate.build.layer import Entry, write_layer
from lockgate.deploy import choose as runners
from lockgate.deploy import sandbox
from lockgate.deploy.archive import write_archive
from lockgate.deploy.engine import Engine, find_engine
from lockgate.deploy.model import Instance, Service
from lockgate.deploy.runner import Launch
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, MANIFEST, Manifest, manifest_bytes

if TYPE_CHECKING:
    from pathlib import Path

DOCKER = """#!{python} -IS
import json, os, sys, tarfile
home = {home!r}
def load(name):
    path = os.path.join(home, name)
    return json.load(open(path)) if os.path.exists(path) else {{}}
def save(name, value):
    json.dump(value, open(os.path.join(home, name), "w"))
images, containers = load("images"), load("containers")
word, rest = sys.argv[1], sys.argv[2:]
options = [one for one in rest if one.startswith("-")]
plain = [one for one in rest if not one.startswith("-")]
with open(os.path.join(home, "calls"), "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if os.path.exists(os.path.join(home, "down")):
    sys.exit("Cannot connect to the daemon")
if os.path.exists(os.path.join(home, "hang")):
    open(os.path.join(home, "hang")).read()
if word == "load":
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        files = {{member.name: archive.extractfile(member).read() for member in archive}}
    (told,) = json.loads(files["manifest.json"])
    layers = json.loads(files[told["Config"]])["rootfs"]["diff_ids"]
    images[told["RepoTags"][0]] = ["sha256:" + told["Config"][:64], layers]
    save("images", images)
elif (word, plain[:1]) == ("image", ["inspect"]):
    if plain[1] not in images:
        sys.exit("No such image")
    print(json.dumps(images[plain[1]]))
elif (word, plain[:1]) == ("image", ["ls"]):
    print("\\n".join(name for name in images if name.startswith(plain[1] + ":")))
elif (word, plain[:1]) == ("image", ["rm"]):
    del images[plain[1]]
    save("images", images)
elif word == "create":
    name = "c%d" % (len(containers) + 1)
    containers[name] = {{"argv": rest, "running": False}}
    save("containers", containers)
    print(name)
elif word == "start":
    if os.path.exists(os.path.join(home, "stuck")):
        sys.exit("port is already allocated")
    containers[plain[0]]["running"] = True
    save("containers", containers)
elif word == "ps":
    wanted = [one.split("=", 1)[1] for one in options if one.startswith("--filter=")]
    for name, what in containers.items():
        labels = [one[2:].replace("label=", "label=", 1) for one in what["argv"] if one.startswith("--label")]
        if ("--all" in options or what["running"]) and all(
            one in labels or one == "id=" + name for one in wanted
        ):
            print(name)
elif word == "rm":
    containers.pop(plain[0])
    save("containers", containers)
elif word == "stop":
    containers[plain[0]]["running"] = False
    save("containers", containers)
elif word == "wait":
    print(137)
elif word == "logs":
    print("said", plain[0])
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the miniature on PATH, alone; return the folder in which it keeps its files."""
    home = tmp_path / "engine"
    home.mkdir()
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER.format(python=sys.executable, home=str(home)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return home


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """An image of one layer, to be started."""
    layout = Layout.create(tmp_path / "store")
    layer = write_layer(layout, [Entry("srv/app", "file", 0o755, b"#!")])
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "config": {"Entrypoint": ["/srv/app"], "User": "65532", "Env": ["COLOUR=blue"]},
    }
    manifest = Manifest(
        config=layout.put(json.dumps(config).encode(), CONFIG), layers=(layer.descriptor,)
    )
    digest = layout.put(manifest_bytes(manifest), MANIFEST).digest
    instance = Instance(
        service=Service(component="app", port=8080, ready="/readyz", smoke="/"),
        digest="sha256:" + "a" * 64,
        manifest=digest,
        revision="3f2a9c1",
        runner="docker",
        port=4711,
        since=1,
    )
    return Launch(instance, tmp_path / "run" / "app", 0, layout, tmp_path / "run" / ".rootfs")


def calls(home: Path, word: str) -> list[list[str]]:
    """Return the arguments of every call of one command."""
    lines = (home / "calls").read_text().splitlines()
    return [found[1:] for found in map(json.loads, lines) if found[0] == word]


def prepared(launch: Launch) -> Engine:
    """Return an engine that has the image."""
    engine = Engine("docker")
    engine.prepare(launch.layout, launch.instance.manifest, launch.root)
    return engine


def test_an_engine_counts_only_when_it_answers(docker: Path) -> None:
    """A client without its daemon is no engine, and neither is one on another machine."""
    found = find_engine()
    assert found is not None
    assert found.name == "docker"
    (docker / "down").touch()
    assert find_engine() is None


def test_an_engine_that_hangs_does_not_count(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it for ever."""
    os.mkfifo(docker / "hang")
    monkeypatch.setattr("lockgate.deploy.engine._PATIENCE", 0.5)
    assert find_engine() is None


def test_an_engine_elsewhere_does_not_count(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback of another machine is not ours."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2376")
    assert find_engine() is None
    assert not (docker / "calls").exists()


def test_without_engine_and_namespaces_it_says_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither way to run images: a missing tool, with both remedies."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sandbox, "available", lambda: False)
    with pytest.raises(ToolMissing) as caught:
        runners.runner("")
    assert "podman" in caught.value.hint
    assert "sysctl" in caught.value.hint


def test_without_an_engine_the_kernel_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespaces are the choice when no engine answers."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sandbox, "available", lambda: True)
    assert runners.runner("").name == "namespaces"


def test_an_image_is_loaded_once(docker: Path, launch: Launch) -> None:
    """What the engine has is not loaded again."""
    for _ in range(2):
        prepared(launch)
    assert len(calls(docker, "load")) == 1


def test_a_changed_blob_is_not_loaded(docker: Path, launch: Launch) -> None:
    """The store is checked before the engine sees a byte."""
    (blob,) = Manifest.parse(launch.layout.read(launch.instance.manifest)).layers
    path = launch.layout.path(blob.digest)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DigestMismatch):
        prepared(launch)
    assert calls(docker, "load") == []


def test_other_layers_under_our_name_are_refused(docker: Path, launch: Launch) -> None:
    """A tag of the engine can be moved; what it has is compared with the image's layers."""
    engine = prepared(launch)
    images = json.loads((docker / "images").read_text())
    for image in images.values():
        image[1] = ["sha256:" + "0" * 64]
    (docker / "images").write_text(json.dumps(images))
    with pytest.raises(DigestMismatch, match="other layers"):
        engine.start(launch)


def test_a_container_is_closed_in(docker: Path, launch: Launch) -> None:
    """Read-only, without capabilities, as the image's user, reachable on loopback only."""
    with prepared(launch).start(launch) as started:
        started.keep()
    (argv,) = calls(docker, "create")
    assert {
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=65532:65532",
        "--publish=127.0.0.1:4711:8080",
        "--env=PORT=8080",
        "--env=HOST=0.0.0.0",
        "--env=COLOUR=blue",
        "--env=LOCKGATE_REVISION=3f2a9c1",
    } <= set(argv)
    assert argv[-1].startswith("sha256:")
    assert not any(one.startswith(("--privileged", "--network", "--volume")) for one in argv)


def test_what_is_not_kept_is_removed(docker: Path, launch: Launch) -> None:
    """A container that did not prove itself is gone afterwards; a kept one stays and is known."""
    engine = prepared(launch)
    with engine.start(launch) as dropped:
        assert engine.alive(dropped.instance)
    assert not engine.alive(dropped.instance)
    with engine.start(launch) as started:
        started.keep()
    assert engine.alive(started.instance)
    assert engine.tail(started.instance, launch.folder, 5) == "said c1"
    engine.stop(started.instance, 5)
    assert json.loads((docker / "containers").read_text()) == {}


def test_a_container_that_does_not_start_is_removed(docker: Path, launch: Launch) -> None:
    """A port that is taken in the last moment leaves no container behind."""
    engine = prepared(launch)
    (docker / "stuck").touch()
    with pytest.raises(ToolError, match="port is already allocated"):
        engine.start(launch)
    assert json.loads((docker / "containers").read_text()) == {}


def test_sweep_removes_what_a_killed_deployment_left(docker: Path, launch: Launch) -> None:
    """Containers of this folder and component that no record names; others stay."""
    engine = prepared(launch)
    other = launch._replace(root=launch.root.with_name("other"))
    engine.prepare(launch.layout, launch.instance.manifest, other.root)
    made = []
    for what in (launch, launch, other):
        with engine.start(what) as started:
            started.keep()
            made.append(started.instance)
    engine.sweep(launch.root, "app", (made[0],))
    assert [engine.alive(one) for one in made] == [True, False, True]


def test_prune_removes_images_that_nobody_needs(docker: Path, launch: Launch) -> None:
    """Of this folder's images only the named manifests stay."""
    engine = prepared(launch)
    engine.prune(launch.root, lambda: [launch.instance.manifest])
    assert len(json.loads((docker / "images").read_text())) == 1
    engine.prune(launch.root, list)
    assert json.loads((docker / "images").read_text()) == {}


def test_the_archive_has_every_blob_as_it_is(launch: Launch, tmp_path: Path) -> None:
    """`manifest.json` names configuration and layers, whose bytes are those of the store."""
    path = tmp_path / "image.tar"
    with path.open("wb") as file:
        write_archive(launch.layout, launch.instance.manifest, "localhost/app:1", file)
    with tarfile.open(path) as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    (told,) = json.loads(files["manifest.json"])
    manifest = Manifest.parse(launch.layout.read(launch.instance.manifest))
    assert told["RepoTags"] == ["localhost/app:1"]
    assert files[told["Config"]] == launch.layout.read(manifest.config.digest)
    assert files[told["Layers"][0]] == launch.layout.read(manifest.layers[0].digest)
