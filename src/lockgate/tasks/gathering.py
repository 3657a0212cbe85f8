"""What an artifact of manifests is made of, from settings and a person's words: read, and not yet rendered."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate import __version__
from lockgate.base.canonical import encode
from lockgate.base.errors import UsageError
from lockgate.build.model import Image, Source
from lockgate.oci.digest import Digest
from lockgate.oci.reference import PinnedRef
from lockgate.tasks import places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.base.settings import Environment
    from lockgate.config.kustomize import Renderer
    from lockgate.config.model import Artifact
    from lockgate.config.overlay import Overlay
    from lockgate.config.patch import PatchFile
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


class Read(NamedTuple):
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


def identities(session: Session, path: str) -> tuple[Any, ...]:
    """Return the private keys of age that were named, by a path or in the environment; none when none were.

    Raises:
        KeyRefused: the file cannot be read or holds no key.
    """
    from lockgate.config import crypt

    named = os.environ.get(crypt.IDENTITIES, "")
    if path:
        return crypt.identities(Path(path).expanduser())
    return crypt.identities(session.root / Path(named).expanduser()) if named else ()


def read(session: Session, environment: Environment, env: str, wanted: Wanted, ways: Ways) -> Read:
    """Read everything that was named, or the overlay of the environment.

    Raises:
        UsageError: something is not there, or is not what it should be.
        LockgateError: an artifact could not be read.
    """
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
    return Read(
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


def source(session: Session, read: Read, wanted: Wanted) -> Source:
    """Return where the objects come from: the commit of the files, or what was said of them.

    Raises:
        UsageError: SOURCE_DATE_EPOCH is not a number of seconds.
        ToolError: git could not be asked.
    """
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
            time=_epoch(),
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


def _epoch() -> int:
    """Return the time of what is of no commit: SOURCE_DATE_EPOCH, or 0."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given and not (given.isascii() and given.isdigit() and len(given) < 12):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {given!r}, not a number of seconds", hint="unset it"
        )
    return int(given or 0)


def _digest(read: Read) -> str:
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


def known(
    session: Session, environment: Environment, wanted: Wanted, ways: Ways
) -> dict[str, PinnedRef]:
    """Return repository and digest of each component that has an image, by the names that manifests call it by.

    Raises:
        UsageError: a record cannot be read.
        RegistryError: images are taken by tag, and the registry is out of reach.
    """
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


def inputs(
    session: Session,
    env: str,
    wanted: Wanted,
    read: Read,
    source: Source,
    known: Mapping[str, PinnedRef],
    render: Renderer | None,
) -> dict[str, str]:
    """Return everything that an artifact depends on, by reason."""
    _, environment = session.settings.target(env)
    path = recipients(session, environment, wanted)
    keys = Digest.of(path.read_bytes()) if path and path.is_file() else str(path or "")
    return {
        "COMMIT": source.revision + ("-dirty" if source.dirty else ""),
        "TIME": str(source.time),
        "ENVIRONMENT": env,
        "FILES": source.content,
        "IMAGES": ", ".join(sorted({str(one) for one in known.values()})),
        "RECIPIENTS": keys,
        "RENDERER": render.version if render else "",
        "SOURCE": source.repository,
        "BUILDER": __version__,
    }


def recipients(session: Session, environment: Environment, wanted: Wanted) -> Path | None:
    """Return the file of those that are encrypted to; what is typed goes before the settings."""
    if wanted.recipients:
        return Path(wanted.recipients).expanduser()
    return session.root / environment.recipients if environment.recipients else None
