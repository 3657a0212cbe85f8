"""The repository's manifests, rendered as `inv check.manifests` renders them."""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.base import settings_file
from lockgate.build import gotools
from lockgate.config import development, kustomize, rules
from lockgate.config.resource import Resource, of, parse
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from lockgate.scan.model import Finding

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ("dev", "staging", "prod")
SETTINGS = settings_file.parse((ROOT / "lockgate.yaml").read_bytes())
COMPONENTS = {name: (one.port, one.ready) for name, one in SETTINGS.components.items()}


@functools.cache
def rendered(environment: str) -> tuple[Resource, ...]:
    """Return the objects of an environment; the secrets of `dev` are made for this process alone."""
    renderer = kustomize.find(lambda: gotools.binary("kustomize", root=ROOT, cache=user_cache()))
    with tempfile.TemporaryDirectory(prefix="lockgate-test-") as name:
        whole = Path(name) / "k8s"
        shutil.copytree(ROOT / "k8s", whole, ignore=shutil.ignore_patterns("secrets"))
        folder = whole / "overlays" / environment
        accepted = SETTINGS.environments[environment].development_key
        development.provide(folder, accepted=accepted)
        return parse(renderer.build(folder), where=environment)


class World:
    """The objects of one environment, to be changed."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.bodies: list[dict[str, Any]] = [
            copy.deepcopy(dict(one.body)) for one in rendered(environment)
        ]

    def __call__(self, kind: str, name: str = "") -> dict[str, Any]:
        """Return the one object of a kind, or the one with this name among them."""
        (found,) = (
            one
            for one in self.bodies
            if one["kind"] == kind and name in ("", one["metadata"]["name"])
        )
        return found

    @property
    def pod(self) -> dict[str, Any]:
        """The specification of the app's pods."""
        spec: dict[str, Any] = self("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        """The app's container."""
        one: dict[str, Any] = self.pod["containers"][0]
        return one

    def remove(self, kind: str, name: str = "") -> dict[str, Any]:
        """Take an object out."""
        found = self(kind, name)
        self.bodies.remove(found)
        return found

    def add(self, api_version: str, kind: str, **more: Any) -> None:
        """Put an object in, into the environment's namespace."""
        metadata = {"name": "more", "namespace": f"todo-{self.environment}"}
        self.bodies.append({"apiVersion": api_version, "kind": kind, "metadata": metadata} | more)

    @property
    def resources(self) -> tuple[Resource, ...]:
        """The objects as they are now."""
        return tuple(of(one, self.environment) for one in self.bodies)

    def judge(self, resources: tuple[Resource, ...] = ()) -> tuple[Finding, ...]:
        """Return what breaks one of our rules."""
        return rules.judge(
            resources or self.resources,
            components=COMPONENTS,
            development=self.environment == "dev",
            path=f"k8s/overlays/{self.environment}",
        )
