"""Starts a simulated exchange: `python -m tickbus_exchange --port 8090 --seed 1`."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from tickbus_exchange.config import (
    DEFAULT_BALANCES,
    DEFAULT_LISTINGS,
    FEE_ASSET,
    FEE_ASSET_LISTING,
    SIMULATION_API_KEY,
    SIMULATION_API_SECRET,
    ExchangeConfig,
    FuturesConfig,
    RateLimits,
    more_listings,
    parse_balances,
    read_accounts,
)
from tickbus_exchange.engine.numbers import parse
from tickbus_exchange.journal import JournalError
from tickbus_exchange.protocol.keys import BadKeyError
from tickbus_exchange.server import PortInUseError, serve

USAGE_ERROR = 2


def parse_arguments(arguments: list[str]) -> ExchangeConfig:
    """Read the command line and the variables of the environment that hold keys."""
    parser = argparse.ArgumentParser(
        prog="tickbus-exchange",
        description="A simulated venue that speaks Binance's spot and USD-M protocols.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add(
        "--port", type=int, default=8090, help="port to listen on, 0 for any free one (%(default)s)"
    )
    add("--seed", type=int, default=1, help="seed of the crowd (%(default)s)")
    add("--intensity", type=float, default=1.0,
        help="rate of the crowd, 0 for a book that stands still (%(default)s)")  # fmt: skip
    add("--state-dir", type=Path, help="keep the account here and continue from it")
    add("--symbols", help="comma-separated choice of BTCUSDT,ETHUSDT,SOLUSDT (all) and BNBUSDT")
    add("--more-symbols", type=int, default=0, metavar="N",
        help="list N further, quiet symbols: X001USDT and so on (%(default)s)")  # fmt: skip
    add("--balances", help="first balances, as in USDT=100000,BTC=1,ETH=20,SOL=300")
    add("--accounts", type=Path, default=os.environ.get("TICKBUS_EXCHANGE_ACCOUNTS") or None,
        help="JSON file of further accounts and API keys ($TICKBUS_EXCHANGE_ACCOUNTS)")  # fmt: skip
    add("--fees-in-bnb", action="store_true",
        help="list BNBUSDT and take fees in it, 25 %% off, from who holds enough")  # fmt: skip
    add("--maker-fee", default="0.001", help="fraction of what a maker receives (%(default)s)")
    add("--taker-fee", default="0.001", help="fraction of what a taker receives (%(default)s)")
    limits = RateLimits()
    add("--weight-per-minute", type=int, default=limits.weight_per_minute_max,
        help="request weight an address may use a minute (%(default)s)")  # fmt: skip
    add("--orders-per-10s", type=int, default=limits.orders_per_10s_max,
        help="orders the account may place in 10 s (%(default)s)")  # fmt: skip
    add("--socket-life", type=float, default=86_400.0, metavar="SECONDS",
        help="age at which a WebSocket is closed (%(default)s)")  # fmt: skip
    _add_futures(parser)
    options = parser.parse_args(arguments)
    try:
        return _config(options, limits)
    except ValueError as error:
        parser.error(str(error))


def _add_futures(parser: argparse.ArgumentParser) -> None:
    add, usual = parser.add_argument, FuturesConfig()
    add("--futures-wallet", default="100000", help="first USDT on margin (%(default)s)")
    add("--futures-maker-fee", default="0.0002", help="fraction of the quote (%(default)s)")
    add("--futures-taker-fee", default="0.0005", help="fraction of the quote (%(default)s)")
    add("--funding-interval-s", type=int, default=usual.funding_interval_ms // 1_000,
        help="seconds between fundings (%(default)s)")  # fmt: skip
    add("--funding-rate", default="0.0001", help="what longs pay shorts (%(default)s)")
    add("--futures-weight-per-minute", type=int, default=usual.weight_per_minute_max,
        help="futures request weight an address may use a minute (%(default)s)")  # fmt: skip
    add("--futures-orders-per-10s", type=int, default=usual.orders_per_10s_max,
        help="futures orders the account may place in 10 s (%(default)s)")  # fmt: skip
    add("--futures-orders-per-minute", type=int, default=usual.orders_per_minute_max,
        help="and in a minute (%(default)s)")  # fmt: skip


def _futures(options: argparse.Namespace) -> FuturesConfig:
    if not 1 <= options.funding_interval_s <= 86_400:
        value = options.funding_interval_s
        raise ValueError(f"--funding-interval-s {value} is outside 1 to 86400")
    rate = options.funding_rate
    sign = -1 if rate.startswith("-") else 1
    return FuturesConfig(
        wallet=parse(options.futures_wallet),
        maker_fee=parse(options.futures_maker_fee),
        taker_fee=parse(options.futures_taker_fee),
        funding_interval_ms=options.funding_interval_s * 1_000,
        funding_rate=sign * parse(rate.removeprefix("-")),
        weight_per_minute_max=options.futures_weight_per_minute,
        orders_per_10s_max=options.futures_orders_per_10s,
        orders_per_minute_max=options.futures_orders_per_minute,
    )


def _config(options: argparse.Namespace, limits: RateLimits) -> ExchangeConfig:
    listings = {listing.rules.symbol: listing for listing in DEFAULT_LISTINGS}
    symbols = (options.symbols or ",".join(listings)).upper().split(",")
    listings[FEE_ASSET_LISTING.rules.symbol] = FEE_ASSET_LISTING
    if options.fees_in_bnb and FEE_ASSET_LISTING.rules.symbol not in symbols:
        symbols.append(FEE_ASSET_LISTING.rules.symbol)
    unknown = [s for s in symbols if s not in listings]
    if unknown:
        raise ValueError(
            f"--symbols: {unknown[0]!r} is not listed; choose of {', '.join(listings)}"
        )
    if not 0 <= options.intensity <= 100:
        raise ValueError(f"--intensity {options.intensity} is outside 0 to 100")
    if not options.socket_life > 0:
        raise ValueError(f"--socket-life {options.socket_life} is not above 0")
    if not 0 <= options.port <= 65_535:
        raise ValueError(f"--port {options.port} is outside 0 to 65535")
    balances = parse_balances(options.balances) if options.balances else DEFAULT_BALANCES
    return ExchangeConfig(
        host=options.host,
        port=options.port,
        seed=options.seed,
        intensity=options.intensity,
        api_key=os.environ.get("TICKBUS_EXCHANGE_API_KEY") or SIMULATION_API_KEY,
        api_secret=os.environ.get("TICKBUS_EXCHANGE_API_SECRET") or SIMULATION_API_SECRET,
        state_dir=options.state_dir,
        listings=(*(listings[s] for s in symbols), *more_listings(options.more_symbols)),
        balances=balances,
        maker_fee=parse(options.maker_fee),
        taker_fee=parse(options.taker_fee),
        socket_life_s=options.socket_life,
        accounts=read_accounts(options.accounts) if options.accounts is not None else (),
        fee_asset=FEE_ASSET if options.fees_in_bnb else "",
        futures=_futures(options),
        rate_limits=RateLimits(
            weight_per_minute_max=options.weight_per_minute,
            orders_per_10s_max=options.orders_per_10s,
            orders_per_day_max=limits.orders_per_day_max,
        ),
    )


def main() -> None:
    """Run the exchange until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s exchange %(levelname)s %(message)s")
    config = parse_arguments(sys.argv[1:])
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    try:
        with runner:
            sys.exit(runner.run(serve(config)))
    except (PortInUseError, JournalError, BadKeyError) as error:
        print(f"tickbus-exchange: {error}", file=sys.stderr)
        sys.exit(USAGE_ERROR)


if __name__ == "__main__":
    main()
