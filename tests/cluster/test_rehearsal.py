"""Objects whose namespace the artifact brings itself: what the real API server says of them before it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cluster.conftest import lines
from tests.node import until

from lockgate.base.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.conftest import Place

OBJECTS = """
{apiVersion: v1, kind: Namespace, metadata: {name: @NS-new}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: @NS-new}, data: {key: one}}
---
{apiVersion: v1, kind: Secret, metadata: {name: b, namespace: @NS-new}, stringData: {password: hidden-word}}
---
{apiVersion: v1, kind: Service, metadata: {name: c, namespace: @NS-new}, spec: {ports: [{port: 80}]}}
"""

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: @NS}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [services]}]
  validations: [{expression: "false", message: no service here}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: @NS}
spec:
  policyName: @NS
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: @NS}}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: none, namespace: @NS}
spec: {hard: {secrets: "0"}}
"""


@pytest.fixture
def fresh(place: Place) -> Iterator[str]:
    """The name of a namespace that does not exist; what was made of it is removed."""
    name = f"{place.namespace}-new"
    yield name
    place.kubectl("delete", f"namespace/{name}", "--ignore-not-found", "--wait=false")


def test_wrong_fields_are_named_before_the_namespace_is_made(place: Place, fresh: str) -> None:
    """All of them, with the namespace that they are to lie in, and without a value of a Secret."""
    wrong = (
        OBJECTS.replace("data: {key: one}", "dta: {key: one}")
        .replace("stringData: {password", "type: kubernetes.io/tls, stringData: {password")
        .replace("port: 80", "port: 99999")
    )
    for run in (place.plan, place.apply):
        with pytest.raises(Rejected) as caught:
            run(wrong)
        said = caught.value.message
        assert "3 objects cannot be applied; nothing was changed" in said
        assert f"ConfigMap/{fresh}/a is refused: " in said
        assert 'unknown field "dta"' in said
        assert f"Secret/{fresh}/b is refused: data[tls.crt], data[tls.key]" in said
        assert f"Service/{fresh}/c is refused: spec.ports[0].port: " in said
        assert "hidden-word" not in said
    assert place.get(f"namespace/{fresh}") is None
    assert place.get("configmap/inv-web") is None


def test_what_another_namespace_forbids_does_not_count(place: Place, fresh: str) -> None:
    """A policy, a quota, and an object of the same name there: the new namespace has none of them."""
    place.kubectl("apply", "-f", "-", stdin=POLICY.replace("@NS", place.namespace))
    place.kubectl("create", "configmap", "a")
    asked = ("create", "service", "clusterip", "c", "--tcp=80", "--dry-run=server")
    until(lambda: "no service here" in place.kubectl(*asked, check=False), "the policy is in force")
    made = place.apply(OBJECTS)
    assert lines(made) == [f"{fresh} created", "a created", "b created", "c created"]
    assert place.get("service/c") is None
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        place.kubectl("delete", kind, place.namespace)
