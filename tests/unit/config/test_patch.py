"""Patches: what a file may say, and that Secrets stay in memory. What kustomize does is tested with kustomize."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import UsageError
from lockgate.config import emit, patch, resource

if TYPE_CHECKING:
    from pathlib import Path

SECRET = resource.parse(
    b"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {key: aHVudGVyMg==}\n"
    b"stringData: {word: hunter2}\n---\n"
    b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {word: plain}\n",
    where="it",
)


class Annotating:
    """A kustomize that knows `commonAnnotations`, and remembers what it was given."""

    version = "kustomize v5"

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def build(self, folder: Path) -> bytes:
        """Add annotations to every object."""
        self.seen += [one.read_bytes() for one in folder.iterdir()]
        content = json.loads((folder / "kustomization.yaml").read_text())
        if "patches" in content and content["patches"] == [{"patch": "bad"}]:
            raise UsageError(f"{folder} cannot be rendered: no matches", hint="x")
        (name,) = content["resources"]
        made = []
        for one in resource.parse((folder / name).read_bytes(), where="all"):
            metadata: dict[str, Any] = dict(one.body["metadata"])
            old = metadata.get("annotations", {})
            metadata["annotations"] = old | content.get("commonAnnotations", {})
            made.append(resource.of({**one.body, "metadata": metadata}, "made"))
        return emit.emit(made)


def write(path: Path, text: str) -> patch.PatchFile:
    """Write a patch file and read it."""
    path.write_text(text)
    return patch.read(path)


def test_a_kustomization_gives_its_fields(tmp_path: Path) -> None:
    """Patches inline and by path, and fields that change objects; what it is called is left out."""
    (tmp_path / "p.yaml").write_text("- op: remove\n")
    found = write(
        tmp_path / "k.yaml",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: x}\n"
        "namespace: todo\npatches:\n- path: p.yaml\n  target: {kind: Pod}\n- patch: inline\n",
    )
    assert found.content == {
        "namespace": "todo",
        "patches": [{"target": {"kind": "Pod"}, "patch": "- op: remove\n"}, {"patch": "inline"}],
    }


def test_a_part_of_an_object_is_a_patch(tmp_path: Path) -> None:
    """A file with apiVersion, kind and name is merged into that object."""
    found = write(
        tmp_path / "k.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n",
    )
    (one,) = found.content["patches"]
    assert json.loads(one["patch"])["kind"] == "Deployment"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("namespace: todo\n", "holds no patches"),
        ("patches: []\n", "holds no patches"),
        ("patches: [{patch: a}]\nresources: [a.yaml]\n", "`resources` has no effect"),
        ("patches: 5\n", "`patches` is no list"),
        ("patches: text\n", "`patches` is no list"),
        ("patches: [{path: ../a.yaml}]\n", "lies outside of its folder"),
        ("patches: [{path: gone.yaml}]\n", "gone.yaml cannot be read"),
        ("a: 1\n---\nb: 1\n", "holds 2 documents"),
        ("", "holds 0 documents"),
        ("- a\n", "holds 1 documents"),
        ("apiVersion: v1\nkind: Pod\n", "Pod has no metadata"),
    ],
)
def test_what_is_no_patch_is_an_error(text: str, problem: str, tmp_path: Path) -> None:
    """A field without effect is not passed over."""
    with pytest.raises(UsageError) as caught:
        write(tmp_path / "k.yaml", text)
    assert problem in caught.value.message
    assert caught.value.hint


def test_values_of_secrets_reach_no_file(tmp_path: Path) -> None:
    """Kustomize sees marks in their place; afterwards the values are there again."""
    kustomize = Annotating()
    one = write(tmp_path / "k.yaml", "patches: [{patch: x}]\ncommonAnnotations: {a: b}\n")
    made = patch.apply(SECRET, [one], kustomize)
    written = b"".join(kustomize.seen)
    assert b"hunter2" not in written
    assert b"aHVudGVyMg" not in written
    assert b"plain" in written
    bodies = {each.id.kind: each.body for each in made}
    assert bodies["Secret"]["data"] == {"key": "aHVudGVyMg=="}
    assert bodies["Secret"]["stringData"] == {"word": "hunter2"}
    assert bodies["Secret"]["metadata"]["annotations"] == {"a": "b"}


def test_patches_are_applied_one_after_the_other(tmp_path: Path) -> None:
    """The later file wins."""
    files = [
        write(tmp_path / f"{n}.yaml", f"patches: [{{patch: x}}]\ncommonAnnotations: {{a: '{n}'}}\n")
        for n in (1, 2)
    ]
    made = patch.apply(SECRET, files, Annotating())
    assert {each.body["metadata"]["annotations"]["a"] for each in made} == {"2"}


def test_an_error_names_the_patch_file(tmp_path: Path) -> None:
    """And not the folder in which kustomize ran."""
    one = write(tmp_path / "k.yaml", "patches: [{patch: bad}]\n")
    with pytest.raises(UsageError) as caught:
        patch.apply(SECRET, [one], Annotating())
    assert caught.value.message == f"{tmp_path / 'k.yaml'} cannot be rendered: no matches"
