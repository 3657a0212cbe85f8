"""The edges of `inv check.manifests`: kustomize, the schemas, Trivy, the waivers."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from lockgate import __version__
from lockgate.base.canonical import encode
from lockgate.base.errors import UsageError
from lockgate.base.files import exclusive
from lockgate.oci.digest import Digest
from lockgate.scan import trivy_install
from lockgate.tasks import configuring, judging
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from lockgate.base.settings import Environment
    from lockgate.config.inspection import Inspection
    from lockgate.config.resource import Resource
    from lockgate.gate.decision import Waiver
    from lockgate.tasks.session import Session


class Target(NamedTuple):
    """An environment with manifests."""

    name: str
    environment: Environment
    overlay: str
    """Folder of its kustomization, relative to `lockgate.yaml`."""


def targets(session: Session, env: str) -> list[Target]:
    """Return the named environment, or every one that has manifests.

    Raises:
        UsageError: there is no such environment, or the named one has no manifests.
    """
    settings = session.settings
    if not env:
        every = (_target(session, name) for name in settings.environments)
        # A folder that the settings name must be there; the usual one need not.
        return [
            one for one in every if one.environment.overlay or (session.root / one.overlay).is_dir()
        ]
    found = _target(session, env)
    if not (session.root / found.overlay).is_dir():
        raise UsageError(
            f"{found.name} has no manifests: there is no folder {found.overlay}",
            hint="write a kustomization there, or name its folder as the environment's `overlay`",
        )
    return [found]


def _target(session: Session, env: str) -> Target:
    name, environment = session.settings.target(env)
    path = os.path.relpath(configuring.overlay(session, name), session.root)
    return Target(name, environment, path)


def run(session: Session, target: Target) -> tuple[Inspection, bool]:
    """Render and judge the manifests of an environment; return the record, and whether it was made now.

    Raises:
        UsageError: the overlay cannot be rendered, or the waivers cannot be read.
        ToolError: kustomize, the schemas or Trivy could not do their work.
    """
    from lockgate.config.emit import emit
    from lockgate.config.inspection import Inspection
    from lockgate.gate import waiver

    resources = render(session, target)
    permitted = judging.waivers_file(session)
    now = int(time.time())
    depends = {
        "MANIFESTS": Digest.of(emit(resources)),
        "WAIVERS": Digest.of(permitted),
        "DAY": waiver.day(now).isoformat(),
        "CONFIG": Digest.of(encode([target, session.settings.components])),
        "TOOLS": _tools(),
    }
    console = session.console
    with exclusive(
        session.lock(f"check-manifests-{target.name}"),
        waiting=lambda: console.say("check", "another run checks these manifests; waiting for it"),
    ):
        kept = session.cache.find("manifests", target.name, depends, Inspection)
        if kept is not None:
            return kept, False
        waivers = waiver.parse(
            permitted,
            today=waiver.day(now),
            max_days=target.environment.waiver_max_days,
            components=tuple(session.settings.components),
            what=session.settings.waivers,
        )
        made = _inspect(session, target, resources, waivers, now)
        session.cache.keep("manifests", target.name, depends, made)
    return made, True


def render(session: Session, target: Target) -> tuple[Resource, ...]:
    """Return the objects of an environment as its manifests say, before digests are written into them.

    Raises:
        UsageError: the overlay cannot be rendered.
        ToolError: there is no kustomize, and none could be built.
    """
    from lockgate.config import development
    from lockgate.config import overlay as overlays
    from lockgate.config.resource import parse

    folder = session.root / target.overlay
    made = development.provide(folder, accepted=target.environment.development_key)
    if made:
        session.console.say("check", f"made for development: {', '.join(made)}", tone="warn")
    overlays.check(overlays.look(folder))
    # What SOPS has encrypted stays so: whoever checks has no need of the keys.
    data = configuring.renderer(session).build(folder)
    return parse(data, where=f"{target.overlay} (rendered)")


def _tools() -> str:
    from lockgate.config import schema

    scanner = trivy_install.fingerprint(os.environ.get("PATH", ""))
    return f"lockgate@{__version__} {Digest.of(schema.lock().read_bytes())} {scanner}"


def _inspect(
    session: Session,
    target: Target,
    resources: tuple[Resource, ...],
    waivers: tuple[Waiver, ...],
    now: int,
) -> Inspection:
    from lockgate.config import schema
    from lockgate.config.inspection import inspect
    from lockgate.gate import waiver
    from lockgate.scan.trivy import Trivy, sandbox

    located = trivy_install.locate(os.environ.get("PATH", ""), user_cache())
    trivy = Trivy(located, sandbox(), user_cache() / "work")
    return inspect(
        resources,
        environment=target.name,
        path=target.overlay,
        components={
            name: (one.port, one.ready) for name, one in session.settings.components.items()
        },
        development=target.environment.development_key,
        compare=lambda objects: schema.compare(
            objects,
            tools=session.folder / "tools",
            progress=lambda text: session.console.say("check", text),
        ),
        scan=lambda files: trivy.misconfigurations(files, session.settings.scan),
        scanner=trivy.scanner,
        waivers=waivers,
        today=waiver.day(now),
    )
