"""What this user may do, asked before anything changes (authorization.k8s.io/v1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.errors import Forbidden
from lockgate.deploy.kube import crew

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lockgate.deploy.kube.client import Client

READ = ("get", "list")
WRITE = ("create", "patch")


class Need(NamedTuple):
    """Something that will be done."""

    verb: str
    group: str
    resource: str
    """Plural of the kind."""
    namespace: str
    """Empty for what lies in none, and for all namespaces."""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}" + (f" in {self.namespace}" if self.namespace else "")


def check(client: Client, needs: Iterable[Need], *, workers: int) -> None:
    """Refuse to begin what could not be finished.

    One question is enough for who may do everything; another one for each namespace answers most of the rest.

    Raises:
        Forbidden: something is not allowed; all of it is listed.
    """
    wanted = sorted(set(needs))
    everything = {"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}}
    if client.review("SelfSubjectAccessReview", everything).get("allowed"):
        return
    namespaces = sorted({one.namespace for one in wanted if one.namespace})
    allowed: set[Need] = set()
    for namespace, status in crew.each(
        lambda name: client.review("SelfSubjectRulesReview", {"namespace": name}),
        namespaces,
        workers=workers,
    ):
        rules = status.get("resourceRules") or ()
        allowed |= {one for one in wanted if one.namespace == namespace and covered(one, rules)}
    missing: list[Need] = []
    # A list of rules may be incomplete, and says nothing about what lies in no namespace: ask for each.
    unsure = [one for one in wanted if one not in allowed]
    for one, status in crew.each(
        lambda need: client.review(
            "SelfSubjectAccessReview", {"resourceAttributes": need._asdict()}
        ),
        unsure,
        workers=workers,
    ):
        if not status.get("allowed"):
            missing.append(one)
    if missing:
        listed = ", ".join(str(one) for one in sorted(missing))
        raise Forbidden(
            f"this user may not: {listed}",
            hint="nothing was changed; ask for a Role with these verbs, or use another `context`",
            status=403,
        )


def covered(need: Need, rules: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether one of the rules of a namespace allows something, whatever the object's name."""
    return any(
        _among(need.verb, rule.get("verbs"))
        and _among(need.group, rule.get("apiGroups"))
        and _among(need.resource, rule.get("resources"))
        and not rule.get("resourceNames")
        for rule in rules
    )


def _among(word: str, words: Sequence[str] | None) -> bool:
    return word in (words or ()) or "*" in (words or ())
