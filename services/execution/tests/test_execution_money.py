"""Money that moves, with and without our orders: the ledger's books are the exchange's, exactly."""

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest
from execution_bench import ExchangeBench, until

from tickbus import codec, reconcile_api
from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    AdjustmentCause,
    BalanceAdjusted,
    DifferenceFound,
    DifferenceKind,
    OrderFilled,
    ReconciliationCause,
    Side,
    TimerFired,
)
from tickbus_execution import session
from tickbus_execution.external import EXTERNAL
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore

D = Decimal
LAG_S = 54.321
"""In place of the usual lag of a look: told from any other wait by its length."""
LATER_NS = 3_600_000_000_000
ASKED_S = 130.0
"""Longer than whoever is asked for a look may take."""


async def the_books(bench: ExchangeBench) -> LedgerCore:
    """The ledger's books of all that execution has said."""
    core = LedgerCore(LedgerConfig(), ("BTC-USDT",))
    for sequence in range(1, await bench.bus.last_sequence() + 1):
        message = await bench.bus.read(sequence)
        (event,) = codec.decode(message.payload).events
        core.fold(sequence, event)
        last = event.ts_recv
    core.handle(TimerFired(last, last + LATER_NS, "anything"))
    core.handle(TimerFired(last, last + LATER_NS, "portfolio"))
    return core


async def eventually_equal(bench: ExchangeBench, differs: Any) -> None:
    """Wait until `differs` finds nothing between the books and the exchange."""
    found: Any = "nothing compared yet"
    for _ in range(600):
        found = differs((await the_books(bench)).portfolio(), bench.truth())
        if not found:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(found)


def futures_differ(portfolio: Any, truth: Any) -> list[str]:
    """Wallet, positions, fees and fills of the futures account."""
    theirs = truth["futures"]
    found = []
    (wallet,) = (b.amount for b in portfolio.balances if b.asset == "USDT")
    if wallet != D(theirs["wallet"]):
        found.append(f"wallet {wallet} != {theirs['wallet']}")
    ours = {p.instrument_id: p for p in portfolio.positions}
    for symbol, position in theirs["positions"].items():
        name = f"{symbol.removesuffix('USDT')}-USDT-PERP"
        held = ours[name].quantity if name in ours else None
        if held != D(position["quantity"]):
            found.append(f"{name} {held} != {position['quantity']}")
    paid = sum((p.fees for p in ours.values()), D(0))
    fees = sum((D(f["commission"]) for f in theirs["fills"]), D(0))
    if paid != fees or portfolio.fills != len(theirs["fills"]):
        found.append(f"fees {paid} != {fees}, fills {portfolio.fills} != {len(theirs['fills'])}")
    return [*found, *(f"difference: {b}" for b in portfolio.differences)]


async def trade_at_random(bench: ExchangeBench, rng: random.Random, first: int, count: int) -> None:
    """Orders of both sides, at the market and around it, some of them cancelled."""
    price = D(bench.truth()["last_prices"]["BTCUSDT"])
    for n in range(first, first + count):
        side, quantity = rng.choice(list(Side)), D(rng.randint(1, 40)) / 1000
        limit = None
        if rng.random() < 0.5:
            limit = str((price * D(rng.randint(995, 1005)) / 1000).quantize(D("0.1")))
        order_id = await bench.order(n, limit, str(quantity), side)
        if limit is not None and rng.random() < 0.5:
            await bench.cancel(order_id)
        await asyncio.sleep(0.01)


async def test_futures_books_equal_the_exchange_s_whatever_moves_the_wallet(
    bench: ExchangeBench,
) -> None:
    bench.trade_futures()
    await bench.start()
    rng = random.Random(7)
    await trade_at_random(bench, rng, 1, 30)
    await bench.order(100, None, "0.02")
    await bench.hear(OrderFilled, "s-r-100")
    bench.act("funding", rate="0.0003")
    bench.act("futures/transfer", amount="1234.56789")
    await until(lambda: len(bench.all(BalanceAdjusted)) >= 2)

    bench.fault(drop_user=0.3, duplicate_user=0.2, seed=3)
    await trade_at_random(bench, rng, 200, 30)
    bench.act("funding", rate="-0.0005")
    bench.act("futures/transfer", amount="-34.5")
    bench.fault()
    # While something is held: what the venue rounds in a partial close is made up for when flat.
    # What the limits added to it, only the market knows.
    if not held(bench):
        await bench.order(299, None, "0.02")
        await bench.hear(OrderFilled, "s-r-299")
    assert held(bench)
    await eventually_equal(bench, futures_differ)

    bench.act("futures/orders", symbol="ETHUSDT", side="BUY", type="MARKET", quantity="0.05")
    await bench.order(300, None, "0.05", Side.BUY if held(bench) >= 0 else Side.SELL)
    await bench.hear(OrderFilled, "s-r-300")
    bench.act("futures/liquidate", symbol="BTCUSDT")
    await eventually_equal(bench, futures_differ)
    truth = bench.truth()["futures"]
    causes = [e.cause for e in bench.all(BalanceAdjusted)]
    assert len(causes) == paid(bench), "each once"
    assert {AdjustmentCause.FUNDING, AdjustmentCause.TRANSFER} == set(causes)
    forced = [e for e in bench.all(OrderFilled) if e.instrument_id == "ETH-USDT-PERP"]
    parts = [fill for fill in truth["fills"] if fill["symbol"] == "ETHUSDT"]
    assert [e.strategy_id for e in forced] == [EXTERNAL] * len(parts)


def held(bench: ExchangeBench) -> Decimal:
    """The exchange's own word on our position in BTC-USDT-PERP."""
    return D(bench.truth()["futures"]["positions"]["BTCUSDT"]["quantity"])


def paid(bench: ExchangeBench) -> int:
    """How many payments there were at the exchange, which also pays funding by itself at times."""
    income = bench.truth()["futures"]["income"]
    return sum(each["incomeType"] in ("FUNDING_FEE", "TRANSFER") for each in income)


async def test_what_was_paid_while_we_were_away_is_found_and_said(bench: ExchangeBench) -> None:
    bench.trade_futures()
    await bench.start()
    await bench.order(1, None, "0.02")
    await bench.hear(OrderFilled, "s-r-1")
    bench.act("funding", rate="0.0001")
    await until(lambda: len(bench.all(BalanceAdjusted)) >= 1)
    await bench.stop()
    bench.act("funding", rate="0.0002")
    bench.act("futures/transfer", amount="10")
    await bench.start()
    connected, missed = ReconciliationCause.CONNECTED, DifferenceKind.MISSED_PAYMENT

    def found() -> int:
        told = bench.all(DifferenceFound)
        return sum((d.kind, d.cause) == (missed, connected) for d in told)

    await until(lambda: found() >= 2)
    await bench.restart()
    await eventually_equal(bench, futures_differ)
    assert len(bench.all(BalanceAdjusted)) == paid(bench), "found again, it is the same"


async def test_what_a_look_shows_before_the_user_stream_tells_it_in_time_is_no_difference(
    bench: ExchangeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.trade_futures()
    told_in_time = asyncio.Event()
    wait = asyncio.wait

    async def until_told(futures: Any, *, timeout: float | None = None, **terms: Any) -> Any:
        if timeout != LAG_S:
            return await wait(futures, timeout=timeout, **terms)
        await told_in_time.wait()  # on the slowest of machines, too
        return set(), set(futures)

    monkeypatch.setattr(session, "STREAM_LAG_S", LAG_S)
    monkeypatch.setattr(asyncio, "wait", until_told)
    await bench.start(reconcile_interval_s=60)
    bench.fault(delay_user_ms=400)
    await bench.order(1, None, "0.02")
    await bench.hear(OrderFilled, "s-r-1")
    bench.act("funding", rate="0.0001")
    bench.act("futures/orders", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    look = asyncio.create_task(bench.bus.request(reconcile_api.subject("sim"), b"", ASKED_S))
    await until(lambda: sum((e.fill.quantity for e in bench.all(OrderFilled)), D(0)) == D("0.03"))
    await bench.hear(BalanceAdjusted)
    told_in_time.set()
    told = reconcile_api.read_answer(await look)
    assert isinstance(told, reconcile_api.ReconcileReport), told
    assert not bench.all(DifferenceFound), "all of it was told in time"


async def test_deposit_on_spot_is_a_transfer(bench: ExchangeBench) -> None:
    await bench.start()
    await bench.hear(AccountUpdated)
    bench.fault(duplicate_user=1.0, seed=1)
    bench.act("transfer", asset="USDT", amount="250.5")
    bench.act("transfer", asset="BTC", amount="-0.25")
    await until(lambda: len(bench.all(BalanceAdjusted)) == 2)
    bench.fault()

    def differ(portfolio: Any, truth: Any) -> list[str]:
        totals = {asset: D(b["total"]) for asset, b in truth["balances"].items()}
        wrong = [b for b in portfolio.balances if b.amount != totals.get(b.asset, 0)]
        return [str(b) for b in [*wrong, *portfolio.differences]]

    await eventually_equal(bench, differ)
    amounts = [(e.asset, e.amount) for e in bench.all(BalanceAdjusted)]
    assert amounts == [("USDT", D("250.5")), ("BTC", D("-0.25"))]


async def test_transfer_on_spot_while_we_were_away_is_a_difference_that_is_told(
    bench: ExchangeBench,
) -> None:
    """Keys that trade may not list transfers: a person must say what it was."""
    await bench.start()
    await bench.stop()
    bench.act("transfer", asset="USDT", amount="77")
    await bench.start()
    await until(lambda: [d for d in bench.all(DifferenceFound) if "USDT" in d.detail])
    (found,) = bench.all(DifferenceFound)
    assert (found.kind, found.client_order_id) == (DifferenceKind.BALANCE, "")
    words = dict(word.split("=") for word in found.detail.split())
    assert D(words["reported"]) - D(words["expected"]) == 77
    (shown,) = (await the_books(bench)).portfolio().differences
    assert (shown.asset, shown.difference) == ("USDT", D(77))
    assert bench.all(AccountReconciled)


async def test_whoever_asks_is_told_what_a_look_at_the_account_brings_to_light(
    bench: ExchangeBench,
) -> None:
    await bench.start(reconcile_interval_s=60)
    subject = reconcile_api.subject("sim")

    async def ask() -> Any:
        return reconcile_api.read_answer(await bench.bus.request(subject, b"", ASKED_S))

    clean = await ask()
    assert clean.reconciled.cause is ReconciliationCause.ASKED
    assert (clean.differences, clean.standing, clean.settled) == ((), (), True)
    bench.fault(drop_user=1.0, seed=1)
    bench.act("orders", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.02")
    bench.act("transfer", asset="USDT", amount="-5")
    bench.fault()
    report = await ask()
    assert report.settled
    kinds = {found.kind for found in report.differences}
    assert kinds == {"EXTERNAL_ORDER", "EXTERNAL_FILL", "BALANCE"}
    assert [found.kind for found in report.standing] == [DifferenceKind.BALANCE]
    again = await ask()
    assert again.differences == (), "told once"
    assert [found.detail.split()[0] for found in again.standing] == ["asset=USDT"]
    bench.exchange.kill()
    await until(bench.running.waiting)
    refused = await ask()
    assert isinstance(refused, reconcile_api.ReconcileRefusal)


async def test_position_from_before_our_books_is_a_difference_that_is_told(
    bench: ExchangeBench,
) -> None:
    bench.trade_futures()
    bench.act("futures/orders", symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.3")
    await bench.start()
    await until(lambda: bench.all(DifferenceFound))
    (found,) = bench.all(DifferenceFound)
    assert (found.kind, found.instrument_id) == (DifferenceKind.POSITION, "BTC-USDT-PERP")
    assert found.detail == "expected=0 reported=-0.3"
    (position,) = (await the_books(bench)).portfolio().positions
    assert (position.quantity, position.reported, position.difference) == (
        D(0),
        D("-0.3"),
        D("-0.3"),
    )
