"""An overlay is local, whole, and can be read in one way only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import UsageError
from lockgate.config import overlay

if TYPE_CHECKING:
    from pathlib import Path

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


def write(folder: Path, **files: str) -> Path:
    """Write files; `__` stands for `/`, and `_` before an ending for its dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An overlay `dev` over `base`, with a component, a patch and generators."""
    return write(
        tmp_path,
        base__kustomization_yaml="resources: [pod.yaml]\n",
        base__pod_yaml=POD,
        extra__kustomization_yaml="kind: Component\nresources: [more.yaml]\n",
        extra__more_yaml=POD.replace("name: a", "name: b"),
        dev__kustomization_yaml=(
            "resources: [../base]\ncomponents: [../extra]\n"
            "patches: [{path: patch.yaml}, {patch: '- op: test', target: {kind: Pod}}]\n"
            "configMapGenerator: [{name: c, files: [key=conf/a.ini, b.txt], envs: [c.env]}]\n"
        ),
        dev__patch_yaml=POD,
        dev__conf__a="",
    )


@pytest.fixture
def dev(home: Path) -> Path:
    """The folder of the overlay, with the files of its generator."""
    (home / "dev" / "conf" / "a").rename(home / "dev" / "conf" / "a.ini")
    (home / "dev" / "b.txt").write_text("b")
    (home / "dev" / "c.env").write_text("C=1\n")
    return home / "dev"


def test_every_file_is_found(dev: Path, home: Path) -> None:
    """Bases, components, patches and what generators read: everything that the artifact depends on."""
    found = overlay.look(dev)
    names = {str(one.resolve().relative_to(home)) for one in found.files}
    assert names == {
        "base/kustomization.yaml",
        "base/pod.yaml",
        "extra/kustomization.yaml",
        "extra/more.yaml",
        "dev/kustomization.yaml",
        "dev/patch.yaml",
        "dev/conf/a.ini",
        "dev/b.txt",
        "dev/c.env",
    }
    assert {one.name for one in found.objects} == {"pod.yaml", "more.yaml"}
    overlay.check(found)


@pytest.mark.parametrize(
    "entry",
    [
        "https://example.org/all.yaml",
        "github.com/stefanprodan/podinfo/kustomize",
        "git@github.com:team/repo",
        "ssh://git@example.org/repo//base?ref=v1",
        "example.org/repo//base?ref=v1.0.0",
        "git::https://example.org/repo",
    ],
)
def test_a_remote_base_is_refused_by_name(entry: str, tmp_path: Path) -> None:
    """What is fetched can change from one build to the next."""
    write(tmp_path, kustomization_yaml=f"resources:\n- {entry}\n")
    with pytest.raises(UsageError) as caught:
        overlay.look(tmp_path)
    assert f"names the remote base {entry}" in caught.value.message
    assert "copy it into the repository" in caught.value.hint


def test_a_remote_patch_is_refused(tmp_path: Path) -> None:
    """A path of a patch may not lead into the network either."""
    write(tmp_path, kustomization_yaml="patches: [{path: 'https://example.org/p.yaml'}]\n")
    with pytest.raises(UsageError, match=r"remote base https://example\.org/p\.yaml"):
        overlay.look(tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is an error before kustomize runs."""
    write(tmp_path, kustomization_yaml="resources: [pod.yaml]\n")
    with pytest.raises(UsageError, match=r"names pod\.yaml, which is not there"):
        overlay.look(tmp_path)


@pytest.mark.parametrize("field", ["helmCharts", "helmChartInflationGenerator"])
def test_charts_are_refused(field: str, tmp_path: Path) -> None:
    """A chart comes from elsewhere."""
    write(tmp_path, kustomization_yaml=f"{field}: [{{name: a}}]\n")
    with pytest.raises(UsageError, match="gets a chart from elsewhere"):
        overlay.look(tmp_path)


def test_a_folder_without_a_kustomization_is_an_error(tmp_path: Path) -> None:
    """The hint names the way for plain manifests."""
    with pytest.raises(UsageError, match=r"has no kustomization\.yaml") as caught:
        overlay.look(tmp_path)
    assert "`-f`" in caught.value.hint


def test_two_kustomizations_in_one_folder_are_an_error(tmp_path: Path) -> None:
    """Kustomize would not say which one counts."""
    write(tmp_path, kustomization_yaml="resources: []\n", Kustomization="resources: []\n")
    with pytest.raises(UsageError, match=r"kustomization\.yaml and Kustomization"):
        overlay.look(tmp_path)


def test_a_base_that_leads_to_itself_ends(tmp_path: Path) -> None:
    """A circle is looked at once; kustomize then says that it is one."""
    write(tmp_path, a__kustomization_yaml="resources: [../b]\n")
    write(tmp_path, b__kustomization_yaml="resources: [../a]\n")
    assert len(overlay.look(tmp_path / "a").files) == 2


def test_a_file_that_kustomize_would_read_differently_is_refused(tmp_path: Path) -> None:
    """Kustomize makes the text "on" of what kubectl takes for true; file and line are named."""
    write(
        tmp_path,
        kustomization_yaml="resources: [a.yaml]\n",
        a_yaml="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nimmutable: on\n",
    )
    with pytest.raises(UsageError, match=r"a\.yaml, line 4: `on` is a boolean to some"):
        overlay.check(overlay.look(tmp_path))


@pytest.mark.parametrize("text", ["", "- a\n", "a: 1\n---\nb: 1\n"])
def test_what_is_no_kustomization_is_an_error(text: str, tmp_path: Path) -> None:
    """Empty, a list, or several documents."""
    write(tmp_path, kustomization_yaml=text)
    with pytest.raises(UsageError, match="is no kustomization"):
        overlay.look(tmp_path)


@pytest.mark.parametrize("field", ["patches", "replacements", "configMapGenerator", "resources"])
@pytest.mark.parametrize("value", ["5", "text", "{a: b}"])
def test_a_field_of_another_form_is_left_to_kustomize(
    field: str, value: str, tmp_path: Path
) -> None:
    """It says what is wrong with it."""
    (tmp_path / "kustomization.yaml").write_text(f"{field}: {value}\n")
    assert overlay.look(tmp_path).files == (tmp_path / "kustomization.yaml",)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    """It could not be read."""
    (tmp_path / "files").mkdir()
    text = "configMapGenerator:\n- {name: a, files: [files]}\n"
    (tmp_path / "kustomization.yaml").write_text(text)
    with pytest.raises(UsageError, match="names files, which is a folder"):
        overlay.look(tmp_path)


def test_what_a_plugin_reads_is_found(tmp_path: Path) -> None:
    """A change of it would neither be noticed nor be said to be uncommitted else."""
    kind = "apiVersion: builtin\nmetadata: {name: x}\nkind: "
    inline = "".join(
        f"  {line}\n" for line in f"{kind}PatchTransformer\npath: in.yaml".splitlines()
    )
    write(
        tmp_path,
        kustomization_yaml=f"transformers:\n- p/t.yaml\n- p/s.yaml\n- |\n{inline}generators: [p/g.yaml]\n",
        p__t_yaml=f"{kind}ReplacementTransformer\nreplacements: [{{path: r.yaml}}]\n",
        p__s_yaml=f"{kind}PatchStrategicMergeTransformer\npaths: [s.yaml, '{{a: b}}\n\n']\n",
        p__g_yaml=f"{kind}SecretGenerator\nfiles: [key=g.txt]\nenvs: [g.env]\n",
        in_yaml="",
        r_yaml="",
        s_yaml="",
    )
    (tmp_path / "g.txt").touch()
    with pytest.raises(UsageError, match=r"names g\.env, which is not there"):
        overlay.look(tmp_path)
    (tmp_path / "g.env").touch()
    names = {one.relative_to(tmp_path).as_posix() for one in overlay.look(tmp_path).files}
    plugins = {"p/t.yaml", "p/s.yaml", "p/g.yaml"}
    assert names == {
        "kustomization.yaml",
        "in.yaml",
        "r.yaml",
        "s.yaml",
        "g.txt",
        "g.env",
        *plugins,
    }
