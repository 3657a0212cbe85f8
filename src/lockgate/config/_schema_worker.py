"""Compares objects with the Kubernetes schemas. A program of its own, run by the Python that has them.

It reads `{"version": "1.35", "objects": [...]}` and writes a list for each object: what does not fit, as pairs of a
path and a text, or null when there is no schema for such an object. No text holds a value: it may be a secret.
"""

from __future__ import annotations

import difflib
import importlib.resources
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import referencing

if TYPE_CHECKING:
    from collections.abc import Iterator

Problem = tuple[str, str]

_WORDS = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "list",
    dict: "object",
}


class Schemas:
    """The strict schemas of one version: a field that they do not know is an error."""

    def __init__(self, version: str) -> None:
        whole = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"
        self._folder = whole / f"v{version}.0-local-strict"
        definitions = self._read("_definitions.json")
        self._definitions = referencing.Resource.from_contents(definitions)
        self._validators: dict[str, Any] = {}

    def problems(self, body: dict[str, Any]) -> list[Problem] | None:
        """Return what does not fit; None when there is no schema for such an object."""
        # As the files are named: the first part of the group, without its domain.
        version = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", str(body.get("apiVersion")))
        name = f"{str(body.get('kind')).lower()}-{version}.json"
        if name not in self._validators:
            try:
                self._validators[name] = self._validator(self._read(name))
            except FileNotFoundError:
                self._validators[name] = None
        validator = self._validators[name]
        if validator is None:
            return None
        return sorted({one for error in validator.iter_errors(body) for one in told(error)})

    def _validator(self, schema: Any) -> Any:
        schemas = [referencing.Resource.from_contents(schema), self._definitions]
        registry: Any = schemas @ referencing.Registry()
        return jsonschema.Draft202012Validator(schema, registry=registry)

    def _read(self, name: str) -> Any:
        return json.loads((self._folder / name).read_text(encoding="utf-8"))


def told(error: Any) -> Iterator[Problem]:
    """Yield an error in words of our own, since the library's quote the value."""
    where = path(error.absolute_path)
    wanted = error.validator_value
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        for name in sorted(set(error.instance) - set(known)):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            yield where, f"there is no field `{name}`{hint}"
    elif error.validator == "required":
        for name in wanted:
            if name not in error.instance:
                yield where, f"`{name}` is missing"
    elif error.validator == "type":
        names = [wanted] if isinstance(wanted, str) else [one for one in wanted if one != "null"]
        yield where, f"it is a {word(error.instance)} and must be a {' or '.join(names)}"
    elif error.validator == "enum":
        yield where, "it must be one of " + ", ".join(f"`{one}`" for one in wanted if one)
    else:
        yield where, f"it does not fit the schema's `{error.validator}`"


def word(value: object) -> str:
    """Name the type of a value."""
    return _WORDS.get(type(value), "null")


def path(parts: Any) -> str:
    """Return `spec.containers[0].image`."""
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in parts)
    return text.lstrip(".") or "the object"


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    schemas = Schemas(request["version"])
    json.dump([schemas.problems(one) for one in request["objects"]], sys.stdout)


if __name__ == "__main__":
    main()
