"""An inventory that lies under its older name, on a real API server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.cluster.conftest import lines
from tests.cluster.test_apply import TWO

from lockgate.deploy.kube.inventory import names_of
from lockgate.deploy.kube.ownership import Owner

if TYPE_CHECKING:
    from tests.cluster.conftest import Place

ONE, OTHER = TWO.split("---")


def test_two_that_shared_a_name_part_without_a_deletion(place: Place) -> None:
    """Objects stay the very ones; each inventory holds its own, and the shared record goes with the last."""
    place.apply(TWO, name="a-b-c")
    uids = [place.get(one)["metadata"]["uid"] for one in ("configmap/a", "secret/b")]
    for (project, environment), text in ((("a-b", "c"), ONE), (("a", "b-c"), OTHER)):
        names = names_of(project, environment)
        target = replace(place.target(names.name), former=Owner(place.namespace, names.former))
        made = place.apply(text, artifact="2", target=target)
        assert [one.action for one in made.changes] == ["configured"]
        assert [one.action for one in place.apply(text, artifact="2", target=target).changes] == [
            "unchanged"
        ]
    assert [place.get(one)["metadata"]["uid"] for one in ("configmap/a", "secret/b")] == uids
    assert (place.inventory("a-b.c"), place.inventory("a.b-c")) == (["a"], ["b"])
    assert place.get("configmap/inv-a-b-c") is None
    assert (
        place.get("configmap/inv-a-b.c")["metadata"]["labels"]["app.kubernetes.io/name"] == "a-b.c"
    )
    assert lines(place.delete(name="a-b.c")) == ["a deleted"]
    assert place.get("secret/b") is not None
