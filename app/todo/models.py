"""The one table, and the rule for what may stand in it."""

from __future__ import annotations

import unicodedata

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TITLE_MAX = 50
"""Characters (code points) of a title after stripping."""

ID_MAX = 2**31 - 1
"""The largest id that an INTEGER column holds in every database."""


class Base(DeclarativeBase):
    """The metadata of this app's tables."""


class Task(Base):
    """One thing to do."""

    __tablename__ = "task"
    # SQLite would give a deleted last row's id to the next one, and a page left open in another
    # tab would then delete the wrong task.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    """Grows with every task, so it is also the order of the list."""

    title: Mapped[str] = mapped_column(String(TITLE_MAX))
    """As `clean_title` returned it."""


class TitleError(ValueError):
    """The typed text cannot be a title. The message is for the person who typed it."""


def clean_title(typed: str) -> str:
    """Return `typed` without the blanks around it.

    Raises `TitleError` when nothing visible is left, when more than `TITLE_MAX` characters are,
    or when one of them is a control character: PostgreSQL refuses NUL, and a line break cannot
    be typed into the field.
    """
    title = typed.strip()
    if not any(letter.isprintable() and not letter.isspace() for letter in title):
        raise TitleError("Write what is to be done: the title is empty.")
    if len(title) > TITLE_MAX:
        raise TitleError(
            f"The title has {len(title)} characters. Shorten it to {TITLE_MAX} or fewer."
        )
    if any(unicodedata.category(letter) == "Cc" for letter in title):
        raise TitleError("The title holds a tab, a line break or another control character.")
    return title
