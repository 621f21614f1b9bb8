"""What strategies note, remember and span: given a market, when something happens, then that."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.config import ConfigError, Settings
from tickbus.events import (
    BookTop,
    CancelOrder,
    FeedState,
    FeedStatus,
    FeeSchedule,
    Fill,
    Instrument,
    Liquidation,
    LiquiditySide,
    OrderFilled,
    Quote,
    Recovered,
    Side,
    StrategyDecision,
    SubmitOrder,
    Trade,
)
from tickbus.events.strategy import INPUT_MAX
from tickbus.runtime import Shell
from tickbus_strategy import Market, SpanningStrategy, Strategy, state
from tickbus_strategy.config import entries, seats
from tickbus_strategy.core import Seat, StrategyCore, StrategyFailed
from tickbus_strategy.desk import Desk
from tickbus_strategy.making import Kinds, Maker
from tickbus_strategy.refusing import TOLD_MAX, NotOrdered, NotOrderedReason
from tickbus_strategy.service import build

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
FEES = FeeSchedule(maker=Decimal("0.001"), taker=Decimal("0.001"))
CHEAP = FeeSchedule(maker=Decimal("0.0001"), taker=Decimal("0.0002"))

pytestmark = pytest.mark.usefixtures("patient_bus")


def an_instrument(venue: str = "sim") -> Instrument:
    return Instrument(
        venue, "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.0001"),
        quantity_min=Decimal("0.0001"), notional_min=Decimal(5),
    )  # fmt: skip


def a_quote(bid: float, ts: int = NOW, venue: str = "sim") -> Quote:
    return Quote(ts, ts, venue, "BTC-USDT", bid, 5.0, round(bid + 0.02, 2), 5.0, 1)


def a_core(kind: type[Strategy], params: Any = None) -> Any:
    desk, market = Desk("s", "r", FEES), Market("sim", "BTC-USDT")
    core = StrategyCore([Seat(kind(desk, market, params), desk, market)])
    core.handle(an_instrument())
    core.handle(Recovered(NOW, NOW))
    return core


class Noting(Strategy):
    """Notes each bid, and buys below 100."""

    def on_quote(self, quote: Quote) -> None:
        self.note(bid=quote.bid, limit=Decimal(100), mood="calm")
        if quote.bid < 100:
            self.buy(1, quote.bid)


def test_an_order_carries_what_it_was_decided_on() -> None:
    order, decision = a_core(Noting).handle(a_quote(99.5))
    assert order.inputs == {"bid": "99.5", "limit": "100", "mood": "calm"}
    assert decision == StrategyDecision(
        NOW, NOW, "s", "sim", "BTC-USDT", order.inputs, (order.client_order_id,)
    )
    assert codec.decode(codec.encode([order, decision])).events == [order, decision]


def test_decisions_without_orders_are_told_ten_times_a_second_and_all_are_kept() -> None:
    core = a_core(Noting)
    told = []
    for n in range(300):
        told += core.handle(a_quote(100 + n / 100, NOW + n * 10_000_000))
    assert len(told) == 30
    assert {type(event) for event in told} == {StrategyDecision}
    (seat,) = core.seats()
    latest = seat.desk.decisions.latest()
    assert len(latest) == 200
    assert latest[0].inputs["bid"] == repr(100 + 299 / 100)
    assert seat.desk.decisions.latest(2) == latest[:2]


def test_a_decision_with_an_order_is_told_always() -> None:
    core = a_core(Noting)
    core.handle(a_quote(100))
    assert len(core.handle(a_quote(101))) == 0
    assert [type(e) for e in core.handle(a_quote(99))] == [SubmitOrder, StrategyDecision]


class NotingTooMuch(Strategy):
    """Notes more than an order can carry."""

    def on_quote(self, quote: Quote) -> None:
        self.note(**{f"n{n}": n for n in range(41)})

    def on_trade(self, trade: Trade) -> None:
        self.note(word="x" * 1000)
        self.buy(1)


def test_what_is_too_much_to_note_is_an_error_and_what_is_too_long_is_cut() -> None:
    core = a_core(NotingTooMuch)
    order, _ = core.handle(Trade(NOW, NOW, "sim", "BTC-USDT", "1", 100.0, 1.0, Side.BUY))
    assert len(order.inputs["word"]) == INPUT_MAX
    failure, *_ = core.handle(a_quote(100))
    assert isinstance(failure, StrategyFailed)
    assert "40 inputs" in failure.error


def test_inputs_that_nobody_could_note_are_malformed() -> None:
    (order, _) = a_core(Noting).handle(a_quote(99.5))
    stuffed = msgspec.structs.replace(order, inputs={"x": "y" * 10_000})
    with pytest.raises(codec.MalformedMessage, match="256"):
        codec.decode(codec.encode([stuffed]))


class Watching(Strategy):
    """Buys after a forced sale."""

    def on_liquidation(self, liquidation: Liquidation) -> None:
        if liquidation.side is Side.SELL:
            self.buy(liquidation.size)


def test_liquidations_are_told_while_the_book_can_be_trusted() -> None:
    core = a_core(Watching)
    forced = Liquidation(NOW, NOW, "sim", "BTC-USDT", Side.SELL, 99.0, 2.0)
    (order,) = core.handle(forced)
    assert (order.side, order.quantity) == (Side.BUY, Decimal(2))
    core.handle(FeedStatus(NOW, NOW, "sim", "BTC-USDT", FeedState.STALE))
    assert core.handle(forced) == []


class Often(Strategy):
    """Notes each quote."""

    def on_quote(self, quote: Quote) -> None:
        self.note(bid=quote.bid)


@pytest.mark.parametrize(("every", "told"), [(False, 1), (True, 5)])
def test_with_every_decision_each_is_told_and_not_ten_a_second(every: bool, told: int) -> None:
    entry = {"id": "s", "kind": f"{__file__}:Often", "instruments": ["BTC-USDT"]}
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0", "taker": "0"},
    }  # fmt: skip
    raw = {"strategies": [{**entry, "every_decision": every}], "venue": venue}
    settings = Settings(raw, run_id="r")
    desks = [seat.desk for seat in seats(settings, entries(settings))]
    desks += [desk for desk in [Maker(settings, Kinds()).desk("s")] if desk is not None]
    assert len(desks) == 2, "in a replay, and while it runs"
    for desk in desks:
        market = Market("sim", "BTC-USDT")
        core = StrategyCore([Seat(Often(desk, market, None), desk, market)])
        core.handle(an_instrument())
        core.handle(Recovered(NOW, NOW))
        out = [event for bid in range(100, 105) for event in core.handle(a_quote(bid))]
        assert [type(event) for event in out] == [StrategyDecision] * told
        desk.retire()
        assert desk.decisions.every is every, "also for who sits there next"


class Modest(Strategy):
    """Wants less than there is, as often as it is allowed to ask, and notes why."""

    def on_quote(self, quote: Quote) -> None:
        self.note(bid=quote.bid)
        for _ in range(TOLD_MAX + 5):
            assert self.buy(Decimal("0.00005")) is None


def test_an_order_too_small_to_be_made_is_told_with_the_decision_that_asked_for_it() -> None:
    core = a_core(Modest)
    decision, *missing = core.handle(a_quote(100))
    assert isinstance(decision, StrategyDecision)
    assert decision.inputs == {"bid": "100", "not_ordered": "TOO_SMALL"}
    assert len(missing) == TOLD_MAX
    assert isinstance(missing[0], NotOrdered)
    assert (missing[0].reason, missing[0].quantity) == ("TOO_SMALL", Decimal("0.00005"))
    assert missing[0].detail == "the venue takes 0.0001 and more"
    assert core.failed == {}


class Careful(Strategy):
    """Waits in the book as long as it knows the book."""

    def on_quote(self, quote: Quote) -> None:
        if not self.working_orders:
            self.buy(1, quote.bid - 1)

    def on_unusable(self, market: Market) -> None:
        self.cancel_all()
        assert self.not_ordered is None
        assert self.buy(1, 50) is None
        assert self.not_ordered is not None
        assert self.not_ordered.reason is NotOrderedReason.UNUSABLE


A_STALE_TOP = BookTop(NOW, NOW, "sim", "BTC-USDT", 100.0, 5.0, 100.02, 5.0, 1, 1, stale=True)


@pytest.mark.parametrize(
    "trouble", [A_STALE_TOP, FeedStatus(NOW, NOW, "sim", "BTC-USDT", FeedState.STALE)]
)
def test_a_strategy_is_told_once_that_its_market_cannot_be_trusted(trouble: Any) -> None:
    core = a_core(Careful)
    (order,) = core.handle(a_quote(100))
    cancel, decision, missing = core.handle(trouble)
    assert isinstance(cancel, CancelOrder)
    assert cancel.client_order_id == order.client_order_id
    assert isinstance(decision, StrategyDecision)
    assert decision.inputs == {"not_ordered": "UNUSABLE"}
    assert missing == NotOrdered(
        NOW, NOW, "s", "sim", "BTC-USDT", Side.BUY, 1, NotOrderedReason.UNUSABLE,
        "the book cannot be trusted",
    )  # fmt: skip
    assert core.handle(trouble) == []
    assert core.failed == {}


def a_fill(order: SubmitOrder, price: str) -> OrderFilled:
    fill = Fill(
        "1", order.side, Decimal(price), order.quantity, Decimal("0.5"), "USDT",
        LiquiditySide.TAKER, NOW,
    )  # fmt: skip
    return OrderFilled(
        NOW, NOW, order.client_order_id, "s", order.venue, "BTC-USDT", "1", fill, order.quantity,
        Decimal(0),
    )  # fmt: skip


def test_a_strategy_knows_what_it_made() -> None:
    core = a_core(Noting)
    order, _ = core.handle(a_quote(99.0))
    core.handle(a_fill(order, "99"))
    core.handle(a_quote(103.99, NOW + SECOND))
    (seat,) = core.seats()
    pnl = seat.strategy.pnl
    assert (pnl.realized, pnl.unrealized, pnl.fees, pnl.net) == (
        0,
        5,
        Decimal("0.5"),
        Decimal("4.5"),
    )


# -- several markets -------------------------------------------------------------------------------


class Cheapest(SpanningStrategy):
    """Buys where the ask is lower, as soon as it knows both."""

    def on_quote(self, quote: Quote) -> None:
        quotes = {market: self.quote_of(market) for market in self.markets if market.usable}
        known = [(q.ask, m.venue) for m, q in quotes.items() if q is not None]
        if len(known) == 2 and not any(self.working_in(market) for market in self.markets):
            ask, venue = min(known)
            market = self.market(venue, quote.instrument_id)
            self.note(ask=ask, fee=self.fees_of(market).taker)
            self.buy(market, 1, ask)

    def on_stop(self) -> None:
        for market in self.markets:
            self.flatten(market)


def a_spanning_core() -> Any:
    desk = Desk("s", "r", FEES, {"one": FEES, "two": CHEAP})
    markets = [Market("one", "BTC-USDT"), Market("two", "BTC-USDT")]
    core = StrategyCore([Seat(Cheapest(desk, markets, None), desk, *markets)])
    core.handle(an_instrument("one"))
    core.handle(Recovered(NOW, NOW))
    return core


def test_one_instance_trades_where_it_is_cheapest() -> None:
    core = a_spanning_core()
    assert core.handle(a_quote(100, venue="one")) == [], "the other instrument is not known yet"
    core.handle(an_instrument("two"))
    assert core.handle(a_quote(100, venue="one")) == []
    order, decision = core.handle(a_quote(99.9, venue="two"))
    assert (order.venue, order.price) == ("two", Decimal("99.92"))
    assert decision.inputs == {"ask": "99.92", "fee": "0.0002"}
    core.handle(a_fill(order, "99.92"))
    (seat,) = core.seats()
    one, two = seat.markets
    assert seat.strategy.position_in(one).quantity == 0
    assert seat.strategy.position_in(two).quantity == 1
    assert seat.strategy.closable_in(two) == 1
    with pytest.raises(KeyError, match="three"):
        seat.strategy.market("three", "BTC-USDT")


def test_no_order_for_a_market_that_cannot_be_trusted() -> None:
    core = a_spanning_core()
    core.handle(an_instrument("two"))
    core.handle(a_quote(100, venue="one"))
    core.handle(FeedStatus(NOW, NOW, "two", "BTC-USDT", FeedState.STALE))
    assert core.handle(a_quote(99.9, venue="two")) == []
    (seat,) = core.seats()
    assert seat.strategy.buy(seat.markets[1], 1) is None


VENUES: list[dict[str, Any]] = [
    {
        "name": name, "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
    }
    for name in ("one", "two")
]  # fmt: skip


def made_of(**entry: Any) -> list[Seat]:
    given = {"id": "s", "instruments": ["BTC-USDT"], "kind": "ping-pong"} | entry
    settings = Settings({"strategies": [given], "venue": VENUES[0], "venues": VENUES[1:]})
    return seats(settings, entries(settings))


def test_venues_are_for_strategies_that_span_them() -> None:
    (seat,) = made_of(kind=f"{__file__}:Cheapest", venues=["one", "two"])
    assert [market.venue for market in seat.markets] == ["one", "two"]
    with pytest.raises(ConfigError, match=r"give venue$"):
        made_of(venues=["one", "two"])
    with pytest.raises(ConfigError, match="not both"):
        made_of(venue="one", venues=["two"])
    with pytest.raises(ConfigError, match="'tow' is not there"):
        made_of(kind=f"{__file__}:Cheapest", venues=["one", "tow"])


# -- state -----------------------------------------------------------------------------------------


class Memory(msgspec.Struct, kw_only=True):
    """How many quotes there were."""

    quotes: int = 0


class OtherMemory(msgspec.Struct, kw_only=True):
    """Of another shape."""

    quotes: str


class Counting(Strategy):
    """Counts quotes over all its lives."""

    State = Memory
    state: Memory
    began_with = -1

    def on_start(self) -> None:
        self.began_with = self.state.quotes

    def on_quote(self, quote: Quote) -> None:
        self.state.quotes += 1


class Unkeepable(Counting):
    """Has a state that cannot be written."""

    def on_quote(self, quote: Quote) -> None:
        self.state.quotes = object()  # type: ignore[assignment]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


async def a_life(bus: MemoryBus, kind: str, *quotes: Quote) -> Shell:
    """One process from start to end; its shell, to look into."""
    entry = {"id": "s", "kind": f"{__file__}:{kind}", "instruments": ["BTC-USDT"]}
    shell = Shell(build(Settings({"strategies": [entry], "venue": VENUES[0]})), bus)
    await bus.kv_put("instruments", "one.BTC-USDT", codec.encode_value(an_instrument("one")))
    await shell.start()
    for quote in quotes:
        await bus.publish(subjects.of(quote), codec.encode([quote]))
    await bus.settle()
    await shell.stop()
    return shell


def the_strategy(shell: Shell) -> Any:
    lifecycle: Any = shell.spec.core
    (seat,) = lifecycle.core.seats()
    return seat.strategy


QUOTE = a_quote(100, venue="one")


async def test_state_survives_a_restart_and_is_there_before_the_start() -> None:
    bus = MemoryBus()
    first = await a_life(bus, "Counting", QUOTE, QUOTE)
    assert (the_strategy(first).began_with, the_strategy(first).state.quotes) == (0, 2)
    second = await a_life(bus, "Counting", QUOTE)
    assert (the_strategy(second).began_with, the_strategy(second).state.quotes) == (2, 3)


async def test_state_of_another_strategy_is_not_used_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = MemoryBus()
    await a_life(bus, "Counting", QUOTE, QUOTE)
    shell = await a_life(bus, "Unkeepable")
    assert the_strategy(shell).began_with == 0
    assert "Counting, and this is" in caplog.text


async def test_state_of_another_shape_is_not_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = MemoryBus()
    await a_life(bus, "Counting", QUOTE)
    key = "strategy.state.s.one.BTC-USDT"
    value, _ = await bus.kv_read("snapshots", key)
    kept = codec.decode_value(value, state.KeptState)
    other = msgspec.structs.replace(kept, data=codec.encode_value(OtherMemory(quotes="many")))
    await bus.kv_put("snapshots", key, codec.encode_value(other))
    shell = await a_life(bus, "Counting")
    assert the_strategy(shell).began_with == 0
    assert "its kept state is not used" in caplog.text


async def test_state_that_cannot_be_written_is_counted_and_trading_goes_on() -> None:
    shell = await a_life(MemoryBus(), "Unkeepable", QUOTE)
    assert shell.telemetry.errors["strategy_state_not_kept"] == 1
    assert shell.failure is None


async def test_decisions_are_told_on_the_bus() -> None:
    bus, heard = MemoryBus(), list[Any]()

    async def hear(message: Message) -> None:
        heard.extend(codec.decode_said(message.subject, message.payload).events)

    await bus.subscribe("strategy.decision.s", hear)
    await a_life(bus, "Noting", a_quote(100, venue="one"))
    await bus.settle()
    assert [event.inputs["bid"] for event in heard] == ["100.0"]


def test_the_best_price_that_values_a_market_is_the_newest() -> None:
    market = Market("sim", "BTC-USDT")
    assert market.mid is None
    market.top = BookTop(NOW, NOW, "sim", "BTC-USDT", 100.0, 5.0, 102.0, 5.0, 1, 1, False)
    assert market.mid == 101
    market.quote = a_quote(109.99, NOW + 1)
    assert market.mid == 110
    market.quote = a_quote(109.99, NOW - 1)
    assert market.mid == 101
