"""Every POST needs the token of a page that this visitor got from this app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from todo_person import Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from flask.testing import FlaskClient

MESSAGE = "Nothing was changed: the form was too old or came from another site."


@pytest.mark.parametrize("token", [None, "", "forged", "a.b.c"])
def test_adding_without_a_good_token_is_refused(person: Person, token: str | None) -> None:
    """A missing or invalid token is a 400 page with a message, and nothing is stored."""
    person.page()
    form = {"title": "x"} if token is None else {"title": "x", "csrf_token": token}
    response = person.client.post("/add", data=form)
    assert response.status_code == 400
    assert MESSAGE in response.text
    assert person.titles() == []


def test_deleting_without_a_token_is_refused(person: Person) -> None:
    """A delete without a token is a 400 page and the task stays."""
    person.add("stays")
    response = person.client.post(f"/delete/{person.ids()[0]}")
    assert response.status_code == 400
    assert MESSAGE in response.text
    assert person.titles() == ["stays"]


def test_a_token_of_another_visitor_is_refused(app: Flask, person: Person) -> None:
    """A token is bound to the session that it was made for."""
    stranger = Person(app.test_client())
    stranger.page()
    response = person.client.post("/add", data={"title": "x", "csrf_token": stranger.token()})
    assert response.status_code == 400
    assert person.titles() == []


def test_a_token_without_its_cookie_is_refused(app: Flask, person: Person) -> None:
    """The token alone is worth nothing."""
    form = {"title": "x", "csrf_token": person.token()}
    assert app.test_client().post("/add", data=form).status_code == 400


def test_a_token_of_another_key_is_refused(person: Person, make_app: Callable[..., Flask]) -> None:
    """An app with another key signs other tokens."""
    other = Person(make_app(TODO_SECRET_KEY="another key").test_client())
    response = person.client.post("/add", data={"title": "x", "csrf_token": other.token()})
    assert response.status_code == 400


def test_the_refused_page_can_be_sent_again(client: FlaskClient) -> None:
    """The 400 page keeps the typed text and carries a token that works."""
    refused = client.post("/add", data={"title": "typed long ago"})
    assert 'value="typed long ago"' in refused.text
    assert 'aria-invalid="true"' not in refused.text
    person = Person(client)
    assert person.add("typed long ago").status_code == 302


def test_apps_with_one_key_accept_each_others_tokens(
    tmp_path_factory: pytest.TempPathFactory, make_app: Callable[..., Flask]
) -> None:
    """Workers that share key and file are one app to the visitor."""
    url = f"sqlite:///{tmp_path_factory.mktemp('db')}/todo.db"
    first, second = (make_app(TODO_DATABASE_URL=url) for _ in range(2))
    person = Person(first.test_client())
    token = person.token()
    cookie = person.client.get_cookie("todo_session")
    assert cookie is not None
    elsewhere = second.test_client()
    elsewhere.set_cookie("todo_session", cookie.value)
    response = elsewhere.post("/add", data={"title": "from the second", "csrf_token": token})
    assert response.status_code == 302
    assert person.titles() == ["from the second"]


def test_over_https_another_site_is_refused(person: Person) -> None:
    """With HTTPS the referrer has to be this host, which `Referrer-Policy` lets browsers send."""
    base = "https://localhost"
    form = {"title": "x", "csrf_token": person.token()}
    foreign = {"Referer": "https://elsewhere.example/"}
    own = {"Referer": base + "/"}
    post = person.client.post
    assert post("/add", base_url=base, data=form, headers=foreign).status_code == 400
    assert post("/add", base_url=base, data=form, headers=own).status_code == 302
