"""Runs one strategy on a capture or at the simulated exchange and gives everything that happened.

The platform's own cores run in virtual time, as in `tickbus replay`. On a capture the paper venue
fills orders; at the exchange its own matching engine does, asked and answered in its own protocol.
"""

import inspect
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from exchange_in_memory import FUTURES, SPOT, Account, Execution, Market, UserStreamSpoke

from tickbus.captures import CapturedMessage, Captures
from tickbus.config import Settings
from tickbus.events import (
    BookTop,
    FeedState,
    FeedStatus,
    Fill,
    Instrument,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    SubmitOrder,
)
from tickbus.runtime.spec import Core
from tickbus_cli.replay_run import Replayer, ReplayOptions, settings_for
from tickbus_strategy.base import StrategyBase

ROOT = Path(__file__).parents[2]
CAPTURES = Path(os.environ.get("TICKBUS_CAPTURES", ROOT.parent / "shared" / "data"))

needs_captures = pytest.mark.skipif(
    not (CAPTURES / "binance").is_dir(), reason=f"no captures in {CAPTURES}; set TICKBUS_CAPTURES"
)

Log = list[Any]
ENDINGS = (OrderDenied, OrderRejected, OrderCanceled, OrderExpired)


class Run(NamedTuple):
    """Everything that any core said, in order, and what was traded."""

    log: Log
    instrument: Instrument

    def of(self, *kinds: type) -> Log:
        """The events of these types."""
        return [event for event in self.log if type(event) in kinds]

    @property
    def orders(self) -> list[SubmitOrder]:
        """What the strategy wished for."""
        return self.of(SubmitOrder)

    @property
    def fills(self) -> list[Fill]:
        """What came of it."""
        return [event.fill for event in self.of(OrderFilled)]

    def told(self) -> Iterator[tuple[Any, bool]]:
        """Every event, and whether the market could be trusted then."""
        live, stale = True, False
        for event in self.log:
            if type(event) is FeedStatus:
                live = event.state is FeedState.LIVE
            elif type(event) is BookTop:
                stale = event.stale
            yield event, live and not stale


class Ours:
    """What a reader of the log knows of our orders, found without the platform's own books."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._filled: set[str] = set()
        self._living: set[str] = set()
        self._asked = False
        self.held = Decimal(0)
        self.ts_void = -(10**18)
        """When an order last ended without a fill."""

    def ask(self) -> None:
        """The rule wants an order now: until it is seen it counts as working."""
        self._asked = True

    @property
    def is_working(self) -> bool:
        """Whether there is an order of which we do not know the end."""
        return self._asked or bool(self._living)

    def side(self, price: float) -> int:
        """+1 long, -1 short, 0 when what is held cannot be traded."""
        lot = self._instrument.lot_size
        lots = abs(self.held) // lot * lot
        if lots * Decimal(repr(price)) < self._instrument.notional_min or not lots:
            return 0
        return 1 if self.held > 0 else -1

    def see(self, event: Any) -> None:
        """Follow one event."""
        if type(event) is SubmitOrder:
            self._living.add(event.client_order_id)
            self._asked = False
        elif type(event) is OrderFilled:
            fill, name = event.fill, event.client_order_id
            self.held += fill.side.sign * fill.quantity
            spot = self._instrument.instrument_id.count("-") == 1
            if spot and fill.fee_asset == self._instrument.base:
                self.held -= fill.fee
            self._filled.add(name)
            if not event.leaves_quantity:
                self._living.discard(name)
        elif type(event) in ENDINGS:
            ended = event.order if type(event) is OrderDenied else event
            self._living.discard(ended.client_order_id)
            if ended.client_order_id not in self._filled:
                self.ts_void = event.ts_recv


def on_capture(names: Sequence[str], kind: type[StrategyBase], **more: Any) -> Run:
    """A run of `kind` on the captures `names` with the paper venue; `more` is `settings`'s."""
    files = tuple(str(CAPTURES / name) for name in names)
    runner = _Watched(ReplayOptions(files), settings(kind, **more))
    runner.run(Captures(files), lambda ts_recv: None)
    return Run(runner.log, runner.instruments[0])


def on_exchange(
    directory: Path,
    seed: int,
    seconds: int,
    kind: type[StrategyBase],
    *,
    perpetual: bool = False,
    **more: Any,
) -> Run:
    """A run of `kind` at a simulated exchange of its own; `more` is `settings`'s.

    It trades BTC-USDT on the spot side, or with `perpetual` BTC-USDT-PERP on the futures side.
    `directory` is for a sample of its market.
    """
    side = FUTURES if perpetual else SPOT
    sample = directory / f"sample-{seed}.txt"
    first = Market(seed, side).messages(2)
    sample.write_bytes(b"\n".join(_as_line(message) for message in first))
    options = ReplayOptions((str(sample),), adapter=side.adapter)
    runner = _AtExchange(options, settings(kind, **more), Market(seed, side))
    runner.go(seconds)
    return Run(runner.log, runner.instruments[0])


def settings(
    kind: type[StrategyBase],
    params: dict[str, Any] | None = None,
    fees: tuple[str, str] = ("0.001", "0.001"),
    balances: dict[str, str] | None = None,
) -> Settings:
    """The default configuration with one strategy; `fees` are the maker's and the taker's."""
    loaded = settings_for([ROOT / "config" / "default.yaml"])
    raw = dict(loaded.raw)
    entry = {"id": "s", "kind": _kind(kind), "instruments": ["BTC-USDT"], "params": params or {}}
    raw["strategies"] = [entry]
    raw["venue"] = {**raw["venue"], "fees": {"maker": fees[0], "taker": fees[1]}}
    if balances is not None:
        raw["execution"] = {**raw["execution"], "paper": {"balances": balances}}
    return Settings(raw, loaded.environment, loaded.run_id)


def _kind(kind: type[StrategyBase]) -> str:
    return f"{inspect.getfile(kind)}:{kind.__name__}"


class _Watched(Replayer):
    """Keeps what its cores say."""

    def __init__(self, options: ReplayOptions, config: Settings) -> None:
        self.log: Log = []
        super().__init__(options, config)

    def observe(self, node: str, event: Any) -> None:
        """Whatever any core says."""
        self.log.append(event)
        super().observe(node, event)


class _AtExchange(_Watched):
    """A replay whose market answers."""

    def __init__(self, options: ReplayOptions, config: Settings, market: Market) -> None:
        self._market = market
        super().__init__(options, config)

    def _broker(self, settings: Settings) -> Core:
        return Execution(self.venue, Account(self._market.exchange, self._market.side))

    def go(self, seconds: int) -> None:
        """Run for so long."""

        def listen(ts_recv: int) -> None:
            self.simulation.feed("execution", UserStreamSpoke(ts_recv, ts_recv), ts_recv)

        messages: Any = self._market.messages(seconds)
        self.run(messages, listen)


def _as_line(message: CapturedMessage) -> bytes:
    seconds = f"{message.ts_recv / 1e9:.3f}"
    head = f"{message.url} -> {seconds}: " if message.kind == "rest" else f"{seconds}: "
    return head.encode() + message.payload
