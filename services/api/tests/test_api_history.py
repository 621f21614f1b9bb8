"""What the gateway asks the ledger about what was, and how it shows the answer."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from api_platform import Gateway, running

from tickbus import codec, ledger_api
from tickbus.events import EquityPoint

NOW = 1_700_000_000 * 10**9
POSTING = ledger_api.PostingRecord(
    sequence=7, line=0, ts_event=NOW, venue="sim", asset="BTC", amount=Decimal("-0.10"),
    balance=Decimal("0.0123"), account="trading", cause="FILL", reference="f9",
    instrument_id="BTC-USDT", strategy_id="pp", client_order_id="pp-r-1",
)  # fmt: skip
ROW = ledger_api.AuditRow(
    sequence=7, kind="BalanceAdjusted", client_order_id="", ts_event=NOW, ts_recv=NOW,
    body='{"amount":"1"}', hash="ab",
)  # fmt: skip
ANSWERS: dict[str, tuple[Any, msgspec.Struct]] = {
    ledger_api.ORDERS: (ledger_api.OrdersQuery, ledger_api.OrdersAnswer(orders=())),
    ledger_api.FILLS: (ledger_api.FillsQuery, ledger_api.FillsAnswer(fills=())),
    ledger_api.POSTINGS: (
        ledger_api.PostingsQuery,
        ledger_api.PostingsAnswer(postings=(POSTING,), next_cursor="7.0"),
    ),
    ledger_api.EQUITY: (
        ledger_api.EquityQuery,
        ledger_api.EquityAnswer(
            currency="USDT", points=(EquityPoint(NOW, Decimal("5.50"), Decimal(5), Decimal(0)),)
        ),
    ),
    ledger_api.AUDIT: (ledger_api.AuditQuery, ledger_api.AuditAnswer(rows=(ROW,))),
}

STRATEGIES = [{"id": "pp"}]


class Asked(Gateway):
    """The gateway under test, and a ledger that notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    async def start(self) -> None:
        for subject, (query, answer) in ANSWERS.items():
            await self.bus.respond(subject, self._responder(query, answer))
        await super().start()

    def _responder(self, query: Any, answer: msgspec.Struct) -> Any:
        async def respond(payload: bytes) -> bytes:
            self.asked.append(codec.decode_value(payload, query))
            return codec.encode_value(answer)

        return respond

    async def get(self, path: str) -> Any:
        answer = await self.http.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def gateway() -> AsyncIterator[Asked]:
    async with running(Asked()) as gateway:
        yield gateway


async def test_a_balance_is_explained(gateway: Asked) -> None:
    body = await gateway.get(
        "postings?asset=BTC&cause=fill&strategy=pp&since=2023-11-14T22:13:20Z&cursor=9.2&limit=5"
    )
    assert gateway.asked == [
        ledger_api.PostingsQuery(
            asset="BTC", cause="FILL", strategy_id="pp", since_ns=NOW, cursor="9.2", limit=5
        )
    ]
    (view,) = body["postings"]
    assert (view["amount"], view["balance"], view["account"]) == ("-0.10", "0.0123", "trading")
    assert (view["cause"], view["reference"], view["order_id"]) == ("FILL", "f9", "pp-r-1")
    assert (view["at"], body["next_cursor"]) == ("2023-11-14T22:13:20.000000Z", "7.0")


async def test_the_curve_of_a_strategy(gateway: Asked) -> None:
    body = await gateway.get(f"equity?strategy=pp&until={NOW}")
    assert gateway.asked == [ledger_api.EquityQuery(strategy_id="pp", until_ns=NOW)]
    assert (body["currency"], body["points"][0]["equity"]) == ("USDT", "5.50")


async def test_the_audit_log(gateway: Asked) -> None:
    body = await gateway.get("audit?event=BalanceAdjusted")
    assert gateway.asked == [ledger_api.AuditQuery(kind="BalanceAdjusted")]
    assert (body["rows"][0]["body"], body["rows"][0]["hash"]) == ({"amount": "1"}, "ab")


@pytest.mark.parametrize("path", ["orders", "fills"])
async def test_orders_and_fills_of_a_span(gateway: Asked, path: str) -> None:
    await gateway.get(f"{path}?since=2023-11-14&until={NOW}")
    (query,) = gateway.asked
    assert (query.since_ns, query.until_ns) == (1_699_920_000 * 10**9, NOW)


@pytest.mark.parametrize("path", ["orders", "fills", "postings", "equity", "audit"])
async def test_a_time_that_is_none_is_named(gateway: Asked, path: str) -> None:
    answer = await gateway.http.get(f"/api/v1/{path}?since=yesterday")
    assert (answer.status_code, answer.json()["field"]) == (422, "since")
    assert "ISO 8601" in answer.json()["detail"]
    assert gateway.asked == []
