"""What router, alerts and kill switch take and give, over a real bus; see `contracts`."""

import asyncio
import hashlib
import hmac
import os
import time
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
from contracts import (
    ROOT,
    D,
    Exchange,
    Start,
    an_instrument,
    answer,
    breathe,
    contract,
    now,
    survives_nonsense,
)
from receivers import Webhook, listening

from tickbus import alerts_api, codec, kill_api
from tickbus.alerts_api import AlertsAnswer, AlertsQuery
from tickbus.events import (
    BestExecution,
    BookDepth,
    Fill,
    Instrument,
    LiquiditySide,
    OrderApproved,
    OrderFilled,
    OrderSubmitted,
    OrderType,
    SetTradingState,
    Side,
    SubmitOrder,
    TradingState,
    TradingStateChanged,
)
from tickbus.kill_api import EXIT_DONE, KillReport, KillRequest
from tickbus_testkit.neighbours import NONSENSE, Neighbours

pytestmark = pytest.mark.timeout(120)

TWO_VENUES = os.pathsep.join(
    str(ROOT / "config" / name) for name in ("default.yaml", "venues/two-exchanges.yaml")
)


def a_smart_order(n: int, quantity: str) -> SubmitOrder:
    return SubmitOrder(
        now(), now(), f"contract-t-{n}", "contract", "smart", "BTC-USDT", Side.BUY,
        OrderType.MARKET, D(quantity),
    )  # fmt: skip


def a_part_filled(part: SubmitOrder) -> OrderFilled:
    fill = Fill(
        f"f-{part.client_order_id}", part.side, part.price or D(0), part.quantity, D(0), "USDT",
        LiquiditySide.TAKER, now(),
    )  # fmt: skip
    head = (part.client_order_id, part.strategy_id, part.venue, part.instrument_id)
    return OrderFilled(now(), now(), *head, "v1", fill, part.quantity, D(0))


@contract("router")
async def test_router(bus: Neighbours, start: Start) -> None:
    asks = {"sim": ((60_000.0, 0.002),), "sim2": ((60_010.0, 0.005),)}

    async def market() -> None:
        for venue, levels in asks.items():
            await bus.describe(an_instrument("BTC", venue))
            head = (now(), now(), venue, "BTC-USDT")
            await bus.say(BookDepth(*head, ((59_000.0, 1.0),), levels, 1, 1), "book")

    process = start("router", TICKBUS_CONFIG=TWO_VENUES)
    await market()
    listed: dict[str, Instrument] = {}

    async def keep(key: str, value: bytes) -> None:
        listed[key] = codec.decode_value(value, Instrument)

    watch = await bus.bus.kv_watch("instruments", keep)
    async with asyncio.timeout(30):
        while "smart.BTC-USDT" not in listed:
            await breathe()
    await watch.stop()
    order = a_smart_order(1, "0.003")
    await bus.say(OrderApproved(now(), now(), order), "risk")
    whole = await bus.hear(OrderSubmitted, lambda e: e.client_order_id == order.client_order_id)
    assert bus.subject(whole) == "orders.event.smart.contract"
    await bus.hear(SubmitOrder, n=2)
    first, second = bus.all(SubmitOrder)
    assert [(p.venue, p.quantity) for p in (first, second)] == [
        ("sim", D("0.002")), ("sim2", D("0.001")),
    ]  # fmt: skip
    assert {p.parent_id for p in (first, second)} == {order.client_order_id}
    assert bus.subject(first) == "orders.intent.contract"  # risk judges parts as any other order
    assert bus.way(first) == ["risk", "router"]
    await bus.say(a_part_filled(first), "execution")
    told = await bus.hear(OrderFilled, lambda e: e.client_order_id == order.client_order_id)
    assert (told.filled_quantity, told.leaves_quantity) == (D("0.002"), D("0.001"))
    await survives_nonsense(bus, process, "orders.approved.smart")

    process.kill()
    await bus.say(a_part_filled(second), "execution")  # while nobody puts it together
    process.start().until_ready()
    done = await bus.hear(
        OrderFilled, lambda e: e.client_order_id == order.client_order_id and not e.leaves_quantity
    )
    assert done.filled_quantity == D("0.003")
    await bus.stays(SubmitOrder, 2)
    # What the books had shown is not in the history: it is measured of orders without a restart.
    await market()
    await bus.say(OrderApproved(now(), now(), a_smart_order(2, "0.001")), "risk")
    third = await bus.hear(SubmitOrder, n=3)
    await bus.say(a_part_filled(third), "execution")
    measured = await bus.hear(BestExecution)
    assert (measured.client_order_id, measured.legs) == (third.parent_id, 1)
    assert (measured.quantity, measured.price) == (D("0.001"), third.price)


@contract("alerts")
async def test_alerts(bus: Neighbours, start: Start) -> None:
    hook = Webhook()

    async def told(*words: str) -> None:
        async with asyncio.timeout(60):
            while not all(word in hook.text for word in words):
                await breathe()

    async def halted(scope: str) -> None:
        change = TradingStateChanged(
            now(), now(), scope, TradingState.ACTIVE, TradingState.HALTED, "ann", "a test"
        )
        await bus.say(change, "risk")

    async with listening(hook):
        process = start("alerts", TICKBUS_ALERTS_DESK=f"json://127.0.0.1:{hook.port}/told")
        await halted("global")
        await told("trading is HALTED", "ann")
        await survives_nonsense(bus, process, "orders.denied.contract")

        async def known(rule: str) -> AlertsAnswer:
            query = codec.encode_value(AlertsQuery())
            async with asyncio.timeout(60):
                while True:
                    found: AlertsAnswer = await answer(bus, alerts_api.LIST, query, AlertsAnswer)
                    waits = any(channel.waiting for channel in found.channels)
                    if rule in [alert.rule for alert in found.active] and not waits:
                        return found
                    await breathe()

        assert [channel.name for channel in (await known("halt")).channels] == ["desk"]
        assert (await answer(bus, alerts_api.LIST, NONSENSE, AlertsAnswer)).active

        process.kill()
        await halted("strategy:contract")  # while nobody tells anybody
        process.start().until_ready()
        await told("HALTED: contract")
        await known("halt")
    assert hook.text.count("HALTED: everything") == 1  # not told again after the restart


def a_resting_order(where: dict[str, str]) -> str:
    """Place one at the venue by hand, as `tickbus` never did; its id."""
    fields = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "quantity": "0.001", "price": "30000.00", "newClientOrderId": "by-hand",
        "timestamp": str(time.time_ns() // 1_000_000), "recvWindow": "60000",
    }  # fmt: skip
    query = urlencode(fields)
    secret = where["TICKBUS_VENUE_API_SECRET"].encode()
    signature = hmac.new(secret, query.encode(), hashlib.sha256).hexdigest()
    url = f"{where['TICKBUS_VENUE_REST_URL']}/api/v3/order?{query}&signature={signature}"
    headers = {"X-MBX-APIKEY": where["TICKBUS_VENUE_API_KEY"]}
    return str(httpx.post(url, headers=headers, timeout=30).raise_for_status().json()["orderId"])


@contract("killswitch")
async def test_killswitch(bus: Neighbours, start: Start, exchange: Exchange) -> None:
    _, where = exchange
    venue_order_id = a_resting_order(where)
    process = start("killswitch", **where, TICKBUS_KILL_TOKEN="contract")
    url = f"{process.health_url}{kill_api.PATH}"
    async with httpx.AsyncClient(timeout=60) as client:
        for refused in ({}, {"Authorization": "Bearer guessed"}):
            assert (await client.post(url, headers=refused)).status_code == 401
        client.headers["Authorization"] = "Bearer contract"
        assert (await client.get(url)).status_code == 405
        assert (await client.post(url, json={"flaten": True})).status_code == 422
        killed = await client.post(url, json={"reason": "a contract", "actor": "ann"})
    assert killed.status_code == 200, killed.text
    report = msgspec.json.decode(killed.content, type=KillReport)
    assert (report.exit_code, report.halted, report.reason) == (EXIT_DONE, True, "a contract")
    assert [o.order_id for a in report.accounts for o in a.cleared] == [venue_order_id]
    value, _ = await bus.bus.kv_read("control", "trading")
    state = codec.decode_value(value, SetTradingState)
    assert (state.state, state.actor) == (TradingState.HALTED, "ann")
    # Over the bus just as well, and who calls for it in a garbled way still means it.
    for wish in (codec.encode_value(KillRequest(reason="again")), NONSENSE):
        again: KillReport = await answer(bus, kill_api.SUBJECT, wish, KillReport)
        assert (again.exit_code, again.halted) == (EXIT_DONE, True)
