"""Images without Python: programs as layers of their own, or a stack and a few files."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.build.test_build import PLATFORMS, Bench

from lockgate.build.model import GoSources

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.plan import Plan

NODE = GoSources(
    module="tools/node",
    programs={"second": "example.org/second", "first": "example.org/first"},
    mod="sha256:" + "3" * 64,
    sums="sha256:" + "4" * 64,
    content="sha256:" + "5" * 64,
)
STORE = GoSources(
    module="tools/store",
    programs={"store": "."},
    mod="sha256:" + "6" * 64,
    sums="",
    content="sha256:" + "7" * 64,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A component, a store, a cache."""
    return Bench(tmp_path / "bench")


def go_plan(bench: Bench, **changes: Any) -> Plan:
    """The plan of an image with three programs of two modules, and files."""
    plain: dict[str, Any] = {
        "kind": "gomodule",
        "go": (NODE, STORE),
        "compiler": "go1.27.3",
        "requirements": "",
        "python": "",
    }
    return bench.plan(**{**plain, **changes})


def stack_plan(bench: Bench, **changes: Any) -> Plan:
    """The plan of an image that is a stack and files."""
    plain: dict[str, Any] = {"kind": "stack", "requirements": "", "python": ""}
    return bench.plan(**{**plain, **changes})


def names(bench: Bench, digest: str) -> list[str]:
    """The paths in a layer."""
    data = gzip.decompress(bench.layout.read(digest))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def test_each_program_is_a_layer(bench: Bench) -> None:
    """The stack, the modules in the order of the settings with their programs sorted, the files."""
    image = bench.build(go_plan(bench))
    paths = [names(bench, one)[-1] for one in image.platforms[0].layers]

    assert paths == [
        "base/linux/amd64",
        "usr/local/bin/first",
        "usr/local/bin/second",
        "usr/local/bin/store",
        "app/run.sh",
    ]
    steps = [one["created_by"] for one in bench.config(image)["history"]]
    assert steps[1] == "program: example.org/first, compiled by go1.27.3"
    assert len(steps) == len(paths)


def test_what_programs_share_is_listed_once(bench: Bench) -> None:
    """Three programs hold the same module: one package."""
    image = bench.build(go_plan(bench))

    assert [one.kind for one in image.platforms[0].packages] == ["deb", "gobinary"]
    assert (image.go, image.compiler, image.requirements) == ((NODE, STORE), "go1.27.3", "")


def test_a_change_of_one_module_makes_its_layers_again(bench: Bench) -> None:
    """The other module's programs are kept; so is everything when only the files change."""
    import msgspec

    bench.build(go_plan(bench))
    changed = msgspec.structs.replace(STORE, content="sha256:" + "8" * 64)
    bench.build(go_plan(bench, go=(NODE, changed)))
    assert sorted(bench.asked) == [f"store {one}" for one in PLATFORMS]

    (bench.app / "main.py").write_text("print('else')\n")
    bench.build(go_plan(bench, go=(NODE, changed)))
    assert bench.asked == []


def test_another_compiler_makes_every_program_again(bench: Bench) -> None:
    """It makes other bytes."""
    bench.build(go_plan(bench))
    bench.build(go_plan(bench, compiler="go1.27.4"))

    assert len(bench.asked) == 6


@pytest.mark.parametrize(
    "change",
    [
        {"go": (NODE,)},
        {"go": (STORE, NODE)},
        {"compiler": "go1.27.4"},
        {"kind": "stack"},
        {"place": "/"},
    ],
)
def test_every_part_is_an_input(bench: Bench, change: dict[str, Any]) -> None:
    """A plan that differs is not the plan that was built."""
    assert go_plan(bench, **change).inputs != go_plan(bench).inputs


def test_no_word_of_python(bench: Bench) -> None:
    """Neither a dependency layer nor variables of Python are in an image without it."""
    image = bench.build(stack_plan(bench))
    settings = bench.config(image)["config"]

    assert len(image.platforms[0].layers) == 2
    assert not [one for one in settings["Env"] if one.startswith("PYTHON")]
    assert "DEPS" not in image.inputs
    assert "DEPS" in bench.plan().inputs


def test_files_can_lie_over_the_stack(bench: Bench) -> None:
    """With `place: /` they keep their paths, and `bin` stays the link that it is in the stack."""
    (bench.app / "etc").mkdir()
    (bench.app / "etc" / "tool.conf").write_text("x")
    (bench.app / "bin").mkdir()
    (bench.app / "bin" / "tool").write_text("x")
    image = bench.build(stack_plan(bench, place="/"))

    listed = names(bench, image.platforms[0].layers[-1])
    assert {"etc/tool.conf", "usr/bin/tool", "main.py"} <= set(listed)
    assert "bin" not in listed
    assert bench.config(image)["config"]["WorkingDir"] == "/"


def test_files_can_lie_elsewhere(bench: Bench) -> None:
    """The folder is the working directory, too."""
    image = bench.build(stack_plan(bench, place="/srv/tool"))

    assert "srv/tool/main.py" in names(bench, image.platforms[0].layers[-1])
    assert bench.config(image)["config"]["WorkingDir"] == "/srv/tool"


def test_a_component_may_have_no_files(bench: Bench) -> None:
    """Then there is no layer for them; what is compiled is not copied, too."""
    image = bench.build(go_plan(bench, files=()))

    assert len(image.platforms[0].layers) == 4
    assert bench.config(image)["config"]["WorkingDir"] == "/"
    assert len(bench.build(stack_plan(bench, files=())).platforms[0].layers) == 1
