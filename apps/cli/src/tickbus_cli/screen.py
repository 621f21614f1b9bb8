"""The live screen: one look at a running platform, drawn from two snapshots."""

from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tickbus.events import ServiceStatus
from tickbus.ledger_api import PortfolioAnswer, PositionRecord
from tickbus_cli.monitor import Latency, Snapshot, events, rate
from tickbus_cli.summary import money

HOPS_SHOWN = 8


def render(
    title: str, now: Snapshot, before: Snapshot | None, uptime_s: float, hint: str = ""
) -> RenderableType:
    """The whole screen; rates are what changed since `before`."""
    seconds = now.taken_s - before.taken_s if before else 0.0
    return Group(
        Text(f"{title}   up {clock(uptime_s)}", style="bold"),
        Text(headline(now, before)),
        Text(""),
        _services(now, before, seconds),
        _positions(now.portfolio),
        _latencies(now),
        Text(hint, style="dim"),
    )


def headline(now: Snapshot, before: Snapshot | None) -> str:
    """One line of it all: what is printed now and then where there is no terminal."""
    seconds = now.taken_s - before.taken_s if before else 0.0
    ticks_s = rate(before.ticks, now.ticks, seconds) if before else 0.0
    parts = [*stopped(now), f"{ticks_s:,.0f} ticks/s", f"{now.ticks:,} ticks"]
    books = now.portfolio
    if books is None:
        parts.append("ledger silent")
    else:
        parts += [
            f"{books.orders:,} orders ({books.working_orders} working)",
            f"{books.fills:,} fills",
            f"net P&L {money(books.net_pnl, books.currency)}",
        ]
    p50, p99, count = now.tick_to_order
    if count:
        parts.append(f"tick to order p50 {p50:,.0f} us, p99 {p99:,.0f} us")
    parts += [f"{name} {health(now.services.get(name))}" for name in troubled(now)]
    if now.unreadable:
        parts.append(f"{now.unreadable} answered what cannot be read: of another version?")
    return "  ".join(parts)


def stopped(now: Snapshot) -> list[str]:
    """Who may not trade, in words; nobody where risk does not say."""
    risk = now.services.get("risk")
    gauges = risk.gauges if risk is not None else {}
    said = ["", "trading is REDUCING", "trading is HALTED"][int(gauges.get("trading", 0))]
    count = int(gauges.get("scopes_stopped", 0))
    some = f"{count} strategies may not trade" if count > 1 else "a strategy may not trade"
    return [*([said] if said else []), *([some] if count else [])]


def troubled(now: Snapshot) -> list[str]:
    """Services that are not ready or do not answer."""
    return [s for s in now.expected if (status := now.services.get(s)) is None or not status.ready]


def health(status: ServiceStatus | None) -> str:
    """One service's state in words."""
    if status is None:
        return "does not answer"
    return "ready" if status.ready else f"waiting for {status.waiting_for}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _services(now: Snapshot, before: Snapshot | None, seconds: float) -> Table:
    table = _table("service", "events/s", "events", "errors")
    table.add_column("health", overflow="ellipsis", no_wrap=True)
    for name in now.expected:
        status = now.services.get(name)
        total = events(status) if status else 0
        old = before.services.get(name) if before else None
        per_s = rate(events(old), total, seconds) if old else 0.0
        errors = sum(status.errors.values()) if status else 0
        style = "green" if status and status.ready else "red" if status is None else "yellow"
        table.add_row(
            name,
            f"{per_s:,.0f}",
            f"{total:,}",
            Text(str(errors), style="red" if errors else ""),
            Text(health(status), style=style),
        )
    return table


def _positions(books: PortfolioAnswer | None) -> RenderableType:
    if books is None or not books.positions:
        return Text("\nno positions yet\n", style="dim")
    table = _table(
        "\nposition", "\nquantity", "\nentry", "\nmark", "\nrealised", "\nunrealised", "\nfees",
        "\nnet",
    )  # fmt: skip
    for position in books.positions:
        table.add_row(*_cells(position))
    table.add_row(
        "all", "", "", "", *_money_cells(books), style="bold"
    )  # sums are in the ledger's currency
    equity = "" if books.equity is None else f"   equity {books.equity:,.2f}"
    # Of all that the account holds, also what it held before: P&L has little to do with it.
    down = f"   {books.drawdown:,.2f} below its peak (at most {books.drawdown_max:,.2f})"
    return Group(table, Text(f"{books.currency}{equity}{down}\n", style="dim"))


def _cells(p: PositionRecord) -> list[RenderableType]:
    return [
        p.instrument_id,
        format(p.quantity.normalize(), "f"),
        _price(p.avg_entry_price),
        _price(p.mark),
        *_money_cells(p),
    ]


def _money_cells(of: PositionRecord | PortfolioAnswer) -> list[RenderableType]:
    return [
        _pnl(of.realized_pnl),
        _pnl(of.unrealized_pnl),
        f"{of.fees:,.2f}",
        _pnl(of.net_pnl),
    ]


def _pnl(number: Decimal) -> Text:
    return Text(money(number), style="green" if number > 0 else "red" if number < 0 else "")


def _price(number: Decimal | None) -> str:
    return "-" if number is None else f"{number:,.4f}".rstrip("0").rstrip(".")


def _latencies(now: Snapshot) -> RenderableType:
    rows: list[tuple[str, Latency]] = [("tick to order", now.tick_to_order)]
    rows += sorted(now.hops.items(), key=lambda item: -item[1][2])[:HOPS_SHOWN]
    table = _table("latency", "p50 us", "p99 us", "count")
    for hop, (p50, p99, count) in rows:
        if count:
            table.add_row(hop, f"{p50:,.0f}", f"{p99:,.0f}", f"{count:,}")
    return table if table.row_count else Text("")
