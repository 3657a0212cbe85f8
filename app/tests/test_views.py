"""The list, adding and deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from todo_person import Person


def test_an_empty_list_says_so(client: FlaskClient) -> None:
    """`GET /` answers 200 and invites to add the first task."""
    response = client.get("/")
    assert response.status_code == 200
    assert "Nothing to do" in response.text


def test_add_stores_and_goes_back(person: Person) -> None:
    """A good title is stored and the answer is a 302 to the list."""
    response = person.add("Buy milk")
    assert (response.status_code, response.location) == (302, "/")
    assert person.titles() == ["Buy milk"]


def test_add_strips(person: Person) -> None:
    """Blanks around a title are not stored; those inside are."""
    person.add(" \u00a0 Buy  milk\t\n")
    assert person.titles() == ["Buy  milk"]


def test_the_order_is_kept(person: Person) -> None:
    """Tasks stand in the order in which they were added, also after one in the middle went."""
    for title in ("b", "a", "c"):
        person.add(title)
    assert person.titles() == ["b", "a", "c"]
    person.delete(person.ids()[1])
    person.add("a")
    assert person.titles() == ["b", "c", "a"]


def test_the_page_counts(person: Person) -> None:
    """The head of the page counts tasks in words that fit the number."""
    person.add("one")
    assert ">1 task<" in person.page()
    person.add("two")
    assert ">2 tasks<" in person.page()


def test_a_title_is_escaped(person: Person) -> None:
    """Markup in a title is shown as text, in the list and in the field."""
    person.add('<b onclick="x">&amp;</b>')
    page = person.page()
    assert "<b " not in page
    assert person.titles() == ['<b onclick="x">&amp;</b>']
    again = person.add('"><script>' + "x" * 50)
    assert "<script" not in again.text


@pytest.mark.parametrize("typed", ["", "   ", "\t\n", "\u200b\u200d"])
def test_an_empty_title_is_refused(person: Person, typed: str) -> None:
    """A title without a visible character is a 400, a message on the page, and not stored."""
    response = person.add(typed)
    assert response.status_code == 400
    assert "the title is empty" in response.text
    assert person.titles() == []


def test_a_form_without_a_title_is_refused(person: Person) -> None:
    """A missing field counts as an empty title."""
    response = person.client.post("/add", data={"csrf_token": person.token()})
    assert response.status_code == 400
    assert "the title is empty" in response.text


@pytest.mark.parametrize("letter", ["x", "ä", "\U0001f9c0"])
def test_fifty_characters_are_the_limit(person: Person, letter: str) -> None:
    """50 characters are stored; 51 are a 400 whose message has both numbers."""
    assert person.add(letter * 50).status_code == 302
    response = person.add(letter * 51)
    assert response.status_code == 400
    assert "has 51 characters. Shorten it to 50" in response.text
    assert person.titles() == [letter * 50]


@pytest.mark.parametrize("typed", ["a\x00b", "a\nb", "a\x1bb", "a\x7fb"])
def test_control_characters_are_refused(person: Person, typed: str) -> None:
    """NUL, line breaks and escapes inside a title are a 400 and not a database error."""
    response = person.add(typed)
    assert response.status_code == 400
    assert "control character" in response.text
    assert person.titles() == []


def test_a_refused_title_is_kept_in_the_field(person: Person) -> None:
    """The typed text stands in the field again, and the field points at the message."""
    typed = "y" * 60
    page = person.add(typed).text
    assert f'value="{typed}"' in page
    assert 'aria-describedby="hint problem"' in page
    assert 'aria-invalid="true"' in page
    assert 'role="alert"' in page


def test_a_refused_title_leaves_the_list_on_the_page(person: Person) -> None:
    """The page that shows the message shows the tasks too."""
    person.add("still here")
    assert "still here" in person.add("").text


def test_delete_removes_one_task(person: Person) -> None:
    """The named task goes, the others stay, and the answer is a 302 to the list."""
    for title in ("a", "b", "c"):
        person.add(title)
    response = person.delete(person.ids()[1])
    assert (response.status_code, response.location) == (302, "/")
    assert person.titles() == ["a", "c"]


def test_deleting_a_missing_task_is_not_found(person: Person) -> None:
    """An id that never was is a 404 page with a way back, not a crash (S3.10)."""
    response = person.delete(7)
    assert response.status_code == 404
    assert "does not exist" in response.text
    assert 'href="/"' in response.text


def test_deleting_twice_is_not_found(person: Person) -> None:
    """The second of two people who delete the same task is told so."""
    person.add("once")
    gone = person.ids()[0]
    assert person.delete(gone).status_code == 302
    assert person.delete(gone).status_code == 404


@pytest.mark.parametrize("task_id", [0, 2**31 - 1, 2**31, 2**63, 10**30, "x", "-1"])
def test_an_impossible_id_is_not_found(person: Person, task_id: int | str) -> None:
    """Ids that no column holds never reach the database."""
    assert person.delete(task_id).status_code == 404


def test_an_id_is_never_used_again(person: Person) -> None:
    """A page left open cannot delete a newer task that took over a deleted one's id."""
    person.add("old")
    old = person.ids()[0]
    person.delete(old)
    person.add("new")
    assert person.ids() != [old]
    assert person.delete(old).status_code == 404
    assert person.titles() == ["new"]


@pytest.mark.parametrize("path", ["/delete/1", "/add"])
def test_get_changes_nothing(person: Person, path: str) -> None:
    """A link, a crawler or a prefetch gets 405 with `Allow: POST` (S3.10)."""
    person.add("stays")
    response = person.client.get(path)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert "<h1>Method Not Allowed</h1>" in response.text
    assert person.titles() == ["stays"]


def test_visitors_share_the_list(app: Flask, person: Person) -> None:
    """Two visitors of one app see one list."""
    person.add("shared")
    assert "shared" in app.test_client().get("/").text
