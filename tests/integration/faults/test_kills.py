"""SIGKILL at every request of a push, a pull and a copy: nothing half done is visible, the next run ends well."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.integration.faults import runs, wrongs
from tests.integration.faults.proxy import faulty
from tests.unit.oci.images import build as build_image
from tests.unit.oci.images import refer, sign_the_old_way

from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.faults.conftest import Shop
    from tests.integration.faults.proxy import Asked, Fault
    from tests.integration.registries import Running

    from lockgate.oci.manifest import Descriptor


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Descriptor]:
    """A layout with an image of few blobs, of which each kind of evidence refers to it once."""
    layout = Layout.create(tmp_path_factory.mktemp("small") / "store")
    # One blob is larger than what goes in a single request.
    root = build_image(layout, size=1_100_000, layers=1)
    refer(layout, root, b"signature")
    sign_the_old_way(layout, root)
    return layout, root


one_registry = pytest.mark.parametrize("running", ["distribution"], indirect=True)
"""What a reader leaves behind lies on this machine, and is the same whoever was read from."""


class Stop:
    """Holds the answer to request `number`, and every later request, until the test has killed who asked.

    For the registry and for the one who asked this is the same as a kill before request `number + 1`.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.hold, self.frozen = wrongs.Hold(after=True), wrongs.Hold()

    def __call__(self, asked: Asked) -> Fault | None:
        """Choose what befalls a request."""
        if asked.number < self.number:
            return None
        # What other threads of the killed process asked for must not be answered after its death.
        return self.hold if asked.number == self.number else self.frozen


def kills(shop: Shop, action: Callable[..., None], *arguments: str) -> Iterator[tuple[int, Shop]]:
    """Kill an action at its first request, at its second, and so on; yield after each kill.

    Each time the repository is another one, unless the action reads from it.
    """
    number = 0
    while True:
        number += 1
        place = shop
        if action is runs.push:
            place = replace(shop, repository=f"kill/{uuid.uuid4().hex[:12]}")
        stop = Stop(number)
        with faulty(shop.running.port, stop) as proxy:
            name = f"{proxy.host}/{place.repository}"
            filled = [one.format(number=number) for one in arguments]
            with runs.running(action, name, *filled) as child:
                while not stop.hold.reached.wait(0.005) and child.is_alive():
                    pass
                reached = stop.hold.reached.is_set()
                if not reached:
                    assert runs.finished(child) == 0
                    return
        yield number, place


def test_a_push_killed_at_every_request(
    running: Running, small: tuple[Layout, Descriptor], shop: Shop
) -> None:
    """Whatever the registry had by then, a tag leads to all of it, and the next push ends in the same digest."""
    layout, root = small
    shop = replace(shop, layout=layout, root=root)
    count = 0
    for number, place in kills(shop, runs.push, str(layout.root), root.digest):
        place.whole_or_absent()
        assert place.push().digest == root.digest
        place.pushed()
        count = number
    assert count > 25


@one_registry
def test_a_pull_killed_at_every_request(
    running: Running, small: tuple[Layout, Descriptor], shop: Shop, tmp_path: Path
) -> None:
    """Whatever was written until then, no blob is half and no name leads to half an image."""
    layout, root = small
    shop = replace(shop, layout=layout, root=root)
    shop.push()
    into = str(tmp_path / "{number}")
    count = 0
    for number, place in kills(shop, runs.pull, into, root.digest):
        place.undamaged(f"{number}")
        place.pull(into=f"{number}")
        place.pulled(f"{number}")
        count = number
    assert count > 15


@one_registry
def test_a_copy_killed_at_every_request(
    running: Running, small: tuple[Layout, Descriptor], shop: Shop, tmp_path: Path
) -> None:
    """The file is not there until it is whole; what a killed run left is written over by the next one."""
    layout, root = small
    shop = replace(shop, layout=layout, root=root)
    shop.push()
    target = tmp_path / "image.tar"
    count, contents = 0, b""
    for number, place in kills(shop, runs.copy, str(target), root.digest):
        if target.exists():
            place.copied(target.name)
            assert target.read_bytes() == (contents or target.read_bytes())
            contents = target.read_bytes()
            target.unlink()
        count = number
    assert count > 15
    assert [one.name for one in tmp_path.iterdir()] == [target.name]
    shop.copied(target.name)
