"""Show the market as the platform hears it.

tickbus market prices
tickbus market depth BTCUSDT --levels 5
tickbus market trades BTCUSDT --limit 20
tickbus market candles BTCUSDT --interval 1m --limit 30 --csv
tickbus market analytics BTCUSDT --window 1h
tickbus market venues | feeds | instruments
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from tickbus_cli import gateway, showing
from tickbus_client import Client

Table = tuple[str, Sequence[str], Sequence[Sequence[Any]], Sequence[str]]
"""Title, columns, rows, and the columns that a narrow terminal shows."""
_PRICE = (
    "symbol", "venue", "bid_size", "bid", "ask", "ask_size", "last_price", "age_ms", "stale",
)  # fmt: skip
_TRADE = ("at", "aggressor", "price", "size", "id")
_CANDLE = (
    "opened_at", "open", "high", "low", "close", "volume", "trades", "vwap", "volatility",
    "spread_bps", "imbalance",
)  # fmt: skip
_INSTRUMENT = (
    "symbol", "instrument_id", "venue", "tick_size", "lot_size", "quantity_min", "notional_min",
    "trading",
)  # fmt: skip
_FEED = ("venue", "symbol", "state", "since", "market_age_ms", "sequence", "reason")
_VENUE = (
    "name", "adapter", "is_main", "maker_fee", "taker_fee", "feed_state", "instruments_live",
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    for name, says in (
        ("prices", "best bid, best ask and last trade"),
        ("depth", "the best levels of one book"),
        ("trades", "time and sales"),
        ("candles", "candles with VWAP, volatility, spread"),
        ("analytics", "statistics of a window"),
        ("instruments", "what can be traded, with the venue's filters"),
        ("feeds", "how well each instrument is heard"),
        ("venues", "the venue accounts"),
    ):
        command = commands.add_parser(name, help=says, description=says)
        if name in ("depth", "trades", "candles", "analytics"):
            command.add_argument("symbol", help="BTCUSDT, BTC-USDT or btc/usdt")
        if name == "prices":
            command.add_argument("symbol", nargs="?", default="", help="only this one, as BTCUSDT")
        if name not in ("instruments", "venues"):
            command.add_argument("--venue", default="", help="only there")
        if name == "depth":
            command.add_argument("--levels", type=int, default=10, metavar="N")
        if name == "candles":
            command.add_argument("--interval", default="1m", help="10s, 1m, 4h, 1d")
        if name == "analytics":
            command.add_argument("--window", default="1h", help="5m, 1h, 1d")
        if name in ("trades", "candles"):
            command.add_argument("--limit", type=int, default=30, metavar="N", help="the newest N")
        showing.add_forms(command)
        gateway.configure(command)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 also where nothing is known yet."""
    with gateway.the_desk(arguments) as desk:
        title, columns, rows, brief = _ASK[arguments.what](desk, arguments)
    showing.show(arguments, title, columns, rows, brief)
    return 0


def _rows(found: Sequence[msgspec.Struct], columns: Sequence[str]) -> list[list[Any]]:
    return [[getattr(each, column) for column in columns] for each in found]


def _prices(desk: Client, arguments: argparse.Namespace) -> Table:
    found = desk.market.prices(arguments.symbol, venue=arguments.venue).prices
    return "prices", _PRICE, _rows(found, _PRICE), _PRICE


def _depth(desk: Client, arguments: argparse.Namespace) -> Table:
    book = desk.market.depth(arguments.symbol, levels=arguments.levels, venue=arguments.venue)
    columns = ("bid_size", "bid", "ask", "ask_size")
    nothing = (None, None)
    rows = [
        (bid[1], bid[0], ask[0], ask[1])
        for bid, ask in zip_longest(book.bids, book.asks, fillvalue=nothing)
    ]
    stale = ", STALE" if book.stale else ""
    imbalance = "unknown" if book.imbalance is None else f"{book.imbalance:.3f}"
    title = f"{book.symbol} ({book.venue}), spread {book.spread}, imbalance {imbalance}{stale}"
    return title, columns, rows, columns


def _trades(desk: Client, arguments: argparse.Namespace) -> Table:
    found = desk.market.trades(arguments.symbol, limit=arguments.limit, venue=arguments.venue)
    return f"{found.symbol} ({found.venue})", _TRADE, _rows(found.trades, _TRADE), _TRADE


def _candles(desk: Client, arguments: argparse.Namespace) -> Table:
    found = desk.market.candles(
        arguments.symbol, arguments.interval, limit=arguments.limit, venue=arguments.venue
    )
    title = f"{found.symbol} ({found.venue}), {found.interval_s} s"
    return title, _CANDLE, _rows(found.candles, _CANDLE), _CANDLE[:7]


def _analytics(desk: Client, arguments: argparse.Namespace) -> Table:
    found = desk.market.analytics(arguments.symbol, arguments.window, venue=arguments.venue)
    title = f"{found.symbol} ({found.venue}), the last {found.window_s} s"
    names = [n for n in found.__struct_fields__ if n not in ("symbol", "instrument_id", "venue")]
    if arguments.csv or arguments.json:
        return title, names, _rows([found], names), names
    return title, ("", "value"), [(name, getattr(found, name)) for name in names], ("", "value")


def _instruments(desk: Client, _: argparse.Namespace) -> Table:
    found = desk.market.instruments().instruments
    return "instruments", _INSTRUMENT, _rows(found, _INSTRUMENT), _INSTRUMENT


def _feeds(desk: Client, arguments: argparse.Namespace) -> Table:
    found = desk.market.feeds(arguments.venue).feeds
    return "feeds", _FEED, _rows(found, _FEED), _FEED


def _venues(desk: Client, _: argparse.Namespace) -> Table:
    found = desk.market.venues().venues
    return "venues", _VENUE, _rows(found, _VENUE), _VENUE


_ASK: dict[str, Callable[[Client, argparse.Namespace], Table]] = {
    "prices": _prices,
    "depth": _depth,
    "trades": _trades,
    "candles": _candles,
    "analytics": _analytics,
    "instruments": _instruments,
    "feeds": _feeds,
    "venues": _venues,
}
