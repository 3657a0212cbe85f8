"""Faults between the client and each real registry: the run ends in the right result or the right error."""

from __future__ import annotations

import base64
import re
import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.integration.faults import wrongs
from tests.integration.faults.proxy import faulty
from tests.unit.oci.images import build

from lockgate.base.errors import DigestMismatch, LockgateError, RegistryError, TrustError
from lockgate.oci import transfer
from lockgate.oci.connection import World
from lockgate.oci.credentials import Credential
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX
from lockgate.oci.registry import Registry
from lockgate.oci.store import LayoutStore
from lockgate.oci.transport import PAUSE

if TYPE_CHECKING:
    from tests.integration.faults.conftest import Shop
    from tests.integration.faults.proxy import Asked, Fault, Script

PASSING: dict[str, Fault] = {
    "429": wrongs.fails(429, retry_after="1"),
    "5xx": wrongs.in_turn(*map(wrongs.fails, (500, 502, 503, 504))),
    "reset": wrongs.resets,
    "lost": wrongs.lost,
    "cut": wrongs.cut(100),
    "long": wrongs.longer(10),
}
"""What befalls every request the first time that it is made, and then no more."""


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_got_over(name: str, shop: Shop) -> None:
    """Push, pull and copy, with every single request failing once: each ends as if nothing had been."""
    fault = PASSING[name]
    for run, proof in (
        (shop.push, shop.pushed),
        (shop.pull, shop.pulled),
        (shop.copy, shop.copied),
    ):
        with faulty(shop.running.port, wrongs.once_each(fault)) as proxy:
            run(proxy.host)
            assert len(proxy.seen) > 20
        proof()
    if name == "429":
        # As long as the registry asked for, and then some.
        assert sum(1 <= one < 1 + PAUSE for one in shop.pauses.seconds) > 60


class Cell(NamedTuple):
    """A fault that stays, and the error that it ends in."""

    fault: Fault
    method: str
    path: str
    error: type[LockgateError]
    words: str


BLOBS, MANIFESTS = "/blobs/sha256:", "/manifests/"

READING = {
    "500": Cell(wrongs.fails(500), "GET", "", RegistryError, "fails with status 500"),
    "busy": Cell(
        wrongs.fails(429, retry_after="7200"), "GET", "", RegistryError, "too many requests"
    ),
    "reset": Cell(wrongs.resets, "GET", "", RegistryError, "broke the connection off|cut off"),
    "stalls": Cell(wrongs.stalls, "GET", "", RegistryError, "stopped answering"),
    "blob-stalls": Cell(
        wrongs.stalls_in_the_body, "GET", BLOBS, RegistryError, "stopped answering"
    ),
    "blob-cut": Cell(wrongs.cut(7), "GET", BLOBS, RegistryError, "cut off"),
    "blob-gone": Cell(wrongs.fails(404), "GET", BLOBS, RegistryError, "is not at"),
    "blob-flipped": Cell(wrongs.flipped, "GET", BLOBS, DigestMismatch, "has other bytes"),
    "blob-more": Cell(wrongs.padded(100), "GET", BLOBS, DigestMismatch, "has other bytes"),
    "blob-short": Cell(wrongs.longer(-1), "GET", BLOBS, RegistryError, "too early|cut off"),
    "manifest-cut": Cell(wrongs.cut(7), "GET", MANIFESTS, RegistryError, "cut off"),
    "manifest-flipped": Cell(wrongs.flipped, "GET", MANIFESTS, DigestMismatch, "other bytes"),
    "manifest-short": Cell(wrongs.longer(-1), "GET", MANIFESTS, DigestMismatch, "other bytes"),
    "manifest-endless": Cell(
        wrongs.padded(40 << 20), "GET", MANIFESTS, RegistryError, "larger than"
    ),
    "page": Cell(
        wrongs.serves(200, "text/html", b"<h1>It works</h1>"),
        "GET",
        MANIFESTS,
        LockgateError,
        "other bytes|not readable",
    ),
}
"""What befalls every request of a kind, as often as it is made."""


@pytest.mark.parametrize("name", READING)
def test_what_stays_is_an_error_of_a_pull(name: str, shop: Shop) -> None:
    """A pull and a copy end in the named error; nothing of the image is there under a name, and no file."""
    cell = READING[name]
    shop.push()
    script = wrongs.always(cell.fault, cell.method, cell.path)
    hasty = hurried(shop, name, script)
    for run in (hasty.pull, hasty.copy):
        with (
            faulty(shop.running.port, script) as proxy,
            pytest.raises(cell.error) as raised,
        ):
            run(proxy.host)
        assert re.search(cell.words, raised.value.message), raised.value.message
        assert raised.value.hint
        assert len(proxy.seen) < 300
    shop.undamaged()
    assert "app" not in names(shop)
    assert [one.name for one in shop.folder.iterdir() if one.name != "pulled"] == []
    # What stood in the way is gone, and the next run does what is left.
    shop.pull()
    shop.pulled()
    shop.copy()
    shop.copied()


def hurried(shop: Shop, name: str, script: Script) -> Shop:
    """Return a client that waits only a moment where the fault is that nothing comes."""
    return replace(shop, silent=script) if "stalls" in name else shop


def names(shop: Shop) -> set[str]:
    """Return the names in the layout that a pull writes to; none when there is no layout."""
    root = shop.folder / "pulled"
    return set(Layout(root).tags()) if (root / "index.json").exists() else set()


WRITING = {
    "500": Cell(wrongs.fails(500), ".*", "", RegistryError, "fails with status 500"),
    "busy": Cell(
        wrongs.fails(429, retry_after="7200"), "PUT", "", RegistryError, "too many requests"
    ),
    "forbidden": Cell(wrongs.fails(403), "PUT|POST|PATCH", "", RegistryError, "does not allow"),
    "stalls": Cell(wrongs.stalls, "PUT", "", RegistryError, "stopped answering"),
    "patch-stalls": Cell(wrongs.stalls, "PATCH", "", RegistryError, "stopped"),
    "mid-upload": Cell(
        wrongs.resets_upload(200_000),
        "PATCH",
        "/uploads/",
        RegistryError,
        "broke the connection|cut off",
    ),
    "manifest-reset": Cell(
        wrongs.resets_upload(20), "PUT", MANIFESTS, RegistryError, "broke the connection|cut off"
    ),
    "pretends": Cell(
        wrongs.fails(201),
        "PUT",
        MANIFESTS,
        LockgateError,
        "does not hold|does not point|of referrers",
    ),
    "pretends-blobs": Cell(
        wrongs.fails(201), "PUT", "/uploads/", RegistryError, "lacks a part of manifest"
    ),
    "changes": Cell(wrongs.changes_upload, "PUT", MANIFESTS, DigestMismatch, "other bytes"),
    "changes-blobs": Cell(
        wrongs.changes_upload, "PATCH|PUT", "/uploads/", DigestMismatch, "other bytes"
    ),
}


@pytest.mark.parametrize("name", WRITING)
def test_what_stays_is_an_error_of_a_push(name: str, shop: Shop) -> None:
    """A push ends in the named error, and what is visible at the registry is whole."""
    cell = WRITING[name]
    script = wrongs.always(cell.fault, cell.method, cell.path)
    with (
        faulty(shop.running.port, script) as proxy,
        pytest.raises(cell.error) as raised,
    ):
        hurried(shop, name, script).push(proxy.host)
    assert re.search(cell.words, raised.value.message), raised.value.message
    assert raised.value.hint
    assert len(proxy.seen) < 300
    shop.whole_or_absent()
    shop.push()
    shop.pushed()


def test_silence_passes(shop: Shop) -> None:
    """A registry that falls silent in the middle of each blob, once, and then goes on."""
    shop.push()
    # The client waits only a moment where the proxy falls silent, and as long as always for what follows.
    stall, silent = (wrongs.once_each(wrongs.stalls_in_the_body, "GET", BLOBS) for _ in range(2))
    with faulty(shop.running.port, stall) as proxy:
        replace(shop, silent=silent).pull(proxy.host)
        asked = Counter(one.key for one in proxy.seen if BLOBS in one.path and one.method == "GET")
    assert asked
    assert all(times > 1 for times in asked.values()), asked
    shop.pulled()


def test_uploads_go_on_where_they_broke(shop: Shop) -> None:
    """Resets in the middle of every upload: what the registry has of it is not sent again, or all of it is."""
    script = wrongs.once_each(wrongs.resets_upload(700_000), "PATCH", "/uploads/")
    with faulty(shop.running.port, script) as proxy:
        shop.push(proxy.host)
        assert any(one.method == "PATCH" for one in proxy.seen)
    shop.pushed()


def test_a_hidden_referrers_api(shop: Shop) -> None:
    """Where the Referrers API answers 404 the tag takes its place, for the one who pushes and who pulls."""
    script = wrongs.always(wrongs.fails(404), "GET", "/referrers/")
    with faulty(shop.running.port, script) as proxy:
        shop.push(proxy.host)
        shop.pull(proxy.host)
    shop.pulled()
    shop.pushed()


def test_a_referrers_api_that_lists_nothing(shop: Shop) -> None:
    """A pusher finds it out. A puller cannot, and does not claim evidence that it did not get."""
    script = wrongs.always(wrongs.lists_nothing, "GET", "/referrers/")
    with faulty(shop.running.port, script) as proxy, pytest.raises(TrustError) as raised:
        shop.push(proxy.host)
    assert "does not hold" in raised.value.message
    shop.push()
    with faulty(shop.running.port, script) as proxy:
        done = shop.pull(proxy.host)
    tags = {one.digest for name, one in shop.layout.tags().items() if name[-4:] in (".sig", ".att")}
    assert set(done.evidence) == tags
    shop.undamaged()
    # The registry tells the truth again, and the next pull brings the rest.
    shop.pull()
    shop.pulled()


def test_a_stale_tag_after_a_push(shop: Shop) -> None:
    """A cache that still serves the old tag is found out: the push does not say that it is done."""
    other = Layout.create(shop.folder / "other")
    old = build(other, "old")
    with shop.registry(push=True) as target:
        source = LayoutStore(other, "the store")
        transfer.move(transfer.plan(source, target, old.digest, "1.0"), lambda *_: None)
    stale = wrongs.serves(200, INDEX, other.read(old.digest), old.digest)
    with (
        faulty(shop.running.port, wrongs.always(stale, "GET|HEAD", "/manifests/1.0")) as proxy,
        pytest.raises(RegistryError, match=r"tag 1\.0 .*does not point at what was pushed"),
    ):
        shop.push(proxy.host)
    shop.pushed()


def test_a_tag_that_moves_during_a_pull(shop: Shop) -> None:
    """The tag is asked for once: what is pulled is all of one image, although the tag is another's by then."""
    shop.push()
    moved = threading.Event()

    def script(asked: Asked) -> Fault | None:
        if "/blobs/" in asked.path and not moved.is_set():
            moved.set()
            other = Layout.create(shop.folder / "other")
            new = build(other, "new")
            with shop.registry(push=True) as target:
                source = LayoutStore(other, "the store")
                transfer.move(transfer.plan(source, target, new.digest, "1.0"), lambda *_: None)
        return None

    with faulty(shop.running.port, script) as proxy:
        done = shop.pull(proxy.host)
    assert moved.is_set()
    assert done.digest == shop.root.digest
    shop.pulled()


def test_a_redirect_goes_without_the_password(shop: Shop) -> None:
    """Blobs that lie elsewhere are fetched there, and the registry's password is not told to that place."""
    shop.push()
    secret = "Basic " + base64.b64encode(b"ada:s3cret").decode()

    def asks(asked: Asked) -> Fault | None:
        if asked.headers.get("authorization") != secret:
            return wrongs.fails(401, www_authenticate='Basic realm="here"')
        return wrongs.redirects(f"http://{storage.host}") if BLOBS in asked.path else None

    login = Credential(username="ada", secret="s3cret", origin="a test")
    world = World(sleep=lambda _: None, credentials=lambda _: login)
    with (
        faulty(shop.running.port, wrongs.nothing) as storage,
        faulty(shop.running.port, asks) as proxy,
    ):
        with Registry(world.endpoint(f"{proxy.host}/{shop.repository}"), world) as source:
            target = LayoutStore(Layout.create(shop.folder / "pulled"), "pulled")
            transfer.move(transfer.plan(source, target, shop.root.digest, "app"), lambda *_: None)
        assert any(one.headers.get("authorization") == secret for one in proxy.seen)
        assert storage.seen
        assert not any("authorization" in one.headers for one in storage.seen)
    shop.pulled()


def test_a_redirect_to_a_place_without_protection(shop: Shop) -> None:
    """A registry that sends blobs to plain HTTP somewhere else is not followed."""
    shop.push()
    script = wrongs.always(wrongs.redirects("http://192.0.2.1"), "GET", BLOBS)
    with (
        faulty(shop.running.port, script) as proxy,
        pytest.raises(RegistryError, match="not protected"),
    ):
        shop.pull(proxy.host)
    shop.undamaged()
