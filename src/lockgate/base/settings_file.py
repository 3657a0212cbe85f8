"""Read `lockgate.yaml`: found in this folder or above, checked once per content."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate import __version__
from lockgate.base import settings as model
from lockgate.base.errors import StorageError, UsageError
from lockgate.base.files import atomic_write
from lockgate.base.settings import Settings, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.base.settings import Component

NAME = "lockgate.yaml"

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
"""A component's name is a path part and a tag of its image at once."""

_HOST = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")

_LONGEST = 100
"""Characters of a component's name: with a platform behind it, it must fit into a tag's 128."""

_MANY = 36_500
"""Upper end for numbers that only must not overflow: days of a century, seconds of ten hours."""


def find_root(start: Path) -> Path:
    """Return the folder that holds `lockgate.yaml`: `start` or the nearest one above.

    Raises:
        UsageError: there is none.
    """
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / NAME).is_file():
            return folder
    raise UsageError(
        f"there is no `{NAME}` in {start} or above",
        hint="`inv settings.init` writes one from what it finds; `docs/settings.md` has a short example",
    )


def load(root: Path) -> Settings:
    """Return the settings in `root`.

    The checked form is kept under `.lockgate/cache/settings/` by the digest of the file and of the model,
    so that a command that changes nothing does not pay for the checker.

    Raises:
        UsageError: the file cannot be read, or a field is unknown or wrong; the message names it.
    """
    path = root / NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"`{NAME}` cannot be read: {error.strerror}", hint=f"check {path}"
        ) from None
    key = hashlib.sha256(_model_digest() + data).hexdigest()
    kept = root / ".lockgate" / "cache" / "settings" / f"{key}.json"
    try:
        return msgspec.json.decode(kept.read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        found = parse(data)
        # Kept to save time only: a folder that cannot be written is no reason not to read it.
        with contextlib.suppress(StorageError):
            atomic_write(kept, msgspec.json.encode(found))
        return found


def _model_digest() -> bytes:
    sources = [Path(one).read_bytes() for one in (model.__file__, __file__)]
    return hashlib.sha256(b"\0".join([__version__.encode(), *sources])).digest()


def parse(data: bytes) -> Settings:
    """Check the bytes of a `lockgate.yaml`.

    Raises:
        UsageError: as `load`.
    """
    from pydantic import TypeAdapter, ValidationError

    from lockgate.base import strict_yaml

    content = _with_defaults(strict_yaml.load(data, what=f"`{NAME}`"))
    try:
        found: Settings = TypeAdapter(Settings).validate_python(content)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False), content) from None
    _check(found)
    return found


def _with_defaults(content: Any) -> Any:
    """Lay what the file says of dev, staging and prod over their defaults; further environments add to them.

    Whoever sets one field of `dev` means that field, and not to lose what makes it `dev`.
    """
    if not isinstance(content, dict) or not isinstance(content.get("environments"), dict):
        return content
    given = content["environments"]
    defaults = {name: dataclasses.asdict(one) for name, one in model.default_environments().items()}
    merged = {
        name: {**fields, **given[name]}
        if isinstance(given.get(name), dict)
        else given.get(name, fields)
        for name, fields in defaults.items()
    }
    return {
        **content,
        "environments": {**merged, **{k: v for k, v in given.items() if k not in merged}},
    }


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of `lockgate.yaml`, for editors."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(Settings).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _check(found: Settings) -> None:
    """What the types cannot say."""
    if not found.components:
        raise UsageError(f"`{NAME}`: components is empty", hint="name at least one component")
    for name, component in found.components.items():
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"`{NAME}`: component {name!r} cannot be an image name",
                hint="use lower-case letters, digits and single `-`, `_` or `.`",
            )
        _check_kind(name, component)
        for field, path in (("ready", component.ready), ("smoke", component.smoke)):
            if not path.startswith("/"):
                raise UsageError(
                    f"`{NAME}`: components.{name}.{field} is {path!r}, which is no path of an address",
                    hint=f"write `/{path}`",
                )
        if not component.entrypoint:
            raise UsageError(
                f"`{NAME}`: components.{name}.entrypoint is empty",
                hint="name the program that the image runs",
            )
    _check_names(found)
    check_cluster_name(found.cluster.name, "cluster.name")
    _check_numbers(found)
    _check_identities(found)
    if found.environment not in found.environments:
        raise UsageError(
            f"`{NAME}`: environment {found.environment!r} is not among environments",
            hint=nearest(found.environment, list(found.environments)) or "add it there",
        )


def _check_kind(name: str, component: Component) -> None:
    """Folders lie in the repository, and a component has no fields of another kind."""
    where = f"`{NAME}`: components.{name}"
    folders = [("path", component.path)]
    folders += [(f"go[{number}].module", one.module) for number, one in enumerate(component.go)]
    for field, folder in folders:
        if Path(folder).is_absolute() or ".." in Path(folder).parts:
            raise UsageError(
                f"{where}.{field} leaves the repository",
                hint="name a folder below the one of `lockgate.yaml`",
            )
    if component.go and component.kind != "gomodule":
        raise UsageError(
            f"{where}.go is for Go modules, and its kind is `{component.kind}`",
            hint="write `kind: gomodule`",
        )
    if any(not one.packages for one in component.go):
        raise UsageError(f"{where}.go has a module without packages", hint="write `packages: [.]`")
    if not component.place.startswith("/") or {".", ".."} & set(component.place.split("/")):
        raise UsageError(
            f"{where}.place is {component.place!r}, which is no folder of an image",
            hint="write `/app`",
        )


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def _check_names(found: Settings) -> None:
    """Names in the store: components share it with stacks, with single platforms and with referrers."""
    listed = {"build": found.build.platforms}
    listed |= {f"components.{name}": found.platforms(name) for name in found.components}
    for where, platforms in listed.items():
        if not platforms or len(set(platforms)) < len(platforms):
            raise UsageError(
                f"`{NAME}`: {where}.platforms is empty or names one twice",
                hint="write `[linux/amd64, linux/arm64]`",
            )
    single = {
        f"{name}-{one.replace('/', '-')}"
        for name in found.components
        for one in found.platforms(name)
    }
    for name in found.components:
        if (
            name in single
            or name.startswith(("stack-", "sha256-", "config-"))
            or len(name) > _LONGEST
        ):
            raise UsageError(
                f"`{NAME}`: component {name!r} has a name that the store needs, or too long a one",
                hint="choose another name",
            )


def check_cluster_name(name: str, what: str) -> None:
    """Check a cluster's name: it is a host name, a label of the engine, and part of a path.

    Raises:
        UsageError: it cannot be one.
    """
    if not _HOST.fullmatch(name):
        raise UsageError(
            f"{what} is {name!r}, which cannot be the name of a cluster",
            hint="use up to 40 lower-case letters, digits and `-`, a letter first",
        )


def _check_numbers(found: Settings) -> None:
    limits = [
        ("scan.timeout", found.scan.timeout, 1, _MANY),
        ("cluster.api_port", found.cluster.api_port, 0, 65535),
        ("cluster.registry_port", found.cluster.registry_port, 0, 65535),
    ]
    for name, component in found.components.items():
        limits += [
            (f"components.{name}.port", component.port, 1, 65535),
            (f"components.{name}.coverage", component.coverage, 0, 100),
        ]
    for name, environment in found.environments.items():
        limits += [
            (f"environments.{name}.port", environment.port or 0, 0, 65535),
            (f"environments.{name}.waiver_max_days", environment.waiver_max_days, 0, _MANY),
            (
                f"environments.{name}.database_max_age_days",
                environment.database_max_age_days,
                0,
                _MANY,
            ),
        ]
    for field, value, least, most in limits:
        if not least <= value <= most:
            raise UsageError(
                f"`{NAME}`: {field} is {value}", hint=f"write a number from {least} to {most}"
            )


def _check_identities(found: Settings) -> None:
    """Who is trusted without a key is named whole, once, and with what proves it; signatures have a form."""
    for name, environment in found.environments.items():
        if not environment.signatures:
            raise UsageError(
                f"`{NAME}`: environments.{name}.signatures names no form",
                hint="write `[bundle, legacy]`, or one of them",
            )
        names = [one.name for one in environment.identities]
        for number, one in enumerate(environment.identities):
            where = f"`{NAME}`: environments.{name}.identities[{number}]"
            for field, text in (
                ("name", one.name),
                ("subject", one.subject),
                ("issuer", one.issuer),
            ):
                if not text:
                    raise UsageError(
                        f"{where}.{field} is empty", hint="name it as the certificate does"
                    )
            if "*" in one.subject or "*" in one.issuer:
                raise UsageError(
                    f"{where} has a `*`, and identities are compared to the letter",
                    hint="add one entry for each identity",
                )
            if names.count(one.name) > 1:
                raise UsageError(
                    f"{where}: several are called {one.name!r}", hint="give them other names"
                )
        if environment.identities and not environment.trusted_root:
            raise UsageError(
                f"`{NAME}`: environments.{name}.identities needs `trusted_root`",
                hint="name the `trusted_root.json` of the instance that vouches for them",
            )


def _explain(errors: Iterable[Any], content: Any) -> UsageError:
    """Turn a checker's list into one line about the first fault, with the nearest right word."""
    listed = list(errors)
    # A misspelt field is missing under its right name too: the misspelling is the cause.
    unknown = [one for one in listed if one["type"] in _UNKNOWN]
    first = (unknown or listed)[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(listed) - 1} more)" if listed[1:] else ""
    if unknown:
        parent, word = first["loc"][:-1], str(first["loc"][-1])
        known = _fields_at(parent)
        hint = nearest(word, known) or "known here: " + ", ".join(known)
        return UsageError(f"`{NAME}`: {where} is not a setting{more}", hint=hint)
    if "require" in first["loc"][2:3]:
        # The checker says this once for each kind of entry that it is not.
        where = ".".join(first["loc"][:3]) + "".join(f"[{one}]" for one in first["loc"][3:4])
        return UsageError(
            f"`{NAME}`: {where} is not a list of names, or of names with options",
            hint="write one entry a line, each after a dash: `- vuln: {max_age_days: 7}`",
        )
    if not isinstance(content, dict):
        return UsageError(f"`{NAME}` must be a mapping of settings", hint="see `docs/settings.md`")
    why = first["msg"][:1].lower() + first["msg"][1:]
    return UsageError(f"`{NAME}`: {where}: {why}{more}", hint="see `docs/settings.md`")


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    sections: dict[str, type[Any]] = {
        "components": model.Component,
        "environments": model.Environment,
        "build": model.Build,
        "scan": model.Scan,
        "cluster": model.Cluster,
    }
    kind = sections.get(str(location[0]), Settings) if location else Settings
    if "identities" in location:
        kind = model.TrustedIdentity
    if location[2:3] == ("go",):
        kind = model.GoModule
    return [field.name for field in dataclasses.fields(kind)]


if __name__ == "__main__":
    # python -m lockgate.base.settings_file > docs/lockgate.schema.json
    import json
    import sys

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
