"""The gateway's views of the market that come from several venues or from its history."""

from typing import Any

import httpx
import pytest

from tickbus import codec, history_api
from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.events import ConsolidatedTop, Instrument
from tickbus.history_api import Candle, CandlesAnswer, CandlesQuery, HistoryRefusal
from tickbus.instruments import ZERO
from tickbus.runtime import Shell
from tickbus_api.service import HttpEdge, build
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


class History:
    """The gateway on a memory bus, and the history service's answers."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.asked: list[CandlesQuery] = []
        self.answer: Any = CandlesAnswer((CANDLE,))
        venue = {
            "name": "sim", "adapter": "binance", "rest_url": "x", "ws_url": "x", "ws_api_url": "x",
            "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
        }  # fmt: skip
        section = {"port": 0, "ledger_timeout_s": 0.2}
        spec = build(Settings({"api": section, "venue": venue}, run_id="r"))
        (edge,) = spec.edges
        assert isinstance(edge, HttpEdge)
        self.shell = Shell(spec, self.bus)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(edge.app, raise_app_exceptions=False),
            base_url="http://gateway",
        )

    async def respond(self, payload: bytes) -> bytes:
        self.asked.append(codec.decode_value(payload, CandlesQuery))
        return codec.encode_value(self.answer)


@pytest.fixture
async def history() -> Any:
    made = History()
    instrument = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", ZERO, ZERO)
    value = codec.encode_value(instrument)
    await made.bus.kv_put("instruments", "sim.BTC-USDT", value)
    await made.shell.start()
    yield made
    await made.http.aclose()
    await made.shell.stop()


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
