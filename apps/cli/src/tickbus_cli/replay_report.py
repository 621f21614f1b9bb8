"""The report of a replay: one dictionary for machines, tables for people."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tickbus.captures import Problem
from tickbus.events import Instrument, PortfolioUpdated
from tickbus_cli import showing
from tickbus_cli.tables import Written
from tickbus_strategy.refusing import NotOrdered

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
        "fee_rates": {"maker": text(replayer.fees.maker), "taker": text(replayer.fees.taker)},
        "fees_from": replayer.fees_from,
        "books": [_book(replayer, i) for i in replayer.instruments],
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
            "not_made": dict(sorted(replayer.not_ordered.items())),
        },
        "not_made_first": [_not_made(each) for each in replayer.not_ordered_first.values()],
        "fills": counts["OrderFilled"],
        "opening_balances": {a: text(v) for a, v in replayer.opening.items()},
        "portfolio": _portfolio(portfolio),
    }


def _not_made(missing: NotOrdered) -> str:
    return (
        f"{missing.strategy_id} {_time(missing.ts_recv)}: {missing.side} {missing.quantity}"
        f" {missing.instrument_id}: {missing.reason}, {missing.detail}"
    )


def _time(ns: int) -> str:
    whole = datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ns % 10**9:09d}Z"


def _book(replayer: "Replayer", instrument: Instrument) -> dict[str, Any]:
    sync = replayer.feed.syncs[replayer.adapter.key(instrument)]
    bids, asks = sync.book.depth(TOP_LEVELS)
    return {
        "instrument": sync.instrument_id,
        "symbol": instrument.symbol,
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


def render(report: dict[str, Any]) -> None:
    """The report as tables and sentences, on standard output."""
    capture, messages = report["capture"], report["messages"]
    keys = ("frames", "trades", "quotes", "book_changes", "gaps", "crossed", "malformed")
    showing.draw(
        f"{capture['begin']} to {capture['end']} ({capture['seconds']:.1f} s) at {report['venue']},"
        f" instruments by {report['instruments_from']}",
        showing.table(
            ("messages", "trades", "quotes", "book changes", "gaps", "crossed", "malformed"),
            [[Written(f"{messages[key]:,}") for key in keys]],
        ),
        *(f"unreadable: {problem}" for problem in messages["problems"]),
        _books(report["books"]),
        "",
        *_orders(report),
        *_account(report["portfolio"]),
    )


def _books(books: list[dict[str, Any]]) -> Table:
    rows = []
    for book in books:
        bid = book["bids"][0] if book["bids"] else ("-", "-")
        ask = book["asks"][0] if book["asks"] else ("-", "-")
        best = (Written(value) for value in (*bid, *ask))
        rows.append((book["instrument"], book["state"], Written(f"{book['levels']:,}"), *best))
    return showing.table(("book", "state", "levels", "bid", "size", "ask", "size"), rows)


def _orders(report: dict[str, Any]) -> list[str]:
    said = [f"strategy {s} stopped: {error}" for s, error in report["strategies_failed"].items()]
    orders = report["orders"]
    names = ", ".join(f"{s['id']} ({s['kind']})" for s in report["strategies"])
    rates = ", ".join(f"{side} {rate}" for side, rate in report["fee_rates"].items())
    denied = ", ".join(f"{n} {reason}" for reason, n in orders["denied"].items()) or "none"
    said += [
        f"strategies: {names}",
        f"fees by {report['fees_from']}, parts of what is traded: {rates}",
        f"signals {report['signals']}, approved {orders['approved']}, denied {denied}, accepted"
        f" {orders['accepted']}, rejected {orders['rejected']}, canceled {orders['canceled']},"
        f" expired {orders['expired']}, fills {report['fills']}",
    ]
    if orders["not_made"]:
        missing = ", ".join(f"{n} {reason}" for reason, n in orders["not_made"].items())
        said.append(f"orders that strategies asked for and that were not made: {missing}")
        said += [f"first: {each}" for each in report["not_made_first"]]
    return said


def _account(portfolio: dict[str, Any]) -> list[Table | str]:
    columns = ("position", "quantity", "entry", "mark", "realised", "unrealised", "fees", "net")
    keys = (
        "quantity", "avg_entry_price", "mark", "realized_pnl", "unrealized_pnl", "fees", "net_pnl",
    )  # fmt: skip
    rows = [
        (p["instrument"], *(Written(_short(p[key])) for key in keys))
        for p in portfolio["positions"]
    ]
    money = ", ".join(
        f"{name} {_short(portfolio[key])}"
        for name, key in (
            ("realised", "realized_pnl"),
            ("unrealised", "unrealized_pnl"),
            ("fees", "fees"),
            ("net", "net_pnl"),
        )
    )
    said: list[Table | str] = [f"P&L: {money} {portfolio['currency']}"]
    return [showing.table(columns, rows), "", *said] if rows else said


def _short(value: str | None) -> str:
    """At most eight decimals for people; the JSON has them all."""
    if value is None:
        return "-"
    head, _, tail = value.partition(".")
    return f"{head}.{tail[:8]}" if tail else head
