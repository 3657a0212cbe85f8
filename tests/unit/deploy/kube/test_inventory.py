"""The record of what was applied, as a value and as a ConfigMap."""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import InventoryLost, StorageError, UsageError
from lockgate.config.order import order_ids
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import inventory
from lockgate.deploy.kube.inventory import Applied, Entry, Inventory

NAMES = st.text(alphabet="abc0-.", min_size=1, max_size=9).filter(
    lambda one: one not in (".", "..")
)
IDS = st.builds(
    ResourceId,
    group=st.sampled_from(["", "apps", "example.org"]),
    kind=st.sampled_from(["ConfigMap", "Deployment", "Lamp"]),
    namespace=st.sampled_from(["", "shop"]),
    name=NAMES,
)
ENTRIES = st.lists(
    st.builds(
        Entry, id=IDS, version=st.sampled_from(["v1", "v1beta1"]),
        seen=st.sampled_from(["", "aa.bb"]), stale=st.booleans(),
    ),
    unique_by=lambda one: one.id,
)  # fmt: skip


def one(name: str, kind: str = "ConfigMap") -> ResourceId:
    """Return an id."""
    return ResourceId(group="", kind=kind, namespace="shop", name=name)


def applied(number: int) -> Applied:
    """Return an artifact."""
    return Applied(artifact=f"sha256:{number}", source="s", revision="r", at=number, objects=1)


def empty(**content: Any) -> Inventory:
    """Return a record."""
    return Inventory(namespace="shop", name="web", **content)


def entries(record: Inventory) -> dict[str, bool]:
    """Return names and whether they are stale."""
    return {each.id.name: each.stale for each in record.entries}


@given(ENTRIES, st.integers(0, 3))
def test_what_is_written_is_read(listed: list[Entry], count: int) -> None:
    """Every field, in apply order."""
    ordered = {each.id: each for each in listed}
    record = empty(
        entries=tuple(ordered[each] for each in order_ids(ordered)),
        history=tuple(applied(number) for number in range(count)),
        pending=applied(9) if count == 2 else None,
    )
    assert inventory.read(inventory.write(record, {})) == record


def test_the_layout_is_one_that_other_tools_read() -> None:
    """Kustomizer's names, labels and list of ids (S1.62)."""
    record = empty(entries=(Entry(id=one("a"), version="v1"),), history=(applied(1_700_000_000),))
    body = inventory.write(record, {"more": "x"})
    assert body["metadata"]["name"] == "inv-web"
    assert body["metadata"]["labels"]["app.kubernetes.io/component"] == "inventory"
    assert json.loads(body["data"]["resources"]) == [{"id": "shop_a__ConfigMap", "ver": "v1"}]
    assert json.loads(body["data"]["artifacts"]) == ["sha256:1700000000"]
    annotations = body["metadata"]["annotations"]
    assert annotations["lockgate.dev/last-applied-time"] == "2023-11-14T22:13:20Z"
    assert annotations["more"] == "x"


def test_five_thousand_objects_fit() -> None:
    """Compressed, within the limit of a ConfigMap."""
    record = empty(
        entries=tuple(
            Entry(id=one(f"some-configuration-{number:05}"), version="v1", seen=f"{number * 7919:018x}.{number * 104729:018x}")
            for number in range(5000)
        )
    )  # fmt: skip
    body = inventory.write(record, {})
    assert "resources" not in body["data"]
    assert len(body["binaryData"]["resources"]) < inventory.LARGEST
    assert inventory.read(body) == record


def test_too_many_objects_are_named() -> None:
    """Before the API server refuses them."""
    record = empty(
        entries=tuple(
            Entry(id=one(f"{hash((number, 1)) & (1 << 62) - 1:x}"), version="v1", seen=f"{hash((number, 2)) & (1 << 62) - 1:x}")
            for number in range(60_000)
        )
    )  # fmt: skip
    with pytest.raises(StorageError, match="60000 objects do not fit"):
        inventory.write(record, {})


@pytest.mark.parametrize(
    "change",
    [
        {"data": {}},
        {"data": {"resources": "[{"}},
        {"data": {"resources": '[{"id": "nonsense", "ver": "v1"}]'}},
        {"data": {"resources": "[]", "history": "{}"}},
        {
            "data": {
                "resources": "[]",
                "history": '[{"artifact": "sha256:1", "at": 4611686018427387904}]',
            }
        },
        {"data": {"resources": "[]", "pending": '{"artifact": "sha256:1", "at": -1}'}},
        {"binaryData": {"resources": base64.b64encode(zlib.compress(b"[]")[:-2]).decode()}},
        {"binaryData": {"resources": base64.b64encode(zlib.compress(bytes(65 << 20))).decode()}},
        {"binaryData": {"resources": "AAAA"}},
        {"binaryData": {"resources": "no base64"}},
    ],
)
def test_a_damaged_record_is_an_error(change: dict[str, Any]) -> None:
    """With the way out."""
    body = inventory.write(empty(), {}) | change
    with pytest.raises(InventoryLost, match="ConfigMap/shop/inv-web cannot be read") as caught:
        inventory.read(body)
    assert "inv deploy.repair" in caught.value.hint


def test_an_intent_names_old_and_new() -> None:
    """What is no longer wanted is stale, and nothing is forgotten."""
    known = empty(
        entries=(
            Entry(id=one("old"), version="v1", seen="t"),
            Entry(id=one("both"), version="v1", seen="u"),
        )
    )
    made = inventory.intended(known, {one("both"): "v2", one("new"): "v1"}, applied(2))
    assert entries(made) == {"both": False, "new": False, "old": True}
    assert {each.id.name: each.seen for each in made.entries} == {
        "both": "u",
        "new": "",
        "old": "t",
    }
    assert made.pending == applied(2)


def test_a_settled_record_forgets_only_what_is_gone() -> None:
    """What is stale and not known to be gone stays."""
    intent = inventory.intended(
        empty(entries=(Entry(id=one("x"), version="v1"), Entry(id=one("y"), version="v1"))),
        {one("new"): "v1"}, applied(2),
    )  # fmt: skip
    made = inventory.settled(intent, gone=[one("x")], seen={one("new"): "t"}, done=True)
    assert entries(made) == {"new": False, "y": True}
    assert made.pending is None
    assert made.history == (applied(2),)


def test_what_did_not_come_to_its_end_stays_pending() -> None:
    """The history has whole ones only."""
    intent = inventory.intended(empty(history=(applied(1),)), {one("a"): "v1"}, applied(2))
    made = inventory.settled(intent, gone=[], seen={}, done=False)
    assert made.pending == applied(2)
    assert made.history == (applied(1),)


def test_the_history_is_bounded() -> None:
    """The oldest go first."""
    record = empty()
    for number in range(30):
        intent = inventory.intended(record, {}, applied(number))
        record = inventory.settled(intent, gone=[], seen={}, done=True)
    assert record.history == tuple(applied(number) for number in range(20, 30))


def test_a_second_run_of_one_artifact_is_one_line_of_the_history() -> None:
    """With the later time."""
    again = msgspec.structs.replace(applied(1), at=5)
    intent = inventory.intended(empty(history=(applied(1),)), {}, again)
    assert inventory.settled(intent, gone=[], seen={}, done=True).history == (again,)


@pytest.mark.parametrize("name", ["", "Web", "a_b", "-a", "a" * 64, "a..b", "a.-b", ".a"])
def test_a_name_that_cannot_be_a_label_is_refused(name: str) -> None:
    """It would be refused by the cluster, later."""
    with pytest.raises(UsageError, match="no name of an inventory"):
        inventory.check_name(name)


PARTS = st.from_regex("[a-z0-9](?:[a-z0-9-]{0,70}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("project", "environment", "name"),
    [("shop", "dev", "shop-dev"), ("a-b", "c", "a-b.c"), ("a", "b-c", "a.b-c")],
)
def test_an_inventory_is_called_by_project_and_environment(
    project: str, environment: str, name: str
) -> None:
    """What has no second hyphen is called as ever; else a dot, which is in no part, stands between."""
    assert inventory.name_of(project, environment) == name


@given(st.tuples(PARTS, PARTS), st.tuples(PARTS, PARTS))
def test_two_inventories_never_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    """And each name is valid: as a label's value, and at the end of a ConfigMap's name."""
    names = [inventory.name_of(*pair) for pair in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    for name in names:
        assert inventory.check_name(name) == name
        assert re.fullmatch("[a-z0-9](?:[a-z0-9_.-]{0,61}[a-z0-9])?", name)


@given(st.text("ab-", min_size=1, max_size=6), st.integers(1, 5))
def test_where_hyphens_stand_decides(text: str, at: int) -> None:
    """The same letters, parted at another place, are another inventory."""
    pairs = {(text[:cut], text[cut + 1 :]) for cut in range(len(text)) if text[cut] == "-"}
    whole = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
    valid = [pair for pair in pairs if all(re.fullmatch(whole, part * at) for part in pair)]
    names = [inventory.name_of(*(part * at for part in pair)) for pair in valid]
    assert len(set(names)) == len(valid)


@pytest.mark.parametrize(
    ("project", "environment", "words"),
    [("My", "dev", "project 'My'"), ("shop", "a.b", "environment 'a.b'"), ("a", "b-", "'b-'")],
)
def test_a_part_that_cannot_be_in_a_name_is_refused(
    project: str, environment: str, words: str
) -> None:
    """Which of the two it is, is said."""
    with pytest.raises(UsageError, match=words):
        inventory.name_of(project, environment)
