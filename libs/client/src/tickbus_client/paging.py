"""From one page of a list to the next."""

from dataclasses import replace
from typing import TypeVar

from tickbus_client.answers.base import Page
from tickbus_client.call import Call

PageT = TypeVar("PageT", bound=Page)


def following(call: Call[PageT], page: PageT) -> Call[PageT] | None:
    """The call for what comes behind `page`, which answered `call`; None behind the last."""
    if not page.next_cursor or page.next_cursor == call.query.get("cursor"):
        return None  # a cursor that leads to itself would go on for ever
    return replace(call, query={**call.query, "cursor": page.next_cursor})
