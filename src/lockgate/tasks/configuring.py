"""The config floor's edges, made from the settings: what is rendered, pinned and packaged for an environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate import __version__
from lockgate.base.canonical import encode
from lockgate.base.errors import UsageError
from lockgate.base.files import exclusive
from lockgate.build.model import Image, Source
from lockgate.config.model import Artifact, Built
from lockgate.oci.digest import Digest
from lockgate.oci.reference import PinnedRef
from lockgate.tasks import places
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.base.settings import Environment
    from lockgate.config.kustomize import Renderer
    from lockgate.config.overlay import Overlay
    from lockgate.config.patch import PatchFile
    from lockgate.config.resource import Resource
    from lockgate.config.sources import File
    from lockgate.tasks.places import Ways
    from lockgate.tasks.session import Session

PREFIX = "config-"
"""Start of the name of an environment's artifact in the store."""


class Wanted(NamedTuple):
    """What a person named for an artifact."""

    overlay: str = ""
    """Folder; empty: the environment's, unless files or artifacts are named."""
    files: Sequence[str] = ()
    artifacts: Sequence[str] = ()
    patches: Sequence[str] = ()
    recipients: str = ""
    identities: str = ""
    source: str = ""
    revision: str = ""
    registry: str = ""
    """Registry and folder that images are pulled from; empty: the environment's."""
    tag: str = ""
    """Tag under which the registry holds the images; empty: those of the last build."""
    name: str = ""
    """Name in the store; empty: `config-` and the environment."""


NOTHING = Wanted()
"""The environment's overlay, with the images of the last build."""


class _Read(NamedTuple):
    """Everything that an artifact is made of, read and not yet rendered."""

    overlay: Overlay | None
    files: tuple[File, ...]
    given: tuple[tuple[Artifact, bytes], ...]
    """Artifacts with their plain YAML."""
    patches: tuple[PatchFile, ...]


def name_of(env: str) -> str:
    """Return the name in the store of an environment's artifact."""
    return PREFIX + env


def overlay(session: Session, env: str) -> Path:
    """Return the folder of an environment's kustomization."""
    name, environment = session.settings.target(env)
    return session.root / (environment.overlay or f"k8s/overlays/{name}")


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


def identities(session: Session, path: str) -> tuple[Any, ...]:
    """Return the private keys of age that were named, by a path or in the environment; none when none were.

    Raises:
        KeyRefused: the file cannot be read or holds no key.
    """
    from lockgate.config import crypt

    named = path or os.environ.get(crypt.IDENTITIES, "")
    return crypt.identities(session.root / Path(named).expanduser()) if named else ()


def build(
    session: Session, env: str, wanted: Wanted = NOTHING, ways: Ways | None = None
) -> tuple[Built, bool]:
    """Render, pin and package; return what was made, and whether it is new.

    Args:
        session: the repository.
        env: the environment; empty for the default one.
        wanted: what a person named.
        ways: how registries are reached.

    Raises:
        UsageError: there is nothing to package, a document is no object, an image has no digest, or the environment
            takes commits only.
        LockgateError: a tool, a key, a registry or the store failed.
    """
    env, environment = session.settings.target(env)
    reached = ways or places.Ways(session, "", ())
    name = wanted.name or name_of(env)
    with exclusive(
        session.lock(f"config-{name}"),
        waiting=lambda: session.console.say("config", "another run makes this artifact; waiting"),
    ):
        read = _read(session, environment, env, wanted, reached)
        source = _source(session, read, wanted)
        if source.dirty and not environment.dirty:
            what = ", ".join(source.changes[:3]) or "there is no commit"
            raise UsageError(
                f"the manifests have uncommitted changes ({what}); {env} takes commits only",
                hint="commit them, or build for an environment with `dirty: true`",
            )
        known = _known(session, environment, wanted, reached)
        render = renderer(session) if read.overlay or read.patches else None
        inputs = _inputs(session, env, wanted, read, source, known, render)
        kept = session.cache.find("config", name, inputs, Built)
        if kept is not None and _present(session, kept):
            _name(session, name, kept)
            return kept, False
        registry = wanted.registry or environment.registry
        resources = _render(session, read, render, known, registry)
        built = _package(session, environment, env, wanted, name, resources, source, render, inputs)
        session.cache.keep("config", name, inputs, built)
        _name(session, name, built)
    return built, True


def _read(
    session: Session, environment: Environment, env: str, wanted: Wanted, ways: Ways
) -> _Read:
    from lockgate.config import development, patch, sources
    from lockgate.config import overlay as overlays

    folder = Path(wanted.overlay) if wanted.overlay else None
    if folder is None and not wanted.files and not wanted.artifacts:
        folder = overlay(session, env)
    looked = None
    if folder is not None:
        made = development.provide(folder, accepted=environment.development_key)
        if made:
            session.console.say("config", f"made for development: {', '.join(made)}", tone="warn")
        looked = overlays.look(folder)
    stdin = sys.stdin.buffer.read() if sources.STDIN in wanted.files else b""
    return _Read(
        overlay=looked,
        files=sources.gather(wanted.files, stdin=stdin),
        given=tuple(_given(session, ways, one, wanted.identities) for one in wanted.artifacts),
        patches=tuple(patch.read(Path(one)) for one in wanted.patches),
    )


def _given(session: Session, ways: Ways, text: str, named: str) -> tuple[Artifact, bytes]:
    from lockgate.config import package

    with places.reading(ways, plain(text), layers=True) as (place, digest):
        return package.contents(place, digest, identities=identities(session, named), name=text)


def plain(text: str) -> str:
    """Return a reference without the `oci://` that Flux and Argo CD write before it."""
    return text.removeprefix("oci://")


def _source(session: Session, read: _Read, wanted: Wanted) -> Source:
    """Return where the objects come from: the commit of the files, or what was said of them."""
    from lockgate.build import git
    from lockgate.config.sources import WHERE_STDIN

    files = [Path(one.where) for one in read.files if one.where != WHERE_STDIN]
    outside = len(files) < len(read.files) or bool(read.given)
    files += list(read.overlay.files) if read.overlay else []
    files += [Path(one) for one in wanted.patches]
    content = _digest(read)
    root = session.root.resolve()
    paths = [one.resolve() for one in files]
    outside = outside or not paths or not all(one.is_relative_to(root) for one in paths)
    if wanted.revision or outside:
        return Source(
            repository=wanted.source or session.settings.source,
            revision=wanted.revision,
            time=int(os.environ.get("SOURCE_DATE_EPOCH") or 0),
            subpath="",
            content=content,
            changes=(),
        )
    named = sorted({one.relative_to(root).as_posix() for one in paths})
    folder = read.overlay.folder.resolve() if read.overlay else paths[0]
    found = git.source(
        root,
        repository=wanted.source or session.settings.source,
        subpath=folder.relative_to(root).as_posix(),
        exclude=(),
        also=named,
        content=content,
    )
    # Of a folder only what is named is in the artifact.
    changes = tuple(one for one in found.changes if one in named)
    return Source(
        repository=found.repository,
        revision=found.revision,
        time=found.time,
        subpath=found.subpath,
        content=content,
        changes=changes,
    )


def _digest(read: _Read) -> str:
    """Return a digest over everything that was read, by name and content."""
    parts: dict[str, str] = {
        f"file {number} {one.name}": Digest.of(one.data) for number, one in enumerate(read.files)
    }
    if read.overlay:
        for path in read.overlay.files:
            name = os.path.relpath(path.resolve(), read.overlay.folder.resolve())
            parts[f"overlay {name}"] = Digest.of(path.read_bytes())
    for number, (artifact, _) in enumerate(read.given):
        parts[f"artifact {number}"] = artifact.subject
    for number, one in enumerate(read.patches):
        parts[f"patch {number}"] = Digest.of(repr(one.content).encode())
    return Digest.of(encode(parts))


def _known(
    session: Session, environment: Environment, wanted: Wanted, ways: Ways
) -> dict[str, PinnedRef]:
    """Return repository and digest of each component that has an image, by the names that manifests call it by."""
    registry = (wanted.registry or environment.registry).rstrip("/")
    found: dict[str, PinnedRef] = {}
    for name in session.settings.components if registry else ():
        repository = f"{registry}/{name}"
        digest = (
            _tagged(ways, f"{repository}:{wanted.tag}") if wanted.tag else _built(session, name)
        )
        if digest:
            found[name] = found[repository] = PinnedRef(name=repository, digest=digest)
    return found


def _built(session: Session, name: str) -> str:
    if not session.record_path(name, "image").exists():
        return ""
    return session.record(name, "image", Image, made_by="build").subject


def _tagged(ways: Ways, text: str) -> str:
    place = places.Place.parse(text)
    with places.source(ways, place) as registry:
        found = registry.resolve(place.name)
    return found.digest if found else ""


def _inputs(
    session: Session,
    env: str,
    wanted: Wanted,
    read: _Read,
    source: Source,
    known: Mapping[str, PinnedRef],
    render: Renderer | None,
) -> dict[str, str]:
    _, environment = session.settings.target(env)
    named = wanted.recipients or environment.recipients
    recipients = (
        Digest.of((session.root / named).read_bytes()) if _is_file(session, named) else named
    )
    return {
        "COMMIT": source.revision + ("-dirty" if source.dirty else ""),
        "TIME": str(source.time),
        "ENVIRONMENT": env,
        "FILES": source.content,
        "IMAGES": ", ".join(sorted({str(one) for one in known.values()})),
        "RECIPIENTS": recipients,
        "RENDERER": render.version if render else "",
        "SOURCE": source.repository,
        "BUILDER": __version__,
    }


def _is_file(session: Session, named: str) -> bool:
    return bool(named) and (session.root / named).is_file()


def _render(
    session: Session,
    read: _Read,
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
    if called and not known:
        raise _unknown(called[0], registry)
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


def pins(session: Session, env: str, folder: Path) -> dict[str, PinnedRef]:
    """Return repository and digest of each component that an overlay calls, or has pinned before.

    Raises:
        UsageError: it calls none, no registry is named, or a component was not built.
    """
    from lockgate.config import overlay as overlays
    from lockgate.config import pins as pinning
    from lockgate.config import resource

    _, environment = session.settings.target(env)
    known = _known(session, environment, NOTHING, places.Ways(session, "", ()))
    components = session.settings.components
    looked = overlays.look(folder)
    overlays.check(looked)
    rendered = resource.parse(renderer(session).build(folder), where=str(folder))
    called = set(pinning.names(rendered, components))
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

    named = wanted.recipients or environment.recipients
    to = crypt.recipients(session.root / named) if named else ()
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
