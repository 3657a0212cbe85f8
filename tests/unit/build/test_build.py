"""The build stage over miniature ingredients: what the image holds, what is made again, what is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lockgate.base.cache import StageCache
from lockgate.base.canonical import decode, encode
from lockgate.base.errors import MirrorError, UsageError
from lockgate.build.build import Ingredients, build
from lockgate.build.layer import Entry
from lockgate.build.model import GoSources, Image, Package, Source
from lockgate.build.plan import Plan, builder_id
from lockgate.build.tree import SourceFile, content_digest, source_files
from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, LAYER_GZIP, Index, Manifest

if TYPE_CHECKING:
    from pathlib import Path

OCI = "org.opencontainers.image."
PLATFORMS = ("linux/amd64", "linux/arm64")


def package(kind: str, name: str) -> Package:
    """A package."""
    return Package(
        kind=kind,
        name=name,
        version="1",
        architecture="",
        source="",
        licences=("MIT",),
        sha256="0" * 64,
        purl=f"pkg:{kind}/{name}@1",
    )


@dataclass
class Bench:
    """A component, a store, a cache, and ingredients that count how often they are asked for."""

    folder: Path
    asked: list[str] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)
    """Names of ingredients that cannot be had."""

    def __post_init__(self) -> None:
        self.app = self.folder / "app"
        self.app.mkdir(parents=True)
        (self.app / "main.py").write_text("print('hello')\n")
        (self.app / "run.sh").write_text("#!/bin/sh\n")
        (self.app / "run.sh").chmod(0o755)
        (self.app / "current").symlink_to("main.py")
        self.layout = Layout.create(self.folder / "store")
        self.cache = StageCache(self.folder / "cache")

    def plan(self, **changes: Any) -> Plan:
        """The plan for the files as they are now."""
        files = source_files(self.app, ())
        source = Source(
            repository="https://git.example/shop",
            revision="a" * 40,
            time=1_700_000_000,
            subpath="app",
            content=content_digest(self.app, files),
            changes=(),
        )
        plain: dict[str, Any] = {
            "component": "shop",
            "project": "shop",
            "source": msgspec.structs.replace(source, **changes.pop("source", {})),
            "path": str(self.app),
            "files": tuple(files),
            "stack": "python",
            "stack_lock": "sha256:" + "1" * 64,
            "stack_date": 1_600_000_000,
            "python": "3.13",
            "requirements": "sha256:" + "2" * 64,
            "platforms": PLATFORMS,
            "entrypoint": ("python3", "main.py"),
            "environment": {"MODE": "quiet"},
            "port": 8080,
        }
        return Plan(**{**plain, **changes})

    def base(self, platform: str) -> Ingredients:
        """The stack's files."""
        return self._ingredients("base", platform, package("deb", f"libc-{platform[6:]}"))

    def dependencies(self, platform: str) -> Ingredients:
        """The wheels' files."""
        return self._ingredients("dependencies", platform, package("pypi", "flask"))

    def program(self, platform: str, sources: GoSources, name: str) -> Ingredients:
        """A compiled program, which shares a module with every other one."""
        made = self._ingredients(name, platform, package("gobinary", "shared"))
        entry = Entry(f"usr/local/bin/{name}", "file", 0o755, sources.content.encode())
        return made._replace(entries=[entry])

    def _ingredients(self, name: str, platform: str, held: Package) -> Ingredients:
        self.asked.append(f"{name} {platform}")
        if name in self.fails:
            raise MirrorError("away", hint="later", retryable=True)
        return Ingredients([Entry(f"{name}/{platform}", "file", 0o644, b"x")], lambda: (held,))

    def build(self, plan: Plan | None = None) -> Image:
        """Build, and forget what was asked for before."""
        self.asked.clear()
        return build(
            plan or self.plan(),
            layout=self.layout,
            cache=self.cache,
            sources=self,
        )

    def manifests(self, image: Image) -> list[Manifest]:
        """The manifests of the platforms."""
        return [Manifest.parse(self.layout.read(one.manifest)) for one in image.platforms]

    def config(self, image: Image, number: int = 0) -> dict[str, Any]:
        """The configuration of a platform."""
        found: dict[str, Any] = json.loads(self.layout.read(image.platforms[number].config))
        return found

    def files(self, digest: str) -> dict[str, tarfile.TarInfo]:
        """Members of a layer by name."""
        data = gzip.decompress(self.layout.read(digest))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {one.name: one for one in tar.getmembers()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench."""
    return Bench(tmp_path / "bench")


def test_the_image_is_an_index_of_the_platforms(bench: Bench) -> None:
    """One index, a manifest a platform in the order of the settings, every blob whole."""
    image = bench.build()
    listed = bench.layout.verify_image(image.subject)
    assert [str(one.platform) for one in listed] == list(PLATFORMS)
    assert [one.digest for one in listed] == [one.manifest for one in image.platforms]
    for manifest, record in zip(bench.manifests(image), image.platforms, strict=True):
        assert manifest.config.media_type == CONFIG
        assert manifest.config.digest == record.config
        assert [one.digest for one in manifest.layers] == list(record.layers)
        assert {one.media_type for one in manifest.layers} == {LAYER_GZIP}


def test_the_configuration_says_how_to_run(bench: Bench) -> None:
    """User, entrypoint, folder, port and environment; not root, secrets nowhere."""
    for number, architecture in enumerate(("amd64", "arm64")):
        found = bench.config(bench.build(), number)
        assert (found["os"], found["architecture"]) == ("linux", architecture)
        assert found["created"] == "2023-11-14T22:13:20Z"
        settings = found["config"]
        assert settings["User"] == "65532:65532"
        assert settings["Entrypoint"] == ["python3", "main.py"]
        assert settings["WorkingDir"] == "/app"
        assert settings["ExposedPorts"] == {"8080/tcp": {}}
        assert {"MODE=quiet", "PORT=8080", "PYTHONUNBUFFERED=1"} <= set(settings["Env"])
        assert settings["Env"] == sorted(settings["Env"])


def test_the_components_environment_wins(bench: Bench) -> None:
    """What the settings say replaces what Lockgate would say, once."""
    found = bench.config(bench.build(bench.plan(environment={"LANG": "de_DE.UTF-8", "PORT": "1"})))
    variables = dict(one.split("=", 1) for one in found["config"]["Env"])
    assert (variables["LANG"], variables["PORT"]) == ("de_DE.UTF-8", "1")
    assert len(variables) == len(found["config"]["Env"])


def test_diff_ids_are_those_of_the_layers(bench: Bench) -> None:
    """Each diff_id is the digest of the uncompressed layer in its place."""
    image = bench.build()
    for number, manifest in enumerate(bench.manifests(image)):
        plain = [
            Digest.of(gzip.decompress(bench.layout.read(one.digest))) for one in manifest.layers
        ]
        found = bench.config(image, number)
        assert found["rootfs"] == {"type": "layers", "diff_ids": plain}
        assert len(found["history"]) == len(plain)


def test_labels_and_annotations_name_source_and_base(bench: Bench) -> None:
    """The same words on index, manifest and configuration; the base digest is that of the stack's image."""
    image = bench.build()
    index = Index.parse(bench.layout.read(image.subject))
    assert index.annotations == {
        OCI + "title": "shop",
        OCI + "created": "2023-11-14T22:13:20Z",
        OCI + "source": "https://git.example/shop",
        OCI + "revision": "a" * 40,
        OCI + "base.name": "stack-python",
        OCI + "base.digest": bench.layout.resolve("stack-python").digest,
    }
    stacks = bench.layout.manifests(bench.layout.resolve("stack-python").digest)
    for number, manifest in enumerate(bench.manifests(image)):
        assert bench.config(image, number)["config"]["Labels"] == manifest.annotations
        assert manifest.annotations[OCI + "base.digest"] == stacks[number].digest
        base = Manifest.parse(bench.layout.read(stacks[number].digest))
        assert base.layers == manifest.layers[:1]


@pytest.mark.parametrize(
    ("source", "revision"),
    [
        ({"changes": ("app/main.py",)}, "a" * 40 + "-dirty"),
        ({"revision": "", "time": 0}, None),
    ],
)
def test_an_image_of_no_commit_says_so(
    bench: Bench, source: dict[str, Any], revision: str | None
) -> None:
    """Uncommitted changes mark the revision; without a commit there is none."""
    image = bench.build(bench.plan(source=source))
    index = Index.parse(bench.layout.read(image.subject))
    assert index.annotations.get(OCI + "revision") == revision


def test_names_lead_to_the_image_its_platforms_and_its_base(bench: Bench) -> None:
    """The component, each platform of it, and the stack can be found by name."""
    image = bench.build()
    tags = {name: one.digest for name, one in bench.layout.tags().items()}
    assert tags.pop("stack-python") not in (image.subject, "")
    assert tags == {
        "shop": image.subject,
        "shop-linux-amd64": image.platforms[0].manifest,
        "shop-linux-arm64": image.platforms[1].manifest,
    }


def test_the_app_lies_under_app(bench: Bench) -> None:
    """Files, executable files and links with modes of their own, and nothing else."""
    (bench.app / "main.py").chmod(0o600)
    files = bench.files(bench.build().platforms[0].layers[2])
    assert {name: one.mode for name, one in files.items()} == {
        "app": 0o755,
        "app/main.py": 0o644,
        "app/run.sh": 0o755,
        "app/current": 0o777,
    }
    assert (files["app/current"].issym(), files["app/current"].linkname) == (True, "main.py")


def test_platforms_share_the_app_and_nothing_else(bench: Bench) -> None:
    """Sources are the same everywhere; base and wheels are of the platform."""
    one, two = bench.build().platforms
    assert one.layers[2] == two.layers[2]
    assert {one.layers[0], one.layers[1]}.isdisjoint(two.layers)


def test_the_record_holds_what_was_built(bench: Bench) -> None:
    """Packages a platform, source, inputs, builder; and it survives being written."""
    plan = bench.plan()
    image = bench.build(plan)
    assert [one.name for one in image.platforms[1].packages] == ["libc-arm64", "flask"]
    assert (image.source, image.inputs, image.builder) == (plan.source, plan.inputs, builder_id())
    assert (image.component, image.stack, image.relocked) == ("shop", "python", ())
    assert decode(encode(image), Image) == image


def test_the_same_plan_makes_nothing_again(bench: Bench) -> None:
    """Built twice: one answer, no ingredient asked for, no blob added."""
    first = bench.build()
    assert sorted(bench.asked) == sorted(
        f"{name} {one}" for name in ("base", "dependencies") for one in PLATFORMS
    )
    blobs = set(os.listdir(bench.layout.root / "blobs/sha256"))
    assert bench.build() == first
    assert bench.asked == []
    assert set(os.listdir(bench.layout.root / "blobs/sha256")) == blobs


def test_a_change_of_the_app_writes_one_layer(bench: Bench) -> None:
    """Base and dependencies are neither asked for nor written; only the last layer is another."""
    before = bench.build()
    (bench.app / "main.py").write_text("print('again')\n")
    after = bench.build()
    assert bench.asked == []
    assert after.subject != before.subject
    for old, new in zip(before.platforms, after.platforms, strict=True):
        assert new.layers[:2] == old.layers[:2]
        assert new.layers[2] != old.layers[2]
    assert after.platforms[0].packages == before.platforms[0].packages


def test_another_commit_with_the_same_files_keeps_every_layer(bench: Bench) -> None:
    """Revision and time are in configuration and manifest only."""
    before = bench.build()
    after = bench.build(bench.plan(source={"revision": "b" * 40, "time": 1_700_000_001}))
    assert bench.asked == []
    for old, new in zip(before.platforms, after.platforms, strict=True):
        assert new.layers == old.layers
        assert new.config != old.config
        assert new.manifest != old.manifest
    assert bench.layout.resolve("shop").digest == after.subject != before.subject


def test_the_stacks_image_does_not_depend_on_the_app(bench: Bench) -> None:
    """Its digest moves with the stack alone, so that it can be looked up as the base."""
    bench.build()
    before = bench.layout.resolve("stack-python").digest
    (bench.app / "main.py").write_text("other\n")
    bench.build(bench.plan(source={"revision": "c" * 40, "time": 5}, entrypoint=("x",), port=1))
    assert bench.layout.resolve("stack-python").digest == before


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"requirements": "sha256:" + "9" * 64}, {"dependencies"}),
        ({"python": "3.14"}, {"dependencies"}),
        ({"stack_lock": "sha256:" + "9" * 64}, {"base", "dependencies"}),
        ({"entrypoint": ("x",)}, set()),
        ({"environment": {}}, set()),
        ({"port": 81}, set()),
    ],
)
def test_each_input_makes_its_layers_again(
    bench: Bench, change: dict[str, Any], asked: set[str]
) -> None:
    """A lock moves the layers made of it; settings of the configuration move none."""
    before = bench.build()
    after = bench.build(bench.plan(**change))
    assert {one.split()[0] for one in bench.asked} == asked
    if not asked:
        assert after.subject != before.subject


@pytest.mark.parametrize(
    "change",
    [
        {"component": "web"},
        {"project": "other"},
        {"source": {"revision": "b" * 40}},
        {"source": {"time": 1}},
        {"source": {"content": "sha256:" + "0" * 64}},
        {"source": {"changes": ("x",)}},
        {"source": {"repository": "https://git.example/other"}},
        {"source": {"subpath": "b"}},
        {"stack": "python-old"},
        {"stack_lock": "sha256:" + "9" * 64},
        {"requirements": "sha256:" + "9" * 64},
        {"platforms": PLATFORMS[:1]},
        {"entrypoint": ("x",)},
        {"environment": {"A": "b"}},
        {"port": 1},
    ],
)
def test_every_part_of_a_plan_is_an_input(bench: Bench, change: dict[str, Any]) -> None:
    """Whatever changes the image changes the inputs, so no cached image stands for another."""
    assert bench.plan(**change).inputs != bench.plan().inputs


def test_where_the_files_lie_is_no_input(bench: Bench) -> None:
    """The same sources in another folder are the same image."""
    assert bench.plan(path="/elsewhere").inputs == bench.plan().inputs


def test_a_lost_blob_is_made_again(bench: Bench) -> None:
    """A layer that is gone from the store is made, whatever the cache says, with the same digest."""
    image = bench.build()
    bench.layout.path(image.platforms[0].layers[0]).unlink()
    assert bench.build() == image
    assert bench.asked == ["base linux/amd64"]
    bench.layout.verify_image(image.subject)


@pytest.mark.parametrize("platforms", [("linux/arm64",), ("linux/arm64", "linux/amd64")])
def test_platforms_are_those_of_the_plan(bench: Bench, platforms: tuple[str, ...]) -> None:
    """One is enough, and their order is that of the plan."""
    image = bench.build(bench.plan(platforms=platforms))
    assert tuple(one.platform for one in image.platforms) == platforms


@pytest.mark.parametrize("change", ["edit", "grow", "shrink", "executable", "remove", "link"])
def test_files_that_change_while_they_are_read_are_refused(bench: Bench, change: str) -> None:
    """The digest in the record is that of the bytes in the layer, or there is no image."""
    plan = bench.plan()
    path = bench.app / "main.py"
    text = path.read_text()
    if change == "edit":
        path.write_text(text.upper())
    elif change == "grow":
        path.write_text(text + "more")
    elif change == "shrink":
        path.write_text("")
    elif change == "executable":
        path.chmod(0o755)
    else:
        path.unlink()
        if change == "link":
            path.symlink_to("run.sh")
    with pytest.raises(UsageError) as caught:
        bench.build(plan)
    assert caught.value.hint
    assert bench.layout.tags() == {}
    assert os.listdir(bench.layout.root / "blobs/sha256") == []


def test_a_file_that_changes_between_its_pieces_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size stays, its bytes do not: still no image."""
    plan = bench.plan()
    real = SourceFile.pieces

    def pieces(self: Any) -> Any:
        for piece in real(self):
            yield piece.replace(b"hello", b"hullo")

    monkeypatch.setattr(SourceFile, "pieces", pieces)
    with pytest.raises(UsageError, match="files in app changed while they were read"):
        bench.build(plan)


@pytest.mark.parametrize("name", ["base", "dependencies"])
def test_a_failed_ingredient_moves_no_name(bench: Bench, name: str) -> None:
    """The error passes as it is, the old image stays, and the next run takes up what was finished."""
    before = bench.build()
    bench.fails = {name}
    changed = bench.plan(stack_lock="sha256:" + "9" * 64)
    with pytest.raises(MirrorError, match="away") as caught:
        bench.build(changed)
    assert caught.value.retryable
    assert bench.layout.resolve("shop").digest == before.subject
    bench.fails = set()
    bench.build(changed)
    assert "base linux/amd64" not in bench.asked or name == "base"


VARIATION = """
import os, sys
sys.path[:0] = os.environ["IMPORTS"].split(":")
os.umask(int(sys.argv[2], 8))
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location("bench_module", os.environ["BENCH"])
made = importlib.util.module_from_spec(spec)
sys.modules["bench_module"] = made
spec.loader.exec_module(made)
bench = made.Bench(pathlib.Path(sys.argv[1]))
if sys.argv[3] == "late":
    for path in sorted(bench.app.iterdir(), reverse=True):
        if not path.is_symlink():
            text, mode = path.read_bytes(), path.stat().st_mode
            path.unlink(); path.write_bytes(text); path.chmod(mode)
            os.utime(path, (1, 1))
print(bench.build().subject)
"""


@pytest.mark.parametrize(
    ("umask", "order", "variables"),
    [
        ("077", "late", {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1", "LC_ALL": "C"}),
        ("000", "same", {"TZ": "America/St_Johns", "PYTHONHASHSEED": "2", "LANG": "tr_TR.UTF-8"}),
    ],
)
def test_the_surroundings_do_not_count(
    bench: Bench, tmp_path: Path, umask: str, order: str, variables: dict[str, str]
) -> None:
    """Another process, folder, umask, time zone, locale, file order and hash seed: the same digest."""
    place = tmp_path / "another place"
    place.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "IMPORTS": ":".join(sys.path),
        "BENCH": __file__,
        "SOURCE_DATE_EPOCH": "5",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(VARIATION), "bench", umask, order],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == bench.build().subject


def test_a_store_from_scratch_gives_the_same_image(bench: Bench, tmp_path: Path) -> None:
    """No cache, no store, another folder: the same record."""
    other = Bench(tmp_path / "other")
    assert other.build() == bench.build()
    shutil.rmtree(other.folder)
    assert Bench(tmp_path / "other").build() == bench.build()
