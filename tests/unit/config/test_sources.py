"""Manifests from files, folders and standard input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lockgate.base.errors import ToolError, UsageError
from lockgate.config import sources


def one(name: str, kind: str = "ConfigMap") -> str:
    """Return a manifest."""
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"


SEALED = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: ENC}\nsops: {mac: x}\n"


def opener(data: bytes, *, where: str) -> bytes:
    """Open what the test has sealed."""
    if b"sops" not in data:
        raise ToolError(f"{where} is not sealed", hint="x")
    return data.split(b"sops")[0].replace(b"ENC", b"b3Blbg==")


def collect(*paths: object, stdin: str = "") -> sources.Located:
    """Gather and collect, with the opener above."""
    files = sources.gather([str(each) for each in paths], stdin=stdin.encode())
    return sources.collect(files, open_sealed=opener)


def labels(found: sources.Located) -> list[str]:
    """Return the names that were found, in order."""
    return [each.id.name for _, each in found.found]


def test_a_folder_is_read_whole_in_the_order_of_its_paths(tmp_path: Path) -> None:
    """Subfolders too; `.yaml`, `.yml` and `.json` count, other files do not."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.yml").write_text(one("b"))
    (tmp_path / "a.yaml").write_text(one("a"))
    (tmp_path / "sub" / "c.json").write_text(
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}'
    )
    (tmp_path / "notes.txt").write_text("no manifest")
    assert labels(collect(tmp_path)) == ["a", "b", "c"]


def test_files_come_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    """Standard input among them."""
    (tmp_path / "a.yaml").write_text(one("a"))
    found = collect("-", tmp_path / "a.yaml", stdin=one("s"))
    assert labels(found) == ["s", "a"]
    assert found.found[0][0] == "standard input, line 1"


def test_files_of_kustomize_in_a_folder_are_left_out_and_said(tmp_path: Path) -> None:
    """By name, and by what they say they are."""
    (tmp_path / "a.yaml").write_text(one("a"))
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "more.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
    )
    (tmp_path / "off.yaml").write_text("# nothing here\n")
    found = collect(tmp_path)
    assert labels(found) == ["a"]
    assert [Path(each).name for each in found.skipped] == [
        "kustomization.yaml",
        "more.yaml",
        "off.yaml",
    ]


def test_a_file_of_kustomize_that_is_named_is_an_error(tmp_path: Path) -> None:
    """The hint says what renders it."""
    path = tmp_path / "more.yaml"
    path.write_text("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
    with pytest.raises(UsageError) as caught:
        collect(path)
    assert "`-k`" in caught.value.hint


@pytest.mark.parametrize("name", ["empty.txt", "a.yaml"])
def test_a_path_without_an_object_is_an_error(name: str, tmp_path: Path) -> None:
    """A wrong ending or only comments: nothing is no success."""
    (tmp_path / name).write_text("# nothing\n")
    with pytest.raises(UsageError, match="holds no object"):
        collect(tmp_path)


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(UsageError, match="gone is not there"):
        collect(tmp_path / "gone")


def test_an_object_in_two_files_is_an_error_with_both_places(tmp_path: Path) -> None:
    """Across files and folders."""
    (tmp_path / "a.yaml").write_text(one("a"))
    (tmp_path / "b.yaml").write_text(one("x") + "---\n" + one("a"))
    with pytest.raises(UsageError) as caught:
        collect(tmp_path)
    assert f"{tmp_path}/a.yaml, line 1, and {tmp_path}/b.yaml, line 4" in caught.value.message


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(UsageError, match="is no file"):
        collect(tmp_path)


def test_what_sops_has_encrypted_is_opened(tmp_path: Path) -> None:
    """The object is in plain, and its place says where it came from."""
    (tmp_path / "s.yaml").write_text(SEALED)
    ((place, found),) = collect(tmp_path).found
    assert found.body["data"] == {"a": "b3Blbg=="}
    assert "sops" not in found.body
    assert place.startswith(f"{tmp_path}/s.yaml (decrypted)")


def test_a_manifest_that_only_speaks_of_sops_is_not_opened(tmp_path: Path) -> None:
    """Only a document with its seal is."""
    (tmp_path / "s.yaml").write_text(one("sops-settings"))
    assert labels(collect(tmp_path)) == ["sops-settings"]


def test_what_kustomize_wrote_is_opened_piece_by_piece() -> None:
    """A sealed object among others is opened alone, in the bytes in which it was written."""
    data = (one("a") + "---\n" + SEALED).encode()
    found = sources.opened(data, "dev", opener)
    assert [each.id.name for _, each in found] == ["a", "s"]
    assert found[1][1].body["data"] == {"a": "b3Blbg=="}
