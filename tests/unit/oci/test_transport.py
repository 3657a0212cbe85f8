"""Requests: what is tried again, where a redirect may lead, and what it takes along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.oci.dictregistry import HOST, STORAGE, DictRegistry, digest_of
from tests.unit.oci.mishaps import answer, broken, replies, status

from lockgate.base.errors import RegistryError, UsageError
from lockgate.oci.connection import World
from lockgate.oci.manifest import Descriptor
from lockgate.oci.registry import Registry
from lockgate.oci.transport import ATTEMPTS, LONGEST_PAUSE, PAUSE, Transport

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.oci.mishaps import Serve

BLOB = b"some bytes"
LAYER = Descriptor(media_type="x/y", digest=digest_of(BLOB), size=len(BLOB))


def transport(registry: DictRegistry, name: str = f"{HOST}/team/app") -> Transport:
    """Return the transport of a client."""
    world = registry.world()
    return Transport(world.endpoint(name), world)


def test_a_failure_that_passes_is_tried_again() -> None:
    """Broken connections, 429 and 5xx in a row, and then the answer."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", broken())
    registry.fail("GET", "/v2/$", status(429))
    registry.fail("GET", "/v2/$", status(503))

    registry.open().ping()

    assert registry.count("GET") == 4


def test_attempts_are_bounded() -> None:
    """A failure that stays is reported after a fixed number of attempts, with growing pauses between."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", status(502), times=100)

    with pytest.raises(RegistryError, match="fails with status 502"):
        registry.open().ping()

    assert registry.count("GET") == ATTEMPTS
    assert registry.slept == [PAUSE * 2**number for number in range(ATTEMPTS - 1)]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 418, 501])
def test_a_failure_that_stays_is_not_tried_again(code: int) -> None:
    """An answer that will be the same next time is reported at once."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", status(code), times=100)

    with pytest.raises(RegistryError):
        registry.open().ping()

    assert registry.count("GET") == 1
    assert registry.slept == []


def test_pauses_are_random() -> None:
    """The pause is a random part of the longest one, so that many clients do not come back together."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", status(500), times=2)
    known = registry.world()
    draws = iter([0.25, 0.5])
    world = World(
        transport=known.transport, sleep=known.sleep, random=lambda: next(draws), now=known.now
    )

    Registry(world.endpoint(f"{HOST}/app"), world).ping()

    assert registry.slept == [0.25 * PAUSE, 0.5 * PAUSE * 2]


@pytest.mark.parametrize("value", ["7", "Fri, 15 Jan 2027 08:00:07 GMT"])
def test_retry_after(value: str) -> None:
    """A registry that says when to come again is obeyed: in seconds, or at a time."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", status(429, {"Retry-After": value}))

    registry.open().ping()

    assert registry.slept == [pytest.approx(7 + PAUSE)]


@pytest.mark.parametrize("value", ["soon", "", "-5", "Fri, 99 Foo 2027"])
def test_retry_after_that_says_nothing(value: str) -> None:
    """What is no time is passed over."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", status(503, {"Retry-After": value}))

    registry.open().ping()

    assert registry.slept == [PAUSE]


def test_a_pause_that_is_too_long_is_an_error() -> None:
    """A registry that asks to wait an hour is not waited for."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", status(429, {"Retry-After": str(int(LONGEST_PAUSE) + 1)}))

    with pytest.raises(RegistryError, match="too many requests"):
        registry.open().ping()
    assert registry.slept == []


def test_credentials_stay_with_the_registry() -> None:
    """A redirect to another host goes without them; that host would refuse or keep them."""
    registry = DictRegistry(basic=True, redirects_blobs=f"https://{STORAGE}/{{digest}}")
    registry["team/app"].blobs[LAYER.digest] = BLOB

    with registry.open() as client, client.open(LAYER) as pieces:
        assert b"".join(pieces) == BLOB

    there = [one for one in registry.asked if one.host == STORAGE]
    here = [one for one in registry.asked if one.host == HOST]
    assert [one.authorization for one in there] == [""]
    assert here[-1].authorization.startswith("Basic ")


@pytest.mark.parametrize("target", [f"https://{HOST}:8443/x", f"https://x.{HOST}/x"])
def test_another_port_is_another_host(target: str) -> None:
    """The same name on another port, or a name below it, gets no credentials either."""
    registry = DictRegistry(basic=True)
    client = registry.open()
    client.ping()
    registry.fail("GET", "/v2/$", replies(307, headers={"Location": target}))
    registry.fail("GET", "/x$", replies(200))

    client.ping()

    before, after = registry.asked[-2:]
    assert before.authorization.startswith("Basic ")
    assert (after.path, after.authorization) == ("/x", "")


def test_a_redirect_within_the_registry_keeps_them() -> None:
    """The same scheme, host and port is the same registry."""
    registry = DictRegistry(basic=True)
    client = registry.open()
    client.ping()
    registry.fail("GET", "/v2/$", replies(308, headers={"Location": f"https://{HOST}:443/v2/x"}))
    registry.fail("GET", "/v2/x$", replies(200))

    client.ping()

    assert registry.asked[-1].path == "/v2/x"
    assert registry.asked[-1].authorization.startswith("Basic ")


@pytest.mark.parametrize("host", [STORAGE, "127.0.0.1:8080", "metadata.localhost"])
def test_nothing_goes_from_tls_to_plain_http(host: str) -> None:
    """A redirect from https to http is not followed, not even to this machine."""
    registry = DictRegistry(redirects_blobs=f"http://{host}/{{digest}}")
    registry["team/app"].blobs[LAYER.digest] = BLOB

    with (
        pytest.raises(RegistryError, match="is not protected"),
        registry.open().open(LAYER) as found,
    ):
        list(found)
    assert {one.scheme for one in registry.asked} == {"https"}


def test_plain_http_does_not_spread() -> None:
    """From a registry that speaks plain HTTP a redirect goes to no other host that was not named for it."""
    registry = DictRegistry(redirects_blobs=f"http://{STORAGE}/{{digest}}")
    registry["app"].blobs[LAYER.digest] = BLOB
    world = registry.world()
    client = Registry(world.endpoint("localhost:5000/app"), world)

    with pytest.raises(RegistryError, match="is not protected"), client.open(LAYER) as found:
        list(found)


@pytest.mark.parametrize("scheme", ["ftp", "file", "gopher"])
def test_no_other_protocol(scheme: str) -> None:
    """A redirect to anything but HTTP is not followed."""
    registry = DictRegistry(redirects_blobs=f"{scheme}://{STORAGE}/{{digest}}")
    registry["team/app"].blobs[LAYER.digest] = BLOB

    with pytest.raises(RegistryError), registry.open().open(LAYER) as found:
        list(found)
    assert {one.host for one in registry.asked} == {HOST}


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b"])
def test_a_redirect_to_what_cannot_be_a_host(host: str) -> None:
    """A name with a part that is empty, or too long to be looked up, is an error as any other."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", replies(307, headers={"Location": f"https://{host}/v2/"}))

    with pytest.raises(RegistryError, match="cannot be the name of a host") as caught:
        registry.open().ping()

    assert caught.value.hint


def test_redirects_end() -> None:
    """A circle of redirects is an error, and soon."""
    registry = DictRegistry()

    registry.fail("GET", "/v2/$", replies(307, headers={"Location": "/v2/"}), times=1000)

    with pytest.raises(RegistryError, match="without end"):
        registry.open().ping()
    assert registry.count("GET") < 10


def test_a_write_is_not_turned_into_a_read() -> None:
    """A redirect that would make a GET of a POST is refused (RFC 9110 section 15.4)."""
    registry = DictRegistry()
    registry.fail("POST", "/uploads/", replies(303, headers={"Location": "/elsewhere"}))

    with pytest.raises(RegistryError, match="would change it"):
        transport(registry).request("POST", "/v2/team/app/blobs/uploads/", "blob")


def test_answers_are_bounded() -> None:
    """An answer of any length is not read to its end."""
    registry = DictRegistry()

    def endless(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        return httpx2.Response(200, content=iter(lambda: b"x" * 65536, b""))

    registry.fail("GET", "/v2/$", endless)

    with pytest.raises(RegistryError, match="is larger than"):
        registry.open().ping()


def test_an_error_is_bounded_too() -> None:
    """The same for the body of an error, which is then an error without words."""
    registry = DictRegistry()

    def endless(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        return httpx2.Response(403, content=iter(lambda: b"x" * 65536, b""))

    registry.fail("GET", "/v2/$", endless)

    with pytest.raises(RegistryError, match="does not allow this"):
        registry.open().ping()


def test_bytes_are_taken_as_served() -> None:
    """Content that was packed on the way arrives as it was sent: that is what the digest is of."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", replies(200, BLOB, {"Content-Encoding": "gzip"}))

    assert transport(registry).request("GET", "/v2/", "x").body == BLOB


def test_a_name_below_localhost_is_this_machine() -> None:
    """`*.localhost` is reached on loopback without a resolver, and still called by its name."""
    registry, dialled = DictRegistry(), []

    def note(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        dialled.append((str(request.url), request.headers["host"]))
        return serve()

    registry.fail("GET", "/v2/$", note)
    world = registry.world()
    Registry(world.endpoint("registry.localhost:5000/app"), world).ping()

    assert dialled == [("http://127.0.0.1:5000/v2/", "registry.localhost:5000")]


def test_cookies_are_not_kept() -> None:
    """A session that a registry offers is not sent back: credentials alone say who asks."""
    registry, cookies = DictRegistry(), []

    def bake(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        cookies.append(request.headers.get("cookie"))
        return answer(200, headers={"Set-Cookie": "sid=1; Path=/"})

    registry.fail("GET", "/v2/$", bake, times=2)
    client = registry.open()
    client.ping()
    client.ping()

    assert cookies == [None, None]


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_of_certificates_that_is_none(content: str | None, tmp_path: Path) -> None:
    """A CA file that cannot be used is named before anything is sent."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    registry = DictRegistry()
    known = registry.world()
    world = World(transport=known.transport, sleep=known.sleep, ca_file=path)

    with pytest.raises(UsageError, match=r"ca\.pem cannot be used"):
        Registry(world.endpoint(f"{HOST}/app"), world).ping()
    assert registry.asked == []
