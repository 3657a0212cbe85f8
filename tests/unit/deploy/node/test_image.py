"""The image of a node: what is in it, and when it is made again."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockgate.base.cache import StageCache
from lockgate.base.errors import UsageError
from lockgate.build.layer import Entry
from lockgate.build.stack_lock import open_stack
from lockgate.deploy.node import configuration, image
from lockgate.deploy.node.model import DNS, PROGRAMS
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import Manifest
from lockgate.oci.unpack import read_config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.deploy.node.model import NodeImage

STACK = Path(__file__).parents[4] / "stacks" / "node"


class Kitchen:
    """A place for images, and programs to make one of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout.create(folder / "store")
        self.cache = StageCache(folder / "cache")
        self.bases = 0
        for name in (*PROGRAMS, DNS):
            (folder / name).write_bytes(f"program {name}".encode())

    def base(self) -> Iterable[Entry]:
        """Return a stack with one file, and count."""
        self.bases += 1
        return [Entry("usr/bin/catatonit", "file", 0o755, b"pause")]

    def recipe(self) -> image.Recipe:
        """Return what the image is made of."""
        return image.Recipe(
            platform="linux/amd64",
            locked=open_stack(STACK),
            base=self.base,
            programs={name: self.folder / name for name in (*PROGRAMS, DNS)},
            versions={"etcd": "v3.6.8"},
        )

    def make(self) -> NodeImage:
        """Return the image."""
        return image.make(self.recipe(), layout=self.layout, cache=self.cache)

    def files(self, manifest: str) -> dict[str, bytes]:
        """Return every file of an image."""
        found: dict[str, bytes] = {}
        for layer in Manifest.parse(self.layout.read(manifest)).layers:
            data = gzip.decompress(self.layout.path(layer.digest).read_bytes())
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    if (file := tar.extractfile(member)) is not None:
                        found[member.name] = file.read()
        return found


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    """An empty place."""
    return Kitchen(tmp_path)


def test_every_program_is_in_it(kitchen: Kitchen) -> None:
    """Each program lies where PATH finds it, beside the stack."""
    found = kitchen.files(kitchen.make().manifest)

    for name in PROGRAMS:
        assert found[f"usr/local/bin/{name}"] == f"program {name}".encode()
    assert found["usr/bin/catatonit"] == b"pause"


def test_what_starts_the_parts_needs_nothing_else(kitchen: Kitchen, tmp_path: Path) -> None:
    """The modules that are shipped can be imported with the standard library alone."""
    found = kitchen.files(kitchen.make().manifest)
    home = tmp_path / "home"
    for path, data in found.items():
        if path.startswith("usr/lib/lockgate/"):
            place = home / path.removeprefix("usr/lib/lockgate/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    code = (
        f"import sys; sys.path[:] = [{str(home)!r}, *[one for one in sys.path if 'site-packages' not in one]]\n"
        "import lockgate.deploy.node.inside.__main__ as main; print(main.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith(str(home)), done.stderr


def test_the_first_images_are_in_it(kitchen: Kitchen) -> None:
    """Pause and CoreDNS lie in it as one archive that containerd reads, under their references."""
    made = kitchen.make()

    packed = kitchen.files(made.manifest)[configuration.IMAGES.lstrip("/")]
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        listed = json.loads(file.read())
        names = set(tar.getnames())
    assert [one["RepoTags"] for one in listed] == [[made.pause], [made.dns]]
    assert all({one["Config"], *one["Layers"]} <= names for one in listed)


def test_it_does_not_say_that_it_is_root(kitchen: Kitchen) -> None:
    """Who starts a node says that it is root; the image's configuration does not."""
    _, config = read_config(kitchen.layout, kitchen.make().manifest)

    assert config.config.user == ""
    assert config.config.entrypoint == ("python3", "-m", "lockgate.deploy.node.inside")


def test_the_same_is_not_made_again(kitchen: Kitchen) -> None:
    """With the same programs and the same stack nothing is read but what tells them apart."""
    first = kitchen.make()

    assert kitchen.make() == first
    assert kitchen.bases == 1


def test_the_same_gives_the_same_bytes(kitchen: Kitchen, tmp_path: Path) -> None:
    """Another place, another time: the same digest."""
    other = tmp_path / "other"
    other.mkdir()

    assert Kitchen(other).make() == kitchen.make()


def test_another_program_makes_another_image(kitchen: Kitchen) -> None:
    """Only the changed program's layer is new; the stack's is kept, and what is not needed any more is removed."""
    first = kitchen.make()
    old = {one.digest for one in Manifest.parse(kitchen.layout.read(first.manifest)).layers}
    (kitchen.folder / "etcd").write_bytes(b"another etcd")

    second = kitchen.make()

    new = {one.digest for one in Manifest.parse(kitchen.layout.read(second.manifest)).layers}
    assert len(new - old) == 1
    assert kitchen.bases == 1
    assert not kitchen.layout.has(first.manifest)
    assert not any(kitchen.layout.has(one) for one in old - new)


def test_a_layer_that_is_gone_is_made_again(kitchen: Kitchen) -> None:
    """A store that lost a blob is no reason to start half a node."""
    first = kitchen.make()
    lost = Manifest.parse(kitchen.layout.read(first.manifest)).layers[0].digest
    kitchen.layout.path(lost).unlink()

    assert kitchen.make() == first
    assert kitchen.layout.has(lost)


def test_a_stack_without_pause_is_refused(kitchen: Kitchen) -> None:
    """The error names what the stack must have."""
    recipe = kitchen.recipe()._replace(base=lambda: [Entry("etc/x", "file", 0o644, b"")])

    with pytest.raises(UsageError, match="usr/bin/catatonit"):
        image.make(recipe, layout=kitchen.layout, cache=kitchen.cache)
