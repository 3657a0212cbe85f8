"""Objects have an id, or an error says which field is missing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.config import resource
from lockgate.config.resource import ResourceId

WHERE = "k8s/web.yaml"
WEB = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: todo}\n"


def parse(text: str) -> tuple[resource.Resource, ...]:
    """Parse a text."""
    return resource.parse(text.encode(), where=WHERE)


def test_an_object_is_known_by_group_kind_namespace_and_name() -> None:
    """The version is not part of the id."""
    (web,) = parse(WEB)
    assert web.id == ResourceId(group="apps", kind="Deployment", namespace="todo", name="web")
    assert web.api_version == "apps/v1"
    assert web.id.label == "Deployment/todo/web"
    assert web.id.key == "todo_web_apps_Deployment"


def test_an_object_of_the_core_has_no_group() -> None:
    """`v1` is a version without a group; a namespace lies in none."""
    (space,) = parse("apiVersion: v1\nkind: Namespace\nmetadata: {name: todo}\n")
    assert (space.id.group, space.id.namespace, space.id.label) == ("", "", "Namespace/todo")
    assert space.id.key == "_todo__Namespace"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: Pod\nmetadata: {name: a}\n", "line 1: an object has no apiVersion"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "an object has no kind"),
        ("apiVersion: v1\nkind: Pod\n", "Pod has no metadata"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {labels: {}}\n", "Pod has no name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", "generateName and no name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n", "Pod has no name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: ../a}\n", "has the name '../a'"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a__b}\n", "has the name 'a__b'"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 'a_:b'}\n", "has the name 'a_:b'"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: B}\n", "namespace 'B'"),
        ("apiVersion: a/b/c\nkind: Pod\nmetadata: {name: a}\n", "apiVersion 'a/b/c' is none"),
        ("apiVersion: v1\nkind: a pod\nmetadata: {name: a}\n", "kind 'a pod' is none"),
        ("- a\n", "it is no object but a list"),
        ("text\n", "it is no object but a text"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {b: 1}}\n",
            "Pod a: label b is a number and no text",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {b: true}}\n",
            "annotation b is a boolean",
        ),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: []}\n", "labels are no mapping"),
        (
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
            "a Kustomization of kustomize is no object",
        ),
    ],
)
def test_a_document_that_is_no_object_is_an_error(text: str, problem: str) -> None:
    """Nothing is dropped in silence: file, line and field are named."""
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert problem in caught.value.message
    assert caught.value.message.startswith(WHERE)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_nothing_is_an_error(text: str) -> None:
    """An input without an object is no success."""
    with pytest.raises(UsageError, match="holds no object"):
        parse(text)


def test_an_empty_list_is_nothing() -> None:
    """A list of objects without any is empty input."""
    with pytest.raises(UsageError, match="holds no object"):
        parse("apiVersion: v1\nkind: List\nitems: []\n")


def test_lists_are_taken_apart() -> None:
    """Lists of any kind, and lists in lists, give their items."""
    item: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap"}
    one, two = ({**item, "metadata": {"name": name}} for name in ("a", "b"))
    inner = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [two]}
    outer = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [one, inner]}
    found = resource.parse(repr(outer).encode(), where=WHERE)
    assert [each.id.name for each in found] == ["a", "b"]


def test_a_kind_that_only_ends_like_a_list_is_an_object() -> None:
    """`AllowList` without items is an object of its own."""
    (found,) = parse("apiVersion: x.example/v1\nkind: AllowList\nmetadata: {name: a}\n")
    assert found.id.kind == "AllowList"


def test_an_object_that_stands_twice_is_an_error_with_both_places() -> None:
    """Also when the versions differ; both places are named."""
    with pytest.raises(UsageError) as caught:
        parse(f"{WEB}---\n{WEB.replace('apps/v1', 'apps/v1beta1')}")
    assert (
        f"Deployment/todo/web stands twice: {WHERE}, line 1, and {WHERE}, line 4"
        in caught.value.message
    )


def test_fluxs_own_kustomization_is_an_object() -> None:
    """The kind of the same name in Flux's group lives in a cluster."""
    (found,) = parse(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\n"
    )
    assert found.id.group == "kustomize.toolkit.fluxcd.io"


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)


@given(
    group=st.sampled_from(["", "apps", "rbac.authorization.k8s.io"]),
    kind=st.sampled_from(["Role", "Deployment"]),
    namespace=st.one_of(st.just(""), st.from_regex(r"[a-z]([a-z-]{0,9}[a-z])?", fullmatch=True)),
    name=NAMES | st.builds("{}:{}".format, NAMES, NAMES) | st.builds("{}_{}".format, NAMES, NAMES),
)
def test_a_key_of_an_inventory_is_read_back(
    group: str, kind: str, namespace: str, name: str
) -> None:
    """Names with colons and single underscores too."""
    one = ResourceId(group=group, kind=kind, namespace=namespace, name=name)
    assert ResourceId.parse_key(one.key) == one


@pytest.mark.parametrize("text", ["", "a", "a_b_c", "____", "todo_web_apps_"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """An entry that lacks a part is an error."""
    with pytest.raises(UsageError, match="is no entry of an inventory"):
        ResourceId.parse_key(text)
