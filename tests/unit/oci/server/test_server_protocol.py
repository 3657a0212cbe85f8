"""Headers and parameters are read as the specifications have them; errors say what they have to."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import DigestMismatch
from lockgate.oci.server_protocol import (
    ContentDigest,
    Refused,
    Request,
    byte_range,
    chunk_range,
    limit_of,
    next_page,
    refused,
)

HEX = "0123456789abcdef"


def request(target: str = "/v2/", length: int | None = 0, **headers: str) -> Request:
    """Return a GET."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Request.of("GET", target, named, io.BytesIO(), length)


@pytest.mark.parametrize("text", ["sha256:" + "a" * 64, "sha512:" + "0" * 128])
def test_both_registered_algorithms_are_digests(text: str) -> None:
    """descriptor.md: sha256 and sha512, lower case."""
    found = ContentDigest.parse(text)
    assert found == text
    assert f"{found.algorithm}:{found.hex}" == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:baddigeststring",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 128,
        "sha512:" + "a" * 64,
        "sha1:" + "a" * 40,
        "sha256:" + "a" * 64 + "\n",
        "../../etc/passwd",
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    """Other algorithms, other lengths, upper case, paths: 400 DIGEST_INVALID."""
    with pytest.raises(Refused) as caught:
        ContentDigest.parse(text)
    assert caught.value.response.status == 400
    assert b"DIGEST_INVALID" in caught.value.response.body


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_a_digest_is_that_of_its_bytes_only(data: bytes, algorithm: str) -> None:
    """What `of` gives, `check` accepts, and for no other bytes."""
    digest = ContentDigest.of(data, algorithm)
    assert ContentDigest.parse(digest).check(data) == data
    with pytest.raises(DigestMismatch):
        digest.check(data + b"x")


def test_names_of_headers_do_not_depend_on_case() -> None:
    """RFC 9110 section 5.1."""
    assert request(content_range="0-1").headers == {"content-range": "0-1"}


def test_a_path_is_decoded_and_a_parameter_may_be_empty() -> None:
    """Some clients escape the colon of a digest."""
    found = request("/v2/a/manifests/sha256%3Aab?artifactType=&tag=1&tag=2")
    assert found.path == "/v2/a/manifests/sha256:ab"
    assert found.parameter("artifactType") == ""
    assert found.parameter("last") is None
    assert found.query["tag"] == ["1", "2"]


def test_too_many_parameters_are_refused() -> None:
    """Nobody needs more than 64."""
    with pytest.raises(Refused):
        request("/v2/?" + "&".join(f"a{one}=1" for one in range(65)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 4)),
        ("bytes=2-", (2, 8)),
        ("bytes=2-99", (2, 8)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
    ],
)
def test_a_range_is_a_part_of_the_blob(text: str, found: tuple[int, int]) -> None:
    """RFC 9110 section 14.1.2, of ten bytes."""
    assert byte_range({"range": text}, 10) == found


@pytest.mark.parametrize("text", ["", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "0-1"])
def test_what_is_no_single_range_is_answered_with_all(text: str) -> None:
    """A server may ignore a Range that it does not take."""
    assert byte_range({"range": text} if text else {}, 10) is None


def test_a_range_on_a_condition_is_answered_with_all() -> None:
    """The condition cannot hold: there are no validators."""
    assert byte_range({"range": "bytes=0-1", "if-range": '"x"'}, 10) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("bytes=10-", 10), ("bytes=10-11", 10), ("bytes=5-0", 10), ("bytes=-0", 10), ("bytes=0-", 0)],
)
def test_a_range_of_no_bytes_is_416(text: str, size: int) -> None:
    """The answer says how many bytes there are."""
    with pytest.raises(Refused) as caught:
        byte_range({"range": text}, size)
    assert caught.value.response.status == 416
    assert ("Content-Range", f"bytes */{size}") in caught.value.response.headers


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_never_leaves_the_blob(size: int, first: int, last: int) -> None:
    """Whatever is asked for: some of its bytes, or 416."""
    try:
        found = byte_range({"range": f"bytes={first}-{last}"}, size)
    except Refused:
        assert first > min(last, size - 1)
    else:
        assert found is not None
        start, count = found
        assert 0 <= start < start + count <= size
        assert (start, start + count - 1) == (first, min(last, size - 1))


def test_a_chunk_says_where_it_belongs() -> None:
    """`first-last`, both inclusive; without the header it does not say."""
    assert chunk_range(request(length=3, content_range="4-6")) == (4, 3)
    assert chunk_range(request(length=None, content_range="4-6")) == (4, 3)
    assert chunk_range(request()) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("bytes 0-2/*", "BLOB_UPLOAD_INVALID"),
        ("2-1", "BLOB_UPLOAD_INVALID"),
        ("-2", "BLOB_UPLOAD_INVALID"),
        ("0-3", "SIZE_INVALID"),
    ],
)
def test_a_chunk_with_a_wrong_range_is_refused(text: str, code: str) -> None:
    """Not of the form, or of another length than the body."""
    with pytest.raises(Refused) as caught:
        chunk_range(request(length=3, content_range=text))
    assert caught.value.response.status == 400
    assert json.loads(caught.value.response.body)["errors"][0]["code"] == code


def test_a_number_of_entries_is_a_number() -> None:
    """Absent for all; a negative one, a word or nothing is refused."""
    assert limit_of(request("/?n=0")) == 0
    assert limit_of(request("/?n=12")) == 12
    assert limit_of(request("/")) is None
    for text in ("-1", "x", "", "1" * 10):
        with pytest.raises(Refused):
            limit_of(request(f"/?n={text}"))


def test_a_link_leads_to_the_next_page() -> None:
    """RFC 8288, with escaped values."""
    assert next_page("/v2/a/tags/list", n=2, last="a+b") == (
        "Link",
        '</v2/a/tags/list?n=2&last=a%2Bb>; rel="next"',
    )


def test_an_error_has_the_body_of_the_specification() -> None:
    """spec.md, "Error Codes": a list with code and message."""
    found = refused(404, "BLOB_UNKNOWN", "no such blob", ("A", "b")).response
    assert json.loads(found.body) == {
        "errors": [{"code": "BLOB_UNKNOWN", "message": "no such blob"}]
    }
    assert found.status == 404
    assert found.headers == (("Content-Type", "application/json"), ("A", "b"))
    assert found.length == len(found.body)
