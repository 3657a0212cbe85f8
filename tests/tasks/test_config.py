"""`inv config.*`: what a person names, what is made of it, what is said, and which exit code follows."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from lockgate import __version__
from lockgate.config import resource
from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tasks.conftest import Mini

KUSTOMIZE = """\
#!{python} -I
import pathlib, re, sys
if "version" in sys.argv:
    sys.exit(print("v5.8.1"))
folder = pathlib.Path(sys.argv[-1])
for name in re.findall('"([a-z]+.yaml)"', (folder / "kustomization.yaml").read_text()):
    print("---")
    print((folder / name).read_text())
"""
"""A kustomize that knows the files that are named in quotes."""

OTHER = "redis@sha256:" + "7" * 64


def pod(name: str, image: str, kind: str = "Pod") -> str:
    """Return a manifest."""
    return (
        f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
        f'spec: {{containers: [{{name: a, image: "{image}"}}]}}\n'
    )


def secret(value: str) -> str:
    """Return the manifest of a Secret."""
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {value}}}\n"


@pytest.fixture
def mini(built_mini: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mini:
    """Where everything was built and signed for dev, with a registry, an overlay and a small kustomize."""
    folder = tmp_path / "kustomize"
    folder.mkdir()
    (folder / "kustomize").write_text(KUSTOMIZE.format(python=sys.executable))
    (folder / "kustomize").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    built_mini.settings("dirty: true,", "dirty: true, registry: r.example/team,")
    write(built_mini, "k8s/overlays/dev/kustomization.yaml", '{"resources": ["web.yaml"]}')
    write(built_mini, "k8s/overlays/dev/web.yaml", pod("web", "web"))
    return built_mini


def write(mini: Mini, name: str, text: str) -> Path:
    """Write a file in the repository."""
    path = mini.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def digest_of(mini: Mini, name: str) -> str:
    """Return what a name in the store points at."""
    return Layout(mini.path / ".lockgate" / "store").resolve(name).digest


def test_an_overlay_is_rendered_pinned_and_packaged(mini: Mini) -> None:
    """The component's name becomes the registry's repository and the digest of the last build."""
    done = mini.inv("config.build", "--json")
    assert done.code == 0, done.err
    built = json.loads(done.out)
    assert built["artifact"]["images"] == [f"r.example/team/web@{digest_of(mini, 'web')}"]
    assert built["artifact"]["subject"] == digest_of(mini, "config-dev")
    assert built["renderer"] == "kustomize v5.8.1"
    assert "config-dev" in done.err
    assert "1 object, 1 image, all pinned" in done.err


def test_a_container_with_a_place_for_it_is_told_its_image(mini: Mini) -> None:
    """Seen before anything is made, and in the artifact, the same each time."""
    place = pod("web", "web").replace('"}]', '", env: [{name: LOCKGATE_IMAGE_DIGEST}]}]')
    write(mini, "k8s/overlays/dev/web.yaml", place)
    line = f"value: {digest_of(mini, 'web')}"
    shown = mini.inv("config.build", "--output", "yaml").out
    assert shown.count(line) == 1
    assert mini.inv("config.build").code == 0
    assert mini.inv("config.inspect", "--yaml").out == shown


def test_a_second_time_is_unchanged(mini: Mini) -> None:
    """Until something that it depends on changes, or the store has lost it."""
    mini.inv("config.build")
    assert "unchanged" in mini.inv("config.build").err
    first = digest_of(mini, "config-dev")
    write(mini, "k8s/overlays/dev/web.yaml", pod("other", "web"))
    assert "unchanged" not in mini.inv("config.build").err
    assert digest_of(mini, "config-dev") != first
    path = mini.path / ".lockgate" / "store" / "blobs" / "sha256"
    (path / digest_of(mini, "config-dev").removeprefix("sha256:")).unlink()
    again = mini.inv("config.build")
    assert again.code == 0
    assert "unchanged" not in again.err


def test_files_folders_and_standard_input_are_put_together(
    mini: Mini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which they are named; without an overlay when files are."""
    write(mini, "a/one.yaml", pod("one", "web"))
    write(mini, "a/kustomization.yaml", "{}\n")
    write(mini, "two.yaml", pod("two", OTHER))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pod("three", "worker").encode())))
    done = mini.inv("config.build", "-f", "a", "-f", "two.yaml", "-f", "-")
    assert done.code == 0, done.err
    assert "left out: a/kustomization.yaml" in done.err
    shown = mini.inv("config.inspect").out
    assert re.findall(r"^  (\S+)$", shown, re.MULTILINE) == ["Pod/one", "Pod/three", "Pod/two"]
    assert "revision    not said" in shown


def test_an_artifact_is_a_source_too(mini: Mini) -> None:
    """With an overlay beside it, when one is named."""
    write(mini, "two.yaml", pod("two", OTHER))
    mini.inv("config.build", "-f", "two.yaml", "--name", "given")
    done = mini.inv("config.build", "-k", "k8s/overlays/dev", "--artifact", "given", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["artifact"]["objects"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["-f", "gone.yaml"], 2, "gone.yaml is not there"),
        (["-f", "empty"], 2, "empty holds no object"),
        (["-f", "nameless.yaml"], 2, "nameless.yaml, line 1: Pod has no name"),
        (["-f", "two.yaml", "-f", "two.yaml"], 2, "Pod/two stands twice: two.yaml, line 1"),
        (["-f", "loose.yaml"], 2, "an image has no digest: redis:7 of Pod/loose"),
        (["-f", "ambiguous.yaml"], 2, "`on` is a boolean to some"),
        (["-k", "web"], 2, "has no kustomization.yaml"),
        (["-k", "remote"], 2, "names the remote base https://example.org/a.yaml"),
        (["-f", "two.yaml", "--patch", "two.yaml.gone"], 2, "two.yaml.gone cannot be read"),
        (["-f", "two.yaml", "--recipients", "two.yaml"], 4, "is no public key"),
        (["--artifact", "web"], 2, "is an image and no artifact"),
        (["-e", "prod"], 2, "has no kustomization.yaml"),
        (["-e", "nowhere"], 2, "is not an environment"),
    ],
)
def test_bad_input_is_named(arguments: list[str], code: int, problem: str, mini: Mini) -> None:
    """One line, a hint, the exit code of its kind, and nothing in the store."""
    write(mini, "two.yaml", pod("two", OTHER))
    write(mini, "nameless.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {}\n")
    write(mini, "loose.yaml", pod("loose", "redis:7"))
    write(mini, "ambiguous.yaml", pod("a", OTHER) + "immutable: on\n")
    write(mini, "remote/kustomization.yaml", '{"resources": ["https://example.org/a.yaml"]}')
    (mini.path / "empty").mkdir()
    done = mini.inv("config.build", *arguments)
    assert done.code == code
    assert problem in done.err
    assert "hint: " in done.err
    assert "Traceback" not in done.err
    assert not (mini.path / ".lockgate" / "records" / "config-dev").exists()


def test_without_a_registry_a_component_has_no_address(mini: Mini) -> None:
    """It is an error that says where to write one; a flag will do."""
    mini.settings("registry: r.example/team,", "")
    done = mini.inv("config.build")
    assert done.code == 2
    assert "where a cluster gets the image of web from is not said" in done.err
    assert mini.inv("config.build", "--registry", "other.example").code == 0
    assert mini.inv("config.inspect", "--images").out.startswith("other.example/web@sha256:")


def test_a_component_that_was_not_built_is_an_error(mini: Mini) -> None:
    """The hint builds it."""
    shutil.rmtree(mini.path / ".lockgate" / "records")
    done = mini.inv("config.build")
    assert done.code == 2
    assert "inv build -c web" in done.err


def test_one_of_several_that_was_not_built_is_named(mini: Mini) -> None:
    """As a component to build, and not as an image of others that lacks a digest."""
    write(mini, "k8s/overlays/dev/web.yaml", pod("web", "web") + "---\n" + pod("b", "worker"))
    shutil.rmtree(mini.path / ".lockgate" / "records" / "worker")
    done = mini.inv("config.build")
    assert done.code == 2
    assert "inv build -c worker" in done.err
    assert "@sha256" not in done.err


@pytest.mark.parametrize(
    "command", [["deploy", "--target", "cluster", "--plan"], ["deploy.diff"]], ids=["plan", "diff"]
)
def test_a_look_at_a_cluster_leaves_nothing_behind(command: list[str], mini: Mini) -> None:
    """What would be applied is rendered and its images are verified; no artifact is made, none is signed."""
    before = Layout(mini.path / ".lockgate" / "store").tags()
    done = mini.inv(*command)
    assert done.code == 2  # there is no cluster
    assert "rendered  1 object, 1 image, all pinned, all verified" in done.err
    assert Layout(mini.path / ".lockgate" / "store").tags() == before
    assert not (mini.path / ".lockgate" / "records" / "config-dev").exists()


def test_a_look_at_a_cluster_verifies_the_images(mini: Mini) -> None:
    """A plan with an image that is not trusted is no plan: exit 4, before a cluster is asked."""
    mini.settings(
        "dirty: true, registry",
        "dirty: true, require: [{attestation: {type: urn:absent}}], registry",
    )
    done = mini.inv("deploy", "--target", "cluster", "--plan")
    assert done.code == 4
    assert "r.example/team/web@sha256:" in done.err


KUBECONFIG = """
apiVersion: v1
kind: Config
contexts: [{name: one, context: {cluster: one, user: one}}]
clusters: [{name: one, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: one, user: {}}]
"""


def test_manifests_demand_what_is_built_on_demand(
    mini: Mini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment to a cluster builds, scans and signs it before; a plan says so, and does nothing.

    Neither does a deployment to a cluster that nobody knows.
    """
    mini.settings(
        "    entrypoint: [python3, work.py]",
        "    entrypoint: [python3, work.py]\n    on_demand: true",
    )
    write(mini, "k8s/overlays/dev/web.yaml", pod("web", "web") + "---\n" + pod("b", "worker"))
    records = mini.path / ".lockgate" / "records" / "worker"
    shutil.rmtree(records)
    planned = mini.inv("deploy", "--target", "cluster", "--plan")
    assert planned.code == 0, planned.err
    assert "worker  would be built, scanned and signed" in planned.err
    assert not records.exists()
    monkeypatch.setenv("KUBECONFIG", str(mini.path / "kubeconfig"))
    unknown = mini.inv("deploy", "--target", "cluster")
    assert (unknown.code, "there is no kubeconfig" in unknown.err) == (2, True)
    assert not records.exists()
    (mini.path / "kubeconfig").write_text(KUBECONFIG)
    done = mini.inv("deploy", "--target", "cluster")
    assert done.code == 5  # nobody answers
    assert {"image.json", "report.json", "signed.json"} <= {one.name for one in records.iterdir()}


def test_uncommitted_manifests_are_refused_where_commits_are_wanted(mini: Mini) -> None:
    """They are named; in dev they are marked."""
    mini.settings("staging: {embedded", "staging: {registry: r.example/team, embedded")
    shutil.copytree(mini.path / "k8s/overlays/dev", mini.path / "k8s/overlays/staging")
    done = mini.inv("config.build", "-e", "staging")
    assert done.code == 2
    assert "uncommitted changes (k8s/overlays/staging/kustomization.yaml" in done.err
    mini.inv("config.build")
    assert "-dirty\n" in mini.inv("config.inspect").out


@pytest.mark.parametrize("name", ["../../outside", "web", "Config"])
def test_a_name_that_cannot_be_one_is_refused(mini: Mini, name: str) -> None:
    """It would be a path elsewhere, or the name of an image."""
    answer = mini.inv("config.build", "--name", name)

    assert answer.code == 2
    assert "give another name" in answer.err or "cannot be a name" in answer.err
    assert not (mini.path / "outside").exists()


def test_a_revision_can_be_said(mini: Mini) -> None:
    """Where git knows nothing; it stands in the artifact as it was said."""
    done = mini.inv("config.build", "--source", "https://git.example/x", "--revision", "main/abc")
    assert done.code == 0, done.err
    shown = mini.inv("config.inspect").out
    assert "source      https://git.example/x\n" in shown
    assert "revision    main/abc\n" in shown


@pytest.mark.parametrize(("given", "code"), [("1700000000", 0), ("yesterday", 2), ("-1", 2)])
def test_the_time_of_what_is_of_no_commit_can_be_said(
    given: str, code: int, mini: Mini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SOURCE_DATE_EPOCH, as of everything that is built; what is no number of seconds is refused."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    done = mini.inv("config.build", "--revision", "abc")
    assert done.code == code, done.err
    if code == 0:
        assert "created     2023-11-14T22:13:20Z\n" in mini.inv("config.inspect").out
    else:
        assert "SOURCE_DATE_EPOCH" in done.err


def test_an_artifact_is_signed_when_its_images_are_trusted(mini: Mini) -> None:
    """A second time there is nothing to do; through a file it is still trusted."""
    mini.inv("config.build")
    done = mini.inv("config.sign")
    assert done.code == 0, done.err
    assert "1 of 1 images trusted" in done.err
    assert "unchanged" in mini.inv("config.sign").err
    assert mini.inv("copy", "config-dev", "archive:config.tar").code == 0
    shutil.rmtree(mini.path / ".lockgate" / "store")
    pulled = mini.inv("config.pull", "archive:config.tar", "--verify", "--name", "got")
    assert pulled.code == 0, pulled.err
    assert pulled.out.startswith("---\napiVersion: v1\nkind: Pod\n")


def test_an_image_that_is_not_trusted_stops_the_signature(mini: Mini) -> None:
    """Exit 4; an image that is not in the store cannot be verified: exit 2."""
    write(mini, "two.yaml", pod("two", OTHER))
    mini.inv("config.build", "-f", "two.yaml")
    done = mini.inv("config.sign")
    assert (done.code, "is not in the store" in done.err) == (2, True)
    plain = digest_of(mini, "web-linux-amd64")
    write(mini, "two.yaml", pod("two", f"r.example/team/web@{plain}"))
    mini.inv("config.build", "-f", "two.yaml")
    done = mini.inv("config.sign")
    assert (done.code, "is not trusted in dev" in done.err) == (4, True)


def test_before_it_is_built_there_is_nothing_to_sign(mini: Mini) -> None:
    """The hint builds it."""
    done = mini.inv("config.sign", "-e", "staging")
    assert done.code == 2
    assert "inv config.build -e staging" in done.err


def test_pulling_with_verify_shows_nothing_that_is_not_trusted(mini: Mini) -> None:
    """Exit 4, and stdout is empty; without the flag the YAML is printed."""
    mini.inv("config.build")
    mini.inv("copy", "config-dev", "archive:config.tar")
    done = mini.inv("config.pull", "archive:config.tar", "--verify", "--name", "got")
    assert (done.code, done.out) == (4, "")
    assert "inv config.sign" in done.err
    assert "kind: Pod" in mini.inv("config.pull", "archive:config.tar", "--name", "got").out


def test_pushing_wants_a_signature(mini: Mini) -> None:
    """What is not trusted does not leave."""
    mini.inv("config.build")
    done = mini.inv("config.push", "--to", "r.example/team")
    assert done.code == 4
    assert "inv config.sign -e dev" in done.err


def test_an_artifact_is_not_pushed_as_an_image(mini: Mini) -> None:
    """Signed for one environment it would leave for another, when that one asks less of images than of artifacts."""
    mini.inv("config.build")
    mini.inv("config.sign")
    mini.settings("  staging: {", "  staging: {require: [signature], ")
    staged = mini.inv("verify", "-e", "staging", "-r", "config-dev")
    assert (staged.code, "signed for environment" in staged.out) == (4, True)

    done = mini.inv("push", "-e", "staging", "-r", "config-dev", "--to", "r.example/team", "--plan")

    assert done.code == 2
    assert "is an artifact of manifests" in done.err
    assert "inv config.push -e staging" in done.err


def test_what_is_in_an_artifact_is_said(mini: Mini) -> None:
    """Who built it as far as that is known here, when, how it is encrypted, and objects with their images."""
    mini.inv("config.build", "--source", "https://git.example/x", "--revision", "abc")
    assert mini.inv("config.inspect").out.splitlines() == [
        f"artifact    config-dev  {digest_of(mini, 'config-dev')}",
        "source      https://git.example/x",
        "revision    abc",
        f"built by    lockgate {__version__}, kustomize v5.8.1, here",
        "verified by not asked: `--verify`",
        "created     1970-01-01T00:00:00Z",
        f"checksum    {json.loads(mini.inv('config.inspect', '--json').out)['checksum']}",
        "encrypted   no",
        "objects     1",
        "  Pod/web",
        f"    r.example/team/web@{digest_of(mini, 'web')}",
    ]


def test_what_an_artifact_says_cannot_draw_on_a_terminal(mini: Mini) -> None:
    """Its annotations are anybody's words: what is not printable is a question mark."""
    mini.inv("config.build", "--revision", "a\x1b[2J\nb", "--source", "https://x\x07")
    shown = mini.inv("config.inspect").out
    assert "revision    a?[2J?b\n" in shown
    assert "source      https://x?\n" in shown


def test_whoever_signed_an_artifact_is_said(mini: Mini) -> None:
    """By the digest that is shown; who built it is then what was signed of that."""
    mini.inv("config.build")
    mini.inv("config.sign")
    mini.inv("copy", "config-dev", "archive:config.tar")
    done = mini.inv("config.inspect", "--reference", "archive:config.tar")
    assert done.code == 0, done.err
    shown = done.out
    assert "built by    not known: `--verify` asks its provenance\n" in shown
    shown = mini.inv("config.inspect", "--reference", "archive:config.tar", "--verify").out
    assert re.search(r"^built by    builder lockgate/config, commit [0-9a-f]{7}$", shown, re.M)
    assert re.search(r"^verified by \S.*development", shown, re.M)


@pytest.mark.parametrize("form", [[], ["--images"], ["--yaml"], ["--json"]])
def test_inspecting_with_verify_shows_nothing_that_is_not_trusted(
    form: list[str], mini: Mini
) -> None:
    """Exit 4 in each form, and stdout is empty."""
    mini.inv("config.build")
    done = mini.inv("config.inspect", "--verify", *form)
    assert (done.code, done.out) == (4, "")
    assert "inv config.sign -e dev" in done.err
    mini.inv("config.sign")
    assert mini.inv("config.inspect", "--verify", *form).code == 0


def test_the_record_of_a_verified_artifact_has_its_verification(mini: Mini) -> None:
    """Beside the fields that it has without; who verified is not lost on a machine that reads it."""
    mini.inv("config.build", "config.sign")
    plain = json.loads(mini.inv("config.inspect", "--json").out)
    shown = json.loads(mini.inv("config.inspect", "--verify", "--json").out)
    verification = shown.pop("verification")
    assert shown == plain
    assert (verification["subject"], verification["met"]) == (plain["subject"], True)
    assert [one["name"] for one in verification["results"]] == ["signature", "provenance"]


def test_images_are_printed_alone(mini: Mini) -> None:
    """One a line, sorted, each once: input for other tools."""
    write(mini, "all.yaml", "---\n".join([pod("a", "web"), pod("b", OTHER), pod("c", "web")]))
    mini.inv("config.build", "-f", "all.yaml")
    done = mini.inv("config.inspect", "--images")
    assert done.out.splitlines() == [f"r.example/team/web@{digest_of(mini, 'web')}", OTHER]


def test_the_yaml_is_printed_for_other_tools(mini: Mini) -> None:
    """In the order of applying, and nothing beside it; its checksum is the artifact's."""
    mini.inv("config.build")
    done = mini.inv("config.inspect", "--yaml")
    assert done.out.startswith("---\napiVersion: v1\nkind: Pod\n")
    checksum = "sha256:" + hashlib.sha256(done.out.encode()).hexdigest()
    assert json.loads(mini.inv("config.inspect", "--json").out)["checksum"] == checksum


def test_a_plan_changes_nothing(mini: Mini) -> None:
    """It names every object with its images, and what is wrong with them."""
    done = mini.inv("config.build", "--plan")
    assert done.code == 0, done.err
    assert "Pod/web" in done.err
    assert f"r.example/team/web@{digest_of(mini, 'web')}" in done.err
    assert "nothing was changed" in done.err
    assert "config-dev" not in Layout(mini.path / ".lockgate" / "store").tags()
    write(mini, "k8s/overlays/dev/web.yaml", pod("web", "redis:7"))
    assert mini.inv("config.build", "--plan").code == 2


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_the_objects_are_printed_without_an_artifact(form: str, mini: Mini) -> None:
    """Pinned and in the order of applying, for tools that compare with schemas; nothing is stored."""
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: z}\n"
    write(mini, "two.yaml", pod("two", "web") + "---\n" + service)
    done = mini.inv("config.build", "-f", "two.yaml", "--output", form)
    assert done.code == 0, done.err
    found = resource.parse(done.out.encode(), where="it")
    assert [one.id.label for one in found] == ["Service/z", "Pod/two"]
    assert f"r.example/team/web@{digest_of(mini, 'web')}" in done.out
    assert done.out.startswith("---\n" if form == "yaml" else "{")
    if form == "json":
        assert json.loads(done.out)["kind"] == "List"
    assert "nothing was changed" in done.err
    assert "config-dev" not in Layout(mini.path / ".lockgate" / "store").tags()
    assert not (mini.path / ".lockgate" / "records" / "config-dev").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--output", "toml"], "'toml' is no form of output"),
        (["--output", "yaml", "--json"], "`--json` prints the record of an artifact"),
    ],
)
def test_an_output_that_is_none_is_refused(arguments: list[str], problem: str, mini: Mini) -> None:
    """Exit 2, and stdout is empty."""
    done = mini.inv("config.build", *arguments)
    assert (done.code, done.out) == (2, "")
    assert problem in done.err
    assert "hint: " in done.err


def test_secrets_in_plain_are_said(mini: Mini) -> None:
    """Whoever may pull the artifact may read them; their values are in no message."""
    write(mini, "a.yaml", secret("hunter2"))
    done = mini.inv("config.build", "-f", "a.yaml")
    assert "1 Secret in plain" in done.err
    assert "hunter2" not in done.err + done.out


def test_a_value_that_cannot_be_read_is_not_shown(mini: Mini) -> None:
    """It may be a password."""
    write(mini, "a.yaml", secret("0815"))
    done = mini.inv("config.build", "-f", "a.yaml")
    assert done.code == 2
    assert "a.yaml, line 4: a value is a number to some readers" in done.err
    assert "0815" not in done.err


def test_a_difference_can_be_an_exit_code(mini: Mini) -> None:
    """0 without the flag, 1 with it; Secrets are masked in both forms."""
    write(mini, "a.yaml", secret("hunter2"))
    mini.inv("config.build", "-f", "a.yaml", "--name", "first")
    write(mini, "a.yaml", secret("hunter3"))
    mini.inv("config.build", "-f", "a.yaml", "--name", "second")
    plain = mini.inv("config.diff", "first", "second")
    assert plain.code == 0
    assert '-  a: "*****"\n+  a: "******"\n' in plain.out
    told = mini.inv("config.diff", "first", "second", "--exit-code", "--json")
    assert told.code == 1
    assert json.loads(told.out)["changed"] == ["Secret/s"]
    assert "hunter" not in plain.out + plain.err + told.out + told.err
    same = mini.inv("config.diff", "first", "first", "--exit-code")
    assert (same.code, same.out) == (0, "")


def test_an_encrypted_artifact_needs_an_identity(
    mini: Mini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images are shown to everyone; the objects to who has a key, named by flag or variable."""
    from pyrage import x25519

    key = x25519.Identity.generate()
    write(mini, "to.txt", f"# team\n{key.to_public()}\n")
    identities = write(mini, "key.txt", f"{key}\n")
    done = mini.inv("config.build", "--recipients", "to.txt")
    assert done.code == 0, done.err
    assert "encrypted" in done.err
    assert "unchanged" in mini.inv("config.build", "--recipients", "to.txt").err
    shown = mini.inv("config.inspect").out
    assert "age-encryption.org/v1" in shown
    assert "Pod/web" not in shown
    assert f"r.example/team/web@{digest_of(mini, 'web')}" in shown
    mini.inv("copy", "config-dev", "archive:config.tar")
    refused = mini.inv("config.pull", "archive:config.tar", "--name", "got")
    assert (refused.code, refused.out) == (4, "")
    assert "no private key was given" in refused.err
    assert "Pod/web" in mini.inv("config.inspect", "--identities", "key.txt").out
    monkeypatch.setenv("LOCKGATE_AGE_IDENTITIES", str(identities))
    assert "Pod/web" in mini.inv("config.inspect").out


def test_digests_are_written_into_the_kustomization(mini: Mini) -> None:
    """In place; a plan writes nothing, a second run changes nothing."""
    path = mini.path / "k8s/overlays/dev/kustomization.yaml"
    old = '# mine\nresources: ["web.yaml"]   # comment\n'
    path.write_text(old)
    planned = mini.inv("config.pin", "--plan")
    assert planned.code == 0, planned.err
    assert "would change" in planned.err
    assert path.read_text() == old
    assert "written" in mini.inv("config.pin").err
    assert path.read_text() == old + (
        "images:\n  - name: web\n    newName: r.example/team/web\n"
        f"    digest: {digest_of(mini, 'web')}\n"
    )
    assert "unchanged" in mini.inv("config.pin").err


def test_digests_are_written_through_a_link(mini: Mini) -> None:
    """It stays one; a file in its place would leave the one that others read as it was."""
    path = mini.path / "k8s/overlays/dev/kustomization.yaml"
    shared = mini.path / "k8s/shared.yaml"
    path.unlink()
    shared.write_text('resources: ["web.yaml"]\n')
    path.symlink_to("../../shared.yaml")
    assert mini.inv("config.pin").code == 0
    assert path.is_symlink()
    assert digest_of(mini, "web") in shared.read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["config.tag", "config-dev", "stable"], "names no registry"),
        (["config.tag", "r.example/a:1", "not a tag"], "cannot be a tag"),
        (["config.list", "config-dev"], "is no repository"),
        (["config.list", "r.example/a:1"], "is no repository"),
        (["config.inspect", "--reference", "gone"], "is not in the store"),
        (["config.inspect", "--reference", "web"], "is an image and no artifact"),
        (["config.diff", "web", "config-dev"], "is an image and no artifact"),
        (["config.pull", "config-dev"], "names no registry"),
        (["config.pin", "-k", "web"], "has no kustomization.yaml"),
    ],
)
def test_wrong_words_are_told_apart(arguments: list[str], problem: str, mini: Mini) -> None:
    """Exit 2 with a hint, before anything is reached."""
    done = mini.inv(*arguments)
    assert done.code == 2
    assert problem in done.err
    assert "hint: " in done.err


def test_verifying_an_artifact_verifies_its_images(mini: Mini) -> None:
    """From the artifact to every image in it, by the digests that are locked inside."""
    mini.inv("config.build")
    unsigned = mini.inv("verify", "--reference", "config-dev")
    assert unsigned.code == 4
    mini.inv("config.sign")
    done = mini.inv("verify", "--reference", "config-dev")
    assert done.code == 0, done.err
    assert "r.example/team/web" in done.err
    assert done.out.count("\ntrusted: ") == 2
