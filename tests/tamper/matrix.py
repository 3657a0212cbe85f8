"""The matrix: every object, every mutation of it, every stage that looks at it, and the error that names it.

python -m tests.tamper.matrix > docs/tamper.md
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tests.tamper import elsewhere, forged, records, stored
from tests.tamper.bench import NAMES

if TYPE_CHECKING:
    from tests.tamper.cells import Cell

CELLS: tuple[Cell, ...] = (
    *stored.cells(),
    *forged.cells(),
    *elsewhere.cells(),
    *records.cells(),
)

STAGES = {
    "sign": "records in, evidence out: `attest`",
    "verify": "store and keys in, trust or a refusal out: `verify` and `require`",
    "elsewhere": "an image in a registry or an archive and keys in, trust or a refusal out: `inv verify REF`",
    "use": "between the verification and the use of what was verified",
    "unpack": "the image's bytes on their way into a sandbox",
}

_HEAD = """\
# What was tampered with, and how it was refused

Every object that the flow rests on, changed in every way that someone could think of, at every stage that reads it.
`tests/tamper` does each of these and looks for the named error; where a bit is flipped or something is cut, Hypothesis
chooses the place. Evidence is tried in both forms: Sigstore bundles, and cosign's `.sig` and `.att` images. The last
rows of `verify` are verifiers that are switched off: without a key, a trust root, a requirement or evidence there is a
failure, never a skip.

This page is written by `python -m tests.tamper.matrix > docs/tamper.md`; a test keeps it equal to the cells that run."""


EVERY = {
    "every statement": frozenset(NAMES.values()),
    "the manifest of every bundle": frozenset(f"{one} manifest" for one in NAMES.values()),
    "every statement in a registry": frozenset(f"{one} in a registry" for one in NAMES.values()),
    "every statement in an archive": frozenset(f"{one} in an archive" for one in NAMES.values()),
    "the manifest of every bundle in a registry": frozenset(
        f"{one} manifest in a registry" for one in NAMES.values()
    ),
    "the manifest of every bundle in an archive": frozenset(
        f"{one} manifest in an archive" for one in NAMES.values()
    ),
}
"""What is said in place of a list of all of them."""


class Row(NamedTuple):
    """One line of the table."""

    thing: str
    mutation: str
    error: str
    cells: tuple[Cell, ...]


def rows(stage: str) -> list[Row]:
    """Return a stage's rows: cells with one mutation and one error stand in one."""
    grouped: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in CELLS:
        if cell.stage == stage:
            grouped[cell.mutation, cell.error.__name__].append(cell)
    return [
        Row(_things(cells), mutation, error, tuple(cells))
        for (mutation, error), cells in grouped.items()
    ]


def _things(cells: list[Cell]) -> str:
    found = list(dict.fromkeys(cell.thing for cell in cells))
    for word, names in EVERY.items():
        if names <= set(found):
            at = min(found.index(name) for name in names)
            found = [*found[:at], word, *(one for one in found[at:] if one not in names)]
    return ", ".join(found)


def render() -> str:
    """Return the page."""
    parts = [_HEAD]
    for stage, what in STAGES.items():
        found = rows(stage)
        many = sum(len(one.cells) for one in found)
        parts.append(f"\n## {stage}\n\n{what[0].upper() + what[1:]}. {many} cells.\n")
        parts.append("| what | how | refused as | cells |\n|---|---|---|---|")
        parts += [
            f"| {one.thing} | {one.mutation} | `{one.error}` | {len(one.cells)} |" for one in found
        ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
