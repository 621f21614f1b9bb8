"""The gateway's views of the market that come from several venues or from its history."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from api_platform import Gateway, running

from tickbus import codec, history_api
from tickbus.events import ConsolidatedTop, Instrument
from tickbus.history_api import Candle, CandlesAnswer, CandlesQuery, HistoryRefusal
from tickbus.instruments import ZERO
from tickbus_api.views import ConsolidatedView

CANDLE = Candle(
    ts_open=1_700_000_040_000_000_000, open=10.0, high=12.0, low=9.0, close=11.0, volume=4.0,
    notional=42.0, buys=1.0, trades=3, vwap=10.5, mid=10.9, volatility=0.01, spread_bps=2.0,
    spread_bps_max=3.0, bid_size=5.0, ask_size=None,
)  # fmt: skip


def test_consolidated_view_names_every_venue_the_best_first() -> None:
    top = ConsolidatedTop(
        1, 1_700_000_000_000_000_000, "BTC-USDT",
        (("okx", 100.0, 1.0), ("kraken", 99.5, 3.0)), (("kraken", 101.0, 2.0),),
    )  # fmt: skip
    view = ConsolidatedView.of(top).model_dump()
    assert view["instrument_id"] == "BTC-USDT"
    assert view["bids"] == [("okx", 100.0, 1.0), ("kraken", 99.5, 3.0)]
    assert view["asks"] == [("kraken", 101.0, 2.0)]
    assert view["updated_at"].startswith("2023-11-14T22:13:20")


class History(Gateway):
    """The gateway on a memory bus, and the history service's answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[CandlesQuery] = []
        self.answer: Any = CandlesAnswer((CANDLE,))

    async def start(self) -> None:
        instrument = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", ZERO, ZERO)
        value = codec.encode_value(instrument)
        await self.bus.kv_put("instruments", "sim.BTC-USDT", value)
        await super().start()

    async def respond(self, payload: bytes) -> bytes:
        self.asked.append(codec.decode_value(payload, CandlesQuery))
        return codec.encode_value(self.answer)


@pytest.fixture
async def history() -> AsyncIterator[History]:
    async with running(History()) as history:
        yield history


async def test_sums_are_told_without_what_binary_fractions_leave(history: History) -> None:
    tailed = msgspec.structs.replace(CANDLE, volume=0.1 + 0.2, buys=4.805210000000001)
    history.answer = CandlesAnswer((tailed,))
    await history.bus.respond(history_api.CANDLES, history.respond)
    params = {"symbol": "btcusdt"}
    (candle,) = (await history.http.get("/api/v1/candles", params=params)).json()["candles"]
    assert (candle["volume"], candle["buys"]) == (0.3, 4.80521)
    window = (await history.http.get("/api/v1/analytics", params=params)).json()
    assert window["volume"] == 0.3
    whole = msgspec.structs.replace(CANDLE, volume=123_456_789_012.34, vwap=None)
    history.answer = CandlesAnswer((whole,))
    (candle,) = (await history.http.get("/api/v1/candles", params=params)).json()["candles"]
    assert (candle["volume"], candle["vwap"]) == (123_456_789_012.34, None)


async def test_candles_of_any_interval(history: History) -> None:
    await history.bus.respond(history_api.CANDLES, history.respond)
    params = {
        "symbol": "btcusdt", "interval": "5m", "limit": "2", "start": "2023-11-14T22:00:00Z",
    }  # fmt: skip
    body = (await history.http.get("/api/v1/candles", params=params)).json()
    assert (body["instrument_id"], body["interval_s"]) == ("BTC-USDT", 300)
    (candle,) = body["candles"]
    assert candle["opened_at"] == "2023-11-14T22:14:00.000000Z"
    assert (candle["open"], candle["vwap"], candle["ask_size"]) == (10.0, 10.5, None)
    (query,) = history.asked
    assert query == CandlesQuery(
        venue="sim", instrument_id="BTC-USDT", interval_s=300, limit=2,
        start_ns=1_699_999_200_000_000_000,
    )  # fmt: skip


async def test_statistics_of_a_window_add_its_candles_up(history: History) -> None:
    later = msgspec.structs.replace(
        CANDLE, ts_open=CANDLE.ts_open + 60_000_000_000, high=13.0, volume=12.0, notional=126.0,
        buys=11.0, trades=9, mid=11.009, volatility=0.02, spread_bps=4.0, bid_size=7.0,
        ask_size=2.0,
    )  # fmt: skip
    history.answer = CandlesAnswer((later, CANDLE))
    await history.bus.respond(history_api.CANDLES, history.respond)
    params = {"symbol": "BTCUSDT", "window": "1h"}
    body = (await history.http.get("/api/v1/analytics", params=params)).json()
    assert history.asked[0].interval_s == 60
    assert (body["window_s"], body["vwap"], body["volume"], body["trades"]) == (3600, 10.5, 16, 12)
    assert (body["high"], body["low"], body["mid"]) == (13.0, 9.0, 11.009)
    assert body["return_bps"] == pytest.approx(100)
    assert body["volatility"] == pytest.approx(0.000_5**0.5)
    assert (body["spread_bps"], body["flow_imbalance"]) == (3.0, 0.5)
    assert body["imbalance"] == 0.5  # 6 on average against 2


async def test_statistics_of_a_window_without_anything_are_null(history: History) -> None:
    history.answer = CandlesAnswer(())
    await history.bus.respond(history_api.CANDLES, history.respond)
    body = (await history.http.get("/api/v1/analytics", params={"symbol": "BTCUSDT"})).json()
    assert (body["vwap"], body["volatility"], body["imbalance"]) == (None, None, None)
    wrong = {"symbol": "BTCUSDT", "window": "long"}
    answer = await history.http.get("/api/v1/analytics", params=wrong)
    assert (answer.status_code, answer.json()["field"]) == (422, "window")


@pytest.mark.parametrize("interval", ["0", "5x", "-1m", "99999d", ""])
async def test_interval_that_is_none_is_refused(history: History, interval: str) -> None:
    params = {"symbol": "BTCUSDT", "interval": interval}
    answer = await history.http.get("/api/v1/candles", params=params)
    assert answer.status_code == 422
    assert "10s, 1m, 4h or 1d" in answer.text


async def test_history_that_is_away_or_refuses_is_said(history: History) -> None:
    answer = await history.http.get("/api/v1/candles", params={"symbol": "BTCUSDT"})
    assert (answer.status_code, "did not answer" in answer.text) == (503, True)
    await history.bus.respond(history_api.CANDLES, history.respond)
    history.answer = HistoryRefusal("waiting for Postgres")
    answer = await history.http.get("/api/v1/candles", params={"symbol": "BTCUSDT"})
    assert (answer.status_code, "waiting for Postgres" in answer.text) == (503, True)
