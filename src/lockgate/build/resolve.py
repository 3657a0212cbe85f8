"""Which packages a stack consists of: the closure over `Depends` and `Pre-Depends`, without executing anything.

`Recommends` are not followed. The answer depends on the index and the arguments only: packages are visited
in the order in which they are found, starting with the sorted names that were asked for.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.build import relation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.build.packages_index import Candidate, PackagesIndex
    from lockgate.build.relation import Relation


class Closure(NamedTuple):
    """What `resolve` found."""

    packages: tuple[Candidate, ...]
    """Sorted by name."""
    omitted: frozenset[str]
    """Names of `omit` that something needed."""


def resolve(
    index: PackagesIndex, *, architecture: str, packages: Iterable[str], omit: Iterable[str]
) -> Closure:
    """Return the packages that were asked for, with everything that they need.

    Of alternatives the first that is already chosen counts, else the first that can be met; of several
    packages that provide a virtual one, the first by name. A group with an omitted name counts as met.

    Args:
        index: what the suites offer.
        architecture: Debian architecture, `amd64`.
        packages: names of real packages.
        omit: names, real or virtual, that are left out wherever they are needed.

    Raises:
        UsageError: a package does not exist or a dependency cannot be met; the message says who needs it.
    """
    wanted, left_out = sorted(set(packages)), frozenset(omit)
    chosen: dict[str, Candidate] = {}
    for name in wanted:
        candidate = index.get(name)
        if candidate is None:
            raise UsageError(
                f"there is no package `{name}` for {architecture} in these suites",
                hint="check `packages` and `suites` in `stack.yaml`",
            )
        if name in left_out:
            raise UsageError(
                f"`{name}` stands under both `packages` and `omit`", hint="remove one of the two"
            )
        chosen[name] = candidate
    used: set[str] = set()
    queue = deque(chosen.values())
    while queue:
        package = queue.popleft()
        for group in relation.parse(package.needs, what=f"`{package.name}`: Depends"):
            skipped = [one.name for one in group if one.name in left_out]
            if skipped:
                used.update(skipped)
                continue
            found = _meet(index, group, chosen, architecture)
            if found is None:
                raise UsageError(
                    f"`{package.name}` {package.version} needs {_text(group)}, which no suite of the "
                    f"stack offers for {architecture}",
                    hint="add a suite that has it, or put it under `omit` with a reason",
                )
            if found.name not in chosen:
                chosen[found.name] = found
                queue.append(found)
    return Closure(tuple(chosen[name] for name in sorted(chosen)), frozenset(used))


def _meet(
    index: PackagesIndex,
    group: tuple[Relation, ...],
    chosen: dict[str, Candidate],
    architecture: str,
) -> Candidate | None:
    usable = [one for one in group if one.qualifier in ("", "any", "native", architecture)]
    options = [candidate for one in usable for candidate in _candidates(index, one)]
    return next((one for one in options if one.name in chosen), next(iter(options), None))


def _candidates(index: PackagesIndex, wanted: Relation) -> list[Candidate]:
    real = index.get(wanted.name)
    found = [real] if real is not None and wanted.met_by(real.version) else []
    provided = index.providers(wanted.name)
    return found + [one for version, one in provided if wanted.met_by_provided(version)]


def _text(group: tuple[Relation, ...]) -> str:
    return " or ".join(f"`{one}`" for one in group)
