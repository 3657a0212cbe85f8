"""Our own rules about manifests, and what breaks them. Pure.

They say what neither the schemas nor a scanner of single objects can: whether objects fit each other and the
components that they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.config import rules_network, rules_pods, rules_restricted, rules_wiring
from lockgate.config.workloads import Resources
from lockgate.scan.model import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.base.settings import Severity
    from lockgate.config.resource import Resource
    from lockgate.config.rule import Rule

RULES: tuple[Rule, ...] = (
    *rules_pods.RULES,
    *rules_restricted.RULES,
    *rules_wiring.RULES,
    *rules_network.RULES,
)
"""Every rule."""


def judge(
    resources: Sequence[Resource],
    *,
    components: Mapping[str, tuple[int, str]],
    development: bool,
    path: str,
) -> tuple[Finding, ...]:
    """Return what breaks a rule, in the order of the rules and then of the objects.

    Args:
        resources: all objects of one environment.
        components: port and readiness path of each component that may stand as an image, by its name.
        development: whether secrets that are written out are accepted.
        path: the folder that they come from, for waivers that are limited to it.
    """
    found = Resources(tuple(resources), components, development)
    broken = ((rule, one) for rule in RULES for one in rule.look(found))
    return tuple(
        finding(rule.id, f"{one.where}: {one.text}", one.resource, path) for rule, one in broken
    )


def finding(
    rule: str, title: str, resource: Resource, path: str, *, severity: Severity = "HIGH"
) -> Finding:
    """Return a finding about one object, in the form that waivers cover.

    Its package is the object, `Deployment/todo-dev/todo`; its path is the folder with the object's kind and name.
    """
    return Finding(
        kind="misconfig",
        id=rule,
        severity=severity,
        title=title,
        package=resource.id.label,
        version="",
        fixed="",
        target="kubernetes",
        path=f"{path}/{resource.id.kind}/{resource.id.name}",
        purl="",
        aliases=(),
        platforms=(),
        layer="",
    )
