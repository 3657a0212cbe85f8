"""The config floor's edges, made from the settings: what is rendered, pinned and packaged for an environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.base.files import exclusive
from lockgate.config.model import Built
from lockgate.tasks import gathering, places
from lockgate.tasks.gathering import NOTHING, Wanted, identities, name_of, overlay, plain
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lockgate.base.settings import Environment
    from lockgate.build.model import Source
    from lockgate.config.kustomize import Renderer
    from lockgate.config.overlay import Overlay
    from lockgate.config.resource import Resource
    from lockgate.oci.reference import PinnedRef
    from lockgate.tasks.places import Ways
    from lockgate.tasks.session import Session

__all__ = [
    "NOTHING",
    "Wanted",
    "build",
    "identities",
    "name_of",
    "needed",
    "overlay",
    "pins",
    "plain",
    "plan",
    "renderer",
]


def renderer(session: Session) -> Renderer:
    """Return kustomize: from PATH, from kubectl, or built.

    Raises:
        LockgateError: there is none, and it could not be built.
    """
    from lockgate.config import kustomize

    return kustomize.find(lambda: _tool(session, "kustomize"))


def _tool(session: Session, name: str) -> Path:
    from lockgate.build import gotools

    console = session.console
    reports = gotools.Reports(lambda text: console.say("tools", text), lambda *_: None)
    return gotools.binary(name, root=session.root, cache=user_cache(), reports=reports)


def plan(
    session: Session, env: str, wanted: Wanted = NOTHING, ways: Ways | None = None
) -> tuple[Resource, ...]:
    """Return the objects that would be packaged, pinned, in the order of applying; nothing is stored.

    Raises:
        LockgateError: as `build`.
    """
    from lockgate.config.order import order

    env, environment = session.settings.target(env)
    _check_name(session, wanted.name or name_of(env))
    reached = ways or places.Ways(session, "", ())
    read = gathering.read(session, environment, env, wanted, reached)
    known = gathering.known(session, environment, wanted, reached)
    render = renderer(session) if read.overlay or read.patches else None
    return order(_render(session, read, render, known, wanted.registry or environment.registry))


def build(
    session: Session,
    env: str,
    wanted: Wanted = NOTHING,
    ways: Ways | None = None,
    demand: Callable[[str], None] | None = None,
) -> tuple[Built, bool]:
    """Render, pin and package; return what was made, and whether it is new.

    Args:
        session: the repository.
        env: the environment; empty for the default one.
        wanted: what a person named.
        ways: how registries are reached.
        demand: makes a component on demand that the manifests call and that was never built; asked only when the
            artifact is not there as it should be.

    Raises:
        UsageError: there is nothing to package, a document is no object, an image has no digest, or the environment
            takes commits only.
        LockgateError: a tool, a key, a registry or the store failed.
    """
    env, environment = session.settings.target(env)
    reached = ways or places.Ways(session, "", ())
    name = wanted.name or name_of(env)
    _check_name(session, name)
    with exclusive(
        session.lock(f"config-{name}"),
        waiting=lambda: session.console.say("config", "another run makes this artifact; waiting"),
    ):
        read = gathering.read(session, environment, env, wanted, reached)
        source = gathering.source(session, read, wanted)
        if source.dirty and not environment.dirty:
            what = ", ".join(source.changes[:3]) or "there is no commit"
            raise UsageError(
                f"the manifests have uncommitted changes ({what}); {env} takes commits only",
                hint="commit them, or build for an environment with `dirty: true`",
            )
        known = gathering.known(session, environment, wanted, reached)
        render = renderer(session) if read.overlay or read.patches else None
        inputs = gathering.inputs(session, env, wanted, read, source, known, render)
        kept = session.cache.find("config", name, inputs, Built)
        if kept is not None and _present(session, kept):
            _name(session, name, kept)
            return kept, False
        lacking = needed(session, env) if demand else ()
        if demand and lacking:
            for one in lacking:
                demand(one)
            known = gathering.known(session, environment, wanted, reached)
            inputs = gathering.inputs(session, env, wanted, read, source, known, render)
        registry = wanted.registry or environment.registry
        resources = _render(session, read, render, known, registry)
        built = _package(session, environment, env, wanted, name, resources, source, render, inputs)
        session.cache.keep("config", name, inputs, built)
        _name(session, name, built)
    return built, True


def _check_name(session: Session, name: str) -> None:
    """Refuse a name that leads out of the folder of records, or that an image has.

    Raises:
        UsageError: it is one of these.
    """
    from lockgate.oci.reference import is_name

    if not is_name(name):
        raise UsageError(
            f"{name!r} cannot be a name in the store",
            hint="lower-case letters, digits, and `-`, `_` or `.` between them",
        )
    if name in session.settings.components:
        raise UsageError(
            f"{name!r} is a component: its image has this name in the store",
            hint="give another name with `--name`",
        )


def _render(
    session: Session,
    read: gathering.Read,
    render: Renderer | None,
    known: Mapping[str, PinnedRef],
    registry: str,
) -> tuple[Resource, ...]:
    """Return every object, patched and pinned: of the overlay, then of files, then of artifacts."""
    from lockgate.config import overlay as overlays
    from lockgate.config import patch, pins, resource, sources
    from lockgate.config.sops import Sops

    opener = Sops(lambda: _tool(session, "sops"))
    located: list[tuple[str, Resource]] = []
    if read.overlay and render:
        overlays.check(read.overlay)
        folder = read.overlay.folder
        where = f"{os.path.relpath(folder)} (rendered)"
        located += sources.opened(render.build(folder), where, opener)
    collected = sources.collect(read.files, open_sealed=opener)
    for skipped in collected.skipped:
        session.console.say("config", f"left out: {skipped}", tone="warn")
    located += collected.found
    for artifact, data in read.given:
        located += resource.located(data, where=artifact.name)
    resources = [one for _, one in resource.unique(located)]
    if not resources:
        raise UsageError("there is no object to package", hint="name an overlay or files")
    if render:
        resources = list(patch.apply(resources, read.patches, render))
    called = pins.names(resources, session.settings.components)
    unknown = [name for name in called if name not in known]
    if unknown:
        raise _unknown(unknown[0], registry)
    pinned, _ = pins.pin(resources, known)
    return pinned


def _unknown(name: str, registry: str) -> UsageError:
    if not registry:
        return UsageError(
            f"where a cluster gets the image of {name} from is not said",
            hint="set `registry` of the environment in `lockgate.yaml`, or name it with `--registry`",
        )
    return UsageError(
        f"the image of {name} is not known: it was not built here", hint=f"`inv build -c {name}`"
    )


def needed(session: Session, env: str) -> tuple[str, ...]:
    """Return the components on demand that an environment's manifests call, and of which nothing was built yet.

    Raises:
        LockgateError: as `build`.
    """
    from lockgate.config import pins as pinning

    env, environment = session.settings.target(env)
    absent = [
        name
        for name, one in session.settings.components.items()
        if one.on_demand and not session.record_path(name, "image").exists()
    ]
    if not absent:
        return ()
    read = gathering.read(session, environment, env, NOTHING, places.Ways(session, "", ()))
    if read.overlay is None:
        return ()
    return pinning.names(_rendered(session, read.overlay), absent)


def _rendered(session: Session, looked: Overlay) -> tuple[Resource, ...]:
    """Return the objects of an overlay as kustomize makes them: not patched further, not pinned."""
    from lockgate.config import overlay as overlays
    from lockgate.config import resource

    overlays.check(looked)
    return resource.parse(renderer(session).build(looked.folder), where=str(looked.folder))


def pins(session: Session, env: str, folder: Path) -> dict[str, PinnedRef]:
    """Return repository and digest of each component that an overlay calls, or has pinned before.

    Raises:
        UsageError: it calls none, no registry is named, or a component was not built.
    """
    from lockgate.config import overlay as overlays
    from lockgate.config import pins as pinning

    _, environment = session.settings.target(env)
    known = gathering.known(session, environment, NOTHING, places.Ways(session, "", ()))
    components = session.settings.components
    called = set(pinning.names(_rendered(session, overlays.look(folder)), components))
    listed = overlays.read(overlays.kustomization(folder)).get("images")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("name") in components:
            called.add(one["name"])
    if not called:
        raise UsageError(
            f"{folder} runs no component", hint="write `image: app` for the component `app`"
        )
    for name in sorted(called):
        if name not in known:
            raise _unknown(name, environment.registry)
    return {name: known[name] for name in sorted(called)}


def _package(
    session: Session,
    environment: Environment,
    env: str,
    wanted: Wanted,
    name: str,
    resources: Sequence[Resource],
    source: Source,
    render: Renderer | None,
    inputs: Mapping[str, str],
) -> Built:
    from lockgate.config import crypt, package
    from lockgate.config.mask import holds_values, is_secret
    from lockgate.tasks.console import quantity

    path = gathering.recipients(session, environment, wanted)
    to = crypt.recipients(path) if path else ()
    secrets = sum(is_secret(one.body) and holds_values(one.body) for one in resources)
    if secrets and not to:
        session.console.say(
            "config",
            f"{quantity(secrets, 'Secret')} in plain: who can pull the artifact can read them",
            tone="warn",
        )
    artifact = package.package(
        resources, name=name, source=source, layout=session.layout, recipients=to
    )
    return Built(
        artifact=artifact,
        environment=env,
        source=source,
        renderer=render.version if render else "",
        inputs=dict(inputs),
    )


def _present(session: Session, built: Built) -> bool:
    """True when the store still has the artifact, byte for byte."""
    from lockgate.base.errors import LockgateError
    from lockgate.config import package

    try:
        found = package.describe(session.layout, built.artifact.subject, name=built.artifact.name)
    except LockgateError:
        return False
    return found == built.artifact


def _name(session: Session, name: str, built: Built) -> None:
    """Let the name in the store point at the artifact, and keep the record for the stages after it."""
    from lockgate.oci.manifest import MANIFEST, Descriptor

    data = session.layout.read(built.artifact.subject)
    named = session.layout.tags().get(name)
    if named is None or named.digest != built.artifact.subject:
        session.layout.tag({name: Descriptor.of(MANIFEST, data)})
    session.keep(name, "artifact", built)
