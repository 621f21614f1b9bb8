"""What looks like life and is not: numbers that went back, dead streams, things told twice."""

import json
import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from tickbus.events import (
    BookDelta,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    Liquidation,
    Quote,
    TimerFired,
    Trade,
)
from tickbus_feed.adapter import Unreadable
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import KNOWN_MAX, TIMER, FeedCore
from tickbus_feed.links import OLD_MAX
from tickbus_feed.service import adapter_named, adapters
from tickbus_feed.sync import BUFFERED_LEVELS_MAX, BookSync
from tickbus_feed.venue import (
    FetchSnapshot,
    ProbeAnswer,
    ProbeBook,
    Reconnect,
    Resubscribe,
    SnapshotAnswer,
    VenueConnected,
    VenueDisconnected,
    VenueFrame,
)
from tickbus_testkit.venues import VENUES, Market, Session

SECOND = 1_000_000_000
NOW = 1_786_400_000 * SECOND


class Feed:
    """A core with one instrument of a venue, connected and in step, and what it said."""

    def __init__(self, venue: str) -> None:
        self.said = VENUES[venue]
        self.market = Market(random.Random(1))
        self.session = Session(self.market)
        self.core = FeedCore(FeedConfig(), venue, adapter_named(venue))
        base, quote, *_ = self.said.instrument_id.split("-")
        self.core.handle(
            Instrument(venue, self.said.instrument_id, self.said.symbol, base, quote,
                       Decimal("0.1"), Decimal("0.001"))
        )  # fmt: skip
        self.now = NOW
        for line in self.core.streams:
            self.core.handle(VenueConnected(NOW, NOW, line, 1))
        self.begin()

    @property
    def sync(self) -> BookSync:
        return next(iter(self.core.syncs.values()))

    def says(self, state: FeedState) -> bool:
        return self.core.states[self.said.instrument_id] is state

    def begin(self, link: int = 1) -> list[Event]:
        """A whole book, the way the venue gives it."""
        whole = self.said.whole(self.session)
        if self.sync._adapter.books_in_stream:
            return self.hear(whole, link)
        answer = SnapshotAnswer(self.now, self.now, self.said.symbol, whole, "", -1)
        return list(self.core.handle(answer))

    def hear(self, payload: bytes, link: int = 1) -> list[Event]:
        self.now += SECOND // 10
        frame = VenueFrame(self.now, self.now, payload, self.said.line, link)
        return list(self.core.handle(frame))

    def change(self, link: int = 1) -> list[Event]:
        return self.hear(self.said.change(self.session, self.market.step()), link)

    def second(self) -> list[Event]:
        self.now += SECOND
        return list(self.core.handle(TimerFired(self.now, self.now, TIMER)))


def only(kind: Any, events: Iterable[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("venue", ["binance", "bybit"])
def test_numbers_that_went_back_are_not_taken_for_repeats_for_ever(venue: str) -> None:
    feed = Feed(venue)
    for _ in range(300):
        feed.change()
    assert feed.says(FeedState.LIVE)
    again = Session(Market(random.Random(2)))
    out: list[Event] = []
    for _ in range(KNOWN_MAX + 1):
        out += feed.hear(feed.said.change(again, again.market.step()))
    assert only((FetchSnapshot, Resubscribe), out)
    assert feed.says(FeedState.SYNCING)
    assert feed.sync.gaps == 1


def test_venue_behind_us_while_its_changes_are_known_has_begun_anew() -> None:
    feed = Feed("binance")
    for _ in range(300):
        feed.change()
    again = Session(Market(random.Random(2)))
    asked = 0
    for _ in range(20):
        feed.hear(feed.said.change(again, again.market.step()))
        for event in feed.second():
            if isinstance(event, ProbeBook):
                asked += 1
                whole = feed.said.whole(again)
                feed.core.handle(ProbeAnswer(feed.now, feed.now, event.symbol, whole))
    assert asked == 1
    assert feed.says(FeedState.SYNCING)


def test_changes_that_a_book_covers_are_no_repeats() -> None:
    feed = Feed("binance")
    feed.sync.reset()
    late = [feed.said.change(feed.session, feed.market.step()) for _ in range(KNOWN_MAX + 50)]
    feed.begin()
    for frame in late:  # they waited in the socket
        feed.hear(frame)
    assert feed.sync.synced
    assert only(BookDelta, feed.change())


def test_audit_without_an_answer_is_a_doubt_though_the_connection_speaks() -> None:
    feed = Feed("coinbase")
    feed.change()

    def heartbeat() -> None:
        frame = {"channel": "heartbeats", "sequence_num": feed.session.next_frame()}
        feed.hear(json.dumps(frame).encode())

    out: list[Event] = []
    for _ in range(640):
        heartbeat()
        out += feed.second()
    assert len(only(Resubscribe, out)) >= 2
    assert feed.says(FeedState.SYNCING)


def test_repeats_are_no_sign_of_life() -> None:
    feed = Feed("binance")
    frame = feed.said.change(feed.session, feed.market.step())
    feed.hear(frame)
    heard = feed.sync.ts_diff
    feed.hear(frame)
    assert feed.sync.ts_diff == heard


def test_frame_numbers_that_began_anew_are_a_gap() -> None:
    feed = Feed("coinbase")
    for _ in range(100):
        feed.change()
    feed.session.frames = -1
    out: list[Event] = []
    for _ in range(OLD_MAX + 1):
        out += feed.change()
    assert only(Resubscribe, out)
    assert feed.says(FeedState.SYNCING)


def test_dead_stream_is_live_only_once_it_speaks_and_cuts_its_neighbours_once() -> None:
    feed = Feed("binance")
    feed.change()
    said: list[Event] = []
    live = 0
    for _ in range(600):
        feed.market.step()  # the venue goes on, its stream of this symbol does not
        out = feed.second()
        for event in list(out):
            now = feed.now
            whole = feed.said.whole(feed.session)
            if isinstance(event, ProbeBook):
                out += feed.core.handle(ProbeAnswer(now, now, event.symbol, whole))
            elif isinstance(event, FetchSnapshot):
                answer = SnapshotAnswer(now, now, event.symbol, whole, "", event.number)
                out += feed.core.handle(answer)
        said += out
        live += feed.says(FeedState.LIVE)
    assert len(only(Reconnect, said)) == 1
    assert live < 30
    feed.sync.reset()
    feed.begin()
    feed.change()
    assert feed.says(FeedState.LIVE)


def test_question_without_an_answer_is_a_doubt_however_quiet_the_market_was() -> None:
    feed = Feed("binance")
    feed.change()
    for _ in range(120):  # quiet, and every question answered
        for event in feed.second():
            if isinstance(event, ProbeBook):
                whole = feed.said.whole(feed.session)
                feed.core.handle(ProbeAnswer(feed.now, feed.now, event.symbol, whole))
    assert feed.says(FeedState.LIVE)
    asked = next(n for n in range(120) if only(ProbeBook, feed.second()))
    waited = next(n for n in range(120) if feed.second() and feed.says(FeedState.STALE))
    assert (asked <= 40, waited <= 6) == (True, True)


def test_older_connection_gets_the_book_when_the_newer_one_dies() -> None:
    feed = Feed("bybit")
    feed.change()
    feed.core.handle(VenueConnected(feed.now, feed.now, feed.said.line, 2))
    feed.begin(link=2)
    feed.change(link=2)
    out = feed.core.handle(VenueDisconnected(feed.now, feed.now, "cut", feed.said.line, 2))
    assert only(Resubscribe, out)
    assert feed.says(FeedState.SYNCING)
    feed.begin(link=1)
    assert only(BookDelta, feed.change(link=1))
    assert feed.says(FeedState.LIVE)


def test_book_can_begin_while_two_connections_bring_every_change_twice() -> None:
    feed = Feed("binance-usdm")
    feed.sync.reset()
    before = feed.said.whole(feed.session)
    for _ in range(5):
        frame = feed.said.change(feed.session, feed.market.step())
        feed.hear(frame, 1)
        feed.hear(frame, 2)
    feed.core.handle(SnapshotAnswer(feed.now, feed.now, "BTCUSDT", before, "", -1))
    assert feed.sync.synced


def test_changes_that_wait_are_bounded_by_their_levels() -> None:
    feed = Feed("binance")
    feed.sync.reset()
    levels = [[f"{n}.0", "1"] for n in range(1, 1_001)]
    for n in range(500):
        data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1_000 + n, "u": 1_000 + n,
                "b": levels, "a": []}  # fmt: skip
        feed.hear(json.dumps({"stream": "btcusdt@depth@100ms", "data": data}).encode())
    assert sum(len(diff.bids) for diff in feed.sync._buffer) <= BUFFERED_LEVELS_MAX


def test_instrument_listed_later_says_that_it_is_not_yet_live() -> None:
    feed = Feed("bybit")
    feed.change()
    other = Instrument("bybit", "ETH-USDT", "ETHUSDT", "ETH", "USDT", Decimal(1), Decimal(1))
    (status, *_) = feed.core.handle(other)
    assert isinstance(status, FeedStatus)
    assert (status.instrument_id, status.state) == ("ETH-USDT", FeedState.SYNCING)


def test_instrument_that_trades_no_more_is_left_in_peace() -> None:
    feed = Feed("bybit")
    feed.change()
    gone = Instrument("bybit", feed.said.instrument_id, feed.said.symbol, "BTC", "USDT",
                      Decimal(1), Decimal(1), trading=False)  # fmt: skip
    feed.core.handle(gone)
    out = [event for _ in range(600) for event in feed.second()]
    assert not only(Resubscribe, out)
    assert feed.says(FeedState.STALE)
    feed.change()
    assert feed.says(FeedState.LIVE)
    assert only(Resubscribe, [event for _ in range(20) for event in feed.second()])


def test_quiet_book_of_a_venue_that_says_so_is_not_asked_about() -> None:
    feed = Feed("okx")
    feed.change()
    out: list[Event] = []
    number = feed.sync.last_id
    for second in range(600):
        said = feed.second()
        out += said
        if only(Resubscribe, said):
            feed.begin()
        if second % 60 == 50:
            data = {"asks": [], "bids": [], "ts": "1", "checksum": 0, "seqId": number,
                    "prevSeqId": number}  # fmt: skip
            arg = {"channel": "books", "instId": "BTC-USDT"}
            out += feed.hear(json.dumps({"arg": arg, "action": "update", "data": [data]}).encode())
    assert len(only(Resubscribe, out)) == 1, "once, to see that it is quiet"
    assert feed.says(FeedState.LIVE)
    out = [event for _ in range(80) for event in feed.second()]
    assert only(Resubscribe, out)
    assert feed.says(FeedState.STALE)


# -- told once -------------------------------------------------------------------------------------


def stream(name: str, **data: Any) -> bytes:
    return json.dumps({"stream": name, "data": data}).encode()


def test_quotes_do_not_go_back_while_two_connections_overlap() -> None:
    feed = Feed("binance")

    def quote(number: int, link: int) -> list[Quote]:
        ticker = stream("btcusdt@bookTicker", u=number, s="BTCUSDT", b="1", B="1", a="2", A="1")
        return only(Quote, feed.hear(ticker, link))

    assert quote(5, 1)
    feed.core.handle(VenueConnected(feed.now, feed.now, "", 2))
    assert quote(6, 1), "the newer one has told nothing yet"
    assert quote(7, 2)
    assert not quote(6, 1)
    feed.core.handle(VenueDisconnected(feed.now, feed.now, "cut", "", 2))
    assert quote(8, 1), "the older one is all there is"


@pytest.mark.parametrize("venue", ["coinbase", "bybit"])
def test_best_prices_are_read_off_the_book_where_the_venue_has_none(venue: str) -> None:
    feed = Feed(venue)
    book = feed.sync.book
    for _ in range(100):
        before = (book.best_bid, book.best_ask)
        quotes = only(Quote, feed.change())
        after = (book.best_bid, book.best_ask)
        assert [((q.bid, q.bid_size), (q.ask, q.ask_size)) for q in quotes] == (
            [after] if after != before else []
        )


def test_liquidation_of_two_connections_is_one() -> None:
    feed = Feed("binance-usdm")
    order = {"s": "BTCUSDT", "S": "SELL", "p": "9", "ap": "9", "q": "1", "z": "1", "T": 5}
    payload = stream("btcusdt@forceOrder", e="forceOrder", E=6, o=order)
    out = [*feed.hear(payload, 1), *feed.hear(payload, 2)]
    assert len(only(Liquidation, out)) == 1


def test_trades_of_before_are_told_only_where_we_listened_and_missed_them() -> None:
    feed = Feed("coinbase")

    def trades(kind: str, *numbers: int) -> list[str]:
        time = "2026-08-09T21:05:48.483587Z"
        told = [{"trade_id": str(n), "product_id": "BTC-USD", "price": "9", "size": "1",
                 "side": "BUY", "time": time} for n in reversed(numbers)]  # fmt: skip
        frame = {"channel": "market_trades", "timestamp": time,
                 "sequence_num": feed.session.next_frame(),
                 "events": [{"type": kind, "trades": told}]}  # fmt: skip
        return [t.trade_id for t in only(Trade, feed.hear(json.dumps(frame).encode()))]

    assert trades("snapshot", 1, 2, 3) == []
    assert trades("update", 3, 4) == ["3", "4"], "what comes now was not of before"
    assert trades("snapshot", 3, 4, 5, 6) == ["5", "6"], "missed while we were not connected"


# -- what venues send ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(adapters()))
def test_nesting_without_end_is_a_frame_that_cannot_be_read(name: str) -> None:
    for payload in (b"[" * 100_000, b'{"data":' * 100_000, b'{"a":' + b"[" * 100_000):
        with pytest.raises(Unreadable):
            adapter_named(name).read(payload)


def test_channels_of_two_connections_have_the_same_number() -> None:
    adapter = adapter_named("bitfinex")
    for connection, symbol in ((1, "tBTCUSD"), (2, "tETHUSD")):
        adapter.connection = connection
        adapter.read(
            json.dumps({"event": "subscribed", "channel": "book", "chanId": 7, "symbol": symbol})
            .encode()
        )  # fmt: skip
    read = {}
    for connection in (1, 2):
        adapter.connection = connection
        *_, diff = adapter.read(b"[7,[100,1,2.5],9]")
        read[connection] = diff.symbol  # type: ignore[union-attr]
    assert read == {1: "tBTCUSD", 2: "tETHUSD"}
    adapter.connection = 1
    adapter.read(b'{"event":"unsubscribed","chanId":7}')
    assert "Diff" not in [type(m).__name__ for m in adapter.read(b"[7,[100,1,2.5],10]")]


def test_error_of_okx_is_no_empty_list() -> None:
    with pytest.raises(Unreadable, match="50013"):
        adapter_named("okx").instruments(b'{"code":"50013","msg":"busy","data":[]}', "okx")


@pytest.mark.parametrize("price", ["nan", "inf", "-1"])
def test_impossible_best_price_of_okx_is_refused(price: str) -> None:
    data = {"instId": "BTC-USDT", "bidPx": price, "bidSz": "1", "askPx": "2", "askSz": "1",
            "ts": "1"}  # fmt: skip
    frame = {"arg": {"channel": "tickers", "instId": "BTC-USDT"}, "data": [data]}
    with pytest.raises(Unreadable):
        adapter_named("okx").read(json.dumps(frame).encode())


def test_dated_inverse_contract_of_bybit_is_not_the_perpetual() -> None:
    entry = {"baseCoin": "BTC", "quoteCoin": "USD", "status": "Trading",
             "priceFilter": {"tickSize": "0.5"}, "lotSizeFilter": {"qtyStep": "1"}}  # fmt: skip
    names = ("BTCUSD", "BTCUSDH26", "BTC-26DEC25")
    listed = {"result": {"category": "inverse", "list": [{**entry, "symbol": n} for n in names]}}
    found = adapter_named("bybit").instruments(json.dumps(listed).encode(), "bybit")
    assert [i.instrument_id for i in found] == ["BTC-USD-PERP", "BTC-USD-H26", "BTC-USD-26DEC25"]


@pytest.mark.parametrize(
    ("venue", "entry", "size", "inverse"),
    [
        ("okx", {"instId": "BTC-USDT-SWAP", "ctVal": "0.01", "ctMult": "1", "ctType": "linear"},
         "0.01", False),
        ("okx", {"instId": "BTC-USD-SWAP", "ctVal": "100", "ctMult": "1", "ctType": "inverse"},
         "100", True),
        ("okx", {"instId": "BTC-USDT", "ctVal": "", "ctMult": "", "ctType": ""}, "1", False),
        ("binance-coinm", {"contractSize": 100}, "100", True),
        ("binance-usdm", {}, "1", False),
        ("deribit", {"kind": "future", "quote_currency": "USD"}, "1", True),
        ("deribit", {"kind": "option", "quote_currency": "BTC"}, "1", False),
        ("kraken-futures", {"type": "futures_inverse", "contractSize": 1}, "1", True),
        ("kraken-futures", {"type": "flexible_futures", "contractSize": 1}, "1", False),
    ],
)  # fmt: skip
def test_what_a_venue_counts_is_known(
    venue: str, entry: dict[str, Any], size: str, inverse: bool
) -> None:
    def listed(**more: Any) -> bytes:
        match venue:
            case "okx":
                one = {"instType": "SWAP", "tickSz": "1", "lotSz": "1", "state": "live", **more}
                return json.dumps({"code": "0", "data": [one]}).encode()
            case "deribit":
                one = {"instrument_name": "BTC-PERPETUAL", "tick_size": 0.5,
                       "min_trade_amount": 10, **more}  # fmt: skip
                return json.dumps({"result": [one]}).encode()
            case "kraken-futures":
                one = {"symbol": "PF_XBTUSD", "tickSize": 1, **more}
                return json.dumps({"instruments": [one]}).encode()
        one = {"symbol": "BTCUSD_PERP", "baseAsset": "BTC", "quoteAsset": "USD", **more}
        return json.dumps({"symbols": [one]}).encode()

    (found,) = adapter_named(venue).instruments(listed(**entry), venue)
    assert (found.contract_size, found.inverse) == (Decimal(size), inverse)
