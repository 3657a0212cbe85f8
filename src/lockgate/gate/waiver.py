"""Waivers: the file that grants them, and what each one covers.

    waivers:
      - id: expat-2026-11
        findings: [CVE-2026-1234]
        packages: [libexpat1]        # optional, as are components and paths
        owner: platform
        reason: no input of ours reaches the parser
        until: 2026-12-31

Whatever is not exactly of this form is an error that names the waiver and the field. A gate that reads past
a mistake in its own permissions would permit more than somebody wrote down.
"""

from __future__ import annotations

import datetime as dt
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from lockgate.base import strict_yaml
from lockgate.base.errors import UsageError
from lockgate.base.settings import nearest
from lockgate.gate.decision import Waiver

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lockgate.scan.model import Finding

_FIELDS = ("id", "findings", "packages", "components", "paths", "owner", "reason", "until")
_WAIVER_ID = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_RULE_ID = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_ADVISORY_IDS = {
    "CVE": re.compile(r"CVE-[0-9]{4}-[0-9]{4,}"),
    "GHSA": re.compile(r"GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}"),
    "PYSEC": re.compile(r"PYSEC-[0-9]{4}-[0-9]+"),
}
"""Forms of the ids that have a known one. An id that starts like one of them must have its form: a
misspelled id would otherwise pass for the id of a rule, and cover nothing."""

_FORM = "see the example in `policies/waivers.yaml`"


def day(seconds: int) -> dt.date:
    """Return the day in UTC of a time in seconds since 1970."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date()


def holds(waiver: Waiver, today: dt.date) -> bool:
    """True up to and on the waiver's last day, in UTC."""
    return today <= dt.date.fromisoformat(waiver.until)


def ends(waiver: Waiver) -> int:
    """Return the first second, since 1970, at which the waiver no longer holds: midnight UTC."""
    last = dt.datetime.fromisoformat(waiver.until).replace(tzinfo=dt.UTC)
    return int(last.timestamp()) + 24 * 60 * 60


def covers(waiver: Waiver, finding: Finding, component: str) -> bool:
    """True when the waiver speaks of this finding in this component, whether or not it still holds."""
    if waiver.components and component not in waiver.components:
        return False
    if not {finding.id, *finding.aliases} & set(waiver.findings):
        return False
    if waiver.packages and not any(_same(one, finding) for one in waiver.packages):
        return False
    if not waiver.paths:
        return True
    # A finding without a path matches no pattern: `*` says "any file", not "no file".
    path = finding.path.lstrip("/")
    return bool(path) and any(fnmatchcase(path, one.lstrip("/")) for one in waiver.paths)


def _same(name: str, finding: Finding) -> bool:
    if finding.target == "debian":
        return name == finding.package
    # Names of Python distributions are compared as everyone compares them (PEP 503).
    return re.sub(r"[-_.]+", "-", name).lower() == re.sub(r"[-_.]+", "-", finding.package).lower()


def parse(
    data: bytes,
    *,
    today: dt.date,
    max_days: int,
    components: Collection[str] = (),
    what: str = "the waivers file",
) -> tuple[Waiver, ...]:
    """Return the waivers of a file, in its order. A lapsed waiver is kept: it permits nothing, and is shown.

    Args:
        data: the file's bytes.
        today: the day in UTC from which `max_days` is counted.
        max_days: most days that a waiver may run from today.
        components: names that may stand in a waiver's `components`; empty: not checked.
        what: how to name the file in an error.

    Raises:
        UsageError: anything is not as described at the top of this module.
    """
    content = strict_yaml.load(data, what=what)
    if not isinstance(content, dict) or not isinstance(content.get("waivers"), list):
        raise UsageError(
            f"{what} must be a mapping with the list `waivers`", hint="no waivers: `waivers: []`"
        )
    extra = [str(key) for key in content if key != "waivers"]
    if extra:
        raise UsageError(f"{what}: {extra[0]!r} stands beside `waivers`", hint=_FORM)
    found: dict[str, Waiver] = {}
    for number, entry in enumerate(content["waivers"], 1):
        waiver = _waiver(entry, f"{what}: waiver {_name(entry, number)}", today, max_days)
        if waiver.id in found:
            raise UsageError(
                f"{what}: waiver {waiver.id!r}: id stands twice", hint="give each waiver its own id"
            )
        _check_components(waiver, components, what)
        found[waiver.id] = waiver
    return tuple(found.values())


def _name(entry: Any, number: int) -> str:
    given = entry.get("id") if isinstance(entry, dict) else None
    return repr(given) if isinstance(given, str) and given.strip() else f"number {number}"


def _waiver(entry: Any, where: str, today: dt.date, max_days: int) -> Waiver:
    checked = _checked(entry, where)
    if not _WAIVER_ID.fullmatch(checked["id"]):
        raise UsageError(
            f"{where}: id is not a name",
            hint="use lower-case letters and digits with single `-`, `.` or `_` between",
        )
    for finding in _listed(checked, "findings", where):
        _check_finding_id(finding, where)
    return Waiver(
        id=checked["id"],
        findings=_listed(checked, "findings", where),
        packages=_listed(checked, "packages", where),
        components=_listed(checked, "components", where),
        paths=_listed(checked, "paths", where),
        owner=_text(checked["owner"], "owner", where),
        reason=_text(checked["reason"], "reason", where),
        until=_until(checked["until"], where, today, max_days),
    )


def _checked(entry: Any, where: str) -> Mapping[str, Any]:
    """Check the fields' names and types."""
    from pydantic import BaseModel, ConfigDict, ValidationError

    class Entry(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        id: str
        findings: list[str]
        packages: list[str] | None = None
        components: list[str] | None = None
        paths: list[str] | None = None
        owner: str
        reason: str
        until: object

    try:
        return Entry.model_validate(entry).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        hint = nearest(field, list(_FIELDS)) or _FORM
        raise UsageError(f"{where}: {field} is not a field", hint=hint)
    if first["type"] == "missing":
        raise UsageError(f"{where}: {field} is missing", hint=_FORM)
    if not field:
        raise UsageError(f"{where} is not a mapping of fields", hint=_FORM)
    raise UsageError(f"{where}: {field}: {first['msg'].lower()}", hint=_FORM)


def _listed(checked: Mapping[str, Any], field: str, where: str) -> tuple[str, ...]:
    items: Sequence[str] | None = checked[field]
    if items is None:
        return ()
    if not items:
        # An empty scope could be read as "nothing" or as "anything"; neither may be guessed.
        raise UsageError(f"{where}: {field} is empty", hint=f"name some, or leave `{field}` out")
    for item in items:
        if not item.strip() or item != item.strip() or not item.isprintable():
            raise UsageError(f"{where}: {field} holds {item!r}", hint=_FORM)
    if len(set(items)) != len(items):
        raise UsageError(f"{where}: {field} names something twice", hint="name each one once")
    return tuple(items)


def _check_finding_id(finding: str, where: str) -> None:
    if not _RULE_ID.fullmatch(finding):
        raise UsageError(
            f"{where}: findings: {finding!r} is not an id",
            hint="an id is like CVE-2026-1234, GHSA-…, PYSEC-2026-12, or that of a rule of Trivy",
        )
    for prefix, form in _ADVISORY_IDS.items():
        if finding.upper().startswith(prefix) and not form.fullmatch(finding):
            raise UsageError(
                f"{where}: findings: {finding!r} is not a {prefix} id",
                hint="copy the id as the scanner prints it",
            )


def _text(text: str, field: str, where: str) -> str:
    folded = " ".join(text.split())
    if not folded:
        raise UsageError(f"{where}: {field} is blank", hint=f"say it: `{field}: …`")
    if not folded.isprintable():
        raise UsageError(f"{where}: {field} holds control characters", hint="write plain text")
    return folded


def _until(value: object, where: str, today: dt.date, max_days: int) -> str:
    # A datetime is a date too in Python, but has a time of day that the format does not know.
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        last = value
    elif isinstance(value, str) and _DATE.fullmatch(value):
        try:
            last = dt.date.fromisoformat(value)
        except ValueError:
            raise UsageError(
                f"{where}: until: {value} is not a day of the calendar", hint="check the month"
            ) from None
    else:
        raise UsageError(f"{where}: until is not a date", hint="write `until: 2026-12-31`")
    ahead = (last - today).days
    if ahead > max_days:
        latest = today + dt.timedelta(days=max_days)
        raise UsageError(
            f"{where}: until is {ahead} days ahead, at most {max_days} are allowed",
            hint=f"the latest day today is {latest.isoformat()}",
        )
    return last.isoformat()


def _check_components(waiver: Waiver, known: Collection[str], what: str) -> None:
    for name in waiver.components if known else ():
        if name not in known:
            raise UsageError(
                f"{what}: waiver {waiver.id!r}: components: {name!r} is not a component",
                hint=nearest(name, list(known)) or "there are: " + ", ".join(sorted(known)),
            )
