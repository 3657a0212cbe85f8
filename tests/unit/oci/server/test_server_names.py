"""Names of a layout are repositories and tags, by one rule in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.oci.manifest import MANIFEST, REF_NAME, Descriptor, Index, index_bytes
from lockgate.oci.reference import is_tag
from lockgate.oci.server_names import LONGEST, Named, is_repository, tag_name

HEX = "ab" * 32


def read(*names: str) -> Named:
    """Return the reading of an index with these names, and one entry without."""
    entries = tuple(
        Descriptor(
            media_type=MANIFEST,
            digest="sha256:" + HEX,
            size=1,
            annotations={REF_NAME: name} if name else {},
        )
        for name in ("", *names)
    )
    return Named.read(index_bytes(Index(manifests=entries)))


def test_a_name_without_a_tag_is_the_store_s_own() -> None:
    """What `inv build` names is a repository."""
    found = read("app", "app-linux-amd64", "stack-python")
    assert sorted(found.own) == ["app", "app-linux-amd64", "stack-python"]
    assert not found.pushed
    assert sorted(found.repositories()) == sorted(found.own)


def test_a_name_with_a_tag_is_a_pushed_one() -> None:
    """Repository and tag are divided at the colon."""
    found = read("team/app:1.4", "team/app:latest", "localhost/x:y")
    assert {one: sorted(tags) for one, tags in found.pushed.items()} == {
        "team/app": ["1.4", "latest"],
        "localhost/x": ["y"],
    }
    assert not found.own


def test_names_about_a_digest_are_no_repositories() -> None:
    """Lists of referrers, and the tags of cosign's older form."""
    found = read(f"sha256-{HEX}", f"sha256-{HEX}.sig", f"sha256-{HEX}.att")
    assert list(found.repositories()) == []
    assert list(found.kept) == [f"sha256:{HEX}"]
    assert sorted(found.about[f"sha256:{HEX}"]) == [f"sha256-{HEX}.att", f"sha256-{HEX}.sig"]


def test_such_a_tag_of_a_repository_is_one_like_any_other() -> None:
    """A client such as cosign pushes it to the repository of the image."""
    assert list(read(f"app:sha256-{HEX}.sig").pushed["app"]) == [f"sha256-{HEX}.sig"]


@pytest.mark.parametrize(
    "name",
    [
        "UPPER",
        "a b",
        "host:5000/app:1",
        "/app",
        "app/",
        "app:",
        "app:-x",
        "a//b",
        "../x",
        "a@sha256:b",
    ],
)
def test_other_names_are_not_served(name: str) -> None:
    """A layout may have any; those are left alone."""
    found = read(name)
    assert not found.own
    assert not found.pushed
    assert len(found.roots) == 2


def test_every_entry_is_a_root() -> None:
    """Those without a name too: what they reach is needed."""
    assert len(read("app").roots) == 2


def test_what_is_no_index_is_an_error() -> None:
    """A damaged file is never taken for an empty store."""
    with pytest.raises(UsageError):
        Named.read(b"{}")


def test_a_repository_may_not_be_called_like_a_list() -> None:
    """Its own image would be taken for a list of referrers; and a name has an end."""
    assert is_repository("sha256-abc")
    assert not is_repository(f"sha256-{HEX}")
    assert not is_repository(f"sha256-{HEX}.sig")
    assert is_repository("a" * LONGEST)
    assert not is_repository("a" * (LONGEST + 1))


@given(
    st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+)*", fullmatch=True).filter(is_repository),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(is_tag),
)
def test_every_pushed_tag_is_read_back(repository: str, tag: str) -> None:
    """The name that is written for a tag is read as that tag, and as nothing else."""
    found = read(tag_name(repository, tag))
    assert {one: list(tags) for one, tags in found.pushed.items()} == {repository: [tag]}
    others = (found.own, found.kept, found.about)
    assert not any(others)
