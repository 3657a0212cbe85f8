"""`inv verify REF --require …` of every place, and `inv push` of what an environment trusts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, Index, Manifest, index_bytes
from lockgate.oci.server import Server
from lockgate.tasks import namespace, places
from lockgate.tasks.hinting import by_name
from lockgate.tasks.program import with_flags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tasks.conftest import Mini


class Place(NamedTuple):
    """A registry that answers on loopback, and the layout that it serves."""

    host: str
    layout: Layout
    server: Server

    def mine(self, name: str) -> str:
        """Return the name under which the registry keeps a tag."""
        found = [one for one in self.layout.tags() if one.endswith(f":{name}")]
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Place]:
    """An empty registry."""
    layout = Layout.create(tmp_path / "registry")
    with Server(layout) as server:
        port = server.address.rpartition(":")[2]
        yield Place(f"registry.localhost:{port}", layout, server)


@pytest.fixture
def shop(built_mini: Mini, registry: Place) -> Mini:
    """A repository whose `dev` has the registry, with everything built and signed."""
    built_mini.settings("  dev: {", f"  dev: {{registry: '{registry.host}/shop', ")
    return built_mini


def subject(mini: Mini, component: str = "web") -> str:
    """Return the digest of a component's image."""
    return str(Layout(mini.path / ".lockgate/store").resolve(component).digest)


def pushed(mini: Mini) -> str:
    """Push `web`, and return its reference by tag."""
    answer = mini.inv("push", "-c", "web", "--json")
    assert answer.code == 0, answer.err
    moved = json.loads(answer.out)
    return f"{moved['target']}:{moved['name']}"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["verify", "app"], ["verify", "--reference", "app"]),
        (["verify", "-e", "prod", "app:1"], ["verify", "-e", "prod", "--reference", "app:1"]),
        (
            ["build", "verify", "--require", "sbom", "a.b/c:1", "deploy"],
            ["build", "verify", "--require", "sbom", "--reference", "a.b/c:1", "deploy"],
        ),
        (["verify", "deploy"], ["verify", "deploy"]),
        (["pull", "a.b/c:1"], ["pull", "a.b/c:1"]),
    ],
)
def test_a_word_needs_no_flag(typed: list[str], read: list[str]) -> None:
    """What follows `verify` and is no task is what is verified; a word behind a flag is the flag's."""
    tasks = namespace()

    assert with_flags(typed, tasks, by_name(tasks.to_contexts())) == read


def test_from_a_registry_by_tag(shop: Mini, registry: Place) -> None:
    """The whole evidence is found there; that the layers were not read is said, and is in the record."""
    reference = pushed(shop)

    answer = shop.inv("verify", "--reference", reference)

    assert answer.code == 0, answer.err
    assert [line.split()[1] for line in answer.out.splitlines()].count("ok") == 5
    assert "layers      not read" in answer.out
    found = json.loads(shop.inv("verify", "--reference", reference, "--json").out)
    assert found["subject"] == subject(shop)
    layers = {
        one.digest
        for each in registry.layout.manifests(found["subject"])
        for one in Manifest.parse(registry.layout.read(each.digest)).layers
    }
    assert set(found["unread"]) == layers


def test_layers_are_read_when_asked_for(shop: Mini, registry: Place) -> None:
    """With `--read-layers` every layer is hashed: a changed one is refused, and otherwise is not looked at."""
    reference = pushed(shop)
    answer = shop.inv("verify", "--reference", reference, "--read-layers")
    assert answer.code == 0
    assert "not read" not in answer.out
    manifest = registry.layout.manifests(subject(shop))[0]
    layer = Manifest.parse(registry.layout.read(manifest.digest)).layers[0]
    change(registry.layout, layer.digest)

    assert shop.inv("verify", "--reference", reference).code == 0
    refused = shop.inv("verify", "--reference", reference, "--read-layers")

    assert refused.code == 4
    assert Digest(layer.digest).short in refused.err


@pytest.mark.parametrize("form", ["{host}/shop/web@{digest}", "web:{tag}"])
def test_other_words_for_the_same(form: str, shop: Mini, registry: Place) -> None:
    """A digest needs no tag, and a tag without a host is one in the registry of the environment."""
    reference = pushed(shop)
    text = form.format(host=registry.host, digest=subject(shop), tag=reference.rpartition(":")[2])

    assert "5 of 5" in shop.inv("verify", "--reference", text).out


def test_from_an_archive(built_mini: Mini) -> None:
    """A file holds everything, and its layers are read too."""
    assert built_mini.inv("copy", "web", "archive:web.tar").code == 0

    answer = built_mini.inv("verify", "--reference", "archive:web.tar")

    assert answer.code == 0, answer.err
    assert "5 of 5" in answer.out
    assert "not read" not in answer.out


def change(layout: Layout, digest: str) -> None:
    """Flip a bit of a blob, whose length stays."""
    path = layout.path(digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def hide(layout: Layout, digest: str) -> None:
    """Let a registry list no referrer of an image, by any way of asking."""
    for path in (layout.root / "repositories").rglob(Digest(digest).hex):
        if "_referrers" in path.parts:
            path.unlink()
    with layout.change() as names:
        for name in [one for one in names if Digest(digest).hex in one]:
            del names[name]


def test_hidden_evidence_is_missing(shop: Mini, registry: Place) -> None:
    """A registry that lists no referrer and no tag of evidence makes an image that nobody signed."""
    reference = pushed(shop)
    hide(registry.layout, subject(shop))

    answer = shop.inv("verify", "--reference", reference)

    assert answer.code == 4
    assert answer.out.count("AttestationMissing") == 5


@pytest.mark.parametrize("part", ["index", "manifest", "config", "evidence"])
def test_changed_bytes_in_a_registry(part: str, shop: Mini, registry: Place) -> None:
    """Whatever of it a registry serves with other bytes, nothing is trusted."""
    reference = pushed(shop)
    layout, digest = registry.layout, subject(shop)
    manifest = layout.manifests(digest)[0].digest
    referrer = layout.referrers(digest)[0].digest
    found = {
        "index": digest,
        "manifest": manifest,
        "config": Manifest.parse(layout.read(manifest)).config.digest,
        "evidence": Manifest.parse(layout.read(referrer)).layers[0].digest,
    }[part]
    change(layout, found)

    answer = shop.inv("verify", "--reference", reference)

    assert answer.code in (4, 5), answer.err
    assert "trusted:" not in answer.out


def test_a_tag_that_moves_does_not_matter(
    shop: Mini, registry: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag is asked for once: what is moved under it afterwards is neither read nor named."""
    reference, digest = pushed(shop), subject(shop)
    other = registry.layout.put(index_bytes(Index(manifests=())), INDEX)
    real = places.resolve

    def moved(*arguments: object) -> str:
        found = real(*arguments)  # type: ignore[arg-type]
        registry.layout.tag({registry.mine(reference.rpartition(":")[2]): other})
        return found

    monkeypatch.setattr(places, "resolve", moved)

    answer = shop.inv("verify", "--reference", reference, "--json")

    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["subject"] == digest


def test_requirements_on_the_command_line(built_mini: Mini) -> None:
    """They stand in the place of the environment's, in the order in which they were typed."""
    answer = built_mini.inv(
        "verify", "-c", "web", "--require", "provenance: {builder: lockgate/native}",
        "--require", "sbom",
    )  # fmt: skip

    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines] == ["provenance", "sbom", "trusted:"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("sbmo", "--require[0]: 'sbmo' is not a requirement"),
        ("vuln: {max_age: 2}", "--require[0].vuln: 'max_age' is not an option"),
        ("signature: {keys: [stranger]}", "'stranger' is not a key or identity that is trusted"),
        ("a: b: c", "is not readable as YAML"),
        ("sbom\udcff", "is not UTF-8"),
        ("", "names nothing"),
    ],
)
def test_a_requirement_that_is_none(entry: str, said: str, built_mini: Mini) -> None:
    """It is refused before anything is read: exit 2, with a hint."""
    answer = built_mini.inv("verify", "-c", "web", "--require", entry)

    assert answer.code == 2
    assert said in answer.err
    assert "hint: " in answer.err
    assert answer.out == ""


def test_an_unmet_requirement_is_4(built_mini: Mini) -> None:
    """What was never attested is named."""
    answer = built_mini.inv("verify", "-c", "web", "--require", "tests", "--require", "sbom")

    assert answer.code == 4
    assert "tests       refused   no tests is attested   (AttestationMissing)" in answer.out
    assert 'not trusted: 1 of 2 requirements of "dev" unmet' in answer.out


def test_a_list_by_its_name(built_mini: Mini) -> None:
    """`default` is the list of an environment that names none, and an environment's name is its list."""
    built_mini.settings("  dev: {", "  dev: {require: [sbom], ")

    for words, many in (
        ((), 1),
        (("--require", "default"), 5),
        (("--require", "dev"), 1),
        (("--require", "staging"), 5),
    ):
        answer = built_mini.inv("verify", "-c", "web", *words)
        assert f"{many} of {many} requirements" in answer.out


def test_settings_rule_what_is_deployed_and_pushed(shop: Mini, registry: Place) -> None:
    """What `require` names is what every task asks for that rests on trust."""
    shop.settings("registry: ", "require: [sbom, tests], registry: ")

    for arguments in (["verify", "-c", "web"], ["push", "-c", "web"], ["deploy", "-c", "web"]):
        answer = shop.inv(*arguments)
        assert answer.code == 4, arguments
        assert "tests" in answer.err
    assert registry.layout.tags() == {}


def test_settings_name_the_entry_that_is_wrong(built_mini: Mini) -> None:
    """Field, entry and nearest right word."""
    built_mini.settings("  dev: {", "  dev: {require: [sbom, {vuln: {max_days: 2}}], ")

    answer = built_mini.inv("verify", "-c", "web")

    assert answer.code == 2
    assert "`lockgate.yaml`: environments.dev.require[1].vuln: 'max_days' is not" in answer.err


def test_an_identity_without_its_trusted_root(built_mini: Mini) -> None:
    """A trusted root that cannot be read is a key that cannot be read."""
    someone = "identities: [{name: ci, subject: 'https://a.b/c', issuer: 'https://a.b'}]"
    built_mini.settings("  dev: {", f"  dev: {{{someone}, trusted_root: root.json, ")

    answer = built_mini.inv("verify", "-c", "web")

    assert answer.code == 4
    assert "trusted root root.json cannot be read" in answer.err


def test_a_plan_names_what_would_be_asked(built_mini: Mini) -> None:
    """Nothing of the image is read."""
    answer = built_mini.inv("verify", "--plan", "--require", "vuln: {max_age_days: 2}")

    assert answer.code == 0
    assert 'required: {"vuln": {"max_age_days": 2}}' in answer.err
    assert answer.out == ""


def test_pushed_to_the_environment_s_registry(shop: Mini, registry: Place) -> None:
    """Every component goes there, under its name, with environment and commit as its tag; stdout has both digests."""
    answer = shop.inv("push")

    assert answer.code == 0, answer.err
    names = {one for one in registry.layout.tags() if "sha256-" not in one}
    commit = json.loads((shop.path / ".lockgate/records/web/image.json").read_bytes())["source"]
    assert names == {f"shop/{one}:dev-{commit['revision'][:7]}" for one in ("web", "worker")}
    assert answer.out.splitlines() == [
        f"{registry.host}/shop/{one}@{subject(shop, one)}" for one in ("web", "worker")
    ]


def test_pulled_from_the_environment_s_registry(shop: Mini) -> None:
    """A tag without a host is one in it."""
    reference = pushed(shop)

    answer = shop.inv("pull", "web:" + reference.rpartition(":")[2], "--name", "again")

    assert answer.code == 0, answer.err
    assert subject(shop, "again") == subject(shop)


def test_nowhere_to_push_to(built_mini: Mini) -> None:
    """Without a registry there is a hint for both ways to name one."""
    answer = built_mini.inv("push")

    assert answer.code == 2
    assert "set `registry` of `dev`" in answer.err
    assert "--to" in answer.err


def test_what_is_not_signed_is_not_pushed(shop: Mini, registry: Place) -> None:
    """Not for this environment, and nothing of the other component either: exit 4."""
    hide(Layout(shop.path / ".lockgate/store"), subject(shop, "worker"))

    answer = shop.inv("push")

    assert answer.code == 4
    assert registry.layout.tags() == {}


def test_what_the_gate_refused_is_not_pushed(shop: Mini, registry: Place) -> None:
    """S2.12: a closed gate is exit 3, also for an image that another environment let pass."""
    shop.settings("  staging: {", f"  staging: {{registry: '{registry.host}/shop', ")
    assert shop.inv("scan", "-e", "staging").code == 3

    answer = shop.inv("push", "-c", "web", "-e", "staging")

    assert answer.code == 3
    assert registry.layout.tags() == {}


def test_flow_says_what_was_verified_for_whom(built_mini: Mini) -> None:
    """A verification for one environment is none for another, and is stale once something else is required."""

    def state(*arguments: str) -> str:
        lines = built_mini.inv("flow", *arguments).out.splitlines()
        return next(
            line.split()[3] for line in lines if line.startswith("web") and "verify" in line
        )

    assert state() == "-"
    built_mini.inv("verify", "-c", "web")
    assert state() == "trusted"
    assert state("-e", "staging") == "-"
    built_mini.inv("verify", "-c", "web", "--require", "tests")
    assert state() == "trusted"

    built_mini.settings("  dev: {", "  dev: {require: [tests], ")

    assert state() == "stale"
    assert built_mini.inv("verify", "-c", "web").code == 4
    assert state() == "refused"


def test_several_at_once(shop: Mini, registry: Place) -> None:
    """Each word is an image, wherever it lies; one that is not trusted makes the whole exit 4."""
    reference = pushed(shop)
    words = ["--reference", "worker", "--reference", reference]

    answer = shop.inv("verify", *words, "--json")

    assert answer.code == 0, answer.err
    found = [json.loads(line)["subject"] for line in answer.out.splitlines()]
    assert found == [subject(shop, "worker"), subject(shop)]
    hide(registry.layout, subject(shop))
    again = shop.inv("verify", *words)
    assert again.code == 4
    assert "\ntrusted: 5 of 5" in again.out
