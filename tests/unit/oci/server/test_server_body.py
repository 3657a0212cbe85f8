"""Where a body ends is read in one way only, and a body that breaks off is never taken for a whole one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.oci.server_body import Chunked, Head, Sized, body_of, drained
from lockgate.oci.server_protocol import Refused

if TYPE_CHECKING:
    from lockgate.oci.server_protocol import Body


def chunked(data: bytes) -> Chunked:
    """Return a chunked body on these bytes."""
    return Chunked(io.BytesIO(data), lambda: None)


def whole(body: Body, size: int = 7) -> bytes:
    """Read a body in small pieces."""
    return b"".join(iter(lambda: body.read(size), b""))


@pytest.mark.parametrize(
    "line",
    [
        b"\r\n",
        b"\n",
        b"Host: localhost\r\n",
        b"Host:localhost\n",
        b"X-Empty:\r\n",
        b"X-Obs: caf\xe9\ta\r\n",
    ],
)
def test_a_field_is_a_field(line: bytes) -> None:
    """A name, a colon, and what may stand behind it."""
    head = Head(io.BytesIO(line))
    assert (head.readline(100), head.broken) == (line, False)


@pytest.mark.parametrize(
    "line",
    [
        b"no colon\r\n",
        b"Name : value\r\n",
        b" folded: value\r\n",
        b": value\r\n",
        b"Name: a\rOther: b\r\n",
        b"Name: a\0b\r\n",
        b"Na\x80me: a\r\n",
        b"Name: a\x0bb\r\n",
    ],
)
def test_what_readers_differ_about_is_no_field(line: bytes) -> None:
    """Where a lenient reader would see another head, there is none; a later good line mends nothing."""
    head = Head(io.BytesIO(line + b"A: b\r\n"))
    assert [head.readline(100), head.readline(100)] == [line, b"A: b\r\n"]
    assert head.broken


def test_a_head_that_breaks_off_is_broken() -> None:
    """The client went away in the middle of it."""
    head = Head(io.BytesIO(b"Host: loc"))
    head.readline(100)
    assert head.broken


def test_a_body_of_known_size_ends_there() -> None:
    """What follows belongs to the next request."""
    source = io.BytesIO(b"0123456789")
    assert whole(Sized(source, 4, lambda: None), 3) == b"0123"
    assert source.read() == b"456789"


def test_a_body_that_is_too_short_is_an_error() -> None:
    """What came is handed out first, so that it can be kept."""
    body = Sized(io.BytesIO(b"012"), 4, lambda: None)
    assert body.read(100) == b"012"
    with pytest.raises(ConnectionError):
        body.read(100)


def test_chunks_are_put_together() -> None:
    """RFC 9112 section 7.1, with an extension and a trailer; the next request is left."""
    source = io.BytesIO(b"3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET")
    assert whole(Chunked(source, lambda: None)) == b"abc0123456789"
    assert source.read() == b"GET"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"3\r\nab",
        b"3\r\nabc",
        b"3\r\nabcX\r\n0\r\n\r\n",
        b"3\r\nabc\r\n",
        b"3\r\nabc\r\n0\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"3" * 2000 + b"\r\n",
        b"f" * 16 + b"\r\n",
        b"0\r\n" + b"a: b\r\n" * 40 + b"\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3;\nabc\r\n0\r\n\r\n",
        b"3;a\rb\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\n",
        b"3\r\nabc\r\n0\r\na : b\r\n\r\n",
    ],
)
def test_broken_chunks_are_an_error(data: bytes) -> None:
    """Cut off anywhere, or with sizes that two readers read differently."""
    with pytest.raises(ConnectionError):
        whole(chunked(data))


@given(st.lists(st.binary(min_size=1, max_size=30)), st.integers(1, 40))
def test_any_chunking_gives_the_same_bytes(pieces: list[bytes], size: int) -> None:
    """However it is cut by the sender and read by us."""
    sent = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
    assert whole(chunked(sent), size) == b"".join(pieces)


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1), st.data())
def test_no_prefix_of_chunks_is_whole(pieces: list[bytes], data: st.DataObject) -> None:
    """Cut off after any byte: an error, never the end."""
    sent = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
    cut = data.draw(st.integers(0, len(sent) - 1))
    with pytest.raises(ConnectionError):
        whole(chunked(sent[:cut]))


def test_headers_say_how_long_a_body_is() -> None:
    """A length, chunks, or no body at all; a length given twice is one."""
    source = io.BytesIO(b"")
    assert body_of(["3"], [], source, lambda: None)[1] == 3
    assert body_of(["3", "3"], [], source, lambda: None)[1] == 3
    assert body_of([], [], source, lambda: None)[1] == 0
    body, length = body_of([], [" Chunked "], source, lambda: None)
    assert (type(body), length) == (Chunked, None)


@pytest.mark.parametrize(
    ("lengths", "codings", "status"),
    [
        (["3", "4"], [], 400),
        (["-1"], [], 400),
        (["+1"], [], 400),
        (["1_0"], [], 400),
        (["0x1"], [], 400),
        (["\u0661"], [], 400),
        ([""], [], 400),
        (["9" * 19], [], 400),
        (["3"], ["chunked"], 400),
        ([], ["gzip"], 501),
        ([], ["gzip, chunked"], 501),
        ([], ["chunked", "chunked"], 501),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(
    lengths: list[str], codings: list[str], status: int
) -> None:
    """Else one request could hide another from a proxy."""
    with pytest.raises(Refused) as caught:
        body_of(lengths, codings, io.BytesIO(), lambda: None)
    assert caught.value.response.status == status


def test_patience_is_renewed_for_every_piece() -> None:
    """A long body may take long, a single piece may not."""
    renewed: list[int] = []
    body = Sized(io.BytesIO(b"x" * 10), 10, lambda: renewed.append(1))
    assert whole(body, 5) == b"x" * 10
    assert len(renewed) == 2


def test_a_body_is_drained_up_to_a_limit() -> None:
    """A small one to its end, a large one not."""
    assert drained(Sized(io.BytesIO(b"x" * 10), 10, lambda: None), 11)
    assert not drained(Sized(io.BytesIO(b"x" * 10), 10, lambda: None), 5)
    assert drained(chunked(b"0\r\n\r\n"), 1)
