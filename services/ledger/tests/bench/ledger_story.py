"""What the tests of the ledger tell it: orders, fills, payments, and a database of their own."""

import itertools
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tickbus.events import (
    AccountUpdated,
    AdjustmentCause,
    Balance,
    BalanceAdjusted,
    BookTop,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderFilled,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.rows import batch_of
from tickbus_ledger.store import Store

D = Decimal
S = 1_000_000_000
SPOT, PERP = "BTC-USDT", "BTC-USDT-PERP"
_names = itertools.count(1)


async def an_empty_database(dsn: str) -> str:
    """A database of the caller's own."""
    name = f"story_{next(_names)}"
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"DROP DATABASE IF EXISTS {name}")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def a_core(*tops: BookTop) -> LedgerCore:
    core = LedgerCore(LedgerConfig(), (SPOT,))
    for top in tops:
        core.handle(top)
    return core


def a_top(price: float, instrument_id: str = SPOT, ts: int = S) -> BookTop:
    return BookTop(ts, ts, "sim", instrument_id, price, 1.0, price, 1.0, 1, 1)


def an_opening(ts: int = S, **totals: str) -> AccountUpdated:
    balances = tuple(Balance(asset, D(total), D(0)) for asset, total in totals.items())
    return AccountUpdated(ts, ts, "sim", balances, True)


def an_order(
    n: int, strategy: str = "pp", instrument_id: str = SPOT, side: Side = Side.BUY,
    quantity: str = "1",
) -> SubmitOrder:  # fmt: skip
    return SubmitOrder(
        2 * S, 2 * S, f"{strategy}-r-{n}", strategy, "sim", instrument_id, side, OrderType.LIMIT,
        D(quantity), D(1000),
    )  # fmt: skip


def a_fill(
    n: int, side: str = "BUY", quantity: str = "1", price: str = "1000", fee: str = "0",
    fee_asset: str = "USDT", strategy: str = "pp", instrument_id: str = SPOT, ts: int = 3 * S,
    fill_id: str = "",
) -> OrderFilled:  # fmt: skip
    fill = Fill(
        fill_id or str(n), Side(side), D(price), D(quantity), D(fee), fee_asset,
        LiquiditySide.TAKER, ts,
    )  # fmt: skip
    return OrderFilled(
        ts, ts, f"{strategy}-r-{n}", strategy, "sim", instrument_id, f"v{n}", fill, D(quantity),
        D(0),
    )  # fmt: skip


def an_order_filled(n: int, side: str = "BUY", **fill: Any) -> list[Event]:
    """An order's whole life, in four events."""
    strategy, instrument_id = fill.get("strategy", "pp"), fill.get("instrument_id", SPOT)
    order = an_order(n, strategy, instrument_id, Side(side), fill.get("quantity", "1"))
    at = (2 * S, 2 * S, order.client_order_id, strategy, "sim", instrument_id)
    return [
        order,
        OrderApproved(2 * S, 2 * S, order),
        OrderAccepted(*at, f"v{n}"),
        a_fill(n, side, **fill),
    ]


def a_payment(
    cause: str, asset: str, amount: str, reference: str, instrument_id: str = "", ts: int = 4 * S
) -> BalanceAdjusted:
    kind = AdjustmentCause(cause)
    return BalanceAdjusted(ts, ts, "sim", asset, D(amount), kind, reference, instrument_id)


def a_day() -> list[Event]:
    """What can happen to the books, once: two strategies, spot and perpetual, payments."""
    return [
        an_opening(BTC="5", USDT="100000", BNB="3"),
        *an_order_filled(1, fee="0.001", fee_asset="BTC"),
        *an_order_filled(2, "SELL", quantity="0.4", price="1010.5", fee="0.404", strategy="mm"),
        *an_order_filled(3, quantity="2", fee="0.003", fee_asset="BNB"),
        *an_order_filled(4, quantity="3", instrument_id=PERP, fee="1.2"),
        *an_order_filled(5, "SELL", quantity="1", price="1100", instrument_id=PERP, strategy="mm"),
        a_payment("FUNDING", "USDT", "-0.75", "f1", PERP),
        a_payment("TRANSFER", "USDT", "2500", "t1"),
        a_payment("COMMISSION", "BNB", "-0.001", "c1", PERP),
        AccountUpdated(5 * S, 5 * S, "sim", (Balance("BTC", D("7.599"), D(0)),), False),
        an_order(6),
    ]


async def write_story(dsn: str, events: list[Event], *tops: BookTop) -> LedgerCore:
    """The books of `events`, written in batches of three."""
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    core = a_core(*tops)
    core.load(await store.load())
    for sequence, event in enumerate(events, start=core.position + 1):
        core.fold(sequence, event)
        if sequence % 3 == 0:
            await store.write(batch_of(core.take_changes()))
    await store.write(batch_of(core.take_changes()))
    await store.close()
    return core
