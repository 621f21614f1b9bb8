"""Lists as files: every page of them, in each format, exact, and never short in silence."""

import csv
import io
import json
import sys
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest
from api_platform import BTC, LIMIT_BUY, MARKET_BUY, NOW, Gateway, a_platform, filled

from tickbus import codec, history_api, ledger_api
from tickbus.events import Fill, LiquiditySide, Side
from tickbus.history_api import Candle, CandlesAnswer, CandlesQuery
from tickbus.ledger_api import FillRecord, FillsAnswer, FillsQuery, LedgerRefusal
from tickbus_api.exporting import ROWS_AT_ONCE

D = Decimal
ROWS = 2 * ROWS_AT_ONCE + 3
SECOND = 1_000_000_000


def a_record(number: int) -> FillRecord:
    fill = Fill(
        f"f{number}", Side.BUY, D("100.10"), D("0.00000001"), D("1E-8"), "BTC",
        LiquiditySide.TAKER, NOW + number,
    )  # fmt: skip
    return FillRecord(
        client_order_id="pp-r-1", strategy_id="pp", venue="sim", instrument_id="BTC-USDT",
        venue_order_id="v1", fill=fill,
    )  # fmt: skip


class Books:
    """A gateway, and books with many fills that they give page by page."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.count = ROWS
        self.fails_at = "never"
        self.asked: list[FillsQuery] = []

    async def respond(self, payload: bytes) -> bytes:
        query = codec.decode_value(payload, FillsQuery)
        self.asked.append(query)
        if query.cursor == self.fails_at:
            return codec.encode_value(LedgerRefusal(reason="the database does not answer"))
        begin = int(query.cursor or 0)
        end = min(begin + query.limit, self.count)
        fills = tuple(map(a_record, range(begin, end)))
        cursor = str(end) if end < self.count else ""
        return codec.encode_value(FillsAnswer(fills=fills, next_cursor=cursor))

    async def get(self, query: str) -> tuple[bytes, str]:
        answer = await self.gateway.http.get(f"/api/v1/fills?{query}")
        assert answer.status_code == 200, answer.text
        return answer.content, answer.headers["content-disposition"]


@pytest.fixture
async def books() -> AsyncIterator[Books]:
    gateway = Gateway()
    made = Books(gateway)
    await gateway.bus.kv_put("instruments", "sim.BTC-USDT", codec.encode_value(BTC))
    await gateway.bus.respond(ledger_api.FILLS, made.respond)
    await gateway.start()
    yield made
    await gateway.stop()


async def test_csv_has_every_row_of_every_page(books: Books) -> None:
    content, disposition = await books.get("format=csv&strategy=pp&limit=1&cursor=7")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert disposition == 'attachment; filename="fills.csv"'
    assert [row["id"] for row in rows] == [f"f{number}" for number in range(ROWS)]
    first = rows[0]
    assert (first["price"], first["quantity"], first["fee"]) == (
        "100.10", "0.00000001", "0.00000001",
    )  # fmt: skip
    assert (first["at"], first["fee_value"]) == ("2023-11-14T22:13:20.000000Z", "")
    assert {query.strategy_id for query in books.asked} == {"pp"}
    assert [query.cursor for query in books.asked] == ["", "500", "1000"]


async def test_json_is_one_array_of_what_the_list_shows(books: Books) -> None:
    content, _ = await books.get("format=json")
    rows = json.loads(content)
    assert len(rows) == ROWS
    page = (await books.gateway.http.get("/api/v1/fills?limit=2")).json()
    assert (rows[:2], page["next_cursor"]) == (page["fills"], "2")


async def test_parquet_keeps_numbers_exact(books: Books) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    content, disposition = await books.get("format=parquet")
    table = parquet.read_table(io.BytesIO(content))
    assert disposition.endswith('"fills.parquet"')
    assert table.num_rows == ROWS
    assert table.column("quantity")[0].as_py() == "0.00000001"
    assert table.column("fee_value")[0].as_py() is None
    assert parquet.ParquetFile(io.BytesIO(content)).num_row_groups == 3


async def test_parquet_without_its_library_says_what_to_do(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = await books.gateway.http.get("/api/v1/fills?format=parquet")
    assert (answer.status_code, answer.json()["code"]) == (501, "PARQUET_NOT_INSTALLED")
    assert "csv" in answer.json()["remedy"]


@pytest.mark.parametrize(("name", "content"), [("json", b"[]\n"), ("csv", None)])
async def test_empty_list_is_an_empty_file(books: Books, name: str, content: bytes | None) -> None:
    books.count = 0
    found, _ = await books.get(f"format={name}")
    assert found == content if content else found.startswith(b"id,order_id,")


async def test_what_cannot_be_begun_is_a_problem_and_what_breaks_off_breaks(books: Books) -> None:
    books.fails_at = ""
    answer = await books.gateway.http.get("/api/v1/fills?format=csv")
    assert (answer.status_code, answer.json()["code"]) == (422, "QUERY_REFUSED")
    books.fails_at = "500"
    transport = httpx.ASGITransport(books.gateway.app)  # which tells what a server would see
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        with pytest.raises(RuntimeError, match="response already started"):
            await http.get("/api/v1/fills?format=csv")
    answer = await books.gateway.http.get("/api/v1/fills?format=xml")
    assert (answer.status_code, answer.json()["field"]) == (422, "format")


async def test_candles_go_back_page_by_page(books: Books) -> None:
    asked: list[CandlesQuery] = []

    async def respond(payload: bytes) -> bytes:
        query = codec.decode_value(payload, CandlesQuery)
        asked.append(query)
        newest = query.end_ns or NOW
        count = query.limit if len(asked) == 1 else 2
        found = tuple(a_candle(newest - n * SECOND) for n in range(1, count + 1))
        return codec.encode_value(CandlesAnswer(found))

    await books.gateway.bus.respond(history_api.CANDLES, respond)
    answer = await books.gateway.http.get("/api/v1/candles?symbol=BTCUSDT&format=csv&interval=1s")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    times = [row["opened_at"] for row in rows]
    assert (len(times), len(set(times))) == (ROWS_AT_ONCE + 2, ROWS_AT_ONCE + 2)
    assert times == sorted(times, reverse=True)
    assert [query.end_ns for query in asked] == [0, NOW - ROWS_AT_ONCE * SECOND]
    assert (rows[0]["trades"], rows[0]["vwap"]) == ("3", "")


def a_candle(ts: int) -> Candle:
    return Candle(
        ts_open=ts, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0, notional=1.0, buys=1.0,
        trades=3, vwap=None, mid=None, volatility=None, spread_bps=None, spread_bps_max=None,
        bid_size=None, ask_size=None,
    )  # fmt: skip


async def test_orders_are_listed_without_what_only_one_order_shows() -> None:
    async with a_platform() as platform:
        await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
        platform.answer = filled
        await platform.http.post("/api/v1/orders", content=MARKET_BUY)
        await platform.bus.settle()
        answer = await platform.http.get("/api/v1/orders?format=csv")
        rows = {row["id"]: row for row in csv.DictReader(io.StringIO(answer.text))}
        assert set(rows) == {"manual-r-1", "manual-r-2"}
        assert (rows["manual-r-1"]["price"], rows["manual-r-1"]["working"]) == ("100.25", "true")
        assert json.loads(rows["manual-r-2"]["fees"]) == {"BTC": "0.0000010"}
        assert "events" not in rows["manual-r-1"]


async def test_list_that_leads_to_itself_breaks_off() -> None:
    async with a_platform() as platform:
        platform.lists_lead_nowhere = True
        transport = httpx.ASGITransport(platform.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            with pytest.raises(RuntimeError, match="without an end"):
                await http.get("/api/v1/orders?format=json")
