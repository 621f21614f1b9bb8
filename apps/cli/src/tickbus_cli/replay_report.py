"""The report of a replay: one dictionary for machines, tables for people."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tickbus.captures import Problem
from tickbus.events import PortfolioUpdated

if TYPE_CHECKING:
    from tickbus_cli.replay_run import Replayer

TOP_LEVELS = 10
PROBLEMS_SHOWN = 20


def text(value: Decimal | None) -> str | None:
    """A Decimal in plain digits, without ending zeros."""
    if value is None:
        return None
    plain = f"{value:f}"
    return (plain.rstrip("0").rstrip(".") or "0") if "." in plain else plain


def build_report(replayer: "Replayer", problems: Sequence[Problem]) -> dict[str, Any]:
    """Everything that a replay found; money as decimal strings, market prices as numbers."""
    counts, feed = replayer.counts, replayer.feed
    portfolio = replayer.ledger.portfolio()
    return {
        "capture": {
            "begin": _time(replayer.ts_first),
            "end": _time(replayer.ts_last),
            "seconds": (replayer.ts_last - replayer.ts_first) / 1e9,
        },
        "venue": replayer.venue,
        "messages": {
            "frames": replayer.kinds["frame"],
            "rest": replayer.kinds["rest"],
            "trades": counts["Trade"],
            "quotes": counts["Quote"],
            "book_changes": counts["BookDelta"],
            "gaps": feed.gaps,
            "resyncs": feed.resyncs,
            "crossed": feed.crossed,
            "malformed": feed.rejected,
            "ignored": dict(sorted(feed.ignored.items())),
            "unreadable_lines": len(problems),
            "problems": [f"{p.source}:{p.line}: {p.text}" for p in list(problems)[:PROBLEMS_SHOWN]],
        },
        "instruments_from": replayer.described_by,
        "books": [_book(replayer, i.symbol) for i in replayer.instruments],
        "strategies": [
            {"id": e.id, "kind": e.kind, "instruments": list(e.instruments)}
            for e in replayer.entries
        ],
        "strategies_failed": {f.strategy_id: f.error for f in replayer.failures},
        "signals": counts["SubmitOrder"],
        "orders": {
            "wanted": counts["SubmitOrder"],
            "approved": counts["OrderApproved"],
            "denied": dict(sorted(replayer.denials.items())),
            "accepted": counts["OrderAccepted"],
            "rejected": counts["OrderRejected"],
            "canceled": counts["OrderCanceled"],
            "expired": counts["OrderExpired"],
        },
        "fills": counts["OrderFilled"],
        "opening_balances": {a: text(v) for a, v in replayer.opening.items()},
        "portfolio": _portfolio(portfolio),
    }


def _time(ns: int) -> str:
    whole = datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ns % 10**9:09d}Z"


def _book(replayer: "Replayer", symbol: str) -> dict[str, Any]:
    sync = replayer.feed.syncs[symbol]
    bids, asks = sync.book.depth(TOP_LEVELS)
    return {
        "instrument": sync.instrument_id,
        "symbol": symbol,
        "state": str(replayer.feed.states.get(sync.instrument_id, "NO_DATA")),
        "in_step": sync.synced,
        "levels": len(sync.book),
        "crossed": sync.book.is_crossed,
        "last_update_id": sync.last_id,
        "bids": [list(level) for level in bids],
        "asks": [list(level) for level in asks],
    }


def _portfolio(p: PortfolioUpdated) -> dict[str, Any]:
    return {
        "currency": p.currency,
        "positions": [
            {
                "instrument": position.instrument_id,
                "quantity": text(position.quantity),
                "avg_entry_price": text(position.avg_entry_price),
                "mark": text(position.mark),
                "realized_pnl": text(position.realized_pnl),
                "unrealized_pnl": text(position.unrealized_pnl),
                "fees": text(position.fees),
                "net_pnl": text(position.net_pnl),
                "fills": position.fills,
            }
            for position in p.positions
        ],
        "balances": {b.asset: text(b.amount) for b in p.balances},
        "realized_pnl": text(p.realized_pnl),
        "unrealized_pnl": text(p.unrealized_pnl),
        "fees": text(p.fees),
        "net_pnl": text(p.net_pnl),
        "drawdown_max": text(p.drawdown_max),
        "differences": [f"{b.venue}/{b.asset}: {text(b.difference)}" for b in p.differences],
    }


def render(report: dict[str, Any], console: Console) -> None:
    """The report as tables."""
    capture, messages = report["capture"], report["messages"]
    console.print(
        f"{capture['begin']} to {capture['end']} ({capture['seconds']:.1f} s) at {report['venue']},"
        f" instruments by {report['instruments_from']}"
    )
    table = Table("messages", "trades", "quotes", "book changes", "gaps", "crossed", "malformed")
    table.add_row(
        *(
            f"{messages[key]:,}"
            for key in (
                "frames", "trades", "quotes", "book_changes", "gaps", "crossed", "malformed",
            )
        )
    )  # fmt: skip
    console.print(table)
    for problem in messages["problems"]:
        console.print(f"unreadable: {problem}")
    books = Table("book", "state", "levels", "bid", "size", "ask", "size")
    for book in report["books"]:
        bid = book["bids"][0] if book["bids"] else ("-", "-")
        ask = book["asks"][0] if book["asks"] else ("-", "-")
        books.add_row(
            book["instrument"], book["state"], f"{book['levels']:,}", *map(str, (*bid, *ask))
        )
    console.print(books)
    for strategy, error in report["strategies_failed"].items():
        console.print(f"strategy {strategy} stopped: {error}")
    orders = report["orders"]
    names = ", ".join(f"{s['id']} ({s['kind']})" for s in report["strategies"])
    console.print(f"strategies: {names}")
    denied = ", ".join(f"{n} {reason}" for reason, n in orders["denied"].items()) or "none"
    console.print(
        f"signals {report['signals']}, approved {orders['approved']}, denied {denied}, accepted"
        f" {orders['accepted']}, rejected {orders['rejected']}, canceled {orders['canceled']},"
        f" expired {orders['expired']}, fills {report['fills']}"
    )
    _render_portfolio(report["portfolio"], console)


def _render_portfolio(portfolio: dict[str, Any], console: Console) -> None:
    table = Table("position", "quantity", "entry", "mark", "realised", "unrealised", "fees", "net")
    for p in portfolio["positions"]:
        keys = (
            "instrument", "quantity", "avg_entry_price", "mark", "realized_pnl", "unrealized_pnl",
            "fees", "net_pnl",
        )  # fmt: skip
        table.add_row(*(_short(p[key]) for key in keys))
    console.print(table)
    money = ", ".join(
        f"{name} {_short(portfolio[key])}"
        for name, key in (
            ("realised", "realized_pnl"),
            ("unrealised", "unrealized_pnl"),
            ("fees", "fees"),
            ("net", "net_pnl"),
        )
    )
    console.print(f"P&L: {money} {portfolio['currency']}")


def _short(value: str | None) -> str:
    """At most eight decimals for people; the JSON has them all."""
    if value is None:
        return "-"
    head, _, tail = value.partition(".")
    return f"{head}.{tail[:8]}" if tail else head
