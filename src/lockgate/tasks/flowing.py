"""How far a component is in the flow: its records, held against what they would be now."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lockgate.base.canonical import Record
from lockgate.base.errors import LockgateError
from lockgate.build.check import Checks
from lockgate.build.model import Image
from lockgate.gate.decision import Decision
from lockgate.sign.model import Signed, Verification

if TYPE_CHECKING:
    from lockgate.tasks.session import Session

R = TypeVar("R", bound=Record)

NOT_YET, STALE = "-", "stale"


def states(session: Session, component: str, env: str) -> dict[str, str]:
    """Return a word for each stage: `-` not yet, `stale` done for something else, or how it ended."""
    image = _record(session, component, "image", Image)
    subject = image.subject if image else ""
    name, _ = session.settings.target(env)
    decision = _record(session, component, f"decision-{name}", Decision)
    signed = _record(session, component, "signed", Signed)
    verification = _record(session, component, "verification", Verification)
    return {
        "check": _check(session, component),
        "build": _build(session, image, component),
        "scan": _of(subject, decision, "open" if decision and decision.allowed else "closed"),
        "sign": _of(subject, signed, "done"),
        "verify": _verify(session, verification, subject, env),
        "deploy": _deploy(session, component, subject),
    }


def _record(session: Session, component: str, name: str, kind: type[R]) -> R | None:
    try:
        return session.record(component, name, kind, made_by=name)
    except LockgateError:
        return None  # not there, or of an earlier version: as good as not done


def _of(subject: str, record: Decision | Signed | Verification | None, word: str) -> str:
    if record is None:
        return NOT_YET
    return word if record.subject == subject else STALE


def _verify(session: Session, verification: Verification | None, subject: str, env: str) -> str:
    from lockgate.tasks import trusting

    if verification is None or verification.name != session.settings.target(env)[0]:
        return NOT_YET
    try:
        asked = trusting.asked(session, env)
    except LockgateError:
        return STALE  # nobody is trusted any more
    if verification.asked != asked:
        return STALE
    return _of(subject, verification, "trusted" if verification.met else "refused")


def _check(session: Session, component: str) -> str:
    from lockgate.tasks import checking

    last = _record(session, component, "checks", Checks)
    if last is None:
        return NOT_YET
    if session.cache.find("check", component, checking.inputs(session, component), Checks) != last:
        return STALE
    return "passed" if last.passed else "failed"


def _build(session: Session, image: Image | None, component: str) -> str:
    from lockgate.tasks import building

    if image is None:
        return NOT_YET
    return "done" if building.make_plan(session, component).inputs == image.inputs else STALE


def _deploy(session: Session, component: str, subject: str) -> str:
    from lockgate.tasks import deploying

    found = deploying.status(session, component)
    if found.phase == "never deployed":
        return NOT_YET
    if found.phase == "running" and found.instance and found.instance.digest != subject:
        return STALE
    return found.phase
