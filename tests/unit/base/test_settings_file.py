"""`lockgate.yaml`: found, checked, explained, and never read stale."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
from pathlib import Path
from typing import Any

import pytest

from lockgate.base import settings as model
from lockgate.base import settings_file
from lockgate.base.errors import UsageError
from lockgate.base.settings import Settings
from lockgate.base.settings_file import find_root, json_schema, load, parse

MINIMAL = """\
project: shop
components:
  app:
    path: app
    entrypoint: [python3, -m, app]
"""


def write(root: Path, text: str = MINIMAL) -> Path:
    """Write a settings file."""
    (root / "lockgate.yaml").write_text(text)
    return root


def refused(text: str) -> UsageError:
    """Return the error for settings that must not be accepted."""
    with pytest.raises(UsageError) as caught:
        parse(text.encode())
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("`lockgate.yaml`")
    return caught.value


def with_component(line: str) -> str:
    """The minimal settings with one more line in the component."""
    return MINIMAL + f"    {line}\n"


def kept(root: Path) -> list[Path]:
    """The files of the cache."""
    return sorted((root / ".lockgate/cache/settings").glob("*"))


def test_the_minimal_file_gets_every_default() -> None:
    """What the file does not say is what the model says."""
    found = parse(MINIMAL.encode())
    component = found.components["app"]
    assert found == Settings(project="shop", components={"app": component})
    assert (component.stack, component.port, component.ready) == ("python", 8080, "/readyz")
    assert found.build.platforms == ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        (MINIMAL + "enviroment: dev\n", "enviroment", "environment"),
        (with_component("pot: 1"), "components.app.pot", "port"),
        (MINIMAL + "build: {platfroms: []}\n", "build.platfroms", "platforms"),
        (MINIMAL + "scan: {timout: 1}\n", "scan.timout", "timeout"),
        (
            MINIMAL + "environments: {dev: {sevrity: LOW}}\n",
            "environments.dev.sevrity",
            "severity",
        ),
    ],
)
def test_an_unknown_key_gives_the_nearest(text: str, where: str, hint: str) -> None:
    """At every level the key is named with its path, and the right word is offered."""
    error = refused(text)
    assert error.message == f"`lockgate.yaml`: {where} is not a setting"
    assert error.hint == f"did you mean `{hint}`?"


def test_a_misspelt_required_key_is_told_first() -> None:
    """Of "unknown" and "missing" for one slip, the one with the right word comes first."""
    error = refused(MINIMAL.replace("project:", "projct:"))
    assert error.message.startswith("`lockgate.yaml`: projct is not a setting")
    assert error.hint == "did you mean `project`?"


def test_an_unknown_key_like_none_gives_the_list() -> None:
    """Where nothing is near, the keys of that very level are listed."""
    hint = refused(MINIMAL + "build: {zzzzzz: 1}\n").hint
    assert hint == "known here: engine, platforms, relock, mirror, security_mirror"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (MINIMAL.replace("path: app", "path: [app]"), "components.app.path"),
        (with_component("port: many"), "components.app.port"),
        (with_component("environment: {A: 1}"), "components.app.environment.A"),
        (MINIMAL.replace("[python3, -m, app]", "python3 -m app"), "components.app.entrypoint"),
        (MINIMAL.replace("[python3, -m, app]", "[python3, 5]"), "components.app.entrypoint.1"),
        (MINIMAL + "scan: 5\n", "scan"),
        (MINIMAL + "scan: null\n", "scan"),
        (MINIMAL + "build: {engine: docker}\n", "build.engine"),
        (MINIMAL + "environments: {dev: {blocks: perhaps}}\n", "environments.dev.blocks"),
        ("project: shop\n", "components"),
        ("project: shop\ncomponents: []\n", "components"),
        ("project: shop\ncomponents: {app: {path: app}}\n", "components.app.entrypoint"),
        ("project: shop\ncomponents: {app: null}\n", "components.app"),
    ],
)
def test_a_wrong_or_missing_value_names_the_field(text: str, field: str) -> None:
    """The message names the field by its path in the file."""
    error = refused(text)
    assert error.message.startswith(f"`lockgate.yaml`: {field}: ")
    assert error.hint


def test_the_allowed_words_are_shown_as_they_are_written() -> None:
    """Copying a word from the message works."""
    message = refused(MINIMAL + "environments: {dev: {severity: high}}\n").message
    assert "'HIGH' or 'CRITICAL'" in message


@pytest.mark.parametrize("text", ["[]", "5", "text", "- project: shop"])
def test_another_form_than_a_mapping_is_refused(text: str) -> None:
    """A file that is a list or a word is told so."""
    assert refused(text).message == "`lockgate.yaml` must be a mapping of settings"


@pytest.mark.parametrize("text", ["", "{", "project: a\nproject: b\n", "a: &b 1\nc: *b\n"])
def test_what_is_not_strict_yaml_is_refused(text: str) -> None:
    """The file is read with the strict reader."""
    refused(text)


def test_no_component_is_refused() -> None:
    """Settings without a component would make every command a success about nothing."""
    assert "components is empty" in refused("project: shop\ncomponents: {}\n").message


@pytest.mark.parametrize(
    "name",
    [
        "App",
        "a b",
        "a/b",
        "../a",
        "-a",
        "a--b",
        "a_",
        "ä",
        "''",
        "stack-python",
        "sha256-0",
        "a" * 101,
    ],
)
def test_a_component_must_have_a_name_for_the_store(name: str) -> None:
    """A name is a tag: no path, no capital letter, no name that the store gives to other things."""
    error = refused(MINIMAL.replace("  app:", f"  {name}:"))
    assert error.message.startswith("`lockgate.yaml`: component ")


def test_a_component_cannot_be_another_ones_platform() -> None:
    """`app-linux-amd64` is the tag of one platform of `app`."""
    text = MINIMAL + "  app-linux-amd64:\n    path: b\n    entrypoint: [x]\n"
    assert "'app-linux-amd64' has a name" in refused(text).message


@pytest.mark.parametrize("path", ["/etc", "../app", "a/../../b", "a/.."])
def test_a_component_stays_in_the_repository(path: str) -> None:
    """No path leads out of the folder of `lockgate.yaml`."""
    error = refused(MINIMAL.replace("path: app", f"path: {path}"))
    assert error.message.endswith("components.app.path leaves the repository")


def test_an_empty_entrypoint_is_refused() -> None:
    """An image that starts nothing is not built."""
    assert "entrypoint is empty" in refused(MINIMAL.replace("[python3, -m, app]", "[]")).message


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (with_component("port: 0"), "components.app.port"),
        (with_component("port: 65536"), "components.app.port"),
        (with_component("coverage: 101"), "components.app.coverage"),
        (MINIMAL + "scan: {timeout: 0}\n", "scan.timeout"),
        (MINIMAL + "environments: {dev: {port: -1}}\n", "environments.dev.port"),
        (
            MINIMAL + "environments: {dev: {database_max_age_days: -1}}\n",
            "environments.dev.database_max_age_days",
        ),
        (
            MINIMAL + "environments: {dev: {waiver_max_days: 99999999999}}\n",
            "environments.dev.waiver_max_days",
        ),
    ],
)
def test_a_number_out_of_range_is_refused(text: str, field: str) -> None:
    """Ports, percentages and days that cannot be are told with what can."""
    error = refused(text)
    assert error.message.startswith(f"`lockgate.yaml`: {field} is ")
    assert error.hint.startswith("write a number from ")


@pytest.mark.parametrize("platforms", ["[]", "[linux/amd64, linux/amd64]"])
def test_platforms_are_some_and_different(platforms: str) -> None:
    """An image of no platform is nothing, and one twice would be written twice at once."""
    assert "build.platforms" in refused(MINIMAL + f"build: {{platforms: {platforms}}}\n").message


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ("environment: prd\n", "did you mean `prod`?"),
        ("environment: moon\nenvironments: {live: {}}\n", "add it there"),
    ],
)
def test_the_default_environment_must_exist(extra: str, hint: str) -> None:
    """A default that names nothing is found when the file is read, not when it is used."""
    error = refused(MINIMAL + extra)
    assert "is not among environments" in error.message
    assert error.hint == hint


def test_the_root_is_found_from_below(tmp_path: Path) -> None:
    """The nearest folder above that holds the file is the root."""
    write(tmp_path)
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    assert find_root(below) == tmp_path
    assert find_root(tmp_path) == tmp_path
    write(tmp_path / "a")
    assert find_root(below) == tmp_path / "a"


def test_the_root_is_found_from_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative start has folders above it too."""
    write(tmp_path)
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert find_root(Path()) == tmp_path


def test_a_folder_of_that_name_is_not_the_file(tmp_path: Path) -> None:
    """Only a file counts."""
    write(tmp_path)
    (tmp_path / "a/lockgate.yaml").mkdir(parents=True)
    assert find_root(tmp_path / "a") == tmp_path


def test_without_a_file_the_error_says_where_it_looked(tmp_path: Path) -> None:
    """No settings above: one line with the folder, and a hint."""
    with pytest.raises(UsageError, match=r"there is no `lockgate\.yaml` in") as caught:
        find_root(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """Loading from a folder without the file names the file."""
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path)


def test_loading_twice_checks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time the checked form is read, and it is equal."""
    write(tmp_path)
    first = load(tmp_path)

    def checker(data: bytes) -> Settings:
        pytest.fail(f"checked again: {data!r}")

    monkeypatch.setattr(settings_file, "parse", checker)
    assert load(tmp_path) == first


def test_an_edit_is_seen_at_once(tmp_path: Path) -> None:
    """The cache goes by content: same size and same time do not deceive it."""
    path = write(tmp_path) / "lockgate.yaml"
    assert load(tmp_path).project == "shop"
    before = path.stat()
    write(tmp_path, MINIMAL.replace("shop", "shed"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(tmp_path).project == "shed"
    write(tmp_path)
    assert load(tmp_path).project == "shop"


def test_another_model_does_not_read_the_old_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version of Lockgate, or of the model, checks the file again."""
    write(tmp_path)
    load(tmp_path)
    monkeypatch.setattr(settings_file, "__version__", "999")
    load(tmp_path)
    assert len(kept(tmp_path)) == 2


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{", b"\xff\xff", b'{"project":"\xff"}', b'{"project":"x"}', b"null", b"[" * 100_000],
)
def test_a_broken_cached_form_is_made_again(tmp_path: Path, garbage: bytes) -> None:
    """A damaged cache costs time and nothing else, and is repaired."""
    write(tmp_path)
    first = load(tmp_path)
    (file,) = kept(tmp_path)
    good = file.read_bytes()
    file.write_bytes(garbage)
    assert load(tmp_path) == first
    assert file.read_bytes() == good


def test_an_unwritable_cache_does_not_hide_the_settings(tmp_path: Path) -> None:
    """Settings can be read where nothing can be written."""
    write(tmp_path)
    (tmp_path / ".lockgate").write_text("a file where the folder should be")
    assert load(tmp_path).project == "shop"


def test_a_wrong_file_is_not_cached(tmp_path: Path) -> None:
    """An error is found again every time."""
    write(tmp_path, MINIMAL + "zzz: 1\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="zzz"):
            load(tmp_path)
    assert kept(tmp_path) == []


def test_every_setting_has_its_docstring_as_description() -> None:
    """An editor shows the very text that stands under the field."""
    schema = json_schema()
    tree = ast.parse(inspect.getsource(model))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        section: dict[str, Any] = schema if node.name == "Settings" else schema["$defs"][node.name]
        fields = section["properties"]
        named = set()
        for field, text in zip(node.body, node.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if field.target.id == "__pydantic_config__":
                continue
            assert isinstance(text, ast.Expr), f"{node.name}.{field.target.id} has no docstring"
            assert isinstance(text.value, ast.Constant)
            shown = fields[field.target.id]
            if "description" not in shown:  # a section whose own description says the same
                shown = schema["$defs"][shown["$ref"].rsplit("/", 1)[1]]
            assert shown["description"] == inspect.cleandoc(str(text.value.value))
            named.add(field.target.id)
        assert named == fields.keys()


def test_the_schema_refuses_unknown_keys_too() -> None:
    """An editor marks what the reader would refuse."""
    schema = json_schema()
    sections = [schema, *schema["$defs"].values()]
    assert all(section["additionalProperties"] is False for section in sections)
    assert schema["required"] == ["project", "components"]


def test_what_the_file_says_of_dev_is_laid_over_its_defaults() -> None:
    """One field of `dev` changes that field: the others stay, and so do staging and prod."""
    found = parse((MINIMAL + "environments: {dev: {port: 0}}\n").encode()).environments
    defaults = model.default_environments()
    assert found["dev"] == dataclasses.replace(defaults["dev"], port=0)
    assert (found["staging"], found["prod"]) == (defaults["staging"], defaults["prod"])


def test_an_environment_of_another_name_adds_to_them() -> None:
    """It starts from the defaults of the fields, not from those of dev."""
    found = parse((MINIMAL + "environments: {live: {blocks: false}}\n").encode()).environments
    assert tuple(found) == ("dev", "staging", "prod", "live")
    assert found["live"] == model.Environment(blocks=False)


@pytest.mark.parametrize("field", ["ready", "smoke"])
def test_a_path_begins_with_a_slash(field: str) -> None:
    """`readyz` would be found wrong only when a deployment waits for it in vain."""
    text = f"project: p\ncomponents: {{c: {{path: c, entrypoint: [x], {field}: readyz}}}}\n"
    error = refused(text)
    assert f"components.c.{field}" in error.message
    assert error.hint == "write `/readyz`"


SOMEONE = "{name: ci, subject: 'https://a.example/b', issuer: 'https://a.example'}"


def trusting(identities: str, root: str = "trusted_root: root.json") -> str:
    """Return settings whose `prod` trusts identities."""
    return MINIMAL + f"environments: {{prod: {{identities: {identities}, {root}}}}}\n"


def test_identities_and_requirements_are_read() -> None:
    """Entries are names, or names with options, and keep their order."""
    text = MINIMAL + (
        "environments:\n  prod:\n    require: [sbom, {vuln: {max_age_days: 2}}]\n"
        f"    identities: [{SOMEONE}]\n    trusted_root: root.json\n    registry: a.example/shop\n"
    )
    found = parse(text.encode()).environments["prod"]
    assert found.require == ("sbom", {"vuln": {"max_age_days": 2}})
    assert found.identities[0].issuer == "https://a.example"
    assert (found.trusted_root, found.registry) == ("root.json", "a.example/shop")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (trusting(f"[{SOMEONE}]", "port: 0"), "environments.prod.identities needs `trusted_root`"),
        (trusting(f"[{SOMEONE}, {SOMEONE}]"), "identities[0]: several are called 'ci'"),
        (trusting("[{name: ci, subject: '', issuer: x}]"), "identities[0].subject is empty"),
        (trusting("[{name: ci, subject: 'a*', issuer: x}]"), "compared to the letter"),
        (trusting("[{name: ci, subject: a}]"), "environments.prod.identities.0.issuer"),
        (trusting("[{nmae: ci}]"), "environments.prod.identities.0.nmae is not a setting"),
        (MINIMAL + "environments: {prod: {require: sbom}}\n", "environments.prod.require is not"),
        (MINIMAL + "environments: {prod: {require: [5]}}\n", "environments.prod.require[0] is not"),
    ],
)
def test_who_is_trusted_is_named_whole(text: str, said: str) -> None:
    """Field and entry are named, and there is a hint."""
    error = refused(text)
    assert said in error.message
    assert error.hint
