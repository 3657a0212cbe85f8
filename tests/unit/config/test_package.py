"""An artifact is the same everywhere, and is read only when it is exactly what it says."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.base.errors import DigestMismatch, KeyRefused, TrustError, UsageError
from lockgate.build.layer import Entry, tar_stream
from lockgate.build.model import Source
from lockgate.config import package, resource
from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import LAYER_GZIP, MANIFEST, Manifest, manifest_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.config.model import Artifact
    from lockgate.config.resource import Resource

ONE = "r.example/app@sha256:" + "1" * 64
TWO = "redis@sha256:" + "2" * 64

SOURCE = Source(
    repository="https://git.example/shop",
    revision="3" * 40,
    time=1_700_000_000,
    subpath="k8s",
    content="sha256:" + "4" * 64,
    changes=(),
)


def pod(name: str, *references: str) -> Resource:
    """Return a pod that runs images."""
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"image": one} for one in references]},
    }
    return resource.of(body, "here")


def secret() -> Resource:
    """Return a Secret."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": "aHVudGVyMg=="},
    }
    return resource.of(body, "here")


@dataclass(frozen=True)
class Shelf:
    """A store that artifacts are put on, and changed in."""

    layout: Layout

    def pack(self, *resources: Resource, **more: Any) -> Artifact:
        """Package objects."""
        arguments = {"name": "config-dev", "source": SOURCE, "layout": self.layout, **more}
        return package.package(resources or (pod("a", ONE), pod("b", TWO)), **arguments)

    def read(self, digest: str) -> tuple[Artifact, tuple[Resource, ...]]:
        """Read an artifact."""
        return package.read(self.layout, digest, name="config-dev")

    def manifest(self, digest: str) -> Manifest:
        """Return a manifest."""
        return Manifest.parse(self.layout.read(digest))

    def changed(self, digest: str, **fields: Any) -> str:
        """Store the same manifest with other fields; return its digest."""
        manifest = msgspec.structs.replace(self.manifest(digest), **fields)
        return self.layout.put(manifest_bytes(manifest), MANIFEST).digest

    def refilled(self, digest: str, packed: bytes) -> str:
        """Store the same manifest with another layer."""
        layer = self.layout.put(gzip.compress(packed, mtime=0), LAYER_GZIP)
        return self.changed(digest, layers=(layer,))

    def marked(self, digest: str, **marks: str | None) -> str:
        """Store the same manifest with other annotations; None takes one away."""
        names = {
            "checksum": package.CHECKSUM,
            "objects": package.OBJECTS,
            "created": package.CREATED,
        }
        names |= {"encrypted": package.ENCRYPTED}
        found = dict(self.manifest(digest).annotations)
        for short, value in marks.items():
            found.pop(names[short], None)
            if value is not None:
                found[names[short]] = value
        return self.changed(digest, annotations=found)

    def files(self, digest: str) -> dict[str, bytes]:
        """Return the files of the layer."""
        (layer,) = self.manifest(digest).layers
        data = gzip.decompress(self.layout.read(layer.digest))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """An empty store."""
    return Shelf(Layout.create(tmp_path / "store"))


def test_what_was_packaged_is_read(shelf: Shelf) -> None:
    """Objects in the order of applying, images sorted, source and commit as they were."""
    made = shelf.pack(pod("b", TWO, ONE), pod("a", ONE), secret())
    found, resources = shelf.read(made.subject)
    assert found == made
    assert [one.id.label for one in resources] == ["Secret/s", "Pod/a", "Pod/b"]
    assert found.images == (ONE, TWO)
    assert (found.source, found.revision) == ("https://git.example/shop", "3" * 40)
    assert (found.created, found.objects, found.encrypted) == (1_700_000_000, 3, False)


def test_the_manifest_is_one_that_argo_cd_and_flux_take(shelf: Shelf) -> None:
    """An empty configuration, one compressed layer of the plain type, the annotations of OCI."""
    manifest = shelf.manifest(shelf.pack().subject)
    assert manifest.config.media_type == "application/vnd.oci.empty.v1+json"
    assert [one.media_type for one in manifest.layers] == [
        "application/vnd.oci.image.layer.v1.tar+gzip"
    ]
    assert manifest.annotations["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    assert manifest.annotations["org.opencontainers.image.revision"] == "3" * 40
    assert manifest.annotations["org.opencontainers.image.source"] == "https://git.example/shop"


def test_the_layer_holds_the_yaml_and_the_images(shelf: Shelf) -> None:
    """Two files; anyone with tar can look at them, and the checksum is that of the first."""
    made = shelf.pack()
    files = shelf.files(made.subject)
    assert list(files) == ["all.yaml", "images.txt"]
    assert files["images.txt"].decode().splitlines() == list(made.images)
    assert Digest.of(files["all.yaml"]) == made.checksum


def test_a_dirty_tree_is_marked(shelf: Shelf) -> None:
    """The commit does not stand for what is inside."""
    dirty = msgspec.structs.replace(SOURCE, changes=("k8s/a.yaml",))
    assert shelf.pack(source=dirty).revision == "3" * 40 + "-dirty"


def test_without_a_commit_there_is_no_revision(shelf: Shelf) -> None:
    """And the time is that of the beginning."""
    none = msgspec.structs.replace(SOURCE, revision="", time=0, repository="")
    made = shelf.pack(source=none)
    assert (made.revision, made.source, made.created) == ("", "", 0)
    assert shelf.read(made.subject)[0] == made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.permutations([pod("a", ONE), pod("b", TWO), pod("c"), secret()]),
    st.permutations(["apiVersion", "kind", "metadata", "spec"]),
)
def test_the_order_of_the_input_does_not_matter(
    shelf: Shelf, listed: list[Resource], keys: list[str]
) -> None:
    """Objects and fields in any order give one digest."""
    turned = [
        resource.of({key: one.body[key] for key in (*keys, "data") if key in one.body}, "here")
        for one in listed
    ]
    expected = shelf.pack(pod("a", ONE), pod("b", TWO), pod("c"), secret())
    assert shelf.pack(*turned) == expected


PROGRAM = """\
import os, sys, pathlib
os.umask(0o77)
from lockgate.build.model import Source
from lockgate.config import package, resource
from lockgate.oci.layout import Layout
found = resource.parse(pathlib.Path("in.yaml").read_bytes(), where="in")
source = Source(repository="r", revision="3" * 40, time=1700000000, subpath="", content="", changes=())
print(package.package(found, name="x", source=source, layout=Layout.create(pathlib.Path("s"))).subject)
"""


def test_another_machine_gives_the_same_digest(tmp_path: Path) -> None:
    """Another folder, umask, time zone, locale and hash seed change nothing."""
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{image: '{ONE}'}}]}}\n"
    found = set()
    for number, zone in enumerate(("UTC", "Pacific/Kiritimati", "America/St_Johns")):
        home = tmp_path / f"home-{number}"
        home.mkdir()
        (home / "in.yaml").write_text(text)
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": str(number), "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=home, env=environment, capture_output=True,
            timeout=60, check=True,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1


def test_nothing_is_an_error(shelf: Shelf) -> None:
    """An artifact without an object would delete everything that is there."""
    with pytest.raises(UsageError, match="there is no object"):
        package.package((), name="x", source=SOURCE, layout=shelf.layout)


@pytest.mark.parametrize("image", ["app", "app:1.0", f"app:1@sha256:{'1' * 64}"])
def test_an_image_that_is_not_pinned_is_an_error(image: str, shelf: Shelf) -> None:
    """Whoever packages pins before."""
    with pytest.raises(UsageError):
        shelf.pack(pod("a", image))


def test_too_much_is_an_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no reader would take is not written."""
    monkeypatch.setattr(package, "MAX_PLAIN", 100)
    with pytest.raises(UsageError, match="100 are taken"):
        shelf.pack()


def changes(shelf: Shelf, made: Artifact) -> dict[str, Callable[[], str]]:
    """Return ways to change an artifact; each gives the digest of the changed one."""
    files = shelf.files(made.subject)
    plain, listed = files["all.yaml"], files["images.txt"]

    def layer(*entries: tuple[str, bytes]) -> str:
        made_of = [Entry(name, "file", 0o644, data) for name, data in entries]
        return shelf.refilled(made.subject, b"".join(tar_stream(made_of)))

    def raw(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> str:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, data in ((name, plain), ("images.txt", listed)):
                info = tarfile.TarInfo(path)
                info.size, info.type, info.linkname = len(data), tarfile.REGTYPE, ""
                if path == name and kind != tarfile.REGTYPE:
                    info.size, info.type, info.linkname = 0, kind, link
                archive.addfile(info, io.BytesIO(data if info.size else b""))
        return shelf.refilled(made.subject, buffer.getvalue())

    both = (("all.yaml", plain), ("images.txt", listed))
    whole = b"".join(tar_stream([Entry(name, "file", 0o644, data) for name, data in both]))
    (own,) = shelf.manifest(made.subject).layers
    fewer = listed.splitlines(keepends=True)[0]
    turned = b"".join(reversed(listed.splitlines(keepends=True)))
    return {
        "one more file": lambda: layer(*both, ("more.yaml", b"a: 1\n")),
        "one file less": lambda: layer(both[0]),
        "other names": lambda: layer(("a.yaml", plain), both[1]),
        "a path that leaves": lambda: raw("../all.yaml"),
        "an absolute path": lambda: raw("/all.yaml"),
        "a link": lambda: raw("all.yaml", tarfile.SYMTYPE, "/etc/passwd"),
        "a hard link": lambda: raw("all.yaml", tarfile.LNKTYPE, "images.txt"),
        "a device": lambda: raw("all.yaml", tarfile.CHRTYPE),
        "something behind the end": lambda: shelf.refilled(made.subject, whole + b"x" * 512),
        "cut off": lambda: shelf.refilled(made.subject, whole[:-600]),
        "no archive": lambda: shelf.refilled(made.subject, b"hello"),
        "empty": lambda: shelf.refilled(made.subject, b""),
        "two layers": lambda: shelf.changed(made.subject, layers=(own, own)),
        "no layer": lambda: shelf.changed(made.subject, layers=()),
        "another type of layer": lambda: shelf.changed(
            made.subject, layers=(msgspec.structs.replace(own, media_type="text/yaml"),)
        ),
        "another size": lambda: shelf.changed(
            made.subject, layers=(msgspec.structs.replace(own, size=own.size + 1),)
        ),
        "an image less in the list": lambda: layer(both[0], ("images.txt", fewer)),
        "a list in another order": lambda: layer(both[0], ("images.txt", turned)),
        "an image without digest": lambda: layer(both[0], ("images.txt", b"app\n")),
        "a list that is no text": lambda: layer(both[0], ("images.txt", b"\xff\n")),
        "other objects": lambda: layer(
            ("all.yaml", plain.replace(b"name: a", b"name: z")), both[1]
        ),
        "another checksum": lambda: shelf.marked(made.subject, checksum="sha256:" + "0" * 64),
        "no checksum": lambda: shelf.marked(made.subject, checksum=None),
        "no time": lambda: shelf.marked(made.subject, created=None),
        "an odd time": lambda: shelf.marked(made.subject, created="yesterday"),
        "a local time": lambda: shelf.marked(made.subject, created="2026-11-20T10:00:00"),
        "a long line": lambda: layer(both[0], ("images.txt", b"a" * 10_000_000 + b"\n")),
        "an odd number": lambda: shelf.marked(made.subject, objects="many"),
        "fewer objects": lambda: shelf.marked(made.subject, objects="1"),
    }


CHANGES = (
    "one more file", "one file less", "other names", "a path that leaves", "an absolute path", "a link",
    "a hard link", "a device", "something behind the end", "cut off", "no archive", "empty", "two layers",
    "no layer", "another type of layer", "another size", "an image less in the list",
    "a list in another order", "an image without digest", "a list that is no text", "other objects",
    "another checksum", "no checksum", "no time", "an odd time", "a local time", "a long line", "an odd number", "fewer objects",
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_an_artifact_that_is_not_what_it_says_is_refused(change: str, shelf: Shelf) -> None:
    """Whatever was changed, and whoever computed the digests anew."""
    made = shelf.pack()
    ways = changes(shelf, made)
    assert set(ways) == set(CHANGES)
    with pytest.raises(TrustError) as caught:
        shelf.read(ways[change]())
    assert caught.value.hint


def test_bytes_that_were_changed_in_place_are_refused(shelf: Shelf) -> None:
    """Of the manifest and of the layer."""
    made = shelf.pack()
    (layer,) = shelf.manifest(made.subject).layers
    for digest in (layer.digest, made.subject):
        path = shelf.layout.path(digest)
        path.write_bytes(path.read_bytes().replace(b"a", b"b", 1) + b" ")
        with pytest.raises(DigestMismatch):
            shelf.read(made.subject)


def test_what_unpacks_to_too_much_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small layer can hold gigabytes."""
    made = shelf.pack()
    monkeypatch.setattr(package, "MAX_LAYER", 1 << 16)
    bomb = shelf.refilled(made.subject, bytes(1 << 20))
    with pytest.raises(UsageError, match="unpacks to more than"):
        shelf.read(bomb)


def test_an_image_is_no_artifact(shelf: Shelf) -> None:
    """It is told apart by its type, and named."""
    made = shelf.pack()
    assert package.is_artifact(shelf.layout, made.subject)
    other = shelf.changed(made.subject, artifact_type="")
    assert not package.is_artifact(shelf.layout, other)
    with pytest.raises(UsageError, match="is an image and no artifact"):
        shelf.read(other)
    index = shelf.layout.put(b'{"schemaVersion":2,"manifests":[]}', MANIFEST)
    assert not package.is_artifact(shelf.layout, index.digest)
    with pytest.raises(UsageError, match="is an image and no artifact"):
        shelf.read(index.digest)


def test_what_is_not_there_is_an_error(shelf: Shelf) -> None:
    """By digest; and it is no artifact."""
    with pytest.raises(UsageError, match="is not there"):
        shelf.read("sha256:" + "0" * 64)
    assert not package.is_artifact(shelf.layout, "sha256:" + "0" * 64)


def test_an_encrypted_artifact_names_its_images_and_nothing_else(shelf: Shelf) -> None:
    """Whoever may not read it can still verify what it runs; the checksum is that of the plain YAML."""
    from pyrage import x25519

    key = x25519.Identity.generate()
    listed = (pod("a", ONE), secret())
    made = shelf.pack(*listed, recipients=(key.to_public(),))
    assert made.encrypted
    assert made.checksum == shelf.pack(*listed).checksum
    assert list(shelf.files(made.subject)) == ["all.yaml.age", "images.txt"]
    assert b"hunter2" not in shelf.files(made.subject)["all.yaml.age"]
    assert package.describe(shelf.layout, made.subject, name="config-dev") == made
    with pytest.raises(KeyRefused, match="is encrypted"):
        shelf.read(made.subject)
    _, found = package.read(shelf.layout, made.subject, identities=(key,))
    assert [one.id.label for one in found] == ["Secret/s", "Pod/a"]


def test_an_encryption_that_is_not_known_is_refused(shelf: Shelf) -> None:
    """It is named."""
    made = shelf.pack()
    with pytest.raises((UsageError, TrustError)):
        shelf.read(shelf.marked(made.subject, encrypted="rot13"))
