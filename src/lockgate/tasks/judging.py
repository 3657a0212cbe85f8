"""The gate's edges, made from the settings: thresholds, waivers, and verdicts that were given before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import Record, encode
from lockgate.base.errors import LockgateError, Stale, UsageError
from lockgate.base.files import atomic_write
from lockgate.base.settings import Settings
from lockgate.gate.decide import decide, lapses_at
from lockgate.gate.decision import Decision
from lockgate.gate.threshold import from_environment
from lockgate.oci.digest import Digest
from lockgate.tasks.console import quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.gate.decision import Waiver
    from lockgate.scan.model import Report
    from lockgate.tasks.session import Session


class Verdict(Record, frozen=True):
    """A decision as it is kept, with what people are told beside it."""

    decision: Decision
    elsewhere: str
    """What a stricter environment would refuse; empty when it would not."""


def judge(session: Session, report: Report, component: str, env: str, now: int) -> Verdict:
    """Return the gate's verdict, from the cache while it still holds.

    It lapses when the database becomes too old for the environment and when the first waiver that it rests
    on ends; it does not apply when report, waivers or threshold are others.

    Raises:
        UsageError: the waivers cannot be read.
        ToolError: the database is too old, or the report is empty.
    """
    name, environment = session.settings.target(env)
    data = waivers_file(session)
    depends = {
        "REPORT": Digest.of(encode(report)),
        "WAIVERS": Digest.of(data),
        "THRESHOLD": Digest.of(encode([name, from_environment(environment)])),
        "ELSEWHERE": Digest.of(encode(_strictness(session))),
    }
    kept = session.cache.find("gate", f"{component}-{name}", depends, Verdict)
    if kept is not None and kept.decision.decided <= now < lapses_at(kept.decision):
        return kept
    read = _reader(session, data, now)
    made = Verdict(
        decision=decide(
            report,
            component=component,
            environment=name,
            threshold=from_environment(environment),
            waivers=read(environment.waiver_max_days),
            now=now,
        ),
        elsewhere=_elsewhere(session, report, component, name, read, now),
    )
    session.cache.keep("gate", f"{component}-{name}", depends, made)
    return made


def require_current(session: Session, decision: Decision, env: str, now: int) -> None:
    """Return when a permission that was kept is one of today's: for this environment, with waivers that still stand.

    Raises:
        Stale: it was given under another threshold, or a waiver that it rests on is no longer in the file.
        UsageError: the waivers cannot be read.
    """
    name, environment = session.settings.target(env)
    hint = f"run `inv scan -e {name} sign -e {name}`"
    if (decision.environment, decision.threshold) != (name, from_environment(environment)):
        raise Stale(
            f"the verdict on {decision.component} was given when {name} tolerated something else",
            hint=hint,
        )
    if not decision.waived:
        return
    read = _reader(session, waivers_file(session), now)
    standing = read(environment.waiver_max_days)
    for one in decision.waived:
        if one.waiver not in standing:
            raise Stale(
                f"the verdict on {decision.component} rests on waiver {one.waiver.id}, which is no longer in "
                f"{session.settings.waivers} as it was",
                hint=hint,
            )


def waivers_file(session: Session) -> bytes:
    """Return the bytes of the waivers file; an absent one of the default name permits nothing.

    Raises:
        UsageError: it cannot be read, or the settings name one that is not there.
    """
    path = session.root / session.settings.waivers
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if session.settings.waivers == Settings.waivers:
            return b"waivers: []\n"  # nothing is permitted; a file that the settings name must be there
        raise UsageError(
            f"there is no {session.settings.waivers}",
            hint="write `waivers: []` into it when nothing is waived",
        ) from None
    except OSError as error:
        raise UsageError(f"{session.settings.waivers} cannot be read: {error.strerror}") from None


def _reader(session: Session, data: bytes, now: int) -> Callable[[int], tuple[Waiver, ...]]:
    from lockgate.gate import waiver

    def read(max_days: int) -> tuple[Waiver, ...]:
        return waiver.parse(
            data,
            today=waiver.day(now),
            max_days=max_days,
            components=tuple(session.settings.components),
            what=session.settings.waivers,
        )

    return read


def _strictness(session: Session) -> list[object]:
    return [
        [name, from_environment(one), one.development_key, one.key]
        for name, one in sorted(session.settings.environments.items())
    ]


def _elsewhere(
    session: Session,
    report: Report,
    component: str,
    current: str,
    read: Callable[[int], tuple[Waiver, ...]],
    now: int,
) -> str:
    """Say what `prod`, or else the last environment in the settings, would refuse."""
    environments = session.settings.environments
    name = "prod" if "prod" in environments else list(environments)[-1]
    environment = environments[name]
    if name == current:
        return ""
    reasons: list[str] = []
    try:
        decision = decide(
            report,
            component=component,
            environment=name,
            threshold=from_environment(environment),
            waivers=read(environment.waiver_max_days),
            now=now,
        )
        reasons += decision.refusals
        if decision.blocks and decision.violations:
            reasons.append(quantity(len(decision.violations), "finding"))
    except LockgateError as error:
        reasons.append(error.message)
    if not environment.key and not environment.development_key:
        reasons.append("development key")
    return f"{name} would refuse: {', '.join(reasons)}" if reasons else ""


def publish(session: Session, decision: Decision) -> None:
    """Write what other tools read, the decision as JSON and SARIF, under `out/`, unless it is there."""
    folder = session.root / "out" / decision.component
    written, findings = (
        folder / f"decision-{decision.environment}.json",
        folder / f"findings-{decision.environment}.sarif",
    )
    data = encode(decision) + b"\n"
    if findings.exists() and written.exists() and written.read_bytes() == data:
        return
    from lockgate.gate.sarif import sarif

    atomic_write(findings, sarif(decision))
    atomic_write(written, data)  # last: it says that both are of this decision
