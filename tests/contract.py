"""What the real API server and the one in memory have in common: each function is one promise.

Every promise is given a client and a namespace of its own.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import ClusterError, Conflict, Rejected
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import ownership

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.deploy.kube.answers import Applied
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.discovery import Kind


def kind(client: Client, name: str = "ConfigMap", group: str = "") -> Kind:
    """Return a kind that is served."""
    found = client.kinds.find(group, name)
    assert found is not None
    return found


def one(namespace: str, name: str = "a") -> ResourceId:
    """Return the id of a configuration map."""
    return ResourceId(group="", kind="ConfigMap", namespace=namespace, name=name)


def body(namespace: str, name: str = "a", **data: str) -> dict[str, Any]:
    """Return a configuration map."""
    metadata = {"name": name, "namespace": namespace, "labels": {"set": "x"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def apply(
    client: Client, namespace: str, *, dry_run: bool = False, force: bool = False, **data: str
) -> Applied:
    """Apply one configuration map."""
    return client.apply(
        kind(client), one(namespace), body(namespace, **data), dry_run=dry_run, force=force
    )


def a_first_apply_creates(client: Client, namespace: str) -> None:
    """And says so; a second one does not."""
    assert apply(client, namespace, key="one").created
    assert not apply(client, namespace, key="two").created


def an_apply_without_a_change_keeps_the_version(client: Client, namespace: str) -> None:
    """Nothing is written, and the books stay as they are."""
    first = apply(client, namespace, key="one")
    second = apply(client, namespace, key="one")
    assert first.body["metadata"]["resourceVersion"] == second.body["metadata"]["resourceVersion"]
    assert ownership.token("x", first.body) == ownership.token("x", second.body) != ""


def a_dry_run_changes_nothing(client: Client, namespace: str) -> None:
    """Neither for an object that is there nor for one that is not."""
    assert apply(client, namespace, dry_run=True, key="one").created
    assert client.get(kind(client), one(namespace)) is None
    apply(client, namespace, key="one")
    assert apply(client, namespace, dry_run=True, key="two").body["data"] == {"key": "two"}
    found = client.get(kind(client), one(namespace))
    assert found is not None
    assert found["data"] == {"key": "one"}


def a_field_that_is_given_up_goes(client: Client, namespace: str) -> None:
    """It was ours, and the next apply does not have it."""
    apply(client, namespace, key="one", more="two")
    assert apply(client, namespace, key="one").body["data"] == {"key": "one"}


def a_field_of_another_manager_stays(client: Client, namespace: str) -> None:
    """What is not ours is not touched, and our books do not change by it."""
    first = apply(client, namespace, key="one")
    client.patch(kind(client), one(namespace), {"data": {"theirs": "x"}})
    again = apply(client, namespace, key="one")
    assert again.body["data"] == {"key": "one", "theirs": "x"}
    assert ownership.token("x", first.body) == ownership.token("x", again.body)


def a_field_that_somebody_changed_is_no_longer_ours(client: Client, namespace: str) -> None:
    """The books say so, the next apply is a conflict, and by force the field comes back."""
    first = apply(client, namespace, key="one")
    changed = client.patch(kind(client), one(namespace), {"data": {"key": "other"}})
    assert ownership.token("x", first.body) != ownership.token("x", changed)
    with pytest.raises(Conflict) as caught:
        apply(client, namespace, key="one")
    assert [(reason, name) for reason, name, _ in caught.value.causes] == [
        ("FieldManagerConflict", ".data.key")
    ]
    assert apply(client, namespace, force=True, key="one").body["data"] == {"key": "one"}


def an_unknown_field_is_refused(client: Client, namespace: str) -> None:
    """And named."""
    wrong = {**body(namespace, key="one"), "dta": {}}
    with pytest.raises(Rejected, match="dta"):
        client.apply(kind(client), one(namespace), wrong, dry_run=True, force=False)


def a_wrong_type_is_refused(client: Client, namespace: str) -> None:
    """And the field is named."""
    wrong = {**body(namespace), "data": {"key": 1}}
    with pytest.raises(Rejected, match=r"data\.key"):
        client.apply(kind(client), one(namespace), wrong, dry_run=True, force=False)


def a_missing_namespace_is_an_error(client: Client, namespace: str) -> None:
    """Its status is 404."""
    where = f"{namespace}-nowhere"
    with pytest.raises(ClusterError, match="not found") as caught:
        client.apply(kind(client), one(where), body(where), dry_run=True, force=False)
    assert caught.value.status == 404


def what_is_not_served_is_not_taken_for_gone(client: Client, namespace: str) -> None:
    """That an object is not there says the server of its kind; of another version it says only that it has none."""
    found = apply(client, namespace, key="one").body["metadata"]
    other = dataclasses.replace(kind(client), version="v7")
    requests: tuple[Callable[[], object], ...] = (
        lambda: client.get(other, one(namespace)),
        lambda: client.delete(other, one(namespace), uid=found["uid"]),
    )
    for ask in requests:
        with pytest.raises(ClusterError) as caught:
            ask()
        assert caught.value.status == 404
    assert client.get(kind(client), one(namespace, "b")) is None


def a_list_has_what_the_labels_say(client: Client, namespace: str) -> None:
    """Page by page, with how many remain."""
    for name in "abc":
        client.apply(
            kind(client), one(namespace, name), body(namespace, name), dry_run=False, force=False
        )
    pages = list(client.pages(kind(client), namespace, selector="set=x", limit=2))
    assert [[item["metadata"]["name"] for item in page.items] for page in pages] == [
        ["a", "b"],
        ["c"],
    ]
    assert next(client.pages(kind(client), namespace, selector="set=y")).items == []


def a_replacement_names_the_version_that_it_replaces(client: Client, namespace: str) -> None:
    """Another one is a conflict."""
    made = client.create(kind(client), one(namespace), body(namespace, key="one"))
    new = {**body(namespace, key="two")}
    new["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    assert client.replace(kind(client), one(namespace), new)["data"] == {"key": "two"}
    with pytest.raises(Conflict, match="at the same time"):
        client.replace(kind(client), one(namespace), new)


def the_books_say_who_wrote_a_field_and_can_be_cleared(client: Client, namespace: str) -> None:
    """Who creates an object wrote all of it; after the books were cleared nobody did."""
    made = client.create(kind(client), one(namespace), body(namespace, key="one"))
    assert [each["manager"] for each in made["metadata"]["managedFields"]] == [ownership.MANAGER]
    made["metadata"]["managedFields"] = [{}]
    found = client.replace(kind(client), one(namespace), made)
    assert not [
        each
        for each in found["metadata"].get("managedFields") or ()
        if "f:data" in each["fieldsV1"]
    ]


def what_exists_is_not_created_again(client: Client, namespace: str) -> None:
    """The reason is `AlreadyExists`."""
    client.create(kind(client), one(namespace), body(namespace))
    with pytest.raises(Conflict) as caught:
        client.create(kind(client), one(namespace), body(namespace))
    assert caught.value.reason == "AlreadyExists"


def a_deletion_names_the_object_and_its_version(client: Client, namespace: str) -> None:
    """Another uid or version is a conflict; what is gone is gone."""
    found = apply(client, namespace, key="one").body["metadata"]
    for uid, version in (("other", ""), (found["uid"], "1")):
        with pytest.raises(Conflict):
            client.delete(kind(client), one(namespace), uid=uid, version=version)
    assert client.delete(kind(client), one(namespace), uid=found["uid"]) is None
    assert client.delete(kind(client), one(namespace), uid=found["uid"]) is None


def a_finalizer_holds_a_deletion(client: Client, namespace: str) -> None:
    """The object stays, and says that it is being deleted."""
    found = apply(client, namespace, key="one").body["metadata"]
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    client.patch(kind(client), one(namespace), held)
    left = client.delete(kind(client), one(namespace), uid=found["uid"])
    assert left is not None
    assert left["metadata"]["deletionTimestamp"]
    assert ownership.token("x", left) == ""
    client.patch(kind(client), one(namespace), {"metadata": {"finalizers": None}})


PROMISES: list[Callable[[Client, str], None]] = [
    a_first_apply_creates,
    an_apply_without_a_change_keeps_the_version,
    a_dry_run_changes_nothing,
    a_field_that_is_given_up_goes,
    a_field_of_another_manager_stays,
    a_field_that_somebody_changed_is_no_longer_ours,
    an_unknown_field_is_refused,
    a_wrong_type_is_refused,
    a_missing_namespace_is_an_error,
    what_is_not_served_is_not_taken_for_gone,
    a_list_has_what_the_labels_say,
    a_replacement_names_the_version_that_it_replaces,
    the_books_say_who_wrote_a_field_and_can_be_cleared,
    what_exists_is_not_created_again,
    a_deletion_names_the_object_and_its_version,
    a_finalizer_holds_a_deletion,
]
