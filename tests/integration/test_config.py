"""Manifests with the tools that others wrote: kustomize, kubectl, SOPS, age, registries, crane and skopeo."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.integration.registries import CRANE, debian_program, go_program

from lockgate.base.errors import UsageError
from lockgate.config import kustomize, patch, resource
from lockgate.config.emit import emit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Repository, Serve
    from tests.integration.registries import Running

OVERLAY = {
    "base/kustomization.yaml": "resources: [web.yaml]\nlabels: [{pairs: {part: shop}}]\n",
    "base/web.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: app   # the component
          env: [{name: MODE, value: "0644"}]
""",
    "overlays/dev/kustomization.yaml": """\
# mine
namespace: shop-dev
resources: [../../base]
configMapGenerator: [{name: settings, literals: [answer=yes, date=2026-11-20]}]
patches: [{path: replicas.yaml}]
""",
    "overlays/dev/replicas.yaml": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n"
    ),
}


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(scope="module", params=["kustomize", "kubectl"])
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> kustomize.Kustomize:
    """Each real kustomize: on its own, and the one within kubectl."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / request.param).symlink_to(go_program(request.param))
    return kustomize.find(lambda: Path("/nonexistent"), search=str(folder))


def test_an_overlay_is_rendered(real: kustomize.Kustomize, tmp_path: Path) -> None:
    """Bases, labels, generators and patches; texts that look like something else stay texts."""
    write(tmp_path, OVERLAY)
    found = resource.parse(real.build(tmp_path / "overlays/dev"), where="dev")
    bodies = {one.id.kind: one for one in found}
    assert bodies["Deployment"].id.namespace == "shop-dev"
    assert bodies["Deployment"].body["spec"]["replicas"] == 2
    assert bodies["ConfigMap"].body["data"] == {"answer": "yes", "date": "2026-11-20"}
    assert bodies["ConfigMap"].id.name.startswith("settings-")


def test_what_we_write_is_read_by_kustomize_as_it_was_meant(
    real: kustomize.Kustomize, tmp_path: Path
) -> None:
    """Words, numbers, times, marks and several lines: they come back as the same texts."""
    data = {
        f"key-{number}": text
        for number, text in enumerate(
            ("yes", "NO", "on", "y", "~", "null", "0644", "0o17", "1e3", "12:30", "2026-11-20", ".5", "-", "",
             "a: b", "a #b", "- a", "a\n", "a\nb", "a\n\n", " a\nb", "a\tb", "é\u2028", "%a", "@a", "`a",
             "---\n", "'", '"', "\\", "=", "<<", "true", "1_000", "0x1F", "+1", "nan", ".inf")
        )
    }  # fmt: skip
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
    (tmp_path / "all.yaml").write_bytes(emit([resource.of(body, "it")]))
    (tmp_path / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    (found,) = resource.parse(real.build(tmp_path), where="it")
    assert found.body == body


def test_it_reaches_no_network(real: kustomize.Kustomize, tmp_path: Path) -> None:
    """A base on loopback is not asked for, although something listens there."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)

        def listen() -> None:
            try:
                server.accept()[0].close()
            except OSError:
                return
            asked.set()

        thread = threading.Thread(target=listen)
        thread.start()
        port = server.getsockname()[1]
        write(tmp_path, {"kustomization.yaml": f"resources: ['http://127.0.0.1:{port}/a.yaml']\n"})
        with pytest.raises(UsageError, match="cannot be rendered"):
            real.build(tmp_path)
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)
    assert not asked.is_set()


def test_a_file_outside_of_the_kustomization_is_refused(
    real: kustomize.Kustomize, tmp_path: Path
) -> None:
    """Only whole folders may lie elsewhere."""
    write(
        tmp_path,
        {
            "secret.yaml": OVERLAY["base/web.yaml"],
            "a/kustomization.yaml": "resources: [../secret.yaml]\n",
        },
    )
    with pytest.raises(UsageError, match="is not in or below"):
        real.build(tmp_path / "a")


def test_patches_of_both_kinds(real: kustomize.Kustomize, tmp_path: Path) -> None:
    """Strategic merge by target and by name, JSON 6902, and a Secret whose values no file holds."""
    objects = resource.parse(
        OVERLAY["base/web.yaml"].replace("image: app ", "image: app@x ").encode()
        + b"---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: aHVudGVyMg==}\n",
        where="it",
    )
    write(
        tmp_path,
        {
            "first.yaml": """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: shop
patches:
  - target: {kind: Deployment}
    patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: any, annotations: {safe-to-evict: "true"}}
  - target: {kind: Deployment, name: web}
    patch: |
      - {op: add, path: /spec/template/spec/securityContext, value: {runAsNonRoot: true}}
""",
            "second.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: side, image: side@x}]}}}
""",
        },
    )  # fmt: skip
    made = patch.apply(
        objects, [patch.read(tmp_path / f"{one}.yaml") for one in ("first", "second")], real
    )
    bodies = {one.id.kind: one.body for one in made}
    deployment = bodies["Deployment"]
    assert deployment["metadata"]["annotations"] == {"safe-to-evict": "true"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True}
    assert sorted(one["name"] for one in pod["containers"]) == ["app", "side"]
    assert bodies["Secret"]["data"] == {"a": "aHVudGVyMg=="}
    assert bodies["Secret"]["metadata"]["namespace"] == "shop"


@pytest.mark.parametrize(
    "patches",
    [
        """\
      - {op: add, path: /metadata/annotations, value: {}}
      - {op: copy, from: /data/a, path: /metadata/annotations/x}
""",
        "      - {op: replace, path: /kind, value: ConfigMap}\n",
    ],
)
def test_a_patch_that_takes_a_value_out_of_a_secret_is_refused(
    patches: str, real: kustomize.Kustomize, tmp_path: Path
) -> None:
    """What everybody may read gets neither the value nor what stood in its place."""
    objects = resource.parse(
        b"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: aHVudGVyMg==}\n", where="it"
    )
    head = "patches:\n  - target: {kind: Secret}\n    patch: |\n"
    write(tmp_path, {"p.yaml": head + patches})
    with pytest.raises(UsageError, match=r"p\.yaml puts a value of a Secret into"):
        patch.apply(objects, [patch.read(tmp_path / "p.yaml")], real)


def test_a_patch_within_a_secret_moves_its_values(
    real: kustomize.Kustomize, tmp_path: Path
) -> None:
    """Under another key of the same Secret a value is the value."""
    objects = resource.parse(
        b"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: aHVudGVyMg==}\n", where="it"
    )
    move = "      - {op: move, from: /data/a, path: /data/b}\n"
    text = f"patches:\n  - target: {{kind: Secret}}\n    patch: |\n{move}"
    write(tmp_path, {"p.yaml": text})
    (made,) = patch.apply(objects, [patch.read(tmp_path / "p.yaml")], real)
    assert made.body["data"] == {"b": "aHVudGVyMg=="}


def test_a_value_of_a_wrong_form_is_not_shown(real: kustomize.Kustomize, tmp_path: Path) -> None:
    """Kustomize itself would quote what stands where a mapping should be."""
    head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
    patched = "patches: [{path: p.yaml}]\nresources: [s.yaml]\n"
    write(
        tmp_path,
        {
            "s.yaml": f"{head}data: {{a: eA==}}\n",
            "p.yaml": f"{head}data: {{a: {{b: hunter2}}}}\n",
            "kustomization.yaml": patched,
        },
    )
    with pytest.raises(UsageError, match="wrong node kind") as caught:
        real.build(tmp_path)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_patch_without_a_target_is_an_error(real: kustomize.Kustomize, tmp_path: Path) -> None:
    """It names the file."""
    objects = resource.parse(OVERLAY["base/web.yaml"].encode(), where="it")
    write(tmp_path, {"p.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: gone}\n"})
    with pytest.raises(UsageError) as caught:
        patch.apply(objects, [patch.read(tmp_path / "p.yaml")], real)
    assert "p.yaml cannot be rendered" in caught.value.message
    assert "no matches for" in caught.value.message


@pytest.fixture(scope="module")
def shop(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with an app that is built and signed, and an overlay that runs it."""
    place = tmp_path_factory.mktemp("shop") / "repository"
    shutil.copytree(finished.path, place, symlinks=True)
    made = type(finished)(place)
    write(place / "k8s", OVERLAY)
    made.edit(
        "lockgate.yaml", "port: 0}\n  staging", "port: 0, registry: r.example/team}\n  staging"
    )
    made.commit("manifests")
    return made


@pytest.fixture
def work(shop: Repository, tmp_path: Path) -> Repository:
    """A copy of it of the test's own."""
    place = tmp_path / "work"
    shutil.copytree(shop.path, place, symlinks=True)
    return type(shop)(place)


def test_the_digest_is_that_of_the_commit(work: Repository, tmp_path: Path) -> None:
    """Another folder, umask, time zone and kustomize give the same artifact."""
    first = json.loads(work.inv("config.build", "--json").stdout)
    assert first["artifact"]["images"] == [f"r.example/team/app@{work.subject}"]
    assert first["artifact"]["revision"] == work.git("rev-parse", "HEAD").strip()
    other = type(work)(tmp_path / "elsewhere" / "deep")
    shutil.copytree(work.path, other.path, symlinks=True)
    shutil.rmtree(other.path / ".lockgate" / "cache")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "kustomize").symlink_to(go_program("kustomize"))
    variables = {"TZ": "Pacific/Kiritimati", "PATH": f"{folder}:{os.environ['PATH']}"}
    old = os.umask(0o77)
    try:
        second = json.loads(other.inv("config.build", "--json", env=variables).stdout)
    finally:
        os.umask(old)
    assert second["artifact"] == first["artifact"]


def layer_of(work: Repository, name: str = "config-dev") -> dict[str, bytes]:
    """Return the files of an artifact's layer, read without Lockgate."""
    index = json.loads((work.store / "index.json").read_bytes())
    named = {
        one["annotations"]["org.opencontainers.image.ref.name"]: one for one in index["manifests"]
    }
    manifest = json.loads(work.blob(named[name]["digest"]).read_bytes())
    data = gzip.decompress(work.blob(manifest["layers"][0]["digest"]).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def test_age_opens_what_we_encrypt(work: Repository, tmp_path: Path) -> None:
    """The program of Debian, with a key that its own `age-keygen` made; and we take its key file."""
    age, keygen = debian_program("age"), debian_program("age-keygen")
    key = tmp_path / "key.txt"
    subprocess.run([keygen, "-o", key], check=True, capture_output=True, timeout=60)
    public = subprocess.run(
        [keygen, "-y", key], check=True, capture_output=True, timeout=60, text=True
    ).stdout
    (tmp_path / "to.txt").write_text(f"# somebody\n{public}")
    work.inv("config.build", "--recipients", str(tmp_path / "to.txt"))
    files = layer_of(work)
    done = subprocess.run(
        [age, "-d", "-i", key],
        input=files["all.yaml.age"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    shown = json.loads(work.inv("config.inspect", "--json").stdout)
    assert f"sha256:{hashlib.sha256(done.stdout).hexdigest()}" == shown["checksum"]
    opened = work.inv("config.inspect", "--identities", str(key)).stdout
    assert "Deployment/shop-dev/web" in opened


@pytest.fixture
def sealed(work: Repository, tmp_path: Path) -> tuple[Repository, dict[str, str]]:
    """A repository with a Secret that real SOPS has encrypted, and the variables that open it."""
    from pyrage import x25519

    key = x25519.Identity.generate()
    text = (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ndata:\n  word: aHVudGVyMg==\n"
        "stringData:\n  other: hunter3\n"
    )
    plain = tmp_path / "plain.yaml"
    plain.write_text(text)
    done = subprocess.run(
        [go_program("sops"), "--disable-version-check", "--encrypt", "--age", str(key.to_public()),
         "--encrypted-regex", "^(data|stringData)$", "--mac-only-encrypted", str(plain)],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    (work.path / "secret.yaml").write_bytes(done.stdout)
    assert b"aHVudGVyMg" not in done.stdout
    return work, {"SOPS_AGE_KEY": str(key)}


def test_a_file_of_sops_is_opened(sealed: tuple[Repository, dict[str, str]]) -> None:
    """The artifact holds it in plain, the seal is gone, and no file in the repository holds the value."""
    work, variables = sealed
    work.inv("config.build", "-f", "secret.yaml", env=variables)
    (found,) = yaml.safe_load_all(layer_of(work)["all.yaml"])
    assert found["data"] == {"word": "aHVudGVyMg=="}
    assert found["stringData"] == {"other": "hunter3"}
    assert "sops" not in found
    for path in work.path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"hunter3" not in path.read_bytes(), path


def test_sops_within_an_overlay(sealed: tuple[Repository, dict[str, str]]) -> None:
    """An encrypted object passes through kustomize, which gives it a namespace, and is opened after it."""
    work, variables = sealed
    shutil.move(work.path / "secret.yaml", work.path / "k8s/overlays/dev/secret.yaml")
    work.edit("k8s/overlays/dev/kustomization.yaml", "[../../base]", "[../../base, secret.yaml]")
    work.inv("config.build", env=variables)
    found = {one["kind"]: one for one in yaml.safe_load_all(layer_of(work)["all.yaml"])}
    assert found["Secret"]["data"] == {"word": "aHVudGVyMg=="}
    assert found["Secret"]["metadata"] == {"name": "s", "namespace": "shop-dev"}


def test_without_the_key_of_sops_nothing_is_built(
    sealed: tuple[Repository, dict[str, str]],
) -> None:
    """Exit 6: it could not be done. Nothing of the file is shown."""
    work, _ = sealed
    done = work.inv(
        "config.build",
        "-f",
        "secret.yaml",
        env={"SOPS_AGE_KEY": None, "XDG_CONFIG_HOME": str(work.path)},
        code=6,
    )
    assert "none of the keys here opens it" in done.stderr
    assert "ENC[" not in done.stderr


def test_a_changed_file_of_sops_is_refused(sealed: tuple[Repository, dict[str, str]]) -> None:
    """The seal is over the values."""
    work, variables = sealed
    path = work.path / "secret.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.lstrip().startswith("other:")))
    done = work.inv("config.build", "-f", "secret.yaml", env=variables, code=6)
    assert "the file was changed since it was encrypted" in done.stderr


@pytest.fixture(scope="module", params=["lockgate", "crane", "distribution"])
def registry(
    request: pytest.FixtureRequest, real_registry: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """An empty registry of each kind."""
    with real_registry(request.param, tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def published(registry: Running, shop: Repository) -> str:
    """The reference by digest of the artifact, signed and pushed."""
    to = f"{registry.host}/team"
    shop.inv("config.build", "--registry", to)
    shop.inv("config.sign")
    done = shop.inv("config.push", "--to", to, "--tag", "1.2.0")
    reference = done.stdout.strip()
    assert reference.startswith(f"{to}/config-dev@sha256:")
    shop.inv("config.push", "--to", to, "--tag", "1.10.0")
    return reference


def dialled(reference: str) -> str:
    """Return a reference as tools can reach it that leave `*.localhost` to the machine's resolver."""
    return reference.replace("registry.localhost", "127.0.0.1")


def test_it_is_pulled_by_tag_and_verified_by_digest(
    published: str, registry: Running, shop: Repository, tmp_path: Path
) -> None:
    """Into an empty store, with its evidence; what is printed is the YAML, as `oci://` too."""
    place = tmp_path / "other"
    shutil.copytree(shop.path, place, symlinks=True)
    shutil.rmtree(place / ".lockgate" / "store")
    other = type(shop)(place)
    name = f"{registry.host}/team/config-dev"
    done = other.inv("config.pull", f"oci://{name}:1.2.0", "--verify")
    kinds = [one["kind"] for one in yaml.safe_load_all(done.stdout)]
    assert kinds == ["ConfigMap", "Deployment"]
    images = other.inv("config.inspect", published, "--images").stdout
    assert images == f"{registry.host}/team/app@{shop.subject}\n"
    shown = other.inv("config.inspect", f"{name}:1.2.0", "--verify").stdout
    assert "\nbuilt by    builder lockgate/config, " in shown
    assert "\nverified by " in shown


def test_tags_are_listed_as_references(published: str, registry: Running, shop: Repository) -> None:
    """Newest version first, evidence hidden, one of them can be typed again."""
    name = f"{registry.host}/team/config-dev"
    shop.inv("config.tag", f"{name}:1.2.0", "stable")
    assert shop.inv("config.list", name).stdout.split() == [
        f"{name}:1.10.0",
        f"{name}:1.2.0",
        f"{name}:stable",
    ]
    assert shop.inv("config.list", f"oci://{name}", "--semver", "~1.2").stdout == f"{name}:1.2.0\n"
    shown = json.loads(shop.inv("config.inspect", f"{name}:stable", "--json").stdout)
    assert published.endswith(shown["subject"])
    assert shop.inv("config.diff", f"{name}:stable", published, "--exit-code").stdout == ""
    done = shop.inv("config.list", name, "--semver", ">=2", code=2)
    assert "no tag of" in done.stderr


def test_crane_reads_it(published: str) -> None:
    """Manifest and layer, as Flux and Argo CD get them: by the same libraries."""
    crane, reference = go_program(CRANE), dialled(published)
    raw = subprocess.run(
        [crane, "manifest", "--insecure", reference], capture_output=True, timeout=60, check=True
    ).stdout
    assert reference.endswith(hashlib.sha256(raw).hexdigest())
    manifest = json.loads(raw)
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    blob = subprocess.run(
        [crane, "blob", "--insecure", f"{reference.partition('@')[0]}@{layer['digest']}"],
        capture_output=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        assert archive.getnames() == ["all.yaml", "images.txt"]
    # As an image with layers, which is how Flux's source controller opens it.
    exported = subprocess.run(
        [crane, "export", "--insecure", reference, "-"], capture_output=True, timeout=60, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        assert archive.getnames() == ["all.yaml", "images.txt"]


def test_skopeo_copies_it(published: str, tmp_path: Path) -> None:
    """It is an ordinary OCI manifest to it."""
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    subprocess.run(
        [debian_program("skopeo"), "--policy", policy, "copy", "--src-tls-verify=false",
         f"docker://{dialled(published)}", f"oci:{tmp_path}/copy:it"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    index = json.loads((tmp_path / "copy" / "index.json").read_bytes())
    assert published.endswith(index["manifests"][0]["digest"])


def test_images_can_be_taken_from_a_registry_by_tag(
    published: str, registry: Running, work: Repository
) -> None:
    """The tag is resolved once; without records of a build, too."""
    to = f"{registry.host}/team"
    work.inv("push", "-c", "app", "--to", to, "--tag", "9.9")
    shutil.rmtree(work.path / ".lockgate" / "records")
    done = work.inv("config.build", "--registry", to, "--tag", "9.9", "--json")
    assert json.loads(done.stdout)["artifact"]["images"][0].startswith(f"{to}/app@sha256:")
    gone = work.inv("config.build", "--registry", to, "--tag", "0.0", code=2)
    assert "app" in gone.stderr


def test_pins_are_written_for_kustomize(work: Repository) -> None:
    """What is written renders to the same image; comments stay; a second run changes nothing."""
    work.inv("config.pin")
    text = (work.path / "k8s/overlays/dev/kustomization.yaml").read_text()
    assert text.startswith(OVERLAY["overlays/dev/kustomization.yaml"])
    assert "unchanged" in work.inv("config.pin").stderr
    shutil.rmtree(work.path / ".lockgate" / "records")
    done = work.inv("config.build", "--json")
    (image,) = json.loads(done.stdout)["artifact"]["images"]
    assert image.startswith("r.example/team/app@sha256:")
