"""The check stage: a component's sources in, a record of six gates out. It comes before the build.

Every gate runs, also after one that failed, so that a person sees everything at once. A gate that could not do
its work is an error, raised when the others have run: it is neither a pass nor a failure.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from lockgate import __version__
from lockgate.base.canonical import Record, encode
from lockgate.base.errors import LockgateError, UsageError
from lockgate.build.requirements import RELOCK
from lockgate.build.tree import content_digest, source_files
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lockgate.base.settings import Component
    from lockgate.build.check_dependencies import Advisory, LicenceVerdict
    from lockgate.build.check_work import Outcome
    from lockgate.build.model import Package


class Gate(Record, frozen=True):
    """What one gate found."""

    name: str
    """`format`, `lint`, `tests`, `security`, `audit` or `licences`."""
    passed: bool
    blocks: bool
    """Whether not passing is a reason to stop. False for a component that says it has no tests."""
    reason: str
    """One line."""
    detail: tuple[str, ...]
    """Lines for the person who has to mend it; bounded."""


class Checks(Record, frozen=True):
    """What `check` returns. It holds no times: the same source gives the same record."""

    subject: str
    """Content digest of the component's files in the image; `Source.content` of an image built from them."""
    checked: str
    """Content digest of all files that were looked at, tests included; `inputs` has it as SOURCE."""
    component: str
    gates: tuple[Gate, ...]
    """In the order in which they ran."""
    summary: str
    """One line."""

    @property
    def passed(self) -> bool:
        """True when no gate stops the flow. No gate at all is not a pass."""
        return bool(self.gates) and not any(one.blocks and not one.passed for one in self.gates)


NAMES = ("format", "lint", "tests", "security", "audit", "licences")
"""The gates in the order in which they run."""


def check(
    name: str,
    component: Component,
    *,
    root: Path,
    tools: Path,
    packages: tuple[Package, ...],
    audit: Callable[[Path], Sequence[Advisory]],
    licences: Callable[[Sequence[Package]], LicenceVerdict],
    progress: Callable[[Gate], None] | None = None,
) -> Checks:
    """Look at a component's sources and dependencies through every gate.

    Args:
        name: the component's name.
        component: its settings.
        root: the folder of `lockgate.yaml`.
        tools: folder of the programs, from `tool_env.prepare`.
        packages: the distributions of the image, from `distribution.packages`.
        audit: looks a requirements file up in an advisory database; raises a ToolError when it cannot.
        licences: compares distributions with the approved licences.
        progress: is given each gate when it is done.

    Raises:
        UsageError: the component's folder or its lock is absent or not usable.
        SubjectMismatch: `packages` are not those of the lock.
        ToolError: a gate could not do its work; the first one's error, raised when all others have run.
    """
    from lockgate.build.check_dependencies import Dependencies
    from lockgate.build.check_work import private_copy

    with private_copy(root, component, tools) as work:
        lock = work.scratch / "lock" / "requirements.txt"
        lock.parent.mkdir()
        shutil.copyfile(_lock(root, component), lock)
        dependencies = Dependencies(lock, packages, audit, licences)
        subject = content_digest(work.folder, work.shipped)
        checked = content_digest(work.folder, work.files)
        gates: list[Gate] = []
        failures: list[LockgateError] = []
        for gate_name, function in _gates().items():
            given = dependencies if gate_name in ("audit", "licences") else work
            try:
                outcome: Outcome = function(given)
            except LockgateError as error:
                failures.append(error)
                continue
            gates.append(
                Gate(
                    name=gate_name,
                    passed=outcome.passed,
                    blocks=outcome.blocks,
                    reason=outcome.reason,
                    detail=outcome.detail,
                )
            )
            if progress is not None:
                progress(gates[-1])
    if failures:
        raise failures[0]
    return Checks(
        subject=subject,
        checked=checked,
        component=name,
        gates=tuple(gates),
        summary=_summary(gates),
    )


def _gates() -> dict[str, Callable[..., Outcome]]:
    from lockgate.build.check_dependencies import audit_gate, licences_gate
    from lockgate.build.check_static import format_gate, lint_gate, security_gate
    from lockgate.build.check_tests import tests_gate

    functions = (format_gate, lint_gate, tests_gate, security_gate, audit_gate, licences_gate)
    return dict(zip(NAMES, functions, strict=True))


def _summary(gates: Sequence[Gate]) -> str:
    failed = [one.name for one in gates if not one.passed and one.blocks]
    if failed:
        return f"{len(failed)} of {len(gates)} gates failed: {', '.join(failed)}"
    passed = sum(one.passed for one in gates)
    idle = [one.name for one in gates if not one.passed]
    return f"{passed} gates passed" + (f"; not done: {', '.join(idle)}" if idle else "")


def reasons() -> dict[str, str]:
    """Return why each gate exists, by its name; it is what `inv check --why` shows."""
    import inspect

    return {name: inspect.getdoc(function) or "" for name, function in _gates().items()}


def inputs(
    name: str,
    component: Component,
    *,
    root: Path,
    licences: Path,
    advisories: str,
) -> dict[str, str]:
    """Return everything a verdict depends on, by the reason that a person would give for a new one.

    Args:
        name: the component's name.
        component: its settings.
        root: the folder of `lockgate.yaml`.
        licences: file of the approved licences.
        advisories: digest of the advisory database, with whatever else decides the audit.

    Raises:
        UsageError: the component's folder, its lock or the file of approved licences is absent.
    """
    from lockgate.build.check_work import style_files
    from lockgate.build.tool_env import tool_lock

    folder = root / component.path
    styles = style_files(root, folder)
    style = content_digest(root, styles)
    config = [name, component.path, component.tests, component.coverage, component.exclude]
    python = ".".join(str(part) for part in sys.version_info[:3])
    return {
        "SOURCE": content_digest(folder, source_files(folder, ())),
        "DEPS": Digest.of(_lock(root, component).read_bytes()),
        "LICENCES": Digest.of(read_policy(licences)),
        "ADVISORIES": advisories,
        "TOOLS": f"{Digest.of(tool_lock().read_bytes())} python {python}",
        "CONFIG": Digest.of(encode([*config, styles, style])),
        "CHECKER": f"lockgate@{__version__}",
    }


def _lock(root: Path, component: Component) -> Path:
    path = root / component.path / component.requirements
    if not path.is_file():
        raise UsageError(
            f"the component's lock {component.path}/{component.requirements} does not exist",
            hint=f"{RELOCK}; it may be empty",
        )
    return path


def read_policy(path: Path) -> bytes:
    """Return the bytes of the file of approved licences.

    Raises:
        UsageError: it is absent or cannot be read. An absent file approves nothing and is no empty list.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"the file of approved licences {path} does not exist",
            hint="write one that begins with `python:`; `inv check` then says which lines to add",
        ) from None
    except OSError as error:
        raise UsageError(
            f"the file of approved licences {path} cannot be read: {error.strerror}",
            hint="check its owner and mode",
        ) from None
