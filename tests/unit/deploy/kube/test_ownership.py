"""Whose an object is, and what makes it ready for our apply."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lockgate.deploy.kube import ownership
from lockgate.deploy.kube.ownership import LAST_APPLIED, Owner

WEB = Owner("shop", "web")


def books(
    manager: str = "lockgate", operation: str = "Apply", fields: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return an entry of the books."""
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "time": "t",
        "fieldsV1": fields or {},
    }


def item(*managed: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return an object of the inventory."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "labels": WEB.labels,
                     "managedFields": list(managed), **metadata},
    }  # fmt: skip


OURS = item(books(fields={"f:data": {"f:key": {}}}))


def test_an_object_is_ours_by_labels_and_books() -> None:
    """Either alone proves nothing."""
    assert ownership.is_ours(OURS, WEB)
    assert not ownership.is_ours(OURS, Owner("shop", "other"))
    assert not ownership.is_ours(OURS, Owner("other", "web"))
    assert not ownership.is_ours(item(books("operator", "Update")), WEB)
    assert not ownership.is_ours(item(books(), labels={}), WEB)


def test_the_books_of_a_subresource_are_not_ours() -> None:
    """Status is written through one."""
    assert ownership.entry(item({**books(), "subresource": "status"})) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (OURS, "belongs to the inventory shop/web"),
        (item(labels={}), "none of our labels"),
        (item(books("x", "Update"), labels=Owner("o", "n").labels), "somebody copied them"),
    ],
)
def test_the_reason_is_told(body: dict[str, Any], words: str) -> None:
    """Why an object is not ours."""
    assert words in ownership.describe(body, Owner("o", "n"))


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "another"},
        {"managedFields": [books(fields={"f:data": {}})]},
        {"managedFields": [{**books(fields={"f:data": {"f:key": {}}}), "time": "later"}]},
        {"managedFields": []},
        {"deletionTimestamp": "now"},
    ],
)
def test_a_token_ends_with_what_it_rests_on(change: dict[str, Any]) -> None:
    """Another object, other fields, a later apply, no books, a deletion."""
    seen = ownership.token("digest", OURS)
    changed = copy.deepcopy(OURS)
    changed["metadata"] |= change
    assert ownership.is_untouched(seen, OURS)
    assert not ownership.is_untouched(seen, changed)


def test_a_token_outlives_what_is_not_ours() -> None:
    """Another manager's fields and the version of the object."""
    changed = copy.deepcopy(OURS)
    changed["metadata"]["managedFields"].append(books("kubelet", "Update", fields={"f:status": {}}))
    changed["metadata"]["resourceVersion"] = "8"
    assert ownership.is_untouched(ownership.token("digest", OURS), changed)
    assert ownership.token("digest", OURS) != ownership.token("another", OURS)


def test_an_object_without_residue_needs_no_cleanup() -> None:
    """No request is made for it."""
    assert ownership.cleanup(OURS, {"data": {}}, take_over=False) == []


def test_fields_of_kubectl_become_ours() -> None:
    """United with those that are; its annotation goes; the version is named."""
    body = item(
        books(fields={"f:data": {"f:key": {}}}),
        books("kubectl-client-side-apply", "Update", fields={"f:data": {"f:old": {}}}),
        annotations={LAST_APPLIED: "{}"},
    )
    version, managed, annotation = ownership.cleanup(body, {"data": {}}, take_over=False)
    assert version == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    (entry,) = managed["value"]
    assert (entry["manager"], entry["operation"]) == ("lockgate", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:key": {}, "f:old": {}}}
    assert annotation == {
        "op": "remove",
        "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
    }


def versioned(version: str, manager: str, operation: str, *fields: str) -> dict[str, Any]:
    """Return an entry of the books in a version of a group."""
    found: dict[str, Any] = {f"f:{one}": {} for one in fields}
    return {**books(manager, operation, fields=found), "apiVersion": f"example.org/{version}"}


def managed(patch: list[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """Return manager and version of the entries that a patch writes, with their fields."""
    value = next(one["value"] for one in patch if one["path"] == "/metadata/managedFields")
    return {
        (one["manager"], one["apiVersion"].rpartition("/")[2]): sorted(one["fieldsV1"])
        for one in value
    }


def test_fields_of_kubectl_keep_their_version() -> None:
    """The cluster converts them when ours are applied in a newer one."""
    body = item(versioned("v1beta1", "kubectl-client-side-apply", "Update", "a", "b"))
    body["apiVersion"] = "example.org/v1"
    patch = ownership.cleanup(body, {}, take_over=False)
    assert managed(patch) == {("lockgate", "v1beta1"): ["f:a", "f:b"]}


def test_fields_of_several_versions_are_united() -> None:
    """In the version of our entry, else in that of the object."""
    residue = [
        versioned("v1beta1", "kubectl-client-side-apply", "Update", "a"),
        versioned("v1", "kubectl-client-side-apply", "Update", "b"),
    ]
    body = item(*residue)
    body["apiVersion"] = "example.org/v1"
    patch = ownership.cleanup(body, {}, take_over=False)
    assert managed(patch) == {("lockgate", "v1"): ["f:a", "f:b"]}
    body = item(versioned("v1beta1", "lockgate", "Apply", "c"), *residue)
    patch = ownership.cleanup(body, {}, take_over=False)
    assert managed(patch) == {("lockgate", "v1beta1"): ["f:a", "f:b", "f:c"]}


def test_books_of_a_version_that_is_gone_get_the_objects_own() -> None:
    """Everybody's, else nothing could be applied; entries that are the same then are united."""
    body = item(
        versioned("v1beta1", "lockgate", "Apply", "a"),
        versioned("v1beta1", "controller", "Update", "b"),
        versioned("v1", "controller", "Update", "c"),
    )
    body["apiVersion"] = "example.org/v1"

    def served(version: str) -> bool:
        return version == "example.org/v1"

    assert ownership.is_outdated(body, served)
    assert not ownership.is_outdated(item(versioned("v1", "x", "Update")), served)
    assert managed(ownership.cleanup(body, {}, take_over=False, served=served)) == {
        ("lockgate", "v1"): ["f:a"],
        ("controller", "v1"): ["f:b", "f:c"],
    }
    assert ownership.cleanup(body, {}, take_over=False) == []


def test_books_without_a_name_are_put_in_order_too() -> None:
    """The cluster leaves out what is empty, as the manager of a write that named none."""
    body = item(versioned("v1beta1", "", "Update", "a"))
    body["apiVersion"] = "example.org/v1"
    del body["metadata"]["managedFields"][0]["manager"]
    patch = ownership.cleanup(
        body, {}, take_over=True, served=lambda version: version == "example.org/v1"
    )
    (entry,) = patch[-1]["value"]
    assert (entry["apiVersion"], "manager" in entry) == ("example.org/v1", False)


def test_what_somebody_applied_on_purpose_is_taken_on_request_only() -> None:
    """`kubectl apply --server-side` is not residue."""
    body = item(books("kubectl", "Apply", fields={"f:data": {"f:old": {}}}))
    assert ownership.cleanup(body, {"data": {}}, take_over=False) == []
    assert (
        ownership.cleanup(body, {"data": {}}, take_over=True)[1]["value"][0]["manager"]
        == "lockgate"
    )


def test_replicas_that_are_given_up_are_put_in_other_hands() -> None:
    """Else the cluster would set them to 1."""
    body = item(books(fields={"f:spec": {"f:replicas": {}}}))
    patch = ownership.cleanup(body, {"spec": {}}, take_over=False)
    managers = [one["manager"] for one in patch[1]["value"]]
    assert managers == ["lockgate", "lockgate-handover"]
    assert ownership.cleanup(body, {"spec": {"replicas": 2}}, take_over=False) == []


def test_replicas_that_the_manifest_has_again_are_taken_back() -> None:
    """What stood for us is no other manager, and its conflict is none."""
    stand_in = books(ownership.HANDOVER, fields={"f:spec": {"f:replicas": {}}})
    body = item(books(fields={"f:spec": {}}), stand_in)
    patch = ownership.cleanup(body, {"spec": {"replicas": 3}}, take_over=False)
    assert [one["manager"] for one in patch[1]["value"]] == ["lockgate"]
    assert ownership.cleanup(body, {"spec": {}}, take_over=False) == []
    text = f'conflict with "{ownership.HANDOVER}" using apps/v1'
    assert ownership.conflicts_are_residue((("", ".spec.replicas", text),))


def test_replicas_that_another_manager_holds_are_left_to_it() -> None:
    """The autoscaler has set them."""
    body = item(
        books(fields={"f:spec": {"f:replicas": {}}}),
        {
            **books("kube-controller-manager", "Update", fields={"f:spec": {"f:replicas": {}}}),
            "subresource": "scale",
        },
    )
    assert ownership.cleanup(body, {"spec": {}}, take_over=False) == []


@pytest.mark.parametrize(
    ("text", "is_residue"),
    [
        ('conflict with "kubectl-client-side-apply" using v1', True),
        ('conflict with "before-first-apply" using v1', True),
        ('conflict with "kubectl-edit" using v1', False),
        ('conflict with "kubectl" using v1', False),
    ],
)
def test_conflicts_with_residue_are_none(text: str, is_residue: bool) -> None:
    """Only when all of them are."""
    cause = ("FieldManagerConflict", ".data.key", text)
    assert ownership.conflicts_are_residue((cause,)) is is_residue
    other = ("FieldManagerConflict", ".data.key", 'conflict with "somebody"')
    assert not ownership.conflicts_are_residue((cause, other))
    assert not ownership.conflicts_are_residue(())
