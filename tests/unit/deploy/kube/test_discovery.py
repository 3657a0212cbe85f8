"""Which kinds a cluster serves."""

from __future__ import annotations

import json

import pytest
from tests.miniature import KINDS, Miniature

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube.discovery import Kind, Kinds, kinds_of, parse

DEFINITION = {
    "spec": {
        "group": "example.org",
        "names": {"kind": "Lamp", "plural": "lamps"},
        "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True}, {"name": "v1alpha1", "served": False}],
    }
}


def test_a_document_is_read() -> None:
    """Every kind that it lists."""
    found = parse(Miniature().send("GET", "/apis").body)
    assert [(one.group, one.kind) for one in found] == [
        (one.group, one.kind) for one in sorted(KINDS, key=lambda one: ["apps", "batch", "autoscaling", "apiextensions.k8s.io", "apiregistration.k8s.io"].index(one.group) if one.group else 99) if one.group
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"{}", b'{"kind": "APIGroupList", "groups": []}', b"<html>"])
def test_another_document_is_an_error(body: bytes) -> None:
    """An older cluster, or no cluster."""
    with pytest.raises(ClusterError, match=r"1\.27"):
        parse(body)


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "path"),
    [
        ("ConfigMap", "a", "b", "/api/v1/namespaces/a/configmaps/b"),
        ("ConfigMap", "", "", "/api/v1/configmaps"),
        ("Deployment", "a", "", "/apis/apps/v1/namespaces/a/deployments"),
        ("Namespace", "", "a", "/api/v1/namespaces/a"),
        ("Namespace", "ignored", "a", "/api/v1/namespaces/a"),
        ("ConfigMap", "a", "system:b/c", "/api/v1/namespaces/a/configmaps/system%3Ab%2Fc"),
    ],
)
def test_paths(kind: str, namespace: str, name: str, path: str) -> None:
    """Of objects and of collections; names cannot leave them."""
    found = next(one for one in KINDS if one.kind == kind)
    assert found.path(namespace, name) == path


def test_a_definition_brings_the_versions_that_it_serves() -> None:
    """And only those that the cluster does not serve already."""
    (lamp,) = kinds_of(DEFINITION)
    assert (lamp.api_version, lamp.plural, lamp.namespaced) == ("example.org/v1", "lamps", True)
    kinds = Kinds(KINDS).with_definitions([DEFINITION])
    assert kinds.find("example.org", "Lamp", "v1") == lamp
    assert kinds.find("example.org", "Lamp", "v1alpha1") is None
    assert len(kinds.preferred) == len(KINDS) + 1


def test_without_a_version_the_preferred_one_is_taken() -> None:
    """The first that the server lists."""
    verbs = frozenset({"get"})
    kinds = Kinds(
        Kind("apps", version, "Deployment", "deployments", True, verbs) for version in ("v2", "v1")
    )
    found = kinds.find("apps", "Deployment")
    assert found is not None
    assert found.version == "v2"


def test_a_definition_that_is_not_whole_brings_nothing() -> None:
    """The cluster will say what is missing."""
    assert kinds_of({}) == []
    assert json.dumps(kinds_of({"spec": {"versions": [{}]}})) == "[]"


@pytest.mark.parametrize(
    "spec",
    ["text", {"versions": "v1"}, {"versions": [1]}, {"names": "x", "versions": [{"served": True}]}],
)
def test_a_definition_of_another_form_is_left_to_the_cluster(spec: object) -> None:
    """It says which field is wrong."""
    assert all(not one.kind for one in kinds_of({"spec": spec}))
