"""The check of manifests: rendered objects in, a record of what breaks a schema or a rule out.

Three judges that see different things: the schemas know every field, Trivy knows single objects that are dangerous,
and our own rules know whether objects fit each other. Whatever could not be judged is an error or a violation,
never a pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from lockgate.base.canonical import Record
from lockgate.base.errors import UsageError
from lockgate.config import emit, images, rules, workloads
from lockgate.config.resource import Resource
from lockgate.config.schema import KUBERNETES
from lockgate.gate.decision import Waived, Waiver
from lockgate.gate.waiver import covers, holds
from lockgate.oci.digest import Digest
from lockgate.scan.model import Finding, Scanner

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from lockgate.config.schema import Problems

UNFIT = "schema"
"""Id of the finding for a field that does not fit the schema."""
UNKNOWN = "schema-unknown"
"""Id of the finding for an object of a kind that the schemas do not have."""

REASONS = {
    UNFIT: "A field that the API server does not know is dropped without a word, so a typing error turns a setting off.",
    UNKNOWN: "Of a kind without a schema nobody has checked a single field.",
}
"""Why these two exist."""

HINTS = {
    UNFIT: f"`kubectl explain` tells the fields of Kubernetes {KUBERNETES}",
    UNKNOWN: "correct apiVersion and kind; for a kind of your own add a dated waiver",
}
"""What to do about these two."""


class Inspection(Record, frozen=True):
    """What `inspect` returns. It holds no times: the same objects, rules and waivers give the same record."""

    environment: str
    path: str
    """Folder of the overlay, relative to `lockgate.yaml`."""
    manifests: str
    """Digest of the objects as canonical YAML."""
    objects: int
    kubernetes: str
    """Version whose schemas were compared with: `1.35`."""
    scanner: Scanner
    """The Trivy that looked."""
    violations: tuple[Finding, ...]
    """What breaks a schema or a rule and is not waived: schemas first, then our rules, then Trivy's. A finding's
    `package` is the object, `Deployment/todo-dev/todo`."""
    waived: tuple[Waived, ...]
    lapsed: tuple[Waiver, ...]
    """Waivers whose last day is over and that match something here; they permit nothing."""

    @property
    def passed(self) -> bool:
        """True when nothing is broken. No object at all is not a pass."""
        return self.objects > 0 and not self.violations

    @property
    def summary(self) -> str:
        """One line."""
        waived = f", {len(self.waived)} waived" if self.waived else ""
        objects = f"{self.objects} object{'s' if self.objects != 1 else ''}"
        many = len(self.violations)
        if not many:
            return f"{objects}: schemas and rules hold{waived}"
        return f"{objects}: {many} violation{'s' if many != 1 else ''}{waived}"


class Misconfigurations(Protocol):
    """A scanner of single objects; `lockgate.scan.trivy.Trivy` with its settings is one."""

    def __call__(self, files: Mapping[str, bytes]) -> tuple[Finding, ...]:
        """Return what breaks a rule; a finding's `package` is the name of the file."""


def inspect(
    resources: Sequence[Resource],
    *,
    environment: str,
    path: str,
    components: Mapping[str, tuple[int, str]],
    development: bool,
    compare: Callable[[Sequence[Resource]], Sequence[Problems]],
    scan: Misconfigurations,
    scanner: Scanner,
    waivers: Sequence[Waiver],
    today: dt.date,
) -> Inspection:
    """Judge the objects of one environment.

    Args:
        resources: the objects, as rendered.
        environment: its name.
        path: folder of the overlay, for people and for waivers that are limited to it.
        components: port and readiness path of each component that may stand as an image, by its name.
        development: whether secrets that are written out are accepted.
        compare: compares objects with the schemas; see `schema.compare`.
        scan: Trivy's rules.
        scanner: what `scan` is.
        waivers: permissions, lapsed ones among them.
        today: the day in UTC on which a waiver must hold.

    Raises:
        UsageError: there is no object.
        ToolError: a judge could not do its work.
    """
    if not resources:
        raise UsageError(f"{path} renders to no object", hint="check its `resources`")
    plain = [_without_seal(one) for one in resources]
    found = (
        *_unfit(plain, compare(plain), path),
        *rules.judge(plain, components=components, development=development, path=path),
        *_scanned(plain, components, scan, path),
    )
    covering = [(one, [each for each in waivers if covers(each, one, "")]) for one in found]
    violations: list[Finding] = []
    waived: list[Waived] = []
    for one, matching in covering:
        usable = [each for each in matching if holds(each, today)]
        if usable:
            longest = max(usable, key=lambda each: each.until)
            waived.append(Waived(finding=one, waiver=longest))
        else:
            violations.append(one)
    matched = {each.id for _, matching in covering for each in matching}
    return Inspection(
        environment=environment,
        path=path,
        manifests=Digest.of(emit.emit(resources)),
        objects=len(resources),
        kubernetes=KUBERNETES,
        scanner=scanner,
        violations=tuple(violations),
        waived=tuple(waived),
        lapsed=tuple(one for one in waivers if one.id in matched and not holds(one, today)),
    )


def _without_seal(one: Resource) -> Resource:
    """Return an object that SOPS has encrypted without the field that it adds, which no schema knows."""
    if not isinstance(one.body.get("sops"), Mapping):
        return one
    body = {key: value for key, value in one.body.items() if key != "sops"}
    return Resource(one.id, one.api_version, body)


def _unfit(
    resources: Sequence[Resource], compared: Sequence[Problems], path: str
) -> tuple[Finding, ...]:
    found = []
    for one, problems in zip(resources, compared, strict=True):
        if problems is None:
            text = f"Kubernetes {KUBERNETES} has no {one.id.kind} of {one.api_version}"
            found.append(rules.finding(UNKNOWN, text, one, path))
        for where, text in problems or ():
            found.append(rules.finding(UNFIT, f"{where}: {text}", one, path))
    return tuple(found)


_NO_DIGEST = "@sha256:" + "0" * 64
"""Stands for the digest that `inv config.build` writes, so that Trivy does not miss it."""


def _scanned(
    resources: Sequence[Resource],
    components: Mapping[str, tuple[int, str]],
    scan: Misconfigurations,
    path: str,
) -> tuple[Finding, ...]:
    def pinned(image: str) -> str:
        return image + _NO_DIGEST if image in components else image

    files = {
        f"{number:05}.yaml": (one, emit.document(_masked(images.replace(one, pinned)).body))
        for number, one in enumerate(resources)
    }
    found = scan({name: data for name, (_, data) in files.items()})
    return tuple(
        # The line is one of the rendered object, which nobody has before them.
        rules.finding(
            one.id,
            re.sub(r", line [0-9]+$", "", one.title),
            files[one.package][0],
            path,
            severity=one.severity,
        )
        for one in found
    )


def _masked(one: Resource) -> Resource:
    """Return a Secret without its values: no rule of Trivy needs them."""
    if (one.id.group, one.id.kind) != ("", "Secret"):
        return one
    body = {
        key: dict.fromkeys(workloads.mapping(value), "") if key in ("data", "stringData") else value
        for key, value in one.body.items()
    }
    return Resource(one.id, one.api_version, body)


def reasons() -> dict[str, tuple[str, str]]:
    """Return reason and hint of every rule of ours, by its id; it is what `--why` shows."""
    own = {one.id: (one.reason, one.hint) for one in rules.RULES}
    return {one: (REASONS[one], HINTS[one]) for one in (UNFIT, UNKNOWN)} | own
