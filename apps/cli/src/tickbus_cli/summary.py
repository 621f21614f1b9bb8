"""What a run amounted to: one JSON object for programs, the same in a few lines for people."""

from decimal import Decimal
from typing import Any

from tickbus.ledger_api import PortfolioAnswer
from tickbus_cli.monitor import Snapshot, events
from tickbus_cli.supervisor import Crash

ZERO = Decimal(0)


def plain(number: Decimal | None) -> str | None:
    """`number` exactly, without exponent."""
    return None if number is None else format(number, "f")


def summarise(
    profile: str,
    seconds: float,
    before: PortfolioAnswer | None,
    last: Snapshot,
    crash: Crash | None,
    left_working: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The run's numbers; `orders` and `fills` are of this run, the books' are in `books`.

    Money is exact and travels as strings, in `currency`; latencies are microseconds.
    """
    books = last.portfolio
    p50, p99, count = last.tick_to_order
    return {
        "profile": profile,
        "duration_s": round(seconds, 3),
        "ticks": last.ticks,
        "ticks_per_s": round(last.ticks / seconds, 1) if seconds > 0 else 0.0,
        "events": {name: events(status) for name, status in last.services.items()},
        "orders": _since(before, books, "orders"),
        "fills": _since(before, books, "fills"),
        "positions": _positions(books),
        "currency": books.currency if books else None,
        "realized_pnl": plain(books.realized_pnl) if books else None,
        "unrealized_pnl": plain(books.unrealized_pnl) if books else None,
        "fees": plain(books.fees) if books else None,
        "net_pnl": plain(books.net_pnl) if books else None,
        "equity": plain(books.equity) if books else None,
        "books": {"orders": books.orders, "fills": books.fills} if books else None,
        "working_orders_left": list(left_working),
        "tick_to_order": {"p50_us": round(p50, 1), "p99_us": round(p99, 1), "count": count},
        "hops": {
            hop: {"p50_us": round(p50, 1), "p99_us": round(p99, 1), "count": count}
            for hop, (p50, p99, count) in last.hops.items()
        },
        "errors": last.errors,
        "crashed": None if crash is None else {"service": crash.name, "message": crash.message},
    }


def _since(before: PortfolioAnswer | None, after: PortfolioAnswer | None, name: str) -> int | None:
    if after is None:
        return None
    count: int = getattr(after, name) - (getattr(before, name) if before else 0)
    return count


def _positions(books: PortfolioAnswer | None) -> list[dict[str, Any]]:
    return [
        {
            "instrument_id": p.instrument_id,
            "venue": p.venue,
            "quantity": plain(p.quantity),
            "avg_entry_price": plain(p.avg_entry_price),
            "mark": plain(p.mark),
            "realized_pnl": plain(p.realized_pnl),
            "unrealized_pnl": plain(p.unrealized_pnl),
            "fees": plain(p.fees),
            "net_pnl": plain(p.net_pnl),
        }
        for p in (books.positions if books else ())
    ]


def money(number: Decimal | None, currency: str = "") -> str:
    """`number` to the cent, signed; "-" when it is not known."""
    return "-" if number is None else f"{number:+,.2f} {currency}".rstrip()


def sentences(summary: dict[str, Any]) -> list[str]:
    """The summary for people."""
    latency = summary["tick_to_order"]
    lines = [
        f"{summary['ticks']:,} ticks in {summary['duration_s']:.1f} s"
        f" ({summary['ticks_per_s']:,.0f}/s), {_count(summary['orders'])} orders,"
        f" {_count(summary['fills'])} fills",
    ]
    if summary["currency"]:
        lines += [
            f"{p['instrument_id']}: {p['quantity']} at {p['avg_entry_price'] or '-'}"
            for p in summary["positions"]
            if Decimal(p["quantity"])
        ]
        parts = ("realized_pnl", "unrealized_pnl", "fees", "net_pnl")
        values = {name: money(Decimal(summary[name])) for name in parts}
        lines.append(
            f"P&L realised {values['realized_pnl']}, unrealised {values['unrealized_pnl']},"
            f" fees {Decimal(summary['fees']):,.2f}, net {values['net_pnl']} {summary['currency']}"
        )
    if latency["count"]:
        lines.append(
            f"tick to order: p50 {latency['p50_us']:,.0f} us, p99 {latency['p99_us']:,.0f} us"
        )
    for service, kinds in summary["errors"].items():
        listed = ", ".join(f"{kind} {n}" for kind, n in kinds.items())
        lines.append(f"errors in {service}: {listed}")
    return lines


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"
