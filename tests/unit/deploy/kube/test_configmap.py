"""The record of what was applied, as a ConfigMap."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.deploy.kube.records import applied, empty, one

from lockgate.base.errors import InventoryLost, StorageError
from lockgate.config.order import order_ids
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube import configmap
from lockgate.deploy.kube.inventory import Entry

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


@given(ENTRIES, st.integers(0, 3))
def test_what_is_written_is_read(listed: list[Entry], count: int) -> None:
    """Every field, in apply order."""
    ordered = {each.id: each for each in listed}
    record = empty(
        entries=tuple(ordered[each] for each in order_ids(ordered)),
        history=tuple(applied(number) for number in range(count)),
        pending=applied(9) if count == 2 else None,
    )
    assert configmap.read(configmap.write(record, {})) == record


def test_the_layout_is_one_that_other_tools_read() -> None:
    """Kustomizer's names, labels and list of ids (S1.62)."""
    record = empty(entries=(Entry(id=one("a"), version="v1"),), history=(applied(1_700_000_000),))
    body = configmap.write(record, {"more": "x"})
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
    body = configmap.write(record, {})
    assert "resources" not in body["data"]
    assert len(body["binaryData"]["resources"]) < configmap.LARGEST
    assert configmap.read(body) == record


def test_too_many_objects_are_named() -> None:
    """Before the API server refuses them."""
    record = empty(
        entries=tuple(
            Entry(id=one(f"{hash((number, 1)) & (1 << 62) - 1:x}"), version="v1", seen=f"{hash((number, 2)) & (1 << 62) - 1:x}")
            for number in range(60_000)
        )
    )  # fmt: skip
    with pytest.raises(StorageError, match="60000 objects do not fit"):
        configmap.write(record, {})


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
    body = configmap.write(empty(), {}) | change
    with pytest.raises(InventoryLost, match="ConfigMap/shop/inv-web cannot be read") as caught:
        configmap.read(body)
    assert "inv deploy.repair" in caught.value.hint
