"""`lockgate.config.workloads`: pods, containers and selectors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.config import rules
from lockgate.config.resource import of
from lockgate.config.workloads import Resources, matches

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))


def world(*bodies: dict[str, Any]) -> Resources:
    """Return manifests of objects."""
    return Resources(tuple(of(one, "test") for one in bodies), {"app": (8080, "/readyz")}, False)


def described(kind: str, version: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return an object."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "n"}, "spec": spec}


TEMPLATE = {
    "metadata": {"labels": {"a": "x"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


@pytest.mark.parametrize(
    ("kind", "version", "spec", "where"),
    [
        ("Deployment", "apps/v1", {"template": TEMPLATE}, "spec.template.spec.containers[0]"),
        ("StatefulSet", "apps/v1", {"template": TEMPLATE}, "spec.template.spec.containers[0]"),
        ("DaemonSet", "apps/v1", {"template": TEMPLATE}, "spec.template.spec.containers[0]"),
        ("Job", "batch/v1", {"template": TEMPLATE}, "spec.template.spec.containers[0]"),
        (
            "CronJob",
            "batch/v1",
            {"jobTemplate": {"spec": {"template": TEMPLATE}}},
            "spec.jobTemplate.spec.template.spec.containers[0]",
        ),
        ("Pod", "v1", TEMPLATE["spec"], "spec.containers[0]"),
    ],
)
def test_pods_are_found_wherever_they_are_described(
    kind: str, version: str, spec: dict[str, Any], where: str
) -> None:
    """The path of a container is the one from the object's root, as a person looks for it."""
    (pod,) = world(described(kind, version, spec)).pods
    (container,) = pod.containers
    assert (container.where, container.image, container.main) == (where, "i", True)


def test_another_group_s_deployment_is_none() -> None:
    """The kind alone says nothing."""
    assert world(described("Deployment", "example.com/v1", {"template": TEMPLATE})).pods == ()


def test_init_containers_are_not_main_but_sidecars_are() -> None:
    """A container that starts first and is kept running serves beside the others."""
    spec = {
        "containers": [{"name": "c"}],
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
        "ephemeralContainers": [{"name": "e"}],
    }
    (pod,) = world(described("Pod", "v1", spec)).pods
    assert [one.main for one in pod.containers] == [True, False, True, False]


@pytest.mark.parametrize("spec", [None, [], "text", {"containers": "text"}, {"containers": [1]}])
def test_what_has_another_form_is_no_container(spec: Any) -> None:
    """The schemas say what is wrong with it; the rules do not fall over it."""
    (pod,) = world(described("Pod", "v1", spec)).pods
    assert pod.containers == ()


@given(LABELS, LABELS)
def test_labels_match_when_all_are_there(wanted: dict[str, str], labels: dict[str, str]) -> None:
    """`matchLabels` is a part of the labels; the empty selector matches everything."""
    assert matches({"matchLabels": wanted}, labels) == (wanted.items() <= labels.items())


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["x", "y"], (True, False)),
        ("NotIn", ["x", "y"], (False, True)),
        ("Exists", None, (True, False)),
        ("DoesNotExist", None, (False, True)),
        ("Near", ["x"], (False, False)),
    ],
)
def test_expressions(operator: str, values: Any, expected: tuple[bool, bool]) -> None:
    """The four operators, for a pod that has the label and one that has not; an unknown one matches nothing."""
    selector = {"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}
    assert (matches(selector, {"a": "x"}), matches(selector, {})) == expected


@pytest.mark.parametrize("value", [None, 5, "a", ["a"], {"a": 1}])
def test_what_has_another_form_is_left_to_the_schemas(value: Any) -> None:
    """No rule breaks off at it."""
    expression = {"key": value, "operator": "In", "values": value}
    matches({"matchExpressions": [expression]}, {"a": "b", "5": "c"})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"containers": [], "securityContext": {"sysctls": [{"name": value}]}},
    }
    found = rules.judge([of(pod, "test")], components={}, development=True, path="k8s")
    assert any("sysctls[0]" in one.title for one in found)


@pytest.mark.parametrize(
    "image", ["app", "app:1", "registry:5000/shop/app:1@sha256:" + "0" * 64, "shop/app"]
)
def test_a_component_is_known_by_the_last_part_of_its_image(image: str) -> None:
    """Registry, folder, tag and digest make no difference."""
    assert world().component(image) == (8080, "/readyz")
    assert world().component("registry/app/other") is None


def test_a_service_without_a_selector_has_no_pods_behind_it() -> None:
    """It would be wrong to take it for one that selects all."""
    pod = described("Pod", "v1", {"containers": []})
    service = described("Service", "v1", {"ports": []})
    found = world(pod, service)
    assert found.backends(next(iter(found.kind("", "Service")))) == ()
