"""A person at a browser, for tests that go through the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


@dataclass
class Person:
    """Someone with a browser: sends the token that the last page they saw carried."""

    client: FlaskClient
    """Keeps the cookies."""

    def token(self) -> str:
        """Read the CSRF token off the page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.page())
        assert found, "the page carries no token"
        return found[1]

    def page(self) -> str:
        """Return the list page's HTML."""
        response = self.client.get("/")
        assert response.status_code == 200
        return response.text

    def titles(self) -> list[str]:
        """Return the titles that the page lists, in its order, unescaped."""
        shown = re.findall(r'<span class="title"[^>]*>(.*?)</span>', self.page(), re.DOTALL)
        return [unescape(title) for title in shown]

    def ids(self) -> list[int]:
        """Return the ids that the page's delete forms name, in its order."""
        return [int(number) for number in re.findall(r'action="/delete/(\d+)"', self.page())]

    def add(self, title: str) -> TestResponse:
        """Send the form that adds."""
        return self.client.post("/add", data={"csrf_token": self.token(), "title": title})

    def delete(self, task_id: int | str) -> TestResponse:
        """Press the delete button of one task."""
        return self.client.post(f"/delete/{task_id}", data={"csrf_token": self.token()})
