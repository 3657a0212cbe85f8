"""What verified predicates claim, read as far as requirements need it. Fields that are not named are ignored."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeVar

import msgspec

from lockgate.base.canonical import Foreign
from lockgate.base.errors import AttestationMissing
from lockgate.gate.decision import Decision
from lockgate.sign import predicate

T = TypeVar("T")


class ScanTimes(Foreign, frozen=True, rename="camel"):
    """`metadata` of cosign's vulnerability predicate."""

    scan_finished_on: str


class ScannedBy(Foreign, frozen=True):
    """`scanner` of cosign's vulnerability predicate."""

    version: str
    uri: str = ""

    @property
    def label(self) -> str:
        """`trivy 0.76.0`."""
        name = self.uri.rpartition("/")[2].partition("@")[0]
        return f"{name or 'scanner'} {self.version}"


class Scan(Foreign, frozen=True):
    """cosign's vulnerability predicate."""

    scanner: ScannedBy
    metadata: ScanTimes


class Builder(Foreign, frozen=True):
    """`runDetails.builder` of SLSA provenance."""

    id: str


class RunDetails(Foreign, frozen=True):
    """`runDetails` of SLSA provenance."""

    builder: Builder


class Resource(Foreign, frozen=True):
    """A resource descriptor (in-toto, resource_descriptor.md)."""

    uri: str = ""
    digest: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, Any] = msgspec.field(default_factory=dict)


class BuildDefinition(Foreign, frozen=True, rename="camel"):
    """`buildDefinition` of SLSA provenance."""

    resolved_dependencies: tuple[Resource, ...] = ()


class Build(Foreign, frozen=True, rename="camel"):
    """SLSA build provenance v1."""

    build_definition: BuildDefinition
    run_details: RunDetails

    @property
    def commits(self) -> tuple[str, ...]:
        """Commits among what the image was made from."""
        return tuple(one.digest["gitCommit"] for one in self._sources)

    @property
    def repositories(self) -> tuple[str, ...]:
        """Addresses of the repositories of these commits: `git+` and what stands behind the `@` are taken off."""
        return tuple(address for address, _ in self.origins if address)

    @property
    def origins(self) -> tuple[tuple[str, str], ...]:
        """Address and commit of each source; an address is empty when it is not said."""
        return tuple((_address(one.uri), one.digest["gitCommit"]) for one in self._sources)

    @property
    def dirty(self) -> bool:
        """True when the builder says that the tree was not that of the commit."""
        return any(
            one.annotations.get("dirty") for one in self.build_definition.resolved_dependencies
        )

    @property
    def _sources(self) -> tuple[Resource, ...]:
        every = self.build_definition.resolved_dependencies
        return tuple(one for one in every if "gitCommit" in one.digest)


def _address(uri: str) -> str:
    whole = uri.removeprefix("git+")
    address, _, revision = whole.rpartition("@")
    # In `ssh://git@host/repository` the mark belongs to the address.
    return address if address and "/" not in revision else whole


class GateResults(Foreign, frozen=True):
    """in-toto test result v0.1."""

    result: str
    passed: tuple[str, ...] = msgspec.field(name="passedTests", default=())
    warned: tuple[str, ...] = msgspec.field(name="warnedTests", default=())
    failed: tuple[str, ...] = msgspec.field(name="failedTests", default=())


class Summary(Foreign, frozen=True):
    """SLSA verification summary v1, with the fields that the gate's summary adds."""

    verification_result: str = msgspec.field(name="verificationResult")
    input_attestations: tuple[Resource, ...] = msgspec.field(name="inputAttestations")
    decision: Decision = msgspec.field(name=predicate.DECISION_FIELD)
    development_key: bool = msgspec.field(name=predicate.DEVELOPMENT_FIELD)


def read(content: dict[str, Any], kind: type[T]) -> T:
    """Return a predicate as `kind`.

    Raises:
        AttestationMissing: it lacks a field, or one has another type: what it claims cannot be known.
    """
    try:
        return msgspec.convert(content, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise AttestationMissing(f"it does not say what it should: {error}") from None


def seconds(text: str) -> int:
    """Return a time of RFC 3339 in seconds since 1970.

    Raises:
        AttestationMissing: it is not such a time.
    """
    try:
        found = dt.datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return int(found.timestamp())
    except ValueError:
        pass
    raise AttestationMissing(f"its time {text!r} is not one of RFC 3339")
