"""Fit the numbers of the strategy avellaneda-stoikov on recorded market data.

Counts how many market orders reach how far from the mid price, and draws the line that the model
supposes: A exp(-kappa distance) of them a second on each side. Prints A, kappa and sigma, what they
mean, how well the line fits, and the spread that the model makes of them.
"""

import argparse
import sys
from collections.abc import Iterable
from math import log1p
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from tickbus.captures import CaptureError, Captures
from tickbus.events import BookDelta, BookSnapshot, Event, Quote, Trade
from tickbus_cli.capture_feed import CaptureFeed
from tickbus_cli.errors import CliError
from tickbus_cli.progress import progress_bar
from tickbus_cli.replay_instruments import Sample, describe
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.service import adapters
from tickbus_strategy.order_flow import FlowFit, NotEnoughOrders, OrderFlow
from tickbus_strategy.strategies.avellaneda_stoikov import AvellanedaStoikovParams

GAMMAS = (0.001, 0.01, 0.1, 1.0)
ROWS = 8
NEVER_S = 10.0**9


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("captures", nargs="+", metavar="CAPTURE", help="file of recorded messages")
    parser.add_argument(
        "--instrument", default="", metavar="ID",
        help="such as BTC-USDT; needed where the capture has several",
    )  # fmt: skip
    parser.add_argument(
        "--venue", default="", choices=sorted(adapters()),
        help="adapter to read the capture with (default: by what the frames look like)",
    )  # fmt: skip
    parser.add_argument(
        "--from-bps", type=float, metavar="BPS",
        help="fit from this distance on (default: the median half spread); give the distance at"
        " which you will quote, if fees make that a wide one",
    )  # fmt: skip
    parser.add_argument(
        "--maker-fee-bps", type=float, default=10.0, metavar="BPS",
        help="what a maker pays, to say what fees leave of the model (default: 10)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Read, fit, report; 2 for bad input or too little of it."""
    try:
        name, flow = _watch(arguments)
        fit = flow.fit(arguments.from_bps)
    except CaptureError as error:
        raise CliError(str(error), exit_code=2) from error
    except NotEnoughOrders as error:
        raise CliError(f"{arguments.captures[0]}: {error}; give more of it", exit_code=2) from error
    if arguments.json:
        found = {"instrument": name, **fit._asdict()}
        found["rates"] = [rate._asdict() for rate in fit.rates]
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        _render(name, fit, arguments.maker_fee_bps, Console())
    return 0


def _watch(arguments: argparse.Namespace) -> tuple[str, OrderFlow]:
    sample = Sample.take(arguments.captures, arguments.venue)
    instruments = {i.instrument_id: i for i in describe(sample, sample.adapter.name)[0]}
    name = arguments.instrument or next(iter(instruments))
    if name not in instruments or (len(instruments) > 1 and not arguments.instrument):
        raise CaptureError(f"--instrument {name}: the capture has {', '.join(instruments)}")
    adapter = sample.adapter
    core = FeedCore(FeedConfig(keyframe_interval_s=NEVER_S), adapter.name, adapter)
    for instrument in instruments.values():
        core.handle(instrument)
    flow = OrderFlow()
    sync = core.syncs[adapter.key(instruments[name])]
    has_quotes = False

    def see(events: Iterable[Any], now: int) -> None:
        nonlocal has_quotes
        for event in events:
            if getattr(event, "instrument_id", "") != name:
                continue
            if isinstance(event, Trade):
                flow.trade(event)
            elif isinstance(event, Quote):
                has_quotes = True
                flow.price(now, event.bid, event.ask)
            elif isinstance(event, BookDelta | BookSnapshot) and not has_quotes and sync.synced:
                bid, ask = sync.book.best_bid, sync.book.best_ask
                if bid is not None and ask is not None:
                    flow.price(now, bid[0], ask[0])

    def feed(event: Event, now: int) -> None:
        see(core.handle(event), now)

    capture = CaptureFeed(core, adapter, feed)
    with progress_bar("reading", sys.stderr.isatty()) as on_progress:
        for message in Captures(arguments.captures, on_progress):
            capture.open_lines(message.ts_recv)
            capture.take(message)
    return name, flow


def _render(name: str, fit: FlowFit, maker_fee_bps: float, console: Console) -> None:
    defaults = AvellanedaStoikovParams()
    floor = 2 * maker_fee_bps + defaults.min_profit_bps
    print(
        f"{name}: {fit.orders:,} market orders in {fit.seconds:.0f} s, median half spread"
        f" {fit.half_spread_bps:.3f} bps\n\n"
        f"kappa {fit.kappa:.4g} per bp: {1 / fit.kappa:.3g} bps further from the mid, fills are"
        " 2.7 times rarer\n"
        f"A     {fit.a:.4g} per second and side: as many would reach the mid itself\n"
        f"sigma {fit.sigma:.3g} bps per root second: how far the mid moves in one\n\n"
        f"Fitted from {fit.from_bps:.3g} to {fit.to_bps:.3g} bps; R squared"
        f" {fit.r_squared:.3f} (1: fills fall off as the model supposes)."
    )
    rates = Table("bps from the mid", "orders a minute, counted", "fitted")
    for rate in fit.rates[:: max(1, len(fit.rates) // ROWS)]:
        rates.add_row(
            f"{rate.distance_bps:.3g}", f"{rate.counted * 60:.3g}", f"{rate.fitted * 60:.3g}"
        )
    console.print(rates)
    print(f"What the model makes of it, with nothing held and horizon_s {defaults.horizon_s:g}:")
    quotes = Table("gamma", "lean per quote held, bps", "spread, bps", "fills a minute and side")
    for gamma in GAMMAS:
        risk = gamma * fit.sigma**2 * defaults.horizon_s
        width = risk + 2 / gamma * log1p(gamma / fit.kappa)
        hope = fit.fills_per_s(width / 2) * 60
        quotes.add_row(f"{gamma:g}", f"{risk:.3g}", f"{width:.3g}", f"at most {hope:.3g}")
    console.print(quotes)
    print(
        f"Fees of {maker_fee_bps:g} bps a side keep the quotes at least {floor:g} bps apart."
        f" {_at_the_floor(fit, floor / 2)}\n"
        "Where that is wider than the model's spread, fees decide and not the model.\n"
        "The most: it supposes that nobody stands before you in the queue.\n\n"
        f"params: {{ kappa: {fit.kappa:.4g} }}"
    )


def _at_the_floor(fit: FlowFit, distance_bps: float) -> str:
    if distance_bps > fit.to_bps:
        return "Hardly any order reached that far: there, fills come when the price itself moves."
    return f"At most {fit.fills_per_s(distance_bps) * 60:.3g} fills a minute and side there."
