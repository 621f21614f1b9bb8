"""Calls about what is held, made and lost, and why."""

from typing import Literal

from tickbus_client.answers.books import (
    AuditPage,
    Equity,
    Portfolio,
    PostingPage,
    Series,
    Session,
)
from tickbus_client.call import Call, Query, When, moment, unless_empty

Range = Literal["session", "today", "month", "year", "all"]
By = Literal["account", "strategy"]


def portfolio() -> Call[Portfolio]:
    """Positions, balances and profit and loss, valued at the market as it is now."""
    return Call("GET", "/api/v1/portfolio", Portfolio)


def series(
    range: Range = "today", *, by: By = "account", tz: str = "UTC", points: int = 500
) -> Call[Series]:
    """Equity, P&L, fees and drawdown over a range, of the account or of every strategy.

    `tz` is whose days, months and years ("Europe/Zurich"); `points` (2 to 4000) how many at most.
    """
    query: Query = {"range": range, "by": by, "tz": tz, "points": points}
    return Call("GET", "/api/v1/portfolio/series", Series, query=query)


def session() -> Call[Session]:
    """The session that is on: since when, who began it and why."""
    return Call("GET", "/api/v1/portfolio/session", Session)


def clear_session(reason: str, *, actor: str = "") -> Call[Session]:
    """Begin a new session: P&L of the range "session" counts from now; nothing is deleted."""
    body = {"reason": reason, "actor": unless_empty(actor)}
    return Call("POST", "/api/v1/portfolio/session/clear", Session, body=body)


def equity(
    *, strategy: str = "", since: When | None = None, until: When | None = None, limit: int = 1000
) -> Call[Equity]:
    """The equity curve of the account, or the net P&L of one strategy: the newest points."""
    query: Query = {
        "strategy": strategy, "since": moment(since), "until": moment(until), "limit": limit,
    }  # fmt: skip
    return Call("GET", "/api/v1/equity", Equity, query=query)


def postings(
    *, asset: str = "", venue: str = "", strategy: str = "", symbol: str = "", cause: str = "",
    since: When | None = None, until: When | None = None, limit: int = 100, cursor: str = "",
) -> Call[PostingPage]:  # fmt: skip
    """Why we hold what we hold: every change of a balance with its cause, newest first."""
    query: Query = {
        "asset": asset, "venue": venue, "strategy": strategy, "symbol": symbol, "cause": cause,
        "since": moment(since), "until": moment(until), "limit": limit, "cursor": cursor,
    }  # fmt: skip
    return Call("GET", "/api/v1/postings", PostingPage, query=query, has_files=True)


def audit(
    *, event: str = "", order_id: str = "", since: When | None = None, until: When | None = None,
    limit: int = 100, cursor: str = "",
) -> Call[AuditPage]:  # fmt: skip
    """The audit log: every event of the order path, newest first; `event` is a type of event."""
    query: Query = {
        "event": event, "order_id": order_id, "since": moment(since), "until": moment(until),
        "limit": limit, "cursor": cursor,
    }  # fmt: skip
    return Call("GET", "/api/v1/audit", AuditPage, query=query, has_files=True)
