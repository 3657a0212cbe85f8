"""Digests in a kustomization: only these characters change."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.config import documents, pin_file
from lockgate.oci.reference import PinnedRef

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
APP = {"app": PinnedRef(name="r.example/app", digest=ONE)}
BOTH = {**APP, "worker": PinnedRef(name="r.example/worker", digest=TWO)}


def update(text: str, pins: dict[str, PinnedRef]) -> str:
    """Update a text."""
    return pin_file.update(dedent(text).encode(), pins, where="k.yaml").decode()


def read(text: str) -> Any:
    """Return the content of a kustomization."""
    return documents.read(text.encode(), where="it")[0].value


def test_a_file_without_images_gets_them_at_its_end() -> None:
    """What stood there stays, comments included."""
    old = "# mine\nresources:\n    - a.yaml   # odd indentation\n"
    new = update(old, BOTH)
    assert new == old + (
        f"images:\n  - name: app\n    newName: r.example/app\n    digest: {ONE}\n"
        f"  - name: worker\n    newName: r.example/worker\n    digest: {TWO}\n"
    )


def test_an_image_that_stands_twice_is_refused() -> None:
    """The second one would keep its old digest, and kustomize goes through them in their order."""
    old = f"images:\n- name: app\n- name: app\n  digest: {TWO}\n"
    with pytest.raises(UsageError, match="cannot be changed in place"):
        update(old, APP)


def test_only_the_digest_changes() -> None:
    """Comments, quotes and order of an entry stay."""
    old = f"""\
        images:
        # the application
        -   digest: "{TWO}"   # written by a robot
            name: 'app'  # as in the manifests
            newName: r.example/app

        # the end
        namespace: todo
        """
    assert update(old, APP) == dedent(old).replace(f'"{TWO}"', ONE)


def test_what_an_entry_lacks_is_added_below_its_name() -> None:
    """At the entry's own indentation."""
    old = "images:\n  - name: app # why\n    # after\nnamespace: x\n"
    assert update(old, APP) == (
        "images:\n  - name: app # why\n    newName: r.example/app\n"
        f"    digest: {ONE}\n    # after\nnamespace: x\n"
    )


def test_a_tag_gives_way_to_the_digest() -> None:
    """A tag beside a digest would say something else one day."""
    old = "images:\n- name: app\n  newName: r.example/app\n  newTag: 1.0.0  # release\n"
    assert update(old, APP) == (
        f"images:\n- name: app\n  newName: r.example/app\n  digest: {ONE}  # release\n"
    )


def test_a_new_component_follows_the_others() -> None:
    """Behind the last entry and its comment, before what follows the list."""
    old = f"images:\n- name: app\n  newName: r.example/app\n  digest: {ONE} # a\n\n# b\nnamespace: x\n"
    assert update(old, BOTH) == (
        f"images:\n- name: app\n  newName: r.example/app\n  digest: {ONE} # a\n"
        f"- name: worker\n  newName: r.example/worker\n  digest: {TWO}\n\n# b\nnamespace: x\n"
    )


@pytest.mark.parametrize("empty", ["images: []\n", "images: []", "images:   [ ] # none\n"])
def test_an_empty_list_is_begun(empty: str) -> None:
    """Whatever it is written like."""
    assert read(update(empty, APP)) == {
        "images": [{"name": "app", "newName": "r.example/app", "digest": ONE}]
    }


def test_an_entry_on_one_line_is_completed() -> None:
    """In braces the fields follow each other."""
    old = "images:\n- {name: app, newTag: '1'}  # short\n"
    new = update(old, APP)
    assert new.endswith("}  # short\n")
    assert read(new)["images"] == [{"name": "app", "digest": ONE, "newName": "r.example/app"}]


def test_a_file_without_a_last_line_end_is_kept_readable() -> None:
    """The end of the file is no place to lose a line."""
    assert read(update("images:\n- name: app", APP))["images"][0]["digest"] == ONE
    assert read(update("namespace: x", APP)) == {
        "namespace": "x",
        "images": [{"name": "app", "newName": "r.example/app", "digest": ONE}],
    }


def test_writing_twice_changes_nothing() -> None:
    """The second run finds what the first one wrote."""
    for old in ("namespace: x\n", "images: []\n", "images:\n- name: other\n  newTag: '1'\n"):
        once = update(old, BOTH)
        assert update(once, BOTH) == once


def test_other_images_are_left_alone() -> None:
    """Only components are pinned here."""
    old = "images:\n- name: redis\n  newTag: '7'\n"
    assert update(old, {}) == old
    assert update(old, APP).startswith(old)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{images: []}\n", "is no kustomization"),
        ("- a\n", "is no kustomization"),
        ("images: {app: 1}\n", "`images` is no list"),
        ("images: [{name: other}]\n", "stands on one line"),
        ("images: [\n", "it is not YAML"),
    ],
)
def test_what_cannot_be_changed_in_place_is_an_error(text: str, problem: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError) as caught:
        update(text, APP)
    assert problem in caught.value.message


ENTRY = st.fixed_dictionaries(
    {"name": st.sampled_from(["app", "worker", "redis"])},
    optional={
        "newName": st.sampled_from(["x", "r.example/app"]),
        "newTag": st.sampled_from(["'1'", "v2"]),
        "digest": st.sampled_from([ONE, f'"{TWO}"']),
    },
)


@given(
    entries=st.lists(ENTRY, max_size=4, unique_by=lambda one: one["name"]),
    indent=st.sampled_from(["", "  ", "    "]),
    before=st.sampled_from(["namespace: x\n", "# c\nnamespace: x\n\n"]),
    after=st.sampled_from(["", "# end\n", "\nnamePrefix: a-\n"]),
)
def test_every_component_is_pinned_and_nothing_else_changes(
    entries: list[dict[str, str]], indent: str, before: str, after: str
) -> None:
    """For any list of entries: the content differs in the pins alone, and a second run changes nothing."""
    lines = "".join(
        f"{indent}{'- ' if at == 0 else '  '}{key}: {value}\n"
        for one in entries
        for at, (key, value) in enumerate(one.items())
    )
    old = before + (f"images:\n{lines}" if entries else "") + after
    new = update(old, BOTH)
    assert update(new, BOTH) == new
    found = {one["name"]: one for one in read(new)["images"]}
    for name, pinned in BOTH.items():
        assert (found[name]["newName"], found[name]["digest"]) == (pinned.name, pinned.digest)
        assert "newTag" not in found[name] or "digest" in old
    assert [read(each).get("namePrefix") for each in (old, new)].count("a-") in (0, 2)
    assert read(new)["namespace"] == "x"
