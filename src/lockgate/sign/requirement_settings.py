"""Requirements as `lockgate.yaml` names them: a list of which everything must hold.

    require:
      - signature: {keys: [release, security], quorum: 2, annotations: {environment: prod}}
      - sbom
      - vuln: {max_age_days: 7}
      - provenance: {builder: lockgate/native, source: "https://git.example/shop"}
      - summary
      - any:
          - tests: {gates: [tests, audit]}
          - attestation: {type: "https://example.org/review/v1", keys: [review]}

An entry is a name, or a name with its options. `all` and `any` hold entries of their own. Keys are named as they
are in `public_keys`: by file, variable or Secret. An identity that is trusted is named among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lockgate.base.errors import UsageError
from lockgate.base.settings import nearest
from lockgate.sign import predicate
from lockgate.sign.combine import AllOf, AnyOf, Signers
from lockgate.sign.requirement import (
    Attested,
    Checked,
    Licensed,
    Passed,
    Provenance,
    Sbom,
    Scanned,
    Signature,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lockgate.gate.decision import Threshold
    from lockgate.sign.combine import Requirement
    from lockgate.sign.keyless.identity import Identity
    from lockgate.sign.public_key import PublicKey

T = TypeVar("T")

_DAY = 24 * 60 * 60
_MOST_DAYS = 36_500
_MOST_DEPTH = 8
"""`all` and `any` within each other; what is deeper is a mistake."""


class _Context(NamedTuple):
    """What an entry is read with."""

    environment: str
    threshold: Threshold
    keys: Sequence[PublicKey | Identity]


def from_settings(
    content: object,
    *,
    environment: str,
    threshold: Threshold,
    keys: Sequence[PublicKey | Identity],
    where: str = "`lockgate.yaml`: require",
) -> AllOf:
    """Return the requirement that a list in the settings names.

    Args:
        content: the list, as it was read from YAML.
        environment: whose requirements they are.
        threshold: what the gate of this environment tolerates.
        keys: the keys and identities that are trusted; entries name some of them.
        where: how to name the list in an error: "`lockgate.yaml`: environments.prod.require".

    Raises:
        UsageError: an entry, an option or a key is not known, or has no use; the message says which.
    """
    context = _Context(environment, threshold, keys)
    return AllOf(parts=_entries(content, context, where, 0))


def _entries(content: object, context: _Context, where: str, depth: int) -> tuple[Requirement, ...]:
    if not isinstance(content, list | tuple):
        raise _refused(where, "is not a list", "write one entry a line, each after a dash")
    if not content:
        raise _refused(where, "requires nothing", "name an entry, or remove the setting")
    if depth > _MOST_DEPTH:
        raise _refused(where, "is nested too deeply", "say it with fewer `all` and `any`")
    return tuple(
        _entry(one, context, f"{where}[{number}]", depth) for number, one in enumerate(content)
    )


def _entry(content: object, context: _Context, where: str, depth: int) -> Requirement:
    if isinstance(content, dict) and len(content) == 1:
        name, given = next(iter(content.items()))
    else:
        name, given = content, {}
    if not isinstance(name, str):
        raise _refused(where, "is not one entry", "write a name, or a name with its options")
    if name in _COMBINED:
        return _COMBINED[name](_entries(given, context, f"{where}.{name}", depth + 1))
    if name not in _READERS:
        known = [*_READERS, *_COMBINED]
        raise _refused(where, f"{name!r} is not a requirement", _near(name, known))
    options = _Options(given, context, f"{where}.{name}")
    made = _READERS[name](options)
    options.finish()
    return made


class _Options:
    """The options of one entry; each is taken out as it is read, and what is left over is not known."""

    def __init__(self, given: object, context: _Context, where: str) -> None:
        if given is None:
            given = {}
        if not isinstance(given, dict) or not all(isinstance(one, str) for one in given):
            raise _refused(
                where, "has options that are not a mapping", "write `name: {option: value}`"
            )
        self.context, self._where = context, where
        self._given: dict[str, Any] = dict(given)
        self._known: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Return a text that is not empty."""
        return self._take(name, default, lambda one: isinstance(one, str) and one, "is not a text")

    def required(self, name: str) -> str:
        """Return a text that must be there."""
        found = self.text(name)
        if not found:
            raise _refused(self._where, f"names no `{name}`", f"add `{name}` to its options")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts that names something."""
        found: Sequence[str] = self._take(
            name,
            (),
            lambda one: (
                isinstance(one, list) and one and all(isinstance(each, str) for each in one)
            ),
            "is not a list of texts",
        )
        return tuple(found)

    def mapping(self, name: str) -> Mapping[str, str]:
        """Return a mapping of texts that holds something."""
        return self._take(
            name,
            {},
            lambda one: (
                isinstance(one, dict)
                and one
                and all(isinstance(each, str) for pair in one.items() for each in pair)
            ),
            "is not a mapping of texts",
        )

    def number(self, name: str, default: int, most: int) -> int:
        """Return a number from 1 on."""
        return self._take(
            name,
            default,
            lambda one: type(one) is int and 1 <= one <= most,
            f"is not a number from 1 to {most}",
        )

    def by(self) -> Signers:
        """Return who must have signed."""
        names = self.texts("keys")
        found = frozenset(self._key(name).fingerprint for name in names)
        most = len(found) if names else len({one.fingerprint for one in self.context.keys})
        quorum = self.number("quorum", 1, max(most, 1))
        return Signers(keys=found, quorum=quorum)

    def finish(self) -> None:
        """Refuse options that nobody asked for."""
        for name in self._given:
            hint = _near(name, self._known)
            raise _refused(self._where, f"{name!r} is not an option", hint)

    def _key(self, name: str) -> PublicKey | Identity:
        found = [one for one in self.context.keys if one.name == name]
        where = f"{self._where}.keys"
        if not found:
            known = sorted({one.name for one in self.context.keys})
            raise _refused(
                where, f"{name!r} is not a key or identity that is trusted", _near(name, known)
            )
        if len({one.fingerprint for one in found}) > 1:
            raise _refused(
                where, f"several keys are called {name!r}", "give their files other names"
            )
        return found[0]

    def _take(self, name: str, default: T, good: Callable[[Any], object], wrong: str) -> T:
        self._known.append(name)
        if name not in self._given:
            return default
        value: Any = self._given.pop(name)
        if not good(value):
            raise _refused(f"{self._where}.{name}", wrong, f"see `{name}` in `docs/sign.md`")
        found: T = value
        return found


def _signature(options: _Options) -> Requirement:
    return Signature(
        by=options.by(),
        annotations=options.mapping("annotations"),
        reference=options.text("reference"),
    )


def _scanned(options: _Options) -> Requirement:
    return Scanned(by=options.by(), max_age=options.number("max_age_days", 0, _MOST_DAYS) * _DAY)


def _provenance(options: _Options) -> Requirement:
    builder = options.text("builder", predicate.BUILDER)
    # A name without a scheme is one of our own builders, `lockgate/native`.
    return Provenance(
        by=options.by(),
        builder=builder if ":" in builder else predicate.BUILDER + builder,
        source=options.text("source"),
        revision=options.text("revision"),
    )


def _passed(options: _Options) -> Requirement:
    return Passed(
        by=options.by(),
        environment=options.context.environment,
        threshold=options.context.threshold,
        max_age=options.number("max_age_days", 0, _MOST_DAYS) * _DAY,
    )


def _attested(options: _Options) -> Requirement:
    return Attested(by=options.by(), predicate_type=options.required("type"))


_READERS: dict[str, Callable[[_Options], Requirement]] = {
    "signature": _signature,
    "sbom": lambda options: Sbom(by=options.by()),
    "vuln": _scanned,
    "provenance": _provenance,
    "summary": _passed,
    "tests": lambda options: Checked(by=options.by(), gates=options.texts("gates")),
    "licences": lambda options: Licensed(by=options.by()),
    "attestation": _attested,
}
"""Entries by the name under which their result is shown."""

_COMBINED: dict[str, Callable[[tuple[Requirement, ...]], Requirement]] = {
    "all": lambda parts: AllOf(parts=parts),
    "any": lambda parts: AnyOf(parts=parts),
}


def _near(name: str, known: list[str]) -> str:
    return nearest(name, known) or "known: " + ", ".join(f"`{one}`" for one in known)


def _refused(where: str, what: str, hint: str) -> UsageError:
    return UsageError(f"{where}: {what}", hint=hint)
