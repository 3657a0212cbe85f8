"""The manifests of the Todo app parse, render, fit the schemas, and break no rule."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.manifests.kubernetes import COMPONENTS, ENVIRONMENTS, ROOT, SETTINGS, World, rendered

from lockgate.config import documents, pins, rules, schema
from lockgate.config._schema_worker import Schemas
from lockgate.config.images import images
from lockgate.oci.reference import PinnedRef

FILES = sorted((ROOT / "k8s").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_is_yaml_that_is_read_in_one_way(path: Any) -> None:
    """Strictly read: no key twice, no alias, nothing that YAML 1.1 and 1.2 take for different things."""
    assert list(documents.read(path.read_bytes(), where=path.name))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_is_used(path: Any) -> None:
    """A file that no kustomization names is in no cluster."""
    if path.name == "kustomization.yaml":
        return
    assert path.name in (path.parent / "kustomization.yaml").read_text()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_object_fits_the_schema(environment: str) -> None:
    """The API server knows each field, and each is of the right type."""
    schemas = Schemas(schema.KUBERNETES)
    for one in rendered(environment):
        assert schemas.problems(dict(one.body)) == [], one.id.label


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_rule_is_broken(environment: str) -> None:
    """Our own rules hold, without a waiver."""
    assert World(environment).judge() == ()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_images_are_components(environment: str) -> None:
    """Nothing runs that this repository does not build, scan and sign."""
    used = {image for one in rendered(environment) for image in images(one)}
    assert used == ({"app", "postgres"} if environment == "dev" else {"app"})
    assert used <= set(SETTINGS.components)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_pinned_they_break_no_rule_either(environment: str) -> None:
    """With registry and digest in each image, as `inv config.build` writes them, everything still holds."""
    known = {
        name: PinnedRef(name=f"registry.example.com/shop/{name}", digest="sha256:" + "1" * 64)
        for name in COMPONENTS
    }
    pinned, _ = pins.pin(rendered(environment), known)
    used = {image for one in pinned for image in images(one)}
    assert used
    assert all(image.endswith("@sha256:" + "1" * 64) for image in used)
    found = rules.judge(pinned, components=COMPONENTS, development=environment == "dev", path="k8s")
    assert found == ()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_a_namespace(environment: str) -> None:
    """Every object lies in the environment's own namespace, which is among them."""
    places = {one.id.namespace for one in rendered(environment) if one.id.kind != "Namespace"}
    assert places == {f"todo-{environment}"}
    assert World(environment)("Namespace", f"todo-{environment}")


def test_only_dev_has_secrets_in_its_manifests() -> None:
    """The values are random and made here; git has none of them, and staging and prod name others'."""
    found = {env: [one for one in rendered(env) if one.id.kind == "Secret"] for env in ENVIRONMENTS}
    assert [len(found[env]) for env in ENVIRONMENTS] == [2, 0, 0]
    assert not list((ROOT / "k8s").rglob("secrets/*.yaml"))


def test_prod_is_staging_with_other_numbers() -> None:
    """What was tried in staging is what runs in prod: beside names and numbers nothing differs."""
    plain = [
        re.sub(r"\b(staging|prod)\b", "ENV", repr([dict(one.body) for one in rendered(env)]))
        for env in ("staging", "prod")
    ]
    numbers = re.compile(r"'(min|max)Replicas': \d+")
    assert numbers.sub("", plain[0]) == numbers.sub("", plain[1])


def test_the_database_has_room_for_every_connection() -> None:
    """Replicas, and one more in a rollout, times processes times connections stay below PostgreSQL's 100."""
    for environment in ENVIRONMENTS:
        world = World(environment)
        replicas = world("HorizontalPodAutoscaler")["spec"]["maxReplicas"] + 1
        processes = {one["name"]: one.get("value") for one in world.container["env"]}
        assert replicas * int(processes["WEB_CONCURRENCY"]) * 4 < 97


def test_the_schemas_are_those_of_the_node() -> None:
    """What is checked here is what the API server in the tests, and `enforce-version`, say."""
    module = (ROOT / "tools" / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{schema.KUBERNETES}." in module
    labels = World("prod")("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce-version"] == f"v{schema.KUBERNETES}"
