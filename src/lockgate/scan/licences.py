"""Approved licences: what a package says of itself, compared with what someone has looked at and approved.

The file of approvals, `policies/licences.yaml`, is one mapping:

    python:
      flask: BSD-3-Clause
      packaging: Apache-2.0 OR BSD-2-Clause
      moved: [MIT, Apache-2.0]        # two versions in use: either is approved
      quiet:
        licence: MIT
        because: its metadata names none; LICENSE in the sdist of 1.2 is the MIT text
      vague:
        licence: BSD-3-Clause
        declared: BSD License         # what its metadata says; the approval lapses when that changes
        because: its LICENSE file has three clauses

Licences are SPDX expressions (SPDX specification 3.0, annex "SPDX license expressions"), compared without regard to
order, case or deprecated spelling; package names are compared in the form of PEP 503.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base import strict_yaml
from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.build.model import Package

SECTION = "python"
"""The one key of the file. Debian packages are not approved by name: their archive has a policy of its own."""

_CLASSIFIERS = {
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
"""Trove classifiers that can mean one licence only. "BSD License" and "Apache Software License" can mean several."""

_SILENT = frozenset({"", "UNKNOWN", "NONE", "NOASSERTION"})
"""What tools write, in any case, when a package names no licence."""

_CUSTOM = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")


class Licence(NamedTuple):
    """A licence that can be compared."""

    ids: frozenset[str]
    """SPDX ids, with their exception (`Apache-2.0 WITH LLVM-exception`)."""
    form: str
    """The expression in one canonical form; empty when it is not known how several licences belong together."""

    def covers(self, used: Licence) -> bool:
        """Say whether this approval is for what is used.

        A package with several classifiers does not say whether all or any of them count, so only the ids are
        compared then. `MIT AND GPL-2.0-only` is never taken for `MIT OR GPL-2.0-only`.
        """
        return self.ids == used.ids and (not used.form or self.form == used.form)


class Approval(NamedTuple):
    """What is approved for one package."""

    licences: tuple[Licence, ...]
    """Any of them."""
    texts: tuple[str, ...]
    """The same as they stand in the file."""
    declared: frozenset[str]
    """Words of the metadata that the approval interprets; empty when the metadata is clear or silent."""
    because: str
    """Why the metadata is not enough; empty when it is."""


class Verdict(NamedTuple):
    """What the approvals say of the packages of an image."""

    problems: tuple[str, ...]
    """One line for each package that is not approved, with what to write; sorted by name."""
    notes: tuple[str, ...]
    """What stops nothing: approvals that no package needs."""


def judge(packages: Sequence[Package], approvals: Mapping[str, Approval]) -> Verdict:
    """Compare the licences of Python distributions with the approvals. Every problem is named, not only the first.

    Args:
        packages: distributions of kind `pypi`; others are passed over.
        approvals: by normalised name, from `parse`.
    """
    from packaging.utils import canonicalize_name

    problems: set[str] = set()
    used: set[str] = set()
    for package in packages:
        if package.kind != "pypi":
            continue
        name = canonicalize_name(package.name)
        used.add(name)
        if problem := _problem(name, package, approvals.get(name)):
            problems.add(problem)
    absent = sorted(approvals.keys() - used)
    notes = (f"approved and not in use: {', '.join(absent)}",) if absent else ()
    return Verdict(tuple(sorted(problems)), notes)


def _problem(name: str, package: Package, approval: Approval | None) -> str:
    """Return what is wrong with one package; empty when it is approved."""
    words = _words(package.licences)
    licence = of_words(words)
    uses = " / ".join(words) or "no licence"
    what = f"{name} {package.version}"
    if approval is None:
        return f"{what} uses {uses} and is not approved; {_line_to_add(name, words, licence)}"
    approved = " or ".join(approval.texts)
    if licence is not None:
        if any(one.covers(licence) for one in approval.licences):
            return ""
        return f"{what} uses {uses}, approved is {approved}; {_line_to_add(name, words, licence)}"
    if not approval.because:
        return (
            f"{what} uses {uses}, which is no SPDX expression, so that {approved} cannot be compared; "
            f"{_line_to_add(name, words, licence)}"
        )
    if approval.declared != frozenset(words):
        before = " / ".join(sorted(approval.declared)) or "no licence"
        return (
            f"{what} uses {uses}, but {approved} was approved when it declared {before}; "
            f"{_line_to_add(name, words, licence)}"
        )
    return ""


def _line_to_add(name: str, words: Sequence[str], licence: Licence | None) -> str:
    """Return the line for the file of approvals, as exact as the metadata allows."""
    if licence is not None and (licence.form or len(licence.ids) == 1):
        return f"add `  {name}: {licence.form or next(iter(licence.ids))}`"
    # What must be read in the package itself is marked with <>, which `parse` refuses.
    declared = (
        f"declared: {json.dumps(list(words), ensure_ascii=False)}, "
        if words and licence is None
        else ""
    )
    if licence is not None:
        either = " <AND or OR> ".join(sorted(licence.ids))
        return f"read which of them count and add `  {name}: {either}`"
    return f"read its licence and add `  {name}: {{licence: <SPDX expression>, {declared}because: <reason>}}`"


def _words(licences: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({one.strip() for one in licences if one.strip().upper() not in _SILENT}))


def of_words(words: Sequence[str]) -> Licence | None:
    """Return the licence that a package's words name; None when they name none or could mean several."""
    found = [_expression(_CLASSIFIERS.get(word) or word) for word in words]
    known = [one for one in found if one is not None]
    if not known or len(known) != len(found):
        return None
    if len(known) == 1:
        return known[0]
    ids = frozenset().union(*(one.ids for one in known))
    return Licence(ids, next(iter(ids)) if len(ids) == 1 else "")


@functools.cache
def _spdx() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()  # type: ignore[no-untyped-call]


def _expression(text: str) -> Licence | None:
    """Parse an SPDX expression; None when it is none."""
    from license_expression import ExpressionError

    spdx = _spdx()
    try:
        # strict: an exception may not stand where a licence should, nor the other way round.
        parsed = spdx.parse(text, strict=True)
        if parsed is None:
            return None
        unknown = spdx.unknown_license_keys(parsed)
        if any(not _CUSTOM.fullmatch(key) for key in unknown):
            return None
        parsed = parsed.simplify()
    except (ExpressionError, AssertionError, LookupError, RecursionError):
        # The last three come out of license-expression itself, for text such as `( OR MIT`.
        return None
    ids = frozenset(str(symbol) for symbol in spdx.license_symbols(parsed, decompose=False))
    return Licence(ids, str(parsed))


def parse(data: bytes, *, what: str = "`policies/licences.yaml`") -> dict[str, Approval]:
    """Read a file of approvals into a mapping from normalised names.

    Raises:
        UsageError: not such a file; the message names the entry. An empty file is no list of approvals.
    """
    from packaging.utils import InvalidName, canonicalize_name

    content = strict_yaml.load(data, what=what)
    if not isinstance(content, dict) or list(content) != [SECTION]:
        raise UsageError(
            f"{what} must have the key `{SECTION}` and no other",
            hint=f"begin with `{SECTION}:` and write one package a line below it",
        )
    entries = content[SECTION] if content[SECTION] is not None else {}
    if not isinstance(entries, dict):
        raise UsageError(
            f"{what}: {SECTION} is not a mapping from package to licence",
            hint="write `  flask: BSD-3-Clause`",
        )
    found: dict[str, Approval] = {}
    for key, value in entries.items():
        try:
            name = canonicalize_name(key if isinstance(key, str) else "", validate=True)
        except InvalidName:
            raise UsageError(
                f"{what}: {key!r} is not the name of a package", hint="quote it when it is one"
            ) from None
        if name in found:
            raise UsageError(
                f"{what}: {name} stands twice, once as {key!r}", hint="keep one of them"
            )
        found[name] = _approval(value, f"{what}: {name}")
    return found


_FIELDS = {"licence", "declared", "because"}


def _approval(value: Any, where: str) -> Approval:
    if not isinstance(value, dict):
        texts, licences = _licences(value, where)
        return Approval(licences, texts, frozenset(), "")
    if unknown := sorted(str(key) for key in value.keys() - _FIELDS):
        raise UsageError(
            f"{where}: {unknown[0]} is not a field", hint="there are: licence, declared, because"
        )
    texts, licences = _licences(value.get("licence"), f"{where}: licence")
    because = value.get("because")
    if not isinstance(because, str) or not because.strip() or because.startswith("<"):
        raise UsageError(
            f"{where} has no because", hint="say where you read the licence, in one line"
        )
    declared = _texts(value["declared"], f"{where}: declared") if "declared" in value else ()
    return Approval(licences, texts, frozenset(_words(declared)), because.strip())


def _licences(value: Any, where: str) -> tuple[tuple[str, ...], tuple[Licence, ...]]:
    texts = _texts(value, where)
    licences = []
    for text in texts:
        licence = _expression(text)
        if licence is None:
            raise UsageError(
                f"{where}: {text!r} is not an SPDX expression",
                hint="such as `MIT`, `Apache-2.0 OR BSD-2-Clause`, or `LicenseRef-…` for one of your own",
            )
        licences.append(licence)
    return texts, tuple(licences)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or any(not isinstance(one, str) or not one.strip() for one in texts):
        raise UsageError(
            f"{where} must be a text, or a list of them", hint="write `  flask: BSD-3-Clause`"
        )
    return tuple(one.strip() for one in texts)
