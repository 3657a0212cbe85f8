"""References: tags at the edge, digests everywhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.reference import ImageRef, PinnedRef, is_name, is_tag

DIGEST = Digest.of(b"")

PART = st.from_regex(r"[a-z0-9]+(?:(?:\.|_|__|-{1,3})[a-z0-9]+){0,3}", fullmatch=True)
PATHS = st.lists(PART, min_size=1, max_size=4).map("/".join)
HOSTS = st.sampled_from(
    ["", "localhost/", "localhost:5000/", "registry.example/", "r.example:443/", "[::1]:5000/"]
)
NAMES = st.builds("{}{}".format, HOSTS, PATHS)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
DIGESTS = st.binary().map(Digest.of)


@given(NAMES, TAGS)
def test_name_and_tag_are_taken_apart(name: str, tag: str) -> None:
    """Registry, port, path and tag are told apart as they were put together."""
    assert ImageRef.parse(f"{name}:{tag}") == ImageRef(name=name, tag=tag)


@given(NAMES)
def test_a_name_alone_has_neither_tag_nor_digest(name: str) -> None:
    """No `latest` is made up."""
    assert ImageRef.parse(name) == ImageRef(name=name, tag="", digest="")


@given(NAMES, TAGS, DIGESTS)
def test_a_digest_may_stand_behind_a_tag(name: str, tag: str, digest: Digest) -> None:
    """All three parts are kept apart."""
    found = ImageRef.parse(f"{name}:{tag}@{digest}")
    assert (found.name, found.tag, found.digest) == (name, tag, digest)


@given(NAMES, DIGESTS)
def test_a_pinned_reference_is_its_text(name: str, digest: Digest) -> None:
    """Written and read again it is equal, and so are its canonical bytes."""
    pinned = PinnedRef.parse(f"{name}@{digest}")
    assert PinnedRef.parse(str(pinned)) == pinned
    assert str(pinned) == f"{name}@{digest}"
    assert decode(encode(pinned), PinnedRef) == pinned


@given(NAMES, TAGS, DIGESTS)
def test_a_tag_in_front_of_the_digest_says_nothing(name: str, tag: str, digest: Digest) -> None:
    """The pinned form is the same with and without it."""
    assert PinnedRef.parse(f"{name}:{tag}@{digest}") == PinnedRef.parse(f"{name}@{digest}")


@given(NAMES, TAGS)
def test_a_tag_is_not_pinned(name: str, tag: str) -> None:
    """Without a digest there is no pinned reference."""
    for text in (name, f"{name}:{tag}"):
        with pytest.raises(UsageError, match="has no digest") as caught:
            PinnedRef.parse(text)
        assert caught.value.hint


@given(st.text())
def test_any_text_gives_a_reference_or_a_usage_error(text: str) -> None:
    """No text makes the parser fail in another way, and what it takes is what was written."""
    try:
        found = ImageRef.parse(text)
    except UsageError:
        return
    assert is_tag(found.tag) or not found.tag
    assert text.strip().startswith(found.name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ":tag",
        "@" + DIGEST,
        "App",
        "Team/app",
        "team/App",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a:b:c",
        "a@",
        "a b",
        "a:-x",
        "a:" + "t" * 129,
        "../a",
        "a/../b",
        "a..b",
        "a___b",
        "-a",
        "a-",
        "a\n:b",
        "http://a/b",
        "a:tag/b",
        "ä",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """Empty parts, capital letters in paths, climbing paths, addresses, overlong tags."""
    with pytest.raises(UsageError, match="is not an image reference") as caught:
        ImageRef.parse(text)
    assert "sha256" in caught.value.hint


@pytest.mark.parametrize("digest", ["sha256:abc", DIGEST.upper(), "sha512:" + "0" * 128, "latest"])
def test_a_wrong_digest_is_told_as_such(digest: str) -> None:
    """A reference whose digest has another form names the digest."""
    with pytest.raises(UsageError, match="is not a digest"):
        ImageRef.parse(f"app@{digest}")


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [
        ("team/app", "team/app", ""),
        ("host:5000", "host", "5000"),
        ("localhost/app", "localhost/app", ""),
        ("r.example/app:1", "r.example/app", "1"),
        ("r.example:5000/a/b:1", "r.example:5000/a/b", "1"),
        ("R.Example/app", "R.Example/app", ""),
        (" app \n", "app", ""),
    ],
)
def test_what_people_type_is_understood(text: str, name: str, tag: str) -> None:
    """The first part is a registry only when it looks like one."""
    assert ImageRef.parse(text) == ImageRef(name=name, tag=tag)


def test_hostile_length_takes_no_time() -> None:
    """A long text that almost fits is refused without backtracking for ever."""
    for unit in ("a", "a-", "a.", "a/", "-", "_", "a__"):
        with pytest.raises(UsageError):
            ImageRef.parse(unit * 20_000 + "!")


@pytest.mark.parametrize(
    ("text", "right"), [("a", True), ("A", False), ("a:b", False), ("", False)]
)
def test_is_name_is_the_paths_grammar(text: str, right: bool) -> None:
    """A path alone: no tag, no capitals."""
    assert is_name(text) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [("1.0", True), ("_", True), ("t" * 128, True), ("t" * 129, False), ("", False)],
)
def test_is_tag_is_the_tags_grammar(text: str, right: bool) -> None:
    """At most 128 characters, and none is none."""
    assert is_tag(text) is right
